/* Nobody is kept waiting by what others do much of: processors, the loop, the readers. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

/* An id that nobody has. */
#define STRANGER 54321
/* The kernel's limit. */
#define NICE_MAX 19
/* A read for the loop that is among its longer ones, and how many come at once. */
#define LONGISH  "SELECT sum(x) FROM t"
#define ROWS     400
#define REQUESTS 120
#define SESSIONS 10

static struct poolited broker;
static struct wire *a, *b;

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_fairness, .fini = tear_down, .timeout = 60);

/* ---- processors ------------------------------------------------------------------- */

/* The value of thread ${tid} by which it is nice to others. */
static int nice_of(const char *tid)
{
	char path[64], text[500] = "";
	FILE *file;
	int nice;

	snprintf(path, sizeof path, "/proc/%d/task/%.20s/stat", (int)broker.pid, tid);
	file = fopen(path, "re");
	CHECK(file && fgets(text, sizeof text, file), "cannot read %s", path);
	fclose(file);
	CHECK(sscanf(strrchr(text, ')'),
		  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %d",
		  &nice) == 1,
	    "no niceness in %s", path);
	return nice;
}

/* Threads that are ${more} nicer than the first one, the loop's, or as nice as can be. */
static int threads_nicer_by(int more)
{
	char path[40], first[20];
	const struct dirent *entry;
	int count = 0, wanted;
	DIR *dir;

	snprintf(first, sizeof first, "%d", (int)broker.pid);
	snprintf(path, sizeof path, "/proc/%d/task", (int)broker.pid);
	wanted = nice_of(first) + more;
	if (wanted > NICE_MAX)
		wanted = NICE_MAX;
	dir = opendir(path);
	CHECK(dir, "cannot read %s", path);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			count += nice_of(entry->d_name) == wanted;
	closedir(dir);
	return count;
}

Test(broker_fairness, readers_and_only_they_give_way_to_the_other_threads)
{
	uint32_t begun;

	poolited_start(&broker, "--max-connections", "6");
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	/* A transaction has a reader of its own; a plain read another one. */
	begun = wire_send(b, "begin", "[{`mode`: `read`}]");
	expect_ok(b, begun);
	run(a, "query", "SELECT count(*) FROM t");
	CHECK_EQ(stat_of(a, "readers.open"), 2);
	/* Run as nicely as can be, nobody can give way. */
	if (getpriority(PRIO_PROCESS, 0) == NICE_MAX)
		return;
	CHECK_EQ(threads_nicer_by(10), 2);
	CHECK_EQ(threads_nicer_by(0), 3); /* loop, writer, stats socket */
}

/* ---- the loop ---------------------------------------------------------------------- */

static void start(void)
{
	poolited_make(&broker, (const char *const[]){"--socket-mode", "0666", NULL});
	CHECK_EQ(chmod(broker.folder, 0711), 0);
	poolited_run(&broker);
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (x)");
	update(a,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT %d) "
	    "INSERT INTO t SELECT i FROM n",
	    ROWS);
	/* Until it is known to be short: then it runs on the loop. */
	for (double until = check_seconds() + PATIENCE_SECONDS;
	     stat_of(a, "fast_reader.reads") == 0;) {
		run(a, "query", LONGISH);
		CHECK(check_seconds() < until, "it never runs on the loop");
	}
}

static void send_many(struct wire *wire, int count)
{
	wire_cork(wire);
	for (int i = 0; i < count; i++)
		wire_sql(wire, "query", LONGISH);
	wire_send_blindly(wire);
}

/* The queries until now; and the broker stands still.  ${b} has been looked at before ${a}:
 * what comes on it now comes last. */
static int64_t count_and_stop(void)
{
	int64_t count = stat_of(b, "requests.query.count");

	wire_sync(a);
	kill(broker.pid, SIGSTOP);
	return count;
}

/* How many of the queries sent while the broker stood still were answered before ${wire}'s
 * one request, which came last. */
static int64_t answered_before(struct wire *wire, int64_t before)
{
	uint32_t stats = wire_bare(wire, "stats");
	const char *text, *at;
	int64_t count = 0;

	kill(broker.pid, SIGCONT);
	text = expect_ok(wire, stats);
	at = strstr(text, "`query`: {`count`: ");
	CHECK(at && sscanf(at, "`query`: {`count`: %ld", &count) == 1, "no count in %s",
	    text);
	return count - before;
}

Test(broker_fairness, session_s_many_requests_let_another_s_one_come_between)
{
	int64_t before, first;

	start();
	before = count_and_stop();
	send_many(a, REQUESTS);
	first = answered_before(b, before);
	CHECK(first < REQUESTS, "all %d came first", REQUESTS);
	await_stat(b, "requests.query.count", before + REQUESTS); /* nothing is lost */
}

static void become_stranger(void)
{
	CHECK_EQ(setuid(STRANGER), 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* setuid takes it away */
}

/* Ten sessions of another user, each with requests, as the parent says. */
static void stranger(unsigned index, void *context)
{
	const int *ends = context;
	struct wire *wires[SESSIONS];
	char byte = 'r';

	(void)index;
	become_stranger();
	for (int i = 0; i < SESSIONS; i++) {
		wires[i] = wire_open(&broker);
		wire_sync(wires[i]);
	}
	CHECK_EQ(write(ends[1], &byte, 1), 1);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
	for (int i = 0; i < SESSIONS; i++)
		send_many(wires[i], REQUESTS / SESSIONS);
	CHECK_EQ(write(ends[1], &byte, 1), 1);
	for (int i = 0; i < SESSIONS; i++)
		wire_sync(wires[i]);
}

Test(broker_fairness, user_s_many_sessions_let_another_user_s_one_come_between)
{
	int64_t before, first;
	int ends[2];
	char byte;
	pid_t pid;

	start();
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = client_start(stranger, 0, ends);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	before = count_and_stop();
	CHECK_EQ(write(ends[0], &byte, 1), 1);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	first = answered_before(b, before);
	/* One user's part of a turn is a few of them. */
	CHECK(first <= REQUESTS / 5, "%d of %d came first", (int)first, REQUESTS);
	client_wait(pid);
	await_stat(b, "requests.query.count", before + REQUESTS); /* nothing is lost */
}

/* ---- the readers -------------------------------------------------------------------- */

/* As many endless queries as sessions, until the parent has seen enough. */
static void hog(unsigned index, void *context)
{
	const int *ends = context;
	char byte = 'r';

	(void)index;
	become_stranger();
	for (int i = 0; i < SESSIONS; i++)
		wire_sql(wire_open(&broker), "query",
		    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
		    "SELECT count(*) FROM n");
	CHECK_EQ(write(ends[1], &byte, 1), 1);
	CHECK_EQ(read(ends[1], &byte, 1), 1);
}

Test(broker_fairness, last_reader_is_for_another_user_than_who_has_the_others)
{
	int ends[2];
	char byte;
	pid_t pid;

	poolited_make(&broker,
	    (const char *const[]){
		"--socket-mode", "0666", "--max-connections", "6", NULL});
	CHECK_EQ(chmod(broker.folder, 0711), 0);
	poolited_run(&broker);
	b = wire_open(&broker);
	update(b, "CREATE TABLE t (x)");
	CHECK_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	pid = client_start(hog, 0, ends);
	CHECK_EQ(read(ends[0], &byte, 1), 1);
	await_stat_is(b, "queues.reads", SESSIONS - 3); /* of four readers */
	expect_number(b, 0, "SELECT count(*) FROM t");
	CHECK_EQ(stat_of(b, "queues.reads"), SESSIONS - 3); /* none of them has ended */
	CHECK_EQ(write(ends[0], &byte, 1), 1);
	client_wait(pid);
}
