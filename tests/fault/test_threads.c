/* T18: one handle for many threads, who cancel and fork meanwhile.  Built with
 * ThreadSanitizer too, as is the broker then (scripts/test --tsan).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/calls.h"
#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/poolited.h"

#define THREADS 8
/* Calls of a forked child. */
#define CHILD_CALLS 3

/* All in shared memory, for forked children. */
struct tally {
	_Atomic uint64_t calls, cancelled, errors, cancels, forks;
	_Atomic bool is_over;
	_Atomic bool has_story;
	char story[700];
};

static struct poolited broker;
static struct poolite *handle;
static struct tally *tally;
static struct call *calls; /* first those of the threads, then those of children */
static uint64_t calls_of_thread, children;

static void make_call(uint64_t number, struct chance *chance)
{
	struct call *call = &calls[number];
	enum poolite_code code;

	call->verb = (enum call_verb)chance_below(chance, CALL_VERBS);
	call_make(handle, (int64_t)number, call);
	code = call->error.code;
	tally->calls++;
	tally->cancelled += code == POOLITE_CANCELLED;
	if (code == POOLITE_OK || code == POOLITE_CANCELLED)
		return;
	tally->errors++;
	if (!atomic_exchange(&tally->has_story, true))
		snprintf(tally->story, sizeof tally->story, "%s: %s, %s",
		    call_kinds[call->verb].name, poolite_code_name(code),
		    call->error.message);
}

/* The calls that have no outcome to write down. */
static void ask_around(void)
{
	struct poolite_document document;
	struct poolite_health health;
	struct poolite_error error;

	CHECK(poolite_ping(poolite_default(NULL), &error) == 0 ||
		error.code == POOLITE_CANCELLED,
	    "ping: %s", error.message);
	if (poolite_health(handle, &health, &document, &error) == 0)
		CHECK(health.is_healthy, "unhealthy: %s", health.reason);
	else
		CHECK(error.code == POOLITE_CANCELLED, "health: %s", error.message);
	poolite_document_release(&document);
}

static void *call_much(void *context)
{
	uint64_t index = (uint64_t)(uintptr_t)context;
	struct chance chance = chance_of(18, index);

	for (uint64_t i = 0; i < calls_of_thread && !tally->is_over; i++) {
		make_call(index * calls_of_thread + i, &chance);
		if (i % 16 == 0)
			ask_around();
	}
	return NULL;
}

static void *cancel_much(void *context)
{
	struct poolite_error error;

	(void)context;
	while (!tally->is_over) {
		usleep(15000);
		CHECK(poolite_cancel(handle, &error) == 0, "cancel: %s", error.message);
		tally->cancels++;
	}
	return NULL;
}

/* A child goes on with its parent's handle, whatever threads were in the midst of. */
static void fork_once(uint64_t child)
{
	uint64_t first = THREADS * calls_of_thread + child * CHILD_CALLS;
	struct chance chance = chance_of(19, child);
	pid_t pid = process_fork();
	int status;

	if (pid == 0) {
		for (unsigned i = 0; i < CHILD_CALLS; i++)
			make_call(first + i, &chance);
		poolite_close(handle);
		_exit(0);
	}
	status = process_wait(pid);
	CHECK(status == 0, "a child ended with status %d", status);
	tally->forks++;
}

static void *fork_much(void *context)
{
	(void)context;
	for (uint64_t i = 0; i < children && !tally->is_over; i++)
		fork_once(i);
	return NULL;
}

static void prepare(const struct effort *effort)
{
	sqlite3 *db;

	tally = shared_memory(sizeof *tally);
	calls_of_thread = effort_amount(effort, 60, 10000);
	children = effort_amount(effort, 60, 10000);
	calls = shared_memory(
	    (THREADS * calls_of_thread + children * CHILD_CALLS) * sizeof *calls);
	poolited_make(&broker, (const char *const[]){"--max-connections", "6", NULL});
	CHECK(sqlite3_open(broker.database, &db) == SQLITE_OK, "cannot make a database");
	direct_run(db, calls_schema);
	direct_close(db);
	poolited_run(&broker);
	setenv("POOLITE_SOCKET", broker.socket, 1);
	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
}

/* In a long run the time may be up before all is done. */
static void await_end(const struct effort *effort)
{
	uint64_t all = THREADS * calls_of_thread + children * CHILD_CALLS;

	while (effort_goes_on(effort, tally->calls, all))
		usleep(10000);
	tally->is_over = true;
}

void test_threads(const struct effort *effort)
{
	struct calls_verdict verdict = {0};
	pthread_t threads[THREADS + 2];
	uint64_t quick;

	prepare(effort);
	quick = THREADS * 60 + 60 * CHILD_CALLS;
	for (uintptr_t i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_much, (void *)i);
	pthread_create(&threads[THREADS], NULL, cancel_much, NULL);
	pthread_create(&threads[THREADS + 1], NULL, fork_much, NULL);
	await_end(effort);
	for (unsigned i = 0; i < THREADS + 2; i++)
		pthread_join(threads[i], NULL);
	poolite_close(handle);
	poolite_close_default();
	CHECK_EQ(poolited_stop(&broker), 0);
	calls_check(calls, THREADS * calls_of_thread + children * CHILD_CALLS,
	    broker.database, &verdict);
	direct_check(broker.database);
	report_amount("calls of 8 threads and of forked children", (double)tally->calls,
	    (double)quick, 110000);
	report_amount("forks in their midst", (double)tally->forks, 60, 10000);
	report_amount("cancels", (double)tally->cancels, 10, 1000);
	report_amount("calls cancelled", (double)tally->cancelled, 1, 100);
	report_exactly("other errors", (double)tally->errors, 0);
	report_exactly("outcomes unknown", (double)verdict.unknown, 0);
	calls_report(&verdict);
	if (tally->has_story)
		report_note("     first of what should not be: %s", tally->story);
}
