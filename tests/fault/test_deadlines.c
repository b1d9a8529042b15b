/* T24: statements that run for ever, or for long, end at their deadlines; others do not notice. */
#include <stdio.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

/* Of each statement.  A tenth of it is less than the 50 ms that are allowed anyway. */
#define DEADLINE_MS 150
/* Its pages are small, so that counting its rows takes long: some 30 ms. */
#define BIG_ROWS   "100000"
#define TRIES      25
#define TRIES_LONG 1000

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "

#define COUNT   "(SELECT count(*) FROM big), "
#define COUNT_8 COUNT COUNT COUNT COUNT COUNT COUNT COUNT COUNT

#define COUNT   "(SELECT count(*) FROM big), "
#define COUNT_8 COUNT COUNT COUNT COUNT COUNT COUNT COUNT COUNT

static struct poolited broker;

/* What runs past its deadline, and when it has to be over. */
static const struct kind {
	const char *what;
	const char *sql;
	bool is_write;
	double part; /* of them that has to be over so many ms behind the deadline */
	double goal_ms;
} kinds[] = {
    /* SQLite asks the progress handler between its steps ... */
    {"endless recursion", ENDLESS "SELECT count(*) FROM n", false, 0.5, 50},
    {"cross join", "SELECT sum(a.x + b.x) FROM few a, few b, few c, few d", false, 0.5,
	50},
    {"endless write", "INSERT INTO few " ENDLESS "SELECT i FROM n WHERE i < 0", true, 0.5,
	50},
    /* ... and these are so few that it is never asked: only an interrupt ends them. */
    {"count(*)", "SELECT " COUNT_8 COUNT_8 COUNT_8 COUNT_8 COUNT_8 COUNT_8 "1", false,
	0.99, 1000},
};
#define KINDS (sizeof kinds / sizeof *kinds)

/* What is measured; the bystander's in memory that both share. */
static struct spans late[KINDS];
static uint64_t odd;   /* ended in any other way than by the deadline */
static uint64_t never; /* met it before they began: the machine was busy */
static struct bystander {
	_Atomic bool must_stop, is_beside;
	_Atomic uint64_t reads, errors;
	_Atomic double p99_ms[2]; /* alone, and beside them */
} * bystander;

static void make_database(const char *path)
{
	sqlite3 *db;

	CHECK(sqlite3_open(path, &db) == SQLITE_OK, "cannot make %s", path);
	direct_run(db,
	    "PRAGMA page_size = 512; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;"
	    "CREATE TABLE few (x); CREATE TABLE big (x)");
	direct_run(db, ENDLESS "INSERT INTO few SELECT i FROM n LIMIT 10000");
	direct_run(
	    db, ENDLESS "INSERT INTO big SELECT zeroblob(400) FROM n LIMIT " BIG_ROWS);
	direct_close(db);
}

static void read_on(unsigned index, void *context)
{
	struct spans spans[2] = {0};
	struct poolite *handle;

	(void)index;
	(void)context;
	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
	while (!bystander->must_stop) {
		bool is_beside = bystander->is_beside;
		double started = check_seconds();
		struct poolite_result *result;
		if (poolite_query(handle, "SELECT x FROM few WHERE rowid = 7",
			POOLITE_NO_ARGS, &result, NULL))
			bystander->errors++;
		else
			poolite_result_free(result);
		spans_add(&spans[is_beside], check_seconds() - started);
		bystander->reads++;
		usleep(500);
	}
	for (int i = 0; i < 2; i++) {
		bystander->p99_ms[i] = spans_quantile_ms(&spans[i], 0.99);
		spans_release(&spans[i]);
	}
	poolite_close(handle);
}

static void run_one(struct wire *wire, size_t which)
{
	const struct kind *kind = &kinds[which];
	double started = check_seconds();
	const struct reply *reply = wire_receive(wire,
	    wire_send(wire, kind->is_write ? "update" : "query",
		"[`%s`, null, {`timeout_ms`: %d}]", kind->sql, DEADLINE_MS));

	if (reply->failure.code == POOLITE_QUERY_TIMEOUT)
		spans_add(&late[which], check_seconds() - started - DEADLINE_MS / 1e3);
	else if (reply->failure.code == POOLITE_POOL_TIMEOUT)
		never++;
	else if (odd++ < 3)
		report_note("     %s: %s, %s", kind->what,
		    poolite_code_name(reply->failure.code), reply->failure.message);
}

static void report_late(void)
{
	char what[56];

	for (size_t i = 0; i < KINDS; i++) {
		snprintf(what, sizeof what, "%s: past its deadline, median, ms",
		    kinds[i].what);
		report_at_most(what, spans_quantile_ms(&late[i], 0.5), kinds[i].goal_ms);
		report_note("     %s: p90 %.1f ms, p99 %.1f ms, longest %.1f ms",
		    kinds[i].what, spans_quantile_ms(&late[i], 0.9),
		    spans_quantile_ms(&late[i], 0.99), spans_quantile_ms(&late[i], 1));
	}
}

void test_deadlines(const struct effort *effort)
{
	uint64_t tries = effort_amount(effort, TRIES, TRIES_LONG), done = 0;
	struct wire *wire;
	pid_t pid;

	bystander = shared_memory(sizeof *bystander);
	poolited_make(&broker, (const char *const[]){NULL});
	make_database(broker.database);
	poolited_run(&broker);
	wire = wire_open(&broker);
	pid = client_start(read_on, 0, NULL);
	process_pause(2);
	bystander->is_beside = true;
	for (; effort_goes_on(effort, done, tries); done++)
		for (size_t i = 0; i < KINDS; i++)
			run_one(wire, i);
	bystander->must_stop = true;
	client_wait(pid);
	report_amount("statements of each kind", (double)done, TRIES, TRIES_LONG);
	report_exactly("of them that ended otherwise", (double)odd, 0);
	report_at_most(
	    "of them that did not begin", (double)never, (double)(done * KINDS / 10));
	report_late();
	report_amount("reads of a bystander", (double)bystander->reads, 1000, 20000);
	report_exactly("its errors", (double)bystander->errors, 0);
	report_note("     its p99: alone %.2f ms, beside them %.2f ms",
	    bystander->p99_ms[0], bystander->p99_ms[1]);
	poolited_end(&broker);
}
