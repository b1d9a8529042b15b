#include "broker/reader.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/lease.h"
#include "broker/log.h"
#include "broker/priority.h"
#include "broker/thread.h"

/* The connection has failed in a way that a fresh one may not. */
static bool is_broken(const struct poolite__failure *failure)
{
	return failure->code == POOLITE_STORAGE || failure->code == POOLITE_CORRUPT ||
	    (failure->code == POOLITE_OVERLOADED && failure->sqlite);
}

static void read_plain(struct reader *reader, struct job *job)
{
	struct work_place place = {0};
	bool has_savepoint;
	int rc;

	if (job_is_late(job, clock_now(reader->database->clock)))
		return;
	rc = work_run(reader->database, reader->connection, job, &place, &has_savepoint);
	job->needs_writer = rc == EXECUTE_ELSEWHERE;
}

/* `transaction` of reads alone: one snapshot for all of it. */
static void read_transaction(struct reader *reader, struct job *job)
{
	if (connection_begin_read(reader->connection, &job->failure))
		return;
	read_plain(reader, job);
	connection_rollback(reader->connection);
}

static void run(struct reader *reader, struct job *job)
{
	struct database *database = reader->database;
	bool is_plain = job_is_plain(job);

	if (job->kind == JOB_CHECK)
		connection_check(reader->connection, &job->failure);
	else if (is_plain && job->request.method == POOLITE__TRANSACTION)
		read_transaction(reader, job);
	else if (is_plain)
		read_plain(reader, job);
	else if (job->cursor && !job->in_transaction)
		lease_page(database, reader->connection, job);
	else if (job->request.method == POOLITE__BEGIN && !job->in_transaction)
		lease_begin(database, reader->connection, job);
	else
		lease_run(database, reader->connection, job, false);
	job->breaks_reader = is_broken(&job->failure) ||
	    (job->has_ended && !connection_is_clean(reader->connection));
	if (is_plain)
		atomic_fetch_sub(&database->gate.reading, 1);
}

static struct job *next_job(struct reader *reader)
{
	struct job *job;

	pthread_mutex_lock(&reader->mutex);
	while (!reader->job && !reader->is_stopping)
		pthread_cond_wait(&reader->wake, &reader->mutex);
	job = reader->job;
	reader->job = NULL;
	pthread_mutex_unlock(&reader->mutex);
	return job;
}

static void *serve(void *context)
{
	struct reader *reader = context;
	struct connection *connection = NULL;
	struct poolite__failure failure = {0};
	struct job *job;

	priority_give_way();
	database_cap_thread(reader->database);
	if (database_connect(reader->database, CONNECTION_READER, &connection, &failure))
		log_warning("reader %u: cannot open a connection: %s", reader->number,
		    failure.message);
	pthread_mutex_lock(&reader->mutex);
	reader->connection = connection;
	pthread_mutex_unlock(&reader->mutex);

	while ((job = next_job(reader))) {
		if (connection) {
			run(reader, job);
		} else {
			job->failure = failure;
			job->breaks_reader = true;
			if (job_is_plain(job))
				atomic_fetch_sub(&reader->database->gate.reading, 1);
		}
		job_finish(job);
	}

	pthread_mutex_lock(&reader->mutex);
	reader->connection = NULL;
	pthread_mutex_unlock(&reader->mutex);
	if (connection)
		connection_rollback(connection);
	database_disconnect(reader->database, connection);
	return NULL;
}

struct reader *reader_start(struct database *database, unsigned number)
{
	struct reader *reader = calloc(1, sizeof *reader);

	if (!reader)
		return NULL;
	reader->database = database;
	reader->number = number;
	reader->last_used_ns = clock_now(database->clock);
	pthread_mutex_init(&reader->mutex, NULL);
	pthread_cond_init(&reader->wake, NULL);
	if (thread_start(&reader->thread, serve, reader)) {
		pthread_mutex_destroy(&reader->mutex);
		pthread_cond_destroy(&reader->wake);
		free(reader);
		return NULL;
	}
	return reader;
}

void reader_submit(struct reader *reader, struct job *job)
{
	job->reader = reader;
	if (job_is_plain(job))
		atomic_fetch_add(&reader->database->gate.reading, 1);
	pthread_mutex_lock(&reader->mutex);
	assert(!reader->job);
	reader->job = job;
	pthread_mutex_unlock(&reader->mutex);
	pthread_cond_signal(&reader->wake);
}

void reader_nudge(struct reader *reader)
{
	pthread_mutex_lock(&reader->mutex);
	if (reader->connection)
		connection_nudge(reader->connection);
	pthread_mutex_unlock(&reader->mutex);
}

void reader_stop(struct reader *reader)
{
	pthread_mutex_lock(&reader->mutex);
	reader->is_stopping = true;
	pthread_cond_signal(&reader->wake);
	pthread_mutex_unlock(&reader->mutex);
	pthread_join(reader->thread, NULL);
	pthread_mutex_destroy(&reader->mutex);
	pthread_cond_destroy(&reader->wake);
	free(reader);
}
