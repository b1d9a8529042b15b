/* writer.h - the one connection that writes, its thread and its queue.
 *
 * In the queue users take turns (turns.h).  From its head the thread takes a group
 * of writes, or one lone text, or one begin; between a begin and its end
 * it serves that session alone (a lease).  Between groups it makes checkpoints.
 */
#ifndef POOLITE_BROKER_WRITER_H
#define POOLITE_BROKER_WRITER_H

#include <pthread.h>
#include <sys/types.h>

#include "broker/database.h"
#include "broker/turns.h"

/* Members of one group, and how long it may run before the rest waits for
 * the next one: both bound how long an answer is held back by others' work. */
#define GROUP_MEMBERS_MAX 512
#define GROUP_TIME_NS     (20 * CLOCK_NS_PER_MS)

/* Hashes of texts that tore a group down; a collision only costs a text its company. */
#define WRITER_LONE_TEXTS 1024

/* Who has the writer now, for the error of those who waited in vain. */
struct holder {
	bool is_held;
	bool in_transaction; /* between begin and commit */
	pid_t pid;
	uid_t uid;
	uint64_t session;
	enum poolite__method method;
	int64_t since_ns; /* of the broker's clock */
};

/* Counted by the writer's thread, read by anybody. */
struct writer_counters {
	_Atomic uint64_t groups;  /* committed */
	_Atomic uint64_t members; /* in those */
	_Atomic uint64_t largest_group;
	_Atomic uint64_t group_replays; /* groups run again without a culprit */
	_Atomic uint64_t chunks; /* of batches, committed with more of them to come */
	_Atomic uint64_t transactions; /* begun over round trips */
	_Atomic uint64_t checkpoints;  /* complete */
	_Atomic uint64_t checkpoints_incomplete;
	_Atomic uint64_t checkpoint_errors;
	_Atomic uint64_t truncations; /* the WAL file was cut */
	_Atomic int64_t longest_checkpoint_ns;
	_Atomic int64_t last_checkpoint_ns; /* of the broker's clock; 0: none yet */
	_Atomic int64_t wal_bytes;
	_Atomic uint64_t foreign_commits;
};

struct writer {
	struct database *database;     /* borrowed */
	struct connection *connection; /* owns; the thread's alone but for nudges */
	pthread_t thread;
	pthread_mutex_t mutex; /* guards everything down to is_stopping */
	pthread_cond_t wake;
	struct turns waiting;   /* TURNS_WRITES */
	struct job_list leased; /* owns; of the session that has the writer */
	bool is_leased;
	struct holder holder;
	bool is_stopping;
	/* the thread's own */
	bool has_lone_texts;
	uint64_t lone_texts[WRITER_LONE_TEXTS]; /* by hash; 0: an empty slot */
	int passive_at_pages;     /* of the WAL: time for the next PASSIVE */
	int64_t next_truncate_ns; /* back-off: not before */
	int64_t truncate_wait_ns; /* how long the next failure puts it off */
	bool warned_of_foreigners;
	bool is_disk_full;  /* the last checkpoint failed for it */
	bool is_wal_pinned; /* near wal_limit, and the last try to cut it was in vain */
	struct writer_counters counters;
};

/** Open the connection and start the thread.  0 with *${writer}, or a code with ${failure}. */
int writer_start(
    struct database *database, struct writer **writer, struct poolite__failure *failure);
/** Finish what waits, make a last checkpoint, close, join, free.  NULL: nothing. */
void writer_stop(struct writer *writer);

/* Loop thread. */

/** Queue ${job} (taken; it comes back through its completion). */
void writer_submit(struct writer *writer, struct job *job);
/** The same for the session that has the writer: its next request. */
void writer_submit_leased(struct writer *writer, struct job *job);
/** Move those that must not start any more to ${late}; their failures name the holder. */
void writer_collect_late(struct writer *writer, int64_t now_ns, struct job_list *late);
/** Jobs that wait, the running ones not counted. */
size_t writer_waiting(struct writer *writer);
/** Who has it now. */
struct holder writer_holder(struct writer *writer);
/** Interrupt the running statement if it is due. */
void writer_nudge(struct writer *writer);

/* For group.c and checkpoint.c, on the writer's thread. */

/** Note who has the writer; NULL: nobody. */
void writer_hold(struct writer *writer, const struct job *job, bool in_transaction);
/** What has just run of ${job} (taken) is settled: give it back, or, when it was a batch's
 *  chunk and there are more, let the next one wait for its turn. */
void writer_settle(struct writer *writer, struct job *job);
/** From now on the job's text runs alone. */
void writer_remember_lone(struct writer *writer, const struct job *job);
/** Close and open the connection.  On failure no more writes are taken. */
void writer_reopen(struct writer *writer);

#endif
