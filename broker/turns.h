/* turns.h - a queue of jobs in which users take turns.
 *
 *   first ─► lane of uid 1000: job job job     one lane per user with jobs here;
 *            lane of uid 33:   job             who was served goes behind the others
 *            lane of nobody:   job             (health checks)
 *
 * Within one user first come, first served; between users one job each in turn,
 * so that who queues a thousand delays another's next one by one.  With a single
 * user it is a plain queue.  A job that cannot run for its own client's sake is set
 * aside, so that it is not looked at again and again.  Needs the lock of whoever
 * owns it.
 */
#ifndef POOLITE_BROKER_TURNS_H
#define POOLITE_BROKER_TURNS_H

#include "broker/job.h"

/* The queues in which a user may have jobs. */
enum turns_queue { TURNS_WRITES, TURNS_READS, TURNS_BEGINS, TURNS_QUEUES };

/* One user's jobs in one queue; zero it to start.  job->lanes points at TURNS_QUEUES. */
struct lane {
	struct lane *next, *prev; /* the others that have jobs in this queue */
	struct job_list jobs;     /* owns */
	size_t running; /* those that came out of it and run now; for the queue's owner */
};

/* Zero it, and set `which`. */
struct turns {
	enum turns_queue which;
	struct lane *first;    /* whose turn it is */
	struct lane nobody;    /* of jobs without a user */
	struct job_list aside; /* owns; in no lane until turns_bring_back */
	size_t count;          /* jobs, also those aside */
};

/** Jobs that could run if they were given a turn: those that are not aside. */
static inline size_t turns_ready(const struct turns *turns)
{
	return turns->count - turns->aside.count;
}

void turns_push(struct turns *turns, struct job *job);
/** Put back what turns_pop gave last, to be the next again. */
void turns_push_front(struct turns *turns, struct job *job);
/** Whose turn it is, or NULL. */
struct job *turns_peek(const struct turns *turns);
/** The same, and take it out. */
struct job *turns_pop(struct turns *turns);
/** Take out one that has its turn early: its user goes behind the others. */
void turns_take(struct turns *turns, struct job *job);
/**
 * The first job of the first user in turn that may have one now; NULL: nobody.
 *
 *   is_stuck  of whom it says so is set aside, and the one behind it asked
 *   may       whether this job's user may have a turn; NULL: each may
 */
struct job *turns_find(struct turns *turns, bool (*is_stuck)(const struct job *job),
    bool (*may)(const struct job *job));
/** ${job}, if it was set aside, is the first of its user's again. */
void turns_bring_back(struct job *job);
/* So many late ones at once, for each has to be answered; the others' requests come between. */
#define TURNS_LATE_MAX 128

/** Move those of whom ${is_late} says so to ${late}, until that holds TURNS_LATE_MAX. */
void turns_collect(struct turns *turns, bool (*is_late)(struct job *job, int64_t now_ns),
    int64_t now_ns, struct job_list *late);

#endif
