#include "broker/dispatch.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/statvfs.h>
#include <utlist.h>

#include "broker/at_once.h"
#include "broker/db/pages.h"
#include "broker/log.h"
#include "broker/overdue.h"
#include "broker/routing.h"
#include "broker/short_read.h"
#include "proto/answer.h"

static struct broker *broker_of(const struct session *session)
{
	return session_context(session);
}

/* A disk with less is full. */
#define DISK_ROOM_BYTES ((uint64_t)1 << 20)

/* What may lie unread before errors need room in the budget, like all else. */
#define UNREAD_ERROR_BYTES ((size_t)16 << 10)

/* ---- answers --------------------------------------------------------------- */

static void log_answer(const struct job *job, int64_t took_ns)
{
	if (!log_is_on(LOG_LEVEL_DEBUG))
		return;
	log_debug("session %llu: %s %u on %s: %s, %.3f ms",
	    (unsigned long long)session_id(job->session),
	    poolite__method_name(job->request.method), job->request.msgid,
	    job->reader           ? "a reader"
		: job->started_ns ? "the writer"
				  : "the loop",
	    job->failure.code ? poolite__code_name(job->failure.code) : "ok",
	    (double)took_ns / 1e6);
}

/*
 * An error as an answer.  Errors are small, and get through when the budget is
 * used up, but not to a client that lets its answers lie: that one is closed.
 */
static void pack_failure(struct session *session, uint32_t msgid,
    const struct poolite__failure *failure, struct poolite__buf *answer)
{
	const struct client *client = session_data(session);

	poolite__buf_release(answer);
	poolite__buf_init(answer, SIZE_MAX, &client->user->budget);
	poolite__pack_error_answer(answer, msgid, failure);
	if (!answer->failed)
		return;
	poolite__buf_release(answer);
	if (session_unread_bytes(session) > UNREAD_ERROR_BYTES) {
		session_abandon(session);
		return;
	}
	poolite__buf_init(answer, SIZE_MAX, NULL);
	poolite__pack_error_answer(answer, msgid, failure);
}

static bool has_written(const struct job *job)
{
	if (job->failure.code || job->reader)
		return false;
	return job->request.method == POOLITE__COMMIT ||
	    (job->is_write && !job->in_transaction);
}

/* SQLITE_FULL says the same of a table without a rowid left; and a write without an effect
 * succeeds on a full disk. */
static bool disk_has_room(const struct broker *broker)
{
	struct statvfs disk;

	return statvfs(broker->file.path, &disk) != 0 ||
	    (uint64_t)disk.f_bavail * disk.f_frsize >= DISK_ROOM_BYTES;
}

static void watch_disk(struct broker *broker, const struct job *job)
{
	bool is_full = !job->reader && job->failure.code == POOLITE_STORAGE &&
	    connection_is_disk_full(&job->failure) && !disk_has_room(broker);

	if (is_full && !broker->is_disk_full)
		log_warning(
		    "the disk is full: writes fail until there is space, reads go on");
	else if (broker->is_disk_full && has_written(job) && disk_has_room(broker))
		log_info("the disk has room again: writes go on");
	else
		return;
	broker->is_disk_full = is_full;
}

void dispatch_count(struct broker *broker, const struct job *job)
{
	int64_t now_ns = clock_now(&broker->clock);

	stats_count(&broker->stats, job->request.method, job->failure.code,
	    job->started_ns ? job->started_ns - job->received_ns : -1,
	    now_ns - job->received_ns);
	log_answer(job, now_ns - job->received_ns);
	watch_disk(broker, job);
}

void dispatch_answer(struct broker *broker, struct job *job)
{
	struct client *client = session_data(job->session);

	/* An answer for which there was no memory is none: the session ends over it. */
	assert(job->failure.code || job->answer.len > 0 || job->answer.failed);
	if (job->failure.code) {
		/* Whatever ended it: the chunks before that are in. */
		job->failure.rows_done = job->chunks.rows_done;
		pack_failure(
		    job->session, job->request.msgid, &job->failure, &job->answer);
	}
	dispatch_count(broker, job);
	DL_DELETE2(client->jobs, job, mate_prev, mate_next);
	client->user->requests--;
	session_end_request(job->session, job->message_len, &job->answer);
	job_free(job);
}

void dispatch_refuse(
    struct broker *broker, struct job *job, const struct poolite__failure *failure)
{
	job->failure = *failure;
	dispatch_answer(broker, job);
}

/* ---- plain requests --------------------------------------------------------- */

static void plain_done(struct job *job);

/* A statement that writes is never paged. */
static void submit_write(struct broker *broker, struct job *job)
{
	job->cursor = 0;
	job->done = plain_done;
	job->owner = broker;
	writer_submit(broker->pool.writer, job);
}

void dispatch_reroute(struct broker *broker, struct job *job)
{
	job->needs_writer = job->has_ended = false;
	job->reader = NULL;
	broker->stats.rerouted++;
	if (job->request.method == POOLITE__QUERY)
		routes_learn(
		    &broker->routes, job->request.sql, job->request.sql_len, ROUTE_WRITE);
	submit_write(broker, job);
}

static void keep_up_with_schema(struct broker *broker)
{
	routes_keep_up(&broker->routes, atomic_load(&broker->database.schema_seq));
}

static void plain_done(struct job *job)
{
	struct broker *broker = job->owner;

	pool_return(&broker->pool, job);
	if (job->needs_writer) {
		dispatch_reroute(broker, job);
	} else {
		overdue_name_holder(broker, job);
		keep_up_with_schema(broker);
		routing_learn(&broker->routes, job);
		dispatch_answer(broker, job);
	}
	pool_pump(&broker->pool);
}

/* Deadlines of the wait for a connection begin with the wait. */
static void start_waiting(struct broker *broker, struct job *job)
{
	job->wait_until_ns = clock_after(
	    clock_now(&broker->clock), broker->settings.connection_timeout_ns);
}

static bool refuse_after_grace(struct broker *broker, struct job *job)
{
	if (!broker->is_past_grace)
		return false;
	poolite__fail(&job->failure, POOLITE_SHUTTING_DOWN,
	    "the broker is stopping; nothing was done, send it again to its successor");
	return true;
}

/* What makes sense only inside a transaction, or with a cursor. */
static void refuse_out_of_place(struct job *job)
{
	switch (job->request.method) {
	case POOLITE__COMMIT:
	case POOLITE__ROLLBACK:
		poolite__fail(&job->failure, POOLITE_NO_TRANSACTION,
		    "%s without a begin before it",
		    poolite__method_name(job->request.method));
		break;
	case POOLITE__FETCH:
	case POOLITE__CLOSE:
		pages_fail_unknown(job->request.cursor, &job->failure);
		break;
	default: break;
	}
}

void dispatch_plain(struct broker *broker, struct job *job)
{
	enum route route;

	if (!job->failure.code)
		refuse_out_of_place(job);
	if (job->failure.code || refuse_after_grace(broker, job)) {
		dispatch_answer(broker, job);
		return;
	}
	start_waiting(broker, job);
	keep_up_with_schema(broker);
	route = routing_of(&broker->routes, job);
	if (job->read_only && route == ROUTE_WRITE)
		route = ROUTE_LONG; /* no writer is needed to be told that one may not */
	job->is_read = routing_is_read(route);
	if (route == ROUTE_WRITE) {
		submit_write(broker, job);
		return;
	}
	if (job->cursor) {
		cursor_open(broker, job);
		return;
	}
	if (route == ROUTE_SHORT) {
		if (fast_run(&broker->fast, job) == FAST_ANSWERED) {
			dispatch_answer(broker, job);
			return;
		}
		if (!routes_exceeded(
			&broker->routes, job->request.sql, job->request.sql_len))
			route = ROUTE_READ;
	}
	job->done = plain_done;
	job->owner = broker;
	job->schema_seq = broker->routes.schema_seq;
	job->examine = route == ROUTE_UNKNOWN || route == ROUTE_READ;
	pool_submit_read(&broker->pool, job);
}

void dispatch_begin(struct broker *broker, struct job *job)
{
	start_waiting(broker, job);
	if (broker->is_past_grace)
		atomic_store(&job->stop.reason, POOLITE_SHUTTING_DOWN);
	if (job->request.options.is_read)
		pool_submit_begin_read(&broker->pool, job);
	else
		writer_submit(broker->pool.writer, job);
}

/* ---- newcomers ------------------------------------------------------------------ */

int dispatch_session_opened(
    struct session *session, int fd, struct poolite__failure *failure)
{
	struct broker *broker = broker_of(session);
	struct session_peer peer = session_peer(session);
	struct client *client = calloc(1, sizeof *client);

	if (!client)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	client->user = users_enter(&broker->users, fd, peer.uid, peer.gid,
	    broker->sessions.count, &client->roles, failure);
	if (!client->user) {
		free(client);
		return failure->code;
	}
	session_set_user(session, &client->user->budget, &client->user->share);
	session_set_data(session, client);
	return 0;
}

/* ---- messages ------------------------------------------------------------------ */

static void take_notification(
    struct session *session, const struct poolite__request *sent)
{
	struct broker *broker = broker_of(session);
	struct poolite__request request = *sent;

	if (request.method == POOLITE__CANCEL &&
	    poolite__read_params(&request, NULL) == 0)
		at_once_cancel(broker, session, &request, NULL);
	else
		broker->stats.notifications_ignored++;
}

/* No memory for a job: the answer is made without one. */
static void refuse_overloaded(
    struct session *session, const struct poolite__request *request)
{
	struct broker *broker = broker_of(session);
	const struct client *client = session_data(session);
	struct poolite__failure failure;
	struct poolite__buf answer;

	poolite__fail(&failure, POOLITE_OVERLOADED,
	    "the memory for requests (max_buffered_bytes, max_user_buffered_bytes) is used up; "
	    "try again later");
	poolite__buf_init(&answer, SIZE_MAX, NULL);
	pack_failure(session, request->msgid, &failure, &answer);
	stats_count(&broker->stats, request->method, failure.code, -1, 0);
	session_begin_request(session, 0);
	session_end_request(session, 0, &answer);
	/* A transaction that missed one of its requests must not go on without it. */
	if (request->method == POOLITE__BEGIN ||
	    transaction_is_active(client->transaction))
		session_break(session, &failure);
}

static bool is_about_transactions(const struct client *client, const struct job *job)
{
	return client->transaction || job->request.method == POOLITE__BEGIN;
}

static void receive(struct session *session, struct client *client, struct job *job)
{
	struct broker *broker = broker_of(session);
	struct cursor *cursor;

	if (at_once_answer(broker, job))
		return;
	if ((cursor = cursor_find(job))) {
		cursor_receive(cursor, job);
		return;
	}
	if (!is_about_transactions(client, job)) {
		dispatch_plain(broker, job);
		return;
	}
	if (!client->transaction)
		client->transaction = transaction_create(broker, session);
	if (client->transaction) {
		transaction_receive(client->transaction, job);
		return;
	}
	poolite__fail(&job->failure, POOLITE_OVERLOADED, "out of memory");
	session_break(session, &job->failure);
	dispatch_answer(broker, job);
}

/* commit and rollback end what is there; what is answered at once is cheap. */
static bool counts_for_quota(const struct poolite__request *request)
{
	return request->method != POOLITE__COMMIT &&
	    request->method != POOLITE__ROLLBACK && !at_once_is(request->method);
}

static void read_params(struct broker *broker, struct client *client, struct job *job)
{
	if (poolite__read_params(&job->request, &job->failure) == 0 &&
	    counts_for_quota(&job->request))
		users_check_request(&broker->users, client->user, &job->failure);
}

void dispatch_message(struct session *session, const uint8_t *message, size_t len)
{
	struct broker *broker = broker_of(session);
	struct client *client = session_data(session);
	struct poolite__request request;
	struct poolite__failure failure;
	struct job *job;
	bool has_msgid;
	int rc;

	if (short_read_answer(session, message, len))
		return;
	job = job_create(message, len, &client->user->budget);
	rc = poolite__read_request(
	    job ? job->message : message, len, &request, &has_msgid, &failure);
	if (rc && !has_msgid) {
		session_break(session, &failure);
		job_free(job);
		return;
	}
	if (rc == 0 && request.is_notification) {
		take_notification(session, &request);
		job_free(job);
		return;
	}
	if (!job) {
		refuse_overloaded(session, &request);
		return;
	}
	job->request = request;
	if (rc)
		job->failure = failure;
	else
		read_params(broker, client, job);
	job->session = session;
	job->lanes = client->user->lanes;
	job->read_only = client->roles & PEOPLE_READ_ONLY;
	job->home = broker->completion;
	job->received_ns = job->waits_since_ns = clock_now(&broker->clock);
	if (job->request.options.timeout_ms)
		job->finish_by_ns = clock_after(
		    job->received_ns, job->request.options.timeout_ms * CLOCK_NS_PER_MS);
	if (job->request.method == POOLITE__QUERY && job->request.options.page_rows)
		job->cursor = ++broker->last_cursor;
	session_begin_request(session, len);
	client->user->requests++;
	DL_APPEND2(client->jobs, job, mate_prev, mate_next);
	receive(session, client, job);
}

/* ---- the end of a session -------------------------------------------------------- */

bool dispatch_has_round_trips(const struct client *client)
{
	const struct cursor *cursor;

	DL_FOREACH2 (client->cursors, cursor, mate_next)
		if (cursor_is_active(cursor))
			return true;
	return transaction_is_active(client->transaction);
}

/* Its transaction and its cursors go on to their end, which is near now. */
static void end_round_trips(struct client *client)
{
	struct cursor *cursor, *next;

	DL_FOREACH_SAFE2(client->cursors, cursor, next, mate_next)
	cursor_session_ended(cursor);
	if (client->transaction)
		transaction_session_ended(client->transaction);
}

/* Nobody reads the answers: plain reads need not go on.  Writes do. */
static void cancel_reads(struct broker *broker, struct client *client)
{
	struct job *job;

	DL_FOREACH2 (client->jobs, job, mate_next) {
		if (job->done != plain_done)
			continue;
		atomic_store(&job->stop.is_abandoned, true);
		if (!job->is_read)
			continue;
		atomic_store(&job->stop.reason, POOLITE_CANCELLED);
		overdue_ask(broker);
	}
}

void dispatch_session_gone(struct session *session)
{
	struct client *client = session_data(session);

	if (!client)
		return;
	cancel_reads(broker_of(session), client);
	if (session_has_ended(session))
		end_round_trips(client);
}

void dispatch_session_ended(struct session *session)
{
	struct client *client = session_data(session);

	if (!client)
		return;
	if (session_is_gone(session))
		cancel_reads(broker_of(session), client);
	end_round_trips(client);
}

/* Each goes before those of its user that wait: the last one first. */
static void readmit(struct client *client)
{
	struct job *job = client->jobs;

	if (!job)
		return;
	do {
		job = job->mate_prev; /* of the first: the last */
		pool_readmit(job);
	} while (job != client->jobs);
}

void dispatch_session_has_room(struct session *session)
{
	struct client *client = session_data(session);
	struct cursor *cursor, *next;

	if (!client)
		return;
	readmit(client);
	DL_FOREACH_SAFE2(client->cursors, cursor, next, mate_next)
	cursor_session_has_room(cursor);
	if (client->transaction)
		transaction_session_has_room(client->transaction);
	pool_pump(&broker_of(session)->pool);
}

void dispatch_session_freed(struct session *session)
{
	struct client *client = session_data(session);

	if (!client)
		return;
	assert(!client->jobs);
	while (client->cursors)
		cursor_free(client->cursors);
	transaction_free(client->transaction);
	users_leave(&broker_of(session)->users, client->user);
	free(client);
	session_set_data(session, NULL);
}
