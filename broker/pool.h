/* pool.h - the readers: who has which, who waits, growth, shrinking, health.
 *
 * All of it on the loop's thread, so nothing here needs a lock.  The writer is
 * one thread with its own queue (writer.h).
 */
#ifndef POOLITE_BROKER_POOL_H
#define POOLITE_BROKER_POOL_H

#include "broker/reader.h"
#include "broker/turns.h"
#include "broker/writer.h"

struct pool {
	struct database *database; /* borrowed */
	struct writer *writer;     /* owns */
	struct reader **readers;   /* owns; the first `count` are there */
	unsigned count;
	unsigned readers_max; /* max_connections without writer and fast reader */
	unsigned leased;      /* read transactions and cursors that have one */
	unsigned
	    leased_max; /* half of readers_max: the others always serve plain reads */
	struct turns waiting;        /* plain reads */
	struct turns waiting_begins; /* read transactions and cursors */
	unsigned next_number;
	unsigned checks; /* health checks under way */
	void (*on_checked)(
	    struct job *); /* the `done` of health checks: calls pool_return */
	void *owner;       /* borrowed, for those jobs */
	int64_t next_check_ns;
	int64_t last_check_ns;  /* of the broker's clock: for what was unused since */
	double last_check_unix; /* seconds since 1970; before the first one, the start */
	uint64_t replaced;      /* readers whose connection broke */
};

/** Open the writer and a first reader.  0, or a code with ${failure}. */
int pool_start(struct pool *pool, struct database *database,
    void (*on_checked)(struct job *), void *owner, struct poolite__failure *failure);
/** Every job must have come back.  Makes the last checkpoint. */
void pool_stop(struct pool *pool);

/** A read outside any transaction. */
void pool_submit_read(struct pool *pool, struct job *job);
/** A begin in read mode, or a cursor's query: its reader stays leased if it succeeds
 *  and job->has_ended is not set. */
void pool_submit_begin_read(struct pool *pool, struct job *job);
/** The next request of the transaction or cursor that has ${reader}; NULL: the writer. */
void pool_submit_leased(struct pool *pool, struct reader *reader, struct job *job);
/**
 * Roll back what has ${reader} (NULL: the writer), so that it is given back.  Counts
 * as a request of ${session}; ${done} gets the job, with ${owner}, ends that
 * request and frees the job.  Returns the job, borrowed.
 */
struct job *pool_submit_rollback(struct pool *pool, struct reader *reader,
    struct session *session, void (*done)(struct job *), void *owner);

/** First thing for each job that comes back: its reader is free again, or stays leased. */
void pool_return(struct pool *pool, struct job *job);

/** Give waiting jobs to idle readers, starting more where allowed.  Those whose session is
 *  full are set aside. */
void pool_pump(struct pool *pool);
/** The session of ${job}, which waits or does not, is full no more. */
void pool_readmit(struct job *job);

/** Move the jobs that must not start any more, reads and writes, to ${late}; at most
 *  TURNS_LATE_MAX. */
void pool_collect_late(struct pool *pool, int64_t now_ns, struct job_list *late);
/** Interrupt what runs past its deadline. */
void pool_nudge(struct pool *pool);
/** Each tick: when its time has come, check idle connections and close unused ones. */
void pool_check_health(struct pool *pool, int64_t now_ns);

/** Whether anybody waits for a connection such as the one ${reader} (NULL: the writer) is. */
bool pool_has_waiters(struct pool *pool, const struct reader *reader);
/** Whether no connection has a job, waiting or running. */
bool pool_is_idle(struct pool *pool);
/** Connections running a job or leased. */
unsigned pool_active(struct pool *pool);

#endif
