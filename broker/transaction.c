#include "broker/transaction.h"

#include <assert.h>
#include <stdlib.h>
#include <utlist.h>

#include "broker/broker.h"
#include "broker/dispatch.h"
#include "broker/log.h"
#include "broker/overdue.h"
#include "proto/answer.h"

static void pump(struct transaction *transaction);

static int64_t now(const struct transaction *transaction)
{
	return clock_now(&transaction->broker->clock);
}

bool transaction_is_active(const struct transaction *transaction)
{
	return transaction && transaction->state != TRANSACTION_NONE &&
	    transaction->state != TRANSACTION_DEAD;
}

bool transaction_holds_snapshot(const struct transaction *transaction)
{
	return transaction->state == TRANSACTION_OPEN && transaction->reader;
}

static bool ends_it(const struct job *job)
{
	return job->request.method == POOLITE__COMMIT ||
	    job->request.method == POOLITE__ROLLBACK;
}

/* ---- death ----------------------------------------------------------------- */

static void become_dead(
    struct transaction *transaction, const struct poolite__failure *cause)
{
	assert(cause->code);
	transaction->state = TRANSACTION_DEAD;
	/* An expired one's reason says so itself. */
	poolite__fail(&transaction->cause, cause->code, "%s%s",
	    cause->code == POOLITE_TRANSACTION_EXPIRED
		? ""
		: "the transaction is over since an earlier request of it failed: ",
	    cause->message);
	transaction->cause.sqlite = cause->sqlite;
	transaction->cause.is_unknown = false; /* what is refused later was not done */
	transaction->may_begin_again = false;
}

static void rolled_back(struct job *job)
{
	struct transaction *transaction = job->owner;
	struct session *session = job->session;
	struct broker *broker = transaction->broker;

	pool_return(&broker->pool, job);
	transaction->running = NULL;
	transaction->reader = NULL;
	if (transaction->state == TRANSACTION_ENDING)
		transaction->state = TRANSACTION_NONE;
	job_free(job);
	pump(transaction);
	session_end_request(session, 0, NULL);
	pool_pump(&broker->pool);
}

/* Give the connection back.  The state says what the transaction is meanwhile. */
static void roll_back(struct transaction *transaction)
{
	assert(!transaction->running);
	transaction->running = pool_submit_rollback(&transaction->broker->pool,
	    transaction->reader, transaction->session, rolled_back, transaction);
}

static void die(struct transaction *transaction, const struct poolite__failure *cause)
{
	become_dead(transaction, cause);
	roll_back(transaction);
}

void transaction_kill(
    struct transaction *transaction, enum poolite_code code, const char *why)
{
	struct poolite__failure cause;

	if (transaction->state == TRANSACTION_OPEN && !transaction->running) {
		poolite__fail(&cause, code, "the transaction was rolled back: %s", why);
		die(transaction, &cause);
	} else if (transaction->running && transaction->state != TRANSACTION_ENDING &&
	    transaction->running->kind == JOB_REQUEST) {
		poolite__fail(&transaction->cause, code,
		    "stopped, and the transaction was rolled back: %s", why);
		transaction->is_killed = true;
		atomic_store(&transaction->running->stop.reason, code);
	}
}

/* What was stopped says only that it was. */
static void tell_why(struct transaction *transaction, struct job *job)
{
	struct poolite__failure *cause = &transaction->cause;

	if (transaction->is_killed && job->failure.code == cause->code) {
		cause->sqlite = job->failure.sqlite;
		job->failure = *cause;
	}
	transaction->is_killed = false;
}

/* ---- turns ------------------------------------------------------------------ */

static void on_done(struct job *job);

static void submit(struct transaction *transaction, struct job *job)
{
	job->in_transaction = true;
	job->done = on_done;
	job->owner = transaction;
	transaction->running = job;
	pool_submit_leased(&transaction->broker->pool, transaction->reader, job);
}

static void begin_failed(struct transaction *transaction, struct job *job)
{
	become_dead(transaction, &job->failure);
	transaction->may_begin_again = true;
	dispatch_answer(transaction->broker, job);
}

static void begin(struct transaction *transaction, struct job *job)
{
	if (!job->failure.code && job->read_only && !job->request.options.is_read)
		poolite__fail(&job->failure, POOLITE_READ_ONLY,
		    "you may only read here (the broker's setting `read_only`): begin with "
		    "mode \"read\"");
	if (job->failure.code || job_is_late_in_session(job, now(transaction))) {
		begin_failed(transaction, job);
		return;
	}
	transaction->state = TRANSACTION_BEGINNING;
	transaction->is_killed = false;
	transaction->abort_on_error = job->request.options.abort_on_error;
	transaction->running = job;
	job->done = on_done;
	job->owner = transaction;
	dispatch_begin(transaction->broker, job);
}

static void turn_outside(struct transaction *transaction, struct job *job)
{
	if (job->request.method == POOLITE__BEGIN)
		begin(transaction, job);
	else
		dispatch_plain(transaction->broker, job);
}

static void turn_dead(struct transaction *transaction, struct job *job)
{
	bool may_begin_again = transaction->may_begin_again;

	transaction->may_begin_again = false;
	if (job->request.method == POOLITE__BEGIN && may_begin_again) {
		transaction->state = TRANSACTION_NONE;
		begin(transaction, job);
		return;
	}
	if (ends_it(job))
		transaction->state = TRANSACTION_NONE;
	if (job->request.method == POOLITE__ROLLBACK && !job->failure.code) {
		poolite__pack_nil_answer(&job->answer, job->request.msgid);
		dispatch_answer(transaction->broker, job);
	} else {
		dispatch_refuse(transaction->broker, job, &transaction->cause);
	}
}

/* Refuse one request of an open transaction, which may kill it. */
static void refuse_inside(struct transaction *transaction, struct job *job)
{
	struct poolite__failure failure = job->failure;

	dispatch_answer(transaction->broker, job);
	if (transaction->abort_on_error)
		die(transaction, &failure);
}

static void turn_inside(struct transaction *transaction, struct job *job)
{
	if (job->request.method == POOLITE__BEGIN && !job->failure.code)
		poolite__fail(&job->failure, POOLITE_BAD_REQUEST,
		    "begin inside a transaction: commit or rollback comes first");
	if (ends_it(job)) {
		if (job->failure.code) /* malformed, but its meaning is clear: it ends */
			job->request.method = POOLITE__ROLLBACK;
		transaction->state = TRANSACTION_ENDING;
		submit(transaction, job);
	} else if (job->failure.code || job_is_late_in_session(job, now(transaction))) {
		refuse_inside(transaction, job);
	} else {
		submit(transaction, job);
	}
}

/* The next page would only lie there: the client has not read what it has got. */
static bool must_wait(const struct transaction *transaction)
{
	return transaction->state == TRANSACTION_OPEN && transaction->held.head &&
	    transaction->held.head->request.method == POOLITE__FETCH &&
	    session_is_full(transaction->session);
}

static void pump(struct transaction *transaction)
{
	struct job *job;

	while (!transaction->running && !must_wait(transaction) &&
	    (job = job_list_pop(&transaction->held))) {
		switch (transaction->state) {
		case TRANSACTION_NONE: turn_outside(transaction, job); break;
		case TRANSACTION_DEAD: turn_dead(transaction, job); break;
		case TRANSACTION_OPEN: turn_inside(transaction, job); break;
		case TRANSACTION_BEGINNING:
		case TRANSACTION_ENDING: assert(!"something runs in these states");
		}
	}
	if (!transaction->running && !transaction->held.head &&
	    transaction->state == TRANSACTION_OPEN &&
	    session_has_ended(transaction->session)) {
		transaction->state = TRANSACTION_ENDING;
		roll_back(transaction);
	}
}

/* ---- what comes back ---------------------------------------------------------- */

static void begun(struct transaction *transaction, struct job *job)
{
	if (job->failure.code) {
		overdue_name_holder(transaction->broker, job);
		begin_failed(transaction, job);
		return;
	}
	transaction->state = TRANSACTION_OPEN;
	transaction->reader = job->reader;
	transaction->opened_ns = transaction->idle_since_ns = now(transaction);
	dispatch_answer(transaction->broker, job);
}

static void statement_done_inside(struct transaction *transaction, struct job *job)
{
	struct poolite__failure failure;
	bool has_ended = job->has_ended;

	tell_why(transaction, job);
	failure = job->failure;
	transaction->idle_since_ns = now(transaction);
	dispatch_answer(transaction->broker, job);
	if (has_ended) {
		transaction->reader = NULL;
		become_dead(transaction, &failure);
	} else if (failure.code &&
	    (transaction->abort_on_error || failure.code == POOLITE_TRANSACTION_EXPIRED ||
		failure.code == POOLITE_SHUTTING_DOWN)) {
		die(transaction, &failure);
	}
}

static void on_done(struct job *job)
{
	struct transaction *transaction = job->owner;
	struct broker *broker = transaction->broker;

	pool_return(&broker->pool, job);
	transaction->running = NULL;
	if (transaction->state == TRANSACTION_BEGINNING) {
		begun(transaction, job);
	} else if (transaction->state == TRANSACTION_ENDING) {
		assert(job->has_ended);
		transaction->state = TRANSACTION_NONE;
		transaction->reader = NULL;
		dispatch_answer(broker, job);
	} else {
		statement_done_inside(transaction, job);
	}
	pump(transaction);
	pool_pump(&broker->pool);
}

/* ---- what the broker calls ------------------------------------------------------ */

struct transaction *transaction_create(struct broker *broker, struct session *session)
{
	struct transaction *transaction = calloc(1, sizeof *transaction);

	if (!transaction)
		return NULL;
	transaction->broker = broker;
	transaction->session = session;
	DL_APPEND(broker->transactions, transaction);
	return transaction;
}

void transaction_free(struct transaction *transaction)
{
	if (!transaction)
		return;
	assert(!transaction->running && !transaction->held.head);
	DL_DELETE(transaction->broker->transactions, transaction);
	free(transaction);
}

void transaction_receive(struct transaction *transaction, struct job *job)
{
	job_list_push(&transaction->held, job);
	pump(transaction);
}

void transaction_session_has_room(struct transaction *transaction)
{
	pump(transaction);
}

/* A client that is gone reads no answer: what runs matters only if a commit follows. */
static void hurry(struct transaction *transaction)
{
	struct job *job;

	if (!transaction->running || transaction->running->kind != JOB_REQUEST ||
	    transaction->state == TRANSACTION_ENDING)
		return;
	DL_FOREACH (transaction->held.head, job)
		if (job->request.method == POOLITE__COMMIT)
			return;
	atomic_store(&transaction->running->stop.reason, POOLITE_CANCELLED);
}

void transaction_session_ended(struct transaction *transaction)
{
	if (session_is_gone(transaction->session))
		hurry(transaction);
	pump(transaction);
}

static void refuse_late(struct transaction *transaction)
{
	struct job *job, *next;

	DL_FOREACH_SAFE (transaction->held.head, job, next) {
		/* begin, commit and rollback are decided when their turn comes. */
		if (job->request.method == POOLITE__BEGIN || ends_it(job) ||
		    job->failure.code)
			continue;
		if (transaction->abort_on_error)
			continue; /* its error kills the transaction, in its turn */
		if (!job_is_late_in_session(job, now(transaction)))
			continue;
		job_list_remove(&transaction->held, job);
		dispatch_answer(transaction->broker, job);
	}
}

void transaction_tick(struct transaction *transaction, int64_t now_ns)
{
	char why[OVERDUE_WHY_BYTES];

	refuse_late(transaction);
	if (transaction->state != TRANSACTION_OPEN ||
	    (transaction->running && atomic_load(&transaction->running->stop.reason)) ||
	    !overdue_lease(transaction->broker, transaction->reader, now_ns,
		transaction->opened_ns,
		transaction->running ? now_ns : transaction->idle_since_ns, why))
		return;
	transaction->broker->stats.expired++;
	log_info("session %llu (pid %d): transaction ended, %s",
	    (unsigned long long)session_id(transaction->session),
	    (int)session_peer(transaction->session).pid, why);
	transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED, why);
}
