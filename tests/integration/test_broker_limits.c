/* Limits of the machine and of memory: the broker stays up, and others are served. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a;

static void connect_all(void)
{
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
}

#define START(...) (poolited_start(&broker, ##__VA_ARGS__), connect_all())

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_limits, .fini = tear_down, .timeout = 100);

/* ---- descriptors ------------------------------------------------------------------ */

static void limit_descriptors(struct poolited *starting)
{
	struct rlimit limit = {256, 256};

	(void)starting;
	setrlimit(RLIMIT_NOFILE, &limit);
}

Test(broker_limits, few_descriptors_mean_few_clients_and_no_harm)
{
	enum { COUNT = 400 };
	static struct wire *wires[COUNT];
	int served = 0;

	poolited_make(&broker, (const char *const[]){NULL});
	broker.prepare = limit_descriptors;
	poolited_run(&broker);
	poolited_await_log(&broker, "descriptor limit");
	connect_all();
	for (int i = 0; i < COUNT; i++)
		wires[i] = wire_open(&broker);
	for (int i = 0; i < COUNT; i++) {
		const struct reply *reply;
		wire_bare(wires[i], "ping");
		reply = wire_next(wires[i]);
		CHECK(reply &&
			(!reply->is_notification ||
			    reply->failure.code == POOLITE_OVERLOADED),
		    "neither served nor told why");
		served += !reply->is_notification;
	}
	CHECK(served >= 50 && served < 256, "%d are served", served);
	CHECK_EQ(served + 1, stat_of(a, "sessions.max"));
	for (int i = 0; i < COUNT; i++)
		wire_close(wires[i]);
	await_stat_is(a, "sessions.open", 1);
	update(wire_open(&broker), "INSERT INTO t VALUES (1, 1)");
}

/* ---- memory ------------------------------------------------------------------------- */

/* AddressSanitizer keeps what was freed for a while. */
#ifdef __SANITIZE_ADDRESS__
#define PEAK_MIB 1500
#else
#define PEAK_MIB 700
#endif

/* Each would take gigabytes; it is refused, or it is done on disk. */
static const char *const hungry[] = {
    "SELECT group_concat(zeroblob(1000000)) FROM n LIMIT 1",
    "SELECT max(length(r)) FROM (SELECT randomblob(1000) AS r FROM n a, n b WHERE b.i <= 30 ORDER BY r)",
    "SELECT length(hex(zeroblob(400000000)))",
    "SELECT length(replace(hex(zeroblob(30000000)), '0', 'xxxxxxxxxxxxxxxxxxxx'))",
    "SELECT json_group_array(hex(zeroblob(1000000))) FROM n",
};

Test(broker_limits, hungry_statements_harm_nobody)
{
	struct wire *b;

	START("--query-timeout", "3");
	b = wire_open(&broker);
	for (unsigned i = 0; i < sizeof hungry / sizeof *hungry; i++) {
		uint32_t msgid = wire_sql(a, "query",
		    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 3000) %s",
		    hungry[i]);
		const struct reply *reply;
		update(b, "INSERT INTO t (x) VALUES (%u)", i);
		reply = wire_receive(a, msgid);
		CHECK(reply->failure.code == POOLITE_OK ||
			reply->failure.code == POOLITE_TOO_LARGE ||
			reply->failure.code == POOLITE_SQL_ERROR ||
			reply->failure.code == POOLITE_OVERLOADED ||
			reply->failure.code == POOLITE_QUERY_TIMEOUT,
		    "%s: %s: %s", hungry[i], poolite__code_name(reply->failure.code),
		    reply->failure.message);
	}
	expect_number(a, sizeof hungry / sizeof *hungry, "SELECT count(*) FROM t");
	CHECK(
	    poolited_peak_mib(&broker) < PEAK_MIB, "%u MiB", poolited_peak_mib(&broker));
}

/* A statement with ${count} arguments, positional or named, as params for free(). */
static char *with_arguments(int count, bool is_named)
{
	char *params = malloc((size_t)count * 40 + 100), *end;

	end = params + sprintf(params, "[`SELECT 1`, %c", is_named ? '{' : '[');
	for (int i = 0; i < count; i++)
		end += is_named ? sprintf(end, "%s`n%d`: 1", i ? ", " : "", i)
				: sprintf(end, i ? ", 1" : "1");
	sprintf(end, "%c]", is_named ? '}' : ']');
	return params;
}

Test(broker_limits, too_many_arguments_are_too_large)
{
	char *many, *named;

	START();
	many = with_arguments(250001, false);
	named = with_arguments(4097, true);
	refused(a, POOLITE_TOO_LARGE, NULL, "query", "%s", many);
	refused(a, POOLITE_TOO_LARGE, NULL, "query", "%s", named);
	free(many);
	free(named);
	many = with_arguments(250000, false);
	refused(a, POOLITE_BAD_REQUEST, NULL, "query", "%s", many);
	free(many);
}

Test(broker_limits, transaction_larger_than_the_wal_may_be_is_stopped)
{
	int written = 0;
	const struct reply *reply;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	ask(a, "begin");
	do {
		CHECK(++written < 200, "nothing stops it");
		reply = wire_receive(a,
		    wire_sql(
			a, "update", "INSERT INTO t (x) VALUES (zeroblob(1000000))"));
	} while (reply->failure.code == POOLITE_OK);
	CHECK(reply->failure.code == POOLITE_TOO_LARGE, "%s: %s",
	    poolite__code_name(reply->failure.code), reply->failure.message);
	wire_receive(a, wire_bare(a, "rollback"));
	update(a, "INSERT INTO t (x) VALUES (1)");
	expect_number(a, 1, "SELECT count(*) FROM t");
}

Test(broker_limits, one_large_statement_is_stopped_at_the_wal_s_limit_too)
{
	struct wire *b;

	START("--wal-limit", "4M", "--synchronous", "NORMAL");
	b = wire_open(&broker);
	expect_error(a,
	    wire_sql(a, "update",
		"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300)"
		"INSERT INTO t (x) SELECT randomblob(100000) FROM n"),
	    POOLITE_TOO_LARGE, "wal_limit");
	update(b, "INSERT INTO t (x) VALUES (1)");
	expect_rows(a, "[[1]]", "SELECT x FROM t");
}

Test(broker_limits, many_writes_go_on_though_the_wal_is_small)
{
	START("--wal-limit", "2M", "--synchronous", "NORMAL");
	for (int i = 0; i < 100; i++)
		update(a, "INSERT INTO t (x) VALUES (zeroblob(100000))");
	expect_number(a, 100, "SELECT count(*) FROM t");
	CHECK(stat_of(a, "wal.bytes") <= 2 << 20, "%lld bytes",
	    (long long)stat_of(a, "wal.bytes"));
}

/* Its neighbour in the group has passed the limit with its very last page, and is in. */
Test(broker_limits, small_write_is_not_stopped_for_its_neighbour_s_size)
{
	struct wire *b, *c;
	uint32_t large, small[3];

	START("--wal-limit", "1M", "--cache", "64K");
	b = wire_open(&broker);
	c = wire_open(&broker);
	ask(c, "begin");
	large = wire_sql(a, "update", "INSERT INTO t (x) VALUES (zeroblob(1800000))");
	wire_sync(a);
	for (int i = 0; i < 3; i++)
		small[i] = wire_sql(b, "update", "INSERT INTO t (x) VALUES (%d)", i);
	wire_sync(b);
	ask(c, "commit");
	CHECK_EQ(wire_receive(a, large)->failure.code, POOLITE_OK);
	for (int i = 0; i < 3; i++)
		CHECK_EQ(wire_receive(b, small[i])->failure.code, POOLITE_OK);
	expect_number(c, 4, "SELECT count(*) FROM t");
}

/* A large one in the midst of small ones: each is there once, or was refused. */
Test(broker_limits, write_that_fills_the_wal_takes_no_other_along)
{
	enum { CLIENTS = 6 };
	struct wire *clients[CLIENTS], *c;
	uint32_t msgids[CLIENTS];

	START("--wal-limit", "1M", "--cache", "64K");
	for (int large = 0; large < CLIENTS; large++) {
		c = wire_open(&broker);
		ask(c, "begin");
		for (int i = 0; i < CLIENTS; i++) {
			clients[i] = wire_open(&broker);
			msgids[i] = i == large
			    ? wire_sql(clients[i], "update",
				  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 "
				  "FROM n LIMIT 20000) "
				  "INSERT INTO t (x) SELECT randomblob(1000) FROM n")
			    : wire_sql(clients[i], "update",
				  "INSERT INTO t (x) VALUES (%d)", CLIENTS * large + i);
			wire_sync(clients[i]);
		}
		ask(c, "commit");
		for (int i = 0; i < CLIENTS; i++)
			CHECK_EQ(wire_receive(clients[i], msgids[i])->failure.code,
			    i == large ? POOLITE_TOO_LARGE : POOLITE_OK);
		expect_number(c, (CLIENTS - 1) * (large + 1), "SELECT count(*) FROM t");
		expect_number(
		    c, (CLIENTS - 1) * (large + 1), "SELECT count(DISTINCT x) FROM t");
	}
}

Test(broker_limits, writes_that_wait_for_the_wal_say_so)
{
	const struct reply *reply;
	sqlite3 *foreign;

	START("--wal-limit", "2M", "--connection-timeout", "1");
	foreign = direct_open(broker.database);
	direct_run(
	    foreign, "BEGIN; SELECT count(*) FROM t"); /* nobody here can end that */
	do
		reply = wire_receive(a,
		    wire_sql(a, "update", "INSERT INTO t (x) VALUES (zeroblob(200000))"));
	while (reply->failure.code == POOLITE_OK);
	CHECK_EQ(reply->failure.code, POOLITE_POOL_TIMEOUT);
	CHECK_HAS(reply->failure.message, "wal_limit");
	expect_number(a, 1, "SELECT count(*) > 0 FROM t");
	direct_run(foreign, "COMMIT");
	direct_close(foreign);
	update(a, "INSERT INTO t (x) VALUES (1)");
}

/* ---- the stats socket ------------------------------------------------------------------ */

Test(broker_limits, visitors_that_hang_do_not_block_the_clients)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	START();
	strcpy(address.sun_path, broker.stats_socket);
	for (int i = 0; i < 50; i++) {
		int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		CHECK(fd >= 0, "socket");
		CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
		CHECK_EQ(send(fd, "GET /st", 7, MSG_NOSIGNAL) != 0, 1);
	}
	for (int i = 0; i < 100; i++)
		update(a, "INSERT INTO t (x) VALUES (1)");
	expect_number(a, 100, "SELECT count(*) FROM t");
}
