/* Somebody sets the machine's clock while the broker runs: no deadline comes early or late.
 *
 * The broker is poolited-faulty, whose wall clock is ahead, or behind, to order.
 */
#include <criterion/criterion.h>
#include <time.h>

#include "tests/support/check.h"
#include "tests/support/faults.h"
#include "tests/support/wire.h"

#define HOUR 3600

static struct poolited broker;
static struct control *control;
static struct wire *a, *b;

static void set_up(void)
{
	control = faults_make(&broker,
	    (const char *const[]){"--connection-timeout", "0.4",
		"--transaction-idle-timeout", "20", "--health-check-interval", "0.1",
		"--max-connections", "4", NULL});
	poolited_run(&broker);
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_clock, .init = set_up, .fini = tear_down, .timeout = 60);

static void set_clock(int64_t ahead_s)
{
	int64_t from = time(NULL) + ahead_s;

	control->clock_ahead_s = ahead_s;
	/* The broker goes by it where people read the time, and nowhere else. */
	if (ahead_s >= 0)
		await_stat(a, "last_health_check", from);
	else
		while (stat_of(a, "last_health_check") > from + HOUR / 2)
			;
}

/* Deadlines of each kind: met, not before their time, and soon after it. */
static void expect_deadlines_as_ever(void)
{
	double started = check_seconds();

	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (1)");
	refused(b, POOLITE_POOL_TIMEOUT, NULL, "update", "[`INSERT INTO t VALUES (2)`]");
	CHECK(check_seconds() - started >= 0.35, "the wait ended early");
	refused(b, POOLITE_QUERY_TIMEOUT, NULL, "query",
	    "[`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	    "SELECT count(*) FROM n`, [], {`timeout_ms`: 300}]");
	CHECK(check_seconds() - started >= 0.65, "the query ended early");
	CHECK(check_seconds() - started < 15, "the deadlines came late");
	CHECK_TEXT(ask(a, "commit"), "null"); /* it did not expire */
}

Test(broker_clock, set_forward_by_an_hour_ends_nothing_early)
{
	set_clock(HOUR);
	expect_deadlines_as_ever();
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_clock, set_back_by_an_hour_ends_nothing_late)
{
	set_clock(-HOUR);
	expect_deadlines_as_ever();
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_clock, set_while_a_transaction_is_open_does_not_expire_it)
{
	uint32_t waiting;

	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (1)");
	waiting = wire_sql(b, "query", "SELECT count(*) FROM t");
	expect_ok(b, waiting);
	set_clock(HOUR);
	set_clock(-HOUR);
	CHECK_TEXT(ask(a, "commit"), "null");
	expect_number(b, 1, "SELECT count(*) FROM t");
}
