/* What the broker tells of itself: stats, health, the stats socket, the log; and the
 * upkeep that shows there: health checks and checkpoints.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a, *b;

static void connect_all(void)
{
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
}

#define START(...) (poolited_start(&broker, ##__VA_ARGS__), connect_all())

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_stats, .fini = tear_down, .timeout = 60);

/* ---- figures -------------------------------------------------------------------- */

Test(broker_stats, requests_and_errors_are_counted_by_method_and_name)
{
	START();
	for (int i = 0; i < 5; i++)
		update(a, "INSERT INTO t VALUES (%d, 0)", i);
	for (int i = 0; i < 3; i++)
		expect_number(a, 5, "SELECT count(*) FROM t");
	refused(a, POOLITE_CONSTRAINT, NULL, "update", "[`INSERT INTO t VALUES (1, 1)`]");
	refused(a, POOLITE_SQL_ERROR, NULL, "query", "[`SELECT nothing`]");
	refused(a, POOLITE_UNKNOWN_METHOD, NULL, "nonsense", "[]");
	CHECK_EQ(stat_of(b, "requests.update.count"), 7);
	CHECK_EQ(stat_of(b, "requests.update.errors"), 1);
	CHECK_EQ(stat_of(b, "requests.query.count"), 4);
	CHECK_EQ(stat_of(b, "requests.query.errors"), 1);
	CHECK_EQ(stat_of(b, "errors.CONSTRAINT"), 1);
	CHECK_EQ(stat_of(b, "errors.SQL_ERROR"), 1);
	CHECK_EQ(stat_of(b, "errors.UNKNOWN_METHOD"), 1);
	CHECK_EQ(stat_of(b, "waits.count"), 11);
	CHECK_EQ(stat_of(b, "groups.members"), 7);
}

Test(broker_stats, sessions_and_transactions_are_counted)
{
	START();
	wire_sync(wire_open(&broker));
	wire_sync(b);
	CHECK_EQ(stat_of(a, "sessions.open"), 3);
	CHECK_EQ(stat_of(a, "sessions.accepted"), 3);
	ask(b, "begin");
	CHECK_EQ(stat_of(a, "active_connections"), 1);
	ask(b, "commit");
	ask(b, "begin");
	ask(b, "rollback");
	CHECK_EQ(stat_of(a, "transactions.begun"), 2);
	CHECK_EQ(stat_of(a, "transactions.expired"), 0);
	await_stat_is(a, "active_connections", 0);
}

/* Who was answered is not told to hold it still. */
static void expect_no_holder(void)
{
	CHECK_HAS(ask(a, "stats"), "`holder`: null");
	CHECK_EQ(stat_of(a, "active_connections"), 0);
}

Test(broker_stats, holder_is_told_while_there_is_one)
{
	START();
	expect_no_holder();
	ask(b, "begin");
	CHECK_EQ(stat_of(a, "holder.pid"), getpid());
	CHECK_EQ(stat_of(a, "holder.uid"), getuid());
	CHECK_EQ(stat_of(a, "holder.session"), 2);
	CHECK_HAS(ask(a, "stats"), "`in`: `a transaction`");
	ask(b, "commit");
	expect_no_holder();
}

Test(broker_stats, text_that_writes_is_sent_to_a_reader_but_once)
{
	START();
	for (int i = 0; i < 10; i++)
		CHECK_HAS(run(a, "query", "INSERT INTO t (x) VALUES (1) RETURNING x"),
		    "`changes`: 1");
	CHECK_EQ(stat_of(a, "rerouted"), 1);
	expect_number(a, 10, "SELECT count(*) FROM t");
}

Test(broker_stats, foreign_commits_are_counted_and_warned_of)
{
	sqlite3 *foreign;

	START();
	update(a, "INSERT INTO t VALUES (1, 1)");
	foreign = direct_open(broker.database);
	direct_run(foreign, "INSERT INTO t VALUES (2, 2)");
	direct_close(foreign);
	expect_number(a, 2, "SELECT count(*) FROM t");
	update(a, "INSERT INTO t VALUES (3, 3)");
	CHECK_EQ(stat_of(a, "foreign_commits"), 1);
	poolited_await_log(&broker, "outside the broker");
}

/* ---- health checks ------------------------------------------------------------------ */

/* The figure as text, for it has a fraction. */
static void last_check(char text[40])
{
	const char *at = strstr(ask(a, "stats"), "`last_health_check`: ");

	CHECK(at, "no last_health_check");
	snprintf(text, 40, "%.*s", (int)strcspn(at, ",}"), at);
}

Test(broker_stats, health_checks_go_on_by_themselves)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	char first[40], now[40];

	START("--health-check-interval", "0.05");
	last_check(first);
	do {
		last_check(now);
		CHECK(check_seconds() < until, "no health check: %s", now);
	} while (strcmp(first, now) == 0);
	CHECK_HAS(ask(a, "health"), "`status`: `healthy`");
	CHECK_EQ(stat_of(a, "readers.replaced"), 0);
}

Test(broker_stats, health_check_notices_a_moved_database)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	char moved[100];

	START("--health-check-interval", "0.05");
	snprintf(moved, sizeof moved, "%s.moved", broker.database);
	CHECK_EQ(rename(broker.database, moved), 0);
	while (!strstr(ask(a, "health"), "`status`: `unhealthy`, `reason`: `"))
		CHECK(check_seconds() < until, "nobody notices");
	refused(a, POOLITE_STORAGE, NULL, "update", "[`DELETE FROM t`]");
	CHECK_EQ(stat_of(a, "errors.OUTCOME_UNKNOWN"), 0);
	CHECK_EQ(rename(moved, broker.database), 0);
}

Test(broker_stats, clocks_advance)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	char *first;

	START();
	first = strdup(strstr(ask(a, "stats"), "`uptime`: "));
	first[strcspn(first, ",")] = '\0';
	while (strstr(ask(a, "stats"), first))
		CHECK(check_seconds() < until, "%s stays", first);
	free(first);
}

/* ---- checkpoints ---------------------------------------------------------------------- */

static int64_t wal_bytes(void)
{
	char path[100];
	struct stat st;

	snprintf(path, sizeof path, "%s-wal", broker.database);
	CHECK_EQ(stat(path, &st), 0);
	return st.st_size;
}

Test(broker_stats, wal_is_cut_after_a_big_transaction)
{
	double until = check_seconds() + PATIENCE_SECONDS;

	START("--synchronous", "NORMAL");
	ask(b, "begin");
	for (int i = 0; i < 50; i++)
		update(b, "INSERT INTO t (x) VALUES (zeroblob(1000000))");
	CHECK(wal_bytes() > 16 << 20, "not big enough: %lld", (long long)wal_bytes());
	ask(b, "commit");
	while (wal_bytes() > 16 << 20) {
		expect_number(a, 50, "SELECT count(*) FROM t");
		CHECK(check_seconds() < until, "%lld bytes", (long long)wal_bytes());
	}
	await_stat(a, "wal.truncations", 1);
	CHECK_EQ(stat_of(a, "wal.checkpoint_errors"), 0);
}

Test(broker_stats, idle_broker_checkpoints)
{
	START();
	update(a, "INSERT INTO t VALUES (1, 1)");
	await_stat(a, "wal.checkpoints", 1);
}

Test(broker_stats, wal_stays_short_though_readers_overlap)
{
	struct wire *readers[4];
	uint32_t ids[4];

	START("--synchronous", "NORMAL");
	for (int i = 0; i < 4; i++) {
		readers[i] = wire_open(&broker);
		ids[i] = wire_sql(readers[i], "query", "SELECT sum(length(x)) FROM t");
	}
	for (int i = 0; i < 400; i++) {
		update(a, "REPLACE INTO t VALUES (%d, zeroblob(200000))", i % 20);
		expect_ok(readers[i % 4], ids[i % 4]);
		ids[i % 4] =
		    wire_sql(readers[i % 4], "query", "SELECT sum(length(x)) FROM t");
	}
	CHECK(wal_bytes() < 64 << 20, "%lld bytes", (long long)wal_bytes());
}

/* ---- the stats socket and the log -------------------------------------------------------- */

/* GET ${path} by curl: the body, and behind it the status. */
static const char *get(const char *path)
{
	static char output[1 << 14];
	char url[100];
	const char *argv[] = {"curl", "-s", "-w", " %{http_code}", "--unix-socket",
	    broker.stats_socket, url, NULL};

	snprintf(url, sizeof url, "http://localhost%s", path);
	CHECK_EQ(program_run(argv, NULL, output, sizeof output), 0);
	return output;
}

Test(broker_stats, oldest_read_says_who_keeps_the_wal_from_shrinking)
{
	char owner[60];

	START();
	CHECK_HAS(ask(a, "stats"), "`oldest_read`: null");
	call(b, "begin", "[{`mode`: `read`}]");
	update(a, "INSERT INTO t VALUES (1, 0)");
	CHECK_EQ(stat_of(a, "oldest_read.pid"), getpid());
	CHECK_EQ(stat_of(a, "oldest_read.uid"), getuid());
	CHECK(stat_of(a, "oldest_read.session") > 0, "no session");
	snprintf(owner, sizeof owner, "`session`: %d, `in`: `a transaction`",
	    (int)stat_of(a, "oldest_read.session"));
	CHECK_HAS(ask(a, "stats"), owner);
	ask(b, "commit");
	CHECK_HAS(ask(a, "stats"), "`oldest_read`: null");
}

Test(broker_stats, stats_socket_tells_health_and_stats)
{
	char moved[100];

	if (access("/usr/bin/curl", X_OK))
		cr_skip_test("needs curl");
	START();
	CHECK_HAS(get("/health"), "\"database_pool_stats\"");
	CHECK_HAS(get("/health"), "\"healthy\"");
	CHECK_HAS(get("/health"), " 200");
	CHECK_HAS(get("/stats"), "\"pool_size\"");
	CHECK_HAS(get("/nothing"), " 404");
	snprintf(moved, sizeof moved, "%s.moved", broker.database);
	CHECK_EQ(rename(broker.database, moved), 0);
	expect_error(
	    a, wire_sql(a, "update", "DELETE FROM t"), POOLITE_OUTCOME_UNKNOWN, NULL);
	CHECK_HAS(get("/health"), "\"unhealthy\"");
	CHECK_HAS(get("/health"), " 503");
	CHECK_EQ(rename(moved, broker.database), 0);
}

Test(broker_stats, debug_log_shows_each_request_and_no_argument)
{
	START("--log-level", "debug");
	call(a, "update", "[`INSERT INTO t (x) VALUES (?)`, [`secret-value`]]");
	expect_number(a, 1, "SELECT count(*) FROM t");
	refused(a, POOLITE_SQL_ERROR, NULL, "query", "[`SELECT nothing`]");
	poolited_await_log(&broker, "SQL_ERROR");
	CHECK_HAS(broker.log, "session 1: update");
	CHECK_HAS(broker.log, "on the writer: ok");
	CHECK_HAS(broker.log, "on a reader: ok");
	CHECK(!strstr(broker.log, "secret-value"), "an argument is in the log");
}

/* ---- the loop -------------------------------------------------------------------- */

/* How many reads the loop took on itself. */
static int64_t tried_on_the_loop(void)
{
	return stat_of(b, "fast_reader.reads") + stat_of(b, "fast_reader.exceeded");
}

/*
 * trim(x, y) over 60 kB takes the loop's thread a second, and compiling some views takes
 * longer: a text that was short with another schema has to be looked at again.
 */
Test(broker_stats, text_whose_view_changed_is_not_run_on_the_loop)
{
	int64_t before;
	struct wire *c;

	START();
	c = wire_open(&broker);
	update(a, "CREATE VIEW v AS SELECT 1 AS x");
	for (int i = 0; i < 3; i++)
		expect_number(a, 1, "SELECT x FROM v");
	before = tried_on_the_loop();
	expect_number(a, 1, "SELECT x FROM v");
	CHECK_EQ(tried_on_the_loop(), before + 1); /* it does run there */
	update(a, "DROP VIEW v");
	update(a, "CREATE VIEW v AS SELECT 2 + length(trim('aaa', 'ba')) AS x");
	before = tried_on_the_loop();
	for (int i = 0; i < 3; i++)
		expect_number(a, 2, "SELECT x FROM v");
	CHECK_EQ(tried_on_the_loop(), before);
	/* Nor while the change is not committed: what was found of it may be old. */
	ask(c, "begin");
	update(c, "CREATE TABLE u (x)");
	for (int i = 0; i < 3; i++)
		expect_number(a, 1, "SELECT 1");
	CHECK_EQ(tried_on_the_loop(), before);
	ask(c, "rollback");
	for (int i = 0; i < 3; i++)
		expect_number(a, 1, "SELECT 1");
	CHECK(tried_on_the_loop() > before, "the loop takes none any more");
}

static void replace_view(struct wire *wire, const char *select)
{
	ask(wire, "begin");
	update(wire, "DROP VIEW IF EXISTS v");
	update(wire, "CREATE VIEW v AS %s", select);
	ask(wire, "commit");
}

/* The very next message is that text: nothing else had the broker look at the schema. */
Test(broker_stats, text_whose_view_changed_in_a_transaction_is_not_run_on_the_loop)
{
	struct wire *c;
	int64_t before;

	START();
	c = wire_open(&broker);
	replace_view(c, "SELECT 1 AS x");
	for (int i = 0; i < 4; i++)
		expect_number(a, 1, "SELECT x FROM v");
	before = tried_on_the_loop();
	expect_number(a, 1, "SELECT x FROM v");
	CHECK_EQ(tried_on_the_loop(), before + 1);
	replace_view(c, "SELECT 2 + length(trim('aaa', 'ba')) AS x");
	expect_number(a, 2, "SELECT x FROM v");
	CHECK_EQ(tried_on_the_loop(), before + 1);
}
