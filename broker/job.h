/* job.h - one request on its way through the broker, or a task of its own.
 *
 * The loop makes a job from a session's message and hands it to a connection's
 * thread; the thread fills in answer or failure and posts it back to the
 * job's home; the loop sends the answer and frees the job.  One owner at a
 * time, so a job needs no lock; only `stop` is shared while it runs.
 */
#ifndef POOLITE_BROKER_JOB_H
#define POOLITE_BROKER_JOB_H

#include <stdatomic.h>

#include "broker/clock.h"
#include "proto/request.h"

struct completion;
struct lane;
struct reader;
struct session;
struct turns;

/* Reasons to stop that are no code of their own. */
enum stop_for_wal {
	STOP_READ_FOR_WAL = 1, /* OVERLOADED: the snapshot keeps the WAL from shrinking */
	STOP_WRITE_FOR_WAL = 2, /* TOO_LARGE: the write would grow it past wal_limit */
};

/* Why a running statement has to stop; shared between the loop and its thread. */
struct stop {
	_Atomic int64_t deadline_ns; /* of the broker's clock */
	_Atomic int reason; /* 0, or the poolite_code to end with, or stop_for_wal */
	_Atomic bool is_abandoned; /* its client is gone: go on only if it writes */
	_Atomic bool is_read;      /* its text is known to read only */
};

/** Why it has to stop now, or 0. */
static inline int stop_reason(struct stop *stop, int64_t now_ns)
{
	int reason = atomic_load_explicit(&stop->reason, memory_order_relaxed);

	if (reason)
		return reason;
	if (now_ns >= atomic_load_explicit(&stop->deadline_ns, memory_order_relaxed))
		return POOLITE_QUERY_TIMEOUT;
	if (atomic_load_explicit(&stop->is_abandoned, memory_order_relaxed) &&
	    atomic_load_explicit(&stop->is_read, memory_order_relaxed))
		return POOLITE_CANCELLED;
	return 0;
}

enum job_kind {
	JOB_REQUEST,  /* a client's */
	JOB_ROLLBACK, /* end a transaction or cursor: its client is gone, it expired ... */
	JOB_CHECK,    /* health check of one connection */
	JOB_DOCUMENT, /* the stats socket asks the loop for a document */
};

/* How far a batch has come that is committed in chunks (options.chunk_rows). */
struct job_chunks {
	struct poolite__reader rest; /* at the first row that is not committed */
	uint32_t rows_done;          /* before it */
	int64_t changes;             /* of those */
	int64_t last_insert_id;
};

struct job {
	struct job *next; /* on whichever list it stands */
	struct job *prev;
	struct job *mate_next; /* the other requests of its session */
	struct job *mate_prev;
	enum job_kind kind;
	struct session
	    *session;        /* borrowed; a session outlives its jobs.  NULL: nobody's */
	struct lane *lanes;  /* borrowed: its user's (turns.h); NULL: nobody's */
	struct turns *aside; /* borrowed: where it is set aside; NULL: it is not */
	struct completion *home;    /* borrowed: where it goes when it is done */
	void (*done)(struct job *); /* the loop calls it then; owns the job again */
	void *owner;                /* borrowed, for `done` */
	struct reader *reader;      /* borrowed: where it runs; NULL for the writer */

	struct poolite__request request; /* points into message */
	int64_t received_ns;
	int64_t waits_since_ns; /* received_ns, or the end of its last chunk */
	int64_t wait_until_ns;  /* not started by then: POOL_TIMEOUT */
	int64_t finish_by_ns;   /* options.timeout_ms, or CLOCK_NEVER */
	int64_t started_ns;     /* its first chunk; 0: not yet */
	int64_t handed_over_ns; /* to a reader: no later than its snapshot */
	struct stop stop;

	bool waits_for_reader; /* and not for the writer */
	uint64_t
	    cursor; /* a query in pages, and those that fetch from it: its number; else 0 */
	bool in_transaction; /* between the session's begin and commit */
	bool read_only; /* a write is READ_ONLY: its user or transaction may only read */
	bool examine;   /* a reader shall say whether its text may run on the loop */
	uint64_t schema_seq; /* database.h's, when it was handed over to be examined */
	bool is_read;        /* a plain request whose text is known to read only */

	/* What its thread tells the loop. */
	bool needs_writer;  /* a reader found that the text writes; nothing was done */
	bool is_write;      /* the text writes */
	bool is_short;      /* examined: the text may run on the loop */
	bool has_ended;     /* of a transaction's or cursor's job: that is over */
	bool breaks_reader; /* the connection must be replaced */
	struct poolite__failure failure; /* code 0: the answer is complete */
	struct poolite__buf answer;      /* the whole message to send; empty on failure */

	struct job_chunks chunks; /* of a batch: what is committed */
	struct job_chunks ahead;  /* the same with what has just run */

	size_t message_len;
	struct poolite__budget *budget; /* message_len was taken from it */
	uint8_t message[];              /* owns the request's bytes */
};

/** A job without a message, in the caller's memory; what it comes to own is the caller's. */
void job_init(struct job *job);

/**
 * A job that owns a copy of ${len} bytes of message, taken from ${budget}
 * (NULL: not counted).  NULL when the budget or the memory does not have them.
 */
struct job *job_create(const void *message, size_t len, struct poolite__budget *budget);
/** NULL: nothing. */
void job_free(struct job *job);

/** A client's request that reads outside a transaction, when it runs on a reader. */
static inline bool job_is_read_outside(const struct job *job)
{
	return job->kind == JOB_REQUEST && !job->in_transaction &&
	    job->request.method != POOLITE__BEGIN;
}

/** The same, and it leaves nothing behind: no transaction, no cursor. */
static inline bool job_is_plain(const struct job *job)
{
	return job_is_read_outside(job) && !job->cursor;
}

/** Any thread but the loop: give it back; the loop will call job->done. */
void job_finish(struct job *job);

/** Note that its running begins: the deadline becomes the nearer of the request's and
 *  ${query_timeout_ns}. */
void job_start(struct job *job, int64_t now_ns, int64_t query_timeout_ns);

/** What has just run is committed.  True when it was a batch's chunk, and not the last: it
 *  is to be queued again, and has until ${wait_until_ns} to be started. */
bool job_goes_on(struct job *job, int64_t now_ns, int64_t wait_until_ns);

/** Whether it must not be started any more; then job->failure says why (a POOL_TIMEOUT
 *  still without the holder). */
bool job_is_late(struct job *job, int64_t now_ns);

/** The same for one that waits for its turn among its own session's requests. */
bool job_is_late_in_session(struct job *job, int64_t now_ns);

/* A first-in first-out list of jobs, doubly linked so that any can leave. */
struct job_list {
	struct job *head;
	struct job *tail;
	size_t count;
};

void job_list_push(struct job_list *list, struct job *job);
void job_list_push_front(struct job_list *list, struct job *job);
void job_list_remove(struct job_list *list, struct job *job);
/** The first, or NULL. */
struct job *job_list_pop(struct job_list *list);

#endif
