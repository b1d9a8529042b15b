/* Queries in pages: what ends a cursor before its last page, and who waits for its place. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

/* Its first two rows come at once, the third never. */
#define SLOW                                                                             \
	"SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT * FROM "                           \
	"(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "              \
	"SELECT count(*) FROM n)"
#define PAGED "[`SELECT x FROM t`, null, {`page_rows`: 1}]"

static struct poolited broker;
static struct wire *a, *b;

static void connect_all(void)
{
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x INTEGER PRIMARY KEY, y)");
	update(a, "INSERT INTO t (x) VALUES (1), (2), (3), (4), (5)");
}

#define START(...) (poolited_start(&broker, ##__VA_ARGS__), connect_all())

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_cursor_end, .fini = tear_down, .timeout = 120);

/* The cursor of a first page that has more behind it. */
static unsigned long long cursor_in(const char *page)
{
	const char *at = strstr(page, "`cursor`: ");

	CHECK(at, "no cursor: %.200s", page);
	return strtoull(at + strlen("`cursor`: "), NULL, 10);
}

static unsigned long long open_cursor(struct wire *wire)
{
	return cursor_in(call(wire, "query", PAGED));
}

static unsigned long long open_slow(struct wire *wire)
{
	return cursor_in(call(wire, "query", "[`%s`, null, {`page_rows`: 1}]", SLOW));
}

static uint32_t send_fetch(struct wire *wire, unsigned long long cursor)
{
	return wire_send(wire, "fetch", "[%llu]", cursor);
}

static void await_no_lease(struct wire *wire)
{
	await_stat_is(wire, "readers.in_transactions", 0);
	await_stat_is(wire, "active_connections", 0);
}

/* ---- deadline and cancel -------------------------------------------------------------- */

Test(broker_cursor_end, deadline_of_a_fetch_ends_it)
{
	unsigned long long cursor;

	START();
	cursor = open_slow(a);
	refused(a, POOLITE_QUERY_TIMEOUT, "deadline", "fetch",
	    "[%llu, null, {`timeout_ms`: 50}]", cursor);
	expect_error(a, send_fetch(a, cursor), POOLITE_BAD_REQUEST, "no cursor");
	await_no_lease(a);
	expect_number(a, 5, "SELECT count(*) FROM t");
}

Test(broker_cursor_end, query_timeout_bounds_each_page_by_itself)
{
	unsigned long long cursor;

	START("--query-timeout", "0.5");
	cursor = open_cursor(a);
	process_pause(0.7);
	CHECK_HAS(expect_ok(a, send_fetch(a, cursor)), "[[2]]");
	expect_error(a, send_fetch(a, open_slow(a)), POOLITE_QUERY_TIMEOUT, NULL);
}

Test(broker_cursor_end, cancelled_fetch_ends_it)
{
	unsigned long long cursor;
	uint32_t running, behind;

	START();
	cursor = open_slow(a);
	wire_cork(a);
	running = send_fetch(a, cursor);
	behind = send_fetch(a, cursor);
	wire_uncork(a);
	wire_sync(a);
	CHECK_TEXT(call(a, "cancel", "[%u]", running), "true");
	expect_error(a, running, POOLITE_CANCELLED, NULL);
	expect_error(a, behind, POOLITE_BAD_REQUEST, "no cursor");
	await_no_lease(a);
}

Test(broker_cursor_end, fetch_cancelled_before_its_turn_ends_it_too)
{
	unsigned long long cursor;
	uint32_t first;

	START();
	cursor = open_cursor(a);
	wire_cork(a);
	first = send_fetch(a, cursor);
	send_fetch(a, cursor);
	send_fetch(a, cursor);
	wire_send(a, "cancel", "[%u]", first + 1);
	wire_uncork(a);
	CHECK_HAS(expect_ok(a, first), "[[2]]");
	expect_error(a, first + 1, POOLITE_CANCELLED, NULL);
	expect_error(a, first + 2, POOLITE_BAD_REQUEST, "no cursor");
	await_no_lease(a);
}

/* In a transaction, all cursors of the connection end with the one that was stopped. */
Test(broker_cursor_end, interrupt_in_a_transaction_ends_all_of_them_with_its_error)
{
	unsigned long long slow, other;

	START();
	ask(a, "begin");
	update(a, "INSERT INTO t (x) VALUES (6)");
	other = open_cursor(a);
	slow = open_slow(a);
	refused(a, POOLITE_QUERY_TIMEOUT, NULL, "fetch",
	    "[%llu, null, {`timeout_ms`: 50}]", slow);
	update(a, "INSERT INTO t (x) VALUES (7)");
	refused(
	    a, POOLITE_CONSTRAINT, NULL, "update", "[`INSERT INTO t (x) VALUES (7)`]");
	expect_error(a, send_fetch(a, other), POOLITE_QUERY_TIMEOUT, NULL);
	expect_error(a, send_fetch(a, other), POOLITE_BAD_REQUEST, "no cursor");
	expect_error(a, send_fetch(a, slow), POOLITE_BAD_REQUEST, "no cursor");
	ask(a, "commit");
	expect_number(b, 7, "SELECT count(*) FROM t");
}

/* count(*) asks nobody: only the interrupt stops it, and that stays in force while a
 * cursor is half-stepped. */
Test(broker_cursor_end, interrupt_with_a_cursor_open_harms_nothing_that_follows)
{
	START("--query-timeout", "600");
	ask(a, "begin");
	for (int i = 0; i < 20; i++) {
		uint32_t query, saved;
		open_cursor(a);
		query = wire_send(a, "query", "[`SELECT hex(zeroblob(%d))`]", 20000000);
		wire_send(b, "ping", "[]");
		call(b, "ping", "[]");
		wire_send(a, "cancel", "[%u]", query);
		saved = wire_sql(a, "update", "INSERT INTO t (x) VALUES (%d)", 100 + i);
		wire_receive(a, query);
		expect_ok(a, saved);
	}
	ask(a, "commit");
	expect_number(b, 25, "SELECT count(*) FROM t");
}

/* ---- places --------------------------------------------------------------------------- */

Test(broker_cursor_end, paged_query_waits_for_its_place_before_it_runs)
{
	unsigned long long cursor;
	uint32_t waiting;

	START("--max-connections", "4");
	cursor = open_cursor(a);
	waiting = wire_send(b, "query", PAGED);
	wire_sync(b);
	CHECK_EQ(stat_of(a, "queues.read_transactions"), 1);
	expect_number(a, 5, "SELECT count(*) FROM t"); /* plain reads have the others */
	CHECK_TEXT(call(a, "close", "[%llu]", cursor), "null");
	cursor = cursor_in(expect_ok(b, waiting));
	CHECK_HAS(expect_ok(b, send_fetch(b, cursor)), "[[2]]");
}

Test(broker_cursor_end, one_that_waits_in_vain_is_told_for_whom)
{
	char holder[32];

	START("--max-connections", "4", "--connection-timeout", "0.3",
	    "--transaction-idle-timeout", "30");
	open_cursor(a);
	snprintf(holder, sizeof holder, "pid %d ", (int)getpid());
	refused(b, POOLITE_POOL_TIMEOUT, holder, "query", PAGED);
	refused(b, POOLITE_POOL_TIMEOUT, "cursors have 1 of the 1", "begin",
	    "[{`mode`: `read`}]");
	CHECK_TEXT(ask(b, "rollback"), "null");
	CHECK_HAS(call(b, "query", "[`SELECT 1`]"), "[[1]]");
}

Test(broker_cursor_end, waiting_one_can_be_cancelled)
{
	unsigned long long cursor;
	uint32_t waiting;

	START("--max-connections", "4");
	cursor = open_cursor(a);
	waiting = wire_send(b, "query", PAGED);
	CHECK_TEXT(call(b, "cancel", "[%u]", waiting), "true");
	expect_error(b, waiting, POOLITE_CANCELLED, NULL);
	CHECK_HAS(expect_ok(a, send_fetch(a, cursor)), "[[2]]");
}

/* ---- expiry ----------------------------------------------------------------------------- */

Test(broker_cursor_end, idle_one_expires_when_others_wait)
{
	unsigned long long cursor;

	START("--max-connections", "4", "--transaction-idle-timeout", "0.2");
	cursor = open_cursor(a);
	process_pause(0.5);
	CHECK_HAS(expect_ok(a, send_fetch(a, cursor)), "[[2]]"); /* nobody waits */
	open_cursor(b);
	expect_error(a, send_fetch(a, cursor), POOLITE_TRANSACTION_EXPIRED,
	    "the cursor was closed: it was idle");
	expect_error(a, send_fetch(a, cursor), POOLITE_BAD_REQUEST, "no cursor");
	CHECK_EQ(stat_of(a, "transactions.expired"), 1);
}

Test(broker_cursor_end, expired_one_can_still_be_closed)
{
	unsigned long long cursor;

	START("--max-connections", "4", "--transaction-idle-timeout", "0.1");
	cursor = open_cursor(a);
	open_cursor(b);
	CHECK_TEXT(call(a, "close", "[%llu]", cursor), "null");
	expect_error(a, send_fetch(a, cursor), POOLITE_BAD_REQUEST, "no cursor");
}

Test(broker_cursor_end, transaction_timeout_bounds_its_life)
{
	unsigned long long idle, busy;

	START("--transaction-timeout", "0.4");
	idle = open_cursor(a);
	busy = open_slow(b);
	expect_error(b, send_fetch(b, busy), POOLITE_TRANSACTION_EXPIRED, NULL);
	await_no_lease(a);
	expect_error(
	    a, send_fetch(a, idle), POOLITE_TRANSACTION_EXPIRED, "transaction_timeout");
}

Test(broker_cursor_end, expired_ones_count_until_they_are_noticed)
{
	START("--transaction-timeout", "0.05");
	for (int i = 0; i < 64; i++) {
		open_cursor(a);
		await_no_lease(b);
	}
	refused(a, POOLITE_OVERLOADED, "64 cursors", "query", PAGED);
	expect_number(a, 5, "SELECT count(*) FROM t");
	wire_close(a);
	a = wire_open(&broker);
	open_cursor(a);
}

Test(broker_cursor_end, idle_one_that_pins_the_wal_is_ended_and_told_why)
{
	unsigned long long cursor;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	cursor = open_cursor(b);
	for (int i = 0; i < 60; i++)
		update(a, "INSERT INTO t (y) VALUES (zeroblob(200000))");
	expect_error(b, send_fetch(b, cursor), POOLITE_TRANSACTION_EXPIRED, "wal_limit");
	CHECK(stat_of(a, "wal.bytes") <= 4 << 20, "%lld bytes of WAL",
	    (long long)stat_of(a, "wal.bytes"));
}

Test(broker_cursor_end, busy_one_that_pins_the_wal_is_ended_and_told_why)
{
	uint32_t fetching;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	fetching = wire_send(b, "fetch", "[%llu, 1000]",
	    cursor_in(call(b, "query",
		"[`SELECT x FROM t UNION ALL SELECT * FROM (WITH RECURSIVE n(i) AS "
		"(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n)`, "
		"null, {`page_rows`: 1}]")));
	for (int i = 0; i < 60; i++)
		update(a, "INSERT INTO t (y) VALUES (zeroblob(200000))");
	expect_error(b, fetching, POOLITE_OVERLOADED, "wal_limit");
	CHECK(stat_of(a, "wal.bytes") <= 4 << 20, "%lld bytes of WAL",
	    (long long)stat_of(a, "wal.bytes"));
	await_no_lease(a);
}

/* ---- sessions that go -------------------------------------------------------------------- */

static void open_some_and_die(unsigned index, void *context)
{
	struct wire *wire = wire_open(&broker);

	(void)index;
	(void)context;
	open_cursor(wire);
	open_cursor(wire);
	send_fetch(wire, open_slow(wire));
	wire_sync(wire);
	kill(getpid(), SIGKILL);
}

Test(broker_cursor_end, killed_client_gives_all_its_readers_back)
{
	START();
	for (int i = 0; i < 5; i++)
		CHECK_EQ(process_wait(client_start(open_some_and_die, 0, NULL)),
		    128 + SIGKILL);
	await_no_lease(a);
	await_stat_is(a, "sessions.open", 2);
	CHECK_HAS(call(a, "query", PAGED), "[[1]]");
}

Test(broker_cursor_end, client_killed_while_it_waits_takes_no_place)
{
	unsigned long long cursor;

	START("--max-connections", "4");
	cursor = open_cursor(a);
	wire_send(b, "query", PAGED);
	wire_sync(b);
	wire_close(b);
	await_stat_is(a, "queues.read_transactions", 0);
	CHECK_TEXT(call(a, "close", "[%llu]", cursor), "null");
	await_no_lease(a);
}

Test(broker_cursor_end, half_closed_client_gets_its_pages_and_no_more)
{
	unsigned long long cursor;
	uint32_t first;

	START();
	cursor = open_cursor(b);
	open_cursor(b);
	wire_cork(b);
	first = send_fetch(b, cursor);
	send_fetch(b, cursor);
	wire_uncork(b);
	wire_half_close(b);
	CHECK_HAS(expect_ok(b, first), "[[2]]");
	CHECK_HAS(expect_ok(b, first + 1), "[[3]]");
	CHECK(wire_next(b) == NULL, "there is more");
	await_no_lease(a);
}

/* Fetch far ahead without reading, then read all. */
static void fetch_blindly(void)
{
	enum { COUNT = 20 };
	unsigned long long cursor = cursor_in(call(b, "query",
	    "[`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	    "SELECT i, zeroblob(500000) FROM n`, null, {`page_rows`: 2}]"));
	uint32_t first = 0;

	wire_cork(b);
	for (int i = 0; i < COUNT; i++) {
		uint32_t msgid = send_fetch(b, cursor);
		first = first ? first : msgid;
	}
	wire_send_blindly(b);
	await_stat(a, "requests.fetch.count", 2);
	for (int i = 0; i < 20; i++) /* what it could make meanwhile, it would have */
		call(a, "query", "[`SELECT hex(zeroblob(1000000))`]");
	CHECK(stat_of(a, "requests.fetch.count") < 10, "%lld pages lie about",
	    (long long)stat_of(a, "requests.fetch.count"));
	for (uint32_t i = 0; i < COUNT; i++) {
		char wanted[32];
		snprintf(wanted, sizeof wanted, "[[%u, x'", 2 * i + 3);
		CHECK_HAS(expect_ok(b, first + i), wanted);
	}
}

Test(broker_cursor_end, slow_client_s_pages_are_not_made_ahead)
{
	START("--transaction-timeout", "600");
	fetch_blindly();
}

Test(broker_cursor_end, slow_client_s_pages_in_a_transaction_are_not_made_ahead)
{
	START("--transaction-timeout", "600");
	ask(b, "begin");
	fetch_blindly();
	ask(b, "commit");
}

/* ---- the broker stops ---------------------------------------------------------------------- */

Test(broker_cursor_end, stopping_broker_lets_pages_go_on_within_its_grace)
{
	unsigned long long cursor;

	START("--grace", "30");
	cursor = open_cursor(a);
	kill(broker.pid, SIGTERM);
	expect_end(b); /* who has nothing open has said all */
	for (int i = 2; i < 6; i++) {
		char wanted[16];
		snprintf(wanted, sizeof wanted, "[[%d]]", i);
		CHECK_HAS(expect_ok(a, send_fetch(a, cursor)), wanted);
	}
	CHECK_EQ(poolited_wait(&broker), 0);
}

Test(broker_cursor_end, grace_ends_those_that_are_open)
{
	double started;
	uint32_t waiting;

	START("--grace", "0.5", "--max-connections", "6");
	open_cursor(a);
	send_fetch(a, open_slow(a));
	waiting = wire_send(b, "query", PAGED);
	wire_sync(b);
	started = check_seconds();
	CHECK_EQ(poolited_stop(&broker), 0);
	CHECK(check_seconds() - started < 5, "it took %.1f s", check_seconds() - started);
	expect_error(b, waiting, POOLITE_SHUTTING_DOWN, NULL);
}

/* ---- its reader afterwards ------------------------------------------------------------------ */

Test(broker_cursor_end, reader_is_as_good_as_new)
{
	START("--max-connections", "4", "--health-check-interval", "0.1");
	for (int i = 0; i < 50; i++) {
		unsigned long long cursor = open_cursor(a);
		if (i % 2)
			expect_ok(a, send_fetch(a, cursor));
		CHECK_TEXT(call(a, "close", "[%llu]", cursor), "null");
		update(a, "UPDATE t SET y = %d", i);
		expect_number(b, i, "SELECT max(y) FROM t");
	}
	await_no_lease(a);
	CHECK_EQ(stat_of(a, "readers.replaced"), 0);
}
