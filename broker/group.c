#include "broker/group.h"

#include <assert.h>
#include <string.h>

#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/work.h"

/* Replays of one group before its rest runs one by one. */
#define REPLAYS_MAX 3

/* How one attempt at a group ended. */
enum attempt {
	ATTEMPT_COMMITTED, /* members[0 .. ran) are settled */
	ATTEMPT_REFUSED,   /* nothing was done; every member has its failure */
	ATTEMPT_TORN,      /* members[culprit] tore it down and has its failure */
	ATTEMPT_UNTOLD, /* COMMIT refused it for one member's sake, nobody knows whose */
};

static void fail_as(struct job *job, const struct poolite__failure *failure)
{
	job->failure = *failure;
	poolite__buf_release(&job->answer);
}

/* Those that had succeeded share the group's fate; the others keep their own error. */
static void fail_all(
    struct job **members, size_t count, const struct poolite__failure *failure)
{
	for (size_t i = 0; i < count; i++) {
		if (members[i]->failure.code == 0)
			fail_as(members[i], failure);
	}
}

/* ---- one member ----------------------------------------------------------- */

/* Run one member in its savepoint.  False when the transaction is gone. */
static bool run_member(struct writer *writer, struct job *job)
{
	struct connection *connection = writer->connection;
	struct work_place place = {.can_write = true};
	struct poolite__failure ignored;
	bool has_savepoint;
	int rc;

	job->failure.code = POOLITE_OK;
	if (job_is_late(job, clock_now(writer->database->clock)))
		return true;
	FAILPOINT("member_before_savepoint");
	if (connection_savepoint(connection, &job->failure))
		return connection_in_transaction(connection);
	FAILPOINT("member_after_savepoint");
	connection_forget_counters(connection);
	rc = work_run(writer->database, connection, job, &place, &has_savepoint);
	assert(rc <= 0); /* the writer never sends a text elsewhere */
	if (!connection_in_transaction(connection))
		return false;
	if (rc == 0)
		rc = connection_check_deferred(connection, &job->failure);
	FAILPOINT("member_before_release");
	if (rc == 0)
		rc = connection_release(connection, &job->failure);
	FAILPOINT("member_after_release");
	if (rc == 0)
		return true;
	poolite__buf_release(&job->answer);
	FAILPOINT("member_before_undo");
	if (connection_undo(connection, &ignored) == 0)
		return true;
	/* Its rows cannot be told from the others': everything goes. */
	connection_rollback(connection);
	return false;
}

/* ---- one attempt ---------------------------------------------------------- */

static void note_foreigners(struct writer *writer)
{
	if (!connection_saw_foreign_commit(writer->connection))
		return;
	atomic_fetch_add(&writer->counters.foreign_commits, 1);
	if (writer->warned_of_foreigners || connection_sqlite_version_number() >= 3051003)
		return;
	writer->warned_of_foreigners = true;
	log_warning(
	    "a process outside the broker writes to the database; with SQLite %s two "
	    "writers that both make checkpoints can damage it: let it use the broker",
	    connection_sqlite_version());
}

static enum attempt finish(struct writer *writer, struct job **members, size_t ran)
{
	struct writer_counters *counters = &writer->counters;
	struct poolite__failure failure;
	int rc = database_commit(writer->database, writer->connection, &failure);

	if (rc == POOLITE_CONSTRAINT && ran > 1)
		return ATTEMPT_UNTOLD;
	if (rc) {
		fail_all(members, ran, &failure);
		return ATTEMPT_COMMITTED;
	}
	atomic_fetch_add(&counters->groups, 1);
	atomic_fetch_add(&counters->members, ran);
	if (ran > atomic_load(&counters->largest_group))
		atomic_store(&counters->largest_group, ran);
	return ATTEMPT_COMMITTED;
}

static enum attempt attempt(struct writer *writer, struct job **members, size_t count,
    bool is_first, size_t *ran, size_t *culprit)
{
	int64_t started_ns = clock_raw_ns();
	struct poolite__failure failure;
	size_t i;

	*ran = count;
	FAILPOINT("group_before_begin");
	if (database_refuses_writes(writer->database, &failure) ||
	    connection_begin_write(writer->connection, &failure)) {
		fail_all(members, count, &failure);
		return ATTEMPT_REFUSED;
	}
	FAILPOINT("group_after_begin");
	note_foreigners(writer);
	for (i = 0; i < count; i++) {
		/* A replay runs all of them again: they were promised this group. */
		if (i > 0 && is_first && clock_raw_ns() - started_ns > GROUP_TIME_NS)
			break;
		writer_hold(writer, members[i], false);
		connection_note_spills(writer->connection);
		if (!run_member(writer, members[i])) {
			*culprit = i;
			return ATTEMPT_TORN;
		}
		if (database_refuses_writes(writer->database, &failure)) {
			/* It met damage: nothing of this group is to be trusted. */
			connection_rollback(writer->connection);
			fail_all(members, count, &failure);
			return ATTEMPT_REFUSED;
		}
		/* The next one would be stopped for it: a checkpoint first. */
		if (connection_is_wal_full(writer->connection)) {
			i++;
			break;
		}
	}
	*ran = i;
	return finish(writer, members, i);
}

/* ---- the group ------------------------------------------------------------ */

/* Who is answered does not find itself the holder any more. */
static void post(struct writer *writer, struct job **members, size_t count)
{
	writer_hold(writer, NULL, false);
	for (size_t i = 0; i < count; i++) {
		FAILPOINT("group_before_answer");
		writer_settle(writer, members[i]);
	}
	FAILPOINT("group_after_answers");
}

/* The time the others lost through the culprit is not counted against them. */
static void forgive(struct job **members, size_t count, int64_t lost_ns)
{
	for (size_t i = 0; i < count; i++) {
		members[i]->finish_by_ns = clock_after(members[i]->finish_by_ns, lost_ns);
		members[i]->wait_until_ns =
		    clock_after(members[i]->wait_until_ns, lost_ns);
	}
}

/* A group of its own, and those it left over in further ones. */
static void commit_all(struct writer *writer, struct job **members, size_t count)
{
	while (count > 0) {
		size_t posted = group_commit(writer, members, count);
		members += posted;
		count -= posted;
	}
}

static void commit_one_by_one(struct writer *writer, struct job **members, size_t count)
{
	for (size_t i = 0; i < count; i++)
		group_commit(writer, &members[i], 1);
}

/* The torn one has filled the WAL: what is left waits until there is room, for a statement
 * that outgrows the cache would be stopped at once. */
static bool is_wal_full(const struct writer *writer)
{
	return connection_wal_bytes(writer->connection) >=
	    writer->database->wal_bytes_max;
}

size_t group_commit(struct writer *writer, struct job **members, size_t count)
{
	size_t posted = 0;

	for (unsigned replays = 0; count > 0; replays++) {
		int64_t started_ns = clock_now(writer->database->clock);
		size_t ran = 0, culprit = 0;
		enum attempt end =
		    attempt(writer, members, count, replays == 0, &ran, &culprit);
		struct job *torn;

		if (end == ATTEMPT_COMMITTED || end == ATTEMPT_REFUSED) {
			post(writer, members, ran);
			return posted + ran;
		}
		if (count > 1)
			atomic_fetch_add(&writer->counters.group_replays, 1);
		if (end == ATTEMPT_UNTOLD) {
			/* All that ran belong to it; the rest was not begun. */
			commit_all(writer, members, ran / 2);
			commit_all(writer, members + ran / 2, ran - ran / 2);
			return posted + ran;
		}
		torn = members[culprit];
		if (torn->failure.code == 0)
			poolite__fail(&torn->failure, POOLITE_INTERNAL,
			    "the statement ended the group's transaction without an error");
		FAILPOINT("group_before_replay");
		writer_remember_lone(writer, torn);
		/* To the front: the first ones are those that are settled. */
		memmove(members + 1, members, culprit * sizeof *members);
		members[0] = torn;
		members++;
		count--;
		posted++;
		job_finish(torn);
		forgive(members, count, clock_now(writer->database->clock) - started_ns);
		if (is_wal_full(writer))
			return posted;
		if (replays + 1 == REPLAYS_MAX) {
			commit_one_by_one(writer, members, count);
			return posted + count;
		}
	}
	return posted;
}

/* ---- scripts that need foreign keys off ------------------------------------ */

/* It looks at every row: the script's deadline holds for it too. */
static int64_t count_violations(struct writer *writer, struct job *job)
{
	int64_t count;

	connection_watch(writer->connection, &job->stop);
	count = connection_foreign_key_violations(writer->connection, &job->failure);
	connection_unwatch(writer->connection);
	return count;
}

static int run_checked(struct writer *writer, struct job *job)
{
	struct connection *connection = writer->connection;
	struct work_place place = {.can_write = true};
	int64_t before, after;
	bool has_savepoint;

	job_start(job, clock_now(writer->database->clock),
	    writer->database->settings->query_timeout_ns);
	before = count_violations(writer, job);
	if (before < 0)
		return job->failure.code;
	if (work_run(writer->database, connection, job, &place, &has_savepoint))
		return job->failure.code;
	after = count_violations(writer, job);
	if (after < 0)
		return job->failure.code;
	if (after <= before)
		return 0;
	poolite__fail(&job->failure, POOLITE_CONSTRAINT,
	    "FOREIGN KEY constraint failed: foreign_key_check finds %lld rows more than before "
	    "the script; it was undone",
	    (long long)(after - before));
	job->failure.sqlite = 787; /* SQLITE_CONSTRAINT_FOREIGNKEY */
	return job->failure.code;
}

void group_run_keys_off(struct writer *writer, struct job *job)
{
	struct connection *connection = writer->connection;
	bool wanted = writer->database->settings->foreign_keys;

	writer_hold(writer, job, false);
	if (job_is_late(job, clock_now(writer->database->clock)) ||
	    database_refuses_writes(writer->database, &job->failure)) {
		job_finish(job);
		return;
	}
	if (!connection_set_foreign_keys(connection, false)) {
		poolite__fail(&job->failure, POOLITE_INTERNAL,
		    "foreign keys could not be switched off");
	} else if (connection_begin_write(connection, &job->failure) == 0) {
		if (run_checked(writer, job) == 0)
			finish(writer, &job, 1);
		if (job->failure.code)
			poolite__buf_release(&job->answer);
		connection_rollback(connection);
	}
	if (!connection_set_foreign_keys(connection, wanted))
		writer_reopen(writer);
	writer_hold(writer, NULL, false);
	job_finish(job);
}
