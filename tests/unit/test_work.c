/* One request on one connection: what of it is told to the loop, how it is stopped, and
 * what has no room or meets damage.  No threads, no loop. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "broker/db/internal.h"
#include "broker/work.h"
#include "proto/batch.h"
#include "tests/unit/bare.h"

static struct bare bare;
static struct connection *connection; /* the writer's */
static struct job *job;               /* the last one */

static void set_up(void)
{
	bare_open(&bare);
	connection = bare.connection;
	bare_stops_raw_clock = true; /* what runs takes no time */
	bare_raw_ns = 100 * CLOCK_NS_PER_SEC;
}

static void tear_down(void)
{
	job_free(job);
	bare_close(&bare);
}

TestSuite(work, .init = set_up, .fini = tear_down, .timeout = 20);

static void take(struct job *next)
{
	job_free(job);
	job = next;
}

static int run(void)
{
	static const struct work_place on_the_writer = {.can_write = true};
	bool has_savepoint;

	return work_run(&bare.database, connection, job, &on_the_writer, &has_savepoint);
}

static void take_query(const char *sql)
{
	take(bare_statement(&bare, POOLITE__QUERY, sql));
}

static void expect_failed(int rc, enum poolite_code code)
{
	cr_expect_eq(rc, (int)code, "%d", rc);
	cr_expect_eq((int)job->failure.code, (int)code, "%d: %s", (int)job->failure.code,
	    job->failure.message);
	cr_expect_eq(job->answer.len, 0, "an error, and an answer beside it");
}

/* ---- whether a text may run on the loop ------------------------------------------------ */

static bool is_short(const char *sql, bool examine)
{
	take_query(sql);
	job->examine = examine;
	cr_expect_eq(run(), 0, "%s", job->failure.message);
	return job->is_short;
}

static int64_t processor_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return used.tv_sec * CLOCK_NS_PER_SEC + used.tv_nsec;
}

/* SQL's function lower() takes two seconds of the machine's clock, and of the processor
 * more than a read on the loop may. */
static void take_two_seconds(sqlite3_context *context, int count, sqlite3_value **values)
{
	int64_t until_ns = processor_ns() + 10 * CLOCK_NS_PER_MS;

	(void)count;
	(void)values;
	bare_raw_ns += 2 * CLOCK_NS_PER_SEC;
	while (processor_ns() < until_ns)
		continue;
	sqlite3_result_int(context, 0);
}

Test(work, only_what_was_examined_and_took_little_is_short)
{
	cr_expect(is_short("SELECT id FROM t", true));
	cr_expect_not(is_short("SELECT id FROM t", false));
	cr_expect_not(is_short("INSERT INTO t VALUES (1) RETURNING id", true));
	cr_expect_not(is_short("SELECT hex(zeroblob(32768))", true), "much to send");
}

Test(work, what_took_long_is_not_short)
{
	sqlite3_create_function(
	    connection->db, "lower", 1, SQLITE_UTF8, NULL, take_two_seconds, NULL, NULL);
	cr_expect_not(is_short("SELECT lower('')", true));
}

Test(work, what_failed_is_not_short)
{
	take_query("SELECT abs(-9223372036854775807 - 1)");
	job->examine = true;
	expect_failed(run(), POOLITE_SQL_ERROR);
	cr_expect_not(job->is_short);
}

/* ---- what stops it ------------------------------------------------------------------------ */

Test(work, what_was_cancelled_stops_and_nothing_behind_it)
{
	take_query("INSERT INTO t VALUES (1)");
	atomic_store(&job->stop.reason, POOLITE_CANCELLED);
	expect_failed(run(), POOLITE_CANCELLED);
	cr_expect_eq(connection_stop_reason(connection), 0);
	connection_nudge(connection);
	cr_expect_eq(bare_rows(connection, "t"), 0);
}

Test(work, deadline_counts_from_its_start)
{
	take_query("SELECT count(*) FROM t");
	bare.settings.query_timeout_ns = CLOCK_NS_PER_SEC;
	cr_expect_eq(run(), 0);
	cr_expect_eq(job->started_ns, clock_now(&bare.clock));
	cr_expect_eq(job->stop.deadline_ns, clock_now(&bare.clock) + CLOCK_NS_PER_SEC);
	bare.settings.query_timeout_ns = 0;
	take_query("SELECT count(*) FROM t");
	expect_failed(run(), POOLITE_QUERY_TIMEOUT);
}

/* ---- room, and damage ----------------------------------------------------------------------- */

/* The value of a row that has ${bytes}. */
static int select_blob(size_t bytes)
{
	char sql[64];

	snprintf(sql, sizeof sql, "SELECT zeroblob(%zu) AS x", bytes);
	take_query(sql);
	return run();
}

Test(work, answer_is_as_long_as_a_result_may_be)
{
	size_t max = bare.settings.max_result_bytes, beside;

	cr_assert_eq(select_blob(max / 2), 0);
	beside = job->answer.len - max / 2;
	cr_expect_eq(select_blob(max - beside), 0, "%s", job->failure.message);
	cr_expect_eq(job->answer.len, max);
	expect_failed(select_blob(max + POOLITE__ENVELOPE_BYTES), POOLITE_TOO_LARGE);
	take_query("SELECT zeroblob(600000), zeroblob(600000)");
	expect_failed(run(), POOLITE_TOO_LARGE);
	cr_expect_not_null(strstr(job->failure.message, "LIMIT"), "what to do");
}

Test(work, batch_whose_answer_has_no_room_fails)
{
	struct poolite_value values[] = {poolite_integer(1), poolite_integer(2)};
	struct poolite__options options = {0};
	static const char sql[] = "INSERT INTO t VALUES (?)";
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_batch(&message, 7, sql, strlen(sql), values, 1, 2, &options);
	take(bare_job(&bare, &message));
	cr_expect_eq(run(), 0, "%s", job->failure.message);
	cr_expect_gt(job->answer.len, 0);
	bare_sql(connection, "DELETE FROM t");
	poolite__buf_release(&job->answer);
	bare.budget.max = bare.budget.used;
	expect_failed(run(), POOLITE_OVERLOADED);
}

/* SQL's function lower(): SQLite finds the file damaged. */
static void meet_damage(sqlite3_context *context, int count, sqlite3_value **values)
{
	(void)count;
	(void)values;
	sqlite3_result_error_code(context, SQLITE_CORRUPT);
}

Test(work, who_meets_damage_ends_the_writing)
{
	take_query("SELECT abs(-9223372036854775807 - 1)");
	expect_failed(run(), POOLITE_SQL_ERROR);
	take_query("SELECT 1");
	cr_expect_eq(run(), 0);
	cr_expect_not(bare.database.refuses_writes);
	sqlite3_create_function(
	    connection->db, "lower", 1, SQLITE_UTF8, NULL, meet_damage, NULL, NULL);
	take_query("SELECT lower('')");
	expect_failed(run(), POOLITE_CORRUPT);
	cr_expect(bare.database.refuses_writes);
	cr_expect_eq((int)bare.database.refusal, (int)POOLITE_CORRUPT);
}
