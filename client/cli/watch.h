/* watch.h - what a person sees and may do while a request is under way.
 *
 * On a terminal it is said after a second that no broker is there yet.  SIGINT
 * (Ctrl-C) cancels the request, and its error comes as any other; before there
 * is a broker, or a second time, it ends the program at once.
 */
#ifndef POOLITE_CLI_WATCH_H
#define POOLITE_CLI_WATCH_H

#include <pthread.h>
#include <signal.h>

#include "client/poolite.h"

struct watch {
	struct poolite *db; /* borrowed */
	pthread_t thread;
	sigset_t before; /* the signal mask to go back to */
	bool is_on;
	bool says_things;     /* standard error is a terminal */
	bool is_shown;        /* the thread's: a line of its is to be cleared */
	bool was_interrupted; /* the thread's until it is joined */
};

/** Before a call on ${db}.  Where no thread can be had there is no watching. */
void watch_begin(struct watch *watch, struct poolite *db);

/** After it.  After a SIGINT the signal stays pending, for watch_deliver; but not when it came
 *  too late and ${is_done}, what was asked for is carried out whole: that is said instead. */
void watch_end(struct watch *watch, bool is_done);

/** At the program's end, its output written: end as SIGINT does if one came. */
void watch_deliver(void);

#endif
