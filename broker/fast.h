/* fast.h - short reads, run right on the loop's thread.
 *
 * A hand-over to another thread and back costs more than a point read itself.
 * The fast reader is a connection of the loop's own.  Only texts that have
 * shown on a reader's thread to be short and steady (db/steady.h) come here,
 * and each under a budget; one that exceeds it is stopped, what it had answered is thrown
 * away, and it runs again on a reader's thread, as long texts do from then on.
 *
 * The first read of a turn of the loop runs by itself; all further ones share one
 * snapshot.  Why each of those
 * still sees every write that was answered before it was sent:
 *
 *   the writer raises commit_seq after COMMIT and before the answer is posted;
 *   so when a client sends a read after it saw the answer, and the loop gets to
 *   that read, commit_seq has been raised already.  fast_run compares it with the value
 *   loaded *before* the snapshot was taken: equal means that no COMMIT was
 *   answered since, so the snapshot holds all that was; else it is renewed.
 *
 * The snapshot ends before the loop blocks, so it pins no WAL.
 */
#ifndef POOLITE_BROKER_FAST_H
#define POOLITE_BROKER_FAST_H

#include "broker/database.h"

/* The budget of one read: no other session is delayed for longer. */
#define FAST_TIME_NS      INT64_C(500000)
#define FAST_RESULT_BYTES ((size_t)64 << 10)

struct fast {
	struct database *database;     /* borrowed */
	struct connection *connection; /* owns; NULL when it could not be opened */
	bool has_snapshot;
	uint64_t snapshot_seq;
	unsigned turn_reads; /* begun in this turn */
	uint64_t reads;      /* answered here */
	uint64_t exceeded;   /* stopped, and run again on a reader */
	uint64_t snapshots;
};

enum fast_outcome {
	FAST_ANSWERED, /* job has its answer or failure */
	FAST_EXCEEDED, /* nothing was done: run it on a reader, and count it as long */
};

/** Open the connection, on the loop's thread.  0, or a code with ${failure}. */
int fast_open(
    struct fast *fast, struct database *database, struct poolite__failure *failure);
void fast_close(struct fast *fast);

/** Run job's query. */
enum fast_outcome fast_run(struct fast *fast, struct job *job);
/** Before the loop blocks: let go of the snapshot. */
void fast_end_turn(struct fast *fast);

#endif
