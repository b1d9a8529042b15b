/* The fast reader: the shared snapshot's rule, its budget, and what is steady. */
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "broker/db/execute.h"
#include "broker/db/steady.h"
#include "broker/fast.h"
#include "proto/answer.h"

/* A database with a writer and a fast reader, all on this thread. */
struct house {
	char folder[64];
	char path[96];
	struct settings settings;
	struct clock clock;
	struct poolite__budget budget;
	struct database database;
	struct connection *writer;
	struct fast fast;
};

static void write_sql(struct house *house, const char *sql)
{
	struct execution execution = {.sql = sql,
	    .sql_len = strlen(sql),
	    .result = EXECUTE_CHANGES,
	    .can_write = true};
	struct poolite__failure failure;
	struct poolite__buf out;

	poolite__buf_init(&out, SIZE_MAX, NULL);
	cr_assert_eq(execute_statement(house->writer, &execution, &out, &failure), 0,
	    "%s", failure.message);
	poolite__buf_release(&out);
	/* What the writer does between COMMIT and the answer. */
	atomic_fetch_add(&house->database.commit_seq, 1);
}

static void set_up(struct house *house)
{
	struct poolite__failure failure;
	FILE *file;

	memset(house, 0, sizeof *house);
	strcpy(house->folder, "/tmp/poolite-fast-XXXXXX");
	cr_assert_not_null(mkdtemp(house->folder));
	snprintf(house->path, sizeof house->path, "%s/db", house->folder);
	file = fopen(house->path, "w");
	cr_assert_not_null(file);
	fclose(file);
	clock_init(&house->clock);
	house->budget.max = SIZE_MAX;
	house->settings = (struct settings){.synchronous = SYNCHRONOUS_FULL,
	    .foreign_keys = true,
	    .cache_bytes = 1 << 20,
	    .max_result_bytes = 1 << 20,
	    .query_timeout_ns = CLOCK_NEVER};
	house->database = (struct database){.path = house->path,
	    .settings = &house->settings,
	    .clock = &house->clock,
	    .budget = &house->budget};
	cr_assert_eq(database_connect(
			 &house->database, CONNECTION_WRITER, &house->writer, &failure),
	    0, "%s", failure.message);
	write_sql(house, "CREATE TABLE t (a)");
	cr_assert_eq(fast_open(&house->fast, &house->database, &failure), 0, "%s",
	    failure.message);
}

static void tear_down(struct house *house)
{
	char command[96];

	fast_close(&house->fast);
	database_disconnect(&house->database, house->writer);
	snprintf(command, sizeof command, "rm -r %s", house->folder);
	cr_assert_eq(system(command), 0);
}

/* A job that queries ${sql}, run on the fast reader. */
static enum fast_outcome query(struct house *house, const char *sql, struct job **job)
{
	struct poolite__options options = {0};
	struct poolite__buf message;
	bool has_msgid;
	enum fast_outcome outcome;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_statement(
	    &message, 7, POOLITE__QUERY, sql, strlen(sql), NULL, 0, &options);
	*job = job_create(message.data, message.len, &house->budget);
	poolite__buf_release(&message);
	cr_assert_eq(poolite__read_request((*job)->message, (*job)->message_len,
			 &(*job)->request, &has_msgid, NULL),
	    0);
	cr_assert_eq(poolite__read_params(&(*job)->request, NULL), 0);
	outcome = fast_run(&house->fast, *job);
	return outcome;
}

static int64_t number(struct house *house, const char *sql)
{
	struct poolite__answer answer;
	struct poolite__result result;
	struct job *job;
	uint32_t columns;
	int64_t value;

	cr_assert_eq((int)query(house, sql, &job), (int)FAST_ANSWERED);
	cr_assert_eq(poolite__read_answer(job->answer.data, job->answer.len, &answer), 0);
	cr_assert_eq(poolite__read_result(&answer.result, &result), 0);
	cr_assert_eq(result.rows_count, 1);
	cr_assert_eq(poolite__read_array(&result.rows, &columns), 0);
	cr_assert_eq(poolite__read_int64(&result.rows, &value), 0);
	job_free(job);
	return value;
}

Test(fast, reads_of_one_turn_share_a_snapshot_until_a_commit_is_answered)
{
	struct house house;

	set_up(&house);
	write_sql(&house, "INSERT INTO t VALUES (1)");
	cr_expect_eq(number(&house, "SELECT max(a) FROM t"), 1);
	cr_expect_eq(house.fast.snapshots, 0, "alone so far");
	cr_expect_eq(number(&house, "SELECT max(a) FROM t"), 1);
	cr_expect_eq(number(&house, "SELECT min(a) FROM t"), 1);
	cr_expect_eq(house.fast.snapshots, 1);
	/* Answered in this very turn, to another session: must be seen. */
	write_sql(&house, "INSERT INTO t VALUES (2)");
	cr_expect_eq(number(&house, "SELECT max(a) FROM t"), 2);
	cr_expect_eq(house.fast.snapshots, 2);
	tear_down(&house);
}

Test(fast, turn_that_ends_lets_go_of_the_snapshot)
{
	struct house house;
	struct poolite__failure failure;

	set_up(&house);
	write_sql(&house, "INSERT INTO t VALUES (1)");
	cr_expect_eq(number(&house, "SELECT max(a) FROM t"), 1);
	cr_expect_eq(connection_checkpoint(house.writer, CHECKPOINT_TRUNCATE, &failure),
	    0, "one read by itself holds nothing");
	cr_expect_eq(number(&house, "SELECT max(a) FROM t"), 1);
	write_sql(&house, "INSERT INTO t VALUES (2)");
	cr_expect_eq(connection_checkpoint(house.writer, CHECKPOINT_TRUNCATE, &failure),
	    POOLITE_BUSY, "the snapshot is held");
	fast_end_turn(&house.fast);
	cr_expect_eq(
	    connection_checkpoint(house.writer, CHECKPOINT_TRUNCATE, &failure), 0);
	tear_down(&house);
}

/* The names of a query's columns, as they are in its answer. */
static bool answer_names(struct house *house, const char *sql, const char *name)
{
	struct job *job;
	bool found;

	cr_assert_eq((int)query(house, sql, &job), (int)FAST_ANSWERED);
	found = memmem(job->answer.data, job->answer.len, name, strlen(name)) != NULL;
	job_free(job);
	return found;
}

Test(fast, columns_are_named_as_they_are_now)
{
	struct house house;

	set_up(&house);
	for (int i = 0; i < 3; i++)
		cr_expect(answer_names(&house, "SELECT * FROM t",
		    "\x91\xa1"
		    "a"));
	fast_end_turn(&house.fast);
	write_sql(&house, "ALTER TABLE t RENAME COLUMN a TO bb");
	for (int i = 0; i < 3; i++)
		cr_expect(answer_names(&house, "SELECT * FROM t",
		    "\x91\xa2"
		    "bb"));
	fast_end_turn(&house.fast);
	write_sql(&house, "ALTER TABLE t ADD COLUMN c");
	for (int i = 0; i < 3; i++)
		cr_expect(answer_names(&house, "SELECT * FROM t",
		    "\x92\xa2"
		    "bb\xa1"
		    "c"));
	tear_down(&house);
}

/* A third of the budget's time, as long as the interruptions below take to come. */
#ifdef __SANITIZE_ADDRESS__
#define ROWS_OF_A_SHORT_READ "100"
#else
#define ROWS_OF_A_SHORT_READ "300"
#endif

/* Takes the thread away from what it does for longer than the budget. */
static volatile sig_atomic_t interruptions;

static void interrupt_for_long(int signal_number)
{
	(void)signal_number;
	interruptions++;
	usleep((useconds_t)(2 * FAST_TIME_NS / 1000));
}

Test(fast, time_that_the_machine_gave_to_others_is_not_of_the_budget)
{
	struct house house;
	struct job *job;
	int answered = 0;

	set_up(&house);
	signal(SIGALRM, interrupt_for_long);
	/* Most of the interruptions hit the read itself, and not what is around it. */
	for (int i = 0; i < 20; i++) {
		const struct itimerval soon = {{0, 0}, {0, 20 + 5 * i}};
		setitimer(ITIMER_REAL, &soon, NULL);
		answered +=
		    query(&house,
			"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 "
			"FROM c LIMIT " ROWS_OF_A_SHORT_READ ") SELECT max(x) FROM c",
			&job) == FAST_ANSWERED;
		job_free(job);
		while (interruptions <= i)
			usleep(100);
	}
	/* A virtual processor may be taken away in ways that no clock of ours tells. */
	cr_expect_geq(answered, 13);
	tear_down(&house);
}

Test(fast, what_exceeds_the_budget_leaves_nothing_behind)
{
	static const char *const texts[] = {
	    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT max(x) FROM c",
	    "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c LIMIT 100) "
	    "SELECT hex(zeroblob(1000)) FROM c",
	    "SELECT length(zeroblob(100000))",
	    "SELECT 'a' LIKE replace(hex(zeroblob(100)), '0', '%a')",
	};
	struct house house;

	set_up(&house);
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct job *job;
		cr_expect_eq((int)query(&house, texts[i], &job), (int)FAST_EXCEEDED, "%s",
		    texts[i]);
		cr_expect_eq(job->answer.len, 0);
		cr_expect_eq((int)job->failure.code, 0);
		job_free(job);
	}
	cr_expect_eq(number(&house, "SELECT 5"), 5, "and it goes on");
	tear_down(&house);
}

Test(fast, errors_that_are_the_same_anywhere_are_answered_here)
{
	struct house house;
	struct job *job;

	set_up(&house);
	cr_expect_eq((int)query(&house, "SELECT ?", &job), (int)FAST_ANSWERED);
	cr_expect_eq((int)job->failure.code, (int)POOLITE_BAD_REQUEST);
	job_free(job);
	cr_expect_eq((int)query(&house, "ATTACH 'x' AS y", &job), (int)FAST_ANSWERED);
	cr_expect_eq((int)job->failure.code, (int)POOLITE_NOT_ALLOWED);
	job_free(job);
	tear_down(&house);
}

Test(steady, statements_of_short_steps_are_and_others_are_not)
{
	static const struct {
		const char *sql;
		bool is_steady;
	} cases[] = {
	    {"SELECT a FROM t WHERE rowid = ?", true},
	    {"SELECT a, upper(a) FROM t WHERE a LIKE ? ORDER BY a LIMIT 10", true},
	    {"SELECT a, sum(a) FROM t GROUP BY a HAVING sum(a) > 1", true},
	    {"SELECT x.a FROM t x JOIN t y ON x.a = y.a WHERE x.a IN (1, 2, 3)", true},
	    {"SELECT row_number() OVER (ORDER BY a) FROM t", true},
	    {"SELECT count(*) FROM t", false},
	    {"PRAGMA integrity_check", false},
	    {"PRAGMA quick_check", false},
	    {"SELECT * FROM pragma_table_info('t')", false},
	    {"SELECT value FROM json_each('[1,2]')", false},
	    {"EXPLAIN SELECT 1", false},
	    {"SELECT printf('%.*c', ?, 'x')", true},
	    {"SELECT instr(?, a), replace(a, ?, ?), trim(a), json_extract(a, '$.x') FROM t",
		true},
	    {"SELECT trim(a, ?) FROM t", false},
	    {"SELECT LTRIM(a, ?) FROM t", false},
	    {"SELECT 1 FROM t WHERE rtrim(a, ?) = 'x'", false},
	    {"SELECT json_patch(?, ?)", false},
	};
	struct house house;

	set_up(&house);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(connection_is_steady(
				 house.writer, cases[i].sql, strlen(cases[i].sql)),
		    cases[i].is_steady, "%s", cases[i].sql);
	tear_down(&house);
}
