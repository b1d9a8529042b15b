/* overdue.h - what must not wait or run any longer; loop thread.
 *
 * Ends requests whose deadline has passed or that were cancelled, says who had
 * what they waited for, and ends reads for the sake of the WAL or of a stop.
 */
#ifndef POOLITE_BROKER_OVERDUE_H
#define POOLITE_BROKER_OVERDUE_H

#include "broker/broker.h"

/** Something was cancelled: overdue_answer is called before the loop blocks. */
void overdue_ask(struct broker *broker);
/** Answer what must not wait any longer, and interrupt what must not run any longer. */
void overdue_answer(struct broker *broker);
/** The same, unless that took so long lately that it has to wait. */
void overdue_answer_in_time(struct broker *broker);
/* Who has had a reader for longest, by a request, a cursor or a read transaction. */
struct oldest_read {
	const struct session *session; /* borrowed; NULL: nobody has one */
	const char *in;                /* "query" ... */
	int64_t since_ns;
};

/** Its snapshot is what the WAL cannot shrink past. */
struct oldest_read overdue_oldest_read(struct broker *broker);
/** A POOL_TIMEOUT of a job that waited for a connection gets to say who has that. */
void overdue_name_holder(struct broker *broker, struct job *job);
/** The WAL is near its limit: end the read, cursor or read transaction with the oldest
 *  snapshot, if that is from before ${before_ns}.  False when there is none. */
bool overdue_end_oldest_read(struct broker *broker, int64_t before_ns);
/** The grace is over: end everything that waits or runs with SHUTTING_DOWN. */
void overdue_end_all(struct broker *broker);

/* Room for what overdue_lease says. */
#define OVERDUE_WHY_BYTES 128

/**
 * Whether a transaction or cursor has had ${reader} (NULL: the writer) for too long:
 * since ${opened_ns} in all, or idle since ${idle_since_ns} while others wait for
 * such a connection.  Then ${why} says so.
 */
bool overdue_lease(struct broker *broker, const struct reader *reader, int64_t now_ns,
    int64_t opened_ns, int64_t idle_since_ns, char why[OVERDUE_WHY_BYTES]);

#endif
