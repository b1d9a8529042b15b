/* Dead transactions: whatever ended one before its commit or rollback, nothing that was
 * meant for it happens outside it.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS_ROWS  "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n) "
#define ENDLESS_WRITE ENDLESS_ROWS "INSERT INTO t SELECT i, i FROM n WHERE i < 200"

static struct poolited broker;
static struct wire *a, *b;

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	b = wire_open(&broker);
	run(a, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE);"
	    "CREATE TABLE guarded (x);"
	    "CREATE TRIGGER rolls BEFORE INSERT ON guarded BEGIN SELECT RAISE(ROLLBACK, 'rolls'); END;"
	    "INSERT INTO t VALUES (1, 'taken')");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_dead, .fini = tear_down, .timeout = 60);

/* ---- how it dies; each leaves a's transaction dead by the code it returns --------- */

static enum poolite_code by_bad_options(void)
{
	refused(a, POOLITE_BAD_REQUEST, NULL, "begin", "[{`mode`: `nonsense`}]");
	return POOLITE_BAD_REQUEST;
}

static enum poolite_code by_timeout_of_begin(void)
{
	ask(b, "begin");
	refused(a, POOLITE_POOL_TIMEOUT, NULL, "begin", "[{`timeout_ms`: 60}]");
	ask(b, "rollback");
	return POOLITE_POOL_TIMEOUT;
}

static enum poolite_code by_cancelled_begin(void)
{
	uint32_t msgid;

	ask(b, "begin");
	msgid = wire_bare(a, "begin");
	CHECK_TEXT(call(a, "cancel", "[%u]", msgid), "true");
	expect_error(a, msgid, POOLITE_CANCELLED, NULL);
	ask(b, "rollback");
	return POOLITE_CANCELLED;
}

static void begin_and_write(void)
{
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
}

static enum poolite_code by_or_rollback(void)
{
	begin_and_write();
	refused(a, POOLITE_CONSTRAINT, NULL, "update",
	    "[`INSERT OR ROLLBACK INTO t VALUES (3, 'taken')`]");
	return POOLITE_CONSTRAINT;
}

static enum poolite_code by_raise_rollback(void)
{
	begin_and_write();
	refused(a, POOLITE_CONSTRAINT, "rolls", "batch",
	    "[`INSERT INTO guarded VALUES (?)`, [[1]]]");
	return POOLITE_CONSTRAINT;
}

static enum poolite_code by_deadline_in_a_write(void)
{
	begin_and_write();
	refused(a, POOLITE_QUERY_TIMEOUT, NULL, "update",
	    "[`" ENDLESS_WRITE "`, null, {`timeout_ms`: 100}]");
	return POOLITE_QUERY_TIMEOUT;
}

static enum poolite_code by_cancel_in_a_write(void)
{
	const struct reply *next;

	begin_and_write();
	do { /* until the cancel comes when the write has begun */
		uint32_t msgid = wire_sql(a, "update", ENDLESS_WRITE);
		wire_sync(b);
		CHECK_TEXT(call(a, "cancel", "[%u]", msgid), "true");
		expect_error(a, msgid, POOLITE_CANCELLED, NULL);
		next = wire_receive(a, wire_sql(a, "query", "SELECT 1"));
	} while (next->failure.code == POOLITE_OK);
	CHECK_EQ(next->failure.code, POOLITE_CANCELLED);
	return POOLITE_CANCELLED;
}

static enum poolite_code by_expiry(void)
{
	begin_and_write();
	expect_number(b, 0, "SELECT count(*) FROM t WHERE id = 2");
	expect_ok(b, wire_sql(b, "update", "UPDATE t SET k = k"));
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "query", "[`SELECT 1`]");
	return POOLITE_TRANSACTION_EXPIRED;
}

static enum poolite_code by_abort_on_error(void)
{
	call(a, "begin", "[{`on_error`: `abort`}]");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	refused(a, POOLITE_SQL_ERROR, NULL, "query", "[`SELECT * FROM nowhere`]");
	return POOLITE_SQL_ERROR;
}

static enum poolite_code by_abort_on_bad_request(void)
{
	call(a, "begin", "[{`on_error`: `abort`}]");
	update(a, "INSERT INTO t VALUES (2, 'mine')");
	refused(a, POOLITE_BAD_REQUEST, NULL, "update", "[`DELETE FROM t`, 5]");
	return POOLITE_BAD_REQUEST;
}

static enum poolite_code by_abort_in_a_read(void)
{
	call(a, "begin", "[{`on_error`: `abort`, `mode`: `read`}]");
	refused(a, POOLITE_READ_ONLY, NULL, "update", "[`DELETE FROM t`]");
	return POOLITE_READ_ONLY;
}

static const struct death {
	const char *cause;
	enum poolite_code (*die)(void);
} deaths[] = {
    {"bad options", by_bad_options},
    {"timeout of begin", by_timeout_of_begin},
    {"cancelled begin", by_cancelled_begin},
    {"OR ROLLBACK", by_or_rollback},
    {"RAISE(ROLLBACK)", by_raise_rollback},
    {"deadline in a write", by_deadline_in_a_write},
    {"cancel in a write", by_cancel_in_a_write},
    {"expiry", by_expiry},
    {"abort on error", by_abort_on_error},
    {"abort on a bad request", by_abort_on_bad_request},
    {"abort in a read", by_abort_in_a_read},
};

/* ---- what it is like ----------------------------------------------------------------- */

static void expect_dead(enum poolite_code cause)
{
	static const char *const methods[] = {"hello", "ping", "stats", "health"};

	refused(a, cause, NULL, "update", "[`INSERT INTO t VALUES (3, 'outside')`]");
	refused(a, cause, NULL, "query", "[`SELECT 1`]");
	refused(a, cause, NULL, "query", "[`DELETE FROM t RETURNING id`]");
	refused(a, cause, NULL, "batch", "[`INSERT INTO t VALUES (?, 4)`, [[4]]]");
	refused(a, cause, NULL, "transaction", "[[[`DELETE FROM t`]]]");
	refused(a, cause, NULL, "script", "[`DELETE FROM t`]");
	refused(a, cause, NULL, "begin", "[]");
	refused(a, cause, NULL, "update", "[`DELETE FROM t`, 5]");
	refused(a, cause, NULL, "nonsense", "[]");
	for (unsigned i = 0; i < 4; i++)
		ask(a, methods[i]);
	CHECK_TEXT(call(a, "cancel", "[1]"), "false");
}

static void expect_alive_again(void)
{
	expect_rows(b, "[[1, `taken`]]", "SELECT * FROM t");
	update(a, "INSERT INTO t VALUES (9, 'works')");
	update(a, "DELETE FROM t WHERE id = 9");
	refused(a, POOLITE_NO_TRANSACTION, NULL, "commit", "[]");
	ask(a, "begin");
	ask(a, "commit");
}

Test(broker_dead, refuses_all_with_its_cause_up_to_its_end)
{
	start("--transaction-idle-timeout", "0.1");
	for (unsigned i = 0; i < sizeof deaths / sizeof deaths[0]; i++) {
		enum poolite_code cause = deaths[i].die();
		expect_dead(cause);
		refused(a, cause, NULL, "commit", "[]");
		expect_alive_again();
		deaths[i].die();
		expect_dead(cause);
		CHECK_TEXT(ask(a, "rollback"), "null");
		expect_alive_again();
	}
}

Test(broker_dead, begin_straight_after_a_failed_begin_starts_anew)
{
	start(NULL, NULL);
	for (unsigned i = 0; i < 3; i++) { /* the three deaths of a begin */
		deaths[i].die();
		ask(a, "begin");
		update(a, "INSERT INTO t VALUES (5, 'inside')");
		expect_number(b, 1, "SELECT count(*) FROM t");
		ask(a, "rollback");
		deaths[i].die();
		deaths[i].die();
		call(a, "begin", "[{`mode`: `read`}]");
		ask(a, "commit");
	}
}

Test(broker_dead, ping_between_does_not_count_as_a_request_of_it)
{
	start(NULL, NULL);
	by_bad_options();
	wire_sync(a);
	ask(a, "begin");
	ask(a, "commit");
}

Test(broker_dead, read_stopped_by_its_deadline_does_not_kill)
{
	start(NULL, NULL);
	begin_and_write();
	refused(a, POOLITE_QUERY_TIMEOUT, NULL, "query",
	    "[`" ENDLESS_ROWS "SELECT count(*) FROM n`, null, {`timeout_ms`: 60}]");
	ask(a, "commit");
	expect_number(b, 2, "SELECT count(*) FROM t");
}

Test(broker_dead, writer_is_free_for_others)
{
	start(NULL, NULL);
	by_or_rollback();
	update(b, "INSERT INTO t VALUES (2, 'free')");
	ask(b, "begin");
	ask(b, "commit");
	refused(a, POOLITE_CONSTRAINT, NULL, "commit", "[]");
}

/* ---- pipelined ------------------------------------------------------------------------- */

/* A whole transaction in one write: begin with these params, four writes of which the
 * second is ${second}, commit; and one write behind it.  Returns the begin's msgid. */
static uint32_t send_pipeline(const char *begin, const char *second)
{
	uint32_t first;

	wire_cork(a);
	first = wire_send(a, "begin", "%s", begin);
	wire_sql(a, "update", "INSERT INTO t VALUES (10, 10)");
	wire_sql(a, "update", "%s", second);
	wire_send(a, "batch", "[`INSERT INTO t VALUES (?, ?)`, [[12, 12], [13, 13]]]");
	wire_send(a, "transaction", "[[[`INSERT INTO t VALUES (14, 14)`]]]");
	wire_bare(a, "commit");
	wire_sql(a, "update", "INSERT INTO t VALUES (20, 'behind')");
	wire_uncork(a);
	return first;
}

/* Requests ${from} .. ${to} of the pipeline are refused with ${cause}; the one behind it works. */
static void expect_refused(
    uint32_t first, unsigned from, unsigned to, enum poolite_code cause)
{
	for (unsigned i = 0; i < from; i++)
		expect_ok(a, first + i);
	for (unsigned i = from; i <= to; i++)
		expect_error(a, first + i, cause, NULL);
	expect_ok(a, first + to + 1);
	expect_rows(a, "[[1], [20]]", "SELECT id FROM t ORDER BY id");
}

static const char good[] = "INSERT INTO t VALUES (11, 11)";

Test(broker_dead, pipeline_runs_whole_when_all_is_well)
{
	uint32_t first;

	start(NULL, NULL);
	first = send_pipeline("[{`on_error`: `abort`}]", good);
	for (unsigned i = 0; i < 7; i++)
		expect_ok(a, first + i);
	expect_number(b, 7, "SELECT count(*) FROM t");
}

Test(broker_dead, pipeline_whose_begin_has_bad_options_runs_nothing)
{
	start(NULL, NULL);
	expect_refused(
	    send_pipeline("[{`mode`: `nonsense`}]", good), 0, 5, POOLITE_BAD_REQUEST);
}

Test(broker_dead, pipeline_whose_begin_waits_in_vain_runs_nothing)
{
	uint32_t first;

	start("--connection-timeout", "0.5");
	ask(b, "begin");
	first = send_pipeline("[]", good);
	expect_error(a, first, POOLITE_POOL_TIMEOUT, "pid");
	ask(b, "rollback");
	expect_refused(first + 1, 0, 4, POOLITE_POOL_TIMEOUT);
}

Test(broker_dead, pipeline_that_expires_runs_nothing)
{
	start("--transaction-timeout", "0.5");
	expect_refused(
	    send_pipeline("[]", ENDLESS_WRITE), 2, 5, POOLITE_TRANSACTION_EXPIRED);
}

Test(broker_dead, pipeline_with_abort_ends_at_its_first_error)
{
	start(NULL, NULL);
	expect_refused(
	    send_pipeline("[{`on_error`: `abort`}]", "INSERT INTO t VALUES (1, 1)"), 2, 5,
	    POOLITE_CONSTRAINT);
}

Test(broker_dead, pipeline_that_sqlite_ends_runs_nothing_more)
{
	start(NULL, NULL);
	expect_refused(send_pipeline("[]", "INSERT OR ROLLBACK INTO t VALUES (1, 1)"), 2,
	    5, POOLITE_CONSTRAINT);
}

Test(broker_dead, pipeline_without_abort_goes_on_after_an_error)
{
	uint32_t first;

	start(NULL, NULL);
	first = send_pipeline("[]", "INSERT INTO t VALUES (1, 1)");
	expect_error(a, first + 2, POOLITE_CONSTRAINT, NULL);
	expect_ok(a, first + 5);
	expect_ok(a, first + 6);
	expect_number(b, 6, "SELECT count(*) FROM t");
}
