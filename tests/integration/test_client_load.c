/* libpoolite against a real broker: deadlines, cancelling, many processes on one
 * handle, and the broker's restart under load.
 */
#include <criterion/criterion.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/poolited.h"

static struct poolited broker;
static struct poolite *db;
static struct poolite_error error;

#define MUST(call) CHECK_OK(call, &error)

static void set_up(void)
{
	poolited_start(&broker, "--max-frame-bytes", "100K");
	client_open(&db, broker.socket, NULL);
	CHECK_EQ(poolite_script(db,
		     "CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE);"
		     "CREATE TABLE log(what TEXT);",
		     0, NULL, &error),
	    0);
}

static void tear_down(void)
{
	poolite_close(db);
	poolited_end(&broker);
}

TestSuite(client_load, .init = set_up, .fini = tear_down, .timeout = 120);

static int64_t number(const char *sql)
{
	return client_number(db, sql);
}

/* ---- deadlines and cancel ------------------------------------------------ */

#define ENDLESS                                                                          \
	"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

Test(client_load, a_long_query_ends_at_the_request_timeout)
{
	struct poolite_options options = {.request_timeout_ms = 100};
	struct poolite_result *result;

	client_open(&db, broker.socket, &options);
	CHECK_EQ(poolite_query(db, ENDLESS, POOLITE_NO_ARGS, &result, &error),
	    POOLITE_QUERY_TIMEOUT);
	MUST(poolite_ping(db, &error));
}

static atomic_bool has_ended;

static void *run_endless(void *unused)
{
	struct poolite_result *result;
	struct poolite_error own;

	(void)unused;
	poolite_query(db, ENDLESS, POOLITE_NO_ARGS, &result, &own);
	atomic_store(&has_ended, true);
	return (void *)(intptr_t)own.code;
}

Test(client_load, cancel_ends_what_other_threads_run)
{
	pthread_t thread;
	void *code;

	atomic_store(&has_ended, false);
	pthread_create(&thread, NULL, run_endless, NULL);
	while (!atomic_load(&has_ended)) {
		MUST(poolite_cancel(db, &error));
		sched_yield();
	}
	pthread_join(thread, &code);
	CHECK_EQ((intptr_t)code, POOLITE_CANCELLED);
}

/* ---- many processes and a restart ---------------------------------------- */

/* Save 100 rows through the parent's handle. */
static void save_100(unsigned index, void *context)
{
	(void)context;
	for (int i = 0; i < 100; i++)
		CHECK_EQ(poolite_update(db, "INSERT INTO log VALUES (?)",
			     POOLITE_ARGS(poolite_integer(index)), NULL, &error),
		    0);
}

Test(client_load, forked_workers_use_their_parents_handle)
{
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_READ, &tx, &error));
	clients_run(8, save_100, NULL);
	MUST(poolite_tx_commit(tx, &error));
	CHECK_EQ(number("SELECT count(*) FROM log"), 800);
}

/* Save rows until told to stop; count what was acknowledged and what may be. */
static atomic_bool should_stop;
static atomic_int saved, unknown;

static void *save_on(void *unused)
{
	struct poolite_error own;

	(void)unused;
	while (!atomic_load(&should_stop)) {
		poolite_update(
		    db, "INSERT INTO log VALUES ('x')", POOLITE_NO_ARGS, NULL, &own);
		if (own.code == 0)
			atomic_fetch_add(&saved, 1);
		else if (own.outcome == POOLITE_DONE_UNKNOWN)
			atomic_fetch_add(&unknown, 1);
		else if (own.code != POOLITE_SHUTTING_DOWN)
			return strdup(own.message);
	}
	return NULL;
}

/* Restart the broker three times under four threads that save. */
static void restart_under_load(bool politely)
{
	struct poolite_options options = {.connect_timeout_ms = 30000};
	pthread_t threads[4];
	int64_t found;

	atomic_store(&should_stop, false);
	atomic_store(&saved, 0);
	atomic_store(&unknown, 0);
	client_open(&db, broker.socket, &options);
	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, save_on, NULL);
	for (int round = 1; round <= 3; round++) {
		while (atomic_load(&saved) < 50 * round)
			sched_yield();
		if (politely)
			CHECK_EQ(poolited_stop(&broker), 0);
		else
			poolited_kill(&broker);
		poolited_run(&broker);
	}
	while (atomic_load(&saved) < 200)
		sched_yield();
	atomic_store(&should_stop, true);
	for (int i = 0; i < 4; i++) {
		void *message;

		pthread_join(threads[i], &message);
		CHECK(!message, "%s", (char *)message);
	}
	found = number("SELECT count(*) FROM log");
	CHECK(found >= saved && found <= saved + unknown,
	    "%lld found, %d saved, %d unknown", (long long)found, saved, unknown);
}

Test(client_load, a_restart_loses_nothing_that_was_acknowledged)
{
	restart_under_load(true);
	CHECK_EQ(atomic_load(&unknown), 0);
}

Test(client_load, a_kill_loses_nothing_that_was_acknowledged)
{
	restart_under_load(false);
}

enum { READERS = 4 };
static atomic_int reads[READERS]; /* answered, of each thread */

static void *read_on(void *counter)
{
	struct poolite_result *result;
	struct poolite_error own;

	while (!atomic_load(&should_stop)) {
		if (poolite_query(
			db, "SELECT count(*) FROM log", POOLITE_NO_ARGS, &result, &own))
			return strdup(own.message);
		poolite_result_free(result);
		atomic_fetch_add((atomic_int *)counter, 1);
	}
	return NULL;
}

/* A read outlives two brokers, not any number of them: each thread has to have met this one. */
static void await_reads_of_all(void)
{
	for (int i = 0; i < READERS; i++) {
		int before = atomic_load(&reads[i]);

		/* The first may have been answered by the broker before. */
		while (atomic_load(&reads[i]) < before + 2)
			sched_yield();
	}
}

Test(client_load, reads_do_not_notice_that_the_broker_is_killed)
{
	struct poolite_options options = {.connect_timeout_ms = 30000};
	pthread_t threads[READERS];

	atomic_store(&should_stop, false);
	client_open(&db, broker.socket, &options);
	for (int i = 0; i < READERS; i++)
		pthread_create(&threads[i], NULL, read_on, &reads[i]);
	for (int round = 1; round <= 10; round++) {
		await_reads_of_all();
		poolited_kill(&broker);
		poolited_run(&broker);
	}
	atomic_store(&should_stop, true);
	for (int i = 0; i < READERS; i++) {
		void *message;

		pthread_join(threads[i], &message);
		CHECK(!message, "%s", (char *)message);
	}
}

/* ---- the broker itself --------------------------------------------------- */

Test(client_load, stats_and_health_are_those_of_the_pool)
{
	struct poolite_health health;
	struct poolite_stats stats;
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	MUST(poolite_stats(db, &stats, NULL, &error));
	CHECK_EQ(stats.max_connections, 10);
	CHECK_EQ(stats.active_connections, 1);
	CHECK(stats.pool_size >= 1 && stats.total_connections_created >= stats.pool_size,
	    "the pool has its writer");
	CHECK(stats.connection_timeout == 30.0, "in seconds");
	CHECK(stats.last_health_check > 1e9, "Unix time");
	MUST(poolite_health(db, &health, NULL, &error));
	CHECK(health.is_healthy, "%s", health.reason);
	CHECK_TEXT(health.database, "connected");
	CHECK_EQ(health.pool.max_connections, 10);
	MUST(poolite_tx_commit(tx, &error));
}
