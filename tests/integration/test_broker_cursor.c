/* Queries in pages: what the pages hold, and what they see, outside transactions and inside. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a, *b;

static void connect_all(void)
{
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x INTEGER PRIMARY KEY, y)");
	update(
	    a, "INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')");
}

#define START(...) (poolited_start(&broker, ##__VA_ARGS__), connect_all())

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_cursor, .fini = tear_down, .timeout = 60);

/* The cursor that a page tells; 0: none, it was the last one. */
static uint64_t cursor_of(const char *page)
{
	const char *at = strstr(page, "`cursor`: ");

	return at ? strtoull(at + strlen("`cursor`: "), NULL, 10) : 0;
}

/* Open a query in pages of ${rows}; its first page has to hold ${wanted}. */
static uint64_t open_page(
    struct wire *wire, unsigned rows, const char *sql, const char *wanted)
{
	const char *page =
	    call(wire, "query", "[`%s`, null, {`page_rows`: %u}]", sql, rows);

	CHECK_HAS(page, wanted);
	return cursor_of(page);
}

static uint64_t fetch(struct wire *wire, uint64_t cursor, const char *wanted)
{
	const char *page = call(wire, "fetch", "[%llu]", (unsigned long long)cursor);

	CHECK_HAS(page, wanted);
	return cursor_of(page);
}

static void close_cursor(struct wire *wire, uint64_t cursor)
{
	CHECK_TEXT(call(wire, "close", "[%llu]", (unsigned long long)cursor), "null");
}

static void fetch_refused(
    struct wire *wire, uint64_t cursor, enum poolite_code code, const char *part)
{
	refused(wire, code, part, "fetch", "[%llu]", (unsigned long long)cursor);
}

static void expect_no_lease(void)
{
	CHECK_EQ(stat_of(a, "readers.in_transactions"), 0);
	CHECK_EQ(stat_of(a, "readers.in_cursors"), 0);
	CHECK_EQ(stat_of(a, "active_connections"), 0);
}

/* Whatever was open on a connection was ended, not left for its replacement. */
static void expect_none_replaced(void)
{
	CHECK_EQ(stat_of(a, "total_connections_created"), stat_of(a, "pool_size"));
}

/* ---- what the pages hold ---------------------------------------------------------- */

Test(broker_cursor, pages_follow_one_another_to_the_end)
{
	uint64_t cursor;

	START();
	cursor = open_page(a, 2, "SELECT x FROM t", "`rows`: [[1], [2]], `cursor`: ");
	CHECK_EQ(
	    fetch(a, cursor, "{`columns`: [`x`], `rows`: [[3], [4]], `cursor`"), cursor);
	CHECK_EQ(fetch(a, cursor, "`rows`: [[5]]}"), 0);
	fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "no cursor");
	expect_no_lease();
}

Test(broker_cursor, result_that_fits_its_first_page_leaves_nothing)
{
	START();
	for (unsigned rows = 5; rows < 8; rows++) {
		CHECK_EQ(open_page(a, rows, "SELECT x FROM t",
			     "`rows`: [[1], [2], [3], [4], [5]]}"),
		    0);
		expect_no_lease();
	}
	CHECK_EQ(open_page(a, 1, "SELECT x FROM t WHERE x > 9",
		     "{`columns`: [`x`], `rows`: []}"),
	    0);
	expect_no_lease();
}

Test(broker_cursor, fetch_may_ask_for_another_number_of_rows)
{
	uint64_t cursor;

	START();
	cursor = open_page(a, 1, "SELECT x FROM t", "[[1]]");
	CHECK_HAS(call(a, "fetch", "[%llu, 3]", (unsigned long long)cursor),
	    "[[2], [3], [4]], `cursor`");
	CHECK_EQ(fetch(a, cursor, "[[5]]}"), 0);
}

Test(broker_cursor, arguments_outlive_their_request)
{
	const char *page;

	START();
	page = call(a, "query",
	    "[`SELECT y || :tail FROM t`, {`tail`: `-and a tail`}, {`page_rows`: 4}]");
	expect_number(a, 5, "SELECT count(*) FROM t WHERE y <> 'other bytes'");
	fetch(a, cursor_of(page), "[[`e-and a tail`]]");
}

/* Read ${text}'s rows [[i, `row i`], ...] from ${next} on; returns the row after them. */
static unsigned check_rows(const char *text, unsigned next)
{
	const char *at = strstr(text, "[[");

	CHECK(at, "no rows: %.100s", text);
	for (at++; *at == '['; next++) {
		char wanted[64];
		int len = snprintf(wanted, sizeof wanted, "[%u, `row %u`]", next, next);
		CHECK(strncmp(at, wanted, (size_t)len) == 0, "row %u: %.60s", next, at);
		at += len;
		at += strspn(at, ", ");
	}
	return next;
}

/* AddressSanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define GROWTH_MIB 300
#else
#define GROWTH_MIB 16
#endif

Test(broker_cursor, a_million_rows_pass_through_little_memory)
{
	enum { ROWS = 1000000 };
	unsigned before, next = 1;
	const char *page;
	uint64_t cursor;

	START("--query-timeout", "600", "--transaction-timeout", "600", "--synchronous",
	    "NORMAL");
	update(a, "CREATE TABLE big (i INTEGER PRIMARY KEY, text)");
	update(a,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
	    "INSERT INTO big SELECT i, 'row ' || i FROM n",
	    ROWS);
	expect_number(a, ROWS, "SELECT count(*) FROM big");
	poolited_forget_peak(&broker);
	before = poolited_peak_mib(&broker);
	page = call(a, "query", "[`SELECT i, text FROM big`, null, {`page_rows`: 5000}]");
	while ((cursor = cursor_of(page))) {
		next = check_rows(page, next);
		page = call(a, "fetch", "[%llu]", (unsigned long long)cursor);
	}
	CHECK_EQ(check_rows(page, next), ROWS + 1);
	CHECK(poolited_peak_mib(&broker) - before < GROWTH_MIB, "from %u to %u MiB",
	    before, poolited_peak_mib(&broker));
	expect_no_lease();
}

Test(broker_cursor, page_ends_at_a_mebibyte)
{
	const char *page;
	uint64_t cursor;

	START();
	page = call(a, "query",
	    "[`SELECT zeroblob(400000) FROM t`, null, {`page_rows`: 1000000}]");
	CHECK(strlen(page) / 2 < 1500000, "%zu characters", strlen(page));
	cursor = cursor_of(page);
	CHECK(cursor > 0, "all five rows on one page");
	CHECK_EQ(fetch(a, cursor, "[[x'00"), 0);
	CHECK_EQ(cursor_of(call(a, "query",
		     "[`SELECT zeroblob(10000000) FROM t LIMIT 1`, null, {`page_rows`: "
		     "10}]")),
	    0);
}

Test(broker_cursor, only_a_row_too_large_by_itself_is_too_large)
{
	uint64_t cursor;

	START("--max-result-bytes", "10000");
	cursor = open_page(
	    a, 100, "SELECT x, zeroblob(x * 1200), zeroblob(x * 1200) FROM t", "[[1, x'");
	cursor = fetch(a, cursor, "`rows`: [[3, x'");
	cursor = fetch(a, cursor, "`rows`: [[4, x'");
	fetch_refused(a, cursor, POOLITE_TOO_LARGE, "max_result_bytes");
	fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "no cursor");
	expect_no_lease();
}

Test(broker_cursor, statement_that_writes_is_never_paged)
{
	START();
	/* The first time its text is unknown, the second time it is known to write. */
	for (int i = 0; i < 2; i++) {
		CHECK_EQ(open_page(a, 2, "UPDATE t SET y = y RETURNING x",
			     "[[1], [2], [3], [4], [5]], `changes`: 5"),
		    0);
		expect_no_lease();
	}
	ask(a, "begin");
	CHECK_EQ(open_page(a, 1, "DELETE FROM t WHERE x > 3 RETURNING x",
		     "[[4], [5]], `changes`: 2"),
	    0);
	ask(a, "commit");
	expect_number(a, 3, "SELECT count(*) FROM t");
}

Test(broker_cursor, page_rows_and_fetch_are_told_what_is_wrong)
{
	uint64_t cursor;

	START();
	refused(
	    a, POOLITE_SQL_ERROR, "syntax", "query", "[`SELEC`, null, {`page_rows`: 2}]");
	refused(a, POOLITE_BAD_REQUEST, "1 parameter", "query",
	    "[`SELECT ?`, null, {`page_rows`: 2}]");
	refused(a, POOLITE_NOT_ALLOWED, NULL, "query",
	    "[`PRAGMA cache_size`, null, {`page_rows`: 2}]");
	refused(a, POOLITE_BAD_REQUEST, "page_rows", "query",
	    "[`SELECT 1`, null, {`page_rows`: 0}]");
	refused(a, POOLITE_BAD_REQUEST, "no cursor 77", "fetch", "[77]");
	refused(a, POOLITE_BAD_REQUEST, "no cursor 77", "close", "[77]");
	expect_no_lease();
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1]");
	refused(a, POOLITE_BAD_REQUEST, "number of rows", "fetch", "[%llu, 0]",
	    (unsigned long long)cursor);
	fetch(a, cursor, "[[3], [4]]"); /* it has not harmed the cursor */
}

Test(broker_cursor, failing_row_ends_the_cursor_with_its_error)
{
	uint64_t cursor;

	START();
	cursor = open_page(a, 1,
	    "SELECT CASE x WHEN 4 THEN abs(-9223372036854775808) ELSE x END FROM t",
	    "[[1]]");
	fetch(a, cursor, "[[2]]");
	/* One row is read ahead. */
	fetch_refused(a, cursor, POOLITE_SQL_ERROR, "overflow");
	fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "no cursor");
	expect_no_lease();
}

/* ---- several ------------------------------------------------------------------------ */

Test(broker_cursor, two_of_one_session_go_each_its_way)
{
	uint64_t first, second;

	START();
	first = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	update(b, "INSERT INTO t VALUES (0, 'z')");
	second = open_page(a, 2, "SELECT x FROM t", "[[0], [1]]");
	CHECK(first != second, "the same number");
	CHECK_EQ(stat_of(a, "readers.in_cursors"), 2);
	fetch(a, first, "[[3], [4]]");
	fetch(a, second, "[[2], [3]]");
	close_cursor(a, first);
	fetch(a, second, "[[4], [5]]");
	fetch_refused(a, first, POOLITE_BAD_REQUEST, "no cursor");
	refused(a, POOLITE_BAD_REQUEST, "no cursor", "close", "[%llu]",
	    (unsigned long long)first);
	expect_no_lease();
}

Test(broker_cursor, session_does_not_see_another_s)
{
	uint64_t cursor;

	START();
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	fetch_refused(b, cursor, POOLITE_BAD_REQUEST, "no cursor");
	refused(b, POOLITE_BAD_REQUEST, "no cursor", "close", "[%llu]",
	    (unsigned long long)cursor);
	ask(b, "begin");
	fetch_refused(b, cursor, POOLITE_BAD_REQUEST, "no cursor");
	ask(b, "rollback");
	fetch(a, cursor, "[[3], [4]]");
}

Test(broker_cursor, fetches_sent_ahead_are_answered_in_order)
{
	uint64_t cursor;
	uint32_t ids[7];

	START();
	cursor = open_page(a, 1, "SELECT x FROM t", "[[1]]");
	wire_cork(a);
	for (int i = 0; i < 6; i++)
		ids[i] = wire_send(a, "fetch", "[%llu]", (unsigned long long)cursor);
	ids[6] = wire_send(a, "close", "[%llu]", (unsigned long long)cursor);
	wire_uncork(a);
	for (int i = 0; i < 4; i++) {
		char wanted[16];
		snprintf(wanted, sizeof wanted, "[[%d]]", i + 2);
		CHECK_HAS(expect_ok(a, ids[i]), wanted);
	}
	for (int i = 4; i < 7; i++)
		expect_error(a, ids[i], POOLITE_BAD_REQUEST, "no cursor");
	expect_no_lease();
}

Test(broker_cursor, open_ones_of_a_session_have_a_number)
{
	char sql[] = "SELECT x FROM t";
	uint64_t first = 0;

	START();
	ask(a, "begin");
	for (int i = 0; i < 64; i++) {
		uint64_t cursor = open_page(a, 1, sql, "[[1]]");
		first = first ? first : cursor;
	}
	refused(a, POOLITE_OVERLOADED, "64 cursors", "query",
	    "[`%s`, null, {`page_rows`: 1}]", sql);
	close_cursor(a, first);
	open_page(a, 1, sql, "[[1]]");
	ask(a, "commit");
	expect_no_lease();
}

/* ---- what they see -------------------------------------------------------------------- */

Test(broker_cursor, sees_all_that_was_answered_before_it_and_nothing_later)
{
	START("--synchronous", "NORMAL");
	for (int i = 0; i < 100; i++) {
		char wanted[32];
		uint64_t cursor;
		update(b, "UPDATE t SET y = %d", i);
		snprintf(wanted, sizeof wanted, "[[%d]]", i);
		cursor = open_page(a, 1, "SELECT y FROM t LIMIT 2", wanted);
		update(b, "UPDATE t SET y = -1");
		CHECK_EQ(fetch(a, cursor, wanted), 0);
	}
}

Test(broker_cursor, inside_a_write_transaction_it_sees_the_transaction_s_writes)
{
	uint64_t cursor;

	START();
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (6, 'f')");
	cursor = open_page(a, 4, "SELECT x FROM t", "[[1], [2], [3], [4]]");
	expect_number(b, 5, "SELECT count(*) FROM t");
	/* Others' statements in between, failed ones too, do it no harm. */
	refused(a, POOLITE_CONSTRAINT, NULL, "update", "[`INSERT INTO t VALUES (1, 1)`]");
	update(a, "UPDATE t SET y = 'new' WHERE x < 4");
	CHECK_EQ(fetch(a, cursor, "[[5], [6]]}"), 0);
	ask(a, "commit");
	expect_number(b, 6, "SELECT count(*) FROM t");
}

Test(broker_cursor, ends_with_the_transaction_around_it)
{
	static const char *const ends[] = {"commit", "rollback"};
	static const char *const modes[] = {"write", "read"};

	START();
	for (int i = 0; i < 4; i++) {
		uint64_t cursor;
		call(a, "begin", "[{`mode`: `%s`}]", modes[i / 2]);
		cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
		fetch(a, cursor, "[[3], [4]]");
		ask(a, ends[i % 2]);
		fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "transaction ended");
		expect_no_lease();
		expect_none_replaced();
	}
}

Test(broker_cursor, inside_a_dead_transaction_it_is_refused_like_all)
{
	uint64_t cursor;

	START();
	ask(a, "begin");
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	refused(a, POOLITE_CONSTRAINT, NULL, "update",
	    "[`INSERT OR ROLLBACK INTO t VALUES (1, 1)`]");
	fetch_refused(a, cursor, POOLITE_CONSTRAINT, "the transaction is over");
	refused(a, POOLITE_CONSTRAINT, "the transaction is over", "close", "[%llu]",
	    (unsigned long long)cursor);
	ask(a, "rollback");
	fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "no cursor");
	update(b, "DELETE FROM t");
	expect_none_replaced();
}

Test(broker_cursor, undone_change_of_the_schema_ends_it)
{
	uint64_t cursor;

	START();
	ask(a, "begin");
	run(a, "query", "SAVEPOINT here");
	update(a, "CREATE TABLE made (x)");
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	run(a, "query", "ROLLBACK TO here");
	CHECK_EQ(
	    wire_receive(a, wire_send(a, "fetch", "[%llu]", (unsigned long long)cursor))
		->failure.sqlite,
	    516);
	fetch_refused(a, cursor, POOLITE_BAD_REQUEST, "no cursor");
	update(a, "INSERT INTO t VALUES (6, 'f')");
	ask(a, "commit");
	expect_number(b, 6, "SELECT count(*) FROM t");
}

Test(broker_cursor, table_it_reads_cannot_be_dropped_before_it_is_closed)
{
	uint64_t cursor;

	START();
	ask(a, "begin");
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	refused(a, POOLITE_SQL_ERROR, "locked", "update", "[`DROP TABLE t`]");
	fetch(a, cursor, "[[3], [4]]");
	close_cursor(a, cursor);
	update(a, "DROP TABLE t");
	ask(a, "commit");
	expect_number(b, 0, "SELECT count(*) FROM sqlite_schema WHERE name = 't'");
}

Test(broker_cursor, from_before_a_transaction_is_no_part_of_it)
{
	uint64_t cursor;

	START();
	cursor = open_page(a, 2, "SELECT x FROM t", "[[1], [2]]");
	ask(b, "begin");
	wire_bare(a, "begin"); /* waits for b's */
	fetch(a, cursor, "[[3], [4]]");
	update(b, "INSERT INTO t VALUES (6, 'f')");
	ask(b, "commit");
	CHECK_EQ(fetch(a, cursor, "[[5]]}"), 0);
	update(a, "INSERT INTO t VALUES (7, 'g')");
	ask(a, "commit");
	expect_number(b, 7, "SELECT count(*) FROM t");
}

Test(broker_cursor, paged_query_sent_ahead_behind_a_commit_stands_outside)
{
	uint32_t page;
	uint64_t cursor;

	START();
	wire_cork(a);
	wire_bare(a, "begin");
	wire_sql(a, "update", "INSERT INTO t VALUES (6, 'f')");
	wire_bare(a, "commit");
	page = wire_send(
	    a, "query", "[`SELECT x FROM t ORDER BY x DESC`, null, {`page_rows`: 1}]");
	wire_uncork(a);
	cursor = cursor_of(expect_ok(a, page));
	CHECK_EQ(stat_of(b, "readers.in_cursors"), 1);
	fetch(a, cursor, "[[5]]");
}
