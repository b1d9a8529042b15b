/* libpoolite when there is no broker, when it is restarted, and when it refuses. */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/support/client.h"
#include "tests/support/fake_broker.h"

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

TestSuite(client_restart, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect(int code, enum poolite_code expected, enum poolite_outcome outcome)
{
	CHECK_ERROR(code, &error, expected, outcome);
}

static int update(void)
{
	return poolite_update(
	    db, "INSERT", POOLITE_ARGS(poolite_integer(1)), NULL, &error);
}

/* ---- a broker that is not there ------------------------------------------ */

Test(client_restart, no_broker_says_which_socket_and_what_to_do)
{
	client_open_hasty(&db, broker.path, 0, 0, 1);
	expect(update(), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	cr_assert_not_null(strstr(error.message, broker.path));
	cr_assert_not_null(strstr(error.message, "poolited --db"));
}

Test(client_restart, a_file_in_the_way_is_no_broker)
{
	FILE *file = fopen(broker.path, "w");

	cr_assert_not_null(file);
	fclose(file);
	client_open_hasty(&db, broker.path, 0, 0, 1);
	expect(update(), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	unlink(broker.path);
}

Test(client_restart, a_socket_without_permission_names_the_group)
{
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(chmod(broker.path, 0), 0);
	if (geteuid() == 0)
		cr_assert_eq(seteuid(65534), 0);
	/* The folder is root's own, so it is let in there, and stopped at the socket. */
	expect(update(), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	cr_assert_not_null(strstr(error.message, "permission"), "%s", error.message);
	cr_assert_not_null(strstr(error.message, "group"), "%s", error.message);
	if (getuid() == 0)
		cr_assert_eq(seteuid(0), 0);
}

struct caller {
	pthread_t thread;
	_Atomic pid_t tid;
	int code;
	struct poolite_error error;
};

static void *call_update(void *context)
{
	struct caller *caller = context;

	atomic_store(&caller->tid, (pid_t)syscall(SYS_gettid));
	caller->code =
	    poolite_update(db, "INSERT", POOLITE_NO_ARGS, NULL, &caller->error);
	return NULL;
}

Test(client_restart, connecting_is_tried_until_a_broker_comes)
{
	struct caller caller = {0};

	client_open_hasty(&db, broker.path, 0, 0, 30000);
	pthread_create(&caller.thread, NULL, call_update, &caller);
	client_await_sleep(&caller.tid);
	fake_broker_start(&broker, fake_serve);
	pthread_join(caller.thread, NULL);
	cr_assert_eq(caller.code, 0, "%s", caller.error.message);
}

/* ---- a broker that is restarted ------------------------------------------ */

/* Serve one connection for one request, say good-bye if wanted, and close. */
static void serve_once(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		if (fake_read(self, fd, &request)) {
			fake_answer(self, fd, &request);
			fake_request_release(&request);
		}
		if (self->context)
			fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "bye");
		close(fd);
	}
}

Test(client_restart, a_stale_idle_socket_is_replaced)
{
	fake_broker_start(&broker, serve_once);
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(poolite_ping(db, &error), 0, "%s", error.message);
		/* The close races with the next call: then it did nothing, or is unknown. */
		if (update() != 0)
			expect(error.code, POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	}
}

Test(client_restart, after_a_restart_old_sockets_are_forgotten)
{
	fake_broker_start(&broker, serve_once);
	cr_assert_eq(update(), 0);
	fake_broker_stop(&broker); /* it has closed our socket */
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(update(), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.requests), 2);
	cr_assert_eq(atomic_load(&broker.connections), 2);
}

Test(client_restart, after_a_polite_restart_too)
{
	broker.context = &broker;
	fake_broker_start(&broker, serve_once);
	cr_assert_eq(update(), 0);
	fake_broker_stop(&broker);
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(update(), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.requests), 2);
}

static atomic_bool may_part, has_parted;

/* Answer once; then, when allowed, say good-bye, and only listen. */
static void part_slowly(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_answer(self, fd, &request);
	fake_request_release(&request);
	while (!atomic_load(&may_part))
		sched_yield();
	fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "bye");
	atomic_store(&has_parted, true);
	fake_serve(self);
	while (fake_read(self, fd, &request))
		fake_request_release(&request);
	close(fd);
}

Test(client_restart, a_good_bye_is_heard_before_anything_is_sent)
{
	fake_broker_start(&broker, part_slowly);
	cr_assert_eq(update(), 0);
	atomic_store(&may_part, true);
	while (!atomic_load(&has_parted))
		sched_yield();
	cr_assert_eq(update(), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.connections), 2);
	poolite_close(db);
	db = NULL;
	fake_broker_stop(&broker);
	cr_assert_eq(atomic_load(&broker.requests), 2, "none on the first connection");
}

/* Refuse newcomers before they say anything. */
static void full(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		fake_good_bye(fd, POOLITE_OVERLOADED, "max_clients is reached");
		close(fd);
	}
}

Test(client_restart, a_newcomer_that_is_refused_learns_why)
{
	fake_broker_start(&broker, full);
	for (int i = 0; i < 50; i++) {
		expect(update(), POOLITE_OVERLOADED, POOLITE_DONE_NO);
		cr_assert_str_eq(error.message, "max_clients is reached");
	}
}

/* ---- errors of the broker's ---------------------------------------------- */

static void refuser(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	while (fake_read(self, fd, &request)) {
		fake_refuse(fd, request.request.msgid,
		    *(enum poolite_code *)self->context, "because");
		fake_request_release(&request);
	}
	close(fd);
}

Test(client_restart, an_error_is_handed_on_and_the_socket_used_again)
{
	enum poolite_code code = POOLITE_CONSTRAINT;

	broker.context = &code;
	fake_broker_start(&broker, refuser);
	expect(update(), POOLITE_CONSTRAINT, POOLITE_DONE_NO);
	cr_assert_str_eq(error.message, "because");
	code = POOLITE_OUTCOME_UNKNOWN;
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	cr_assert_eq(atomic_load(&broker.connections), 1);
}

Test(client_restart, a_refused_begin_leaves_nothing_behind)
{
	enum poolite_code code = POOLITE_POOL_TIMEOUT;
	struct poolite_tx *tx;

	broker.context = &code;
	fake_broker_start(&broker, refuser);
	expect(poolite_begin(db, POOLITE_WRITE, &tx, &error), POOLITE_POOL_TIMEOUT,
	    POOLITE_DONE_NO);
	cr_assert_null(tx);
}
