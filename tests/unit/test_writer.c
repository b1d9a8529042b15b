/* The writer: its thread and its connection, with jobs queued as the pool does; no pool,
 * no loop.  What stands in the queue together was put there together, so that what shares
 * a COMMIT does not depend on time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/db/internal.h"
#include "broker/net/session_internal.h"
#include "broker/writer.h"
#include "proto/script.h"
#include "tests/unit/bare.h"

#define JOBS_MAX (2 * GROUP_MEMBERS_MAX)

/* ---- connections that are opened, with a hand in between (the linker's --wrap) --------- */

static struct writer *writer;
static struct bare bare;
static struct job *jobs[JOBS_MAX]; /* of the test, in the order they were made */
static size_t jobs_count;
static bool is_opened_again; /* connections from now on take another's place */
static bool may_not_open;
static unsigned reopened;

int __real_connection_open(const struct connection_options *options,
    struct connection **connection, struct poolite__failure *failure);
int __wrap_connection_open(const struct connection_options *options,
    struct connection **connection, struct poolite__failure *failure);

int __wrap_connection_open(const struct connection_options *options,
    struct connection **connection, struct poolite__failure *failure)
{
	if (is_opened_again) {
		reopened++;
		cr_expect_null(writer->connection, "the loop may interrupt it");
		cr_expect_eq(bare.database.connections_open, 1, "the old one is there");
	}
	if (may_not_open)
		return poolite__fail(failure, POOLITE_STORAGE, "as the test wants it");
	return __real_connection_open(options, connection, failure);
}

static void set_up(void)
{
	struct poolite__failure failure;

	bare_open(&bare);
	bare.settings.checkpoint_pages = 1000;
	bare.settings.connection_timeout_ns = CLOCK_NEVER;
	bare.database.wal_bytes_max = (int64_t)1 << 30;
	bare_collect_finished();
	bare_stops_raw_clock = true;
	cr_assert_eq(
	    writer_start(&bare.database, &writer, &failure), 0, "%s", failure.message);
	is_opened_again = true;
}

static void tear_down(void)
{
	is_opened_again = false;
	writer_stop(writer);
	while (jobs_count > 0)
		job_free(jobs[--jobs_count]);
	bare_close(&bare);
}

TestSuite(writer_thread, .init = set_up, .fini = tear_down, .timeout = 20);

static struct job *note(struct job *job)
{
	jobs[jobs_count++] = job;
	return job;
}

static struct job *update(const char *sql)
{
	return note(bare_statement(&bare, POOLITE__UPDATE, sql));
}

static struct job *insert(int id)
{
	char sql[64];

	snprintf(sql, sizeof sql, "INSERT INTO t VALUES (%d)", id);
	return update(sql);
}

/* A request without a text. */
static struct job *request(enum poolite__method method)
{
	struct job *job = note(job_create("", 0, &bare.budget));

	job->request.msgid = 7;
	job->request.method = method;
	return job;
}

static struct job *health_check(void)
{
	struct job *job = request(POOLITE__QUERY);

	job->kind = JOB_CHECK;
	return job;
}

static struct job *script_without_keys(const char *sql)
{
	struct poolite__options options = {.foreign_keys_off = true};
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_script(&message, 7, sql, strlen(sql), &options);
	return note(bare_job(&bare, &message));
}

/* Queue all that the test has made from ${first} on, before the writer looks. */
static void submit_from(size_t first)
{
	pthread_mutex_lock(&writer->mutex);
	for (size_t i = first; i < jobs_count; i++)
		turns_push(&writer->waiting, jobs[i]);
	pthread_mutex_unlock(&writer->mutex);
	pthread_cond_signal(&writer->wake);
}

static void expect_ok(const struct job *job)
{
	cr_expect_eq((int)job->failure.code, 0, "%s", job->failure.message);
	cr_expect_gt(job->answer.len, 0);
}

static void expect_failed(const struct job *job, enum poolite_code code)
{
	cr_expect_eq((int)job->failure.code, (int)code, "%d: %s", (int)job->failure.code,
	    job->failure.message);
	cr_expect_eq(job->answer.len, 0, "an error, and an answer beside it");
}

/* The next one that comes back is ${job}. */
static void wait_for(const struct job *job)
{
	const struct job *finished = bare_wait_finished();

	cr_assert_eq(finished, job, "another one is back");
}

static void wait_for_all_from(size_t first)
{
	for (size_t i = first; i < jobs_count; i++) {
		wait_for(jobs[i]);
		expect_ok(jobs[i]);
	}
}

static void run(struct job *job)
{
	writer_submit(writer, job);
	wait_for(job);
}

static void run_leased(struct job *job)
{
	job->in_transaction = true;
	writer_submit_leased(writer, job);
	wait_for(job);
}

static void begin(void)
{
	run(request(POOLITE__BEGIN));
	expect_ok(jobs[jobs_count - 1]);
	cr_assert(writer->is_leased);
}

static void end_by(enum poolite__method method)
{
	struct job *end = request(method);

	run_leased(end);
	expect_ok(end);
	cr_expect(end->has_ended);
}

static int rows(void)
{
	return bare_rows(bare.connection, "t");
}

/* ---- what shares a COMMIT ---------------------------------------------------------------- */

Test(writer_thread, takes_what_waits_as_one_group)
{
	insert(1);
	insert(2);
	insert(3);
	submit_from(0);
	wait_for_all_from(0);
	cr_expect_eq(writer->counters.groups, 1);
	cr_expect_eq(writer->counters.members, 3);
	cr_expect_eq(rows(), 3);
}

Test(writer_thread, group_has_as_many_members_as_it_may)
{
	for (int i = 0; i < GROUP_MEMBERS_MAX + 5; i++)
		insert(i);
	submit_from(0);
	wait_for_all_from(0);
	cr_expect_eq(writer->counters.groups, 2);
	cr_expect_eq(writer->counters.largest_group, GROUP_MEMBERS_MAX);
}

Test(writer_thread, those_for_which_there_was_no_time_are_the_next_in_their_order)
{
	for (int i = 0; i < 5; i++)
		insert(i);
	bare_begins_slowly = true; /* a group has time for one */
	submit_from(0);
	wait_for_all_from(0);
	cr_expect_eq(writer->counters.groups, 5);
	cr_expect_eq(rows(), 5);
}

/* Two before, the one, two behind: how many groups that makes, the one not counted. */
static void expect_alone(void)
{
	wait_for_all_from(0);
	cr_expect_eq(writer->counters.members, writer->counters.groups + 2);
	cr_expect_eq(writer->counters.largest_group, 2);
}

Test(writer_thread, text_that_tore_a_group_down_runs_alone)
{
	insert(1);
	insert(2);
	writer_remember_lone(writer, insert(3));
	insert(4);
	insert(5);
	submit_from(0);
	expect_alone();
	cr_expect_eq(writer->counters.groups, 3);
	cr_expect_eq(rows(), 5);
}

Test(writer_thread, script_without_foreign_keys_runs_alone)
{
	insert(1);
	insert(2);
	script_without_keys("INSERT INTO child VALUES (99); INSERT INTO t VALUES (99)");
	insert(4);
	insert(5);
	submit_from(0);
	expect_alone();
	cr_expect_eq(writer->counters.groups, 3);
	cr_expect_eq(rows(), 5);
}

Test(writer_thread, health_check_comes_alone)
{
	insert(1);
	insert(2);
	health_check();
	insert(4);
	insert(5);
	submit_from(0);
	for (size_t i = 0; i < jobs_count; i++) {
		wait_for(jobs[i]);
		cr_expect_eq((int)jobs[i]->failure.code, 0);
	}
	cr_expect_eq(jobs[2]->answer.len, 0);
	cr_expect_eq(jobs[2]->started_ns, 0, "nothing but the check is to be run");
	cr_expect_eq(writer->counters.groups, 2);
	cr_expect_eq(rows(), 4);
}

/* ---- transactions ------------------------------------------------------------------------ */

Test(writer_thread, serves_only_who_began_until_the_commit)
{
	struct session session = {.id = 42, .peer = {.pid = 43, .uid = 44}};
	struct job *inside = NULL;
	struct holder holder;

	insert(1);
	request(POOLITE__BEGIN)->session = &session;
	insert(2);
	submit_from(0);
	wait_for(jobs[0]);
	wait_for(jobs[1]);
	expect_ok(jobs[1]);
	holder = writer_holder(writer);
	cr_expect(holder.is_held);
	cr_expect(holder.in_transaction);
	cr_expect_eq(holder.pid, 43);
	cr_expect_eq(holder.uid, 44);
	cr_expect_eq(holder.session, 42);
	cr_expect_eq((int)holder.method, (int)POOLITE__BEGIN);
	cr_expect_eq(writer->counters.transactions, 1);

	inside = insert(10);
	run_leased(inside);
	expect_ok(inside);
	cr_expect_not(inside->has_ended);
	cr_expect_eq(writer_waiting(writer), 1);
	cr_expect_eq(rows(), 1);
	end_by(POOLITE__COMMIT);
	wait_for(jobs[2]);
	expect_ok(jobs[2]);
	cr_expect_eq(rows(), 3);
	cr_expect_eq(writer->counters.groups, 2);
	cr_expect_eq(reopened, 0);
}

static bool is_held; /* when the last job came back */

static void look_whether_it_is_held(void)
{
	is_held = writer_holder(writer).is_held;
}

Test(writer_thread, who_is_answered_holds_it_only_while_its_transaction_is_open)
{
	struct session session = {.id = 42};
	struct job *begins[2] = {request(POOLITE__BEGIN), request(POOLITE__BEGIN)};
	struct job *end = request(POOLITE__COMMIT);

	begins[0]->session = begins[1]->session = end->session = &session;
	bare_before_finish = look_whether_it_is_held;
	run(begins[0]);
	expect_ok(begins[0]);
	cr_expect(is_held);
	run_leased(end);
	expect_ok(end);
	cr_expect_not(is_held);
	database_refuse_writes(&bare.database, POOLITE_CORRUPT, "damaged, says the test");
	is_held = true;
	run(begins[1]);
	expect_failed(begins[1], POOLITE_CORRUPT);
	cr_expect_not(is_held);
}

Test(writer_thread, begin_that_fails_holds_nobody_up)
{
	struct poolite__failure failure;
	struct job *refused = request(POOLITE__BEGIN);

	cr_assert_eq(connection_begin_write(bare.connection, &failure), 0);
	run(refused);
	expect_failed(refused, POOLITE_BUSY);
	connection_rollback(bare.connection);
	run(insert(1));
	cr_expect_eq(rows(), 1);
	cr_expect_eq(writer->counters.transactions, 0);
}

Test(writer_thread, does_not_begin_where_writes_are_refused)
{
	struct job *refused = request(POOLITE__BEGIN);

	database_refuse_writes(&bare.database, POOLITE_CORRUPT, "damaged, says the test");
	run(refused);
	expect_failed(refused, POOLITE_CORRUPT);
	cr_expect_not(writer->is_leased);
	cr_expect_not(connection_in_transaction(writer->connection));
	cr_expect_eq(writer->counters.transactions, 0);
}

/* ---- a connection that takes another's place ------------------------------------------------ */

/* As no client can: past the guard.  Only while it is leased: else its thread may use it,
 * for a checkpoint. */
static void leave_a_temp_table(void)
{
	writer->connection->guard.is_own = true;
	cr_assert_eq(sqlite3_exec(writer->connection->db, "CREATE TEMP TABLE l (x)", NULL,
			 NULL, NULL),
	    SQLITE_OK);
	writer->connection->guard.is_own = false;
}

Test(writer_thread, connection_on_which_something_is_left_is_replaced)
{
	struct job *inside, *next;

	begin();
	leave_a_temp_table();
	inside = insert(1);
	run_leased(inside);
	expect_ok(inside);
	cr_expect_eq(reopened, 0, "who left it may go on");
	end_by(POOLITE__COMMIT);
	cr_expect_eq(reopened, 1);
	next = insert(2);
	run(next);
	expect_ok(next);
	cr_expect_eq(rows(), 2);
	begin();
	end_by(POOLITE__COMMIT);
	cr_expect_eq(reopened, 1, "nothing is left on this one");
}

/* The only connection of the three files: its close must not delete one of them. */
Test(writer_thread, goes_on_writing_on_the_connection_that_took_another_s_place)
{
	struct job *next;

	database_disconnect(&bare.database, bare.connection);
	bare.connection = NULL;
	is_opened_again = false; /* that it is the only one is what is different here */
	begin();
	leave_a_temp_table();
	end_by(POOLITE__COMMIT);
	cr_expect_eq(bare.database.connections_open, 1);
	cr_expect_not(bare.database.refuses_writes, "%s", bare.database.why);
	next = insert(1);
	run(next);
	expect_ok(next);
}

Test(writer_thread, files_that_were_replaced_are_not_forgotten_with_the_connection)
{
	char command[256];
	struct job *next;

	snprintf(
	    command, sizeof command, "cd %s && cp db copy && mv copy db", bare.folder);
	begin();
	connection_rollback(writer->connection); /* or it would undo what is left, too */
	leave_a_temp_table();
	cr_assert_eq(system(command), 0);
	end_by(POOLITE__ROLLBACK);
	cr_expect_eq(reopened, 1);
	cr_expect(bare.database.refuses_writes);
	cr_expect_eq((int)bare.database.refusal, (int)POOLITE_STORAGE);
	next = insert(1);
	run(next);
	expect_failed(next, POOLITE_STORAGE);
}

/* A restart recovers; a broker without a writer would refuse every write for ever. */
Test(writer_thread, that_cannot_be_opened_again_ends_the_program,
    .exit_code = EXIT_FAILURE)
{
	struct job *end = request(POOLITE__COMMIT);

	begin();
	leave_a_temp_table();
	may_not_open = true;
	run_leased(end);
	_exit(EXIT_SUCCESS);
}

/* ---- health --------------------------------------------------------------------------------- */

static void expect_check(enum poolite_code code, int sqlite)
{
	struct job *job = health_check();

	poolite__fail(&bare_check_failure, code, "as the test wants it");
	bare_check_failure.sqlite = sqlite;
	run(job);
	cr_expect_eq((int)job->failure.code, (int)code);
}

Test(writer_thread, check_that_meets_what_passes_takes_writes_on)
{
	expect_check(POOLITE_OK, 0);
	expect_check(POOLITE_BUSY, SQLITE_BUSY);
	expect_check(POOLITE_OVERLOADED, SQLITE_NOMEM);
	cr_expect_not(bare.database.refuses_writes);
}

Test(writer_thread, check_that_meets_a_failing_disk_ends_the_writing)
{
	expect_check(POOLITE_STORAGE, SQLITE_IOERR);
	cr_expect_eq((int)bare.database.refusal, (int)POOLITE_STORAGE);
}

Test(writer_thread, check_that_meets_damage_ends_the_writing)
{
	expect_check(POOLITE_CORRUPT, SQLITE_CORRUPT);
	cr_expect_eq((int)bare.database.refusal, (int)POOLITE_CORRUPT);
}

Test(writer_thread, check_looks_at_the_files_too)
{
	struct job *job = health_check();
	char away[128];

	snprintf(away, sizeof away, "%s-away", bare.path);
	cr_assert_eq(rename(bare.path, away), 0);
	run(job);
	expect_failed(job, POOLITE_STORAGE);
	cr_expect_eq((int)bare.database.refusal, (int)POOLITE_STORAGE);
	cr_expect_not_null(strstr(bare.database.why, "moved"));
}
