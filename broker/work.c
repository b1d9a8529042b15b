#include "broker/work.h"

#include <sys/resource.h>

#include "broker/db/pages.h"
#include "broker/db/steady.h"
#include "broker/routes.h"
#include "proto/answer.h"
#include "proto/script.h"
#include "proto/transaction.h"

/* A first run, compiling included, that is taken as a sign that later ones fit the loop's budget. */
#define SHORT_TIME_NS      INT64_C(1000000)
#define SHORT_RESULT_BYTES ((size_t)32 << 10)

static int open_savepoint(struct connection *connection, struct poolite__failure *failure)
{
	return connection_savepoint(connection, failure);
}

static struct execution execution_of(
    const struct job *job, const struct work_place *place)
{
	return (struct execution){
	    .sql = job->request.sql,
	    .sql_len = job->request.sql_len,
	    .args = job->request.args,
	    .where = place->in_session ? EXECUTE_SESSION : EXECUTE_PLAIN,
	    .result =
		job->request.method == POOLITE__QUERY ? EXECUTE_ROWS : EXECUTE_CHANGES,
	    .read_only = job->read_only,
	    .can_write = place->can_write,
	    .before_write = place->opens_savepoint ? open_savepoint : NULL,
	};
}

static int run_statement(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct execution execution = execution_of(job, place);
	int rc = execute_statement(connection, &execution, &job->answer, &job->failure);

	job->is_write = execution.is_write;
	*has_savepoint = execution.has_savepoint;
	return rc;
}

static int run_page(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct execution execution = execution_of(job, place);
	int rc = pages_open(connection, job->cursor, job->request.options.page_rows,
	    &execution, &job->answer, &job->failure);

	job->is_write = execution.is_write;
	*has_savepoint = execution.has_savepoint;
	return rc;
}

static int run_close(struct connection *connection, struct job *job)
{
	int rc = pages_close(connection, job->request.cursor, &job->failure);

	if (rc == 0)
		poolite__buf_append(&job->answer, "\xc0", 1); /* nil */
	return rc;
}

/* A batch's rows from the first one that is not committed on: all of them, or a chunk. */
static struct execute_rows rows_of(const struct job *job, const struct work_place *place)
{
	const struct poolite__request *request = &job->request;
	uint32_t chunk_rows = request->options.chunk_rows;
	struct execute_rows rows = {
	    .at = job->chunks.rows_done ? job->chunks.rest : request->list,
	    .before = job->chunks.rows_done,
	    .count = request->list_count - job->chunks.rows_done,
	    .total = request->list_count,
	};

	/* Elsewhere nothing is committed. */
	if (place->can_write && chunk_rows && rows.count > chunk_rows)
		rows.count = chunk_rows;
	return rows;
}

static int run_batch(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct execution execution = execution_of(job, place);
	struct execute_rows rows = rows_of(job, place);
	struct job_chunks *ahead = &job->ahead;
	int rc = execute_batch(connection, &execution, &rows, &job->failure);

	job->is_write = execution.is_write;
	*has_savepoint = execution.has_savepoint;
	if (rc)
		return rc;
	*ahead = job->chunks;
	ahead->rest = rows.at;
	ahead->rows_done += rows.count;
	ahead->changes += execution.changes;
	if (execution.changes > 0)
		ahead->last_insert_id = execution.last_insert_id;
	poolite__pack_changes(&job->answer, ahead->changes, ahead->last_insert_id);
	return 0;
}

/* For what runs several texts: one savepoint around them all. */
static int open_around(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	int rc = 0;

	if (place->opens_savepoint) {
		rc = connection_savepoint(connection, &job->failure);
		*has_savepoint = rc == 0;
	}
	return rc;
}

static int run_transaction(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct poolite__reader list = job->request.list;
	uint32_t count = job->request.list_count;
	int rc = open_around(connection, job, place, has_savepoint);

	poolite__pack_results(&job->answer, count);
	for (uint32_t i = 1; rc == 0 && i <= count; i++) {
		struct poolite__statement statement;
		struct execution execution = execution_of(job, place);
		execution.before_write = NULL;
		execution.where = EXECUTE_COMPOUND;
		execution.result = EXECUTE_EITHER;
		rc =
		    poolite__read_transaction_statement(&list, &statement, &job->failure);
		if (rc == 0) {
			execution.sql = statement.sql;
			execution.sql_len = statement.sql_len;
			execution.args = statement.sent;
			rc = execute_statement(
			    connection, &execution, &job->answer, &job->failure);
			job->is_write |= execution.is_write;
		}
		if (rc < 0)
			execute_name_part(&job->failure, "statement", i, count);
	}
	return rc;
}

static int run_script(struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct poolite__buf text;
	struct execute_script script = {
	    .sql_len = job->request.sql_len,
	    .in_session = place->in_session,
	    .read_only = job->read_only,
	};
	int rc;

	job->is_write = true;
	/* SQLite copies what does not end in a NUL, once per statement. */
	poolite__buf_init(&text, SIZE_MAX, job->budget);
	poolite__buf_append(&text, job->request.sql, job->request.sql_len);
	if (poolite__buf_append(&text, "", 1)) {
		poolite__buf_release(&text);
		return poolite__fail(&job->failure, POOLITE_OVERLOADED,
		    "no memory for the script (max_buffered_bytes, max_user_buffered_bytes)");
	}
	script.sql = (const char *)text.data;
	rc = open_around(connection, job, place, has_savepoint);
	if (rc == 0)
		rc = execute_script(connection, &script, &job->failure);
	if (rc == 0)
		poolite__pack_script_result(
		    &job->answer, script.statements, script.changes);
	poolite__buf_release(&text);
	return rc;
}

/* What a thread has done by some moment. */
struct effort {
	int64_t wall_ns, processor_ns;
	long waits; /* for disks and locks */
};

static struct effort effort_now(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return (struct effort){
	    .wall_ns = clock_raw_ns(),
	    .processor_ns =
		(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * CLOCK_NS_PER_SEC +
		(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000,
	    .waits = usage.ru_nvcsw,
	};
}

/* Whether less than ${most_ns} passed since ${start}; what the machine gave to others
 * meanwhile does not count, or on a busy one every read were long. */
static bool took_little(struct effort start, int64_t most_ns)
{
	struct effort end = effort_now();

	return end.wall_ns - start.wall_ns < most_ns ||
	    (end.waits == start.waits && end.processor_ns - start.processor_ns < most_ns);
}

/* A query that has just run: whether its next run may be on the loop. */
static bool is_short(
    struct connection *connection, const struct job *job, struct effort start)
{
	return job->request.method == POOLITE__QUERY &&
	    took_little(start, SHORT_TIME_NS) && job->answer.len < SHORT_RESULT_BYTES &&
	    job->request.sql_len <= ROUTES_TEXT_BYTES &&
	    connection_is_steady(connection, job->request.sql, job->request.sql_len);
}

int work_run(struct database *database, struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint)
{
	struct effort start = {0};
	int rc;

	*has_savepoint = false;
	job->failure.code = POOLITE_OK;
	job->is_write = false;
	poolite__buf_truncate(&job->answer, 0);
	job->answer.max = database->settings->max_result_bytes + POOLITE__ENVELOPE_BYTES;
	poolite__pack_answer(&job->answer, job->request.msgid);
	job_start(job, clock_now(database->clock), database->settings->query_timeout_ns);

	if (job->examine)
		start = effort_now();
	connection_watch(connection, &job->stop);
	switch (job->request.method) {
	case POOLITE__BATCH: rc = run_batch(connection, job, place, has_savepoint); break;
	case POOLITE__TRANSACTION:
		rc = run_transaction(connection, job, place, has_savepoint);
		break;
	case POOLITE__SCRIPT:
		rc = run_script(connection, job, place, has_savepoint);
		break;
	case POOLITE__FETCH:
		rc = pages_fetch(connection, job->request.cursor,
		    job->request.options.page_rows, &job->answer, &job->failure);
		break;
	case POOLITE__CLOSE: rc = run_close(connection, job); break;
	default:
		rc = job->cursor ? run_page(connection, job, place, has_savepoint)
				 : run_statement(connection, job, place, has_savepoint);
		break;
	}
	connection_unwatch(connection);
	if (rc == 0 && job->examine && !job->is_write)
		job->is_short = is_short(connection, job, start);

	if (rc == 0 && job->answer.failed)
		rc = poolite__fail(&job->failure, (enum poolite_code)job->answer.failed,
		    "no room for the answer (max_result_bytes, max_buffered_bytes, "
		    "max_user_buffered_bytes)");
	if (rc)
		poolite__buf_release(&job->answer);
	if (job->failure.code == POOLITE_CORRUPT && rc)
		database_refuse_writes(database, POOLITE_CORRUPT,
		    "the database file is damaged; stop the broker and restore or recover the "
		    "file, writing on would make it worse");
	return rc;
}

int work_run_short(struct connection *connection, struct job *job, size_t result_bytes,
    int64_t budget_ns)
{
	static const struct work_place place = {0};
	struct execution execution = execution_of(job, &place);
	int rc;

	job->answer.max = result_bytes;
	poolite__pack_answer(&job->answer, job->request.msgid);
	connection_set_budget(connection, budget_ns);
	rc = execute_statement(connection, &execution, &job->answer, &job->failure);
	connection_set_budget(connection, 0);
	if (rc == EXECUTE_ELSEWHERE) /* the schema changed: it writes now */
		rc = POOLITE_READ_ONLY;
	if (rc)
		poolite__buf_release(&job->answer);
	return rc;
}

bool work_wants_keys_off(const struct job *job)
{
	return job->request.method == POOLITE__SCRIPT &&
	    (job->request.options.foreign_keys_off ||
		execute_script_wants_keys_off(job->request.sql, job->request.sql_len));
}
