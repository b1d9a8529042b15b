/* Cursors: results page by page, outside transactions and inside. */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/poolited.h"
#include "tests/support/process.h"

static struct poolited broker;
static struct poolite *db;
static struct poolite_cursor *cursor;
static struct poolite_error error;

/* ${n} rows, from 1 on. */
#define COUNT(n)                                                                         \
	"WITH RECURSIVE c(n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM c WHERE n < " #n \
	") SELECT n FROM c"

static void set_up(void)
{
	poolited_start(&broker);
	client_open(&db, broker.socket, NULL);
	CHECK_OK(poolite_script(db,
		     "CREATE TABLE t(id INTEGER PRIMARY KEY, x);"
		     "INSERT INTO t(x) " COUNT(5000),
		     0, NULL, &error),
	    &error);
}

static void tear_down(void)
{
	poolite_cursor_close(cursor);
	poolite_close(db);
	poolited_end(&broker);
}

TestSuite(client_cursor, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_on(const char *sql, int page_rows)
{
	CHECK_OK(
	    poolite_cursor_open(db, sql, POOLITE_NO_ARGS, page_rows, &cursor, &error),
	    &error);
}

/* Read rows, which have to be ${from}, ${from} + 1 ... ${to}. */
static void expect_rows(struct poolite_cursor *from_cursor, int from, int to)
{
	struct poolite_result *row;

	for (int i = from; i <= to; i++) {
		CHECK(poolite_cursor_next(from_cursor, &row, &error) == 1, "row %d: %s",
		    i, error.message);
		CHECK_EQ(poolite_result_int64(row, 0), i);
	}
}

static void expect_end(void)
{
	struct poolite_result *row = (void *)1;

	for (int i = 0; i < 2; i++) {
		CHECK_OK(poolite_cursor_next(cursor, &row, &error), &error);
		CHECK(!row, "no row behind the last one");
	}
}

static void close_cursor(void)
{
	poolite_cursor_close(cursor);
	cursor = NULL;
}

/* ---- pages --------------------------------------------------------------- */

Test(client_cursor, every_row_comes_once_whatever_the_pages)
{
	static const int pages[] = {0, 1, 7, 999, 5000, 1000000};

	for (size_t i = 0; i < sizeof pages / sizeof *pages; i++) {
		open_on("SELECT id FROM t ORDER BY id", pages[i]);
		expect_rows(cursor, 1, 5000);
		expect_end();
		close_cursor();
	}
}

/* 200 MB of text. */
#define LARGE "SELECT hex(zeroblob(1000)) FROM t a, t b LIMIT 100000"

Test(client_cursor, a_result_too_large_for_one_answer_comes_in_pages)
{
	struct poolite_result *row;

	CHECK_EQ(
	    poolite_query(db, LARGE, POOLITE_NO_ARGS, &row, &error), POOLITE_TOO_LARGE);
	open_on(LARGE, 0);
	for (int i = 0; i < 100000; i++) {
		CHECK_EQ(poolite_cursor_next(cursor, &row, &error), 1);
		CHECK_EQ(poolite_result_bytes(row, 0), 2000);
	}
	expect_end();
}

Test(client_cursor, arguments_and_no_rows)
{
	CHECK_OK(poolite_cursor_open(db, "SELECT id FROM t WHERE id > ?",
		     POOLITE_ARGS(poolite_integer(4998)), 1, &cursor, &error),
	    &error);
	expect_rows(cursor, 4999, 5000);
	expect_end();
	close_cursor();
	open_on("SELECT id FROM t WHERE id > 5000", 0);
	expect_end();
}

Test(client_cursor, all_pages_show_one_state)
{
	open_on("SELECT id FROM t ORDER BY id", 100);
	expect_rows(cursor, 1, 1);
	CHECK_OK(
	    poolite_update(db, "DELETE FROM t", POOLITE_NO_ARGS, NULL, &error), &error);
	expect_rows(cursor, 2, 5000);
	expect_end();
}

Test(client_cursor, what_writes_gives_all_its_rows)
{
	open_on("UPDATE t SET x = 0 WHERE id <= 3000 RETURNING id", 10);
	expect_rows(cursor, 1, 3000);
	expect_end();
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t WHERE x = 0"), 3000);
}

Test(client_cursor, given_up_it_holds_nothing)
{
	/* Four may be open at once; the fifth would wait for one to expire. */
	for (int i = 0; i < 50; i++) {
		open_on("SELECT id FROM t ORDER BY id", 10);
		expect_rows(cursor, 1, 15);
		close_cursor();
	}
}

Test(client_cursor, one_page_holds_nothing_either)
{
	struct poolite_cursor *many[50];

	for (int i = 0; i < 50; i++)
		CHECK_OK(poolite_cursor_open(db, "SELECT id FROM t WHERE id < 10",
			     POOLITE_NO_ARGS, 10, &many[i], &error),
		    &error);
	for (int i = 0; i < 50; i++) {
		expect_rows(many[i], 1, 9);
		poolite_cursor_close(many[i]);
	}
}

Test(client_cursor, it_outlives_its_handle)
{
	open_on("SELECT id FROM t ORDER BY id", 1000);
	poolite_close(db);
	db = NULL;
	expect_rows(cursor, 1, 5000);
	expect_end();
}

/* ---- errors -------------------------------------------------------------- */

/* Read on up to the error, which has to come again and again. */
static void expect_error(enum poolite_code code)
{
	struct poolite_result *row;
	int rc;

	while ((rc = poolite_cursor_next(cursor, &row, &error)) > 0)
		;
	for (int i = 0; i < 2; i++) {
		CHECK_ERROR(rc, &error, code, POOLITE_DONE_NO);
		CHECK(!row, "no row with an error");
		rc = poolite_cursor_next(cursor, &row, &error);
	}
}

#define OVERFLOW                                                                         \
	"SELECT CASE id WHEN 2500 THEN abs(-9223372036854775808) ELSE id END FROM t "    \
	"ORDER BY id"

Test(client_cursor, an_error_in_the_midst_ends_it)
{
	open_on(OVERFLOW, 100);
	expect_rows(cursor, 1, 2300);
	expect_error(POOLITE_SQL_ERROR);
	CHECK_HAS(error.message, "overflow");
	close_cursor();
	CHECK_EQ(poolite_cursor_open(
		     db, "SELECT nothing", POOLITE_NO_ARGS, 0, &cursor, &error),
	    POOLITE_SQL_ERROR);
	CHECK(!cursor, "no cursor");
}

Test(client_cursor, a_lost_broker_ends_it)
{
	open_on("SELECT id FROM t ORDER BY id", 100);
	expect_rows(cursor, 1, 50);
	poolited_kill(&broker);
	expect_error(POOLITE_NO_BROKER);
	poolited_run(&broker);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 5000);
}

/* ---- inside a transaction ------------------------------------------------ */

Test(client_cursor, inside_a_transaction_it_takes_turns_with_other_requests)
{
	struct poolite_tx *tx;

	CHECK_OK(poolite_begin(db, POOLITE_WRITE, &tx, &error), &error);
	CHECK_OK(poolite_tx_update(
		     tx, "DELETE FROM t WHERE id > 4000", POOLITE_NO_ARGS, NULL, &error),
	    &error);
	CHECK_OK(poolite_tx_cursor_open(tx, "SELECT id FROM t ORDER BY id",
		     POOLITE_NO_ARGS, 500, &cursor, &error),
	    &error);
	for (int i = 0; i < 4; i++) {
		expect_rows(cursor, i * 1000 + 1, i * 1000 + 1000);
		CHECK_OK(poolite_tx_update(tx, "UPDATE t SET x = 'seen' WHERE id = ?",
			     POOLITE_ARGS(poolite_integer(i * 1000 + 1)), NULL, &error),
		    &error);
	}
	expect_end();
	close_cursor();
	CHECK_OK(poolite_tx_cursor_open(tx, "SELECT id FROM t ORDER BY id",
		     POOLITE_NO_ARGS, 10, &cursor, &error),
	    &error);
	expect_rows(cursor, 1, 5);
	close_cursor();
	CHECK_OK(
	    poolite_tx_update(tx, "DROP TABLE t", POOLITE_NO_ARGS, NULL, &error), &error);
	CHECK_OK(poolite_tx_rollback(tx, &error), &error);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 5000);
}

Test(client_cursor, inside_a_transaction_an_error_ends_it_and_nothing_else)
{
	struct poolite_tx *tx;

	CHECK_OK(poolite_begin(db, POOLITE_WRITE, &tx, &error), &error);
	CHECK_OK(
	    poolite_tx_cursor_open(tx, OVERFLOW, POOLITE_NO_ARGS, 100, &cursor, &error),
	    &error);
	expect_error(POOLITE_SQL_ERROR);
	CHECK_HAS(error.message, "overflow");
	close_cursor();
	CHECK_OK(poolite_tx_update(tx, "DELETE FROM t", POOLITE_NO_ARGS, NULL, &error),
	    &error);
	CHECK_OK(poolite_tx_commit(tx, &error), &error);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 0);
}

Test(client_cursor, with_its_transactions_session_it_is_lost)
{
	struct poolite_tx *tx;

	CHECK_OK(poolite_begin(db, POOLITE_READ, &tx, &error), &error);
	CHECK_OK(poolite_tx_cursor_open(tx, "SELECT id FROM t ORDER BY id",
		     POOLITE_NO_ARGS, 100, &cursor, &error),
	    &error);
	poolited_kill(&broker);
	expect_error(POOLITE_NO_BROKER);
	close_cursor();
	CHECK_ERROR(
	    poolite_tx_commit(tx, &error), &error, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	poolited_run(&broker);
}

/* ---- fork and misuse ----------------------------------------------------- */

static void use_parents_cursor(unsigned index, void *context)
{
	struct poolite_result *row = (void *)1;

	(void)index;
	(void)context;
	CHECK_EQ(poolite_cursor_next(cursor, &row, &error), POOLITE_NO_BROKER);
	CHECK(!row, "no row");
	CHECK_HAS(error.message, "fork");
	poolite_cursor_close(cursor);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 5000);
}

Test(client_cursor, a_child_has_to_open_its_own)
{
	open_on("SELECT id FROM t ORDER BY id", 100);
	client_wait(client_start(use_parents_cursor, 0, NULL));
	expect_rows(cursor, 1, 5000);
	expect_end();
}

Test(client_cursor, misuse_is_refused)
{
	struct poolite_result *row = (void *)1;
	struct poolite_cursor *none = (void *)1;

	CHECK_EQ(poolite_cursor_open(NULL, "x", POOLITE_NO_ARGS, 0, &none, &error),
	    POOLITE_BAD_REQUEST);
	CHECK(!none, "no cursor");
	CHECK_EQ(poolite_tx_cursor_open(NULL, "x", POOLITE_NO_ARGS, 0, &none, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cursor_open(db, NULL, POOLITE_NO_ARGS, 0, &none, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(
	    poolite_cursor_open(db, "x", NULL, 1, 0, &none, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cursor_open(db, "x", POOLITE_NO_ARGS, 0, NULL, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cursor_open(db, "x", POOLITE_NO_ARGS, -1, &none, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cursor_open(db, "x", POOLITE_NO_ARGS, 1000001, &none, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cursor_next(NULL, &row, &error), POOLITE_BAD_REQUEST);
	CHECK(!row, "no row");
	CHECK_EQ(poolite_cursor_next(NULL, NULL, NULL), POOLITE_BAD_REQUEST);
	poolite_cursor_close(NULL);
}
