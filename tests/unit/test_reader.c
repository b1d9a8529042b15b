/* A reader: its thread and its connection, with jobs handed over as the pool does; no
 * pool, no loop.  What it tells the pool of a job is looked at, and what it leaves on
 * its connection. */
#include <criterion/criterion.h>
#include <string.h>

#include "broker/db/internal.h"
#include "broker/reader.h"
#include "proto/answer.h"
#include "proto/statement.h"
#include "proto/transaction.h"
#include "tests/unit/bare.h"

static struct bare bare;
static struct reader *reader;
static struct job *job; /* the last one */

static void set_up(void)
{
	bare_open(&bare);
	bare_collect_finished();
	reader = reader_start(&bare.database, 1);
	cr_assert_not_null(reader);
}

static void tear_down(void)
{
	job_free(job);
	reader_stop(reader);
	bare_close(&bare);
}

TestSuite(reader_thread, .init = set_up, .fini = tear_down, .timeout = 20);

static void run(struct job *next)
{
	job_free(job);
	job = NULL;
	reader_submit(reader, next);
	job = bare_wait_finished();
	cr_assert_eq(job, next);
	cr_expect_eq(bare.database.gate.reading, 0, "a checkpoint waits for it");
}

static struct job *query(const char *sql)
{
	return bare_statement(&bare, POOLITE__QUERY, sql);
}

/* A request without a text. */
static struct job *request(enum poolite__method method)
{
	struct job *made = job_create("", 0, &bare.budget);

	made->request.msgid = 7;
	made->request.method = method;
	return made;
}

/* The same, between begin and commit. */
static struct job *inside(struct job *made)
{
	made->in_transaction = true;
	return made;
}

static void begin(void)
{
	struct job *made = request(POOLITE__BEGIN);

	made->request.options.is_read = true;
	run(made);
	cr_assert_eq((int)job->failure.code, 0, "%s", job->failure.message);
	cr_expect(connection_in_transaction(reader->connection));
}

static void expect_ok(void)
{
	cr_expect_eq((int)job->failure.code, 0, "%s", job->failure.message);
	cr_expect_gt(job->answer.len, 0);
	cr_expect_not(job->needs_writer);
	cr_expect_not(job->breaks_reader);
}

static void expect_failed(enum poolite_code code)
{
	cr_expect_eq((int)job->failure.code, (int)code, "%d: %s", (int)job->failure.code,
	    job->failure.message);
	cr_expect_eq(job->answer.len, 0, "an error, and an answer beside it");
	cr_expect_not(job->needs_writer);
}

/* The only row of the answer's last result holds ${number} alone. */
static void expect_number(int64_t number)
{
	struct poolite__answer answer;
	struct poolite__result result = {0};
	uint32_t count = 1, columns;
	int64_t found = -1;

	expect_ok();
	cr_assert_eq(poolite__read_answer(job->answer.data, job->answer.len, &answer), 0);
	if (job->request.method == POOLITE__TRANSACTION)
		cr_assert_eq(poolite__read_results(&answer.result, &count), 0);
	while (count-- > 0)
		cr_assert_eq(poolite__read_result(&answer.result, &result), 0);
	cr_assert_eq(result.rows_count, 1);
	cr_assert_eq(poolite__read_array(&result.rows, &columns), 0);
	cr_assert_eq(poolite__read_int64(&result.rows, &found), 0);
	cr_expect_eq(found, number, "%lld", (long long)found);
}

/* ---- plain reads ------------------------------------------------------------------- */

Test(reader_thread, answers_a_query_and_keeps_no_snapshot)
{
	run(query("SELECT count(*) FROM t"));
	expect_number(0);
	cr_expect_not(job->has_ended);
	bare_sql(bare.connection, "INSERT INTO t VALUES (1)");
	run(query("SELECT count(*) FROM t"));
	expect_number(1);
	cr_expect_not(connection_in_transaction(reader->connection));
}

Test(reader_thread, does_not_run_what_is_late)
{
	struct job *late = query("SELECT count(*) FROM t");

	late->wait_until_ns = clock_now(&bare.clock);
	run(late);
	expect_failed(POOLITE_POOL_TIMEOUT);
	cr_expect_eq(job->started_ns, 0);
	late = bare_transaction(&bare, "SELECT 1", "SELECT 2");
	late->wait_until_ns = clock_now(&bare.clock);
	run(late);
	expect_failed(POOLITE_POOL_TIMEOUT);
	cr_expect_not(connection_in_transaction(reader->connection));
}

Test(reader_thread, sends_what_writes_to_the_writer)
{
	run(query("INSERT INTO t VALUES (1) RETURNING id"));
	cr_expect(job->needs_writer);
	cr_expect_not(job->breaks_reader);
	cr_expect_eq((int)job->failure.code, 0);
	run(bare_transaction(&bare, "SELECT 1", "INSERT INTO t VALUES (1)"));
	cr_expect(job->needs_writer);
	cr_expect_not(job->breaks_reader);
	cr_expect_not(connection_in_transaction(reader->connection));
	cr_expect_eq(bare_rows(bare.connection, "t"), 0);
}

Test(reader_thread, error_of_a_text_breaks_nothing)
{
	run(query("SELECT nothing FROM t"));
	expect_failed(POOLITE_SQL_ERROR);
	cr_expect_not(job->breaks_reader);
}

/* lower() in the middle of a request: somebody else commits a row. */
static void commit_a_row(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	(void)values;
	bare_sql(bare.connection, "INSERT INTO t DEFAULT VALUES");
	sqlite3_result_int(context, 0);
}

Test(reader_thread, transaction_of_reads_sees_one_snapshot)
{
	run(query("SELECT 1"));
	sqlite3_create_function(reader->connection->db, "lower", 1, SQLITE_UTF8, NULL,
	    commit_a_row, NULL, NULL);
	run(bare_transaction(&bare, "SELECT lower('')", "SELECT count(*) FROM t"));
	expect_number(0);
	cr_expect_eq(bare_rows(bare.connection, "t"), 1, "was it called?");
	cr_expect_not(connection_in_transaction(reader->connection));
	run(query("SELECT count(*) FROM t"));
	expect_number(1);
}

Test(reader_thread, transaction_without_a_snapshot_does_not_run)
{
	struct poolite__failure failure;

	run(query("SELECT 1"));
	cr_assert_eq(connection_begin_read(reader->connection, &failure), 0);
	run(bare_transaction(&bare, "SELECT 1", "SELECT 2"));
	expect_failed(POOLITE_SQL_ERROR);
	cr_expect_eq(job->started_ns, 0);
	connection_rollback(reader->connection);
}

/* ---- between begin and commit -------------------------------------------------------- */

Test(reader_thread, reads_in_one_snapshot_until_the_commit)
{
	begin();
	expect_ok();
	bare_sql(bare.connection, "INSERT INTO t VALUES (1)");
	run(inside(query("SELECT count(*) FROM t")));
	expect_number(0);
	cr_expect_not(job->has_ended);
	run(inside(bare_transaction(
	    &bare, "SELECT count(*) FROM t", "SELECT count(*) FROM child")));
	expect_number(0);
	cr_expect_not(job->has_ended);
	run(inside(query("INSERT INTO t VALUES (2)")));
	expect_failed(POOLITE_READ_ONLY);
	run(inside(request(POOLITE__COMMIT)));
	expect_ok();
	cr_expect(job->has_ended);
	cr_expect_not(connection_in_transaction(reader->connection));
}

Test(reader_thread, ends_a_transaction_whose_client_is_gone)
{
	struct job *undo;

	begin();
	undo = request(POOLITE__QUERY);
	undo->kind = JOB_ROLLBACK;
	run(undo);
	cr_expect(job->has_ended);
	cr_expect_not(job->breaks_reader);
	cr_expect_not(connection_in_transaction(reader->connection));
}

Test(reader_thread, is_replaced_when_something_is_left_on_it)
{
	static const char leave_behind[] = "CREATE TEMP TABLE left_behind (x)";

	run(query("SELECT 1"));
	reader->connection->guard.is_own = true;
	cr_assert_eq(
	    sqlite3_exec(reader->connection->db, leave_behind, NULL, NULL, NULL), 0);
	reader->connection->guard.is_own = false;
	begin();
	run(inside(query("SELECT count(*) FROM t")));
	expect_ok(); /* who left it may go on */
	run(inside(request(POOLITE__COMMIT)));
	cr_expect_eq((int)job->failure.code, 0);
	cr_expect(job->has_ended);
	cr_expect(job->breaks_reader);
}

/* ---- cursors --------------------------------------------------------------------------- */

static struct job *in_pages(struct job *made)
{
	made->cursor = made->request.cursor = 5;
	made->request.options.page_rows = 1;
	return made;
}

Test(reader_thread, keeps_a_cursor_s_snapshot_until_its_last_page)
{
	bare_sql(bare.connection, "INSERT INTO t VALUES (1), (2)");
	run(in_pages(query("SELECT id FROM t")));
	expect_number(1);
	cr_expect_not(job->has_ended);
	bare_sql(bare.connection, "INSERT INTO t VALUES (3)");
	run(in_pages(request(POOLITE__FETCH)));
	expect_number(2);
	cr_expect(job->has_ended);
	cr_expect(connection_is_clean(reader->connection));
}

Test(reader_thread, cursor_inside_is_closed_and_the_transaction_goes_on)
{
	bare_sql(bare.connection, "INSERT INTO t VALUES (1), (2)");
	begin();
	run(inside(in_pages(query("SELECT id FROM t"))));
	expect_ok();
	run(inside(in_pages(request(POOLITE__CLOSE))));
	expect_ok();
	cr_expect_not(job->has_ended);
	run(inside(request(POOLITE__ROLLBACK)));
	expect_ok();
	cr_expect(job->has_ended);
}

/* ---- health ------------------------------------------------------------------------------- */

static void check(enum poolite_code code, int sqlite)
{
	struct job *made = request(POOLITE__QUERY);

	made->kind = JOB_CHECK;
	poolite__fail(&bare_check_failure, code, "as the test wants it");
	bare_check_failure.sqlite = sqlite;
	run(made);
	cr_expect_eq((int)job->failure.code, (int)code);
	cr_expect_eq(job->started_ns, 0, "nothing but the check is to be run");
}

Test(reader_thread, is_replaced_for_what_a_fresh_connection_may_mend)
{
	run(query("SELECT 1")); /* the connection is open: that asks as well */
	check(POOLITE_STORAGE, SQLITE_IOERR);
	cr_expect(job->breaks_reader);
	check(POOLITE_CORRUPT, SQLITE_CORRUPT);
	cr_expect(job->breaks_reader);
	check(POOLITE_OVERLOADED, SQLITE_NOMEM);
	cr_expect(job->breaks_reader);
	/* The answer's budget was used up: nothing that the connection has to do with. */
	check(POOLITE_OVERLOADED, 0);
	cr_expect_not(job->breaks_reader);
	check(POOLITE_SQL_ERROR, SQLITE_ERROR);
	cr_expect_not(job->breaks_reader);
	check(POOLITE_OK, 0);
	cr_expect_not(job->breaks_reader);
}

Test(reader_thread, without_a_connection_says_why_and_is_replaced)
{
	run(query("SELECT 1"));
	reader_stop(reader);
	poolite__fail(&bare_check_failure, POOLITE_STORAGE, "as the test wants it");
	reader = reader_start(&bare.database, 2);
	cr_assert_not_null(reader);
	run(query("SELECT 1"));
	expect_failed(POOLITE_STORAGE);
	cr_expect(job->breaks_reader);
}
