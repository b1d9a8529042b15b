/* Each public call of libpoolite, against a broker that answers as it should:
 * what it sends, what it hands out, and its misuse.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/fake_broker.h"

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;

static void set_up(void)
{
	fake_broker_init(&broker);
	fake_broker_start(&broker, fake_serve);
	client_open(&db, broker.path, NULL);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&broker);
}

TestSuite(client_calls, .init = set_up, .fini = tear_down, .timeout = 60);

/* An error as it is before a call, to see that the call sets it. */
static void spoil(void)
{
	memset(&error, 0x55, sizeof error);
}

static void expect_code(int code, int expected)
{
	CHECK_ERROR(code, &error, expected, POOLITE_DONE_NO);
}

Test(client_calls, opening_does_not_connect)
{
	cr_assert_eq(atomic_load(&broker.connections), 0);
}

Test(client_calls, ping_is_answered)
{
	spoil();
	expect_code(poolite_ping(db, &error), 0);
	cr_assert_eq(poolite_ping(db, NULL), 0);
	cr_assert_eq(atomic_load(&broker.connections), 1, "an idle socket is used again");
}

Test(client_calls, query_gives_rows)
{
	struct poolite_result *result;

	spoil();
	expect_code(
	    poolite_query(db, "SELECT ?, ?",
		POOLITE_ARGS(poolite_integer(1), poolite_text("x")), &result, &error),
	    0);
	cr_assert_eq(poolite_result_rows(result), 1);
	cr_assert_eq(poolite_result_next(result), 1);
	cr_assert_eq(poolite_result_int64(result, 0), 1);
	poolite_result_free(result);
}

Test(client_calls, update_tells_changes)
{
	struct poolite_changes changes;

	expect_code(poolite_update(db, "x", POOLITE_NO_ARGS, &changes, &error), 0);
	cr_assert_eq(changes.changes, 1);
	cr_assert_eq(changes.last_insert_id, 7);
	expect_code(poolite_update(db, "x", POOLITE_NO_ARGS, NULL, &error), 0);
}

Test(client_calls, transaction_gives_one_result_per_statement)
{
	struct poolite_value value = poolite_integer(5);
	struct poolite_statement statements[] = {
	    {"a", NULL, 0}, {"b", &value, 1}, {"c", NULL, 0}};
	struct poolite_result *results[3];

	expect_code(poolite_transaction(db, statements, 3, results, &error), 0);
	for (int i = 0; i < 3; i++) {
		cr_assert_eq(poolite_result_changes(results[i]), i);
		cr_assert_eq(poolite_result_last_insert_id(results[i]), 7);
		cr_assert_eq(poolite_result_rows(results[i]), 0);
		cr_assert_eq(poolite_result_next(results[i]), 0);
	}
	poolite_result_free(results[1]);
	poolite_result_free(results[0]);
	cr_assert_eq(
	    poolite_result_changes(results[2]), 2, "the others' end is not its own");
	poolite_result_free(results[2]);
	expect_code(poolite_transaction(db, statements, 3, NULL, &error), 0);
	expect_code(poolite_transaction(db, NULL, 0, NULL, &error), 0);
}

Test(client_calls, script_tells_statements)
{
	struct poolite_changes changes;

	expect_code(
	    poolite_script(db, "x", POOLITE_FOREIGN_KEYS_OFF, &changes, &error), 0);
	cr_assert_eq(changes.statements, 3);
	cr_assert_eq(changes.changes, 2);
}

Test(client_calls, a_transaction_runs_on_one_session_and_gives_it_back)
{
	struct poolite_result *result;
	struct poolite_tx *tx;

	expect_code(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	expect_code(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error), 0);
	expect_code(poolite_tx_query(tx, "x", POOLITE_NO_ARGS, &result, &error), 0);
	poolite_result_free(result);
	expect_code(poolite_ping(db, &error), 0);
	cr_assert_eq(atomic_load(&broker.connections), 2, "others get another socket");
	expect_code(poolite_tx_batch(tx, "x", NULL, 0, 3, NULL, &error), 0);
	expect_code(poolite_tx_script(tx, "x", 0, NULL, &error), 0);
	expect_code(poolite_tx_transaction(tx, NULL, 0, NULL, &error), 0);
	expect_code(poolite_tx_commit(tx, &error), 0);
	expect_code(poolite_begin(db, POOLITE_READ, &tx, &error), 0);
	expect_code(poolite_tx_rollback(tx, &error), 0);
	cr_assert_eq(atomic_load(&broker.connections), 2);
}

Test(client_calls, a_transaction_outlives_its_handle)
{
	struct poolite_tx *tx;

	expect_code(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	poolite_close(db);
	db = NULL;
	expect_code(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error), 0);
	expect_code(poolite_tx_commit(tx, &error), 0);
}

Test(client_calls, stats_gives_the_six_figures)
{
	struct poolite_stats stats;
	struct poolite_document document;

	expect_code(poolite_stats(db, &stats, &document, &error), 0);
	cr_assert_eq(stats.pool_size, 1);
	cr_assert_eq(stats.max_connections, 2);
	cr_assert_eq(stats.active_connections, 3);
	cr_assert_eq(stats.total_connections_created, 4);
	cr_assert_float_eq(stats.connection_timeout, 5.5, 0);
	cr_assert_float_eq(stats.last_health_check, 6.5, 0);
	cr_assert_eq(document.bytes[0], 0x87, "the whole map");
	poolite_document_release(&document);
	cr_assert_null(document.bytes);
	poolite_document_release(&document);
	expect_code(poolite_stats(db, NULL, NULL, &error), 0);
}

Test(client_calls, health_says_why)
{
	struct poolite_health health;

	expect_code(poolite_health(db, &health, NULL, &error), 0);
	cr_assert_not(health.is_healthy);
	cr_assert_str_eq(health.status, "unhealthy");
	cr_assert_str_eq(health.database, "connected");
	cr_assert_str_eq(health.database_pool, "ready");
	cr_assert_str_eq(health.reason, "the disk is full");
	cr_assert_eq(health.pool.max_connections, 2);
}

/* ---- misuse -------------------------------------------------------------- */

Test(client_calls, no_handle_is_refused_everywhere)
{
	struct poolite_result *result = (void *)1;
	struct poolite_changes changes = {1, 1, 1};
	struct poolite_stats stats = {.pool_size = 1};
	struct poolite_tx *tx = (void *)1;

	expect_code(poolite_ping(NULL, &error), POOLITE_BAD_REQUEST);
	CHECK_HAS(error.message, "is POOLITE_SOCKET set?");
	expect_code(poolite_query(NULL, "x", POOLITE_NO_ARGS, &result, &error),
	    POOLITE_BAD_REQUEST);
	cr_assert_null(result);
	expect_code(poolite_update(NULL, "x", POOLITE_NO_ARGS, &changes, &error),
	    POOLITE_BAD_REQUEST);
	cr_assert_eq(changes.changes, 0);
	expect_code(
	    poolite_batch(NULL, "x", NULL, 0, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_transaction(NULL, NULL, 0, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_script(NULL, "x", 0, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_cancel(NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_begin(NULL, 0, &tx, &error), POOLITE_BAD_REQUEST);
	cr_assert_null(tx);
	expect_code(poolite_stats(NULL, &stats, NULL, &error), POOLITE_BAD_REQUEST);
	cr_assert_eq(stats.pool_size, 0);
	expect_code(poolite_health(NULL, NULL, NULL, &error), POOLITE_BAD_REQUEST);
	poolite_close(NULL);
}

Test(client_calls, no_transaction_is_refused_everywhere)
{
	struct poolite_result *result = (void *)1;

	expect_code(poolite_tx_query(NULL, "x", POOLITE_NO_ARGS, &result, &error),
	    POOLITE_BAD_REQUEST);
	cr_assert_null(result);
	expect_code(poolite_tx_update(NULL, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_tx_batch(NULL, "x", NULL, 0, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_tx_transaction(NULL, NULL, 0, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_tx_script(NULL, "x", 0, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_tx_commit(NULL, &error), POOLITE_NO_TRANSACTION);
	expect_code(poolite_tx_rollback(NULL, &error), 0);
}

Test(client_calls, a_wrong_argument_is_refused_before_anything_is_sent)
{
	struct poolite_value odd = {.type = (enum poolite_type)99};
	struct poolite_value hollow = {.type = POOLITE_BLOB, .len = 5};
	struct poolite_statement statement = {"x", NULL, 2};
	struct poolite_result *result;
	struct poolite_tx *tx;

	expect_code(
	    poolite_query(db, "x", POOLITE_NO_ARGS, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_query(db, NULL, POOLITE_NO_ARGS, &result, &error),
	    POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_query(db, "x", NULL, 1, &result, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_query(db, "x", &odd, 1, &result, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_update(db, "x", &hollow, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_update(db, "x",
		POOLITE_ARGS(poolite_integer(1), poolite_named("n", poolite_null())),
		NULL, &error),
	    POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_batch(db, "x", NULL, SIZE_MAX, 2, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_batch(db, "x", NULL, 1, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_transaction(db, NULL, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(
	    poolite_transaction(db, &statement, 1, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_script(db, NULL, 0, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_script(db, "x", 64, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_begin(db, 64, &tx, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_begin(db, 0, NULL, &error), POOLITE_BAD_REQUEST);
	cr_assert_eq(atomic_load(&broker.connections), 0);
}

Test(client_calls, a_handle_needs_a_path_and_sane_options)
{
	struct poolite_options options = {.request_timeout_ms = -2};
	struct poolite *other = (void *)1;
	char long_path[200];

	memset(long_path, 'x', sizeof long_path - 1);
	long_path[sizeof long_path - 1] = '\0';
	expect_code(poolite_open(broker.path, NULL, NULL, &error), POOLITE_BAD_REQUEST);
	expect_code(poolite_open(long_path, NULL, &other, &error), POOLITE_BAD_REQUEST);
	cr_assert_null(other);
	expect_code(
	    poolite_open(broker.path, &options, &other, &error), POOLITE_BAD_REQUEST);
	unsetenv("POOLITE_SOCKET");
	expect_code(poolite_open(NULL, NULL, &other, &error), POOLITE_NO_BROKER);
	cr_assert_null(poolite_default(&error));
	cr_assert_eq(error.code, POOLITE_NO_BROKER);
}

Test(client_calls, the_default_handle_comes_from_the_environment)
{
	struct poolite *shared;

	setenv("POOLITE_SOCKET", broker.path, 1);
	spoil();
	shared = poolite_default(&error);
	cr_assert_not_null(shared);
	cr_assert_eq(error.code, POOLITE_OK);
	cr_assert_eq(poolite_default(NULL), shared);
	expect_code(poolite_ping(shared, &error), 0);
	poolite_close_default();
	poolite_close_default();
	expect_code(poolite_ping(poolite_default(NULL), &error), 0);
	poolite_close_default();
}

Test(client_calls, every_code_has_its_name)
{
	cr_assert_str_eq(poolite_code_name(0), "OK");
	cr_assert_str_eq(poolite_code_name(POOLITE_CONSTRAINT), "CONSTRAINT");
	cr_assert_str_eq(poolite_code_name(-9999), "UNKNOWN");
}
