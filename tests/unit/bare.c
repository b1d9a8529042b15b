#include "tests/unit/bare.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/db/execute.h"
#include "broker/net/completion.h"
#include "broker/writer.h"
#include "proto/statement.h"
#include "proto/transaction.h"

unsigned bare_failing_savepoint, bare_failing_release, bare_failing_undo;
struct poolite__failure bare_check_failure;
bool bare_stops_raw_clock, bare_begins_slowly;
_Atomic int64_t bare_raw_ns;

static bool collects_finished;
void (*bare_before_finish)(void);
static struct job_list finished;
static pthread_mutex_t finished_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t has_finished = PTHREAD_COND_INITIALIZER;

/* The linker sends the calls of others here (--wrap). */
int __real_connection_savepoint(struct connection *on, struct poolite__failure *failure);
int __wrap_connection_savepoint(struct connection *on, struct poolite__failure *failure);
int __real_connection_release(struct connection *on, struct poolite__failure *failure);
int __wrap_connection_release(struct connection *on, struct poolite__failure *failure);
int __real_connection_undo(struct connection *on, struct poolite__failure *failure);
int __wrap_connection_undo(struct connection *on, struct poolite__failure *failure);
int __real_connection_check(struct connection *on, struct poolite__failure *failure);
int __wrap_connection_check(struct connection *on, struct poolite__failure *failure);
int __real_connection_begin_write(
    struct connection *on, struct poolite__failure *failure);
int __wrap_connection_begin_write(
    struct connection *on, struct poolite__failure *failure);
int64_t __real_clock_raw_ns(void);
int64_t __wrap_clock_raw_ns(void);
void __real_completion_post(struct completion *completion, struct job *job);
void __wrap_completion_post(struct completion *completion, struct job *job);

static bool fails_now(unsigned *failing)
{
	return *failing > 0 && --*failing == 0;
}

static int no_memory(struct poolite__failure *failure)
{
	return poolite__fail(failure, POOLITE_OVERLOADED, "as the test wants it");
}

int __wrap_connection_savepoint(struct connection *on, struct poolite__failure *failure)
{
	return fails_now(&bare_failing_savepoint)
	    ? no_memory(failure)
	    : __real_connection_savepoint(on, failure);
}

int __wrap_connection_release(struct connection *on, struct poolite__failure *failure)
{
	return fails_now(&bare_failing_release) ? no_memory(failure)
						: __real_connection_release(on, failure);
}

int __wrap_connection_undo(struct connection *on, struct poolite__failure *failure)
{
	return fails_now(&bare_failing_undo) ? no_memory(failure)
					     : __real_connection_undo(on, failure);
}

int __wrap_connection_check(struct connection *on, struct poolite__failure *failure)
{
	if (bare_check_failure.code == 0)
		return __real_connection_check(on, failure);
	*failure = bare_check_failure;
	return failure->code;
}

int __wrap_connection_begin_write(struct connection *on, struct poolite__failure *failure)
{
	if (bare_begins_slowly)
		bare_raw_ns += GROUP_TIME_NS + 1;
	return __real_connection_begin_write(on, failure);
}

int64_t __wrap_clock_raw_ns(void)
{
	return bare_stops_raw_clock ? bare_raw_ns : __real_clock_raw_ns();
}

void __wrap_completion_post(struct completion *completion, struct job *job)
{
	if (!collects_finished) {
		__real_completion_post(completion, job);
		return;
	}
	if (bare_before_finish)
		bare_before_finish();
	pthread_mutex_lock(&finished_mutex);
	job_list_push(&finished, job);
	pthread_mutex_unlock(&finished_mutex);
	pthread_cond_signal(&has_finished);
}

void bare_collect_finished(void)
{
	collects_finished = true;
}

struct job *bare_wait_finished(void)
{
	struct job *job;

	pthread_mutex_lock(&finished_mutex);
	while (!finished.head)
		pthread_cond_wait(&has_finished, &finished_mutex);
	job = job_list_pop(&finished);
	pthread_mutex_unlock(&finished_mutex);
	return job;
}

void bare_open(struct bare *bare)
{
	struct poolite__failure failure;
	FILE *file;

	*bare = (struct bare){.folder = "/tmp/poolite-bare-XXXXXX"};
	cr_assert_not_null(mkdtemp(bare->folder));
	snprintf(bare->path, sizeof bare->path, "%s/db", bare->folder);
	file = fopen(bare->path, "w");
	cr_assert_not_null(file);
	fclose(file);
	clock_init(&bare->clock);
	bare->budget.max = SIZE_MAX;
	bare->settings = (struct settings){.synchronous = SYNCHRONOUS_FULL,
	    .foreign_keys = true,
	    .cache_bytes = 1 << 20,
	    .max_result_bytes = 1 << 20,
	    .query_timeout_ns = CLOCK_NEVER};
	bare->database = (struct database){.path = bare->path,
	    .wal_bytes_max = INT64_MAX,
	    .settings = &bare->settings,
	    .clock = &bare->clock,
	    .budget = &bare->budget};
	pthread_mutex_init(&bare->database.refusing, NULL);
	bare->connection = bare_connect(bare, CONNECTION_WRITER);
	bare_sql(bare->connection, "CREATE TABLE t (id INTEGER PRIMARY KEY)");
	bare_sql(bare->connection, "CREATE TABLE child (p REFERENCES t)");
	cr_assert_eq(connection_remember_files(bare->connection, &failure), 0);
	connection_saw_foreign_commit(bare->connection);
}

void bare_close(struct bare *bare)
{
	char command[96];

	database_disconnect(&bare->database, bare->connection);
	pthread_mutex_destroy(&bare->database.refusing);
	bare_no_job_is_left(&bare->budget);
	snprintf(command, sizeof command, "rm -r %s", bare->folder);
	cr_assert_eq(system(command), 0);
}

void bare_no_job_is_left(const struct poolite__budget *budget)
{
	if (budget->used == 0)
		return;
	fprintf(stderr, "behind the test: %zu bytes of jobs and answers are left\n",
	    (size_t)budget->used);
	abort(); /* in a .fini only this counts for Criterion */
}

struct connection *bare_connect(struct bare *bare, enum connection_role role)
{
	struct connection *connection;
	struct poolite__failure failure;

	cr_assert_eq(database_connect(&bare->database, role, &connection, &failure), 0,
	    "%s", failure.message);
	return connection;
}

/* Carry out ${sql}; what it answers is left in ${out}, an initialised buffer. */
static void execute(struct connection *connection, const char *sql,
    enum execute_result result, struct poolite__buf *out)
{
	struct execution execution = {.sql = sql,
	    .sql_len = strlen(sql),
	    .result = result,
	    .where = EXECUTE_SESSION,
	    .can_write = true};
	struct poolite__failure failure;

	poolite__buf_init(out, SIZE_MAX, NULL);
	cr_assert_eq(execute_statement(connection, &execution, out, &failure), 0,
	    "%s: %s", sql, failure.message);
}

void bare_sql(struct connection *connection, const char *sql)
{
	struct poolite__buf out;

	execute(connection, sql, EXECUTE_CHANGES, &out);
	poolite__buf_release(&out);
}

int bare_rows(struct connection *connection, const char *table)
{
	struct poolite__reader answer;
	struct poolite__result result;
	struct poolite__buf out;
	uint32_t columns;
	int64_t count;
	char sql[64];

	snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", table);
	execute(connection, sql, EXECUTE_ROWS, &out);
	answer = poolite__reader_over(out.data, out.len);
	cr_assert_eq(poolite__read_result(&answer, &result), 0);
	cr_assert_eq(poolite__read_array(&result.rows, &columns), 0);
	cr_assert_eq(poolite__read_int64(&result.rows, &count), 0);
	poolite__buf_release(&out);
	return (int)count;
}

struct job *bare_job(struct bare *bare, struct poolite__buf *message)
{
	struct job *job = job_create(message->data, message->len, &bare->budget);
	bool has_msgid;

	poolite__buf_release(message);
	cr_assert_not_null(job);
	cr_assert_eq(poolite__read_request(
			 job->message, job->message_len, &job->request, &has_msgid, NULL),
	    0);
	cr_assert_eq(poolite__read_params(&job->request, NULL), 0);
	return job;
}

struct job *bare_statement(
    struct bare *bare, enum poolite__method method, const char *sql)
{
	struct poolite__options options = {0};
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_statement(&message, 7, method, sql, strlen(sql), NULL, 0, &options);
	return bare_job(bare, &message);
}

struct job *bare_transaction(struct bare *bare, const char *first, const char *second)
{
	struct poolite__statement statements[] = {
	    {.sql = first, .sql_len = strlen(first)},
	    {.sql = second, .sql_len = strlen(second)}};
	struct poolite__options options = {0};
	struct poolite__buf message;

	poolite__buf_init(&message, SIZE_MAX, NULL);
	poolite__pack_transaction(&message, 7, statements, 2, &options);
	return bare_job(bare, &message);
}
