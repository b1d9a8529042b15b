/* libpoolite against a real broker: every verb, and what it reads back.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/direct.h"
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

TestSuite(client_broker, .init = set_up, .fini = tear_down, .timeout = 120);

static int64_t number(const char *sql)
{
	return client_number(db, sql);
}

Test(client_broker, values_of_every_type_come_back)
{
	struct poolite_result *result;

	poolite_query(db, "SELECT ?1, ?2, ?3, ?4, ?5, typeof(?1)||typeof(?2)||typeof(?4)",
	    POOLITE_ARGS(poolite_integer(INT64_MIN), poolite_real(0.1),
		poolite_text("a\303\244"), poolite_blob("\0\377", 2), poolite_null()),
	    &result, &error);
	CHECK(error.code == 0, "%s", error.message);
	CHECK_EQ(poolite_result_next(result), 1);
	CHECK_EQ(poolite_result_int64(result, 0), INT64_MIN);
	CHECK(poolite_result_double(result, 1) == 0.1, "a REAL keeps all its bits");
	CHECK_TEXT(poolite_result_text(result, 2), "a\303\244");
	CHECK_EQ(poolite_result_bytes(result, 3), 2);
	CHECK_EQ(memcmp(poolite_result_blob(result, 3), "\0\377", 2), 0);
	CHECK_EQ(poolite_result_type(result, 4), POOLITE_NULL);
	CHECK_TEXT(poolite_result_text(result, 5), "integerrealblob");
	CHECK_TEXT(poolite_result_column_name(result, 0), "?1");
	poolite_result_free(result);
}

Test(client_broker, conversions_are_sqlites)
{
	static const char *const texts[] = {"12 apples", "-1.5e3x", "9223372036854775808",
	    ".5", "5.", "", "1e400", "0x10", " 7"};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct poolite_result *result;

		MUST(poolite_query(db, "SELECT ?1, CAST(?1 AS INTEGER), CAST(?1 AS REAL)",
		    POOLITE_ARGS(poolite_text(texts[i])), &result, &error));
		CHECK_EQ(poolite_result_next(result), 1);
		CHECK_EQ(
		    poolite_result_int64(result, 0), poolite_result_int64(result, 1));
		CHECK(
		    poolite_result_double(result, 0) == poolite_result_double(result, 2),
		    "%s", texts[i]);
		poolite_result_free(result);
	}
}

Test(client_broker, reals_read_as_sqlite_writes_them)
{
	double real = 1e-4;

	/* Far from 1, SQLite's last digit is not always the nearest. */
	for (int i = 0; i < 10; i++, real *= -79.5) {
		struct poolite_result *result;

		MUST(poolite_query(db, "SELECT ?1, CAST(?1 AS TEXT), CAST(?1 AS INTEGER)",
		    POOLITE_ARGS(poolite_real(real)), &result, &error));
		CHECK_EQ(poolite_result_next(result), 1);
		CHECK_TEXT(
		    poolite_result_text(result, 0), poolite_result_text(result, 1));
		CHECK_EQ(
		    poolite_result_int64(result, 0), poolite_result_int64(result, 2));
		poolite_result_free(result);
	}
}

Test(client_broker, arguments_bind_by_name)
{
	struct poolite_result *result;

	MUST(poolite_query(db, "SELECT :a - $b",
	    POOLITE_ARGS(poolite_named("b", poolite_integer(1)),
		poolite_named(":a", poolite_integer(3))),
	    &result, &error));
	CHECK_EQ(poolite_result_next(result), 1);
	CHECK_EQ(poolite_result_int64(result, 0), 2);
	poolite_result_free(result);
}

Test(client_broker, writes_tell_what_they_did)
{
	struct poolite_changes changes;
	struct poolite_result *result;

	MUST(poolite_update(db, "INSERT INTO t(x) VALUES (?), (?)",
	    POOLITE_ARGS(poolite_text("a"), poolite_text("b")), &changes, &error));
	CHECK_EQ(changes.changes, 2);
	CHECK_EQ(changes.last_insert_id, 2);
	MUST(poolite_query(db, "INSERT INTO t(x) VALUES ('c') RETURNING id",
	    POOLITE_NO_ARGS, &result, &error));
	CHECK_EQ(poolite_result_next(result), 1);
	CHECK_EQ(poolite_result_int64(result, 0), 3);
	CHECK_EQ(poolite_result_changes(result), 1);
	CHECK_EQ(poolite_result_last_insert_id(result), 3);
	poolite_result_free(result);
}

Test(client_broker, an_error_says_what_sqlite_says)
{
	MUST(poolite_update(
	    db, "INSERT INTO t(x) VALUES (1)", POOLITE_NO_ARGS, NULL, &error));
	CHECK_EQ(poolite_update(
		     db, "INSERT INTO t(x) VALUES (1)", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_CONSTRAINT);
	CHECK_EQ(error.sqlite, SQLITE_CONSTRAINT_UNIQUE);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	CHECK_HAS(error.message, "t.x");
}

/* ---- batches ------------------------------------------------------------- */

#define ROWS ((size_t)10000)

/* Rows of an id and a text of 50 bytes: about 600 KB, six messages' worth. */
static struct poolite_value *make_rows(void)
{
	struct poolite_value *values = calloc(ROWS * 2, sizeof *values);
	static char texts[ROWS][51];

	for (size_t i = 0; i < ROWS; i++) {
		snprintf(texts[i], sizeof texts[i], "%050zu", i);
		values[2 * i] = poolite_integer((int64_t)i + 1);
		values[2 * i + 1] = poolite_text(texts[i]);
	}
	return values;
}

Test(client_broker, a_batch_larger_than_a_message_is_saved_whole)
{
	struct poolite_value *values = make_rows();
	struct poolite_changes changes;

	MUST(poolite_batch(
	    db, "INSERT INTO t(id, x) VALUES (?, ?)", values, 2, ROWS, &changes, &error));
	CHECK_EQ(changes.changes, ROWS);
	CHECK_EQ(changes.last_insert_id, ROWS);
	CHECK_EQ(number("SELECT count(*) FROM t"), ROWS);
	free(values);
}

Test(client_broker, or_not_at_all)
{
	struct poolite_value *values = make_rows();
	struct poolite_changes changes;

	values[2 * (ROWS - 1)] =
	    poolite_integer(1); /* the last one's id is the first one's */
	CHECK_EQ(poolite_batch(db, "INSERT INTO t(id, x) VALUES (?, ?)", values, 2, ROWS,
		     &changes, &error),
	    POOLITE_CONSTRAINT);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	CHECK_EQ(changes.changes, 0);
	CHECK_EQ(number("SELECT count(*) FROM t"), 0);
	free(values);
}

Test(client_broker, inside_a_transaction_a_failed_batch_undoes_only_itself)
{
	struct poolite_value *values = make_rows();
	struct poolite_changes changes;
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	MUST(poolite_tx_update(
	    tx, "INSERT INTO log VALUES ('before')", POOLITE_NO_ARGS, NULL, &error));
	values[2 * (ROWS - 1)] = poolite_integer(1);
	CHECK_EQ(poolite_tx_batch(tx, "INSERT INTO t(id, x) VALUES (?, ?)", values, 2,
		     ROWS, &changes, &error),
	    POOLITE_CONSTRAINT);
	MUST(poolite_tx_batch(tx, "INSERT INTO t(id, x) VALUES (?, ?)", values, 2,
	    ROWS - 1, &changes, &error));
	CHECK_EQ(changes.changes, ROWS - 1);
	MUST(poolite_tx_commit(tx, &error));
	CHECK_EQ(number("SELECT count(*) FROM t"), ROWS - 1);
	CHECK_EQ(number("SELECT count(*) FROM log"), 1);
	free(values);
}

Test(client_broker, a_request_too_large_for_the_broker_did_nothing)
{
	char *bytes = calloc(1, 200000);

	CHECK_EQ(poolite_update(db, "INSERT INTO t(x) VALUES (?)",
		     POOLITE_ARGS(poolite_blob(bytes, 200000)), NULL, &error),
	    POOLITE_TOO_LARGE);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	CHECK_EQ(number("SELECT count(*) FROM t"), 0);
	free(bytes);
}

/* ---- several statements -------------------------------------------------- */

Test(client_broker, a_transaction_is_all_or_nothing)
{
	struct poolite_value one = poolite_integer(1);
	struct poolite_statement statements[] = {
	    {"INSERT INTO t(id, x) VALUES (?, 'a')", &one, 1},
	    {"SELECT x FROM t", NULL, 0},
	    {"INSERT INTO log VALUES ('done')", NULL, 0},
	};
	struct poolite_result *results[3];

	MUST(poolite_transaction(db, statements, 3, results, &error));
	CHECK_EQ(poolite_result_last_insert_id(results[0]), 1);
	CHECK_EQ(poolite_result_next(results[1]), 1);
	CHECK_TEXT(poolite_result_text(results[1], 0), "a");
	CHECK_EQ(poolite_result_changes(results[2]), 1);
	for (int i = 0; i < 3; i++)
		poolite_result_free(results[i]);
	CHECK_EQ(
	    poolite_transaction(db, statements, 3, results, &error), POOLITE_CONSTRAINT);
	CHECK(!results[0] && !results[1] && !results[2], "no results after an error");
	CHECK_EQ(number("SELECT count(*) FROM log"), 1);
}

Test(client_broker, a_script_runs_whole_or_not_at_all)
{
	struct poolite_changes changes;

	MUST(poolite_script(db,
	    "INSERT INTO t(x) VALUES (1); INSERT INTO t(x) VALUES (2);", 0, &changes,
	    &error));
	CHECK_EQ(changes.statements, 2);
	CHECK_EQ(changes.changes, 2);
	CHECK_EQ(poolite_script(db,
		     "INSERT INTO t(x) VALUES (3); INSERT INTO t(x) VALUES (3);", 0, NULL,
		     &error),
	    POOLITE_CONSTRAINT);
	CHECK_EQ(number("SELECT count(*) FROM t"), 2);
}

Test(client_broker, a_script_may_switch_foreign_keys_off)
{
	MUST(poolite_script(db,
	    "CREATE TABLE p(id INTEGER PRIMARY KEY); INSERT INTO p VALUES (1);"
	    "CREATE TABLE c(p REFERENCES p ON DELETE CASCADE); INSERT INTO c VALUES (1);",
	    0, NULL, &error));
	MUST(poolite_script(db,
	    "DROP TABLE p; CREATE TABLE p(id INTEGER PRIMARY KEY, n);"
	    "INSERT INTO p VALUES (1, 2);",
	    POOLITE_FOREIGN_KEYS_OFF, NULL, &error));
	CHECK_EQ(number("SELECT count(*) FROM c"), 1);
}

/* ---- transactions over round trips --------------------------------------- */

Test(client_broker, a_commit_keeps_and_a_rollback_undoes)
{
	struct poolite_result *result;
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	MUST(poolite_tx_update(
	    tx, "INSERT INTO t(x) VALUES (1)", POOLITE_NO_ARGS, NULL, &error));
	MUST(poolite_tx_query(tx, "SELECT x FROM t", POOLITE_NO_ARGS, &result, &error));
	CHECK_EQ(poolite_result_rows(result), 1);
	poolite_result_free(result);
	CHECK_EQ(number("SELECT count(*) FROM t"), 0);
	MUST(poolite_tx_commit(tx, &error));
	CHECK_EQ(number("SELECT count(*) FROM t"), 1);
	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	MUST(poolite_tx_update(tx, "DELETE FROM t", POOLITE_NO_ARGS, NULL, &error));
	MUST(poolite_tx_rollback(tx, &error));
	CHECK_EQ(number("SELECT count(*) FROM t"), 1);
}

Test(client_broker, a_failed_statement_leaves_the_transaction_open)
{
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	MUST(poolite_tx_update(
	    tx, "INSERT INTO t(x) VALUES (1)", POOLITE_NO_ARGS, NULL, &error));
	CHECK_EQ(poolite_tx_update(tx, "INSERT INTO t(x) VALUES (2), (1)",
		     POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_CONSTRAINT);
	MUST(poolite_tx_update(
	    tx, "INSERT INTO t(x) VALUES (3)", POOLITE_NO_ARGS, NULL, &error));
	MUST(poolite_tx_commit(tx, &error));
	CHECK_EQ(number("SELECT sum(x) FROM t"), 4);
}

Test(client_broker, unless_errors_are_to_abort_it)
{
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_WRITE | POOLITE_ABORT_ON_ERROR, &tx, &error));
	CHECK_EQ(poolite_tx_update(tx, "nonsense", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_SQL_ERROR);
	CHECK_EQ(poolite_tx_update(
		     tx, "INSERT INTO t(x) VALUES (3)", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_SQL_ERROR);
	CHECK_EQ(poolite_tx_commit(tx, &error), POOLITE_SQL_ERROR);
	MUST(poolite_update(
	    db, "INSERT INTO t(x) VALUES (3)", POOLITE_NO_ARGS, NULL, &error));
}

Test(client_broker, a_read_transaction_has_one_snapshot_and_writes_nothing)
{
	struct poolite_result *result;
	struct poolite_tx *tx;

	MUST(poolite_begin(db, POOLITE_READ, &tx, &error));
	MUST(poolite_update(
	    db, "INSERT INTO t(x) VALUES (1)", POOLITE_NO_ARGS, NULL, &error));
	MUST(poolite_tx_query(tx, "SELECT x FROM t", POOLITE_NO_ARGS, &result, &error));
	CHECK_EQ(poolite_result_rows(result), 0);
	poolite_result_free(result);
	CHECK_EQ(poolite_tx_update(
		     tx, "INSERT INTO t(x) VALUES (2)", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_READ_ONLY);
	MUST(poolite_tx_commit(tx, &error));
}

Test(client_broker, waiting_for_the_writer_has_a_deadline_that_names_its_holder)
{
	struct poolite_options options = {.request_timeout_ms = 50};
	struct poolite *hasty;
	struct poolite_tx *tx, *second;
	char pid[32];

	MUST(poolite_begin(db, POOLITE_WRITE, &tx, &error));
	CHECK_EQ(poolite_open(broker.socket, &options, &hasty, &error), 0);
	CHECK_EQ(poolite_update(
		     hasty, "INSERT INTO t(x) VALUES (2)", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_POOL_TIMEOUT);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	snprintf(pid, sizeof pid, "%d", (int)getpid());
	CHECK_HAS(error.message, pid);
	CHECK_EQ(
	    poolite_begin(hasty, POOLITE_WRITE, &second, &error), POOLITE_POOL_TIMEOUT);
	CHECK(!second, "no transaction");
	MUST(poolite_tx_rollback(tx, &error));
	MUST(poolite_update(
	    hasty, "INSERT INTO t(x) VALUES (2)", POOLITE_NO_ARGS, NULL, &error));
	poolite_close(hasty);
}
