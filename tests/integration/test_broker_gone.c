/* Clients that go: half-closed, closed, killed; before, inside and behind requests. */
#include <criterion/criterion.h>
#include <signal.h>
#include <unistd.h>

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
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_gone, .fini = tear_down, .timeout = 60);

Test(broker_gone, half_closed_client_gets_its_answers)
{
	uint32_t first = 0;

	start(NULL, NULL);
	wire_cork(b);
	for (int i = 0; i < 50; i++) {
		uint32_t msgid =
		    wire_sql(b, "update", "INSERT INTO t (x) VALUES (%d)", i);
		first = first ? first : msgid;
	}
	wire_uncork(b);
	wire_half_close(b);
	for (uint32_t i = 0; i < 50; i++)
		expect_ok(b, first + i);
	CHECK(wire_next(b) == NULL, "there is more");
	expect_number(a, 50, "SELECT count(*) FROM t");
}

Test(broker_gone, half_closed_client_s_open_transaction_is_rolled_back_behind_it)
{
	uint32_t last;

	start(NULL, NULL);
	ask(a, "begin");
	wire_cork(b);
	wire_bare(b, "begin");
	last = wire_sql(b, "update", "INSERT INTO t (x) VALUES (1)");
	wire_uncork(b);
	wire_half_close(b);
	ask(a, "commit");
	expect_ok(b, last);
	expect_end(b);
	update(a, "INSERT INTO t (x) VALUES (2)");
	expect_rows(a, "[[2]]", "SELECT x FROM t");
}

Test(broker_gone, client_that_dies_in_mid_message_has_done_nothing)
{
	start(NULL, NULL);
	wire_send_bytes(b, "\x94\x00\x01\xa6update\x91\xd9\x22INSERT INTO t (x)", 28);
	wire_close(b);
	await_stat_is(a, "sessions.open", 1);
	expect_number(a, 0, "SELECT count(*) FROM t");
}

static void die_in_a_transaction(unsigned index, void *context)
{
	struct wire *wire = wire_open(context);

	(void)index;
	ask(wire, "begin");
	update(wire, "INSERT INTO t (x) VALUES ('dead')");
	raise(SIGKILL);
}

Test(broker_gone, killed_client_s_transaction_is_rolled_back_and_the_next_one_served)
{
	pid_t pid;
	uint32_t msgid;

	start(NULL, NULL);
	ask(a, "begin");
	pid = client_start(die_in_a_transaction, 0, &broker);
	await_stat(b, "queues.writer", 1);
	msgid = wire_sql(b, "update", "INSERT INTO t (x) VALUES ('next')");
	ask(a, "commit");
	CHECK_EQ(process_wait(pid), 128 + SIGKILL);
	expect_ok(b, msgid);
	expect_rows(a, "[[`next`]]", "SELECT x FROM t");
}

Test(broker_gone, update_that_was_sent_is_carried_out_though_its_client_has_gone)
{
	struct wire *gone;

	start(NULL, NULL);
	ask(a, "begin");
	for (int i = 0; i < 5; i++) {
		gone = wire_open(&broker);
		wire_sql(gone, "update", "INSERT INTO t (x) VALUES (%d)", i);
		wire_close(gone);
	}
	await_stat(b, "queues.writer", 5);
	ask(a, "commit");
	await_stat_is(b, "sessions.open", 2);
	expect_rows(b, "[[5, 10]]", "SELECT count(*), sum(x) FROM t");
}

Test(broker_gone,
    whole_transaction_that_was_sent_is_carried_out_though_its_client_has_gone)
{
	static const char *const ends[] = {"commit", "rollback", "ping"};

	start(NULL, NULL);
	ask(a, "begin");
	for (int i = 0; i < 3; i++) { /* the last one has no end at all */
		struct wire *gone = wire_open(&broker);
		wire_cork(gone);
		wire_bare(gone, "begin");
		wire_sql(gone, "update", "INSERT INTO t (x) VALUES (%d)", 10 + i);
		wire_sql(gone, "update", "INSERT INTO t (x) VALUES (%d)", 20 + i);
		wire_bare(gone, ends[i]);
		wire_uncork(gone);
		wire_close(gone);
	}
	await_stat(b, "queues.writer", 1);
	ask(a, "commit");
	await_stat_is(b, "sessions.open", 2);
	expect_rows(b, "[[10], [20]]", "SELECT x FROM t ORDER BY x");
	update(a, "INSERT INTO t (x) VALUES ('free')");
}

Test(broker_gone, reads_of_a_client_that_has_gone_are_given_up)
{
	start(NULL, NULL);
	wire_sql(b, "query", ENDLESS);
	wire_sql(b, "query", ENDLESS " -- again");
	await_stat_is(a, "active_connections", 2);
	wire_close(b);
	await_stat_is(a, "active_connections", 0);
}
