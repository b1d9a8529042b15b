/* Transactions over round trips while they live: order, isolation, savepoints, the
 * commit, and how they expire.  Dead ones: test_broker_dead.c.
 */
#include <criterion/criterion.h>
#include <signal.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "               \
	"SELECT count(*) FROM n"

static struct poolited broker;
static struct wire *a, *b;

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	b = wire_open(&broker);
	run(a, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE);"
	    "CREATE TABLE child (p REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
	    "INSERT INTO t VALUES (1, 'taken')");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_transactions, .fini = tear_down, .timeout = 60);

/* ---- what it is ---------------------------------------------------------------- */

Test(broker_transactions, others_see_it_when_it_is_committed_and_not_before)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	expect_number(a, 2, "SELECT count(*) FROM t");
	expect_number(b, 1, "SELECT count(*) FROM t");
	ask(a, "commit");
	expect_number(b, 2, "SELECT count(*) FROM t");
}

Test(broker_transactions, rollback_undoes_all_of_it)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "DELETE FROM t");
	update(a, "CREATE TABLE made (x)");
	ask(a, "rollback");
	expect_number(a, 1, "SELECT count(*) FROM t");
	expect_number(b, 0, "SELECT count(*) FROM sqlite_schema WHERE name = 'made'");
}

Test(broker_transactions, every_verb_works_inside)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	call(a, "batch", "[`INSERT INTO t VALUES (?, ?)`, [[3, 3], [4, 4]]]");
	call(a, "transaction", "[[[`INSERT INTO t VALUES (5, 5)`], [`SELECT 1`]]]");
	run(a, "script", "INSERT INTO t VALUES (6, 6); INSERT INTO t VALUES (7, 7)");
	expect_rows(a, "[[7]]", "SELECT last_insert_rowid()");
	CHECK_HAS(run(a, "query", "DELETE FROM t WHERE id > 5 RETURNING id"),
	    "`rows`: [[6], [7]], `changes`: 2");
	ask(a, "commit");
	expect_number(b, 5, "SELECT count(*) FROM t");
}

/* Each of these is refused inside, has done nothing, and the transaction goes on. */
static const struct {
	const char *method, *params;
	enum poolite_code code;
} failures[] = {
    {"update", "[`INSERT INTO t VALUES (50, 50), (51, 'taken')`]", POOLITE_CONSTRAINT},
    {"update", "[`INSERT OR FAIL INTO t VALUES (50, 50), (51, 'taken')`]",
	POOLITE_CONSTRAINT},
    {"batch", "[`INSERT INTO t VALUES (50, ?)`, [[50], [`taken`]]]", POOLITE_CONSTRAINT},
    {"transaction", "[[[`DELETE FROM t`], [`DELETE FROM nowhere`]]]", POOLITE_SQL_ERROR},
    {"script", "[`DELETE FROM t; CREATE TABLE made (x); DELETE FROM nowhere`]",
	POOLITE_SQL_ERROR},
    {"script", "[`DELETE FROM t`, {`foreign_keys`: false}]", POOLITE_BAD_REQUEST},
    {"script", "[`PRAGMA foreign_keys = OFF; DELETE FROM t`]", POOLITE_BAD_REQUEST},
    {"query", "[`SELECT * FROM nowhere`]", POOLITE_SQL_ERROR},
    {"update", "[`DELETE FROM t WHERE id = ?`]", POOLITE_BAD_REQUEST},
    {"update", "[`DELETE FROM t`, null, {`nonsense`: 1}]", POOLITE_BAD_REQUEST},
    {"update", "[`UPDATE t SET k = zeroblob(2000000000)`]", POOLITE_TOO_LARGE},
    {"update", "[`COMMIT`]", POOLITE_NOT_ALLOWED},
    {"update", "[`ROLLBACK`]", POOLITE_NOT_ALLOWED},
    {"update", "[`BEGIN`]", POOLITE_NOT_ALLOWED},
    {"update", "[`CREATE TEMP TABLE x (y)`]", POOLITE_NOT_ALLOWED},
    {"begin", "[]", POOLITE_BAD_REQUEST},
    {"begin", "[{`mode`: `nonsense`}]", POOLITE_BAD_REQUEST},
    {"nonsense", "[]", POOLITE_UNKNOWN_METHOD},
    {"query", "[`" ENDLESS "`, null, {`timeout_ms`: 100}]", POOLITE_QUERY_TIMEOUT},
};

Test(broker_transactions, failed_statement_did_nothing_and_it_goes_on)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	for (unsigned i = 0; i < sizeof failures / sizeof failures[0]; i++) {
		refused(a, failures[i].code, NULL, failures[i].method, "%s",
		    failures[i].params);
		expect_number(a, 2, "SELECT count(*) FROM t");
	}
	ask(a, "commit");
	expect_rows(b, "[[1], [2]]", "SELECT id FROM t ORDER BY id");
	expect_number(b, 0, "SELECT count(*) FROM sqlite_schema WHERE name = 'made'");
}

Test(broker_transactions, pending_violations_are_legal_until_the_commit)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO child VALUES (2)");
	update(a, "INSERT INTO t VALUES (2, 'parent')");
	ask(a, "commit");
	ask(a, "begin");
	update(a, "INSERT INTO child VALUES (3)");
	update(a, "INSERT INTO t VALUES (4, 'other')");
	CHECK_EQ(
	    expect_error(a, wire_bare(a, "commit"), POOLITE_CONSTRAINT, "FOREIGN KEY")
		->failure.sqlite,
	    787);
	refused(a, POOLITE_NO_TRANSACTION, NULL, "commit", "[]");
	expect_rows(b, "[[1], [2]]", "SELECT id FROM t ORDER BY id");
	update(b, "INSERT INTO t VALUES (4, 'free')");
}

/* ---- savepoints ------------------------------------------------------------------- */

Test(broker_transactions, savepoints_are_the_client_s)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "SAVEPOINT one");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	update(a, "SAVEPOINT \"two\"");
	update(a, "INSERT INTO t VALUES (3, 'c')");
	refused(a, POOLITE_CONSTRAINT, NULL, "update", "[`INSERT INTO t VALUES (1, 1)`]");
	update(a, "ROLLBACK TRANSACTION TO SAVEPOINT two");
	update(a, "INSERT INTO t VALUES (4, 'd')");
	update(a, "RELEASE one");
	refused(a, POOLITE_SQL_ERROR, "two", "update", "[`ROLLBACK TO two`]");
	ask(a, "commit");
	expect_rows(b, "[[1], [2], [4]]", "SELECT id FROM t ORDER BY id");
}

Test(broker_transactions, savepoint_names_of_the_broker_are_not_allowed)
{
	static const char *const texts[] = {"SAVEPOINT poolite", "SAVEPOINT Poolite_x",
	    "SAVEPOINT \"POOLITE\"", "SAVEPOINT [poolite_member]", "SAVEPOINT 'poolitex'",
	    "RELEASE poolite", "RELEASE SAVEPOINT \"pooLite\"", "ROLLBACK TO poolite",
	    "ROLLBACK TRANSACTION TO SAVEPOINT/**/poolite_1"};

	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++)
		refused(a, POOLITE_NOT_ALLOWED, NULL, "update", "[`%s`]", texts[i]);
	ask(a, "commit");
	expect_number(b, 2, "SELECT count(*) FROM t");
}

Test(broker_transactions, savepoint_does_not_outlive_its_transaction)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "SAVEPOINT mine");
	update(a, "INSERT INTO t VALUES (2, 'b')");
	ask(a, "commit");
	refused(a, POOLITE_NOT_ALLOWED, NULL, "update", "[`ROLLBACK TO mine`]");
	expect_number(b, 2, "SELECT count(*) FROM t");
	ask(b, "begin");
	refused(b, POOLITE_SQL_ERROR, "mine", "update", "[`RELEASE mine`]");
	ask(b, "commit");
}

/* ---- order ------------------------------------------------------------------------- */

Test(broker_transactions, whole_transactions_are_sent_in_one_go)
{
	uint32_t count;

	start(NULL, NULL);
	wire_cork(a);
	for (int i = 0; i < 10; i++) {
		wire_bare(a, "begin");
		wire_sql(a, "update", "INSERT INTO t VALUES (%d, %d)", 10 + i, 10 + i);
		wire_sql(a, "update", "DELETE FROM t WHERE id = %d", 9 + i);
		wire_bare(a, i % 2 ? "rollback" : "commit");
	}
	count = wire_sql(a, "query", "SELECT id FROM t ORDER BY id");
	wire_uncork(a);
	CHECK_HAS(expect_ok(a, count), "[[1], [10], [12], [14], [16], [18]]");
	for (uint32_t i = 2; i < count; i++)
		expect_ok(a, i);
}

Test(broker_transactions, five_methods_are_answered_at_once)
{
	static const char *const methods[] = {"hello", "ping", "stats", "health"};
	uint32_t begin;

	start(NULL, NULL);
	ask(b, "begin");
	begin = wire_bare(a, "begin");
	wire_sql(a, "update", "INSERT INTO t VALUES (2, 'b')");
	for (unsigned i = 0; i < 4; i++)
		ask(a, methods[i]);
	CHECK_TEXT(call(a, "cancel", "[%u]", begin), "true");
	expect_error(a, begin, POOLITE_CANCELLED, NULL);
	expect_error(a, begin + 1, POOLITE_CANCELLED, NULL);
	CHECK_TEXT(ask(a, "rollback"), "null");
	ask(b, "commit");
}

Test(broker_transactions, begins_are_served_in_the_order_they_came)
{
	struct wire *waiters[5];
	uint32_t begins[5];

	start(NULL, NULL);
	ask(a, "begin");
	for (int i = 0; i < 5; i++) {
		waiters[i] = wire_open(&broker);
		begins[i] = wire_bare(waiters[i], "begin");
		wire_sync(waiters[i]);
	}
	ask(a, "commit");
	for (int i = 0; i < 5; i++) {
		expect_ok(waiters[i], begins[i]);
		expect_number(waiters[i], i + 1, "SELECT count(*) FROM t");
		CHECK_EQ(stat_of(a, "queues.writer"), 4 - i);
		update(waiters[i], "INSERT INTO t VALUES (%d, %d)", i + 10, i + 10);
		ask(waiters[i], "commit");
	}
}

/* ---- time -------------------------------------------------------------------------- */

Test(broker_transactions, idle_one_expires_when_another_waits)
{
	start("--transaction-idle-timeout", "0.2");
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	update(b, "INSERT INTO t VALUES (3, 'waited')");
	expect_rows(b, "[[1], [3]]", "SELECT id FROM t ORDER BY id");
	refused(a, POOLITE_TRANSACTION_EXPIRED, "idle", "update",
	    "[`INSERT INTO t VALUES (4, 4)`]");
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "commit", "[]");
	update(a, "INSERT INTO t VALUES (5, 5)");
	expect_rows(b, "[[1], [3], [5]]", "SELECT id FROM t ORDER BY id");
	CHECK_EQ(stat_of(b, "transactions.expired"), 1);
}

Test(broker_transactions, idle_one_lives_while_nobody_waits)
{
	start("--transaction-idle-timeout", "0.1");
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	process_pause(0.5);
	expect_number(b, 1, "SELECT count(*) FROM t"); /* a reader's: nobody waits */
	ask(a, "commit");
	expect_number(b, 2, "SELECT count(*) FROM t");
}

Test(broker_transactions, old_one_expires_even_if_nobody_waits)
{
	start("--transaction-timeout", "0.5");
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	await_stat(b, "transactions.expired", 1);
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "query", "[`SELECT 1`]");
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "commit", "[]");
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_transactions, running_statement_is_stopped_when_it_expires)
{
	start("--transaction-timeout", "0.5");
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "query", "[`" ENDLESS "`]");
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "update", "[`DELETE FROM t`]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_transactions, stopped_process_does_not_make_it_expire)
{
	struct wire *waiter;
	uint32_t msgid;

	start("--transaction-idle-timeout", "1.5");
	waiter = wire_open(&broker);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	msgid = wire_sql(waiter, "update", "INSERT INTO t VALUES (3, 'waited')");
	wire_sync(waiter);
	kill(broker.pid, SIGSTOP);
	process_pause(3.0);
	kill(broker.pid, SIGCONT);
	wire_sync(b);
	ask(a, "commit");
	expect_ok(waiter, msgid);
	CHECK_EQ(stat_of(b, "transactions.expired"), 0);
}
