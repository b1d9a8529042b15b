/* Queries in pages on one connection: where a page ends, and what ends them all. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/db/pages.h"

#define COUNT_TO(n)                                                                      \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < " #n   \
	") SELECT i FROM n"

static char folder[64];
static char path[96];
static struct clock timer;
static struct connection *connection; /* the writer's */
static struct poolite__failure failure;
static struct poolite__buf out;
static struct poolite__result result; /* of the last page */
static bool is_write;

static int finish(int rc)
{
	struct poolite__reader reader = poolite__reader_over(out.data, out.len);

	result = (struct poolite__result){0};
	if (rc == 0)
		cr_assert_eq(poolite__read_result(&reader, &result), 0);
	return rc;
}

static int open_with(
    uint64_t number, uint32_t rows, const char *sql, struct poolite__args args)
{
	struct execution execution = {.sql = sql,
	    .sql_len = strlen(sql),
	    .args = args,
	    .where = EXECUTE_SESSION,
	    .result = EXECUTE_ROWS,
	    .can_write = true};
	int rc;

	poolite__buf_truncate(&out, 0);
	rc = pages_open(connection, number, rows, &execution, &out, &failure);
	is_write = execution.is_write;
	return finish(rc);
}

static int open_pages(uint64_t number, uint32_t rows, const char *sql)
{
	return open_with(number, rows, sql, (struct poolite__args){0});
}

static int fetch(uint64_t number, uint32_t rows)
{
	poolite__buf_truncate(&out, 0);
	return finish(pages_fetch(connection, number, rows, &out, &failure));
}

static void expect_page(uint32_t rows, uint64_t cursor)
{
	cr_assert_eq(result.rows_count, rows, "%u rows", result.rows_count);
	cr_assert_eq(result.cursor, cursor);
}

static void execute(const char *sql)
{
	cr_assert_eq(open_pages(999, 1, sql), 0, "%s", failure.message);
}

static void set_up(void)
{
	struct connection_options options = {.path = path,
	    .role = CONNECTION_WRITER,
	    .synchronous = 1,
	    .cache_bytes = 1 << 20,
	    .value_bytes_max = 16 << 20,
	    .clock = &timer};
	FILE *file;

	strcpy(folder, "/tmp/poolite-pages-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/db", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fclose(file);
	clock_init(&timer);
	poolite__buf_init(&out, 8 << 20, NULL);
	cr_assert_eq(
	    connection_open(&options, &connection, &failure), 0, "%s", failure.message);
	execute("CREATE TABLE t (x)");
	execute("INSERT INTO t VALUES (1), (2), (3), (4), (5)");
}

static void tear_down(void)
{
	char command[96];

	connection_close(connection);
	poolite__buf_release(&out);
	snprintf(command, sizeof command, "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(pages, .init = set_up, .fini = tear_down);

/* ---- where a page ends --------------------------------------------------------- */

Test(pages, hold_as_many_rows_as_were_asked_for)
{
	cr_assert_eq(open_pages(7, 2, "SELECT x FROM t"), 0);
	expect_page(2, 7);
	cr_assert_eq(fetch(7, 0), 0);
	expect_page(2, 7);
	cr_assert_eq(fetch(7, 0), 0);
	expect_page(1, 0);
	cr_assert_not(connection_has_pages(connection));
	cr_assert_eq(fetch(7, 0), POOLITE_BAD_REQUEST);
	cr_assert_not_null(strstr(failure.message, "no cursor 7"));
}

Test(pages, leave_nothing_open_when_one_held_all)
{
	cr_assert_eq(open_pages(1, 5, "SELECT x FROM t"), 0);
	expect_page(5, 0);
	cr_assert_not(connection_has_pages(connection));
	cr_assert_eq(open_pages(2, 5, "SELECT x FROM t WHERE x > 9"), 0);
	expect_page(0, 0);
	cr_assert_eq(result.columns_count, 1);
	cr_assert_not(connection_has_pages(connection));
}

Test(pages, have_another_size_for_one_fetch)
{
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(fetch(1, 3), 0);
	expect_page(3, 1);
	cr_assert_eq(fetch(1, 0), 0);
	expect_page(1, 0);
}

Test(pages, end_when_they_have_their_bytes)
{
	cr_assert_eq(open_pages(1, 1000000, "SELECT zeroblob(300000) FROM t"), 0);
	expect_page(4, 1);
	cr_assert_eq(fetch(1, 0), 0);
	expect_page(1, 0);
}

Test(pages, leave_a_row_that_does_not_fit_to_the_next_one)
{
	out.max = 1 << 20;
	cr_assert_eq(open_pages(1, 9,
			 "SELECT zeroblob(x * 200000) FROM t "
			 "WHERE x IN (1, 4, 5) ORDER BY x"),
	    0);
	expect_page(2, 1); /* 200,000 and 800,000 */
	cr_assert_eq(fetch(1, 0), 0);
	expect_page(1, 0);
}

Test(pages, refuse_only_a_row_too_large_by_itself)
{
	out.max = 1 << 20;
	cr_assert_eq(
	    open_pages(1, 9, "SELECT zeroblob(x * 700000) FROM t ORDER BY x LIMIT 2"), 0);
	expect_page(1, 1);
	cr_assert_eq(fetch(1, 0), POOLITE_TOO_LARGE);
	cr_assert_not(connection_has_pages(connection));
}

Test(pages, are_not_made_of_what_writes)
{
	cr_assert_eq(open_pages(1, 2, "UPDATE t SET x = x + 10 RETURNING x"), 0);
	expect_page(5, 0);
	cr_assert(is_write);
	cr_assert_eq(result.changes, 5);
	cr_assert_not(connection_has_pages(connection));
}

Test(pages, keep_their_arguments_when_the_request_s_bytes_are_gone)
{
	struct poolite_value value;
	struct poolite__buf sent;
	struct poolite__reader reader;
	struct poolite__args args;
	const char *text;
	uint32_t columns;
	msgpack_packer packer;

	poolite__buf_init(&sent, 100, NULL);
	poolite__packer_init(&packer, &sent);
	msgpack_pack_array(&packer, 1);
	poolite__pack_cstr(&packer, "the very text");
	reader = poolite__reader_over(sent.data, sent.len);
	cr_assert_eq(poolite__read_args(&reader, &args, &failure), 0);
	cr_assert_eq(open_with(1, 1, "SELECT ?1 FROM t", args), 0, "%s", failure.message);
	memset(sent.data, 'X', sent.len);
	poolite__buf_release(&sent);
	cr_assert_eq(fetch(1, 1), 0);
	cr_assert_eq(poolite__read_array(&result.rows, &columns), 0);
	cr_assert_eq(poolite__read_value(&result.rows, false, &value, NULL), 0);
	text = value.as.data;
	cr_assert_eq(value.len, strlen("the very text"));
	cr_assert_eq(memcmp(text, "the very text", value.len), 0);
}

/* ---- several, and their end -------------------------------------------------------- */

Test(pages, of_one_text_may_be_open_twice)
{
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(open_pages(2, 3, "SELECT x FROM t"), 0);
	cr_assert_eq(fetch(1, 9), 0);
	expect_page(4, 0);
	cr_assert_eq(fetch(2, 9), 0);
	expect_page(2, 0);
}

Test(pages, may_be_closed_early)
{
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(open_pages(2, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(pages_close(connection, 1, &failure), 0);
	cr_assert_eq(pages_close(connection, 1, &failure), POOLITE_BAD_REQUEST);
	cr_assert_eq(fetch(2, 9), 0);
	expect_page(4, 0);
}

Test(pages, are_open_up_to_a_number)
{
	for (uint64_t number = 1; number <= PAGES_MAX; number++)
		cr_assert_eq(open_pages(number, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(open_pages(100, 1, "SELECT x FROM t"), POOLITE_OVERLOADED);
	cr_assert_eq(pages_close(connection, 30, &failure), 0);
	cr_assert_eq(open_pages(100, 1, "SELECT x FROM t"), 0);
}

Test(pages, end_with_their_transaction)
{
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(connection_commit(connection, &failure), 0);
	cr_assert_eq(fetch(1, 1), POOLITE_BAD_REQUEST);
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(open_pages(2, 1, "SELECT x FROM t"), 0);
	connection_rollback(connection);
	cr_assert_eq(fetch(2, 1), POOLITE_BAD_REQUEST);
	cr_assert(connection_is_clean(connection));
}

Test(pages, survive_a_savepoint_that_is_kept_or_undone)
{
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(connection_savepoint(connection, &failure), 0);
	execute("INSERT INTO t VALUES (6)");
	cr_assert_eq(connection_release(connection, &failure), 0);
	cr_assert_eq(fetch(1, 1), 0);
	expect_page(1, 1);
	cr_assert_eq(connection_savepoint(connection, &failure), 0);
	execute("INSERT INTO t VALUES (7)");
	cr_assert_eq(connection_undo(connection, &failure), 0);
	cr_assert_eq(fetch(1, 9), 0);
	expect_page(4, 0); /* 3 to 6 */
	connection_rollback(connection);
}

Test(pages, end_when_a_change_of_the_schema_is_undone)
{
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(connection_savepoint(connection, &failure), 0);
	execute("CREATE TABLE made (y)");
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(connection_undo(connection, &failure), 0);
	cr_assert_eq(fetch(1, 1), POOLITE_SQL_ERROR);
	cr_assert_eq(failure.sqlite, 516); /* SQLITE_ABORT_ROLLBACK */
	cr_assert_not(connection_has_pages(connection));
	connection_rollback(connection);
}

/* An interrupt that came just after its statement's end is still in force while
 * others are half-stepped: SQLite would answer 9 to all that follows. */
Test(pages, are_reset_after_an_interrupt_before_anything_else_runs)
{
	struct stop stop = {0};

	atomic_init(&stop.deadline_ns, CLOCK_NEVER);
	atomic_init(&stop.reason, POOLITE_CANCELLED);
	cr_assert_eq(connection_begin_write(connection, &failure), 0);
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(open_pages(2, 1, "SELECT x FROM t"), 0);
	connection_watch(connection, &stop);
	connection_nudge(connection);
	connection_unwatch(connection);
	cr_assert_eq(connection_savepoint(connection, &failure), 0);
	execute("INSERT INTO t VALUES (6)");
	cr_assert_eq(connection_undo(connection, &failure), 0);
	for (uint64_t number = 1; number <= 2; number++) {
		cr_assert_eq(fetch(number, 1), POOLITE_CANCELLED);
		cr_assert_eq(failure.sqlite, 9);
		cr_assert_eq(fetch(number, 1), POOLITE_BAD_REQUEST);
	}
	cr_assert_eq(connection_commit(connection, &failure), 0);
}

/* Its client is told of what ended it, and not of what ended a later statement. */
Test(pages, that_failed_keep_their_first_reason)
{
	struct stop stop = {0};

	atomic_init(&stop.deadline_ns, CLOCK_NEVER);
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	atomic_init(&stop.reason, POOLITE_CANCELLED);
	connection_watch(connection, &stop);
	connection_nudge(connection);
	connection_unwatch(connection);
	cr_assert_eq(open_pages(2, 1, "SELECT x FROM t"), 0);
	atomic_init(&stop.reason, POOLITE_QUERY_TIMEOUT);
	connection_watch(connection, &stop);
	connection_nudge(connection);
	connection_unwatch(connection);
	cr_assert_eq(fetch(1, 1), POOLITE_CANCELLED);
	cr_assert_eq(fetch(2, 1), POOLITE_QUERY_TIMEOUT);
}

Test(pages, stop_at_their_deadline)
{
	struct stop stop = {0};

	atomic_init(&stop.deadline_ns, CLOCK_NEVER);
	cr_assert_eq(open_pages(1, 1, COUNT_TO(1000000)), 0);
	cr_assert_eq(open_pages(2, 1, "SELECT x FROM t"), 0);
	atomic_store(&stop.deadline_ns, 1);
	connection_watch(connection, &stop);
	cr_assert_eq(fetch(1, 1000000), POOLITE_QUERY_TIMEOUT);
	connection_unwatch(connection);
	cr_assert_eq(fetch(1, 1), POOLITE_BAD_REQUEST);
	cr_assert_eq(fetch(2, 1), POOLITE_QUERY_TIMEOUT);
	execute("INSERT INTO t VALUES (6)");
}

Test(pages, that_are_open_let_the_connection_be_closed)
{
	cr_assert_eq(open_pages(1, 1, "SELECT x FROM t"), 0);
	cr_assert_eq(open_pages(2, 1, COUNT_TO(1000000)), 0);
}
