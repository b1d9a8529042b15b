/* completion.h - the way back: finished jobs from any thread to one loop. */
#ifndef POOLITE_BROKER_NET_COMPLETION_H
#define POOLITE_BROKER_NET_COMPLETION_H

struct completion;
struct job;
struct loop;

/** A queue whose jobs come out on ${loop}'s thread.  NULL on lack of memory. */
struct completion *completion_create(struct loop *loop);
/** Loop thread; nobody posts any more.  Freed when the loop closes its handles. */
void completion_close(struct completion *completion);

/** Loop thread: take what has been posted by now. */
void completion_drain(struct completion *completion);

/** Any thread: hand ${job} over; job->done is called on the loop's thread. */
void completion_post(struct completion *completion, struct job *job);

/** Any thread: make the loop turn, so that its tick and its queues are looked at. */
void completion_wake(struct completion *completion);

#endif
