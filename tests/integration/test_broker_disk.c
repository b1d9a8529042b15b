/* A disk that fails in one operation: in a read, in a checkpoint, in a sync; and one so slow
 * that a client has gone before its write is on it.
 *
 * The broker is poolited-faulty, whose files fail to order.
 */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/support/check.h"
#include "tests/support/faults.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct control *control;
static struct wire *a;

static void set_up(void)
{
	control = faults_make(&broker,
	    (const char *const[]){"--checkpoint-pages", "20", "--cache", "64K", NULL});
	poolited_run(&broker);
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	update(a, "CREATE TABLE other (id INTEGER PRIMARY KEY, x)");
}

static void tear_down(void)
{
	control->fail_at = 0;
	control->marker[0] = '\0';
	poolited_end(&broker);
}

TestSuite(broker_disk, .init = set_up, .fini = tear_down, .timeout = 60);

/* The next but ${skip} operation of this kind, once. */
static void fail_next(enum fault_op op, int code, uint64_t skip)
{
	control->fail_op = (int)op;
	control->fail_code = code;
	control->fail_at = control->ops[op] + 1 + skip;
}

static void insert_many(const char *table, unsigned rows)
{
	for (unsigned i = 0; i < rows; i++)
		update(a, "INSERT INTO %s (x) VALUES (randomblob(3000))", table);
}

Test(broker_disk, read_that_fails_is_an_error_and_its_connection_replaced)
{
	insert_many("t", 100);
	fail_next(FAULT_READ, SQLITE_IOERR_READ, 20);
	refused(a, POOLITE_STORAGE, NULL, "query", "[`SELECT sum(length(x)) FROM t`]");
	CHECK_EQ(control->injected, 1);
	await_stat(a, "readers.replaced", 1);
	expect_number(a, 300000, "SELECT sum(length(x)) FROM t");
	update(a, "INSERT INTO t (x) VALUES (1)");
	CHECK_HAS(ask(a, "health"), "`status`: `healthy`");
}

/* Commits go on; the WAL is copied when there is space again. */
Test(broker_disk, full_disk_in_a_checkpoint_is_counted_and_harms_no_commit)
{
	int64_t checkpoints;

	update(a, "INSERT INTO t (x) VALUES ('marked-page')");
	control->fail_code = SQLITE_FULL;
	strcpy(control->marker, "marked-page");
	insert_many("other", 60);
	await_stat(a, "wal.checkpoint_errors", 1);
	expect_number(a, 60, "SELECT count(*) FROM other");
	control->marker[0] = '\0';
	checkpoints = stat_of(a, "wal.checkpoints");
	await_stat(a, "wal.checkpoints", checkpoints + 1);
	insert_many("other", 1);
	CHECK_EQ(poolited_stop(&broker), 0);
}

Test(broker_disk, sync_that_fails_at_commit_is_unknown_and_ends_it)
{
	fail_next(FAULT_SYNC, SQLITE_IOERR_FSYNC, 0);
	expect_error(a, wire_sql(a, "update", "INSERT INTO t (x) VALUES ('unknown')"),
	    POOLITE_OUTCOME_UNKNOWN, NULL);
	expect_end(a);
	CHECK_EQ(poolited_wait(&broker), 74);
	control->fail_at = 0;
	poolited_run(&broker);
	a = wire_open(&broker);
	update(a, "INSERT INTO t (x) VALUES ('known')");
	expect_number(a, 1, "SELECT count(*) FROM t WHERE x = 'known'");
}

Test(broker_disk, sync_that_fails_in_a_checkpoint_ends_it_and_loses_nothing)
{
	int64_t rows = 0;
	const struct reply *reply;

	/* Two syncs before the next checkpoint's: each write has one of its own. */
	control->fail_code = SQLITE_IOERR_WRITE;
	update(a, "INSERT INTO t (x) VALUES ('marked-page')");
	strcpy(control->marker, "marked-page");
	for (;; rows++) {
		reply = wire_receive(a,
		    wire_sql(
			a, "update", "INSERT INTO other (x) VALUES (randomblob(3000))"));
		if (!reply || reply->failure.code)
			break;
	}
	CHECK(
	    !reply || !reply->failure.is_unknown, "a checkpoint makes no write unknown");
	CHECK_EQ(poolited_wait(&broker), 74);
	control->marker[0] = '\0';
	poolited_run(&broker);
	a = wire_open(&broker);
	expect_number(a, rows, "SELECT count(*) FROM other");
	expect_number(a, 1, "SELECT count(*) FROM t WHERE x = 'marked-page'");
}

/* Before its member ran, after that, in the COMMIT: wherever the client goes, the write is done. */
Test(broker_disk, client_that_goes_while_its_write_is_under_way_has_written)
{
	unsigned descriptors = poolited_descriptors(&broker);

	control->pause_us = 3000;
	control->pause_one_in = 1;
	for (unsigned i = 0; i < 40; i++) {
		struct wire *wire = wire_open(&broker);
		wire_sql(wire, "update", "INSERT INTO t (x) VALUES ('gone')");
		usleep(i * 250);
		wire_close(wire);
	}
	update(a, "INSERT INTO t (x) VALUES ('last')"); /* first come, first served */
	control->pause_one_in = 0;
	expect_number(a, 40, "SELECT count(*) FROM t WHERE x = 'gone'");
	await_stat_is(a, "sessions.open", 1);
	CHECK_EQ(poolited_descriptors(&broker), descriptors);
}
