/* A session's transaction, step by step: no threads, no sockets, no database.  What it
 * asks of the pool, the dispatch and the session is noted in one line of text, and every
 * job comes back when the test says so.
 */
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/broker.h"
#include "broker/dispatch.h"
#include "broker/overdue.h"
#include "broker/transaction.h"
#include "tests/unit/bare.h"

/* ---- what it calls: the linker sends that here (--wrap), for this file's tests alone --- */

/* __real_NAME and __wrap_NAME of one function. */
#define WRAP(type, name, ...)                                                            \
	type __real_##name(__VA_ARGS__);                                                 \
	type __wrap_##name(__VA_ARGS__);                                                 \
	type __wrap_##name(__VA_ARGS__)

static bool is_ours; /* this process tests transactions */
static struct broker broker;
static struct poolite__budget budget = {.max = SIZE_MAX}; /* counts the jobs */
static struct transaction *transaction;
static struct session *const session = (struct session *)&broker; /* never looked into */
static char noted[1024];
static char message[POOLITE__MESSAGE_BYTES]; /* of the last error */
static struct poolite__failure refusal;      /* the last one of dispatch_refuse() */
static struct job *out;                      /* handed over, and not back yet */
static struct reader *out_on;                /* where */
static unsigned returns, pool_pumps, ended_requests, named_holders;
static bool is_full, has_ended, is_gone, is_overdue;
static unsigned overdue_asked;
static struct {
	const struct reader *reader;
	int64_t now_ns, opened_ns, idle_since_ns;
} overdue;

__attribute__((format(printf, 1, 2))) static void note(const char *format, ...)
{
	size_t len = strlen(noted);
	va_list args;

	va_start(args, format);
	vsnprintf(noted + len, sizeof noted - len, format, args);
	va_end(args);
}

static void note_answer(struct job *job, const char *how)
{
	snprintf(message, sizeof message, "%s", job->failure.message);
	note("%s%s %u;", job->failure.code ? poolite__code_name(job->failure.code) : "ok",
	    how, job->request.msgid);
	job_free(job);
}

static void hand_over(struct job *job, struct reader *reader, const char *how)
{
	cr_assert_null(out);
	note("%s %u;", how, job->request.msgid);
	out = job;
	out_on = reader;
}

WRAP(void, dispatch_answer, struct broker *to, struct job *job)
{
	if (!is_ours)
		__real_dispatch_answer(to, job);
	else
		note_answer(job, "");
}

WRAP(void, dispatch_refuse, struct broker *to, struct job *job,
    const struct poolite__failure *failure)
{
	if (!is_ours) {
		__real_dispatch_refuse(to, job, failure);
		return;
	}
	refusal = job->failure = *failure;
	note_answer(job, " refuses");
}

WRAP(void, dispatch_plain, struct broker *to, struct job *job)
{
	if (!is_ours) {
		__real_dispatch_plain(to, job);
		return;
	}
	note("plain %u;", job->request.msgid);
	job_free(job);
}

WRAP(void, dispatch_begin, struct broker *to, struct job *job)
{
	if (is_ours)
		hand_over(job, NULL, "begin");
	else
		__real_dispatch_begin(to, job);
}

WRAP(void, pool_submit_leased, struct pool *pool, struct reader *reader, struct job *job)
{
	if (!is_ours) {
		__real_pool_submit_leased(pool, reader, job);
		return;
	}
	cr_expect(job->in_transaction);
	hand_over(job, reader,
	    job->request.method == POOLITE__ROLLBACK     ? "run-rollback"
		: job->request.method == POOLITE__COMMIT ? "run-commit"
							 : "run");
}

WRAP(struct job *, pool_submit_rollback, struct pool *pool, struct reader *reader,
    struct session *of, void (*done)(struct job *), void *owner)
{
	struct job *job;

	if (!is_ours)
		return __real_pool_submit_rollback(pool, reader, of, done, owner);
	job = job_create("", 0, &budget);
	job->kind = JOB_ROLLBACK;
	job->session = of;
	job->done = done;
	job->owner = owner;
	hand_over(job, reader, "undo");
	return job;
}

WRAP(void, pool_return, struct pool *pool, struct job *job)
{
	if (is_ours)
		returns++;
	else
		__real_pool_return(pool, job);
}

WRAP(void, pool_pump, struct pool *pool)
{
	if (is_ours)
		pool_pumps++;
	else
		__real_pool_pump(pool);
}

WRAP(void, session_end_request, struct session *of, size_t bytes,
    struct poolite__buf *answer)
{
	if (is_ours)
		ended_requests++;
	else
		__real_session_end_request(of, bytes, answer);
}

WRAP(bool, session_is_full, const struct session *of)
{
	return is_ours ? is_full : __real_session_is_full(of);
}

WRAP(bool, session_has_ended, const struct session *of)
{
	return is_ours ? has_ended : __real_session_has_ended(of);
}

WRAP(bool, session_is_gone, const struct session *of)
{
	return is_ours ? is_gone : __real_session_is_gone(of);
}

WRAP(uint64_t, session_id, const struct session *of)
{
	return is_ours ? 1 : __real_session_id(of);
}

WRAP(struct session_peer, session_peer, const struct session *of)
{
	return is_ours ? (struct session_peer){0} : __real_session_peer(of);
}

WRAP(void, overdue_name_holder, struct broker *of, struct job *job)
{
	if (is_ours)
		named_holders++;
	else
		__real_overdue_name_holder(of, job);
}

WRAP(bool, overdue_lease, struct broker *of, const struct reader *reader, int64_t now_ns,
    int64_t opened_ns, int64_t idle_since_ns, char why[OVERDUE_WHY_BYTES])
{
	if (!is_ours)
		return __real_overdue_lease(
		    of, reader, now_ns, opened_ns, idle_since_ns, why);
	overdue_asked++;
	overdue.reader = reader;
	overdue.now_ns = now_ns;
	overdue.opened_ns = opened_ns;
	overdue.idle_since_ns = idle_since_ns;
	snprintf(why, OVERDUE_WHY_BYTES, "for too long");
	return is_overdue;
}

/* ---- requests ------------------------------------------------------------------------- */

static void set_up(void)
{
	is_ours = true;
	clock_init(&broker.clock);
	transaction = transaction_create(&broker, session);
	cr_assert_not_null(transaction);
	cr_assert_eq(broker.transactions, transaction);
	cr_assert_eq(transaction->session, session);
}

static void tear_down(void)
{
	transaction->running = NULL;
	while (transaction->held.head)
		job_free(job_list_pop(&transaction->held));
	transaction_free(transaction);
	transaction_free(NULL);
	job_free(out);
	bare_no_job_is_left(&budget);
}

TestSuite(transaction, .init = set_up, .fini = tear_down, .timeout = 20);

static struct job *request(uint32_t msgid, enum poolite__method method)
{
	struct job *job = job_create("", 0, &budget);

	job->request.msgid = msgid;
	job->request.method = method;
	job->session = session;
	return job;
}

static void receive(uint32_t msgid, enum poolite__method method)
{
	transaction_receive(transaction, request(msgid, method));
}

/* One that is wrong in itself. */
static void receive_broken(uint32_t msgid, enum poolite__method method)
{
	struct job *job = request(msgid, method);

	poolite__fail(&job->failure, POOLITE_TOO_LARGE, "broken");
	transaction_receive(transaction, job);
}

/* What was handed over comes back. */
static void back(enum poolite_code code, bool ended)
{
	struct job *job = out;
	unsigned before[] = {returns, pool_pumps};

	cr_assert_not_null(job);
	out = NULL;
	job->failure.code = code;
	if (code)
		poolite__fail(&job->failure, code, "it failed");
	job->failure.sqlite = code ? 19 : 0;
	job->failure.is_unknown = code == POOLITE_OUTCOME_UNKNOWN;
	job->has_ended = ended;
	job->done(job);
	cr_expect_eq(returns, before[0] + 1, "its connection comes back");
	cr_expect_eq(pool_pumps, before[1] + 1, "and others may have it");
}

/* What was asked of the others since the last time. */
#define EXPECT(text)                                                                     \
	do {                                                                             \
		cr_expect_str_eq(noted, text);                                           \
		noted[0] = '\0';                                                         \
	} while (0)

#define EXPECT_STATE(wanted) cr_expect_eq((int)transaction->state, (int)(wanted))

/* An open transaction, begun with ${options}, on ${reader} (NULL: the writer). */
static void open_with(struct poolite__options options, struct reader *reader)
{
	struct job *job = request(1, POOLITE__BEGIN);

	job->request.options = options;
	transaction_receive(transaction, job);
	out->reader = reader;
	back(POOLITE_OK, false);
	EXPECT("begin 1;ok 1;");
	EXPECT_STATE(TRANSACTION_OPEN);
}

static void open_plainly(void)
{
	open_with((struct poolite__options){0}, NULL);
}

static void open_aborting(void)
{
	open_with((struct poolite__options){.abort_on_error = true}, NULL);
}

static struct reader *some_reader(void)
{
	return (struct reader *)noted; /* never looked into */
}

Test(transaction, is_listed_until_it_is_freed)
{
	struct transaction *other = transaction_create(&broker, session);

	transaction_free(transaction);
	cr_expect_eq(broker.transactions, other);
	cr_expect_null(other->next);
	transaction = other;
}

Test(transaction, job_of_a_rollback_is_freed)
{
	open_plainly();
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	back(POOLITE_OK, true);
	cr_expect_eq(budget.used, 0);
}

/* ---- from begin to its end ---------------------------------------------------------------- */

Test(transaction, requests_outside_are_plain_ones)
{
	receive(1, POOLITE__UPDATE);
	receive(2, POOLITE__COMMIT);
	EXPECT("plain 1;plain 2;");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, what_follows_a_begin_waits_and_runs_one_by_one)
{
	receive(1, POOLITE__BEGIN);
	EXPECT_STATE(TRANSACTION_BEGINNING);
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__QUERY);
	receive(4, POOLITE__COMMIT);
	receive(5, POOLITE__QUERY);
	EXPECT("begin 1;");
	back(POOLITE_OK, false);
	EXPECT("ok 1;run 2;");
	EXPECT_STATE(TRANSACTION_OPEN);
	back(POOLITE_OK, false);
	EXPECT("ok 2;run 3;");
	back(POOLITE_OK, false);
	EXPECT("ok 3;run-commit 4;");
	EXPECT_STATE(TRANSACTION_ENDING);
	back(POOLITE_OK, true);
	EXPECT("ok 4;plain 5;");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, failed_commit_ends_it_too)
{
	open_plainly();
	receive(2, POOLITE__COMMIT);
	back(POOLITE_CONSTRAINT, true);
	EXPECT("run-commit 2;CONSTRAINT 2;");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, rollback_ends_it_and_another_may_begin)
{
	open_plainly();
	receive(2, POOLITE__ROLLBACK);
	receive(3, POOLITE__BEGIN);
	EXPECT("run-rollback 2;");
	back(POOLITE_OK, true);
	EXPECT("ok 2;begin 3;");
}

Test(transaction, stays_on_its_reader_until_it_ends)
{
	open_with((struct poolite__options){.is_read = true}, some_reader());
	cr_expect(transaction_holds_snapshot(transaction));
	receive(2, POOLITE__QUERY);
	cr_expect_eq(out_on, some_reader());
	back(POOLITE_OK, false);
	receive(3, POOLITE__COMMIT);
	cr_expect_eq(out_on, some_reader());
	cr_expect_not(transaction_holds_snapshot(transaction));
	back(POOLITE_OK, true);
	cr_expect_null(transaction->reader);
	noted[0] = '\0';
	open_plainly();
	receive(2, POOLITE__QUERY);
	cr_expect_null(out_on);
	cr_expect_not(transaction_holds_snapshot(transaction));
}

Test(transaction, is_active_while_it_waits_runs_and_ends)
{
	cr_expect_not(transaction_is_active(NULL));
	cr_expect_not(transaction_is_active(transaction));
	receive(1, POOLITE__BEGIN);
	cr_expect(transaction_is_active(transaction));
	back(POOLITE_OK, false);
	cr_expect(transaction_is_active(transaction));
	receive(2, POOLITE__COMMIT);
	cr_expect(transaction_is_active(transaction));
	back(POOLITE_OK, true);
	receive_broken(1, POOLITE__BEGIN);
	EXPECT_STATE(TRANSACTION_DEAD);
	cr_expect_not(transaction_is_active(transaction));
}

Test(transaction, begin_inside_is_an_error_and_changes_nothing)
{
	open_plainly();
	receive(2, POOLITE__BEGIN);
	EXPECT("BAD_REQUEST 2;");
	cr_expect_not_null(strstr(message, "begin inside a transaction"));
	receive_broken(3, POOLITE__BEGIN);
	EXPECT("TOO_LARGE 3;");
	receive(4, POOLITE__UPDATE);
	EXPECT("run 4;");
}

Test(transaction, request_that_is_broken_does_not_run)
{
	open_plainly();
	receive_broken(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	EXPECT("TOO_LARGE 2;run 3;");
}

Test(transaction, broken_commit_is_a_rollback)
{
	open_plainly();
	receive_broken(2, POOLITE__COMMIT);
	EXPECT("run-rollback 2;");
	EXPECT_STATE(TRANSACTION_ENDING);
}

Test(transaction, late_statement_does_not_run)
{
	struct job *job = request(2, POOLITE__UPDATE);

	open_plainly();
	job->finish_by_ns = clock_now(&broker.clock);
	transaction_receive(transaction, job);
	EXPECT("POOL_TIMEOUT 2;");
	cr_expect_not_null(strstr(message, "own requests"));
	EXPECT_STATE(TRANSACTION_OPEN);
}

/* ---- begins that fail ----------------------------------------------------------------------- */

Test(transaction, failed_begin_names_the_holder_and_refuses_what_follows)
{
	receive(1, POOLITE__BEGIN);
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__COMMIT);
	receive(4, POOLITE__UPDATE);
	back(POOLITE_POOL_TIMEOUT, false);
	EXPECT("begin 1;POOL_TIMEOUT 1;POOL_TIMEOUT refuses 2;POOL_TIMEOUT refuses 3;"
	       "plain 4;");
	cr_expect_eq(named_holders, 1);
	cr_expect_str_eq(message,
	    "the transaction is over since an earlier request of it failed: it failed");
	cr_expect_eq(refusal.sqlite, 19);
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, begin_straight_after_a_failed_one_is_a_new_try)
{
	receive_broken(1, POOLITE__BEGIN);
	receive(2, POOLITE__BEGIN);
	EXPECT("TOO_LARGE 1;begin 2;");
	EXPECT_STATE(TRANSACTION_BEGINNING);
}

Test(transaction, begin_is_no_new_try_once_something_was_refused)
{
	receive_broken(1, POOLITE__BEGIN);
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__BEGIN);
	receive(4, POOLITE__BEGIN);
	EXPECT(
	    "TOO_LARGE 1;TOO_LARGE refuses 2;TOO_LARGE refuses 3;TOO_LARGE refuses 4;");
	receive(5, POOLITE__ROLLBACK);
	EXPECT("ok 5;");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, begin_is_no_new_try_after_another_death)
{
	receive_broken(1, POOLITE__BEGIN);
	receive(2, POOLITE__BEGIN);
	back(POOLITE_OK, false);
	receive(3, POOLITE__UPDATE);
	back(POOLITE_CONSTRAINT, true);
	noted[0] = '\0';
	receive(4, POOLITE__BEGIN);
	EXPECT("CONSTRAINT refuses 4;");
}

Test(transaction, broken_rollback_clears_a_dead_one_but_says_the_cause)
{
	receive_broken(1, POOLITE__BEGIN);
	receive_broken(2, POOLITE__ROLLBACK);
	receive(3, POOLITE__UPDATE);
	EXPECT("TOO_LARGE 1;TOO_LARGE refuses 2;plain 3;");
}

Test(transaction, late_begin_is_not_queued)
{
	struct job *job = request(1, POOLITE__BEGIN);

	job->wait_until_ns = clock_now(&broker.clock);
	transaction_receive(transaction, job);
	EXPECT("POOL_TIMEOUT 1;");
	EXPECT_STATE(TRANSACTION_DEAD);
}

Test(transaction, reader_s_user_may_begin_to_read_only)
{
	struct job *job = request(1, POOLITE__BEGIN);

	job->read_only = true;
	transaction_receive(transaction, job);
	EXPECT("READ_ONLY 1;");
	job = request(2, POOLITE__BEGIN);
	job->read_only = true;
	job->request.options.is_read = true;
	transaction_receive(transaction, job);
	EXPECT("begin 2;");
	back(POOLITE_POOL_TIMEOUT, false);
	job = request(3, POOLITE__BEGIN);
	job->read_only = true;
	poolite__fail(&job->failure, POOLITE_TOO_LARGE, "broken");
	noted[0] = '\0';
	transaction_receive(transaction, job);
	EXPECT("TOO_LARGE 3;");
}

/* ---- statements that fail --------------------------------------------------------------------- */

Test(transaction, failed_statement_lets_it_go_on)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	back(POOLITE_CONSTRAINT, false);
	receive(3, POOLITE__UPDATE);
	EXPECT("run 2;CONSTRAINT 2;run 3;");
}

Test(transaction, first_error_kills_one_that_aborts)
{
	open_aborting();
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	back(POOLITE_CONSTRAINT, false);
	EXPECT("run 2;CONSTRAINT 2;undo 0;");
	EXPECT_STATE(TRANSACTION_DEAD);
	back(POOLITE_OK, true);
	EXPECT("CONSTRAINT refuses 3;");
	cr_expect_eq(ended_requests, 1);
	receive(4, POOLITE__COMMIT);
	EXPECT("CONSTRAINT refuses 4;");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, success_does_not_kill_one_that_aborts)
{
	open_aborting();
	receive(2, POOLITE__UPDATE);
	back(POOLITE_OK, false);
	receive(3, POOLITE__UPDATE);
	EXPECT("run 2;ok 2;run 3;");
}

Test(transaction, refused_request_kills_one_that_aborts)
{
	open_aborting();
	receive_broken(2, POOLITE__UPDATE);
	EXPECT("TOO_LARGE 2;undo 0;");
	EXPECT_STATE(TRANSACTION_DEAD);
}

Test(transaction, abort_is_of_that_transaction_only)
{
	open_aborting();
	receive(2, POOLITE__COMMIT);
	back(POOLITE_OK, true);
	noted[0] = '\0';
	open_plainly();
	receive_broken(2, POOLITE__UPDATE);
	EXPECT("TOO_LARGE 2;");
}

Test(transaction, one_that_sqlite_ended_is_dead_without_a_rollback)
{
	open_with((struct poolite__options){.is_read = true}, some_reader());
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	back(POOLITE_OUTCOME_UNKNOWN, true);
	EXPECT("run 2;OUTCOME_UNKNOWN 2;OUTCOME_UNKNOWN refuses 3;");
	cr_expect_not(refusal.is_unknown, "what is refused was not done");
	cr_expect_null(transaction->reader);
}

Test(transaction, expiry_and_stop_kill_it_by_a_statement_s_error)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	back(POOLITE_TRANSACTION_EXPIRED, false);
	EXPECT("run 2;TRANSACTION_EXPIRED 2;undo 0;");
	back(POOLITE_OK, true);
	receive(3, POOLITE__ROLLBACK);
	EXPECT("ok 3;");
	open_plainly();
	receive(2, POOLITE__UPDATE);
	back(POOLITE_SHUTTING_DOWN, false);
	EXPECT("run 2;SHUTTING_DOWN 2;undo 0;");
}

/* ---- kill ---------------------------------------------------------------------------------------- */

Test(transaction, killed_while_idle_it_is_rolled_back_and_dead)
{
	open_with((struct poolite__options){.is_read = true}, some_reader());
	transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED, "so says the test");
	EXPECT("undo 0;");
	cr_expect_eq(out_on, some_reader());
	receive(2, POOLITE__UPDATE);
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "again");
	cr_expect_eq(out->stop.reason, 0, "a rollback is not stopped");
	EXPECT("");
	back(POOLITE_OK, true);
	EXPECT("TRANSACTION_EXPIRED refuses 2;");
	cr_expect_str_eq(message, "the transaction was rolled back: so says the test");
	cr_expect_null(transaction->reader);
	EXPECT_STATE(TRANSACTION_DEAD);
}

Test(transaction, killed_while_it_runs_or_begins_that_is_stopped)
{
	receive(1, POOLITE__BEGIN);
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	cr_expect_eq(out->stop.reason, POOLITE_SHUTTING_DOWN);
	back(POOLITE_OK, false);
	receive(2, POOLITE__UPDATE);
	transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED, "so says the test");
	cr_expect_eq(out->stop.reason, POOLITE_TRANSACTION_EXPIRED);
	EXPECT("begin 1;ok 1;run 2;");
}

Test(transaction, statement_that_was_stopped_says_why)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED, "so says the test");
	back(POOLITE_TRANSACTION_EXPIRED, true);
	cr_expect_str_eq(
	    message, "stopped, and the transaction was rolled back: so says the test");
	receive(3, POOLITE__UPDATE);
	cr_expect_eq(refusal.sqlite, 19, "SQLite's code is the statement's");
}

Test(transaction, only_the_statement_that_was_stopped_says_why)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	back(POOLITE_OK, false); /* it was quicker */
	receive(3, POOLITE__UPDATE);
	back(POOLITE_SHUTTING_DOWN, true);
	cr_expect_str_eq(message, "it failed");
}

Test(transaction, begin_that_was_stopped_says_nothing_for_the_next_one_s_statements)
{
	receive(1, POOLITE__BEGIN);
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	back(POOLITE_SHUTTING_DOWN, false);
	noted[0] = '\0';
	open_plainly();
	receive(2, POOLITE__UPDATE);
	back(POOLITE_SHUTTING_DOWN, true);
	cr_expect_str_eq(message, "it failed");
}

Test(transaction, commit_and_what_is_not_open_cannot_be_killed)
{
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	EXPECT_STATE(TRANSACTION_NONE);
	open_plainly();
	receive(2, POOLITE__COMMIT);
	transaction_kill(transaction, POOLITE_SHUTTING_DOWN, "so says the test");
	cr_expect_eq(out->stop.reason, 0);
	EXPECT("run-commit 2;");
	EXPECT_STATE(TRANSACTION_ENDING);
}

/* ---- the end of its session -------------------------------------------------------------------------- */

Test(transaction, session_s_end_rolls_back_what_is_open)
{
	open_with((struct poolite__options){.is_read = true}, some_reader());
	has_ended = true;
	transaction_session_ended(transaction);
	EXPECT("undo 0;");
	EXPECT_STATE(TRANSACTION_ENDING);
	cr_expect_eq(out_on, some_reader());
	cr_expect_eq(ended_requests, 0);
	back(POOLITE_OK, true);
	EXPECT_STATE(TRANSACTION_NONE);
	EXPECT("");
	cr_expect_null(transaction->reader);
	cr_expect_eq(ended_requests, 1);
}

Test(transaction, what_had_arrived_is_done_before_the_session_s_end)
{
	receive(1, POOLITE__BEGIN);
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	has_ended = true;
	transaction_session_ended(transaction);
	EXPECT("begin 1;");
	cr_expect_eq(out->stop.reason, 0, "it reads its answers");
	back(POOLITE_OK, false);
	back(POOLITE_OK, false);
	EXPECT("ok 1;run 2;ok 2;run 3;");
	back(POOLITE_OK, false);
	EXPECT("ok 3;undo 0;");
}

Test(transaction, session_s_end_needs_no_rollback_where_nothing_is_open)
{
	has_ended = true;
	transaction_session_ended(transaction);
	EXPECT("");
	EXPECT_STATE(TRANSACTION_NONE);
}

Test(transaction, client_that_is_gone_does_not_wait_for_its_statement)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	has_ended = is_gone = true;
	transaction_session_ended(transaction);
	cr_expect_eq(out->stop.reason, POOLITE_CANCELLED);
}

Test(transaction, client_that_is_gone_but_had_sent_commit_gets_it)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	receive(3, POOLITE__UPDATE);
	receive(4, POOLITE__COMMIT);
	has_ended = is_gone = true;
	transaction_session_ended(transaction);
	cr_expect_eq(out->stop.reason, 0);
	back(POOLITE_OK, false);
	back(POOLITE_OK, false);
	transaction_session_ended(transaction);
	cr_expect_eq(out->stop.reason, 0);
	back(POOLITE_OK, true);
	EXPECT("run 2;ok 2;run 3;ok 3;run-commit 4;ok 4;");
}

Test(transaction, rollback_for_a_client_that_is_gone_is_not_stopped)
{
	open_plainly();
	transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED, "so says the test");
	has_ended = is_gone = true;
	transaction_session_ended(transaction);
	cr_expect_eq(out->stop.reason, 0);
	back(POOLITE_OK, true);
	EXPECT("undo 0;");
}

/* ---- ticks ------------------------------------------------------------------------------------------- */

Test(transaction, overdue_one_expires)
{
	int64_t opened_ns = clock_now(&broker.clock), later_ns = opened_ns + 5;

	transaction_tick(transaction, later_ns);
	cr_expect_eq(overdue_asked, 0);
	open_with((struct poolite__options){.is_read = true}, some_reader());
	transaction_tick(transaction, later_ns);
	cr_expect_eq(overdue_asked, 1);
	cr_expect_eq(overdue.reader, some_reader());
	cr_expect_eq(overdue.now_ns, later_ns);
	cr_expect_eq(overdue.opened_ns, opened_ns);
	cr_expect_eq(overdue.idle_since_ns, opened_ns);
	EXPECT_STATE(TRANSACTION_OPEN);
	is_overdue = true;
	transaction_tick(transaction, later_ns);
	EXPECT("undo 0;");
	EXPECT_STATE(TRANSACTION_DEAD);
	cr_expect_eq(broker.stats.expired, 1);
	transaction_tick(transaction, later_ns);
	cr_expect_eq(overdue_asked, 2);
	cr_expect_eq(broker.stats.expired, 1);
}

Test(transaction, is_not_idle_while_it_runs_and_idle_from_its_last_answer_on)
{
	int64_t opened_ns = clock_now(&broker.clock);

	open_plainly();
	receive(2, POOLITE__UPDATE);
	transaction_tick(transaction, opened_ns + 7);
	cr_expect_eq(overdue.idle_since_ns, opened_ns + 7);
	cr_expect_eq(overdue.opened_ns, opened_ns);
	atomic_store(&broker.clock.now_ns, opened_ns + 9);
	back(POOLITE_OK, false);
	transaction_tick(transaction, opened_ns + 20);
	cr_expect_eq(overdue.idle_since_ns, opened_ns + 9);
	cr_expect_eq(overdue.opened_ns, opened_ns);
}

Test(transaction, overdue_statement_is_stopped_once)
{
	open_plainly();
	receive(2, POOLITE__UPDATE);
	is_overdue = true;
	transaction_tick(transaction, 5);
	cr_expect_eq(out->stop.reason, POOLITE_TRANSACTION_EXPIRED);
	transaction_tick(transaction, 5);
	cr_expect_eq(broker.stats.expired, 1);
	EXPECT("run 2;");
}

Test(transaction, held_requests_that_are_late_are_answered_before_their_turn)
{
	struct job *late[5] = {request(3, POOLITE__UPDATE), request(4, POOLITE__COMMIT),
	    request(5, POOLITE__BEGIN), request(6, POOLITE__QUERY),
	    request(7, POOLITE__ROLLBACK)};

	open_plainly();
	receive(2, POOLITE__UPDATE);
	poolite__fail(&late[3]->failure, POOLITE_TOO_LARGE, "broken");
	for (int i = 0; i < 5; i++) {
		late[i]->finish_by_ns = clock_now(&broker.clock);
		transaction_receive(transaction, late[i]);
	}
	receive(8, POOLITE__UPDATE);
	transaction_tick(transaction, 5);
	EXPECT("run 2;POOL_TIMEOUT 3;");
	cr_expect_eq(transaction->held.count, 5);
	back(POOLITE_OK, false);
	EXPECT("ok 2;run-commit 4;");
}

Test(transaction, held_requests_of_one_that_aborts_wait_for_their_turn)
{
	struct job *late = request(3, POOLITE__UPDATE);

	open_aborting();
	receive(2, POOLITE__UPDATE);
	late->finish_by_ns = clock_now(&broker.clock);
	transaction_receive(transaction, late);
	transaction_tick(transaction, 5);
	EXPECT("run 2;");
	back(POOLITE_OK, false);
	EXPECT("ok 2;POOL_TIMEOUT 3;undo 0;");
}

/* ---- pages that nobody has read ------------------------------------------------------------------------ */

Test(transaction, next_page_waits_until_the_client_has_read)
{
	open_plainly();
	is_full = true;
	receive(2, POOLITE__UPDATE);
	EXPECT("run 2;");
	receive(3, POOLITE__FETCH);
	back(POOLITE_OK, false);
	EXPECT("ok 2;");
	transaction_session_has_room(transaction);
	EXPECT("");
	is_full = false;
	transaction_session_has_room(transaction);
	EXPECT("run 3;");
}

Test(transaction, page_that_nobody_will_make_is_refused_at_once)
{
	is_full = true;
	receive_broken(1, POOLITE__BEGIN);
	receive(2, POOLITE__FETCH);
	EXPECT("TOO_LARGE 1;TOO_LARGE refuses 2;");
}
