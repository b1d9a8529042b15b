#include "broker/cursor.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "broker/broker.h"
#include "broker/dispatch.h"
#include "broker/log.h"
#include "broker/overdue.h"
#include "proto/answer.h"

static void pump(struct cursor *cursor);

static int64_t now(const struct cursor *cursor)
{
	return clock_now(&cursor->broker->clock);
}

bool cursor_is_active(const struct cursor *cursor)
{
	return cursor->state == CURSOR_OPENING || cursor->state == CURSOR_OPEN;
}

/* ---- life and death --------------------------------------------------------- */

static struct cursor *create(struct broker *broker, struct job *job)
{
	struct client *client = session_data(job->session);
	struct cursor *cursor;
	int count;

	DL_COUNT2(client->cursors, cursor, count, mate_next);
	if (count >= CURSORS_MAX) {
		poolite__fail(&job->failure, POOLITE_OVERLOADED,
		    "the session has %d cursors already; close some", count);
		return NULL;
	}
	cursor = calloc(1, sizeof *cursor);
	if (!cursor) {
		poolite__fail(&job->failure, POOLITE_OVERLOADED, "out of memory");
		return NULL;
	}
	cursor->broker = broker;
	cursor->session = job->session;
	cursor->number = job->cursor;
	DL_APPEND(broker->cursors, cursor);
	DL_APPEND2(client->cursors, cursor, mate_prev, mate_next);
	return cursor;
}

void cursor_free(struct cursor *cursor)
{
	struct client *client = session_data(cursor->session);

	assert(!cursor->running && !cursor->held.head);
	DL_DELETE(cursor->broker->cursors, cursor);
	DL_DELETE2(client->cursors, cursor, mate_prev, mate_next);
	free(cursor);
}

/* It is over: whoever still waits for a turn asks for what is not there any more. */
static void forget(struct cursor *cursor)
{
	struct broker *broker = cursor->broker;
	struct job_list held = cursor->held;
	struct job *job;

	cursor->held = (struct job_list){0};
	cursor_free(cursor);
	while ((job = job_list_pop(&held)))
		dispatch_plain(broker, job);
}

static void gave_back(struct job *job)
{
	struct cursor *cursor = job->owner;
	struct session *session = job->session;
	struct broker *broker = cursor->broker;

	pool_return(&broker->pool, job);
	cursor->running = NULL;
	cursor->reader = NULL;
	job_free(job);
	if (cursor->state == CURSOR_CLOSING)
		forget(cursor);
	else
		pump(cursor);
	session_end_request(session, 0, NULL);
	pool_pump(&broker->pool);
}

/* Give the reader back.  The state says what becomes of the cursor. */
static void give_back(struct cursor *cursor, enum cursor_state state)
{
	assert(!cursor->running);
	cursor->state = state;
	cursor->running = pool_submit_rollback(
	    &cursor->broker->pool, cursor->reader, cursor->session, gave_back, cursor);
}

void cursor_kill(struct cursor *cursor, enum poolite_code code, const char *why)
{
	if (cursor->state == CURSOR_OPEN && !cursor->running) {
		poolite__fail(&cursor->cause, code, "the cursor was closed: %s", why);
		give_back(cursor, CURSOR_ENDED);
	} else if (cursor_is_active(cursor)) {
		atomic_store(&cursor->running->stop.reason, code);
	}
}

/* ---- the first page ------------------------------------------------------------ */

static void first_page_done(struct job *job)
{
	struct cursor *cursor = job->owner;
	struct broker *broker = cursor->broker;

	pool_return(&broker->pool, job);
	cursor->running = NULL;
	if (job->needs_writer) {
		forget(cursor);
		dispatch_reroute(broker, job);
	} else if (job->has_ended || job->failure.code) {
		forget(cursor);
		overdue_name_holder(broker, job);
		dispatch_answer(broker, job);
	} else {
		cursor->state = CURSOR_OPEN;
		cursor->reader = job->reader;
		cursor->opened_ns = job->handed_over_ns;
		cursor->idle_since_ns = now(cursor);
		dispatch_answer(broker, job);
		pump(cursor);
	}
	pool_pump(&broker->pool);
}

void cursor_open(struct broker *broker, struct job *job)
{
	struct cursor *cursor = create(broker, job);

	if (!cursor) {
		dispatch_answer(broker, job);
		return;
	}
	job->done = first_page_done;
	job->owner = cursor;
	cursor->running = job;
	pool_submit_begin_read(&broker->pool, job);
}

/* ---- fetch and close ------------------------------------------------------------ */

static void page_done(struct job *job)
{
	struct cursor *cursor = job->owner;
	struct broker *broker = cursor->broker;

	pool_return(&broker->pool, job);
	cursor->running = NULL;
	if (job->has_ended) {
		forget(cursor);
		dispatch_answer(broker, job);
	} else {
		cursor->idle_since_ns = now(cursor);
		dispatch_answer(broker, job);
		pump(cursor);
	}
	pool_pump(&broker->pool);
}

static void submit(struct cursor *cursor, struct job *job)
{
	job->cursor = cursor->number;
	job->done = page_done;
	job->owner = cursor;
	cursor->running = job;
	pool_submit_leased(&cursor->broker->pool, cursor->reader, job);
}

static bool is_close(const struct job *job)
{
	return job->request.method == POOLITE__CLOSE;
}

static void turn_open(struct cursor *cursor, struct job *job)
{
	if (is_close(job) || !job_is_late_in_session(job, now(cursor))) {
		submit(cursor, job);
		return;
	}
	/* A fetch that failed ends its cursor, however it failed: nobody has to wonder. */
	give_back(cursor, CURSOR_CLOSING);
	dispatch_answer(cursor->broker, job);
}

/* Whoever asks first is told why; then nothing is left of it. */
static void turn_ended(struct cursor *cursor, struct job *job)
{
	struct broker *broker = cursor->broker;
	struct poolite__failure cause = cursor->cause;

	forget(cursor);
	if (is_close(job)) {
		poolite__pack_nil_answer(&job->answer, job->request.msgid);
		dispatch_answer(broker, job);
	} else {
		dispatch_refuse(broker, job, &cause);
	}
}

/* Its next page would only lie there: the client has not read what it has got. */
static bool must_wait(const struct cursor *cursor)
{
	return !is_close(cursor->held.head) && session_is_full(cursor->session);
}

static void pump(struct cursor *cursor)
{
	struct session *session = cursor->session;

	if (cursor->running)
		return;
	if (cursor->state == CURSOR_OPEN &&
	    (session_is_gone(session) ||
		(session_has_ended(session) && !cursor->held.head)))
		give_back(cursor, CURSOR_CLOSING);
	else if (cursor->state == CURSOR_ENDED && cursor->held.head)
		turn_ended(cursor, job_list_pop(&cursor->held));
	else if (cursor->state == CURSOR_OPEN && cursor->held.head && !must_wait(cursor))
		turn_open(cursor, job_list_pop(&cursor->held));
}

struct cursor *cursor_find(const struct job *job)
{
	struct client *client = session_data(job->session);
	struct cursor *cursor;

	if (job->failure.code ||
	    (job->request.method != POOLITE__FETCH && !is_close(job)))
		return NULL;
	DL_FOREACH2 (client->cursors, cursor, mate_next)
		if (cursor->number == job->request.cursor)
			return cursor;
	return NULL;
}

void cursor_receive(struct cursor *cursor, struct job *job)
{
	job_list_push(&cursor->held, job);
	pump(cursor);
}

/* ---- what the broker calls ------------------------------------------------------ */

void cursor_session_ended(struct cursor *cursor)
{
	if (session_is_gone(cursor->session) && cursor_is_active(cursor) &&
	    cursor->running)
		atomic_store(&cursor->running->stop.reason, POOLITE_CANCELLED);
	overdue_ask(cursor->broker);
	pump(cursor);
}

void cursor_session_has_room(struct cursor *cursor)
{
	pump(cursor);
}

void cursor_tick(struct cursor *cursor, int64_t now_ns)
{
	struct broker *broker = cursor->broker;
	char why[OVERDUE_WHY_BYTES];

	if (cursor->state != CURSOR_OPEN ||
	    (cursor->running && atomic_load(&cursor->running->stop.reason)) ||
	    !overdue_lease(broker, cursor->reader, now_ns, cursor->opened_ns,
		cursor->running ? now_ns : cursor->idle_since_ns, why))
		return;
	broker->stats.expired++;
	log_info("session %llu (pid %d): cursor ended, %s",
	    (unsigned long long)session_id(cursor->session),
	    (int)session_peer(cursor->session).pid, why);
	cursor_kill(cursor, POOLITE_TRANSACTION_EXPIRED, why);
}
