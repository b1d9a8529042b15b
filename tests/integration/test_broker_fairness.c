/* Nobody is kept waiting by what others do much of: processors, the loop, the readers. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

/* An id that nobody has. */
#define STRANGER 54321
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

/* Threads that are ${more} nicer than the first one, the loop's. */
static int threads_nicer_by(int more)
{
	char path[40], first[20];
	const struct dirent *entry;
	int count = 0;
	DIR *dir;

	snprintf(first, sizeof first, "%d", (int)broker.pid);
	snprintf(path, sizeof path, "/proc/%d/task", (int)broker.pid);
	dir = opendir(path);
	CHECK(dir, "cannot read %s", path);
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			count += nice_of(entry->d_name) == nice_of(first) + more;
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
	CHECK_EQ(threads_nicer_by(10), 2);
	CHECK_EQ(threads_nicer_by(0), 3); /* loop, writer, stats socket */
}
