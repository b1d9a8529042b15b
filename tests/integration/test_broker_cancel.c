/* Deadlines and cancel, for what runs, what waits and what is held back. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define NUMBERS       "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n) "
#define ENDLESS       NUMBERS "SELECT count(*) FROM n"
#define ENDLESS_WRITE NUMBERS "INSERT INTO t SELECT i, i FROM n WHERE i < 2000"

static struct poolited broker;
static struct wire *a, *b;

static void set_up(void)
{
	poolited_start(&broker);
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	update(a, "INSERT INTO t VALUES (1, 1)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_cancel, .init = set_up, .fini = tear_down, .timeout = 60);

static void cancel(struct wire *wire, uint32_t msgid)
{
	CHECK_TEXT(call(wire, "cancel", "[%u]", msgid), "true");
	expect_error(wire, msgid, POOLITE_CANCELLED, NULL);
}

/* The number of b's session and its key, as params behind a msgid. */
static void session_and_key(struct wire *wire, char params[80])
{
	const char *hello = ask(wire, "hello");
	const char *key = strstr(hello, "`key`: `");
	const char *session = strstr(hello, "`session`: ");

	CHECK(key && session, "%s", hello);
	snprintf(params, 80, "%d, `%.32s`", atoi(session + 11), key + 8);
}

/* ---- cancel ------------------------------------------------------------------- */

Test(broker_cancel, running_read_is_cancelled)
{
	uint32_t msgid = wire_sql(a, "query", ENDLESS);

	await_stat(b, "active_connections", 1);
	cancel(a, msgid);
	await_stat_is(b, "active_connections", 0);
	CHECK_TEXT(call(a, "cancel", "[%u]", msgid), "false");
}

/* However large it is: the session is read on behind it. */
Test(broker_cancel, large_request_is_cancelled_by_its_own_session)
{
	enum { BYTES = 3 << 20 };
	char *text = malloc(BYTES + 1);
	uint32_t msgid;

	CHECK(text, "no memory");
	memset(text, 'x', BYTES);
	text[BYTES] = '\0';
	ask(b, "begin");
	msgid = wire_send(a, "update", "[`INSERT INTO t VALUES (2, ?)`, [`%s`]]", text);
	free(text);
	cancel(a, msgid);
	ask(b, "rollback");
	expect_rows(a, "[[1, 1]]", "SELECT * FROM t");
}

Test(broker_cancel, notification_cancels_without_an_answer)
{
	uint32_t msgid = wire_sql(a, "query", ENDLESS);

	wire_send_bytes(a,
	    "\x93\x02\xa6"
	    "cancel\x91\xce",
	    11);
	wire_send_bytes(a,
	    (uint8_t[]){(uint8_t)(msgid >> 24), (uint8_t)(msgid >> 16),
		(uint8_t)(msgid >> 8), (uint8_t)msgid},
	    4);
	CHECK_EQ(wire_next(a)->failure.code, POOLITE_CANCELLED);
	wire_sync(a);
}

Test(broker_cancel, running_writes_are_cancelled_and_undone)
{
	static const char *const writes[][2] = {
	    {"update", "[`" ENDLESS_WRITE "`]"},
	    {"query", "[`" ENDLESS_WRITE " RETURNING id`]"},
	    {"transaction", "[[[`DELETE FROM t`], [`" ENDLESS "`]]]"},
	    {"batch", "[`" ENDLESS_WRITE " AND i > ?`, [[0], [1]]]"},
	    {"script", "[`DELETE FROM t; " ENDLESS_WRITE "`]"},
	    {"script", "[`DELETE FROM t; " ENDLESS_WRITE "`, {`foreign_keys`: false}]"},
	};

	for (unsigned i = 0; i < sizeof writes / sizeof writes[0]; i++) {
		uint32_t msgid = wire_send(a, writes[i][0], "%s", writes[i][1]);
		await_stat(b, "active_connections", 1);
		cancel(a, msgid);
		expect_rows(a, "[[1, 1]]", "SELECT * FROM t");
	}
	update(a, "INSERT INTO t VALUES (2, 2)");
}

Test(broker_cancel, waiting_write_is_cancelled_at_once_and_never_runs)
{
	uint32_t msgid;

	ask(b, "begin");
	msgid = wire_sql(a, "update", "DELETE FROM t");
	wire_sync(a);
	cancel(a, msgid); /* while b has the writer */
	ask(b, "commit");
	update(a, "INSERT INTO t VALUES (2, 2)");
	expect_number(a, 2, "SELECT count(*) FROM t");
}

Test(broker_cancel, waiting_begin_is_cancelled_and_failed)
{
	uint32_t msgid;

	ask(b, "begin");
	msgid = wire_bare(a, "begin");
	wire_sync(a);
	cancel(a, msgid);
	refused(a, POOLITE_CANCELLED, NULL, "update", "[`DELETE FROM t`]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	ask(b, "commit");
}

Test(broker_cancel, held_request_is_cancelled_and_its_transaction_goes_on)
{
	uint32_t slow, held;

	ask(a, "begin");
	slow = wire_sql(a, "query", ENDLESS);
	held = wire_sql(a, "update", "DELETE FROM t");
	wire_sync(a);
	CHECK_TEXT(call(a, "cancel", "[%u]", held), "true");
	cancel(a, slow);
	expect_error(a, held, POOLITE_CANCELLED, NULL);
	update(a, "INSERT INTO t VALUES (2, 2)");
	ask(a, "commit");
	expect_number(b, 2, "SELECT count(*) FROM t");
}

Test(broker_cancel, held_commit_is_cancelled_and_its_transaction_rolled_back)
{
	uint32_t slow, commit;

	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 2)");
	slow = wire_sql(a, "query", ENDLESS);
	commit = wire_bare(a, "commit");
	wire_sync(a);
	CHECK_TEXT(call(a, "cancel", "[%u]", commit), "true");
	cancel(a, slow);
	expect_error(a, commit, POOLITE_CANCELLED, NULL);
	refused(a, POOLITE_NO_TRANSACTION, NULL, "rollback", "[]");
	expect_number(b, 1, "SELECT count(*) FROM t");
}

Test(broker_cancel, who_waits_behind_its_own_session_is_told_so)
{
	uint32_t slow, held;

	ask(a, "begin");
	slow = wire_sql(a, "query", ENDLESS);
	held = wire_send(a, "query", "[`SELECT 1`, null, {`timeout_ms`: 100}]");
	expect_error(a, held, POOLITE_POOL_TIMEOUT, "this session's own requests");
	cancel(a, slow);
	ask(a, "rollback");
}

Test(broker_cancel, another_session_cancels_with_the_key)
{
	char good[80];
	uint32_t msgid;

	session_and_key(b, good);
	msgid = wire_sql(b, "query", ENDLESS);
	wire_sync(b);
	refused(a, POOLITE_NOT_ALLOWED, NULL, "cancel",
	    "[%u, %d, `00000000000000000000000000000000`]", msgid, atoi(good));
	CHECK_TEXT(
	    call(a, "cancel", "[%u, 999, `00000000000000000000000000000000`]", msgid),
	    "false");
	CHECK_TEXT(call(a, "cancel", "[%u, %s]", msgid + 100, good), "false");
	CHECK_TEXT(call(a, "cancel", "[%u, %s]", msgid, good), "true");
	expect_error(b, msgid, POOLITE_CANCELLED, NULL);
	CHECK_TEXT(call(a, "cancel", "[%u, %s]", msgid, good), "false");
}

Test(broker_cancel, cancel_never_hits_what_runs_next)
{
	int done = 0;

	for (int i = 0; i < 500; i++) {
		const struct reply *reply;
		uint32_t msgid =
		    wire_sql(a, "update", "INSERT INTO t (x) VALUES (%d)", i);
		call(a, "cancel", "[%u]", msgid);
		expect_number(a, 1, "SELECT count(*) FROM t WHERE id = 1");
		update(a, "UPDATE t SET x = 1 WHERE id = 1");
		reply = wire_receive(a, msgid);
		done += reply->failure.code == POOLITE_OK;
		CHECK(reply->failure.code == POOLITE_OK ||
			reply->failure.code == POOLITE_CANCELLED,
		    "%s", reply->failure.message);
	}
	expect_number(a, 1 + done, "SELECT count(*) FROM t");
}

Test(broker_cancel, cancelled_member_harms_no_other)
{
	struct wire *others[4];
	uint32_t ids[4], endless = 0;

	ask(b, "begin");
	for (int i = 0; i < 4; i++) {
		others[i] = wire_open(&broker);
		ids[i] =
		    wire_sql(others[i], "update", "INSERT INTO t VALUES (%d, 0)", 10 + i);
		wire_sync(others[i]);
		if (i == 1) {
			endless = wire_sql(a, "update", ENDLESS_WRITE);
			wire_sync(a);
		}
	}
	ask(b, "commit");
	await_stat(b, "active_connections", 1);
	cancel(a, endless);
	for (int i = 0; i < 4; i++)
		expect_ok(others[i], ids[i]);
	expect_number(a, 5, "SELECT count(*) FROM t");
}

/* ---- deadlines -------------------------------------------------------------------- */

/* What runs past its deadline, whatever the method. */
static const struct {
	const char *method, *params;
} slow[] = {
    {"query", "[`" ENDLESS "`, null, {`timeout_ms`: 60}]"},
    {"query",
	"[`SELECT count(*) FROM t a, t b, (" NUMBERS "SELECT i FROM n LIMIT 1000000000)`,"
	" null, {`timeout_ms`: 60}]"},
    {"query", "[`" ENDLESS_WRITE " RETURNING id`, null, {`timeout_ms`: 60}]"},
    {"update", "[`" ENDLESS_WRITE "`, null, {`timeout_ms`: 60}]"},
    {"update", "[`UPDATE t SET x = (" ENDLESS ")`, null, {`timeout_ms`: 60}]"},
    {"batch", "[`" ENDLESS_WRITE " AND i > ?`, [[0]], {`timeout_ms`: 60}]"},
    {"transaction", "[[[`DELETE FROM t`], [`" ENDLESS "`]], {`timeout_ms`: 60}]"},
    {"transaction", "[[[`SELECT 1`], [`" ENDLESS "`]], {`timeout_ms`: 60}]"},
    {"script", "[`DELETE FROM t; " ENDLESS "`, {`timeout_ms`: 60}]"},
    {"script",
	"[`DELETE FROM t; " ENDLESS "`, {`timeout_ms`: 60, `foreign_keys`: false}]"},
};

Test(broker_cancel, deadline_ends_what_runs_and_undoes_it)
{
	for (unsigned i = 0; i < sizeof slow / sizeof slow[0]; i++) {
		refused(
		    a, POOLITE_QUERY_TIMEOUT, NULL, slow[i].method, "%s", slow[i].params);
		expect_rows(a, "[[1, 1]]", "SELECT * FROM t");
	}
	update(a, "INSERT INTO t VALUES (2, 2)");
	CHECK(stat_of(a, "total_connections_created") <= 3,
	    "connections are not used again");
}

Test(broker_cancel, deadline_ends_what_waits)
{
	ask(b, "begin");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "update",
	    "[`DELETE FROM t`, null, {`timeout_ms`: 60}]");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "batch",
	    "[`DELETE FROM t WHERE id = ?`, [[1]], {`timeout_ms`: 60}]");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "transaction",
	    "[[[`DELETE FROM t`]], {`timeout_ms`: 60}]");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "script",
	    "[`DELETE FROM t`, {`timeout_ms`: 60}]");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "begin", "[{`timeout_ms`: 60}]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	ask(b, "commit");
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_cancel, deadline_counts_from_the_arrival_inside_a_transaction_too)
{
	uint32_t first, held;

	ask(a, "begin");
	first = wire_sql(a, "query", ENDLESS);
	held = wire_send(a, "update", "[`DELETE FROM t`, null, {`timeout_ms`: 60}]");
	expect_error(a, held, POOLITE_POOL_TIMEOUT, NULL); /* while the first runs on */
	cancel(a, first);
	expect_number(a, 1, "SELECT count(*) FROM t");
	ask(a, "commit");
}

Test(broker_cancel, generous_deadlines_change_nothing)
{
	call(a, "update",
	    "[`INSERT INTO t VALUES (2, 2)`, null, {`timeout_ms`: 31536000000}]");
	CHECK_HAS(
	    call(a, "query", "[`SELECT count(*) FROM t`, null, {`timeout_ms`: 60000}]"),
	    "[[2]]");
}
