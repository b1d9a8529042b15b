#include "broker/lease.h"

#include <assert.h>

#include "broker/db/pages.h"
#include "broker/failpoint.h"
#include "proto/answer.h"
#include "proto/begin.h"

void lease_begin(
    struct database *database, struct connection *connection, struct job *job)
{
	bool is_read = job->request.options.is_read;

	if (job_is_late(job, clock_now(database->clock)))
		return;
	connection_forget_counters(connection);
	if (is_read)
		connection_begin_read(connection, &job->failure);
	else
		connection_begin_write(connection, &job->failure);
	FAILPOINT("transaction_after_begin");
	if (job->failure.code)
		return;
	poolite__pack_answer(&job->answer, job->request.msgid);
	poolite__pack_begin_result(&job->answer, is_read);
}

static void commit(struct database *database, struct connection *connection,
    struct job *job, bool is_writer)
{
	int reason = atomic_load(&job->stop.reason);
	int rc = 0;

	assert(connection_in_transaction(connection));
	if (reason) { /* cancelled while it waited: a commit that fails is a rollback */
		poolite__fail(&job->failure, (enum poolite_code)reason,
		    "%s; the transaction was rolled back", poolite__code_meaning(reason));
		connection_rollback(connection);
		return;
	}
	if (is_writer)
		rc = database_commit(database, connection, &job->failure);
	else /* it only read: no COMMIT that could fail, and be taken for an unknown one */
		connection_rollback(connection);
	if (rc == 0)
		poolite__pack_nil_answer(&job->answer, job->request.msgid);
}

/* What a failed statement did is undone; the transaction goes on if SQLite let it live. */
static void settle_savepoint(struct connection *connection, struct job *job, bool failed)
{
	struct poolite__failure failure;

	if (!connection_in_transaction(connection))
		return;
	if (!failed) {
		if (connection_release(connection, &job->failure) == 0)
			return;
		poolite__buf_release(&job->answer);
	}
	if (connection_undo(connection, &failure))
		connection_rollback(connection);
}

static void run(struct database *database, struct connection *connection, struct job *job,
    bool is_writer)
{
	struct work_place place = {
	    .in_session = true, .can_write = is_writer, .opens_savepoint = is_writer};
	bool has_savepoint;
	int rc;

	if (work_wants_keys_off(job)) {
		poolite__fail(&job->failure, POOLITE_BAD_REQUEST,
		    "foreign keys cannot be switched off inside a transaction; send the script "
		    "outside");
		return;
	}
	if (job->request.options.chunk_rows) {
		poolite__fail(&job->failure, POOLITE_BAD_REQUEST,
		    "a transaction is committed as a whole: chunk_rows is for a batch outside "
		    "of one");
		return;
	}
	job->read_only |= !is_writer;
	rc = work_run(database, connection, job, &place, &has_savepoint);
	assert(rc <= 0); /* with read_only set, no text is sent elsewhere */
	FAILPOINT("transaction_after_statement");
	if (has_savepoint)
		settle_savepoint(connection, job, rc != 0);
	if (!connection_in_transaction(connection))
		connection_end_pages(connection);
}

void lease_run(struct database *database, struct connection *connection, struct job *job,
    bool is_writer)
{
	if (job->kind == JOB_ROLLBACK) {
		connection_rollback(connection);
	} else if (job->request.method == POOLITE__ROLLBACK) {
		FAILPOINT("transaction_before_rollback");
		connection_rollback(connection);
		poolite__pack_nil_answer(&job->answer, job->request.msgid);
	} else if (job->request.method == POOLITE__COMMIT) {
		commit(database, connection, job, is_writer);
	} else {
		run(database, connection, job, is_writer);
	}
	FAILPOINT("transaction_after_request");
	job->has_ended = !connection_in_transaction(connection);
}

void lease_page(struct database *database, struct connection *connection, struct job *job)
{
	static const struct work_place place = {0};
	bool has_savepoint;

	if (job->request.method != POOLITE__QUERY ||
	    !job_is_late(job, clock_now(database->clock)))
		job->needs_writer = work_run(database, connection, job, &place,
					&has_savepoint) == EXECUTE_ELSEWHERE;
	job->has_ended = !connection_has_pages(connection);
}
