/* Many processes at once: exact counts, no error, and reads that see what was answered. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a;

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	run(a, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, client, n); CREATE TABLE c (n);"
	    "INSERT INTO c VALUES (0)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_concurrency, .fini = tear_down, .timeout = 100);

static struct poolite *open_handle(void)
{
	struct poolite_error error;
	struct poolite *db;

	CHECK(poolite_open(broker.socket, NULL, &db, &error) == 0, "%s", error.message);
	return db;
}

static void insert(struct poolite *db, unsigned client, int n)
{
	struct poolite_error error;
	struct poolite_changes changes;

	CHECK(poolite_update(db, "INSERT INTO t (client, n) VALUES (?, ?)",
		  POOLITE_ARGS(poolite_integer(client), poolite_integer(n)), &changes,
		  &error) == 0,
	    "%s", error.message);
	CHECK_EQ(changes.changes, 1);
	CHECK(changes.last_insert_id > 0, "no id");
}

static int64_t count(struct poolite *db, unsigned client)
{
	struct poolite_result *result;
	struct poolite_error error;
	int64_t found;

	CHECK(poolite_query(db, "SELECT count(*) FROM t WHERE client = ?",
		  POOLITE_ARGS(poolite_integer(client)), &result, &error) == 0,
	    "%s", error.message);
	CHECK_EQ(poolite_result_next(result), 1);
	found = poolite_result_int64(result, 0);
	poolite_result_free(result);
	return found;
}

/* ---- all at once ----------------------------------------------------------------- */

#define ROUNDS 60
#define BATCH  20

/* Single writes, each followed by a read of one's own; a batch; a transaction. */
static void write_and_read(unsigned client, void *context)
{
	struct poolite_value values[2 * BATCH];
	struct poolite_statement statements[2] = {
	    {"INSERT INTO t (client, n) VALUES (?, 1)", values, 1},
	    {"UPDATE t SET n = n + 1000 WHERE client = ?", values, 1}};
	struct poolite *db = open_handle();
	struct poolite_changes changes;
	struct poolite_error error;

	(void)context;
	for (int n = 0; n < ROUNDS; n++) {
		insert(db, client, n);
		CHECK_EQ(count(db, client), n + 1);
	}
	for (size_t i = 0; i < BATCH; i++) {
		values[2 * i] = poolite_integer(client);
		values[2 * i + 1] = poolite_integer((int64_t)i);
	}
	CHECK(poolite_batch(db, "INSERT INTO t (client, n) VALUES (?, ?)", values, 2,
		  BATCH, &changes, &error) == 0,
	    "%s", error.message);
	CHECK_EQ(changes.changes, BATCH);
	CHECK(poolite_transaction(db, statements, 2, NULL, &error) == 0, "%s",
	    error.message);
	CHECK_EQ(count(db, client), ROUNDS + BATCH + 1);
	poolite_close(db);
}

Test(broker_concurrency, processes_write_and_read_at_once_with_exact_counts)
{
	enum { PROCESSES = 32 };

	start(NULL, NULL);
	clients_run(PROCESSES, write_and_read, NULL);
	expect_number(
	    a, (int64_t)PROCESSES * (ROUNDS + BATCH + 1), "SELECT count(*) FROM t");
	expect_number(a, 0, "SELECT count(*) FROM t WHERE n < 1000");
	expect_number(a, PROCESSES, "SELECT count(DISTINCT client) FROM t");
	CHECK_EQ(stat_of(a, "requests.update.errors"), 0);
	CHECK_EQ(stat_of(a, "requests.query.errors"), 0);
	CHECK(stat_of(a, "groups.largest") > 1, "no two writes shared a commit");
}

static void increment(unsigned client, void *context)
{
	struct poolite *db = open_handle();
	struct poolite_error error;

	(void)client;
	(void)context;
	for (int i = 0; i < 20; i++) {
		struct poolite_result *result;
		struct poolite_tx *tx;
		int64_t n;
		CHECK(poolite_begin(db, POOLITE_WRITE, &tx, &error) == 0, "%s",
		    error.message);
		CHECK(poolite_tx_query(
			  tx, "SELECT n FROM c", POOLITE_NO_ARGS, &result, &error) == 0,
		    "%s", error.message);
		CHECK_EQ(poolite_result_next(result), 1);
		n = poolite_result_int64(result, 0);
		poolite_result_free(result);
		CHECK(poolite_tx_update(tx, "UPDATE c SET n = ?",
			  POOLITE_ARGS(poolite_integer(n + 1)), NULL, &error) == 0,
		    "%s", error.message);
		CHECK(poolite_tx_commit(tx, &error) == 0, "%s", error.message);
	}
	poolite_close(db);
}

Test(broker_concurrency, read_and_write_in_a_transaction_loses_no_update)
{
	start(NULL, NULL);
	clients_run(16, increment, NULL);
	expect_number(a, 320, "SELECT n FROM c");
}

static void move_between_rows(unsigned client, void *context)
{
	struct wire *wire = wire_open(&broker);

	(void)context;
	for (int i = 0; i < 50; i++) {
		if (client % 2)
			expect_number(wire, 100, "SELECT sum(n) FROM t");
		else
			call(wire, "transaction",
			    "[[[`UPDATE t SET n = n - 1 WHERE id = %u`],"
			    " [`UPDATE t SET n = n + 1 WHERE id = %u`]]]",
			    client + 1, (client + 2) % 8 + 1);
	}
}

Test(broker_concurrency, readers_see_transactions_whole_or_not_at_all)
{
	start("--synchronous", "NORMAL");
	for (int i = 1; i <= 8; i++)
		update(a, "INSERT INTO t VALUES (%d, 0, %d)", i, i == 1 ? 100 : 0);
	clients_run(8, move_between_rows, NULL);
	expect_number(a, 100, "SELECT sum(n) FROM t");
}

/* ---- what was answered is seen ------------------------------------------------------ */

enum { PING_PONG_ROUNDS = 4000 };

/* Read what the other has written, as soon as it says so; then write the next. */
static void play(unsigned player, void *context)
{
	int *ends = context, fd = ends[player];
	struct wire *wire = wire_open(&broker);

	for (int round = 0; round < PING_PONG_ROUNDS; round++) {
		if (round % 2 == (int)player) {
			uint32_t msgid = wire_sql(
			    wire, "update", "UPDATE c SET n = n + 1 -- %d", round % 3);
			expect_ok(wire, msgid);
			CHECK_EQ(write(fd, &round, sizeof round), sizeof round);
		} else {
			int told;
			CHECK_EQ(read(fd, &told, sizeof told), sizeof told);
			CHECK_EQ(told, round);
			expect_number(wire, round + 1, "SELECT n FROM c");
		}
	}
}

Test(broker_concurrency, read_sees_another_process_s_acknowledged_write)
{
	int ends[2];

	start("--synchronous", "NORMAL");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	clients_run(2, play, ends);
	expect_number(a, PING_PONG_ROUNDS, "SELECT n FROM c");
}

Test(broker_concurrency, read_sees_its_own_session_s_write)
{
	start("--synchronous", "NORMAL");
	for (int i = 1; i <= 2000; i++) {
		update(a, "UPDATE c SET n = n + 1");
		expect_number(a, i, "SELECT n FROM c");
	}
}

/* ---- after fork ------------------------------------------------------------------------ */

static void work_with_the_parent_s_handle(unsigned client, void *context)
{
	for (int n = 0; n < 50; n++) {
		insert(context, client, n);
		CHECK_EQ(count(context, client), n + 1);
	}
	poolite_close(context);
}

Test(broker_concurrency, forked_workers_use_their_parent_s_handle)
{
	enum { WORKERS = 8 };
	struct poolite *db;
	pid_t workers[WORKERS];

	start(NULL, NULL);
	db = open_handle();
	insert(db, 99, 0); /* the handle has an idle socket now */
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = client_start(work_with_the_parent_s_handle, i, db);
	for (int n = 1; n < 50; n++)
		insert(db, 99, n);
	for (unsigned i = 0; i < WORKERS; i++)
		client_wait(workers[i]);
	for (unsigned i = 0; i < WORKERS; i++)
		CHECK_EQ(count(db, i), 50);
	CHECK_EQ(count(db, 99), 50);
	poolite_close(db);
	expect_number(a, (int64_t)(WORKERS + 1) * 50, "SELECT count(*) FROM t");
}
