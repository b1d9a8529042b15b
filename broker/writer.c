#include "broker/writer.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/checkpoint.h"
#include "broker/failpoint.h"
#include "broker/group.h"
#include "broker/lease.h"
#include "broker/log.h"
#include "broker/net/session.h"
#include "broker/priority.h"
#include "broker/thread.h"
#include "proto/transaction.h"

/* While the WAL holds pages that a reader still pins, look again this often. */
#define IDLE_RETRY_NS CLOCK_NS_PER_SEC
/* While the WAL is at its limit. */
#define ROOM_RETRY_NS (20 * CLOCK_NS_PER_MS)

/* A transaction is told by so many of its texts. */
#define LONE_STATEMENTS 64

/* ---- lone texts ------------------------------------------------------------ */

static uint64_t hash_text(const char *sql, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)sql[i]) * UINT64_C(1099511628211);
	return hash;
}

/* What a job executes: its text, or all of a transaction's.  0: nothing that can be told. */
static uint64_t hash_texts(const struct job *job)
{
	struct poolite__reader list = job->request.list;
	uint64_t hash = 1;

	if (job->request.sql)
		return hash_text(job->request.sql, job->request.sql_len) | 1;
	if (job->request.method != POOLITE__TRANSACTION)
		return 0;
	for (uint32_t i = 0; i < job->request.list_count && i < LONE_STATEMENTS; i++) {
		struct poolite__statement statement;
		if (poolite__read_transaction_statement(&list, &statement, NULL))
			return 0;
		hash = hash * 31 + hash_text(statement.sql, statement.sql_len);
	}
	return hash | 1;
}

static bool is_lone(const struct writer *writer, const struct job *job)
{
	uint64_t hash;

	if (!writer->has_lone_texts)
		return false;
	hash = hash_texts(job);
	return hash && writer->lone_texts[hash % WRITER_LONE_TEXTS] == hash;
}

void writer_remember_lone(struct writer *writer, const struct job *job)
{
	uint64_t hash = hash_texts(job);

	if (!hash)
		return;
	writer->has_lone_texts = true;
	writer->lone_texts[hash % WRITER_LONE_TEXTS] = hash;
}

/* ---- who has it ------------------------------------------------------------ */

void writer_hold(struct writer *writer, const struct job *job, bool in_transaction)
{
	struct holder holder = {0};

	if (job && job->session) {
		struct session_peer peer = session_peer(job->session);
		holder = (struct holder){
		    .is_held = true,
		    .in_transaction = in_transaction,
		    .pid = peer.pid,
		    .uid = peer.uid,
		    .session = session_id(job->session),
		    .method = job->request.method,
		    .since_ns = clock_now(writer->database->clock),
		};
	}
	pthread_mutex_lock(&writer->mutex);
	writer->holder = holder;
	pthread_mutex_unlock(&writer->mutex);
}

struct holder writer_holder(struct writer *writer)
{
	struct holder holder;

	pthread_mutex_lock(&writer->mutex);
	holder = writer->holder;
	pthread_mutex_unlock(&writer->mutex);
	return holder;
}

/* ---- the thread ------------------------------------------------------------ */

static void set_connection(struct writer *writer, struct connection *connection)
{
	pthread_mutex_lock(&writer->mutex); /* the loop may want to interrupt it */
	writer->connection = connection;
	pthread_mutex_unlock(&writer->mutex);
}

void writer_reopen(struct writer *writer)
{
	struct connection *old = writer->connection, *fresh = NULL;
	struct connection_files *files = connection_take_files(old);
	struct poolite__failure failure;

	/* The old one first: of two that write, neither must be there while the other is. */
	set_connection(writer, NULL);
	/* The last one to close the file would delete the -wal, which then is not the one
	 * that is remembered. */
	connection_leave_wal(old);
	database_disconnect(writer->database, old);
	if (database_connect(writer->database, CONNECTION_WRITER, &fresh, &failure)) {
		/* A restart recovers; going on without a writer does not. */
		log_and_exit("the writer's connection cannot be opened again: %s",
		    failure.message);
	}
	log_debug("writer: connection replaced");
	connection_give_files(fresh, files);
	set_connection(writer, fresh);
	if (connection_check_files(fresh, &failure))
		database_refuse_writes(
		    writer->database, POOLITE_STORAGE, failure.message);
}

static void deadline_after(struct timespec *until, int64_t span_ns)
{
	clock_gettime(CLOCK_MONOTONIC, until);
	span_ns += until->tv_nsec;
	until->tv_sec += span_ns / CLOCK_NS_PER_SEC;
	until->tv_nsec = span_ns % CLOCK_NS_PER_SEC;
}

/* Sleep until there is work; in between, with nothing else to do, checkpoints.
 * Mutex held. */
static void wait_for_work(struct writer *writer)
{
	int64_t pause_ns = CHECKPOINT_IDLE_NS;
	bool may_checkpoint = true;

	while (!writer->is_stopping &&
	    (writer->is_leased ? writer->leased.count : writer->waiting.count) == 0) {
		struct timespec until;
		if (writer->is_leased || !may_checkpoint) {
			pthread_cond_wait(&writer->wake, &writer->mutex);
			continue;
		}
		deadline_after(&until, pause_ns);
		if (pthread_cond_timedwait(&writer->wake, &writer->mutex, &until) == 0)
			continue;
		pthread_mutex_unlock(&writer->mutex);
		may_checkpoint = checkpoint_when_idle(writer);
		pause_ns = IDLE_RETRY_NS;
		pthread_mutex_lock(&writer->mutex);
	}
}

/* The longest run from the head that may share a COMMIT; a begin or a lone text
 * comes alone.  Mutex held. */
static size_t take(struct writer *writer, struct job **jobs)
{
	size_t count = 0;

	while (writer->waiting.count > 0 && count < GROUP_MEMBERS_MAX) {
		struct job *job = turns_peek(&writer->waiting);
		bool alone = job->kind != JOB_REQUEST ||
		    job->request.method == POOLITE__BEGIN || is_lone(writer, job) ||
		    work_wants_keys_off(job);
		if (alone && count > 0)
			break;
		jobs[count++] = turns_pop(&writer->waiting);
		if (alone)
			break;
	}
	return count;
}

static void give_back(struct writer *writer, struct job **jobs, size_t count)
{
	pthread_mutex_lock(&writer->mutex);
	while (count > 0)
		turns_push_front(&writer->waiting, jobs[--count]);
	pthread_mutex_unlock(&writer->mutex);
}

void writer_settle(struct writer *writer, struct job *job)
{
	int64_t now_ns = clock_now(writer->database->clock);
	int64_t wait_until_ns =
	    clock_after(now_ns, writer->database->settings->connection_timeout_ns);

	if (job->failure.code || !job_goes_on(job, now_ns, wait_until_ns)) {
		job_finish(job);
		return;
	}
	FAILPOINT("chunk_before_next");
	poolite__buf_release(&job->answer);
	atomic_fetch_add(&writer->counters.chunks, 1);
	pthread_mutex_lock(&writer->mutex);
	turns_push(&writer->waiting, job);
	pthread_mutex_unlock(&writer->mutex);
}

static void check(struct writer *writer, struct job *job)
{
	if (connection_check(writer->connection, &job->failure) == 0)
		connection_check_files(writer->connection, &job->failure);
	if (job->failure.code == POOLITE_STORAGE || job->failure.code == POOLITE_CORRUPT)
		database_refuse_writes(
		    writer->database, job->failure.code, job->failure.message);
	job_finish(job);
}

static void begin(struct writer *writer, struct job *job)
{
	writer_hold(writer, job, true);
	if (!database_refuses_writes(writer->database, &job->failure))
		lease_begin(writer->database, writer->connection, job);
	if (job->failure.code == 0) {
		atomic_fetch_add(&writer->counters.transactions, 1);
		pthread_mutex_lock(&writer->mutex);
		writer->is_leased = true;
		pthread_mutex_unlock(&writer->mutex);
	} else {
		writer_hold(writer, NULL, false);
	}
	job_finish(job);
}

static void run_leased(struct writer *writer, struct job *job)
{
	lease_run(writer->database, writer->connection, job, true);
	if (job->has_ended) {
		if (!connection_is_clean(writer->connection))
			writer_reopen(writer);
		pthread_mutex_lock(&writer->mutex);
		writer->is_leased = false;
		pthread_mutex_unlock(&writer->mutex);
		writer_hold(writer, NULL, false);
	}
	job_finish(job);
}

static void run_waiting(struct writer *writer, struct job **jobs, size_t count)
{
	size_t posted = 1;

	if (jobs[0]->kind == JOB_CHECK)
		check(writer, jobs[0]);
	else if (jobs[0]->request.method == POOLITE__BEGIN)
		begin(writer, jobs[0]);
	else if (work_wants_keys_off(jobs[0]))
		group_run_keys_off(writer, jobs[0]);
	else
		posted = group_commit(writer, jobs, count);
	if (posted < count)
		give_back(writer, jobs + posted, count - posted);
}

/* At wal_limit writes wait in the queue, each until its deadline.  Mutex held;
 * false: look again. */
static bool wait_for_room(struct writer *writer)
{
	struct timespec until;
	bool has_room;

	pthread_mutex_unlock(&writer->mutex);
	has_room = checkpoint_has_room(writer);
	pthread_mutex_lock(&writer->mutex);
	if (has_room || writer->is_stopping)
		return true;
	deadline_after(&until, ROOM_RETRY_NS);
	pthread_cond_timedwait(&writer->wake, &writer->mutex, &until);
	return false;
}

static void *serve(void *context)
{
	struct writer *writer = context;
	struct job *jobs[GROUP_MEMBERS_MAX];

	priority_wake_soon();
	database_cap_thread(writer->database);
	pthread_mutex_lock(&writer->mutex);
	for (;;) {
		size_t count = 1;

		wait_for_work(writer);
		if (!writer->is_leased && writer->waiting.count > 0 &&
		    !wait_for_room(writer))
			continue;
		if (writer->is_leased)
			jobs[0] = job_list_pop(&writer->leased);
		else
			count = take(writer, jobs);
		if (count == 0 || !jobs[0]) {
			if (writer->is_stopping)
				break;
			continue; /* it was taken back: late or cancelled */
		}
		pthread_mutex_unlock(&writer->mutex);
		if (writer->is_leased)
			run_leased(writer, jobs[0]);
		else
			run_waiting(writer, jobs, count);
		if (!writer->is_leased) {
			writer_hold(writer, NULL, false);
			checkpoint_after_commit(writer);
		}
		pthread_mutex_lock(&writer->mutex);
	}
	pthread_mutex_unlock(&writer->mutex);
	connection_rollback(writer->connection);
	checkpoint_at_stop(writer);
	return NULL;
}

/* ---- start and stop --------------------------------------------------------- */

/* A first transaction, so that all three files exist; then remember them. */
static int warm_up(struct writer *writer, struct poolite__failure *failure)
{
	int rc = connection_begin_write(writer->connection, failure);

	if (rc)
		return rc;
	FAILPOINT("start_before_first_rollback");
	connection_rollback(writer->connection);
	rc = connection_remember_files(writer->connection, failure);
	if (rc)
		return rc;
	connection_saw_foreign_commit(writer->connection);
	atomic_store(
	    &writer->counters.wal_bytes, connection_wal_bytes(writer->connection));
	return 0;
}

static void free_writer(struct writer *writer)
{
	database_disconnect(writer->database, writer->connection);
	pthread_mutex_destroy(&writer->mutex);
	pthread_cond_destroy(&writer->wake);
	free(writer);
}

int writer_start(
    struct database *database, struct writer **result, struct poolite__failure *failure)
{
	struct writer *writer = calloc(1, sizeof *writer);
	pthread_condattr_t attributes;
	int rc;

	*result = NULL;
	if (!writer)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	writer->database = database;
	writer->truncate_wait_ns = 100 * CLOCK_NS_PER_MS;
	writer->passive_at_pages = (int)database->settings->checkpoint_pages;
	pthread_mutex_init(&writer->mutex, NULL);
	pthread_condattr_init(&attributes);
	pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->wake, &attributes);
	pthread_condattr_destroy(&attributes);
	/* Opened here, used by the thread alone from its start on. */
	rc = database_connect(database, CONNECTION_WRITER, &writer->connection, failure);
	if (rc == 0)
		rc = warm_up(writer, failure);
	if (rc == 0 && thread_start(&writer->thread, serve, writer))
		rc = poolite__fail(failure, POOLITE_OVERLOADED, "cannot start a thread");
	if (rc) {
		free_writer(writer);
		return rc;
	}
	*result = writer;
	return 0;
}

void writer_stop(struct writer *writer)
{
	if (!writer)
		return;
	pthread_mutex_lock(&writer->mutex);
	writer->is_stopping = true;
	pthread_cond_signal(&writer->wake);
	pthread_mutex_unlock(&writer->mutex);
	pthread_join(writer->thread, NULL);
	free_writer(writer);
}

/* ---- the loop's side --------------------------------------------------------- */

void writer_submit(struct writer *writer, struct job *job)
{
	job->waits_for_reader = false;
	pthread_mutex_lock(&writer->mutex);
	turns_push(&writer->waiting, job);
	pthread_mutex_unlock(&writer->mutex);
	pthread_cond_signal(&writer->wake);
}

void writer_submit_leased(struct writer *writer, struct job *job)
{
	pthread_mutex_lock(&writer->mutex);
	job_list_push(&writer->leased, job);
	pthread_mutex_unlock(&writer->mutex);
	pthread_cond_signal(&writer->wake);
}

static bool is_late(struct job *job, int64_t now_ns)
{
	return job->kind == JOB_REQUEST && job_is_late(job, now_ns);
}

void writer_collect_late(struct writer *writer, int64_t now_ns, struct job_list *late)
{
	pthread_mutex_lock(&writer->mutex);
	turns_collect(&writer->waiting, is_late, now_ns, late);
	pthread_mutex_unlock(&writer->mutex);
}

size_t writer_waiting(struct writer *writer)
{
	size_t count;

	pthread_mutex_lock(&writer->mutex);
	count = writer->waiting.count;
	pthread_mutex_unlock(&writer->mutex);
	return count;
}

void writer_nudge(struct writer *writer)
{
	pthread_mutex_lock(&writer->mutex);
	if (writer->connection)
		connection_nudge(writer->connection);
	pthread_mutex_unlock(&writer->mutex);
}
