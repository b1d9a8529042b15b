/* lines_read.c - point reads by sockets: see tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <unistd.h>

#include "tests/bench/database.h"
#include "tests/bench/echo.h"

static void close_all(
    struct bench *bench, struct side *sides, size_t count, struct site *site)
{
	for (size_t i = 0; i < count; i++)
		side_close(&sides[i]);
	bench->is_wrong |= !site_close(site);
}

void line_read_1(struct bench *bench)
{
	enum { POOLITE, ECHO, PREPARED, OPENED, SIDES };
	struct side sides[SIDES];
	struct wire wire, echo;
	struct site site;
	struct claim claim = {
	    "read-1", "point read, 1 client", "echo", METRIC_P50, RATIO_OURS, 0, 1.4};

	site_open(&site, bench->poolited, claim.line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__QUERY, SQL_READ);
	pid_t server = echo_like(&echo, "echo.sock", &wire);
	side_of_load(&sides[POOLITE], "poolite", &wire, 1, 1);
	side_of_load(&sides[ECHO], "echo", &echo, 1, 1);
	side_of_crew(
	    &sides[PREPARED], "prepared", &way_prepared, site.direct, SQL_READ, 1);
	side_of_crew(&sides[OPENED], "opened", &way_opened, site.direct, SQL_READ, 1);
	sides_measure(bench, sides, SIDES);

	sides_compare(bench, &sides[POOLITE], &sides[ECHO], claim);
	claim = (struct claim){claim.line, claim.work, "SQLite in-process, prepared",
	    METRIC_P50, RATIO_OURS, 0, 0};
	sides_compare(bench, &sides[POOLITE], &sides[PREPARED], claim);
	claim.peer = "SQLite, opened each time";
	sides_compare(bench, &sides[POOLITE], &sides[OPENED], claim);
	sides_save_latencies(bench, "latency-read-1", sides, SIDES);
	close_all(bench, sides, SIDES, &site);
	child_kill(server);
}

void line_read_32(struct bench *bench)
{
	struct side sides[4];
	struct wire wire, redis, postgres;
	struct site site;
	struct claim claim = {"read-32", "point reads, 32 clients in one process",
	    "SQLite, 32 processes, prepared", METRIC_RATE, RATIO_OURS, 0, 0};
	size_t count = 2;

	site_open(&site, bench->poolited, claim.line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__QUERY, SQL_READ);
	side_of_load(&sides[0], "poolite", &wire, 32, 1);
	side_of_crew(&sides[1], "prepared", &way_prepared, site.direct, SQL_READ, 32);
	if (bench->redis != NULL) {
		wire_redis(&redis, bench->redis);
		side_of_load(&sides[count++], "redis", &redis, 32, 1);
	}
	if (bench->postgres != NULL) {
		wire_postgres(&postgres, bench->postgres, POSTGRES_READ);
		side_of_load(&sides[count++], "postgres", &postgres, 32, 1);
	}
	sides_measure(bench, sides, count);

	size_t at = 1;
	struct claim prepared = claim;
	if (bench->redis != NULL) {
		claim.peer = "Redis GET";
		claim.at_least = 1.8;
		sides_compare(bench, &sides[0], &sides[++at], claim);
	}
	if (bench->postgres != NULL) {
		claim.peer = "PostgreSQL, pgbouncer";
		claim.at_least = 5;
		sides_compare(bench, &sides[0], &sides[++at], claim);
	}
	sides_compare(bench, &sides[0], &sides[1], prepared);
	sides_save_latencies(bench, "latency-read-32", sides, count);
	close_all(bench, sides, count, &site);
}

void line_read_flight(struct bench *bench)
{
	struct side sides[2];
	struct wire wire;
	struct site site;
	struct claim claim = {"read-flight", "point reads, 8 sessions, 16 in flight",
	    "SQLite in-process, prepared", METRIC_RATE, RATIO_OURS, 2.5, 0};

	site_open(&site, bench->poolited, claim.line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__QUERY, SQL_READ);
	side_of_load(&sides[0], "poolite", &wire, 8, 16);
	side_of_crew(&sides[1], "prepared", &way_prepared, site.direct, SQL_READ, 1);
	sides_measure(bench, sides, 2);
	sides_compare(bench, &sides[0], &sides[1], claim);
	close_all(bench, sides, 2, &site);
}

void line_clients_1000(struct bench *bench)
{
	struct side sides[2];
	struct wire wire;
	struct site site;
	struct claim claim = {"clients-1000", "point reads, 1,000 clients",
	    "Poolite, 32 clients", METRIC_RATE, RATIO_OURS, 0.8, 0};

	site_open(&site, bench->poolited, claim.line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__QUERY, SQL_READ);
	side_of_load(&sides[0], "poolite", &wire, 1000, 1);
	side_of_load(&sides[1], "poolite-32", &wire, 32, 1);
	sides_measure(bench, sides, 2);
	sides_compare(bench, &sides[0], &sides[1], claim);
	close_all(bench, sides, 2, &site);
}

/* A process that keeps ${path} open, so that others' closing does not end its WAL. */
static pid_t keep_open(const char *path)
{
	int ready[2];
	char byte;

	if (pipe(ready) != 0)
		die("pipe", "none left");
	pid_t pid = child_fork();
	if (pid == 0) {
		sqlite3 *db = database_open(path);

		if (db == NULL ||
		    sqlite3_exec(db, "SELECT * FROM leads LIMIT 1", NULL, NULL, NULL) !=
			SQLITE_OK ||
		    write(ready[1], "", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die(path, "cannot be kept open");
	close(ready[0]);
	return pid;
}

void line_connect(struct bench *bench)
{
	struct side sides[2];
	struct site site;
	struct claim claim = {"connect", "connect, first point read, close",
	    "SQLite, open, read, close", METRIC_P50, RATIO_THEIRS, 1.5, 0};

	site_open(&site, bench->poolited, claim.line, NULL);
	pid_t keeper = keep_open(site.direct);
	side_of_crew(&sides[0], "poolite", &way_connect, site.socket, SQL_READ, 1);
	side_of_crew(&sides[1], "opened", &way_plain, site.direct, SQL_READ, 1);
	sides_measure(bench, sides, 2);
	sides_compare(bench, &sides[0], &sides[1], claim);
	child_kill(keeper);
	close_all(bench, sides, 2, &site);
}
