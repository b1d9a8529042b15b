/* libpoolite when the broker misbehaves, goes away, or is not there: what a
 * call says then, and what it does not send twice.
 */
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/support/fake_broker.h"

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;

static void set_up(void)
{
	fake_broker_init(&broker);
	cr_assert_eq(
	    poolite_open(broker.path, NULL, &db, &error), 0, "%s", error.message);
}

static void tear_down(void)
{
	poolite_close(db);
	if (broker.listen_fd >= 0)
		fake_broker_stop(&broker);
	fake_broker_release(&broker);
}

TestSuite(client_faults, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_again(int request_ms, int grace_ms, int connect_ms)
{
	struct poolite_options options = {.request_timeout_ms = request_ms,
	    .answer_grace_ms = grace_ms,
	    .connect_timeout_ms = connect_ms};

	poolite_close(db);
	cr_assert_eq(
	    poolite_open(broker.path, &options, &db, &error), 0, "%s", error.message);
}

static void expect(int code, enum poolite_code expected, enum poolite_outcome outcome)
{
	cr_assert_eq(code, expected, "%s instead of %s: %s", poolite_code_name(code),
	    poolite_code_name(expected), error.message);
	cr_assert_eq(error.code, code);
	cr_assert_eq(error.outcome, outcome, "%s", error.message);
	cr_assert_neq(error.message[0], '\0');
}

static int update(void)
{
	return poolite_update(
	    db, "INSERT", POOLITE_ARGS(poolite_integer(1)), NULL, &error);
}

static int query(void)
{
	struct poolite_result *result;
	int code = poolite_query(db, "SELECT", POOLITE_NO_ARGS, &result, &error);

	cr_assert_eq(code != 0, result == NULL);
	poolite_result_free(result);
	return code;
}

/* ---- no answer, or none that is one -------------------------------------- */

/* What to do with each request instead of answering it. */
enum trick {
	HANG_UP,
	HALF_AN_ANSWER,
	NO_MESSAGEPACK,
	NO_ANSWER_BUT_MESSAGEPACK,
	WRONG_MSGID,
	ENDLESS_HEADER,
	GOOD_BYE,
	GOOD_BYE_WITHOUT_REASON,
};

static void play_trick(
    struct fake_broker *self, int fd, const struct fake_request *request)
{
	static const uint8_t huge[] = {0xdb, 0xff, 0xff, 0xff, 0xff};
	struct fake_request other = *request;
	struct poolite__buf buf;

	switch (*(enum trick *)self->context) {
	case HANG_UP: break;
	case HALF_AN_ANSWER:
		poolite__buf_init(&buf, 4096, NULL);
		fake_pack_answer(&buf, self, request);
		fake_send(fd, buf.data, buf.len - 1);
		poolite__buf_release(&buf);
		break;
	case NO_MESSAGEPACK: fake_send(fd, "\xc1\xc1", 2); break;
	case NO_ANSWER_BUT_MESSAGEPACK: fake_send(fd, "\x91\x01", 2); break;
	case WRONG_MSGID:
		other.request.msgid++;
		fake_answer(self, fd, &other);
		break;
	case ENDLESS_HEADER: fake_send(fd, huge, sizeof huge); break;
	case GOOD_BYE:
		fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "the broker is stopping");
		break;
	case GOOD_BYE_WITHOUT_REASON:
		fake_send(fd,
		    "\x93\x02\xa5"
		    "error\x90",
		    9);
		break;
	}
}

/* Answer begin, and play the trick on everything else, once per connection. */
static void trickster(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		while (fake_read(self, fd, &request)) {
			bool is_begin = request.request.method == POOLITE__BEGIN;

			if (is_begin)
				fake_answer(self, fd, &request);
			else
				play_trick(self, fd, &request);
			fake_request_release(&request);
			if (!is_begin)
				break;
		}
		close(fd);
	}
}

static void start_trickster(enum trick *trick)
{
	broker.context = trick;
	fake_broker_start(&broker, trickster);
}

Test(client_faults, without_an_answer_the_outcome_of_a_write_is_unknown)
{
	static enum trick tricks[] = {HANG_UP, HALF_AN_ANSWER, NO_MESSAGEPACK,
	    NO_ANSWER_BUT_MESSAGEPACK, WRONG_MSGID, ENDLESS_HEADER,
	    GOOD_BYE_WITHOUT_REASON};
	enum trick trick;

	start_trickster(&trick);
	for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
		trick = tricks[i];
		expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
		expect(query(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	}
	cr_assert_eq(atomic_load(&broker.requests),
	    2 * (int)(sizeof tricks / sizeof *tricks), "none was sent twice");
}

Test(client_faults, without_an_answer_a_harmless_request_did_nothing)
{
	static const struct {
		enum trick trick;
		enum poolite_code code;
	} cases[] = {
	    {HANG_UP, POOLITE_NO_BROKER},
	    {HALF_AN_ANSWER, POOLITE_NO_BROKER},
	    {NO_MESSAGEPACK, POOLITE_INTERNAL},
	    {WRONG_MSGID, POOLITE_INTERNAL},
	    {ENDLESS_HEADER, POOLITE_TOO_LARGE},
	    {GOOD_BYE, POOLITE_SHUTTING_DOWN},
	};
	enum trick trick;

	start_trickster(&trick);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		trick = cases[i].trick;
		expect(poolite_ping(db, &error), cases[i].code, POOLITE_DONE_NO);
	}
	cr_assert_eq(atomic_load(&broker.requests), (int)(sizeof cases / sizeof *cases),
	    "a new connection that ends is not tried again");
}

Test(client_faults, a_closing_notification_is_the_answer)
{
	enum trick trick = GOOD_BYE;

	start_trickster(&trick);
	expect(update(), POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
	cr_assert_str_eq(error.message, "the broker is stopping");
	cr_assert_eq(atomic_load(&broker.requests), 1);
}

/* Answer the first request, and say good-bye to the second. */
static void part_at_the_second(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_answer(self, fd, &request);
	fake_request_release(&request);
	fake_read(self, fd, &request);
	fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "bye");
	fake_request_release(&request);
	close(fd);
	fake_serve(self);
}

Test(client_faults, a_write_is_not_sent_again_after_a_good_bye_and_a_ping_is)
{
	fake_broker_start(&broker, part_at_the_second);
	cr_assert_eq(update(), 0);
	expect(update(), POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.requests), 2);
	poolite_close(db);
	db = NULL;
	fake_broker_stop(&broker);
	cr_assert_eq(poolite_open(broker.path, NULL, &db, &error), 0);
	fake_broker_start(&broker, part_at_the_second);
	cr_assert_eq(update(), 0);
	cr_assert_eq(poolite_ping(db, &error), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.requests), 5);
}

Test(client_faults, inside_a_transaction_a_lost_broker_means_a_rollback)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(
	    poolite_begin(db, POOLITE_WRITE, &tx, &error), 0, "%s", error.message);
	expect(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(poolite_tx_commit(tx, &error), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.requests), 2, "begin and one update");
}

Test(client_faults, a_commit_without_an_answer_is_unknown)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	expect(
	    poolite_tx_commit(tx, &error), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	cr_assert_eq(poolite_begin(db, POOLITE_READ, &tx, &error), 0);
	expect(poolite_tx_commit(tx, &error), POOLITE_NO_BROKER, POOLITE_DONE_NO);
}

Test(client_faults, a_rollback_without_an_answer_is_one)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	cr_assert_eq(poolite_tx_rollback(tx, &error), 0);
}

/* ---- late ---------------------------------------------------------------- */

/* Answer nothing; then, once the client has hung up, go on to the next. */
static void silent(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		while (fake_read(self, fd, &request))
			fake_request_release(&request);
		close(fd);
	}
}

Test(client_faults, a_late_answer_is_none_and_its_socket_is_not_used_again)
{
	fake_broker_start(&broker, silent);
	open_again(10, 10, 5000);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(poolite_ping(db, &error), POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.connections), 3);
	cr_assert_eq(atomic_load(&broker.requests), 3);
}

/* Read nothing at all. */
static void deaf(struct fake_broker *self)
{
	int fd = fake_accept(self);

	while (fake_accept(self) >= 0)
		;
	close(fd);
}

Test(client_faults, a_request_the_broker_does_not_take_was_not_carried_out)
{
	size_t len = (size_t)8 << 20;
	char *blob = calloc(1, len);

	fake_broker_start(&broker, deaf);
	open_again(10, 10, 5000);
	expect(poolite_update(
		   db, "INSERT", POOLITE_ARGS(poolite_blob(blob, len)), NULL, &error),
	    POOLITE_POOL_TIMEOUT, POOLITE_DONE_NO);
	free(blob);
}

/* An answer in single bytes. */
static void slow(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	while (fake_read(self, fd, &request)) {
		struct poolite__buf buf;

		poolite__buf_init(&buf, 4096, NULL);
		fake_send(fd, "\x93\x02\xa6", 3); /* an unknown notification first */
		fake_send(fd, "gossip\x90", 7);
		fake_pack_answer(&buf, self, &request);
		for (size_t i = 0; i < buf.len; i++)
			fake_send(fd, buf.data + i, 1);
		poolite__buf_release(&buf);
		fake_request_release(&request);
	}
	close(fd);
}

Test(client_faults, answers_come_in_any_pieces_and_gossip_is_ignored)
{
	fake_broker_start(&broker, slow);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(update(), 0, "%s", error.message);
		cr_assert_eq(query(), 0, "%s", error.message);
	}
	cr_assert_eq(atomic_load(&broker.connections), 1);
}

/* ---- a broker that is not there ------------------------------------------ */

Test(client_faults, no_broker_says_which_socket_and_what_to_do)
{
	open_again(0, 0, 1);
	expect(update(), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	cr_assert_not_null(strstr(error.message, broker.path));
	cr_assert_not_null(strstr(error.message, "poolited --db"));
}

Test(client_faults, a_file_in_the_way_is_no_broker)
{
	FILE *file = fopen(broker.path, "w");

	cr_assert_not_null(file);
	fclose(file);
	open_again(0, 0, 1);
	expect(update(), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	unlink(broker.path);
}

Test(client_faults, a_socket_without_permission_names_the_group)
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

/* Until the thread waits in the kernel, which it does nowhere but in the call. */
static void await_sleep(struct caller *caller)
{
	char path[64], line[256];
	char state = 'R';

	while (atomic_load(&caller->tid) == 0)
		sched_yield();
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)caller->tid);
	while (state != 'S') {
		FILE *file = fopen(path, "r");
		char *end =
		    file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;

		state = end ? end[2] : 'R';
		if (file)
			fclose(file);
		sched_yield();
	}
}

Test(client_faults, connecting_is_tried_until_a_broker_comes)
{
	struct caller caller = {0};

	open_again(0, 0, 30000);
	pthread_create(&caller.thread, NULL, call_update, &caller);
	await_sleep(&caller);
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

Test(client_faults, a_stale_idle_socket_is_replaced)
{
	fake_broker_start(&broker, serve_once);
	for (int i = 0; i < 50; i++) {
		cr_assert_eq(poolite_ping(db, &error), 0, "%s", error.message);
		/* The close races with the next call: then it did nothing, or is unknown. */
		if (update() != 0)
			expect(error.code, POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	}
}

Test(client_faults, after_a_restart_old_sockets_are_forgotten)
{
	fake_broker_start(&broker, serve_once);
	cr_assert_eq(update(), 0);
	fake_broker_stop(&broker); /* it has closed our socket */
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(update(), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.requests), 2);
	cr_assert_eq(atomic_load(&broker.connections), 2);
}

Test(client_faults, after_a_polite_restart_too)
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

Test(client_faults, a_good_bye_is_heard_before_anything_is_sent)
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

Test(client_faults, a_newcomer_that_is_refused_learns_why)
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

Test(client_faults, an_error_is_handed_on_and_the_socket_used_again)
{
	enum poolite_code code = POOLITE_CONSTRAINT;

	broker.context = &code;
	fake_broker_start(&broker, refuser);
	expect(update(), POOLITE_CONSTRAINT, POOLITE_DONE_NO);
	cr_assert_str_eq(error.message, "because");
	code = POOLITE_OUTCOME_UNKNOWN;
	expect(query(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	cr_assert_eq(atomic_load(&broker.connections), 1);
}

Test(client_faults, a_refused_begin_leaves_nothing_behind)
{
	enum poolite_code code = POOLITE_POOL_TIMEOUT;
	struct poolite_tx *tx;

	broker.context = &code;
	fake_broker_start(&broker, refuser);
	expect(poolite_begin(db, POOLITE_WRITE, &tx, &error), POOLITE_POOL_TIMEOUT,
	    POOLITE_DONE_NO);
	cr_assert_null(tx);
}
