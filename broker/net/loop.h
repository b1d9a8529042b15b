/* loop.h - the event loop and what it calls: tick, wake-ups, signals.
 *
 * Everything in net/ belongs to the loop's thread, save completion_post,
 * completion_wake and loop_call.
 */
#ifndef POOLITE_BROKER_NET_LOOP_H
#define POOLITE_BROKER_NET_LOOP_H

#include <stdbool.h>

struct loop;

/* What the loop tells its owner. */
struct loop_handler {
	/** Every CLOCK_TICK_MS. */
	void (*on_tick)(void *context);
	/** After the callbacks of a turn, before it blocks; true: it must not. */
	bool (*before_block)(void *context);
	/** A wake-up: completion_wake was called, or finished jobs come right after. */
	void (*on_wake)(void *context);
	/** SIGTERM or SIGINT. */
	void (*on_signal)(void *context, int signal_number);
	void *context;
};

/** Borrows ${handler} for life.  NULL when the machine has no descriptors or memory left. */
struct loop *loop_create(const struct loop_handler *handler);
/** Run until everything is closed, after loop_close. */
void loop_run(struct loop *loop);
/**
 * Close the loop's own handles; loop_run returns when all others are closed too.  From
 * here on SIGTERM and SIGINT are blocked in this thread, the last one of the broker.
 */
void loop_close(struct loop *loop);
/** After loop_run has returned, or loop_create alone. */
void loop_free(struct loop *loop);

#endif
