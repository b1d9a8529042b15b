/* Every error that a request alone can provoke, by its name: the request has done
 * nothing, and the session goes on.  Faults of file and disk: test_broker_faults.c.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/poolite.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "               \
	"SELECT count(*) FROM n"
#define ROWS_80_MIB                                                                      \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 80) "      \
	"SELECT zeroblob(1048576) FROM n"

static struct poolited broker;
static struct wire *a;

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	run(a, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE, n NOT NULL DEFAULT 0 CHECK (n >= 0));"
	    "CREATE TABLE strict1 (x INTEGER) STRICT;"
	    "CREATE TABLE child (p REFERENCES t, d REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
	    "CREATE TRIGGER no9 BEFORE INSERT ON t WHEN new.n = 9"
	    "  BEGIN SELECT RAISE(ABORT, 'nine is not wanted'); END;"
	    "INSERT INTO t VALUES (1, 'a', 0)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_errors, .fini = tear_down, .timeout = 60);

/* A request that has to be refused. */
struct wrong {
	const char *method, *params;
	const char *part; /* of the message, or NULL */
};

/* The request is refused with ${code}; nothing happened, and the session goes on. */
static void refuse_all(enum poolite_code code, const struct wrong *wrongs, unsigned count)
{
	start(NULL, NULL);
	for (unsigned i = 0; i < count; i++) {
		const struct reply *reply = wire_receive(
		    a, wire_send(a, wrongs[i].method, "%s", wrongs[i].params));
		CHECK(reply->failure.code == code && !reply->failure.is_unknown,
		    "%s %s:\n%s instead of %s: %s", wrongs[i].method, wrongs[i].params,
		    poolite__code_name(reply->failure.code), poolite__code_name(code),
		    reply->result ? reply->result : reply->failure.message);
		CHECK(reply->failure.message[0], "%s %s: no message", wrongs[i].method,
		    wrongs[i].params);
		if (wrongs[i].part)
			CHECK_HAS(reply->failure.message, wrongs[i].part);
		expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
	}
	expect_rows(a, "[[5, 0, 0, 0]]",
	    "SELECT (SELECT count(*) FROM sqlite_schema), (SELECT count(*) FROM child), "
	    "(SELECT count(*) FROM strict1), (SELECT user_version FROM pragma_user_version)");
}

#define REFUSE_ALL(code, wrongs)                                                         \
	refuse_all(code, wrongs, sizeof(wrongs) / sizeof((wrongs)[0]))

static const struct wrong bad_requests[] = {
    {"query", "[]", NULL},
    {"query", "[null]", NULL},
    {"query", "[5]", NULL},
    {"query", "[x'53454c4543542031']", NULL},
    {"query", "[``]", NULL},
    {"query", "[`  ; `]", NULL},
    {"query", "[`-- only a comment`]", NULL},
    {"query", "[`SELECT 1; SELECT 2`]", NULL},
    {"update", "[`DELETE FROM t; DELETE FROM child`]", NULL},
    {"query", "[`SELECT '\xff'`]", NULL},
    {"query", "[`SELECT ?`]", NULL},
    {"query", "[`SELECT ?`, []]", NULL},
    {"query", "[`SELECT ?`, [1, 2]]", NULL},
    {"query", "[`SELECT 1`, [1]]", NULL},
    {"query", "[`SELECT ?2`, [1]]", NULL},
    {"query", "[`SELECT :a`, {`b`: 1}]", NULL},
    {"query", "[`SELECT :a, :b`, {`b`: 1}]", NULL},
    {"query", "[`SELECT :a`, {`a`: 1, `:a`: 1}]", NULL},
    {"query", "[`SELECT :a`, {5: 1}]", NULL},
    {"query", "[`SELECT ?`, {`a`: 1}]", NULL},
    {"query", "[`SELECT ?`, [9223372036854775808]]", NULL},
    {"query", "[`SELECT ?`, [[1]]]", NULL},
    {"query", "[`SELECT ?`, [{}]]", NULL},
    {"query", "[`SELECT ?`, [`\xff`]]", NULL},
    {"query", "[`SELECT ?`, [`\xed\xa0\x80`]]", NULL},
    {"query", "[`SELECT 1`, `x`]", NULL},
    {"query", "[`SELECT 1`, null, 5]", NULL},
    {"query", "[`SELECT 1`, null, {`no_such_option`: 1}]", "no_such_option"},
    {"query", "[`SELECT 1`, null, {`foreign_keys`: true}]", NULL},
    {"query", "[`SELECT 1`, null, {`timeout_ms`: 0}]", NULL},
    {"query", "[`SELECT 1`, null, {`timeout_ms`: -1}]", NULL},
    {"query", "[`SELECT 1`, null, {`timeout_ms`: 0.5}]", NULL},
    {"query", "[`SELECT 1`, null, {`timeout_ms`: 31536000001}]", NULL},
    {"query", "[`SELECT 1`, null, {`timeout_ms`: 5, `timeout_ms`: 5}]", NULL},
    {"query", "[`SELECT 1`, null, null, 5]", NULL},
    {"update", "[`SELECT 1`]", "query"},
    {"update", "[`INSERT INTO t (k) VALUES ('b') RETURNING id`]", "query"},
    {"batch", "[`SELECT ?`, [[1]]]", NULL},
    {"batch", "[`INSERT INTO t (k) VALUES (?) RETURNING id`, [[1]]]", NULL},
    {"batch", "[`INSERT INTO t (k) VALUES (?)`]", NULL},
    {"batch", "[`INSERT INTO t (k) VALUES (?)`, [1]]", NULL},
    {"batch", "[`INSERT INTO t (k) VALUES (?)`, [[1], [], [2]]]", NULL},
    {"batch", "[`INSERT INTO t (k) VALUES (?)`, [[1], [[]]]]", NULL},
    {"transaction", "[]", NULL},
    {"transaction", "[5]", NULL},
    {"transaction", "[[5]]", NULL},
    {"transaction", "[[`DELETE FROM t`]]", NULL},
    {"transaction", "[[[]]]", NULL},
    {"transaction", "[[[`DELETE FROM t`], [`DELETE FROM child`, [1]]]]", NULL},
    {"transaction", "[[[`DELETE FROM t`], [``]]]", NULL},
    {"transaction", "[[[`DELETE FROM t`, [], {}]]]", NULL},
    {"script", "[]", NULL},
    {"script", "[5]", NULL},
    {"script", "[`DELETE FROM t`, [1]]", NULL},
    {"script", "[`DELETE FROM t`, {`foreign_keys`: 1}]", NULL},
    {"cancel", "[]", NULL},
    {"cancel", "[-1]", NULL},
    {"cancel", "[1, 2]", NULL},
    {"cancel", "[1, 2, `short`]", NULL},
    {"ping", "[1]", NULL},
    {"stats", "[1]", NULL},
};

Test(broker_errors, bad_requests_are_told_so)
{
	REFUSE_ALL(POOLITE_BAD_REQUEST, bad_requests);
	/* A begin that failed refuses what follows it, up to the rollback. */
	refused(a, POOLITE_BAD_REQUEST, NULL, "begin", "[5]");
	refused(a, POOLITE_BAD_REQUEST, NULL, "begin", "[{`on_error`: `explode`}]");
	refused(a, POOLITE_BAD_REQUEST, "mode", "begin", "[{`mode`: `append`}]");
	CHECK_TEXT(ask(a, "rollback"), "null");
}

Test(broker_errors, malformed_envelopes_with_a_msgid_are_bad_requests)
{
	static const char *const messages[] = {"[0, 9, 5, []]", "[0, 9, `ping`, {}]",
	    "[0, 9, `ping`]", "[0, 9, `ping`, [], 1]", "[0, 9, null, null]", "[0, 9]"};

	start(NULL, NULL);
	for (unsigned i = 0; i < sizeof messages / sizeof *messages; i++) {
		wire_send_message(a, messages[i]);
		expect_error(a, 9, POOLITE_BAD_REQUEST, NULL);
	}
	wire_sync(a);
}

Test(broker_errors, what_text_cannot_hold_is_a_bad_request)
{
	static const char nul[] = "\x94\x00\x09\xa5query\x91\xa9SELECT 1\0";
	static const char ext[] = "\x94\x00\x09\xa5query\x92\xa8SELECT ?\x91\xd4\x01\x00";

	start(NULL, NULL);
	wire_send_bytes(a, nul, sizeof nul - 1);
	expect_error(a, 9, POOLITE_BAD_REQUEST, NULL);
	wire_send_bytes(a, ext, sizeof ext - 1);
	expect_error(a, 9, POOLITE_BAD_REQUEST, NULL);
}

Test(broker_errors, unknown_methods_are_told_so)
{
	static const struct wrong wrongs[] = {{"drop_everything", "[]", NULL},
	    {"", "[]", NULL}, {"Query", "[`SELECT 1`]", NULL}, {"error", "[]", NULL}};

	REFUSE_ALL(POOLITE_UNKNOWN_METHOD, wrongs);
}

Test(broker_errors, what_is_too_large_is_refused_whole)
{
	static const struct wrong wrongs[] = {
	    {"query", "[`SELECT zeroblob(70000000)`]", NULL},
	    {"query", "[`" ROWS_80_MIB "`]", NULL},
	    {"query", "[`SELECT zeroblob(2000000000)`]", NULL},
	    {"update", "[`UPDATE t SET k = zeroblob(2000000000)`]", NULL},
	    {"query", "[`UPDATE t SET k = 1 RETURNING zeroblob(70000000)`]", NULL},
	    {"transaction", "[[[`DELETE FROM t`], [`" ROWS_80_MIB "`]]]", NULL},
	};

	REFUSE_ALL(POOLITE_TOO_LARGE, wrongs);
}

Test(broker_errors, sql_errors_are_sqlite_s)
{
	static const struct wrong wrongs[] = {
	    {"query", "[`SELECT * FROM nowhere`]", "no such table: nowhere"},
	    {"query", "[`SELEKT 1`]", "syntax error"},
	    {"update", "[`INSERT INTO nowhere VALUES (1)`]", "nowhere"},
	    {"update", "[`INSERT INTO t (nothing) VALUES (1)`]", "nothing"},
	    {"query", "[`SELECT abs(-9223372036854775807 - 1)`]", "overflow"},
	    {"query", "[`SELECT json('{')`]", "JSON"},
	    {"batch", "[`INSERT INTO nowhere VALUES (?)`, [[1]]]", "nowhere"},
	    {"transaction", "[[[`DELETE FROM t`], [`DELETE FROM nowhere`]]]", "nowhere"},
	    {"script", "[`DELETE FROM t; DELETE FROM nowhere`]", "nowhere"},
	};

	REFUSE_ALL(POOLITE_SQL_ERROR, wrongs);
}

/* Statements that violate a constraint, and SQLite's extended code for it. */
static const struct {
	const char *sql;
	int sqlite;
} violations[] = {
    {"INSERT INTO t (k) VALUES ('a')", 2067},
    {"INSERT INTO t (id) VALUES (1)", 1555},
    {"UPDATE t SET n = NULL", 1299},
    {"UPDATE t SET n = -1", 275},
    {"INSERT INTO t (n) VALUES (9)", 1811},
    {"INSERT INTO strict1 VALUES ('x')", 3091},
    {"INSERT INTO child (p) VALUES (7)", 787},
    {"INSERT INTO child (d) VALUES (7)", 787},
    {"INSERT OR FAIL INTO t (id, k) VALUES (2, 'b'), (3, 'a')", 2067},
    {"INSERT OR ROLLBACK INTO t (id, k) VALUES (2, 'b'), (3, 'a')", 2067},
    {"UPDATE OR ABORT t SET n = -1", 275},
};

Test(broker_errors, constraints_tell_which_kind)
{
	start(NULL, NULL);
	for (unsigned i = 0; i < sizeof violations / sizeof violations[0]; i++) {
		const struct reply *reply =
		    expect_error(a, wire_sql(a, "update", "%s", violations[i].sql),
			POOLITE_CONSTRAINT, NULL);
		CHECK(reply->failure.sqlite == violations[i].sqlite, "%s: %d, not %d",
		    violations[i].sql, reply->failure.sqlite, violations[i].sqlite);
		expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
		expect_number(a, 0, "SELECT count(*) FROM child");
	}
}

Test(broker_errors, batch_and_transaction_and_script_are_undone_whole)
{
	start(NULL, NULL);
	refused(a, POOLITE_CONSTRAINT, "UNIQUE", "batch",
	    "[`INSERT INTO t (k) VALUES (?)`, [[`b`], [`c`], [`a`], [`d`]]]");
	refused(a, POOLITE_CONSTRAINT, "2", "transaction",
	    "[[[`DELETE FROM t`], [`INSERT INTO t (n) VALUES (-1)`], [`SELECT 1`]]]");
	refused(a, POOLITE_CONSTRAINT, "CHECK", "script",
	    "[`CREATE TABLE u (x); DELETE FROM t; INSERT INTO t (n) VALUES (-1)`]");
	refused(a, POOLITE_CONSTRAINT, "FOREIGN KEY", "script",
	    "[`INSERT INTO child (d) VALUES (7)`]");
	expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
	expect_number(a, 0, "SELECT count(*) FROM sqlite_schema WHERE name = 'u'");
}

static const struct wrong not_allowed[] = {
    {"update", "[`BEGIN`]", "begin"},
    {"update", "[`  /* x */ BeGiN IMMEDIATE`]", "begin"},
    {"update", "[`COMMIT`]", "commit"},
    {"update", "[`END`]", "commit"},
    {"update", "[`ROLLBACK`]", "rollback"},
    {"query", "[`EXPLAIN COMMIT`]", NULL},
    {"update", "[`SAVEPOINT x`]", NULL},
    {"update", "[`RELEASE x`]", NULL},
    {"update", "[`ROLLBACK TO x`]", NULL},
    {"update", "[`ATTACH 'x' AS y`]", NULL},
    {"update", "[`DETACH main`]", NULL},
    {"update", "[`VACUUM`]", NULL},
    {"update", "[`VACUUM INTO 'x'`]", NULL},
    {"update", "[`CREATE TEMP TABLE u (x)`]", NULL},
    {"update", "[`CREATE TABLE temp.u (x)`]", NULL},
    {"update", "[`CREATE TEMP VIEW u AS SELECT 1`]", NULL},
    {"update", "[`CREATE TEMP TRIGGER u AFTER INSERT ON t BEGIN SELECT 1; END`]", NULL},
    {"query", "[`PRAGMA journal_mode = DELETE`]", NULL},
    {"query", "[`PRAGMA main.synchronous = OFF`]", NULL},
    {"query", "[`pragma/**/foreign_keys(0)`]", NULL},
    {"query", "[`EXPLAIN PRAGMA hard_heap_limit = 1`]", NULL},
    {"query", "[`SELECT * FROM pragma_hard_heap_limit`]", NULL},
    {"query", "[`PRAGMA wal_checkpoint`]", NULL},
    {"query", "[`PRAGMA writable_schema = 1`]", NULL},
    {"query", "[`PRAGMA defer_foreign_keys = 1`]", NULL},
    {"query", "[`PRAGMA query_only`]", NULL},
    {"query", "[`SELECT load_extension('x')`]", NULL},
    {"query", "[`SELECT fts3_tokenizer('simple')`]", NULL},
    {"query", "[`SELECT * FROM sqlite_stmt`]", NULL},
    {"query", "[`SELECT last_insert_rowid()`]", NULL},
    {"query", "[`SELECT changes()`]", NULL},
    {"update", "[`UPDATE t SET n = total_changes()`]", NULL},
    {"batch", "[`INSERT INTO t (n) SELECT changes()`, [[]]]", NULL},
    {"transaction", "[[[`DELETE FROM t`], [`COMMIT`]]]", NULL},
    {"script", "[`DELETE FROM t; ATTACH 'x' AS y`]", NULL},
    {"query", "[`SELECT 1; SAVEPOINT x`]", NULL},
    {"query", "[`SELECT changes(); SELECT 1`]", NULL},
    {"query", "[`SELECT 1; SELECT 2; SELECT changes()`]", NULL},
};

Test(broker_errors, guarded_texts_are_not_allowed)
{
	REFUSE_ALL(POOLITE_NOT_ALLOWED, not_allowed);
}

Test(broker_errors, writes_in_a_read_transaction_are_read_only)
{
	start(NULL, NULL);
	call(a, "begin", "[{`mode`: `read`}]");
	refused(a, POOLITE_READ_ONLY, NULL, "update", "[`DELETE FROM t`]");
	refused(a, POOLITE_READ_ONLY, NULL, "query", "[`DELETE FROM t RETURNING id`]");
	refused(
	    a, POOLITE_READ_ONLY, NULL, "batch", "[`DELETE FROM t WHERE id = ?`, [[1]]]");
	refused(a, POOLITE_READ_ONLY, NULL, "script", "[`DELETE FROM t`]");
	refused(a, POOLITE_READ_ONLY, NULL, "transaction", "[[[`DELETE FROM t`]]]");
	refused(a, POOLITE_READ_ONLY, NULL, "update", "[`CREATE TABLE u (x)`]");
	expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
	ask(a, "commit");
	expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
}

Test(broker_errors, end_of_no_transaction_is_told_so)
{
	static const struct wrong wrongs[] = {
	    {"commit", "[]", NULL}, {"rollback", "[]", NULL}};

	REFUSE_ALL(POOLITE_NO_TRANSACTION, wrongs);
}

Test(broker_errors, second_begin_is_a_bad_request_and_changes_nothing)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t (k) VALUES ('b')");
	refused(a, POOLITE_BAD_REQUEST, NULL, "begin", "[]");
	refused(a, POOLITE_BAD_REQUEST, NULL, "begin", "[{`mode`: `read`}]");
	update(a, "INSERT INTO t (k) VALUES ('c')");
	ask(a, "commit");
	expect_number(a, 3, "SELECT count(*) FROM t");
}

Test(broker_errors, wait_for_the_writer_ends_with_pool_timeout)
{
	struct wire *b;

	start("--connection-timeout", "0.5");
	b = wire_open(&broker);
	ask(a, "begin");
	refused(b, POOLITE_POOL_TIMEOUT, "pid", "update", "[`DELETE FROM t`]");
	refused(b, POOLITE_POOL_TIMEOUT, "pid", "begin", "[]");
	CHECK_TEXT(ask(b, "rollback"), "null");
	ask(a, "commit");
	expect_number(b, 1, "SELECT count(*) FROM t");
}

Test(broker_errors, long_statements_end_with_query_timeout)
{
	start("--query-timeout", "0.5");
	refused(a, POOLITE_QUERY_TIMEOUT, NULL, "query", "[`" ENDLESS "`]");
	refused(a, POOLITE_QUERY_TIMEOUT, NULL, "update",
	    "[`INSERT INTO t (n) " ENDLESS "`]");
	expect_rows(a, "[[1, `a`, 0]]", "SELECT * FROM t");
}

Test(broker_errors, stop_ends_what_runs_with_shutting_down)
{
	uint32_t msgid;

	start("--grace", "0.1");
	msgid = wire_sql(a, "query", ENDLESS);
	await_stat(wire_open(&broker), "active_connections", 1);
	kill(broker.pid, SIGTERM);
	expect_error(a, msgid, POOLITE_SHUTTING_DOWN, NULL);
	expect_end(a);
	CHECK_EQ(poolited_wait(&broker), 0);
}

Test(broker_errors, library_says_no_broker_when_none_is_there)
{
	struct poolite_options options = {.connect_timeout_ms = 100};
	struct poolite_error error;
	struct poolite *db;
	char path[100];

	start(NULL, NULL);
	snprintf(path, sizeof path, "%s/nobody", broker.folder);
	CHECK_EQ(poolite_open(path, &options, &db, &error), 0);
	CHECK_EQ(poolite_update(db, "DELETE FROM t", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_NO_BROKER);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	poolite_close(db);
}
