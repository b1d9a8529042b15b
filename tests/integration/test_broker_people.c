/* Who may connect, who may only read, who has how much: by the kernel's word for who it is. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

/* Ids that nobody has. */
#define STRANGER       54321
#define STRANGER_GROUP 54322

static struct poolited broker;
static struct wire *a;

/* poolited with these flags, its socket open to other users. */
#define START(...)                                                                       \
	do {                                                                             \
		poolited_make(&broker,                                                   \
		    (const char *const[]){"--socket-mode", "0666", __VA_ARGS__, NULL});  \
		CHECK_EQ(chmod(broker.folder, 0711), 0);                                 \
		poolited_run(&broker);                                                   \
	} while (0)

static void tear_down(void)
{
	wire_free_all();
	poolited_end(&broker);
}

TestSuite(broker_people, .fini = tear_down, .timeout = 60);

static void become_stranger(void)
{
	gid_t groups[] = {STRANGER_GROUP};

	CHECK_EQ(setgroups(1, groups), 0);
	CHECK_EQ(setgid(STRANGER), 0);
	CHECK_EQ(setuid(STRANGER), 0);
}

/* In a client of its own: the stranger is served, or refused with ${context}'s code. */
static void stranger(unsigned index, void *context)
{
	enum poolite_code *code = context;
	struct wire *wire;

	(void)index;
	wire_free_all();
	become_stranger();
	wire = wire_open(&broker);
	if (*code)
		expect_farewell(wire, *code);
	else /* its request and its bytes are taken */
		expect_number(wire, 0, "SELECT 0 -- %060000d", 0);
}

static void stranger_is(enum poolite_code code)
{
	clients_run(1, stranger, &code);
}

/* ---- who may connect -------------------------------------------------------------- */

Test(broker_people, who_is_not_listed_is_told_and_closed)
{
	START("--allow", "root");
	a = wire_open(&broker);
	wire_sync(a);
	stranger_is(POOLITE_NOT_ALLOWED);
	CHECK_EQ(stat_of(a, "sessions.not_allowed"), 1);
	await_stat_is(a, "sessions.open", 1);
}

/* Connect and send while the broker stands still, say so on ${context}, and be refused. */
static void eager_stranger(unsigned index, void *context)
{
	int *says = context;
	struct wire *wire;

	(void)index;
	become_stranger();
	wire = wire_open(&broker);
	wire_sql(wire, "update", "INSERT INTO t VALUES (1)");
	wire_send_bytes(wire, "\xc1", 1);
	CHECK_EQ(write(*says, "s", 1), 1);
	expect_farewell(wire, POOLITE_NOT_ALLOWED);
}

Test(broker_people, who_is_not_listed_is_closed_before_a_byte_is_read)
{
	int ends[2];
	pid_t pid;

	START("--allow", "root");
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	CHECK_EQ(pipe2(ends, O_CLOEXEC), 0);
	kill(broker.pid, SIGSTOP);
	pid = client_start(eager_stranger, 0, &ends[1]);
	CHECK_EQ(read(ends[0], (char[1]){0}, 1), 1);
	kill(broker.pid, SIGCONT);
	client_wait(pid);
	CHECK_EQ(stat_of(a, "sessions.not_allowed"), 1);
	CHECK_EQ(stat_of(a, "sessions.protocol_errors"), 0);
	expect_number(a, 0, "SELECT count(*) FROM t");
}

Test(broker_people, user_is_listed_by_number)
{
	START("--allow", "root,54321");
	stranger_is(POOLITE_OK);
}

Test(broker_people, group_is_listed_also_when_it_is_not_the_first)
{
	START("--allow", "root,@54322");
	stranger_is(POOLITE_OK);
	poolited_end(&broker);
	START("--allow", "root,@54323");
	stranger_is(POOLITE_NOT_ALLOWED);
}

/* It would close the broker, or open it, by a variable that somebody forgot to set. */
Test(broker_people, list_that_names_nobody_stops_the_start)
{
	static const char *const flags[] = {
	    "--allow=", "--allow=,", "--read-only=", "--admin= ,"};
	static const char *const variables[] = {
	    "POOLITE_ALLOW", "POOLITE_READ_ONLY", "POOLITE_ADMIN"};
	char output[1000];

	poolited_make(&broker, (const char *const[]){NULL});
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		const char *all[] = {
		    "--db", broker.database, "--socket", broker.socket, flags[i], NULL};
		CHECK_EQ(poolited_fails_to_start(all, output, sizeof output), 2);
		CHECK_HAS(output, "names nobody");
	}
	for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
		const char *all[] = {
		    "--db", broker.database, "--socket", broker.socket, NULL};
		setenv(variables[i], "", 1);
		CHECK_EQ(poolited_fails_to_start(all, output, sizeof output), 2);
		CHECK_HAS(output, "names nobody");
		unsetenv(variables[i]);
	}
}

Test(broker_people, admins_may_always_connect)
{
	START("--allow", "54321");
	wire_sync(wire_open(&broker)); /* root is an admin */
	stranger_is(POOLITE_OK);
	poolited_end(&broker);
	START("--allow", "54320", "--admin", "54321");
	expect_farewell(wire_open(&broker), POOLITE_NOT_ALLOWED);
	stranger_is(POOLITE_OK);
}

Test(broker_people, unknown_name_stops_the_start)
{
	static const char *const flags[] = {"--allow=no-such-user",
	    "--read-only=@no-such-group", "--admin=-1", "--admin=4294967295"};
	char output[1000];

	START("--allow", "root");
	poolited_stop(&broker);
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
		const char *all[] = {
		    "--db", broker.database, "--socket", broker.socket, flags[i], NULL};
		CHECK_EQ(poolited_fails_to_start(all, output, sizeof output), 2);
		CHECK_HAS(output, "there is no");
	}
	poolited_run(&broker);
}

/* ---- who may only read --------------------------------------------------------------- */

static const struct {
	const char *method, *params;
} writes[] = {
    {"update", "[`INSERT INTO t VALUES (2)`]"},
    {"query", "[`INSERT INTO t VALUES (2) RETURNING x`]"},
    {"batch", "[`INSERT INTO t VALUES (?)`, [[2], [3]]]"},
    {"transaction", "[[[`SELECT 1`], [`DELETE FROM t`]]]"},
    {"script", "[`SELECT 1; DROP TABLE t`]"},
    {"script", "[`PRAGMA foreign_keys=OFF; DELETE FROM t`]"},
    {"begin", "[]"},
    {"begin", "[{`mode`: `write`}]"},
};

/* A table with one row, and then only readers. */
static void start_for_readers(void)
{
	START("--max-connections", "4");
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	update(a, "INSERT INTO t VALUES (1)");
	wire_close(a);
	CHECK_EQ(poolited_stop(&broker), 0);
	broker.flags[4] = "--read-only";
	broker.flags[5] = "@0";
	poolited_run(&broker);
	a = wire_open(&broker);
}

Test(broker_people, reader_s_writes_are_refused_one_and_all)
{
	start_for_readers();
	for (size_t i = 0; i < sizeof writes / sizeof *writes; i++) {
		refused(
		    a, POOLITE_READ_ONLY, NULL, writes[i].method, "%s", writes[i].params);
		if (strcmp(writes[i].method, "begin") == 0)
			ask(a, "rollback");
	}
	refused(a, POOLITE_NOT_ALLOWED, NULL, "update", "[`ATTACH 'x' AS y`]");
	for (int i = 0; i < 3; i++) /* learnt, and on the loop */
		expect_rows(a, "[[1]]", "SELECT x FROM t");
	CHECK_EQ(stat_of(a, "groups.committed"), 0);
}

Test(broker_people, reader_has_read_transactions)
{
	start_for_readers();
	call(a, "begin", "[{`mode`: `read`}]");
	expect_rows(a, "[[1]]", "SELECT x FROM t");
	refused(a, POOLITE_READ_ONLY, NULL, "update", "[`DELETE FROM t`]");
	ask(a, "commit");
	call(a, "transaction", "[[[`SELECT x FROM t`], [`SELECT 2`]]]");
	call(a, "script", "[`SELECT x FROM t; SELECT 2`]");
}

/* ---- how much one user has ------------------------------------------------------------- */

Test(broker_people, places_are_kept_for_admins)
{
	struct wire *wires[9];

	START("--max-clients", "10", "--reserved-clients", "1");
	for (int i = 0; i < 9; i++)
		wire_sync(wires[i] = wire_open(&broker));
	stranger_is(POOLITE_OVERLOADED);
	wire_sync(wire_open(&broker)); /* root is an admin */
	expect_farewell(wire_open(&broker), POOLITE_OVERLOADED);
	wire_close(wires[0]);
	wire_close(wires[1]);
	await_stat_is(wires[2], "sessions.open", 8);
	stranger_is(POOLITE_OK);
}

Test(broker_people, user_has_no_more_sessions_than_allowed)
{
	START("--max-user-clients", "2");
	a = wire_open(&broker);
	wire_sync(a);
	wire_sync(wire_open(&broker));
	expect_farewell(wire_open(&broker), POOLITE_OVERLOADED);
	stranger_is(POOLITE_OK);
	await_stat_is(a, "sessions.users", 1);
}

Test(broker_people, user_has_no_more_requests_under_way_than_allowed)
{
	struct wire *b;
	uint32_t waiting;

	START("--max-user-requests", "1");
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	ask(a, "begin");
	waiting = wire_sql(b, "update", "INSERT INTO t VALUES (1)");
	wire_sync(b);
	refused(b, POOLITE_OVERLOADED, "max_user_requests", "query", "[`SELECT 1`]");
	stranger_is(POOLITE_OK);
	ask(a, "commit"); /* ends what is there: never refused */
	expect_ok(b, waiting);
	expect_number(b, 1, "SELECT count(*) FROM t");
}

Test(broker_people, user_has_no_more_bytes_in_memory_than_allowed)
{
	enum { REQUESTS = 8 };
	uint32_t msgids[REQUESTS];
	char text[60001];
	struct wire *b;

	memset(text, 'x', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	START("--max-frame-bytes", "64K", "--max-result-bytes", "64K",
	    "--max-user-buffered-bytes", "256K");
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	ask(a, "begin");
	for (int i = 0; i < REQUESTS; i++)
		msgids[i] = wire_sql(b, "update", "INSERT INTO t VALUES ('%s')", text);
	expect_error(
	    b, msgids[REQUESTS - 1], POOLITE_OVERLOADED, "max_user_buffered_bytes");
	stranger_is(POOLITE_OK);
	ask(a, "commit");
	expect_ok(b, msgids[0]);
	expect_number(b, 1, "SELECT count(*) > 0 FROM t");
}

/* ---- turns ------------------------------------------------------------------------------- */

/* A transaction on a session of its own that notes whose it was; the commit's msgid. */
static uint32_t note(struct wire *wire, const char *who)
{
	wire_bare(wire, "begin");
	wire_sql(wire, "update", "INSERT INTO log (who) VALUES ('%s')", who);
	return wire_bare(wire, "commit");
}

enum { GREEDY = 10 };

static void queue_many(unsigned index, void *context)
{
	struct wire *wires[GREEDY];
	uint32_t commits[GREEDY];

	(void)index;
	(void)context;
	wire_free_all();
	become_stranger();
	for (int i = 0; i < GREEDY; i++)
		commits[i] = note(wires[i] = wire_open(&broker), "stranger");
	for (int i = 0; i < GREEDY; i++)
		expect_ok(wires[i], commits[i]);
}

Test(broker_people, who_queues_many_transactions_delays_another_by_one)
{
	struct wire *b;
	uint32_t commit;
	pid_t stranger_pid;

	START("--max-connections", "4");
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE log (id INTEGER PRIMARY KEY, who)");
	ask(a, "begin");
	stranger_pid = client_start(queue_many, 0, NULL);
	await_stat_is(b, "queues.writer", GREEDY);
	commit = note(b, "root");
	wire_sync(b);
	CHECK_EQ(stat_of(a, "queues.writer"), GREEDY + 1);
	ask(a, "rollback");
	expect_ok(b, commit);
	client_wait(stranger_pid);
	expect_number(a, GREEDY + 1, "SELECT count(*) FROM log");
	CHECK(
	    number(a, "SELECT id FROM log WHERE who = 'root'") <= 2, "it waited longer");
}
