/* The pool: it grows, shrinks, waits and says for whom; read transactions and their
 * snapshots.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "               \
	"SELECT count(*) FROM n"
#define READS 8

static struct poolited broker;
static struct wire *a, *b;
static struct wire *readers[READS];
static uint32_t reads[READS];

static void connect_all(void)
{
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	update(a, "INSERT INTO t (x) VALUES (1)");
}

#define START(...) (poolited_start(&broker, ##__VA_ARGS__), connect_all())

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_pool, .fini = tear_down, .timeout = 60);

static void start_endless_reads(void)
{
	for (int i = 0; i < READS; i++) {
		readers[i] = wire_open(&broker);
		reads[i] = wire_sql(readers[i], "query", ENDLESS);
		wire_sync(readers[i]);
	}
}

static void end_endless_reads(void)
{
	for (int i = 0; i < READS; i++) {
		CHECK_TEXT(call(readers[i], "cancel", "[%u]", reads[i]), "true");
		expect_error(readers[i], reads[i], POOLITE_CANCELLED, NULL);
	}
}

static void begin_read(struct wire *wire)
{
	CHECK_TEXT(call(wire, "begin", "[{`mode`: `read`}]"), "{`mode`: `read`}");
}

/* ---- size ------------------------------------------------------------------------ */

Test(broker_pool, grows_on_demand_to_max_connections_and_no_further)
{
	START("--max-connections", "6");
	CHECK(stat_of(a, "pool_size") <= 3, "too many at the start");
	start_endless_reads();
	await_stat_is(a, "pool_size", 6);
	CHECK_EQ(stat_of(a, "readers.open"), 4); /* beside writer and fast reader */
	CHECK_EQ(stat_of(a, "active_connections"), 4);
	CHECK_EQ(stat_of(a, "queues.reads"), READS - 4);
	update(a, "INSERT INTO t (x) VALUES (2)"); /* the writer is not theirs */
	end_endless_reads();
	CHECK_EQ(stat_of(a, "total_connections_created"), 6);
	expect_number(a, 2, "SELECT count(*) FROM t");
}

Test(broker_pool, shrinks_when_connections_are_not_used)
{
	START("--max-connections", "6", "--health-check-interval", "0.1");
	start_endless_reads();
	await_stat_is(a, "pool_size", 6);
	end_endless_reads();
	await_stat_is(a, "pool_size", 3);
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_pool, exhausted_pool_times_out_and_recovers)
{
	START("--max-connections", "5", "--connection-timeout", "0.5");
	start_endless_reads();
	for (int i = 3; i < READS; i++)
		expect_error(readers[i], reads[i], POOLITE_POOL_TIMEOUT, "reader");
	refused(a, POOLITE_POOL_TIMEOUT, "pid", "query", "[`SELECT 1 FROM t`]");
	for (int i = 0; i < 3; i++) {
		call(readers[i], "cancel", "[%u]", reads[i]);
		expect_error(readers[i], reads[i], POOLITE_CANCELLED, NULL);
	}
	expect_number(a, 1, "SELECT count(*) FROM t");
}

/* ---- the writer's holder ------------------------------------------------------------ */

/* Begin, say so, and keep the writer until the pipe's other end is closed. */
static void hold_the_writer(unsigned index, void *context)
{
	int *ends = context;
	struct wire *wire = wire_open(&broker);
	char byte = 'h';

	(void)index;
	close(ends[1]);
	ask(wire, "begin");
	CHECK_EQ(write(ends[0], &byte, 1), 1);
	CHECK_EQ(read(ends[0], &byte, 1), 0);
}

Test(broker_pool, writer_s_holder_is_named_by_its_pid)
{
	int ends[2];
	char byte, pid_text[20];
	pid_t pid;

	START("--connection-timeout", "0.5");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = client_start(hold_the_writer, 0, ends);
	close(ends[0]);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
	snprintf(pid_text, sizeof pid_text, "pid %d ", (int)pid);
	refused(a, POOLITE_POOL_TIMEOUT, pid_text, "update", "[`DELETE FROM t`]");
	refused(a, POOLITE_POOL_TIMEOUT, "transaction", "batch",
	    "[`DELETE FROM t WHERE id = ?`, [[1]]]");
	refused(a, POOLITE_POOL_TIMEOUT, pid_text, "begin", "[]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	CHECK_EQ(stat_of(a, "holder.pid"), pid);
	close(ends[1]);
	client_wait(pid);
	update(a, "INSERT INTO t (x) VALUES (2)");
}

/* ---- read transactions ---------------------------------------------------------------- */

Test(broker_pool, read_transaction_keeps_the_state_of_its_begin)
{
	START();
	begin_read(b);
	update(a, "INSERT INTO t (x) VALUES (2)");
	update(a, "CREATE TABLE made (x)");
	expect_number(b, 1, "SELECT count(*) FROM t");
	refused(b, POOLITE_SQL_ERROR, "made", "query", "[`SELECT * FROM made`]");
	update(a, "DELETE FROM t");
	expect_number(b, 1, "SELECT count(*) FROM t");
	ask(b, "commit");
	expect_number(b, 0, "SELECT count(*) FROM t");
	expect_number(b, 0, "SELECT count(*) FROM made");
}

Test(broker_pool, read_transaction_sees_all_that_was_answered_before_it)
{
	START("--synchronous", "NORMAL");
	for (int i = 0; i < 300; i++) {
		update(a, "UPDATE t SET x = %d", i);
		begin_read(b);
		expect_number(b, i, "SELECT x FROM t");
		ask(b, "rollback");
	}
}

/* max_connections, and how many read transactions there may be then */
static const struct {
	const char *connections;
	int allowed;
} halves[] = {{"4", 1}, {"5", 1}, {"6", 2}, {"7", 2}, {"10", 4}};

Test(broker_pool, read_transactions_have_at_most_half_of_the_readers)
{
	for (unsigned i = 0; i < sizeof halves / sizeof halves[0]; i++) {
		struct wire *holders[5] = {NULL};
		uint32_t one_more;
		START("--max-connections", halves[i].connections);
		for (int j = 0; j < halves[i].allowed; j++)
			begin_read(holders[j] = wire_open(&broker));
		one_more = wire_send(b, "begin", "[{`mode`: `read`}]");
		wire_sync(b);
		CHECK_EQ(stat_of(a, "queues.read_transactions"), 1);
		CHECK_EQ(stat_of(a, "readers.in_transactions"), halves[i].allowed);
		expect_number(a, 1, "SELECT count(*) FROM t");
		ask(holders[0], "commit");
		expect_ok(b, one_more);
		expect_number(b, 1, "SELECT count(*) FROM t");
		ask(b, "rollback");
		poolited_end(&broker);
	}
	START();
}

Test(broker_pool, read_transactions_wait_in_vain_and_are_told)
{
	START("--max-connections", "4", "--connection-timeout", "0.5");
	begin_read(a);
	refused(
	    b, POOLITE_POOL_TIMEOUT, "read transactions", "begin", "[{`mode`: `read`}]");
	CHECK_TEXT(ask(b, "rollback"), "null");
	expect_number(b, 1, "SELECT count(*) FROM t");
}

Test(broker_pool, idle_read_transaction_expires_when_others_wait)
{
	START("--max-connections", "4", "--transaction-idle-timeout", "0.2");
	begin_read(a);
	expect_number(a, 1, "SELECT count(*) FROM t");
	begin_read(b);
	refused(a, POOLITE_TRANSACTION_EXPIRED, "idle", "query", "[`SELECT 1`]");
	refused(a, POOLITE_TRANSACTION_EXPIRED, NULL, "commit", "[]");
	expect_number(b, 1, "SELECT count(*) FROM t");
	ask(b, "commit");
}

Test(broker_pool, killed_reader_s_transaction_gives_its_connection_back)
{
	START("--max-connections", "4");
	begin_read(b);
	wire_sql(b, "query", ENDLESS);
	await_stat(a, "active_connections", 1);
	wire_close(b);
	begin_read(a);
	ask(a, "commit");
	await_stat_is(a, "active_connections", 0);
}

Test(broker_pool, read_transaction_that_pins_the_wal_is_ended_and_told_why)
{
	const struct reply *reply;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	begin_read(b);
	expect_number(b, 1, "SELECT count(*) FROM t");
	for (int i = 0; i < 60; i++)
		update(a, "INSERT INTO t (x) VALUES (zeroblob(200000))");
	reply = wire_receive(b, wire_sql(b, "query", "SELECT count(*) FROM t"));
	CHECK(reply->failure.code != POOLITE_OK, "the transaction lives");
	CHECK_HAS(reply->failure.message, "wal_limit");
	wire_receive(b, wire_bare(b, "rollback"));
	expect_number(b, 61, "SELECT count(*) FROM t");
	CHECK(stat_of(a, "wal.bytes") <= 4 << 20, "%lld bytes of WAL",
	    (long long)stat_of(a, "wal.bytes"));
}

/* Each is open when the loop looks; what was ended before them cleared the way, or will. */
Test(broker_pool, reads_that_come_after_the_wal_was_full_are_not_ended_for_it)
{
	struct wire *c;
	int ended = 0;

	START(
	    "--wal-limit", "4M", "--checkpoint-pages", "100", "--synchronous", "NORMAL");
	c = wire_open(&broker);
	begin_read(b);
	expect_number(b, 1, "SELECT count(*) FROM t");
	while (stat_of(a, "wal.bytes") <= 3 << 20)
		update(a, "INSERT INTO t (x) VALUES (zeroblob(200000))");
	update(
	    a, "INSERT INTO t (x) VALUES (zeroblob(410000))"); /* a checkpoint is due */
	/* The writer has no time to be idle and to make a checkpoint for that. */
	while (
	    wire_receive(b, wire_sql(b, "query", "SELECT 1"))->failure.code == POOLITE_OK)
		update(a, "INSERT INTO t (x) VALUES (1)");
	for (int i = 0; i < 40; i++) {
		begin_read(c);
		update(a, "INSERT INTO t (x) VALUES (1)");
		process_pause(0.03);
		ended += wire_receive(c, wire_sql(c, "query", "SELECT 1 FROM t LIMIT 1"))
			     ->failure.code != POOLITE_OK;
		ask(c, "rollback");
	}
	/* One at each try, and the tries are seconds apart; it was three of four before. */
	CHECK(ended <= 8, "%d of 40 were ended", ended);
	while (stat_of(a, "wal.bytes") > 3 << 20)
		process_pause(0.01);
}

/* Large rows, committed one by one, until the statement has its answer: checkpoints are tried
 * again and again, and the WAL comes to its limit. */
static const struct reply *fill_until_answered(struct wire *wire, uint32_t msgid)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	struct pollfd pollfd = {.fd = wire_fd(wire), .events = POLLIN};

	while (poll(&pollfd, 1, 0) == 0) {
		update(a, "INSERT INTO t (x) VALUES (zeroblob(200000))");
		CHECK(check_seconds() < until, "it is not ended");
	}
	return wire_receive(wire, msgid);
}

/* It was ended with ${code}, and the WAL stayed below its limit. */
static const struct reply *expect_end_for_the_wal(uint32_t msgid, enum poolite_code code)
{
	const struct reply *reply = fill_until_answered(b, msgid);

	CHECK_EQ(reply->failure.code, code);
	CHECK(stat_of(a, "wal.bytes") <= 4 << 20, "%lld bytes of WAL",
	    (long long)stat_of(a, "wal.bytes"));
	return reply;
}

Test(broker_pool, running_query_that_pins_the_wal_is_ended_and_told_why)
{
	uint32_t msgid;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	msgid = wire_sql(b, "query", ENDLESS ", t");
	await_stat(a, "active_connections", 1);
	CHECK_HAS(expect_end_for_the_wal(msgid, POOLITE_OVERLOADED)->failure.message,
	    "wal_limit");
	expect_number(b, number(a, "SELECT count(*) FROM t"), "SELECT count(*) FROM t");
}

Test(broker_pool, running_statement_of_a_transaction_that_pins_the_wal_is_ended_with_it)
{
	uint32_t msgid;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	begin_read(b);
	msgid = wire_sql(b, "query", ENDLESS ", t");
	wire_sync(b);
	CHECK_HAS(
	    expect_end_for_the_wal(msgid, POOLITE_TRANSACTION_EXPIRED)->failure.message,
	    "wal_limit");
	refused(b, POOLITE_TRANSACTION_EXPIRED, "wal_limit", "query", "[`SELECT 1`]");
	wire_receive(b, wire_bare(b, "rollback"));
	expect_number(b, number(a, "SELECT count(*) FROM t"), "SELECT count(*) FROM t");
}

/* ---- connections as such ------------------------------------------------------------------ */

Test(broker_pool, used_connection_tells_the_next_user_nothing)
{
	START();
	ask(a, "begin");
	update(a, "INSERT INTO t (x) VALUES (2), (3)");
	ask(a, "commit");
	CHECK_HAS(
	    call(b, "transaction", "[[[`SELECT count(*) FROM sqlite_temp_schema`]]]"),
	    "[[0]]");
}

Test(broker_pool, cached_statements_survive_another_client_s_ddl)
{
	START("--synchronous", "NORMAL");
	for (int i = 0; i < 20; i++) {
		char wanted[400] = "[[1, 1";
		for (int j = 0; j < i; j++)
			strcat(wanted, ", null");
		expect_rows(b, strcat(wanted, "]]"), "SELECT * FROM t");
		update(b, "UPDATE t SET x = x");
		update(a, "ALTER TABLE t ADD COLUMN c%d", i);
	}
	update(a, "DROP TABLE t");
	refused(b, POOLITE_SQL_ERROR, "no such table", "query", "[`SELECT * FROM t`]");
	refused(
	    b, POOLITE_SQL_ERROR, "no such table", "update", "[`UPDATE t SET x = x`]");
	update(a, "CREATE TABLE t (y)");
	expect_rows(b, "[]", "SELECT * FROM t");
}

Test(broker_pool, more_texts_than_the_cache_holds_are_fine)
{
	START();
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 1500; i++)
			expect_number(a, i, "SELECT %d FROM t", i);
}
