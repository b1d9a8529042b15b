/* One handle for many threads and for forked children, and cancelling. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/client.h"
#include "tests/support/fake_broker.h"

#define THREADS 8
#define CALLS   200

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;

static void set_up(void)
{
	fake_broker_init(&broker);
	client_open(&db, broker.path, NULL);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&broker);
}

TestSuite(client_threads, .init = set_up, .fini = tear_down, .timeout = 60);

/* CALLS of each kind; returns how many failed. */
static void *call_much(void *unused)
{
	intptr_t wrong = 0;

	(void)unused;
	for (int i = 0; i < CALLS; i++) {
		struct poolite_result *result;
		struct poolite_tx *tx;

		wrong += poolite_query(db, "x", POOLITE_NO_ARGS, &result, NULL) != 0;
		wrong += poolite_result_next(result) != 1;
		poolite_result_free(result);
		wrong += poolite_begin(db, POOLITE_WRITE, &tx, NULL) != 0;
		wrong += poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, NULL) != 0;
		wrong += poolite_tx_commit(tx, NULL) != 0;
	}
	return (void *)wrong;
}

Test(client_threads, many_threads_share_a_handle)
{
	pthread_t threads[THREADS];
	void *wrong;

	fake_broker_start(&broker, fake_serve);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_much, NULL);
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong, "%ld calls failed", (long)(intptr_t)wrong);
	}
	cr_assert_eq(atomic_load(&broker.requests), THREADS * CALLS * 4);
	cr_assert_leq(
	    atomic_load(&broker.connections), THREADS, "sockets are used again");
}

Test(client_threads, no_more_sockets_stay_idle_than_wanted)
{
	struct poolite_options options = {.max_idle = -1};
	struct poolite *eager;

	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_open(broker.path, &options, &eager, NULL), 0);
	cr_assert_eq(poolite_ping(eager, NULL), 0);
	cr_assert_eq(poolite_ping(eager, NULL), 0);
	cr_assert_eq(atomic_load(&broker.connections), 2);
	poolite_close(eager);
}

/* ---- cancel -------------------------------------------------------------- */

static atomic_bool may_read;

/* Read one request, when allowed, and then the cancel of it. */
static void await_cancel(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;
	uint32_t msgid;

	while (!atomic_load(&may_read))
		sched_yield();
	fake_read(self, fd, &request);
	msgid = request.request.msgid;
	fake_request_release(&request);
	if (fake_read(self, fd, &request)) {
		if (request.request.is_notification &&
		    request.request.method == POOLITE__CANCEL &&
		    request.request.cancel_msgid == msgid)
			fake_refuse(fd, msgid, POOLITE_CANCELLED, "as you wish");
		fake_request_release(&request);
	}
	while (fake_read(self, fd, &request)) {
		fake_answer(self, fd, &request);
		fake_request_release(&request);
	}
	close(fd);
}

struct caller {
	pthread_t thread;
	_Atomic pid_t tid;
	size_t bytes; /* of its request */
	int code;
};

static void *call_once(void *context)
{
	struct caller *caller = context;
	char *bytes = calloc(1, caller->bytes + 1);

	atomic_store(&caller->tid, (pid_t)syscall(SYS_gettid));
	caller->code = poolite_update(
	    db, "x", POOLITE_ARGS(poolite_blob(bytes, caller->bytes)), NULL, NULL);
	free(bytes);
	return NULL;
}

Test(client_threads, cancel_reaches_what_is_under_way)
{
	struct caller caller = {.bytes = 10};

	atomic_store(&may_read, true);
	fake_broker_start(&broker, await_cancel);
	cr_assert_eq(poolite_cancel(db, &error), 0, "nothing is");
	pthread_create(&caller.thread, NULL, call_once, &caller);
	while (atomic_load(&broker.requests) == 0)
		sched_yield();
	cr_assert_eq(poolite_cancel(db, &error), 0);
	pthread_join(caller.thread, NULL);
	cr_assert_eq(caller.code, POOLITE_CANCELLED);
	cr_assert_eq(poolite_cancel(db, &error), 0, "nothing is any more");
	cr_assert_eq(poolite_ping(db, &error), 0);
	cr_assert_eq(atomic_load(&broker.cancels), 1);
	cr_assert_eq(
	    atomic_load(&broker.connections), 1, "and it goes on with its socket");
}

Test(client_threads, cancel_waits_for_a_request_to_be_out)
{
	struct caller caller = {.bytes = (size_t)8 << 20};

	atomic_store(&may_read, false);
	fake_broker_start(&broker, await_cancel);
	pthread_create(&caller.thread, NULL, call_once, &caller);
	while (atomic_load(&broker.connections) == 0)
		sched_yield();
	client_await_sleep(
	    &caller.tid); /* in the midst of eight megabytes that nobody reads */
	cr_assert_eq(poolite_cancel(db, &error), 0);
	atomic_store(&may_read, true);
	pthread_join(caller.thread, NULL);
	cr_assert_eq(caller.code, POOLITE_CANCELLED);
	cr_assert_eq(atomic_load(&broker.cancels), 1);
}

Test(client_threads, cancel_leaves_a_transaction_alone_between_its_requests)
{
	struct poolite_tx *tx;

	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	cr_assert_eq(poolite_cancel(db, &error), 0);
	cr_assert_eq(poolite_tx_commit(tx, &error), 0);
	cr_assert_eq(atomic_load(&broker.cancels), 0);
}

/* ---- fork ---------------------------------------------------------------- */

/* Sockets of this process that lead to the broker. */
static int count_sockets(void)
{
	int count = 0;

	for (int fd = 0; fd < 1024; fd++) {
		struct sockaddr_un address;
		socklen_t len = sizeof address;

		memset(&address, 0, sizeof address);
		if (getpeername(fd, (struct sockaddr *)&address, &len) == 0 &&
		    address.sun_family == AF_UNIX &&
		    strcmp(address.sun_path, broker.path) == 0)
			count++;
	}
	return count;
}

/* Run ${child} in a forked child; its result is the exit status. */
static pid_t fork_into(int (*child)(void *), void *context)
{
	pid_t pid = fork();

	cr_assert_geq(pid, 0);
	if (pid == 0)
		_exit(child(context));
	return pid;
}

static void expect_success(pid_t pid)
{
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status), "signal %d", WTERMSIG(status));
	cr_assert_eq(WEXITSTATUS(status), 0, "the child's step %d", WEXITSTATUS(status));
}

/* Each step that fails is an exit status. */
static int use_parents_handle(void *unused)
{
	(void)unused;
	if (count_sockets() != 0)
		return 1;
	for (int i = 0; i < 50; i++)
		if (poolite_update(db, "x", POOLITE_NO_ARGS, NULL, NULL))
			return 2;
	if (count_sockets() != 1)
		return 3;
	poolite_close(db);
	return count_sockets() == 0 ? 0 : 4;
}

Test(client_threads, a_child_has_sockets_of_its_own)
{
	pid_t children[THREADS];

	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_ping(db, &error), 0);
	cr_assert_eq(count_sockets(), 1);
	for (int i = 0; i < THREADS; i++)
		children[i] = fork_into(use_parents_handle, NULL);
	for (int i = 0; i < 50; i++)
		cr_assert_eq(poolite_ping(db, &error), 0, "%s", error.message);
	for (int i = 0; i < THREADS; i++)
		expect_success(children[i]);
	cr_assert_eq(poolite_ping(db, &error), 0);
	cr_assert_eq(count_sockets(), 1);
	cr_assert_eq(
	    atomic_load(&broker.connections), 1 + THREADS, "the parent kept its own");
	cr_assert_eq(atomic_load(&broker.requests), 52 + THREADS * 50);
}

static int use_parents_transaction(void *context)
{
	struct poolite_result *result;
	struct poolite_tx *tx = context;

	if (count_sockets() != 0)
		return 1;
	if (poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error) !=
	    POOLITE_NO_TRANSACTION)
		return 2;
	if (poolite_tx_query(tx, "x", POOLITE_NO_ARGS, &result, &error) !=
	    POOLITE_NO_TRANSACTION)
		return 3;
	if (!strstr(error.message, "fork"))
		return 4;
	if (poolite_tx_rollback(tx, &error) != POOLITE_NO_TRANSACTION)
		return 5;
	return count_sockets() == 0 ? 0 : 6;
}

static int commit_parents_transaction(void *context)
{
	return poolite_tx_commit(context, &error) == POOLITE_NO_TRANSACTION ? 0 : 1;
}

Test(client_threads, a_transaction_stays_the_parents)
{
	struct poolite_tx *tx;

	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	expect_success(fork_into(use_parents_transaction, tx));
	expect_success(fork_into(commit_parents_transaction, tx));
	cr_assert_eq(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error), 0);
	cr_assert_eq(poolite_tx_commit(tx, &error), 0);
	cr_assert_eq(atomic_load(&broker.requests), 3);
	cr_assert_eq(atomic_load(&broker.connections), 1);
}

static int ping_once(void *unused)
{
	(void)unused;
	return poolite_ping(db, NULL) == 0 ? 0 : 1;
}

Test(client_threads, fork_in_the_midst_of_other_threads_calls)
{
	pthread_t threads[THREADS];
	void *wrong;

	fake_broker_start(&broker, fake_serve);
	for (int i = 0; i < THREADS; i++)
		pthread_create(&threads[i], NULL, call_much, NULL);
	for (int i = 0; i < 40; i++)
		expect_success(fork_into(ping_once, NULL));
	for (int i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &wrong);
		cr_assert_null(wrong);
	}
}
