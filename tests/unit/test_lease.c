/* A lease, and what it leaves behind: one connection, no threads.  What the next user of
 * the connection may find is looked at from inside. */
#include <criterion/criterion.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/db/internal.h"
#include "broker/db/pages.h"
#include "broker/lease.h"
#include "broker/work.h"
#include "proto/script.h"
#include "tests/unit/bare.h"

static struct bare bare;
static struct connection *connection; /* the writer's */
static struct job *job;               /* the last one */

static void set_up(void)
{
	bare_open(&bare);
	connection = bare.connection;
	bare_sql(connection,
	    "CREATE TABLE late (p REFERENCES t DEFERRABLE INITIALLY DEFERRED)");
}

static void tear_down(void)
{
	job_free(job);
	connection_rollback(connection);
	bare_close(&bare);
}

TestSuite(lease, .init = set_up, .fini = tear_down, .timeout = 60);
TestSuite(reset, .init = set_up, .fini = tear_down, .timeout = 60);

static void take(struct job *next)
{
	job_free(job);
	job = next;
}

/* A request without a text. */
static void take_bare(enum poolite__method method)
{
	take(job_create("", 0, &bare.budget));
	job->request.msgid = 7;
	job->request.method = method;
}

static void begin_on(struct connection *on, bool is_read)
{
	take_bare(POOLITE__BEGIN);
	job->request.options.is_read = is_read;
	lease_begin(&bare.database, on, job);
}

static void begin(void)
{
	begin_on(connection, false);
	cr_assert_eq((int)job->failure.code, 0);
	cr_assert(connection_in_transaction(connection));
}

static void update(const char *sql)
{
	take(bare_statement(&bare, POOLITE__UPDATE, sql));
	lease_run(&bare.database, connection, job, true);
}

static void end_by(enum poolite__method method)
{
	take_bare(method);
	lease_run(&bare.database, connection, job, true);
	cr_expect(job->has_ended);
	cr_expect_not(connection_in_transaction(connection));
}

static void expect_ok(void)
{
	cr_expect_eq((int)job->failure.code, 0, "%s", job->failure.message);
	cr_expect_gt(job->answer.len, 0);
}

static void expect_failed(enum poolite_code code)
{
	cr_expect_eq((int)job->failure.code, (int)code, "%d: %s", (int)job->failure.code,
	    job->failure.message);
	cr_expect_eq(job->answer.len, 0, "an error, and an answer beside it");
}

/* ---- begin -------------------------------------------------------------------------- */

Test(lease, begin_to_write_takes_the_lock)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);
	struct poolite__failure failure;

	begin();
	expect_ok();
	cr_expect_not_null(memmem(job->answer.data, job->answer.len, "write", 5));
	cr_expect_eq(connection_begin_write(other, &failure), POOLITE_BUSY);
	database_disconnect(&bare.database, other);
}

Test(lease, begin_to_read_takes_its_snapshot_before_it_answers)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	begin_on(reader, true);
	expect_ok();
	cr_expect_not_null(memmem(job->answer.data, job->answer.len, "read", 4));
	bare_sql(connection, "INSERT INTO t VALUES (1)");
	cr_expect_eq(bare_rows(reader, "t"), 0);
	connection_rollback(reader);
	cr_expect_eq(bare_rows(reader, "t"), 1);
	database_disconnect(&bare.database, reader);
}

Test(lease, begin_that_fails_has_no_answer)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);
	struct poolite__failure failure;

	cr_assert_eq(connection_begin_write(other, &failure), 0);
	begin_on(connection, false);
	expect_failed(POOLITE_BUSY);
	cr_expect_not(connection_in_transaction(connection));
	connection_rollback(other);
	database_disconnect(&bare.database, other);
}

Test(lease, late_begin_does_not_begin)
{
	take_bare(POOLITE__BEGIN);
	job->wait_until_ns = clock_now(&bare.clock);
	job->received_ns = clock_now(&bare.clock);
	lease_begin(&bare.database, connection, job);
	expect_failed(POOLITE_POOL_TIMEOUT);
	cr_expect_not(connection_in_transaction(connection));
}

Test(lease, begins_without_the_counters_of_another)
{
	bare_sql(connection, "INSERT INTO t VALUES (42)");
	cr_expect_eq(sqlite3_last_insert_rowid(connection->db), 42);
	begin();
	cr_expect_eq(sqlite3_last_insert_rowid(connection->db), 0);
}

/* ---- statements ---------------------------------------------------------------------- */

Test(lease, statement_that_fails_did_nothing_and_it_goes_on)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	expect_ok();
	cr_expect_not(job->has_ended);
	update("INSERT OR FAIL INTO t VALUES (2), (3), (1)");
	expect_failed(POOLITE_CONSTRAINT);
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 1);
	update("INSERT INTO t VALUES (4)");
	expect_ok();
	end_by(POOLITE__COMMIT);
	expect_ok();
	cr_expect_eq(bare_rows(connection, "t"), 2);
}

Test(lease, each_statement_s_savepoint_is_gone_behind_it)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	update("INSERT INTO t VALUES (1)");
	cr_expect_neq(sqlite3_exec(connection->db, "RELEASE poolite", NULL, NULL, NULL),
	    SQLITE_OK, "one is left");
}

/* As the members of a group that is torn down do. */
Test(lease, request_that_runs_again_is_judged_anew)
{
	size_t answer_len;

	begin();
	update("INSERT INTO t VALUES (1)");
	answer_len = job->answer.len;
	update("INSERT INTO t VALUES (1)");
	expect_failed(POOLITE_CONSTRAINT);
	bare_sql(connection, "DELETE FROM t");
	lease_run(&bare.database, connection, job, true);
	expect_ok();
	cr_expect_eq(job->answer.len, answer_len);
	bare_sql(connection, "DELETE FROM t");
	lease_run(&bare.database, connection, job, true);
	expect_ok();
	cr_expect_eq(job->answer.len, answer_len, "two answers");
}

Test(lease, statement_that_tears_it_down_ends_it)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	update("INSERT OR ROLLBACK INTO t VALUES (1)");
	expect_failed(POOLITE_CONSTRAINT);
	cr_expect(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, script_without_foreign_keys_does_not_run_inside)
{
	struct poolite__options options = {.foreign_keys_off = true};
	struct poolite__buf message;

	begin();
	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_script(&message, 7, "INSERT INTO t VALUES (1)", 24, &options);
	take(bare_job(&bare, &message));
	lease_run(&bare.database, connection, job, true);
	expect_failed(POOLITE_BAD_REQUEST);
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, batch_in_chunks_does_not_run_inside)
{
	begin();
	take(bare_statement(&bare, POOLITE__UPDATE, "INSERT INTO t VALUES (1)"));
	job->request.options.chunk_rows = 1;
	lease_run(&bare.database, connection, job, true);
	expect_failed(POOLITE_BAD_REQUEST);
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, one_on_a_reader_may_not_write)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	begin_on(reader, true);
	take(bare_statement(&bare, POOLITE__UPDATE, "INSERT INTO t VALUES (1)"));
	lease_run(&bare.database, reader, job, false);
	expect_failed(POOLITE_READ_ONLY);
	cr_expect_not(job->has_ended);
	take(bare_statement(&bare, POOLITE__QUERY, "SELECT * FROM t"));
	lease_run(&bare.database, reader, job, false);
	expect_ok();
	database_disconnect(&bare.database, reader);
}

Test(lease, who_may_only_read_does_not_write_on_the_writer_either)
{
	begin();
	take(bare_statement(&bare, POOLITE__UPDATE, "INSERT INTO t VALUES (1)"));
	job->read_only = true;
	lease_run(&bare.database, connection, job, true);
	expect_failed(POOLITE_READ_ONLY);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, statement_that_cannot_be_released_is_undone)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	bare_failing_release = 1;
	update("INSERT INTO t VALUES (2)");
	expect_failed(POOLITE_OVERLOADED);
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 1);
}

Test(lease, statement_that_cannot_be_undone_ends_it)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	bare_failing_undo = 1;
	update("INSERT INTO t VALUES (1)");
	expect_failed(POOLITE_CONSTRAINT);
	cr_expect(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, statement_without_a_savepoint_is_not_run)
{
	begin();
	bare_failing_savepoint = 1;
	update("INSERT INTO t VALUES (1)");
	expect_failed(POOLITE_OVERLOADED);
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

/* ---- several statements in one request -------------------------------------------------- */

static void transaction_of(const char *first, const char *second)
{
	take(bare_transaction(&bare, first, second));
	lease_run(&bare.database, connection, job, true);
}

static void script_of(const char *text)
{
	struct poolite__options options = {0};
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_script(&message, 7, text, strlen(text), &options);
	take(bare_job(&bare, &message));
	lease_run(&bare.database, connection, job, true);
}

/* Neither savepoint nor transaction is more or less than after begin and one row. */
static void expect_only_the_first_row(void)
{
	cr_expect_not(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 1);
	cr_expect_neq(sqlite3_exec(connection->db, "RELEASE poolite", NULL, NULL, NULL),
	    SQLITE_OK, "a savepoint is left");
}

Test(lease, several_statements_are_undone_together)
{
	begin();
	transaction_of("INSERT INTO t VALUES (1)", "DELETE FROM t WHERE id = 99");
	expect_ok();
	expect_only_the_first_row();
	transaction_of("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (1)");
	expect_failed(POOLITE_CONSTRAINT);
	expect_only_the_first_row();
	script_of("INSERT INTO t VALUES (2); INSERT INTO t VALUES (1)");
	expect_failed(POOLITE_CONSTRAINT);
	expect_only_the_first_row();
}

/* The route that its text takes from now on depends on it. */
Test(lease, several_statements_write_when_one_of_them_does)
{
	begin();
	transaction_of("SELECT 1", "SELECT 2");
	cr_expect_not(job->is_write);
	transaction_of("INSERT INTO t VALUES (1)", "SELECT 2");
	cr_expect(job->is_write);
	transaction_of("SELECT 1", "INSERT INTO t VALUES (2)");
	cr_expect(job->is_write);
}

Test(lease, several_statements_do_not_run_without_their_savepoint)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	bare_failing_savepoint = 1;
	transaction_of("INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (3)");
	expect_failed(POOLITE_OVERLOADED);
	expect_only_the_first_row();
	bare_failing_savepoint = 1;
	script_of("INSERT INTO t VALUES (2)");
	expect_failed(POOLITE_OVERLOADED);
	expect_only_the_first_row();
}

/* ---- its end --------------------------------------------------------------------------- */

Test(lease, commit_keeps_it_and_counts)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	end_by(POOLITE__COMMIT);
	expect_ok();
	cr_expect_eq(bare.database.commit_seq, 1);
	cr_expect_eq(bare_rows(connection, "t"), 1);
}

Test(lease, commit_on_a_reader_is_none_of_the_writer_s)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	begin_on(reader, true);
	take_bare(POOLITE__COMMIT);
	lease_run(&bare.database, reader, job, false);
	expect_ok();
	cr_expect(job->has_ended);
	cr_expect_eq(bare.database.commit_seq, 0);
	database_disconnect(&bare.database, reader);
}

Test(lease, commit_that_was_cancelled_while_it_waited_is_a_rollback)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	take_bare(POOLITE__COMMIT);
	atomic_store(&job->stop.reason, POOLITE_CANCELLED);
	lease_run(&bare.database, connection, job, true);
	expect_failed(POOLITE_CANCELLED);
	cr_expect_not_null(strstr(job->failure.message, "rolled back"));
	cr_expect(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, commit_that_fails_is_a_rollback)
{
	begin();
	update("INSERT INTO late VALUES (9)");
	expect_ok();
	end_by(POOLITE__COMMIT);
	expect_failed(POOLITE_CONSTRAINT);
	cr_expect_eq(bare.database.commit_seq, 0);
	cr_expect_eq(bare_rows(connection, "late"), 0);
}

Test(lease, rollback_undoes_it)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	end_by(POOLITE__ROLLBACK);
	expect_ok();
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(lease, rollback_that_nobody_asked_for_has_no_answer)
{
	begin();
	update("INSERT INTO t VALUES (1)");
	take_bare(POOLITE__QUERY);
	job->kind = JOB_ROLLBACK;
	lease_run(&bare.database, connection, job, true);
	cr_expect(job->has_ended);
	cr_expect_eq(job->answer.len, 0);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

/* ---- cursors ------------------------------------------------------------------------------ */

static void open_pages(struct connection *on, const char *sql)
{
	take(bare_statement(&bare, POOLITE__QUERY, sql));
	job->cursor = 5;
	job->request.options.page_rows = 1;
	lease_page(&bare.database, on, job);
}

static void three_rows(void)
{
	bare_sql(connection, "INSERT INTO t VALUES (1), (2), (3)");
}

static void turn_page(struct connection *on, enum poolite__method method)
{
	take_bare(method);
	job->cursor = job->request.cursor = 5;
	job->request.options.page_rows = 1;
	lease_page(&bare.database, on, job);
}

Test(lease, cursor_lasts_until_its_last_page)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	three_rows();
	open_pages(reader, "SELECT id FROM t");
	expect_ok();
	cr_expect_not(job->has_ended);
	cr_expect_not(job->needs_writer);
	cr_expect_not(connection_is_clean(reader));
	turn_page(reader, POOLITE__FETCH);
	expect_ok();
	cr_expect_not(job->has_ended);
	turn_page(reader, POOLITE__FETCH);
	expect_ok();
	cr_expect(job->has_ended);
	cr_expect(connection_is_clean(reader));
	database_disconnect(&bare.database, reader);
}

Test(lease, cursor_may_be_closed_before_its_last_page)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	three_rows();
	open_pages(reader, "SELECT id FROM t");
	turn_page(reader, POOLITE__CLOSE);
	expect_ok();
	cr_expect(job->has_ended);
	turn_page(reader, POOLITE__CLOSE);
	expect_failed(POOLITE_BAD_REQUEST);
	database_disconnect(&bare.database, reader);
}

Test(lease, late_cursor_is_not_opened_and_its_later_pages_are_not_late)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	three_rows();
	take(bare_statement(&bare, POOLITE__QUERY, "SELECT id FROM t"));
	job->cursor = 5;
	job->request.options.page_rows = 1;
	job->wait_until_ns = clock_now(&bare.clock);
	lease_page(&bare.database, reader, job);
	expect_failed(POOLITE_POOL_TIMEOUT);
	cr_expect(job->has_ended);
	open_pages(reader, "SELECT id FROM t");
	take_bare(POOLITE__FETCH);
	job->cursor = job->request.cursor = 5;
	job->wait_until_ns = clock_now(&bare.clock);
	lease_page(&bare.database, reader, job);
	expect_ok();
	turn_page(reader, POOLITE__CLOSE);
	database_disconnect(&bare.database, reader);
}

Test(lease, cursor_s_text_that_writes_goes_to_the_writer)
{
	struct connection *reader = bare_connect(&bare, CONNECTION_READER);

	open_pages(reader, "INSERT INTO t VALUES (1) RETURNING id");
	cr_expect(job->needs_writer);
	cr_expect(job->has_ended);
	cr_expect_eq(bare_rows(connection, "t"), 0);
	database_disconnect(&bare.database, reader);
}

/* A cursor inside the transaction that is open. */
static void open_pages_inside(void)
{
	take(bare_statement(&bare, POOLITE__QUERY, "SELECT id FROM t"));
	job->cursor = 5;
	job->request.options.page_rows = 1;
	lease_run(&bare.database, connection, job, true);
	expect_ok();
	cr_expect_not(job->has_ended);
	cr_expect(connection_has_pages(connection));
}

Test(lease, cursors_inside_end_with_it)
{
	three_rows();
	for (int way = 0; way < 3; way++) {
		begin();
		open_pages_inside();
		if (way == 0)
			end_by(POOLITE__COMMIT);
		else if (way == 1)
			end_by(POOLITE__ROLLBACK);
		else
			update("INSERT OR ROLLBACK INTO t VALUES (1)");
		cr_expect_not(connection_has_pages(connection), "way %d", way);
		cr_expect(connection_is_clean(connection), "way %d", way);
	}
}

/* ---- what a connection may leave behind -------------------------------------------------------- */

/* As no client can: past the guard. */
static void do_freely(const char *sql)
{
	connection->guard.is_own = true;
	cr_assert_eq(sqlite3_exec(connection->db, sql, NULL, NULL, NULL), SQLITE_OK,
	    "%s: %s", sql, sqlite3_errmsg(connection->db));
	connection->guard.is_own = false;
}

Test(reset, clean_is_without_transaction_temp_schema_and_attached_files)
{
	cr_expect(connection_is_clean(connection));
	do_freely("BEGIN");
	cr_expect_not(connection_is_clean(connection));
	do_freely("ROLLBACK");
	cr_expect(connection_is_clean(connection));
	do_freely("CREATE TEMP TABLE left_behind (x)");
	cr_expect_not(connection_is_clean(connection));
	do_freely("DROP TABLE left_behind");
	cr_expect(connection_is_clean(connection));
	sqlite3_limit(connection->db, SQLITE_LIMIT_ATTACHED, 1);
	do_freely("ATTACH ':memory:' AS left_behind");
	cr_expect_not(connection_is_clean(connection));
	do_freely("DETACH left_behind");
}

Test(reset, statement_of_the_cache_comes_back_without_its_arguments)
{
	struct statement statement = {0};
	static const char sql[] = "SELECT ?1";
	sqlite3_stmt *stmt;
	size_t cached = connection->cache.count;

	cr_assert_eq(
	    sqlite3_prepare_v2(connection->db, sql, -1, &statement.stmt, NULL), 0);
	stmt = statement.stmt;
	statement_cache_add(&connection->cache, sql, strlen(sql), &statement);
	cr_assert_not_null(statement.entry);
	sqlite3_bind_int(stmt, 1, 42);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	statement_done(&statement);
	cr_expect_null(statement.stmt);
	cr_assert(statement_cache_find(&connection->cache, sql, strlen(sql), &statement));
	cr_expect_eq(statement.stmt, stmt);
	cr_expect_not(sqlite3_stmt_busy(stmt));
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	cr_expect_eq(sqlite3_column_type(stmt, 0), SQLITE_NULL);
	/* Detached it is its holder's alone. */
	statement_cache_detach(&connection->cache, &statement);
	cr_expect_null(statement.entry);
	cr_expect_eq(connection->cache.count, cached);
	statement_cache_detach(&connection->cache, &statement);
	statement_done(&statement);
	cr_expect_not(
	    statement_cache_find(&connection->cache, sql, strlen(sql), &statement));
}

Test(reset, own_statement_is_not_left_half_stepped)
{
	struct poolite__failure failure;

	cr_expect_eq(connection_own_number(connection, OWN_SNAPSHOT, &failure), 1);
	cr_expect_not(sqlite3_stmt_busy(connection->own[OWN_SNAPSHOT]));
	cr_expect_not(connection->guard.is_own);
	cr_expect_eq(connection_run_own(connection, OWN_SNAPSHOT), SQLITE_OK);
	cr_expect_not(sqlite3_stmt_busy(connection->own[OWN_SNAPSHOT]));
	cr_expect_not(connection->guard.is_own);
	cr_expect_eq(connection_own_number(connection, OWN_TEMP_SCHEMA, &failure), 0);
	/* With a savepoint that is not there it fails, and says with what. */
	cr_expect_eq(connection_run_own(connection, OWN_RELEASE), SQLITE_ERROR);
	cr_expect_eq(connection_release(connection, &failure), POOLITE_SQL_ERROR);
	cr_expect_eq(failure.sqlite, SQLITE_ERROR);
	cr_expect_not(connection->guard.is_own);
}

/* From now on one of the broker's own statements is ${sql}. */
static void replace_own(enum own_statement which, const char *sql)
{
	sqlite3_finalize(connection->own[which]);
	connection->guard.is_own = true;
	cr_assert_eq(
	    sqlite3_prepare_v2(connection->db, sql, -1, &connection->own[which], NULL),
	    SQLITE_OK);
	connection->guard.is_own = false;
}

Test(reset, own_statement_fails_for_its_own_reason)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);
	struct poolite__failure failure;

	bare_sql(connection, "CREATE TABLE parent (x)");
	bare_sql(connection, "CREATE TABLE mismatch (p REFERENCES parent (x))");
	bare_sql(connection, "INSERT INTO parent VALUES (1)");
	cr_assert(connection_set_foreign_keys(connection, false));
	bare_sql(connection, "INSERT INTO mismatch VALUES (1)");
	cr_assert_eq(connection_begin_write(other, &failure), 0);
	update("BEGIN");
	expect_failed(POOLITE_NOT_ALLOWED);
	cr_expect_eq(connection_begin_write(connection, &failure), POOLITE_BUSY);
	connection_rollback(other);
	update("BEGIN");
	expect_failed(POOLITE_NOT_ALLOWED);
	cr_expect_eq(connection_foreign_key_violations(connection, &failure), -1);
	cr_expect_eq((int)failure.code, (int)POOLITE_SQL_ERROR, "%s", failure.message);
	database_disconnect(&bare.database, other);
}

Test(reset, commit_that_fails_leaves_nothing_for_an_interrupt)
{
	struct poolite__failure failure;

	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	bare_sql(connection, "INSERT INTO late VALUES (9)");
	cr_expect_eq(connection_commit(connection, &failure), POOLITE_CONSTRAINT);
	cr_expect_not(sqlite3_stmt_busy(connection->own[OWN_COMMIT]));
	sqlite3_interrupt(connection->db);
	bare_sql(connection, "INSERT INTO t VALUES (1)");
}

Test(reset, begin_without_its_snapshot_begins_nothing)
{
	struct poolite__failure failure;

	replace_own(OWN_SNAPSHOT, "SELECT abs(-9223372036854775807 - 1)");
	cr_expect_eq(connection_begin_read(connection, &failure), POOLITE_SQL_ERROR);
	cr_expect_eq(failure.sqlite, SQLITE_ERROR);
	cr_expect_not(connection_in_transaction(connection));
}

Test(reset, commit_that_failed_and_left_no_transaction_is_unknown)
{
	struct poolite__failure failure;

	bare_sql(connection, "INSERT INTO t VALUES (1)");
	replace_own(OWN_COMMIT, "INSERT OR ROLLBACK INTO t VALUES (1)");
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_expect_eq(connection_commit(connection, &failure), POOLITE_OUTCOME_UNKNOWN);
	cr_expect(failure.is_unknown);
	cr_expect_eq(failure.sqlite, SQLITE_CONSTRAINT_PRIMARYKEY, "%d", failure.sqlite);
}

/* nomem(): lack of memory, ${fails_left} times; then what ROLLBACK does. */
static unsigned fails_left;

static void run_out_of_memory(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	(void)values;
	if (fails_left > 0) {
		fails_left--;
		sqlite3_result_error_nomem(context);
	} else {
		do_freely("ROLLBACK");
	}
}

static void fail_rollbacks(unsigned count)
{
	sqlite3_create_function(
	    connection->db, "nomem", 0, SQLITE_UTF8, NULL, run_out_of_memory, NULL, NULL);
	replace_own(OWN_ROLLBACK, "SELECT nomem()");
	fails_left = count;
	begin();
	update("CREATE TABLE made (x)");
	expect_ok();
}

Test(reset, rollback_without_memory_is_tried_again)
{
	fail_rollbacks(2);
	connection_rollback(connection);
	cr_expect_eq(fails_left, 0);
	cr_expect_not(connection_in_transaction(connection));
	cr_expect_eq(bare.database.schema_seq % 2, 0, "is it changed still?");
}

/* What it holds open nobody could end; a restart recovers. */
Test(reset, rollback_that_never_has_memory_ends_the_program, .exit_code = EXIT_FAILURE)
{
	fail_rollbacks(UINT_MAX);
	connection_rollback(connection);
	_exit(EXIT_SUCCESS);
}

Test(reset, rollback_that_fails_for_no_reason_is_our_own_bug, .signal = SIGABRT)
{
	begin();
	replace_own(OWN_ROLLBACK, "SELECT abs(-9223372036854775807 - 1)");
	connection_rollback(connection);
	_exit(EXIT_SUCCESS);
}

/* Else the loop would go on with statements of the old one, or none at all. */
Test(reset, schema_is_told_to_change_until_its_transaction_ends)
{
	uint64_t before;

	begin(); /* what was made before had no transaction, and no end */
	end_by(POOLITE__ROLLBACK);
	before = bare.database.schema_seq;
	cr_expect_eq(before % 2, 0);
	begin();
	update("CREATE TABLE made (x)");
	expect_ok();
	cr_expect_eq(bare.database.schema_seq, before + 1);
	end_by(POOLITE__COMMIT);
	cr_expect_eq(bare.database.schema_seq, before + 2);
	begin();
	update("DROP TABLE made");
	cr_expect_eq(bare.database.schema_seq, before + 3);
	end_by(POOLITE__ROLLBACK);
	cr_expect_eq(bare.database.schema_seq, before + 4);
	begin();
	update("INSERT INTO t VALUES (1)");
	end_by(POOLITE__COMMIT);
	cr_expect_eq(bare.database.schema_seq, before + 4, "nothing of it changed");
}

/* A ROLLBACK that changes the schema back has to be compiled again; so has the next BEGIN. */
Test(reset, own_statements_are_compiled_again_past_the_guard)
{
	struct poolite__failure failure;

	begin();
	update("CREATE TABLE made (x)");
	end_by(POOLITE__ROLLBACK);
	cr_expect_eq(connection_begin_write(connection, &failure), 0);
	cr_expect_eq(connection_savepoint(connection, &failure), 0);
	cr_expect_eq(connection_release(connection, &failure), 0);
	cr_expect_eq(connection_commit(connection, &failure), 0);
}

Test(reset, undo_ends_its_savepoint)
{
	struct poolite__failure failure;

	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(connection_savepoint(connection, &failure), 0);
	bare_sql(connection, "INSERT INTO t VALUES (1)");
	cr_expect_eq(connection_undo(connection, &failure), 0);
	cr_expect_eq(bare_rows(connection, "t"), 0);
	cr_expect_neq(connection_release(connection, &failure), 0, "it is still there");
	cr_expect_neq(connection_undo(connection, &failure), 0);
}

Test(reset, deferred_violation_is_seen_before_the_release)
{
	struct poolite__failure failure;

	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_expect_eq(connection_check_deferred(connection, &failure), 0);
	bare_sql(connection, "INSERT INTO late VALUES (9)");
	cr_expect_eq(connection_check_deferred(connection, &failure), POOLITE_CONSTRAINT);
	cr_expect_eq(failure.sqlite, SQLITE_CONSTRAINT_FOREIGNKEY);
	bare_sql(connection, "INSERT INTO t VALUES (9)");
	cr_expect_eq(connection_check_deferred(connection, &failure), 0);
}

Test(reset, keys_are_enforced_as_they_were_switched_last)
{
	cr_expect(connection_set_foreign_keys(connection, false));
	bare_sql(connection, "INSERT INTO child VALUES (9)");
	cr_expect(connection_set_foreign_keys(connection, true));
	update("INSERT INTO child VALUES (9)");
	expect_failed(POOLITE_CONSTRAINT);
}

/* ---- interrupts ---------------------------------------------------------------------------------- */

Test(reset, only_what_is_due_is_interrupted_and_only_while_it_is_watched)
{
	struct stop stop = {.deadline_ns = CLOCK_NEVER};

	connection_nudge(connection);
	cr_expect_not(connection->was_interrupted);
	connection_watch(connection, &stop);
	cr_expect_eq(connection_stop_reason(connection), 0);
	connection_nudge(connection);
	cr_expect_not(connection->was_interrupted);
	atomic_store(&stop.reason, POOLITE_CANCELLED);
	cr_expect_eq(connection_stop_reason(connection), POOLITE_CANCELLED);
	connection_nudge(connection);
	cr_expect(connection->was_interrupted);
	connection_unwatch(connection);
	cr_expect_eq(connection_stop_reason(connection), 0);
	connection->was_interrupted = false;
	connection_nudge(connection);
	cr_expect_not(connection->was_interrupted);
	connection_watch(connection, &stop);
	connection->was_interrupted = true;
	connection_watch(connection, &stop);
	cr_expect_not(connection->was_interrupted, "it was of the one before");
	connection_unwatch(connection);
}

Test(reset, nudge_reaches_sqlite_itself)
{
	struct stop stop = {.deadline_ns = CLOCK_NEVER};
	sqlite3_stmt *stmt;

	three_rows();
	cr_assert_eq(
	    sqlite3_prepare_v2(connection->db, "SELECT id FROM t", -1, &stmt, NULL), 0);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	connection_watch(connection, &stop);
	connection_nudge(connection);
	cr_expect_eq(sqlite3_step(stmt), SQLITE_ROW);
	atomic_store(&stop.reason, POOLITE_CANCELLED);
	connection_nudge(connection);
	cr_expect_eq(sqlite3_step(stmt), SQLITE_INTERRUPT);
	sqlite3_finalize(stmt);
	connection_unwatch(connection);
}

Test(reset, begin_inside_a_transaction_fails)
{
	struct poolite__failure failure;

	cr_expect_eq(connection_begin_read(connection, &failure), 0);
	cr_expect_eq(connection_begin_read(connection, &failure), POOLITE_SQL_ERROR);
	cr_expect_eq(connection_begin_write(connection, &failure), POOLITE_SQL_ERROR);
	cr_expect(connection_in_transaction(connection), "that was not its to end");
}

/* What the next fetch of the cursor says. */
static enum poolite_code fetch_code(void)
{
	take_bare(POOLITE__FETCH);
	job->cursor = job->request.cursor = 5;
	lease_run(&bare.database, connection, job, true);
	return job->failure.code;
}

Test(reset, interrupt_fails_the_cursors_and_nothing_that_follows)
{
	struct stop stop = {.deadline_ns = CLOCK_NEVER};

	three_rows();
	begin();
	open_pages_inside();
	connection_watch(connection, &stop);
	connection_unwatch(connection);
	cr_expect_eq((int)fetch_code(), 0, "nothing was interrupted");
	open_pages_inside();
	connection_watch(connection, &stop);
	atomic_store(&stop.reason, POOLITE_CANCELLED);
	connection_nudge(connection);
	connection_unwatch(connection);
	update("INSERT INTO t VALUES (4)");
	expect_ok();
	cr_expect_eq((int)fetch_code(), (int)POOLITE_CANCELLED);
	cr_expect_eq(job->failure.sqlite, SQLITE_INTERRUPT);
}
