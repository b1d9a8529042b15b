/* reader.h - one read-only connection and its thread.
 *
 * It takes one job at a time; which, and when, the pool decides on the loop's
 * thread.  The connection is opened by the thread itself, so that the loop
 * does not wait for it.
 */
#ifndef POOLITE_BROKER_READER_H
#define POOLITE_BROKER_READER_H

#include <pthread.h>

#include "broker/database.h"

/* Where a reader is; moved by pool.c alone.
 *
 *   IDLE ── a plain read, a check ──► BUSY ──► IDLE
 *    │ └─── a read transaction ─────► LEASED ─► IDLE
 *    └─ unused, or its connection failed ─► gone
 */
enum reader_state { READER_IDLE, READER_BUSY, READER_LEASED };

struct reader {
	struct database *database;     /* borrowed */
	struct connection *connection; /* owns; NULL until the thread has opened it */
	pthread_t thread;
	pthread_mutex_t
	    mutex; /* guards job, is_stopping, and connection against nudges */
	pthread_cond_t wake;
	struct job *job; /* owns: the next one, or NULL */
	bool is_stopping;
	/* the pool's, on the loop's thread */
	enum reader_state state;
	struct job *running;  /* borrowed: handed over and not back yet */
	bool is_broken;       /* its connection has to be replaced */
	int64_t last_used_ns; /* by a client */
	unsigned number;      /* for the log */
};

/** Start a thread that opens a connection.  NULL: no memory or thread. */
struct reader *reader_start(struct database *database, unsigned number);
/** Hand over the next job (taken); only while the reader has none. */
void reader_submit(struct reader *reader, struct job *job);
/** Interrupt the running statement if it is due. */
void reader_nudge(struct reader *reader);
/** Finish the job it has, close, join, free. */
void reader_stop(struct reader *reader);

#endif
