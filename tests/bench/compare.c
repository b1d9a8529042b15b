/* compare.c - the same work, directly with SQLite and through a broker; for scripts/demo.
 *
 * Three ways do the same one-row operations, each on its own new file of the
 * same shape, in the same run, one after the other in turns:
 *
 *   open each   open, PRAGMAs, one statement, close: an application without a pool
 *   kept open   each process keeps its connection and its prepared statement
 *   Poolite     through poolited
 *
 * Writes are durable everywhere: WAL and synchronous=FULL.  Prints a table of
 * medians.  Exit status 1 when the broker failed an operation, or when rows are
 * missing afterwards; how fast anything was never changes it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/crew.h"
#include "tests/bench/database.h"
#include "tests/bench/site.h"

#define ROUNDS 5

enum { PER_OPERATION, KEPT_OPEN, BROKER, WAYS };

struct side {
	const char *name;
	const struct way *way;
	const char *path; /* what clients open */
	const char *file; /* where the rows are */
	uint64_t rows;    /* that its writes were told to have left */
	uint64_t failed;  /* operations */
};

/* Nanoseconds for one operation, all processes together. */
static double measure(
    struct side *side, const char *sql, int processes, int64_t duration_ns)
{
	struct crew crew = {side->way, side->path, sql, processes};
	struct tally tally;

	crew_run(&crew, duration_ns, &tally);
	side->failed += tally.failed;
	side->rows += sql[0] == 'I' ? tally.done : 0;
	if (tally.failed != 0)
		fprintf(stderr, "compare: %s: %s\n", side->name, tally.message);
	return tally.in_time != 0 ? (double)duration_ns / (double)tally.in_time : 0;
}

/* Measure all ways in turns and print one line of the table. */
static void print_comparison(struct side *sides, const char *name, const char *sql,
    int processes, int64_t duration_ns)
{
	double ns[WAYS][ROUNDS], median[WAYS];

	for (int round = 0; round < ROUNDS; round++)
		for (int i = 0; i < WAYS; i++)
			ns[i][round] = measure(&sides[i], sql, processes, duration_ns);
	printf("  %-30s", name);
	for (int i = 0; i < WAYS; i++) {
		median[i] = spread_of(ns[i], ROUNDS).median;
		printf(" %10.0f us", median[i] / 1000);
	}
	printf(" %9.1f %% %7.1f x\n", 100 * (1 - median[BROKER] / median[PER_OPERATION]),
	    median[PER_OPERATION] / median[BROKER]);
	fflush(stdout);
}

/* Compare what is in the files with what was answered; whether all is well. */
static bool check(const struct side *sides)
{
	bool is_good = true;

	for (int i = 0; i < WAYS; i++) {
		uint64_t found = (uint64_t)database_number(
				     sides[i].file, "SELECT count(*) FROM leads") -
		    ROWS;

		printf("  %-14s %8" PRIu64 " rows written, %8" PRIu64 " found, %" PRIu64
		       " operations failed\n",
		    sides[i].name, sides[i].rows, found, sides[i].failed);
		if (i == BROKER)
			is_good = found == sides[i].rows && sides[i].failed == 0;
	}
	return is_good;
}

int main(int argc, char **argv)
{
	struct site site;
	struct side sides[WAYS] = {
	    [PER_OPERATION] = {"open each", &way_opened, "opened.db", "opened.db", 0, 0},
	    [KEPT_OPEN] = {"kept open", &way_prepared, site.direct, site.direct, 0, 0},
	    [BROKER] = {"Poolite", &way_poolite, site.socket, site.served, 0, 0},
	};

	if (argc != 3 || argv[1][0] == '-') {
		fprintf(stderr,
		    "Usage: compare POOLITED DIRECTORY\n"
		    "Compares direct SQLite with the broker POOLITED, in new files in "
		    "DIRECTORY.\n");
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
	}
	if (chdir(argv[2]) != 0)
		die(argv[2], "no such directory");
	database_create("opened.db", NULL);
	site_open(&site, argv[1], "compare", NULL);

	printf("  %-30s %13s %13s %13s %11s %9s\n", "time per operation", "open each",
	    "kept open", "Poolite", "saved", "faster");
	print_comparison(sides, "point read, 1 process", SQL_READ, 1, 200000000);
	print_comparison(sides, "durable write, 1 process", SQL_INSERT, 1, 400000000);
	print_comparison(
	    sides, "durable writes, 32 processes", SQL_INSERT, 32, 800000000);
	bool is_good = check(sides);
	is_good = site_close(&site) && is_good;
	return is_good ? 0 : 1;
}
