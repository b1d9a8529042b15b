#include "broker/fast.h"

#include "broker/log.h"
#include "broker/work.h"

int fast_open(
    struct fast *fast, struct database *database, struct poolite__failure *failure)
{
	*fast = (struct fast){.database = database};
	return database_connect(database, CONNECTION_FAST, &fast->connection, failure);
}

void fast_close(struct fast *fast)
{
	fast_end_turn(fast);
	database_disconnect(fast->database, fast->connection);
	fast->connection = NULL;
}

static void let_go(struct fast *fast)
{
	if (!fast->has_snapshot)
		return;
	connection_rollback(fast->connection);
	fast->has_snapshot = false;
	atomic_fetch_sub(&fast->database->gate.reading, 1);
}

void fast_end_turn(struct fast *fast)
{
	let_go(fast);
	fast->turn_reads = 0;
}

/*
 * The snapshot of this turn, renewed when a COMMIT was answered since it was
 * taken.  A turn's first read takes none: most often it stays the only one, and
 * BEGIN and ROLLBACK would cost it more than the read.
 */
static int take_snapshot(struct fast *fast, struct poolite__failure *failure)
{
	uint64_t commit_seq = atomic_load(&fast->database->commit_seq);
	int rc;

	if (fast->turn_reads++ == 0)
		return 0;
	if (fast->has_snapshot && fast->snapshot_seq == commit_seq)
		return 0;
	let_go(fast);
	rc = connection_begin_read(fast->connection, failure);
	if (rc)
		return rc;
	fast->has_snapshot = true;
	atomic_fetch_add(&fast->database->gate.reading, 1);
	fast->snapshot_seq = commit_seq;
	fast->snapshots++;
	return 0;
}

/* Refusals that would be the same anywhere; all else may do better on a reader. */
static bool is_final(const struct poolite__failure *failure)
{
	return failure->code == POOLITE_BAD_REQUEST ||
	    failure->code == POOLITE_NOT_ALLOWED;
}

enum fast_outcome fast_run(struct fast *fast, struct job *job)
{
	int rc;

	if (!fast->connection || take_snapshot(fast, &job->failure)) {
		job->failure.code = POOLITE_OK;
		return FAST_EXCEEDED;
	}
	rc = work_run_short(fast->connection, job, FAST_RESULT_BYTES, FAST_TIME_NS);
	if (rc == 0 || is_final(&job->failure)) {
		fast->reads++;
		return FAST_ANSWERED;
	}
	job->failure.code = POOLITE_OK;
	fast->exceeded++;
	return FAST_EXCEEDED;
}
