/* compare.c - the same work, directly with SQLite and through a broker.
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
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <sqlite3.h>

#include "client/poolite.h"

#define ROWS          10000 /* in the table before anything is measured */
#define PROCESSES_MAX 32
#define ROUNDS        5
#define BUSY_MS       30000 /* direct writers wait this long for each other */

#define SCHEMA                                                                           \
	"CREATE TABLE leads (id INTEGER PRIMARY KEY, title TEXT NOT NULL, "              \
	"description TEXT, link TEXT, source TEXT, created_at TEXT);"                    \
	"CREATE INDEX leads_by_source ON leads (source);"
#define INSERT                                                                           \
	"INSERT INTO leads (title, description, link, source, created_at) VALUES (?, "   \
	"'A company that may need what we make.', 'https://example.com/lead', 'serp', "  \
	"'2026-01-31')"
#define SELECT "SELECT * FROM leads WHERE id = ?"

/* One process's means to reach a database. */
struct client {
	const char *path;        /* database file, or the broker's socket */
	sqlite3 *db;             /* direct ways */
	sqlite3_stmt *statement; /* kept open */
	struct poolite *handle;  /* Poolite */
};

/* One way to do the work.  Functions return whether it went well. */
struct way {
	const char *name;
	const char *path;
	bool (*open)(struct client *client, const char *sql);
	bool (*run)(struct client *client, const char *sql, int64_t number);
	void (*close)(struct client *client);
};

/* What one process did, in memory shared with its parent. */
struct tally {
	uint64_t done;
	uint64_t failed;
	int64_t ended_ns;
	char message[512]; /* of the last failure */
};

static struct tally *tallies;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- directly ---------------------------------------------------------- */

static bool direct_connect(struct client *client)
{
	if (sqlite3_open(client->path, &client->db) != SQLITE_OK)
		return false;
	sqlite3_busy_timeout(client->db, BUSY_MS);
	return sqlite3_exec(client->db,
		   "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-8192;"
		   "PRAGMA temp_store=FILE; PRAGMA foreign_keys=ON",
		   NULL, NULL, NULL) == SQLITE_OK;
}

static bool direct_step(sqlite3_stmt *statement, int64_t number)
{
	int rc;

	sqlite3_bind_int64(statement, 1, number);
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
		for (int i = 0; i < sqlite3_column_count(statement); i++)
			(void)sqlite3_column_text(statement, i);
	return rc == SQLITE_DONE;
}

static bool per_operation_open(struct client *client, const char *sql)
{
	(void)client;
	(void)sql;
	return true;
}

static bool per_operation_run(struct client *client, const char *sql, int64_t number)
{
	sqlite3_stmt *statement = NULL;
	bool is_good = direct_connect(client) &&
	    sqlite3_prepare_v2(client->db, sql, -1, &statement, NULL) == SQLITE_OK &&
	    direct_step(statement, number);

	sqlite3_finalize(statement);
	sqlite3_close(client->db);
	client->db = NULL;
	return is_good;
}

static void per_operation_close(struct client *client)
{
	(void)client;
}

static bool kept_open_open(struct client *client, const char *sql)
{
	return direct_connect(client) &&
	    sqlite3_prepare_v2(client->db, sql, -1, &client->statement, NULL) ==
	    SQLITE_OK;
}

static bool kept_open_run(struct client *client, const char *sql, int64_t number)
{
	(void)sql;
	bool is_good = direct_step(client->statement, number);

	sqlite3_reset(client->statement);
	return is_good;
}

static void kept_open_close(struct client *client)
{
	sqlite3_finalize(client->statement);
	sqlite3_close(client->db);
}

/* ---- through the broker ------------------------------------------------ */

static struct poolite_error broker_error;

static bool broker_open(struct client *client, const char *sql)
{
	(void)sql;
	return poolite_open(client->path, NULL, &client->handle, &broker_error) == 0;
}

static bool broker_run(struct client *client, const char *sql, int64_t number)
{
	struct poolite_result *result;

	if (sql[0] == 'I') {
		return poolite_update(client->handle, sql,
			   POOLITE_ARGS(poolite_integer(number)), NULL,
			   &broker_error) == 0;
	}
	if (poolite_query(client->handle, sql, POOLITE_ARGS(poolite_integer(number)),
		&result, &broker_error) != 0)
		return false;
	while (poolite_result_next(result) == 1)
		for (size_t i = 0; i < poolite_result_columns(result); i++)
			(void)poolite_result_text(result, i);
	poolite_result_free(result);
	return true;
}

static void broker_close(struct client *client)
{
	poolite_close(client->handle);
}

enum { PER_OPERATION, KEPT_OPEN, BROKER, WAYS };

static const struct way ways[WAYS] = {
    [PER_OPERATION] = {"open each", "per_operation.db", per_operation_open,
	per_operation_run, per_operation_close},
    [KEPT_OPEN] = {"kept open", "kept_open.db", kept_open_open, kept_open_run,
	kept_open_close},
    [BROKER] = {"Poolite", "compare.sock", broker_open, broker_run, broker_close},
};

/* ---- measuring --------------------------------------------------------- */

/* One process: get ready, wait until ${gate} is closed, then work for ${duration_ns}. */
static void work(const struct way *way, const char *sql, int gate, int ready,
    int64_t duration_ns, struct tally *tally)
{
	struct client client = {.path = way->path};
	int64_t number = getpid() % ROWS;
	char byte = 0;

	bool is_open = way->open(&client, sql);
	ssize_t told = write(ready, &byte, 1);
	ssize_t opened = read(gate, &byte, 1); /* 0: closed */
	assert(told == 1 && opened == 0);
	for (int64_t end = now_ns() + duration_ns; now_ns() < end;) {
		number = number * 31 % ROWS + 1;
		if (is_open && way->run(&client, sql, number)) {
			tally->done++;
			continue;
		}
		tally->failed++;
		snprintf(tally->message, sizeof(tally->message), "%s",
		    way == &ways[BROKER] ? broker_error.message
					 : "database is locked, or so");
	}
	tally->ended_ns = now_ns();
	way->close(&client);
}

/* What one run of several processes came to. */
struct outcome {
	double ns; /* per operation, all processes together */
	uint64_t done;
	uint64_t failed;
};

/* Processes that are ready to work, and wait. */
struct crew {
	int count;
	pid_t processes[PROCESSES_MAX];
	int gate; /* closed: go */
};

static void die(const char *what, const char *why)
{
	fprintf(stderr, "compare: %s: %s\n", what, why);
	exit(1);
}

/* Start ${count} processes; returns when all are ready. */
static struct crew start_crew(
    const struct way *way, const char *sql, int count, int64_t duration_ns)
{
	struct crew crew = {.count = count};
	int gate[2], ready[2];
	char byte;

	if (pipe(gate) != 0 || pipe(ready) != 0)
		die("pipe", strerror(errno));
	for (int i = 0; i < count; i++) {
		crew.processes[i] = fork();
		if (crew.processes[i] < 0)
			die("fork", strerror(errno));
		if (crew.processes[i] == 0) {
			close(gate[1]);
			work(way, sql, gate[0], ready[1], duration_ns, &tallies[i]);
			_exit(0);
		}
	}
	close(ready[1]); /* a child that dies early is an end of file, not a wait */
	for (int i = 0; i < count; i++)
		if (read(ready[0], &byte, 1) != 1)
			die(way->name, "a process died");
	close(ready[0]);
	close(gate[0]);
	crew.gate = gate[1];
	return crew;
}

static struct outcome measure(
    const struct way *way, const char *sql, int count, int64_t duration_ns)
{
	struct outcome outcome = {0};

	memset(tallies, 0, PROCESSES_MAX * sizeof(*tallies));
	struct crew crew = start_crew(way, sql, count, duration_ns);
	int64_t started_ns = now_ns(), ended_ns = started_ns;
	close(crew.gate);
	for (int i = 0; i < count; i++) {
		waitpid(crew.processes[i], NULL, 0);
		outcome.done += tallies[i].done;
		outcome.failed += tallies[i].failed;
		if (tallies[i].failed != 0)
			fprintf(
			    stderr, "compare: %s: %s\n", way->name, tallies[i].message);
		if (tallies[i].ended_ns > ended_ns)
			ended_ns = tallies[i].ended_ns;
	}
	if (outcome.done != 0)
		outcome.ns = (double)(ended_ns - started_ns) / (double)outcome.done;
	return outcome;
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Rows that each way's writes were told to have left, and operations that failed. */
struct sums {
	uint64_t rows[WAYS];
	uint64_t failed[WAYS];
};

/* Measure all ways in turns and print one line of the table. */
static void print_comparison(const char *name, const char *sql, int processes,
    int64_t duration_ns, struct sums *sums)
{
	double ns[WAYS][ROUNDS], median[WAYS];

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < WAYS; i++) {
			struct outcome outcome =
			    measure(&ways[i], sql, processes, duration_ns);

			ns[i][round] = outcome.ns;
			sums->failed[i] += outcome.failed;
			sums->rows[i] += sql[0] == 'I' ? outcome.done : 0;
		}
	}
	printf("  %-30s", name);
	for (int i = 0; i < WAYS; i++) {
		qsort(ns[i], ROUNDS, sizeof(double), compare_doubles);
		median[i] = ns[i][ROUNDS / 2];
		printf(" %10.0f us", median[i] / 1000);
	}
	printf(" %9.1f %% %7.1f x\n", 100 * (1 - median[BROKER] / median[PER_OPERATION]),
	    median[PER_OPERATION] / median[BROKER]);
	fflush(stdout);
}

/* ---- the files and the broker ------------------------------------------ */

/* A new file with the table and its first rows. */
static void create_database(const char *path)
{
	struct client client = {.path = path};
	char sql[512];

	snprintf(sql, sizeof(sql),
	    "%sWITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "
	    "INSERT INTO leads SELECT i, 'Lead ' || i, 'A company that may need what we make.', "
	    "'https://example.com/lead', 'serp', '2026-01-31' FROM n",
	    SCHEMA, ROWS);
	if (!direct_connect(&client) ||
	    sqlite3_exec(client.db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(path, sqlite3_errmsg(client.db));
	sqlite3_close(client.db);
}

/* Rows that are in ${path} now. */
static uint64_t count_rows(const char *path)
{
	struct client client = {.path = path};
	sqlite3_stmt *statement;
	uint64_t rows = 0;

	if (direct_connect(&client) &&
	    sqlite3_prepare_v2(client.db, "SELECT count(*) FROM leads", -1, &statement,
		NULL) == SQLITE_OK) {
		if (sqlite3_step(statement) == SQLITE_ROW)
			rows = (uint64_t)sqlite3_column_int64(statement, 0);
		sqlite3_finalize(statement);
	}
	sqlite3_close(client.db);
	return rows;
}

static pid_t start_broker(const char *program)
{
	pid_t broker = fork();

	if (broker == 0) {
		execl(program, program, "--db", "poolite.db", "--socket",
		    ways[BROKER].path, "--log-level", "warning", (char *)NULL);
		perror(program);
		_exit(1);
	}
	struct client client = {.path = ways[BROKER].path};
	if (broker < 0 || !broker_open(&client, SELECT) ||
	    poolite_ping(client.handle, &broker_error) != 0)
		die(program, broker_error.message);
	broker_close(&client);
	return broker;
}

static void stop_broker(pid_t broker)
{
	int status;

	kill(broker, SIGTERM);
	if (waitpid(broker, &status, 0) != broker || status != 0)
		die("poolited", "did not stop cleanly");
}

/* Compare what is in the files with what was answered; 0 when all is well. */
static int check(const struct sums *sums)
{
	static const char *const files[WAYS] = {
	    "per_operation.db", "kept_open.db", "poolite.db"};
	int status = 0;

	for (int i = 0; i < WAYS; i++) {
		uint64_t found = count_rows(files[i]) - ROWS;

		printf("  %-14s %8" PRIu64 " rows written, %8" PRIu64 " found, %" PRIu64
		       " operations failed\n",
		    ways[i].name, sums->rows[i], found, sums->failed[i]);
		if (i == BROKER && (found != sums->rows[i] || sums->failed[i] != 0))
			status = 1;
	}
	return status;
}

int main(int argc, char **argv)
{
	struct sums sums = {0};

	if (argc != 3 || argv[1][0] == '-') {
		fprintf(stderr,
		    "Usage: compare POOLITED DIRECTORY\n"
		    "Compares direct SQLite with the broker POOLITED, in new files in "
		    "DIRECTORY.\n");
		return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
	}
	if (chdir(argv[2]) != 0)
		die(argv[2], "no such directory");
	tallies = mmap(NULL, PROCESSES_MAX * sizeof(*tallies), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (tallies == MAP_FAILED)
		die("mmap", "no memory");
	create_database("per_operation.db");
	create_database("kept_open.db");
	create_database("poolite.db");
	pid_t broker = start_broker(argv[1]);

	printf("  %-30s %13s %13s %13s %11s %9s\n", "time per operation", "open each",
	    "kept open", "Poolite", "saved", "faster");
	print_comparison("point read, 1 process", SELECT, 1, 200000000, &sums);
	print_comparison("durable write, 1 process", INSERT, 1, 400000000, &sums);
	print_comparison("durable writes, 32 processes", INSERT, 32, 800000000, &sums);
	stop_broker(broker);
	return check(&sums);
}
