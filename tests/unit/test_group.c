/* Group commit on a real database, without threads: what tests with a broker cannot order
 * by will.  A COMMIT fails as told, a member takes as long as told, and what was posted
 * back is seen in its order.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/group.h"
#include "broker/net/session_internal.h"
#include "broker/work.h"
#include "proto/script.h"
#include "tests/unit/bare.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define JOBS_MAX     16

/* ---- what group.c calls, with a hand in between -------------------------------------
 * The linker sends these calls here (--wrap); other tests find what they always find. */

static bool is_ours; /* this process tests groups */
static struct job *posted[JOBS_MAX];
static size_t posted_count;
static bool held_when_posted; /* who is answered must not find itself the holder */
static struct writer *writer; /* without a thread */
static unsigned commits;      /* asked for so far */
static int commit_codes[8];   /* how the first ones fail; 0: as they do */
static unsigned runs;         /* of members, so far */
static unsigned hooked_run;   /* behind this one ... */
static void (*hook)(void);    /* ... something happens */
static unsigned switches;     /* of foreign keys, so far */
static unsigned failing_switch;
static int sqlite_version; /* 0: what it is */

void __real_job_finish(struct job *job);
void __wrap_job_finish(struct job *job);
int __real_database_commit(
    struct database *database, struct connection *on, struct poolite__failure *failure);
int __wrap_database_commit(
    struct database *database, struct connection *on, struct poolite__failure *failure);
int __real_work_run(struct database *database, struct connection *on, struct job *job,
    const struct work_place *place, bool *has_savepoint);
int __wrap_work_run(struct database *database, struct connection *on, struct job *job,
    const struct work_place *place, bool *has_savepoint);
bool __real_connection_set_foreign_keys(struct connection *on, bool is_on);
bool __wrap_connection_set_foreign_keys(struct connection *on, bool is_on);

int __real_connection_sqlite_version_number(void);
int __wrap_connection_sqlite_version_number(void);

void __wrap_job_finish(struct job *job)
{
	if (!is_ours) {
		__real_job_finish(job);
		return;
	}
	posted[posted_count++] = job;
	held_when_posted |= writer_holder(writer).is_held;
}

int __wrap_database_commit(
    struct database *database, struct connection *on, struct poolite__failure *failure)
{
	unsigned which = commits++;

	if (!is_ours || which >= COUNT(commit_codes) || commit_codes[which] == 0)
		return __real_database_commit(database, on, failure);
	connection_rollback(on); /* as connection_commit() does for what it is sure of */
	return poolite__fail(
	    failure, (enum poolite_code)commit_codes[which], "as the test wants it");
}

int __wrap_work_run(struct database *database, struct connection *on, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	int rc = __real_work_run(database, on, job, place, has_savepoint);

	if (is_ours && ++runs == hooked_run)
		hook();
	return rc;
}

int __wrap_connection_sqlite_version_number(void)
{
	return sqlite_version ? sqlite_version
			      : __real_connection_sqlite_version_number();
}

bool __wrap_connection_set_foreign_keys(struct connection *on, bool is_on)
{
	bool done = __real_connection_set_foreign_keys(on, is_on);

	return ++switches != failing_switch && done;
}

/* ---- a writer without a thread ------------------------------------------------------ */

static struct bare bare;

static void set_up(void)
{
	is_ours = bare_stops_raw_clock = true;
	bare_open(&bare);
	writer = calloc(1, sizeof *writer);
	cr_assert_not_null(writer);
	writer->database = &bare.database;
	writer->connection = bare.connection;
	pthread_mutex_init(&writer->mutex, NULL);
}

static void tear_down(void)
{
	while (posted_count > 0)
		job_free(posted[--posted_count]);
	bare.connection = writer->connection;
	free(writer);
	bare_close(&bare);
}

TestSuite(group, .init = set_up, .fini = tear_down, .timeout = 60);

static struct job *update(const char *sql)
{
	return bare_statement(&bare, POOLITE__UPDATE, sql);
}

static struct job *insert(int id)
{
	char sql[64];

	snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d)", id);
	return update(sql);
}

/* Inserts of 1 .. ${count}. */
static void inserts(struct job **members, int count)
{
	for (int i = 0; i < count; i++)
		members[i] = insert(i + 1);
}

static struct job *script_without_keys(const char *sql)
{
	struct poolite__options options = {.foreign_keys_off = true};
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_script(&message, 7, sql, strlen(sql), &options);
	return bare_job(&bare, &message);
}

static int rows_of(const char *table)
{
	return bare_rows(writer->connection, table);
}

static void run_sql(const char *sql)
{
	bare_sql(writer->connection, sql);
}

static void expect_idle(void)
{
	cr_expect_not(connection_in_transaction(writer->connection));
}

/* The first posted ones are ${count} members from ${members} on, in their order, and OK. */
static void expect_posted_ok(struct job **members, size_t count)
{
	cr_expect_eq(posted_count, count, "%zu", posted_count);
	for (size_t i = 0; i < posted_count; i++) {
		cr_expect_eq(posted[i], members[i], "%zu", i);
		cr_expect_eq((int)posted[i]->failure.code, 0, "%zu: %s", i,
		    posted[i]->failure.message);
		cr_expect_gt(posted[i]->answer.len, 0);
	}
}

static void expect_failed(const struct job *job, enum poolite_code code)
{
	cr_expect_eq((int)job->failure.code, (int)code, "%d: %s", (int)job->failure.code,
	    job->failure.message);
	cr_expect_eq(job->answer.len, 0, "an error, and an answer beside it");
}

/* ---- hooks --------------------------------------------------------------------------- */

static void behind_run(unsigned which, void (*what)(void))
{
	hooked_run = runs + which;
	hook = what;
}

static void take_longer_than_a_group_may(void)
{
	bare_raw_ns += GROUP_TIME_NS + 1;
}

static void take_as_long_as_a_group_may(void)
{
	bare_raw_ns += GROUP_TIME_NS;
}

static void end_the_transaction(void)
{
	connection_rollback(writer->connection);
}

static void let_ten_seconds_pass(void)
{
	atomic_fetch_add(&bare.clock.now_ns, 10 * CLOCK_NS_PER_SEC);
}

static void meet_damage(void)
{
	database_refuse_writes(&bare.database, POOLITE_CORRUPT, "damaged, says the test");
}

/* ---- groups ---------------------------------------------------------------------------- */

Test(group, commits_once_and_answers_in_order)
{
	struct job *members[5];

	inserts(members, 5);
	cr_expect_eq(group_commit(writer, members, 5), 5);
	expect_posted_ok(members, 5);
	cr_expect_eq(commits, 1);
	cr_expect_eq(rows_of("t"), 5);
	cr_expect_eq(writer->counters.groups, 1);
	cr_expect_eq(writer->counters.members, 5);
	cr_expect_eq(writer->counters.largest_group, 5);
	cr_expect_eq(writer->counters.group_replays, 0);
	cr_expect_eq(writer->counters.foreign_commits, 0);
	cr_expect_not(writer->has_lone_texts);
	expect_idle();
	members[0] = insert(6);
	cr_expect_eq(group_commit(writer, members, 1), 1);
	cr_expect_eq(writer->counters.groups, 2);
	cr_expect_eq(writer->counters.members, 6);
	cr_expect_eq(writer->counters.largest_group, 5);
}

Test(group, leaves_over_those_for_which_there_is_no_time)
{
	struct job *members[4];

	inserts(members, 4);
	behind_run(2, take_longer_than_a_group_may);
	cr_expect_eq(group_commit(writer, members, 4), 2);
	expect_posted_ok(members, 2);
	cr_expect_eq(rows_of("t"), 2);
	cr_expect_eq(writer->counters.members, 2);
	cr_expect_eq(members[2]->started_ns, 0);
	cr_expect_eq(group_commit(writer, members + 2, 2), 2);
	expect_posted_ok(members, 4);
}

Test(group, takes_its_first_member_however_long_it_runs)
{
	struct job *members[2];

	inserts(members, 2);
	behind_run(1, take_longer_than_a_group_may);
	cr_expect_eq(group_commit(writer, members, 2), 1);
	expect_posted_ok(members, 1);
	job_free(members[1]);
}

Test(group, takes_what_begins_within_its_time)
{
	struct job *members[3];

	inserts(members, 3);
	behind_run(2, take_as_long_as_a_group_may);
	cr_expect_eq(group_commit(writer, members, 3), 3);
	expect_posted_ok(members, 3);
}

Test(group, takes_its_first_member_also_when_the_lock_came_late)
{
	struct job *members[2];

	inserts(members, 2);
	bare_begins_slowly = true;
	cr_expect_eq(group_commit(writer, members, 2), 1);
	expect_posted_ok(members, 1);
	job_free(members[1]);
}

Test(group, late_member_is_refused_and_not_run)
{
	struct job *members[3];

	inserts(members, 3);
	members[1]->wait_until_ns = clock_now(&bare.clock);
	members[1]->received_ns = clock_now(&bare.clock);
	cr_expect_eq(group_commit(writer, members, 3), 3);
	cr_expect_eq(posted_count, 3);
	cr_expect_eq(runs, 2);
	cr_expect_eq(rows_of("t"), 2);
	expect_failed(members[1], POOLITE_POOL_TIMEOUT);
	cr_expect_eq((int)members[2]->failure.code, 0);
}

Test(group, failed_member_s_rows_go_and_the_others_stay)
{
	struct job *members[3] = {
	    insert(1), update("INSERT OR FAIL INTO t VALUES (2), (3), (1)"), insert(4)};

	cr_expect_eq(group_commit(writer, members, 3), 3);
	expect_failed(members[1], POOLITE_CONSTRAINT);
	cr_expect_eq(rows_of("t"), 2);
	cr_expect_eq(commits, 1);
	cr_expect_eq(writer->counters.members, 3);
	cr_expect_eq(writer->counters.group_replays, 0);
}

/* Three members, of which ${failing} could not get what its savepoint needs. */
static void expect_one_without_memory(struct job **members, struct job *failing)
{
	cr_expect_eq(group_commit(writer, members, 3), 3);
	cr_expect_eq(posted_count, 3);
	cr_expect_eq(rows_of("t"), 2);
	cr_expect_eq(commits, 1);
	for (size_t i = 0; i < posted_count; i++) {
		if (posted[i] == failing)
			expect_failed(posted[i], POOLITE_OVERLOADED);
		else
			cr_expect_eq((int)posted[i]->failure.code, 0);
	}
	expect_idle();
}

Test(group, member_without_a_savepoint_is_not_run)
{
	struct job *members[3];

	inserts(members, 3);
	bare_failing_savepoint = 2;
	expect_one_without_memory(members, members[1]);
	cr_expect_eq(runs, 2);
}

Test(group, member_that_cannot_be_released_is_undone)
{
	struct job *members[3];

	inserts(members, 3);
	bare_failing_release = 2;
	expect_one_without_memory(members, members[1]);
	cr_expect_eq(writer->counters.group_replays, 0);
}

Test(group, member_that_cannot_be_undone_tears_the_group_down)
{
	struct job *members[3];

	inserts(members, 3);
	bare_failing_release = 2;
	bare_failing_undo = 1;
	expect_one_without_memory(members, members[1]);
	cr_expect_eq(writer->counters.group_replays, 1);
}

Test(group, failed_commit_is_the_error_of_those_that_had_none)
{
	struct job *members[3] = {
	    insert(1), update("INSERT INTO t VALUES (1)"), insert(2)};

	commit_codes[0] = POOLITE_STORAGE;
	cr_expect_eq(group_commit(writer, members, 3), 3);
	cr_expect_eq(posted_count, 3);
	expect_failed(members[0], POOLITE_STORAGE);
	expect_failed(members[1], POOLITE_CONSTRAINT);
	expect_failed(members[2], POOLITE_STORAGE);
	cr_expect_eq(writer->counters.groups, 0);
	cr_expect_eq(rows_of("t"), 0);
}

Test(group, refused_writes_are_the_error_of_all)
{
	struct job *members[2];

	inserts(members, 2);
	meet_damage();
	cr_expect_eq(group_commit(writer, members, 2), 2);
	cr_expect_eq(posted_count, 2);
	expect_failed(members[0], POOLITE_CORRUPT);
	expect_failed(members[1], POOLITE_CORRUPT);
	cr_expect_eq(commits + runs, 0);
	expect_idle();
}

Test(group, lock_of_another_process_is_the_error_of_all)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);
	struct poolite__failure failure;
	struct job *members[2];

	inserts(members, 2);
	cr_assert_eq(connection_begin_write(other, &failure), 0);
	cr_expect_eq(group_commit(writer, members, 2), 2);
	expect_failed(members[0], POOLITE_BUSY);
	expect_failed(members[1], POOLITE_BUSY);
	cr_expect_eq(runs, 0);
	connection_rollback(other);
	database_disconnect(&bare.database, other);
}

Test(group, member_that_meets_damage_undoes_all_of_it)
{
	struct job *members[3];

	inserts(members, 3);
	behind_run(2, meet_damage);
	cr_expect_eq(group_commit(writer, members, 3), 3);
	cr_expect_eq(posted_count, 3);
	for (int i = 0; i < 3; i++)
		expect_failed(members[i], POOLITE_CORRUPT);
	cr_expect_eq(commits, 0);
	cr_expect_eq(runs, 2);
	cr_expect_eq(rows_of("t"), 0);
	expect_idle();
}

/* A group behind a commit of another process. */
static void commit_behind_a_foreigner(int id)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);
	struct job *job = insert(id);

	bare_sql(other, "INSERT INTO t DEFAULT VALUES");
	group_commit(writer, &job, 1);
	cr_expect_eq((int)job->failure.code, 0);
	database_disconnect(&bare.database, other);
}

Test(group, foreign_commits_are_counted_and_warned_of_where_they_harm)
{
	struct job *job = insert(5);

	sqlite_version = 3051003;
	commit_behind_a_foreigner(10);
	cr_expect_eq(writer->counters.foreign_commits, 1);
	cr_expect_not(writer->warned_of_foreigners);
	sqlite_version = 3051002;
	group_commit(writer, &job, 1);
	cr_expect_eq(writer->counters.foreign_commits, 1);
	cr_expect_not(writer->warned_of_foreigners);
	commit_behind_a_foreigner(20);
	cr_expect_eq(writer->counters.foreign_commits, 2);
	cr_expect(writer->warned_of_foreigners);
	commit_behind_a_foreigner(30);
	cr_expect_eq(writer->counters.foreign_commits, 3);
}

/* ---- groups that are torn down ------------------------------------------------------------ */

#define TEARS "INSERT OR ROLLBACK INTO t VALUES (1), (1)"

Test(group, who_tears_it_down_is_answered_first_and_the_others_run_again)
{
	struct job *members[4] = {insert(1), insert(2), update(TEARS), insert(3)};
	struct job *culprit = members[2];
	struct job *others[3] = {members[0], members[1], members[3]};

	cr_expect_eq(group_commit(writer, members, 4), 4);
	cr_expect_eq(posted_count, 4);
	cr_expect_eq(posted[0], culprit);
	expect_failed(culprit, POOLITE_CONSTRAINT);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(posted[1 + i], others[i], "%d", i);
		cr_expect_eq((int)others[i]->failure.code, 0);
	}
	/* One answer, though they ran twice. */
	cr_expect_eq(others[0]->answer.len, others[2]->answer.len);
	cr_expect_eq(runs, 3 + 3);
	cr_expect_eq(rows_of("t"), 3);
	cr_expect_eq(commits, 1);
	cr_expect_eq(writer->counters.group_replays, 1);
	cr_expect_eq(writer->counters.groups, 1);
	cr_expect(writer->has_lone_texts);
}

Test(group, who_tears_down_what_is_its_own_alone_is_no_replay)
{
	struct job *culprit = update(TEARS);
	struct job *members[1] = {culprit};

	cr_expect_eq(group_commit(writer, members, 1), 1);
	cr_expect_eq(posted_count, 1);
	expect_failed(culprit, POOLITE_CONSTRAINT);
	cr_expect_eq(writer->counters.group_replays, 0);
	cr_expect_eq(commits, 0);
}

Test(group, replay_leaves_nobody_over)
{
	struct job *members[4] = {update(TEARS), insert(1), insert(2), insert(3)};

	behind_run(2, take_longer_than_a_group_may);
	cr_expect_eq(group_commit(writer, members, 4), 4);
	cr_expect_eq(posted_count, 4);
	cr_expect_eq(rows_of("t"), 3);
	cr_expect_eq(commits, 1);
}

/* What it wrote is in the file, rolled back; the others have to wait for a checkpoint. */
Test(group, who_tears_it_down_and_fills_the_wal_leaves_the_others_over)
{
	struct job *members[4] = {insert(1), insert(2), update(TEARS), insert(3)};
	struct job *original[4];

	memcpy(original, members, sizeof original);
	bare.database.wal_bytes_max = connection_wal_bytes(writer->connection);
	members[1]->finish_by_ns = clock_now(&bare.clock) + CLOCK_NS_PER_SEC;
	behind_run(1, let_ten_seconds_pass);
	cr_assert_eq(group_commit(writer, members, 4), 1);
	cr_expect_eq(posted_count, 1);
	cr_expect_eq(posted[0], original[2]);
	expect_failed(posted[0], POOLITE_CONSTRAINT);
	cr_expect_eq(commits, 0);
	/* Those left over stand behind it, in their order: whoever called puts them back. */
	cr_expect_eq(members[0], original[2]);
	cr_expect_eq(members[1], original[0]);
	cr_expect_eq(members[2], original[1]);
	cr_expect_eq(members[3], original[3]);
	bare.database.wal_bytes_max = INT64_MAX;
	cr_expect_eq(group_commit(writer, members + 1, 3), 3);
	cr_expect_eq(posted_count, 4);
	cr_expect_eq(rows_of("t"), 3);
}

Test(group, time_lost_through_a_culprit_is_forgiven)
{
	struct job *members[3] = {update(TEARS), insert(1), insert(2)};
	int64_t soon_ns = clock_now(&bare.clock) + CLOCK_NS_PER_SEC;

	members[1]->finish_by_ns = soon_ns;
	members[2]->wait_until_ns = soon_ns;
	behind_run(1, let_ten_seconds_pass);
	cr_expect_eq(group_commit(writer, members, 3), 3);
	cr_expect_eq(rows_of("t"), 2);
	cr_expect_eq(members[1]->finish_by_ns, soon_ns + 10 * CLOCK_NS_PER_SEC);
	cr_expect_eq(members[2]->wait_until_ns, soon_ns + 10 * CLOCK_NS_PER_SEC);
	cr_expect_eq(members[1]->wait_until_ns, CLOCK_NEVER);
	for (size_t i = 1; i < posted_count; i++)
		cr_expect_eq((int)posted[i]->failure.code, 0);
}

Test(group, after_three_replays_the_rest_runs_one_by_one)
{
	struct job *members[7] = {insert(2), update(TEARS), update(TEARS), update(TEARS),
	    update(TEARS), update(TEARS), insert(3)};
	struct job *original[7];
	/* The three that tore it down, then the others as they stood. */
	static const int order[7] = {1, 2, 3, 0, 4, 5, 6};

	memcpy(original, members, sizeof original);
	cr_expect_eq(group_commit(writer, members, 7), 7);
	cr_expect_eq(posted_count, 7);
	for (int i = 0; i < 7; i++)
		cr_expect_eq(posted[i], original[order[i]], "%d", i);
	for (int i = 1; i < 6; i++)
		expect_failed(original[i], POOLITE_CONSTRAINT);
	cr_expect_eq((int)original[0]->failure.code, 0);
	cr_expect_eq((int)original[6]->failure.code, 0);
	cr_expect_eq(rows_of("t"), 2);
	cr_expect_eq(commits, 2, "each with its own");
	cr_expect_eq(writer->counters.group_replays, 3);
	cr_expect_eq(writer->counters.largest_group, 1);
}

Test(group, end_of_the_transaction_without_an_error_is_our_own_bug)
{
	struct job *members[2], *culprit;

	inserts(members, 2);
	culprit = members[0];
	behind_run(1, end_the_transaction);
	cr_expect_eq(group_commit(writer, members, 2), 2);
	cr_expect_eq(posted_count, 2);
	cr_expect_eq(posted[0], culprit);
	cr_expect_eq((int)culprit->failure.code, (int)POOLITE_INTERNAL);
	cr_expect_eq((int)posted[1]->failure.code, 0);
	cr_expect_eq(rows_of("t"), 1);
}

/* ---- COMMITs that one member spoils, nobody knows which ------------------------------------- */

Test(group, spoilt_commit_is_halved_until_the_culprit_stands_alone)
{
	struct job *members[5], *original[5];

	inserts(members, 5);
	memcpy(original, members, sizeof original);
	/* all five; the first two; the first; the second; the other three */
	memcpy(commit_codes,
	    (int[]){POOLITE_CONSTRAINT, POOLITE_CONSTRAINT, 0, POOLITE_CONSTRAINT, 0},
	    5 * sizeof *commit_codes);
	cr_expect_eq(group_commit(writer, members, 5), 5);
	cr_expect_eq(posted_count, 5);
	for (int i = 0; i < 5; i++) {
		cr_expect_eq(posted[i], original[i], "%d", i);
		if (i != 1)
			cr_expect_eq((int)original[i]->failure.code, 0, "%d", i);
	}
	expect_failed(original[1], POOLITE_CONSTRAINT);
	cr_expect_eq(commits, 5);
	cr_expect_eq(rows_of("t"), 4);
	cr_expect_eq(writer->counters.group_replays, 2);
	cr_expect_eq(writer->counters.groups, 2);
	cr_expect_eq(writer->counters.largest_group, 3);
	expect_idle();
}

Test(group, halves_that_have_no_time_for_all_go_on_until_all_are_done)
{
	struct job *members[6];

	inserts(members, 6);
	commit_codes[0] = POOLITE_CONSTRAINT;
	behind_run(7, take_longer_than_a_group_may); /* the first of the first half */
	cr_expect_eq(group_commit(writer, members, 6), 6);
	expect_posted_ok(members, 6);
	cr_expect_eq(rows_of("t"), 6);
	cr_expect_eq(commits, 1 + 2 + 1);
}

Test(group, halves_hold_only_those_that_had_run)
{
	struct job *members[4];

	inserts(members, 4);
	commit_codes[0] = POOLITE_CONSTRAINT;
	behind_run(2, take_longer_than_a_group_may);
	cr_expect_eq(group_commit(writer, members, 4), 2);
	expect_posted_ok(members, 2);
	cr_expect_eq(rows_of("t"), 2);
	job_free(members[2]);
	job_free(members[3]);
}

/* ---- scripts with foreign keys off ------------------------------------------------------------ */

static void expect_keys_on(void)
{
	struct job *job = update("INSERT INTO child VALUES (777)");

	group_commit(writer, &job, 1);
	expect_failed(job, POOLITE_CONSTRAINT);
}

Test(group, script_without_keys_may_break_and_mend_them)
{
	struct job *job =
	    script_without_keys("INSERT INTO child VALUES (5); INSERT INTO t VALUES (5)");

	group_run_keys_off(writer, job);
	expect_posted_ok(&job, 1);
	cr_expect_eq(rows_of("child"), 1);
	cr_expect_eq(switches, 2);
	cr_expect_eq(writer->counters.groups, 1);
	expect_idle();
	expect_keys_on();
}

Test(group, script_whose_second_statement_fails_is_undone)
{
	struct job *job =
	    script_without_keys("INSERT INTO t VALUES (5); INSERT INTO t VALUES (5)");

	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_CONSTRAINT);
	cr_expect_eq(rows_of("t"), 0);
	cr_expect_eq(commits, 0);
	expect_idle();
	expect_keys_on();
}

Test(group, script_that_leaves_a_violation_is_undone)
{
	struct job *job =
	    script_without_keys("INSERT INTO t VALUES (5); INSERT INTO child VALUES (6)");

	/* One that was there before. */
	cr_assert(connection_set_foreign_keys(writer->connection, false));
	run_sql("INSERT INTO child VALUES (4)");
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_CONSTRAINT);
	cr_expect_eq(job->failure.sqlite, 787);
	cr_expect_not_null(strstr(job->failure.message, "1 rows more"));
	cr_expect_eq(rows_of("t") + rows_of("child"), 1);
	cr_expect_eq(commits, 0);
	expect_idle();
	expect_keys_on();
}

Test(group, script_that_cannot_commit_says_so)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	commit_codes[0] = POOLITE_STORAGE;
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_STORAGE);
	cr_expect_eq(writer->counters.groups, 0);
	expect_keys_on();
}

Test(group, late_script_is_refused_and_not_run)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	job->finish_by_ns = clock_now(&bare.clock);
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_POOL_TIMEOUT);
	cr_expect_eq(runs, 0);
	cr_expect_eq(rows_of("t"), 0);
}

Test(group, script_is_refused_where_writes_are)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	meet_damage();
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_CORRUPT);
	cr_expect_eq(runs, 0);
}

Test(group, script_s_deadline_holds_for_the_check_before_it)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	run_sql(
	    "WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + 1 FROM n LIMIT 999) "
	    "INSERT INTO t SELECT i FROM n");
	run_sql("INSERT INTO child SELECT id FROM t");
	bare.settings.query_timeout_ns = 0;
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_QUERY_TIMEOUT);
	cr_expect_eq(runs, 0);
	cr_expect_eq(commits, 0);
	expect_idle();
}

Test(group, script_s_deadline_holds_for_the_check_behind_it)
{
	struct job *job =
	    script_without_keys("WITH RECURSIVE n(i) AS (SELECT 100 UNION ALL SELECT i + "
				"1 FROM n LIMIT 999) INSERT INTO t SELECT i FROM n;"
				"INSERT INTO child SELECT id FROM t");

	job->finish_by_ns = clock_now(&bare.clock) + CLOCK_NS_PER_SEC;
	behind_run(1, let_ten_seconds_pass);
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_QUERY_TIMEOUT);
	cr_expect_eq(rows_of("t"), 0);
	cr_expect_eq(commits, 0);
	expect_idle();
}

Test(group, script_whose_keys_stay_on_is_not_run)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	failing_switch = 1;
	group_run_keys_off(writer, job);
	cr_expect_eq(posted_count, 1);
	expect_failed(job, POOLITE_INTERNAL);
	cr_expect_eq(runs, 0);
}

Test(group, connection_whose_keys_stay_off_is_replaced)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");

	failing_switch = 2;
	group_run_keys_off(writer, job);
	expect_posted_ok(&job, 1);
	cr_expect_eq(bare.database.connections_created, 2);
	cr_expect_eq(bare.database.connections_open, 1);
	cr_expect_eq(rows_of("t"), 1);
	expect_keys_on();
}

static struct holder seen;

static void look_who_holds_the_writer(void)
{
	seen = writer_holder(writer);
}

Test(group, member_holds_the_writer_until_it_is_answered)
{
	struct job *job = insert(5);
	struct session session = {.id = 42};

	job->session = &session;
	behind_run(1, look_who_holds_the_writer);
	group_commit(writer, &job, 1);
	expect_posted_ok(&job, 1);
	cr_expect(seen.is_held);
	cr_expect_not(held_when_posted);
}

Test(group, script_without_keys_holds_the_writer)
{
	struct job *job = script_without_keys("INSERT INTO t VALUES (5)");
	struct session session = {.id = 42};

	job->session = &session;
	behind_run(1, look_who_holds_the_writer);
	group_run_keys_off(writer, job);
	expect_posted_ok(&job, 1);
	cr_expect(seen.is_held);
	cr_expect_eq(seen.session, 42);
	cr_expect_not(held_when_posted);
}
