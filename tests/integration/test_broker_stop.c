/* Stopping cleanly under load, and being killed: what was answered is there, what was
 * refused is not, and clients of the library ride over a restart.
 */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

#define CLIENTS 8

/* What clients note where their parent sees it. */
struct ledger {
	atomic_long ok;
	atomic_bool is_over; /* clients end at their next turn */
	struct {
		int64_t ok, refused,
		    unknown;         /* of rows 0 .. ok + refused + unknown - 1 */
		char outcome[20000]; /* per row: 'o', 'r', 'u' */
	} client[CLIENTS];
};

static struct poolited broker;
static struct wire *a, *b;
static struct ledger *ledger;

static void set_up(void)
{
	poolited_start(&broker);
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (client, n, PRIMARY KEY (client, n)) WITHOUT ROWID");
	ledger = mmap(NULL, sizeof *ledger, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(ledger != MAP_FAILED, "mmap");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_stop, .init = set_up, .fini = tear_down, .timeout = 100);

/* ---- the ledger ----------------------------------------------------------------- */

/* Insert row after row by the library until told to end, or, with ${stops}, refused. */
static void write_rows(unsigned index, bool stops, int connect_timeout_ms)
{
	struct poolite_options options = {.connect_timeout_ms = connect_timeout_ms};
	struct poolite_error error;
	struct poolite *db;
	size_t n;

	CHECK_EQ(poolite_open(broker.socket, &options, &db, &error), 0);
	for (n = 0; n < sizeof ledger->client[0].outcome && !ledger->is_over; n++) {
		char *outcome = &ledger->client[index].outcome[n];
		int rc = poolite_update(db, "INSERT INTO t VALUES (?, ?)",
		    POOLITE_ARGS(poolite_integer(index), poolite_integer((int64_t)n)),
		    NULL, &error);
		*outcome = !rc ? 'o' : error.outcome == POOLITE_DONE_NO ? 'r' : 'u';
		ledger->client[index].ok += *outcome == 'o';
		ledger->client[index].refused += *outcome == 'r';
		ledger->client[index].unknown += *outcome == 'u';
		ledger->ok += *outcome == 'o';
		CHECK(rc == 0 || rc == POOLITE_OUTCOME_UNKNOWN ||
			rc == POOLITE_NO_BROKER || rc == POOLITE_SHUTTING_DOWN,
		    "%s", error.message);
		if (rc && stops)
			break;
	}
	poolite_close(db);
}

static void await_acknowledgements(long count)
{
	double until = check_seconds() + PATIENCE_SECONDS;

	while (ledger->ok < count) {
		CHECK(check_seconds() < until, "the load stays at %ld", ledger->ok);
		process_pause(0.001);
	}
}

/* Every row answered OK is there, none that was refused. */
static void compare_with_the_ledger(void)
{
	sqlite3 *db = direct_open(broker.database);
	sqlite3_stmt *find;

	CHECK_EQ(sqlite3_prepare_v2(
		     db, "SELECT 1 FROM t WHERE client = ? AND n = ?", -1, &find, NULL),
	    SQLITE_OK);
	for (int i = 0; i < CLIENTS; i++)
		for (size_t n = 0; n < sizeof ledger->client[i].outcome; n++) {
			char outcome = ledger->client[i].outcome[n];
			bool is_there;
			if (!outcome)
				break;
			sqlite3_bind_int(find, 1, i);
			sqlite3_bind_int64(find, 2, (int64_t)n);
			is_there = sqlite3_step(find) == SQLITE_ROW;
			sqlite3_reset(find);
			CHECK(outcome != 'o' || is_there, "row %zu of client %d is lost",
			    n, i);
			CHECK(outcome != 'r' || !is_there,
			    "row %zu of client %d is a ghost", n, i);
		}
	sqlite3_finalize(find);
	direct_close(db);
	direct_check(broker.database);
}

/* ---- a clean stop ------------------------------------------------------------------ */

static void write_until_stopped(unsigned index, void *context)
{
	(void)context;
	write_rows(index, true, 50);
}

Test(broker_stop, under_load_it_loses_nothing_and_leaves_nobody_in_doubt)
{
	pid_t clients[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = client_start(write_until_stopped, i, NULL);
	await_acknowledgements(500);
	CHECK_EQ(poolited_stop(&broker), 0);
	for (int i = 0; i < CLIENTS; i++) {
		client_wait(clients[i]);
		CHECK_EQ(ledger->client[i].unknown, 0);
		CHECK_EQ(ledger->client[i].refused, 1);
	}
	compare_with_the_ledger();
	CHECK(access(broker.socket, F_OK) != 0, "the socket is still there");
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), ledger->ok);
}

Test(broker_stop, what_waited_is_done_first)
{
	struct wire *waiters[5];
	uint32_t ids[5];

	ask(a, "begin");
	for (int i = 0; i < 5; i++) {
		waiters[i] = wire_open(&broker);
		ids[i] =
		    wire_sql(waiters[i], "update", "INSERT INTO t VALUES (%d, 0)", i);
		wire_sync(waiters[i]);
	}
	kill(broker.pid, SIGTERM);
	poolited_await_log(&broker, "stopping");
	update(a, "INSERT INTO t VALUES (100, 100)");
	ask(a, "commit");
	for (int i = 0; i < 5; i++) {
		expect_ok(waiters[i], ids[i]);
		expect_end(waiters[i]);
	}
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 6);
}

Test(broker_stop, second_signal_cuts_the_grace_short)
{
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (1, 1)");
	kill(broker.pid, SIGINT);
	poolited_await_log(&broker, "stopping");
	kill(broker.pid, SIGTERM);
	expect_end(a);
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 0);
}

Test(broker_stop, signals_up_to_the_very_end_do_not_change_its_status)
{
	for (int i = 0; i < 50; i++) {
		struct pollfd end = {.events = POLLIN};
		if (i > 0)
			poolited_run(&broker);
		end.fd = (int)syscall(SYS_pidfd_open, broker.pid, 0);
		kill(broker.pid, SIGTERM);
		poolited_await_log(&broker, "stopped");
		while (poll(&end, 1, 0) == 0)
			kill(broker.pid, SIGTERM);
		close(end.fd);
		CHECK_EQ(poolited_wait(&broker), 0);
	}
}

/* Whether a thread of the broker's has ${signal} blocked. */
static bool has_blocked(const char *thread, int signal)
{
	unsigned long long blocked = 0;
	char path[80], line[128];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/task/%s/status", (int)broker.pid, thread);
	file = fopen(path, "re");
	CHECK(file, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, file))
		sscanf(line, "SigBlk: %llx", &blocked);
	fclose(file);
	return blocked >> (signal - 1) & 1;
}

Test(broker_stop, signals_are_for_the_loops_thread_alone)
{
	unsigned others = 0;
	struct dirent *entry;
	char path[64];
	DIR *threads;

	call(a, "begin", "[{`mode`: `read`}]"); /* on a reader of its own */
	snprintf(path, sizeof path, "/proc/%d/task", (int)broker.pid);
	threads = opendir(path);
	CHECK(threads, "%s: %s", path, strerror(errno));
	while ((entry = readdir(threads))) {
		bool is_main = atoi(entry->d_name) == (int)broker.pid;
		if (entry->d_name[0] == '.')
			continue;
		CHECK_EQ(has_blocked(entry->d_name, SIGTERM), !is_main);
		CHECK_EQ(has_blocked(entry->d_name, SIGINT), !is_main);
		others += !is_main;
	}
	closedir(threads);
	CHECK(others >= 3, "writer, reader, stats socket: %u threads", others);
}

Test(broker_stop, grace_ends_and_open_transactions_are_rolled_back)
{
	uint32_t waiting;

	CHECK_EQ(poolited_stop(&broker), 0);
	broker.flags[0] = "--grace=0.2";
	poolited_run(&broker);
	a = wire_open(&broker);
	b = wire_open(&broker);
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (1, 1)");
	waiting = wire_bare(b, "begin");
	wire_sync(b);
	kill(broker.pid, SIGTERM);
	expect_end(a);
	expect_error(b, waiting, POOLITE_SHUTTING_DOWN, NULL);
	expect_end(b);
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 0);
}

Test(broker_stop, successor_waits_for_one_that_is_stopping)
{
	static struct poolited successor;

	CHECK_EQ(poolited_stop(&broker), 0);
	broker.flags[0] = "--grace=0.5";
	poolited_run(&broker);
	a = wire_open(&broker);
	ask(a, "begin"); /* keeps the stopping one to the end of its grace */
	kill(broker.pid, SIGTERM);
	poolited_await_log(&broker, "stopping");
	successor = broker;
	successor.pid = 0;
	poolited_run(&successor);
	CHECK(strstr(successor.log, "waiting for the broker"), "%s", successor.log);
	CHECK_EQ(poolited_wait(&broker), 0);
	broker = successor;
	b = wire_open(&broker);
	update(b, "INSERT INTO t VALUES (1, 1)");
}

Test(broker_stop, database_is_one_file_afterwards)
{
	char wal[100];

	update(a, "INSERT INTO t VALUES (1, 1)");
	CHECK_EQ(poolited_stop(&broker), 0);
	snprintf(wal, sizeof wal, "%s-wal", broker.database);
	CHECK(access(wal, F_OK) != 0, "a WAL is left behind");
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 1);
}

/* ---- killed ------------------------------------------------------------------------ */

static void write_through_restarts(unsigned index, void *context)
{
	(void)context;
	write_rows(index, false, PATIENCE_SECONDS * 1000);
}

Test(broker_stop, killed_again_and_again_it_keeps_what_was_answered)
{
	pid_t clients[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = client_start(write_through_restarts, i, NULL);
	for (int kills = 1; kills <= 10; kills++) {
		await_acknowledgements(ledger->ok + 100);
		poolited_kill(&broker);
		poolited_run(&broker);
	}
	await_acknowledgements(ledger->ok + 100);
	ledger->is_over = true;
	for (int i = 0; i < CLIENTS; i++) {
		client_wait(clients[i]);
		CHECK(ledger->client[i].ok > 0, "client %d wrote nothing", i);
		CHECK_EQ(ledger->client[i].refused, 0);
		CHECK(ledger->client[i].unknown < ledger->client[i].ok,
		    "nearly all unknown");
	}
	CHECK_EQ(poolited_stop(&broker), 0);
	compare_with_the_ledger();
}

Test(broker_stop, restart_under_load_is_invisible_to_the_library)
{
	pid_t clients[CLIENTS];

	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = client_start(write_through_restarts, i, NULL);
	for (int restarts = 1; restarts <= 5; restarts++) {
		await_acknowledgements(ledger->ok + 100);
		CHECK_EQ(poolited_stop(&broker), 0);
		poolited_run(&broker);
	}
	await_acknowledgements(ledger->ok + 100);
	ledger->is_over = true;
	for (int i = 0; i < CLIENTS; i++) {
		client_wait(clients[i]);
		CHECK_EQ(ledger->client[i].unknown, 0);
	}
	CHECK_EQ(poolited_stop(&broker), 0);
	compare_with_the_ledger();
}

Test(broker_stop, killed_it_forgets_open_transactions)
{
	ask(a, "begin");
	update(a, "INSERT INTO t VALUES (1, 1)");
	update(a, "CREATE TABLE made (x)");
	poolited_kill(&broker);
	expect_end(a);
	poolited_run(&broker);
	a = wire_open(&broker);
	expect_number(a, 0, "SELECT count(*) FROM t");
	update(a, "INSERT INTO t VALUES (1, 1)");
	update(a, "CREATE TABLE made (x)");
}

static void call_a_broker_that_is_not_there_yet(unsigned index, void *context)
{
	struct poolite_options options = {.connect_timeout_ms = PATIENCE_SECONDS * 1000};
	struct poolite_error error;
	struct poolite *db;

	(void)context;
	CHECK_EQ(poolite_open(broker.socket, &options, &db, &error), 0);
	ledger->ok++;
	CHECK(poolite_update(db, "INSERT INTO t VALUES (?, 0)",
		  POOLITE_ARGS(poolite_integer(index)), NULL, &error) == 0,
	    "%s", error.message);
	poolite_close(db);
}

Test(broker_stop, clients_that_come_while_it_is_away_are_served_when_it_is_back)
{
	pid_t clients[CLIENTS];

	poolited_kill(&broker);
	for (unsigned i = 0; i < CLIENTS; i++)
		clients[i] = client_start(call_a_broker_that_is_not_there_yet, i, NULL);
	await_acknowledgements(CLIENTS);
	poolited_run(&broker);
	for (int i = 0; i < CLIENTS; i++)
		client_wait(clients[i]);
	expect_number(wire_open(&broker), CLIENTS, "SELECT count(*) FROM t");
}
