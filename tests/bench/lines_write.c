/* lines_write.c - durable writes: see tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/bench/database.h"
#include "tests/bench/echo.h"

#define SUM_VISITS "SELECT sum(visits) FROM leads"
#define SUM_ADDED  "SELECT count(*) - 10000 FROM leads"

/* Close everything; what both files hold has to be what was answered. */
static void finish(struct bench *bench, struct side *sides, size_t count,
    struct site *site, const char *sum, const uint64_t done[2])
{
	for (size_t i = 0; i < count; i++)
		side_close(&sides[i]);
	if (!bench->is_wrong)
		bench->is_wrong =
		    !site_check(site, sum, (int64_t)done[0], (int64_t)done[1]);
	bench->is_wrong |= !site_close(site);
}

void line_write_32(struct bench *bench)
{
	struct side sides[3];
	struct wire wire, postgres;
	struct site site;
	struct claim claim = {"write-32", "durable updates, 32 clients",
	    "SQLite, 32 processes, prepared", METRIC_RATE, RATIO_OURS, 7, 0};
	size_t count = 2;

	site_open(&site, bench->poolited, claim.line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__UPDATE, SQL_UPDATE);
	side_of_load(&sides[0], "poolite", &wire, 32, 1);
	side_of_crew(&sides[1], "prepared", &way_prepared, site.direct, SQL_UPDATE, 32);
	if (bench->postgres != NULL) {
		wire_postgres(&postgres, bench->postgres, POSTGRES_UPDATE);
		side_of_load(&sides[count++], "postgres", &postgres, 32, 1);
	}
	sides_measure(bench, sides, count);

	sides_compare(bench, &sides[0], &sides[1], claim);
	struct claim worst = {claim.line, "durable updates, 32 clients: worst wait",
	    claim.peer, METRIC_MAX, RATIO_THEIRS, 30, 0};
	sides_compare(bench, &sides[0], &sides[1], worst);
	if (bench->postgres != NULL) {
		claim.peer = "PostgreSQL, pgbouncer";
		claim.at_least = 0;
		sides_compare(bench, &sides[0], &sides[2], claim);
	}
	sides_save_latencies(bench, "latency-write-32", sides, count);
	finish(bench, sides, count, &site, SUM_VISITS,
	    (uint64_t[]){sides[0].done, sides[1].done});
}

/* Poolite by sockets against processes with a prepared statement. */
static void against_processes(struct bench *bench, const struct claim *claim,
    const char *sql, const char *sum, unsigned depth, unsigned clients)
{
	struct side sides[2];
	struct wire wire;
	struct site site;

	site_open(&site, bench->poolited, claim->line, NULL);
	wire_poolite(&wire, site.socket, POOLITE__UPDATE, sql);
	side_of_load(&sides[0], "poolite", &wire, clients, depth);
	side_of_crew(
	    &sides[1], "prepared", &way_prepared, site.direct, sql, (int)clients);
	sides_measure(bench, sides, 2);
	sides_compare(bench, &sides[0], &sides[1], *claim);
	finish(bench, sides, 2, &site, sum, (uint64_t[]){sides[0].done, sides[1].done});
}

void line_insert_32(struct bench *bench)
{
	struct bench fewer = *bench;

	fewer.rounds = bench->is_quick ? 1 : bench->rounds;
	against_processes(&fewer,
	    &(struct claim){"insert-32", "durable inserts, 32 clients",
		"SQLite, 32 processes, prepared", METRIC_RATE, RATIO_OURS, 0, 0},
	    SQL_INSERT, SUM_ADDED, 1, 32);
	bench->is_wrong = fewer.is_wrong;
}

void line_write_flight(struct bench *bench)
{
	against_processes(bench,
	    &(struct claim){"write-flight", "durable updates, 8 sessions, 16 in flight",
		"SQLite, 8 processes, prepared", METRIC_RATE, RATIO_OURS, 12, 0},
	    SQL_UPDATE, SUM_VISITS, 16, 8);
}

/* ---- one client: Poolite, SQLite, echo, a block each ----------------------------- */

#define BLOCK 200 /* operations in a row */

/* Measure one block by sockets; its median in ns. */
static double block_of_load(struct bench *bench, struct side *side)
{
	struct tally tally;

	load_run(side->load, 0, BLOCK, &tally);
	side->done += tally.done;
	if (tally.failed != 0) {
		fprintf(stderr, "bench: write-1: %s\n", tally.message);
		bench->is_wrong = true;
	}
	return histogram_quantile(&tally.latencies, 0.5);
}

/* The same in this process. */
static double block_of_direct(struct bench *bench, struct client *client, uint64_t *done)
{
	struct tally tally = {0};

	for (int i = 0; i < BLOCK && !bench->is_wrong; i++) {
		int64_t started = now_ns();

		if (way_prepared.run(client, i * 49 % ROWS + 1)) {
			tally_add(&tally, started, now_ns(), INT64_MAX);
			continue;
		}
		fprintf(stderr, "bench: write-1: %s\n", client->error.message);
		bench->is_wrong = true;
	}
	*done += tally.done;
	return histogram_quantile(&tally.latencies, 0.5);
}

void line_write_1(struct bench *bench)
{
	struct comparison row = {.line = "write-1",
	    .work = "durable update, 1 client",
	    .peer = "SQLite in-process, prepared",
	    .unit = UNIT_TIME,
	    .ratio = RATIO_EXTRA,
	    .at_most = 2.5,
	    .rounds = bench->is_quick ? 9 : 31};
	struct side sides[2];
	struct wire wire, echo;
	struct site site;
	uint64_t done[2] = {0, 0};

	site_open(&site, bench->poolited, row.line, NULL);
	struct client client = {.path = site.direct, .sql = SQL_UPDATE};
	wire_poolite(&wire, site.socket, POOLITE__UPDATE, SQL_UPDATE);
	pid_t server = echo_like(&echo, "echo.sock", &wire);
	done[0] = 1; /* echo_like's */
	side_of_load(&sides[0], "poolite", &wire, 1, 1);
	side_of_load(&sides[1], "echo", &echo, 1, 1);
	if (!way_prepared.open(&client))
		die(site.direct, client.error.message);
	for (size_t i = 0; i < row.rounds && !bench->is_wrong; i++) {
		row.ours[i] = block_of_load(bench, &sides[0]);
		row.theirs[i] = block_of_direct(bench, &client, &done[1]);
		row.yardstick[i] = block_of_load(bench, &sides[1]);
	}
	way_prepared.close(&client);
	report_add(bench->report, &row);
	done[0] += sides[0].done;
	finish(bench, sides, 2, &site, SUM_VISITS, done);
	child_kill(server);
}

/* ---- a batch --------------------------------------------------------------------- */

#define BATCH_ROWS    100000
#define BATCH_COLUMNS 4
#define BATCH_TABLE                                                                      \
	"CREATE TABLE bulk (id INTEGER PRIMARY KEY, title TEXT, link TEXT, source TEXT)"
#define BATCH_INSERT "INSERT INTO bulk VALUES (?, ?, ?, ?)"
#define BATCH_PAUSE  300000 /* microseconds for checkpoints to be over */

/* The rows; texts are literals. */
static struct poolite_value *batch_values(void)
{
	struct poolite_value *values =
	    calloc((size_t)BATCH_ROWS * BATCH_COLUMNS, sizeof(*values));

	if (values == NULL)
		die("batch", "no memory");
	for (size_t i = 0; i < BATCH_ROWS; i++) {
		struct poolite_value *row = &values[i * BATCH_COLUMNS];

		row[0] = poolite_integer((int64_t)i + 1);
		row[1] = poolite_text("A company that may need what we make.");
		row[2] = poolite_text("https://example.com/lead");
		row[3] = poolite_text("serp");
	}
	return values;
}

static bool bind_row(sqlite3_stmt *statement, const struct poolite_value *row)
{
	int rc = sqlite3_bind_int64(statement, 1, row[0].as.integer);

	for (int i = 1; i < BATCH_COLUMNS; i++)
		rc |= sqlite3_bind_text(
		    statement, i + 1, row[i].as.data, (int)row[i].len, SQLITE_STATIC);
	return rc == SQLITE_OK;
}

/* All rows in one transaction; the time it took in ns, 0: it failed. */
static int64_t batch_direct(sqlite3 *db, const struct poolite_value *values)
{
	int64_t started = now_ns();
	sqlite3_stmt *statement = NULL;
	bool is_good = sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_prepare_v2(db, BATCH_INSERT, -1, &statement, NULL) == SQLITE_OK;

	for (size_t i = 0; i < BATCH_ROWS && is_good; i++)
		is_good = bind_row(statement, &values[i * BATCH_COLUMNS]) &&
		    sqlite3_step(statement) == SQLITE_DONE &&
		    sqlite3_reset(statement) == SQLITE_OK;
	is_good = is_good && sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) == SQLITE_OK;
	int64_t took = now_ns() - started;

	sqlite3_finalize(statement);
	if (!is_good)
		fprintf(stderr, "bench: batch: SQLite: %s\n", sqlite3_errmsg(db));
	return is_good ? took : 0;
}

/* The same through the broker. */
static int64_t batch_poolite(struct poolite *handle, const struct poolite_value *values)
{
	struct poolite_changes changes;
	struct poolite_error error;
	int64_t started = now_ns();
	int rc = poolite_batch(
	    handle, BATCH_INSERT, values, BATCH_COLUMNS, BATCH_ROWS, &changes, &error);
	int64_t took = now_ns() - started;

	if (rc == 0 && changes.changes == BATCH_ROWS)
		return took;
	fprintf(stderr, "bench: batch: Poolite: %s\n",
	    rc != 0 ? error.message : "not all rows");
	return 0;
}

/* Empty both tables and let checkpoints come to an end. */
static bool batch_clear(struct poolite *handle, sqlite3 *db)
{
	struct poolite_changes changes;
	bool is_good = poolite_update(handle, "DELETE FROM bulk", POOLITE_NO_ARGS,
			   &changes, NULL) == 0 &&
	    changes.changes == BATCH_ROWS &&
	    sqlite3_exec(db, "DELETE FROM bulk", NULL, NULL, NULL) == SQLITE_OK &&
	    sqlite3_changes(db) == BATCH_ROWS &&
	    sqlite3_wal_checkpoint_v2(db, NULL, SQLITE_CHECKPOINT_RESTART, NULL, NULL) ==
		SQLITE_OK;

	if (!is_good)
		fprintf(stderr, "bench: batch: not %d rows were there\n", BATCH_ROWS);
	usleep(BATCH_PAUSE);
	return is_good;
}

/* One round of both; the first side by turns.  Whether all went well. */
static bool batch_round(struct comparison *row, size_t round, struct poolite *handle,
    sqlite3 *db, const struct poolite_value *values)
{
	int64_t ours = 0, theirs = 0;

	for (size_t turn = 0; turn < 2; turn++) {
		if ((round + turn) % 2 == 0)
			ours = batch_poolite(handle, values);
		else
			theirs = batch_direct(db, values);
		usleep(BATCH_PAUSE);
	}
	if (ours == 0 || theirs == 0)
		return false;
	row->ours[round] = BATCH_ROWS * 1e9 / (double)ours;
	row->theirs[round] = BATCH_ROWS * 1e9 / (double)theirs;
	return batch_clear(handle, db);
}

void line_batch(struct bench *bench)
{
	struct comparison row = {.line = "batch",
	    .work = "batch of 100,000 rows",
	    .peer = "SQLite, one transaction",
	    .unit = UNIT_RATE,
	    .ratio = RATIO_OURS,
	    .at_least = 0.8,
	    .rounds = bench->rounds};
	struct poolite_value *values = batch_values();
	struct poolite *handle;
	struct site site;

	site_open(&site, bench->poolited, row.line, BATCH_TABLE);
	sqlite3 *db = database_open(site.direct);
	if (db == NULL || poolite_open(site.socket, NULL, &handle, NULL) != 0)
		die("batch", "cannot begin");
	sqlite3_wal_autocheckpoint(db, 0); /* batch_clear does it, off the clock */
	bench->is_wrong |= !batch_round(&row, 0, handle, db, values);
	for (size_t i = 0; i < row.rounds && !bench->is_wrong; i++)
		bench->is_wrong = !batch_round(&row, i, handle, db, values);
	if (!bench->is_wrong)
		report_add(bench->report, &row);
	poolite_close(handle);
	sqlite3_close(db);
	free(values);
	bench->is_wrong |= !site_close(&site);
}
