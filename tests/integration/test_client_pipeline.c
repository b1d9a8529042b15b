/* Requests in flight, against brokers that answer in odd ways or not at all. */
#include <criterion/criterion.h>
#include <poll.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/statement.h"
#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/fake_broker.h"
#include "tests/support/process.h"

#define MANY 100

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_pipeline *pipeline;
static struct poolite_error error;
static atomic_int step; /* what test and role agree on */

static void set_up(void)
{
	atomic_store(&step, 0);
	fake_broker_init(&broker);
	client_open(&db, broker.path, NULL);
}

static void tear_down(void)
{
	poolite_pipeline_close(pipeline);
	poolite_close(db);
	fake_broker_end(&broker);
}

TestSuite(client_pipeline, .init = set_up, .fini = tear_down, .timeout = 60);

static void await_step(int wanted)
{
	while (atomic_load(&step) < wanted)
		sched_yield();
}

/* Start ${role} and open the pipeline on it. */
static void start_with(
    void (*role)(struct fake_broker *), const struct poolite_pipeline_options *options)
{
	fake_broker_start(&broker, role);
	CHECK_OK(poolite_pipeline_open(db, options, &pipeline, &error), &error);
}

static void start(void (*role)(struct fake_broker *))
{
	start_with(role, NULL);
}

static uint64_t send_update(const char *sql)
{
	uint64_t ticket;

	CHECK_OK(
	    poolite_send_update(pipeline, sql, POOLITE_NO_ARGS, &ticket, &error), &error);
	CHECK(ticket != 0, "a ticket");
	return ticket;
}

static uint64_t send_query(const char *sql)
{
	uint64_t ticket;

	CHECK_OK(
	    poolite_send_query(pipeline, sql, POOLITE_NO_ARGS, &ticket, &error), &error);
	return ticket;
}

/* An update of ${len} bytes. */
static uint64_t send_large(size_t len)
{
	char *bytes = calloc(1, len);
	uint64_t ticket;

	CHECK_OK(poolite_send_update(pipeline, "x",
		     POOLITE_ARGS(poolite_blob(bytes, len)), &ticket, &error),
	    &error);
	free(bytes);
	return ticket;
}

static void expect(uint64_t ticket, int code, enum poolite_outcome outcome)
{
	CHECK_ERROR(
	    poolite_await(pipeline, ticket, NULL, NULL, &error), &error, code, outcome);
}

/* For roles: the connection, its hello answered. */
static int accept_pipeline(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	if (fake_read(self, fd, &request)) {
		fake_answer(self, fd, &request);
		fake_request_release(&request);
	}
	return fd;
}

static void read_on(struct fake_broker *self, int fd,
    void (*answer)(struct fake_broker *, int, const struct fake_request *))
{
	struct fake_request request;

	while (fake_read(self, fd, &request)) {
		answer(self, fd, &request);
		fake_request_release(&request);
	}
	close(fd);
}

/* ---- every verb ---------------------------------------------------------- */

Test(client_pipeline, each_verb_gives_what_it_gives_without_a_pipeline)
{
	struct poolite_value values[4] = {0};
	struct poolite_statement statements[] = {{"a", NULL, 0}, {"b", NULL, 0}};
	struct poolite_result *result, *results[2];
	struct poolite_changes changes;
	uint64_t query, update, batch, transaction, script;

	start(fake_serve);
	query = send_query("SELECT 1");
	update = send_update("x");
	CHECK_OK(poolite_send_batch(pipeline, "x", values, 1, 4, &batch, &error), &error);
	CHECK_OK(poolite_send_transaction(pipeline, statements, 2, &transaction, &error),
	    &error);
	CHECK_OK(
	    poolite_send_script(pipeline, "x", POOLITE_FOREIGN_KEYS_OFF, &script, &error),
	    &error);

	CHECK_OK(poolite_await(pipeline, script, NULL, &changes, &error), &error);
	CHECK_EQ(changes.statements, 3);
	CHECK_OK(
	    poolite_await_results(pipeline, transaction, results, 2, &error), &error);
	CHECK_EQ(poolite_result_changes(results[1]), 1);
	poolite_result_free(results[0]);
	poolite_result_free(results[1]);
	CHECK_OK(poolite_await(pipeline, batch, &result, &changes, &error), &error);
	CHECK_EQ(changes.changes, 4);
	CHECK(!result, "a batch has no rows");
	CHECK_OK(poolite_await(pipeline, update, NULL, &changes, &error), &error);
	CHECK_EQ(changes.last_insert_id, 7);
	CHECK_OK(poolite_await(pipeline, query, &result, &changes, &error), &error);
	CHECK_EQ(poolite_result_next(result), 1);
	CHECK_EQ(poolite_result_int64(result, 0), 1);
	CHECK_EQ(changes.changes, 0);
	poolite_result_free(result);
}

Test(client_pipeline, what_is_not_wanted_is_left)
{
	struct poolite_statement statements[] = {{"a", NULL, 0}, {"b", NULL, 0}};
	struct poolite_result *result;
	uint64_t transaction;

	start(fake_serve);
	CHECK_OK(poolite_send_transaction(pipeline, statements, 2, &transaction, &error),
	    &error);
	CHECK_OK(poolite_await(pipeline, send_query("SELECT"), NULL, NULL, NULL), &error);
	CHECK_OK(poolite_await(pipeline, transaction, &result, NULL, &error), &error);
	CHECK(!result, "its results are for poolite_await_results");
}

Test(client_pipeline, one_socket_carries_it_and_goes_back_to_the_handle)
{
	start(fake_serve);
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
	poolite_pipeline_close(pipeline);
	CHECK_OK(poolite_ping(db, &error), &error);
	CHECK_OK(poolite_pipeline_open(db, NULL, &pipeline, &error), &error);
	CHECK_EQ(atomic_load(&broker.connections), 1);
	send_update("x");
	poolite_pipeline_close(pipeline);
	pipeline = NULL;
	CHECK_OK(poolite_ping(db, &error), &error);
	CHECK_EQ(atomic_load(&broker.connections), 2);
}

Test(client_pipeline, it_outlives_its_handle)
{
	uint64_t ticket;

	start(fake_serve);
	ticket = send_update("x");
	poolite_close(db);
	db = NULL;
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
}

/* ---- order --------------------------------------------------------------- */

/* Answer with the length of the SQL. */
static void answer_length(
    struct fake_broker *self, int fd, const struct fake_request *request)
{
	struct poolite__buf buf;

	(void)self;
	if (request->request.is_notification)
		return;
	poolite__buf_init(&buf, 4096, NULL);
	poolite__pack_answer(&buf, request->request.msgid);
	poolite__pack_changes(&buf, (int64_t)request->request.sql_len, 0);
	fake_send(fd, buf.data, buf.len);
	poolite__buf_release(&buf);
}

/* Read MANY requests, then answer the last one first. */
static void answer_backwards(struct fake_broker *self)
{
	struct fake_request requests[MANY];
	int fd = accept_pipeline(self);
	int count = 0;

	while (count < MANY && fake_read(self, fd, &requests[count]))
		count++;
	while (count > 0) {
		answer_length(self, fd, &requests[--count]);
		fake_request_release(&requests[count]);
	}
	read_on(self, fd, answer_length);
}

Test(client_pipeline, answers_come_in_any_order)
{
	uint64_t tickets[MANY];
	struct poolite_changes changes;
	char sql[MANY + 1];

	start(answer_backwards);
	for (int i = 0; i < MANY; i++) {
		memset(sql, 'x', sizeof sql);
		sql[i + 1] = '\0';
		tickets[i] = send_update(sql);
	}
	/* 37 has no divisor in common with 100: each once, in a third order. */
	for (int i = 0; i < MANY; i++) {
		int at = i * 37 % MANY;

		CHECK_OK(
		    poolite_await(pipeline, tickets[at], NULL, &changes, &error), &error);
		CHECK_EQ(changes.changes, at + 1);
	}
	CHECK_ERROR(poolite_await(pipeline, tickets[0], NULL, NULL, &error), &error,
	    POOLITE_BAD_REQUEST, POOLITE_DONE_NO);
}

Test(client_pipeline, next_tells_each_once_with_its_context)
{
	uint64_t tickets[MANY];
	int contexts[MANY];
	void *context;

	start(answer_backwards);
	for (int i = 0; i < MANY; i++) {
		tickets[i] = send_update("x");
		CHECK_OK(
		    poolite_pipeline_attach(pipeline, tickets[i], &contexts[i], &error),
		    &error);
	}
	CHECK_EQ(poolite_pipeline_next(pipeline, &context), 0);
	CHECK(!context, "none is done");
	expect(tickets[0], POOLITE_OK, POOLITE_DONE_NO); /* comes last */
	for (int i = MANY - 1; i > 0; i--) {
		CHECK(poolite_pipeline_next(pipeline, &context) == tickets[i], "%d", i);
		CHECK(context == &contexts[i], "its context");
		expect(tickets[i], POOLITE_OK, POOLITE_DONE_NO);
	}
	CHECK_EQ(poolite_pipeline_next(pipeline, NULL), 0);
}

/* ---- the end of the socket ----------------------------------------------- */

/* Read four requests, answer the first, wait for a sign, and close. */
static void answer_one_of_four(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request request;

	for (int i = 0; i < 4; i++) {
		fake_read(self, fd, &request);
		if (i == 0)
			fake_answer(self, fd, &request);
		fake_request_release(&request);
	}
	await_step(1);
	if (self->context)
		fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "bye");
	close(fd);
}

/* Four requests, one too large for a socket's buffer, and one behind it. */
static void send_six(uint64_t tickets[6])
{
	tickets[0] = send_update("INSERT");
	tickets[1] = send_update("INSERT");
	tickets[2] = send_query("SELECT");
	tickets[3] = send_query("INSERT RETURNING");
	tickets[4] = send_large((size_t)8 << 20);
	tickets[5] = send_update("INSERT");
	while (atomic_load(&broker.requests) < 5)
		sched_yield();
	atomic_store(&step, 1);
}

Test(client_pipeline, when_the_socket_ends_each_request_has_its_own_outcome)
{
	uint64_t tickets[6], ticket;

	start(answer_one_of_four);
	send_six(tickets);
	expect(tickets[1], POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(tickets[2], POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(tickets[3], POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(tickets[4], POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(tickets[5], POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(tickets[0], POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(poolite_pipeline_wants(pipeline), 0);
	CHECK(poolite_pipeline_fd(pipeline) >= 0, "an event loop may still watch it");
	CHECK_ERROR(poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, &ticket, &error),
	    &error, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	CHECK_EQ(ticket, 0);
}

Test(client_pipeline, a_good_bye_is_for_all_that_were_not_answered)
{
	uint64_t tickets[6];

	broker.context = &broker;
	start(answer_one_of_four);
	send_six(tickets);
	for (int i = 5; i > 0; i--) {
		expect(tickets[i], POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
		CHECK_TEXT(error.message, "bye");
	}
	expect(tickets[0], POOLITE_OK, POOLITE_DONE_NO);
}

/* Answer one request, close, and tell. */
static void answer_and_leave(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_answer(self, fd, &request);
	fake_request_release(&request);
	close(fd);
	atomic_store(&step, 1);
}

Test(client_pipeline, what_came_before_the_end_counts_although_writing_fails)
{
	uint64_t answered, failed;

	start(answer_and_leave);
	answered = send_update("x");
	poolite_pipeline_on_writable(pipeline);
	await_step(1);
	failed = send_update("x");
	poolite_pipeline_on_writable(pipeline);
	CHECK_EQ(poolite_pipeline_wants(pipeline), POLLIN);
	expect(answered, POOLITE_OK, POOLITE_DONE_NO);
	expect(failed, POOLITE_NO_BROKER, POOLITE_DONE_NO);
}

/* Answer the first of two requests twice. */
static void answer_twice(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request request, second;

	fake_read(self, fd, &request);
	fake_read(self, fd, &second);
	answer_length(self, fd, &request);
	answer_length(self, fd, &request);
	fake_request_release(&request);
	fake_request_release(&second);
	read_on(self, fd, answer_length);
}

Test(client_pipeline, an_answer_nobody_asked_for_ends_it)
{
	uint64_t first, second;

	start(answer_twice);
	first = send_update("x");
	second = send_update("x");
	expect(second, POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	CHECK_HAS(error.message, "makes no sense");
	expect(first, POOLITE_OK, POOLITE_DONE_NO);
}

/* Answer with gossip and an error, and then with what is no message. */
static void gossip(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_send(fd, "\x93\x02\xa6gossip\x90", 10);
	fake_refuse(fd, request.request.msgid, POOLITE_CONSTRAINT, "twice");
	fake_request_release(&request);
	fake_read(self, fd, &request);
	fake_request_release(&request);
	fake_send(fd, "\xc1", 1);
	read_on(self, fd, answer_length);
}

Test(client_pipeline, gossip_is_ignored_and_nonsense_is_not)
{
	start(gossip);
	expect(send_update("x"), POOLITE_CONSTRAINT, POOLITE_DONE_NO);
	CHECK_TEXT(error.message, "twice");
	expect(send_query("SELECT"), POOLITE_INTERNAL, POOLITE_DONE_NO);
}

/* ---- limits -------------------------------------------------------------- */

Test(client_pipeline, what_is_too_large_is_not_sent)
{
	static struct poolite_value values[2000];
	char bytes[2000] = {0};
	uint64_t ticket;

	broker.max_frame_bytes = 5000;
	broker.max_values = 1000;
	start(fake_serve);
	CHECK_ERROR(poolite_send_batch(pipeline, "x", values, 2, 1000, &ticket, &error),
	    &error, POOLITE_TOO_LARGE, POOLITE_DONE_NO);
	CHECK_EQ(ticket, 0);
	CHECK_OK(
	    poolite_send_batch(pipeline, "x", values, 2, 300, &ticket, &error), &error);
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
	for (int i = 0; i < 3; i++)
		values[i] = poolite_blob(bytes, sizeof bytes);
	CHECK_ERROR(poolite_send_update(pipeline, "x", values, 3, &ticket, &error),
	    &error, POOLITE_TOO_LARGE, POOLITE_DONE_NO);
	CHECK_OK(poolite_send_update(pipeline, "x", values, 2, &ticket, &error), &error);
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
}

Test(client_pipeline, no_more_requests_than_max_requests_are_under_way)
{
	struct poolite_pipeline_options options = {.max_requests = 3};
	uint64_t tickets[3], ticket;

	start_with(fake_serve, &options);
	for (int i = 0; i < 3; i++)
		tickets[i] = send_update("x");
	CHECK_ERROR(poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, &ticket, &error),
	    &error, POOLITE_OVERLOADED, POOLITE_DONE_NO);
	CHECK_HAS(error.message, "max_requests");
	expect(tickets[1], POOLITE_OK, POOLITE_DONE_NO);
	tickets[1] = send_update("x");
	for (int i = 0; i < 3; i++)
		expect(tickets[i], POOLITE_OK, POOLITE_DONE_NO);
}

/* Read nothing until told to. */
static void deaf(struct fake_broker *self)
{
	int fd = accept_pipeline(self);

	await_step(1);
	read_on(self, fd, answer_length);
}

Test(client_pipeline, no_more_bytes_than_max_bytes_wait_to_be_sent)
{
	struct poolite_pipeline_options options = {.max_bytes = 1 << 20};
	uint64_t tickets[1000], ticket = 1;
	char bytes[10000] = {0};
	int sent = 0;

	start_with(deaf, &options);
	while (sent < 1000 &&
	    poolite_send_update(pipeline, "x",
		POOLITE_ARGS(poolite_blob(bytes, sizeof bytes)), &ticket, &error) == 0)
		tickets[sent++] = ticket;
	CHECK_ERROR((int)error.code, &error, POOLITE_OVERLOADED, POOLITE_DONE_NO);
	CHECK_HAS(error.message, "max_bytes");
	CHECK_EQ(ticket, 0);
	CHECK(sent > 100 && sent < 500, "a megabyte and a socket's buffer: %d", sent);
	atomic_store(&step, 1);
	for (int i = 0; i < sent; i++)
		expect(tickets[i], POOLITE_OK, POOLITE_DONE_NO);
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
}

/* Answer a query with a row of ${len} bytes. */
static void answer_text(int fd, uint32_t msgid, size_t len)
{
	static char text[100000];
	struct poolite_value value = poolite_text_n(text, len);
	struct poolite__rows rows;
	struct poolite__buf buf;

	memset(text, 'x', sizeof text);
	poolite__buf_init(&buf, 1 << 20, NULL);
	poolite__pack_answer(&buf, msgid);
	poolite__rows_open(&rows, &buf, 1);
	poolite__rows_column(&rows, "text");
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__pack_value(&buf, &value);
	poolite__rows_close(&rows);
	fake_send(fd, buf.data, buf.len);
	poolite__buf_release(&buf);
}

static void answer_3000(
    struct fake_broker *self, int fd, const struct fake_request *request)
{
	(void)self;
	answer_text(fd, request->request.msgid, 3000);
}

static void serve_3000(struct fake_broker *self)
{
	read_on(self, accept_pipeline(self), answer_3000);
}

Test(client_pipeline, a_client_that_only_sends_reads_while_it_writes)
{
	char bytes[10000] = {0};
	uint64_t ticket;
	int sent = 0;

	/* A broker that is stuck with its answers reads some 70 requests, no more. */
	start(serve_3000);
	while (atomic_load(&broker.requests) < 1000 && sent++ < 6000) {
		struct pollfd socket = {
		    .fd = poolite_pipeline_fd(pipeline), .events = POLLIN | POLLOUT};

		CHECK_OK(
		    poolite_send_query(pipeline, "x",
			POOLITE_ARGS(poolite_blob(bytes, sizeof bytes)), &ticket, &error),
		    &error);
		/* Full, and nothing to read: it is the broker's turn. */
		poll(&socket, 1, PATIENCE_SECONDS * 1000);
	}
	CHECK(atomic_load(&broker.requests) >= 1000, "%d of %d",
	    atomic_load(&broker.requests), sent);
}

/* Answer ten queries, the last one first, with 100,000 bytes each. */
static void answer_at_length(struct fake_broker *self)
{
	struct fake_request requests[10];
	int fd = accept_pipeline(self);

	for (int i = 0; i < 10; i++)
		fake_read(self, fd, &requests[i]);
	for (int i = 9; i >= 0; i--) {
		answer_text(fd, requests[i].request.msgid, 100000);
		fake_request_release(&requests[i]);
	}
	read_on(self, fd, answer_length);
}

Test(client_pipeline, answers_beyond_max_bytes_are_thrown_away_while_another_is_awaited)
{
	struct poolite_pipeline_options options = {.max_bytes = 250000};
	uint64_t tickets[10];

	start_with(answer_at_length, &options);
	for (int i = 0; i < 10; i++)
		tickets[i] = send_query(i % 2 ? "SELECT" : "INSERT RETURNING");
	expect(tickets[0], POOLITE_OK, POOLITE_DONE_NO);
	for (int i = 1; i < 8; i++) {
		expect(tickets[i], POOLITE_OVERLOADED,
		    i % 2 ? POOLITE_DONE_NO : POOLITE_DONE_UNKNOWN);
		CHECK_HAS(error.message, "max_bytes");
	}
	expect(tickets[8], POOLITE_OK, POOLITE_DONE_NO);
	expect(tickets[9], POOLITE_OK, POOLITE_DONE_NO);
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
}

/* One turn of an event loop; false when nothing is wanted, or nothing comes for ${ms}. */
static bool turn(int ms)
{
	struct pollfd watched = {.fd = poolite_pipeline_fd(pipeline),
	    .events = poolite_pipeline_wants(pipeline)};

	if (!watched.events || poll(&watched, 1, ms) <= 0)
		return false;
	if (watched.revents & POLLOUT)
		poolite_pipeline_on_writable(pipeline);
	if (watched.revents & ~POLLOUT)
		poolite_pipeline_on_readable(pipeline);
	return true;
}

Test(client_pipeline, an_event_loop_reads_no_more_than_max_bytes_and_loses_nothing)
{
	struct poolite_pipeline_options options = {.max_bytes = 150000};
	uint64_t ticket;
	int done = 0;

	start_with(answer_at_length, &options);
	for (int i = 0; i < 10; i++)
		send_query("SELECT");
	while (poolite_pipeline_wants(pipeline))
		turn(-1);
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), 0);
	while (done < 10) {
		while ((ticket = poolite_pipeline_next(pipeline, NULL)) != 0) {
			expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
			done++;
		}
		if (done < 10)
			turn(-1);
	}
	CHECK_EQ(poolite_pipeline_wants(pipeline), POLLIN);
}

/* ---- cancel and deadlines ------------------------------------------------ */

static void refuse_the_cancelled(
    struct fake_broker *self, int fd, const struct fake_request *request)
{
	if (request->request.is_notification)
		fake_refuse(fd, request->request.cancel_msgid, POOLITE_CANCELLED, "yes");
	else if (atomic_load(&self->requests) > 2) /* the hello is one */
		answer_length(self, fd, request);
}

static void obey_cancels(struct fake_broker *self)
{
	read_on(self, accept_pipeline(self), refuse_the_cancelled);
}

Test(client_pipeline, cancel_reaches_what_was_sent_and_nothing_else)
{
	uint64_t first, second;

	start(obey_cancels);
	first = send_update("x");
	poolite_pipeline_on_writable(pipeline);
	second = send_update("x");
	CHECK_OK(poolite_cancel_sent(pipeline, first, &error), &error);
	expect(first, POOLITE_CANCELLED, POOLITE_DONE_NO);
	CHECK_TEXT(error.message, "yes");
	expect(second, POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.cancels), 1);
}

Test(client_pipeline, cancel_takes_back_what_was_not_sent_yet)
{
	uint64_t large, small, last;

	start(deaf);
	large = send_large((size_t)8 << 20);
	small = send_update("xx");
	last = send_update("xxx");
	CHECK_OK(poolite_cancel_sent(pipeline, small, &error), &error);
	CHECK_OK(poolite_cancel_sent(pipeline, small, &error), &error);
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), 0);
	expect(small, POOLITE_CANCELLED, POOLITE_DONE_NO);
	atomic_store(&step, 1);
	expect(large, POOLITE_OK, POOLITE_DONE_NO);
	expect(last, POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.requests), 3);
	CHECK_EQ(atomic_load(&broker.cancels), 0);
}

Test(client_pipeline, cancel_takes_back_what_has_only_been_gathered)
{
	uint64_t ticket;

	start(fake_serve);
	ticket = send_update("x");
	CHECK_OK(poolite_cancel_sent(pipeline, ticket, &error), &error);
	CHECK(poolite_pipeline_wants(pipeline) == POLLIN, "there is nothing to write");
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
	expect(ticket, POOLITE_CANCELLED, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.requests), 2);
}

Test(client_pipeline, half_a_request_is_cancelled_behind_its_other_half)
{
	uint64_t large;

	start(deaf);
	large = send_large((size_t)8 << 20);
	CHECK_OK(poolite_cancel_sent(pipeline, large, &error), &error);
	atomic_store(&step, 1);
	expect(large, POOLITE_OK, POOLITE_DONE_NO); /* it was quicker */
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.cancels), 1);
}

/* Answer the first two when told to, the others at once. */
static void answer_when_told(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request requests[2];

	fake_read(self, fd, &requests[0]);
	fake_read(self, fd, &requests[1]);
	await_step(1);
	for (int i = 0; i < 2; i++) {
		answer_length(self, fd, &requests[i]);
		fake_request_release(&requests[i]);
	}
	read_on(self, fd, answer_length);
}

Test(client_pipeline, a_late_answer_is_none_and_the_others_go_on)
{
	struct poolite_pipeline_options options = {.max_requests = 2};
	uint64_t write, read, third;

	client_open_hasty(&db, broker.path, 300, 1, 0);
	start_with(answer_when_told, &options);
	write = send_update("INSERT");
	read = send_query("SELECT");
	CHECK(poolite_pipeline_timeout_ms(pipeline) > 0, "time is left");
	expect(write, POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	while (poolite_pipeline_next(pipeline, NULL) != read)
		sched_yield();
	CHECK_ERROR(poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, &third, &error),
	    &error, POOLITE_OVERLOADED,
	    POOLITE_DONE_NO); /* their answers may still come */
	atomic_store(&step, 1);
	expect(read, POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	while (poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, &third, &error) != 0)
		turn(-1);
	expect(third, POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), -1);
}

Test(client_pipeline, an_answer_that_has_come_counts_however_late_one_looks)
{
	struct pollfd socket = {.events = POLLIN};
	uint64_t ticket;

	client_open_hasty(&db, broker.path, 300, 1, 0);
	start(fake_serve);
	ticket = send_update("x");
	poolite_pipeline_on_writable(pipeline);
	socket.fd = poolite_pipeline_fd(pipeline);
	CHECK_EQ(poll(&socket, 1, -1), 1);
	while (poolite_pipeline_timeout_ms(pipeline) > 0)
		poll(NULL, 0, poolite_pipeline_timeout_ms(pipeline));
	CHECK(poolite_pipeline_next(pipeline, NULL) == ticket, "it is done");
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
}

/* Never answer one request, and serve those who come later. */
static void forget_one(struct fake_broker *self)
{
	int fd = accept_pipeline(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_request_release(&request);
	fake_serve(self);
	close(fd);
}

Test(client_pipeline, a_socket_that_owes_an_answer_is_not_used_again)
{
	client_open_hasty(&db, broker.path, 300, 1, 0);
	start(forget_one);
	expect(send_update("x"), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	poolite_pipeline_close(pipeline);
	pipeline = NULL;
	CHECK_OK(poolite_ping(db, &error), &error);
	CHECK_EQ(atomic_load(&broker.connections), 2);
}

Test(client_pipeline, what_a_deaf_broker_does_not_take_in_time_was_not_carried_out)
{
	uint64_t large, behind;

	client_open_hasty(&db, broker.path, 50, 1, 0);
	start(deaf);
	large = send_large((size_t)8 << 20);
	behind = send_update("x");
	expect(behind, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(large, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	CHECK_EQ(poolite_pipeline_wants(pipeline), 0);
	atomic_store(&step, 1);
}

Test(client_pipeline, without_a_request_timeout_there_is_no_deadline)
{
	struct poolite_options options = {.request_timeout_ms = -1};

	client_open(&db, broker.path, &options);
	start(deaf);
	send_update("x");
	poolite_pipeline_on_writable(pipeline);
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), -1);
	CHECK_EQ(poolite_pipeline_next(pipeline, NULL), 0);
	atomic_store(&step, 1);
}

/* ---- fork ---------------------------------------------------------------- */

static void use_parents_pipeline(unsigned index, void *context)
{
	uint64_t *parents = context, ticket = 1;
	struct poolite_result *result = (void *)1;

	(void)index;
	CHECK_ERROR(poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, &ticket, &error),
	    &error, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	CHECK_EQ(ticket, 0);
	CHECK_HAS(error.message, "fork");
	CHECK_EQ(
	    poolite_await(pipeline, *parents, &result, NULL, &error), POOLITE_NO_BROKER);
	CHECK(!result, "no result");
	CHECK_EQ(poolite_cancel_sent(pipeline, *parents, &error), POOLITE_NO_BROKER);
	CHECK_EQ(poolite_pipeline_fd(pipeline), -1);
	CHECK_EQ(poolite_pipeline_wants(pipeline), 0);
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), -1);
	CHECK_EQ(poolite_pipeline_next(pipeline, NULL), 0);
	poolite_pipeline_on_readable(pipeline);
	poolite_pipeline_on_writable(pipeline);
	poolite_pipeline_close(pipeline);
	CHECK_OK(poolite_pipeline_open(db, NULL, &pipeline, &error), &error);
	expect(send_update("x"), POOLITE_OK, POOLITE_DONE_NO);
	poolite_pipeline_close(pipeline);
}

Test(client_pipeline, a_child_has_to_open_its_own)
{
	uint64_t ticket;

	start(fake_serve);
	ticket = send_update("x"); /* gathered, not written */
	client_wait(client_start(use_parents_pipeline, 0, &ticket));
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.connections), 2);
	CHECK_EQ(atomic_load(&broker.requests), 4);
}

/* ---- misuse -------------------------------------------------------------- */

Test(client_pipeline, opening_needs_a_broker_a_place_and_sane_options)
{
	struct poolite_pipeline_options options = {.max_requests = -1};
	struct poolite_pipeline *none = (void *)1;

	client_open_hasty(&db, broker.path, 0, 0, 1);
	CHECK_EQ(poolite_pipeline_open(db, NULL, &none, &error), POOLITE_NO_BROKER);
	CHECK(!none, "no pipeline");
	CHECK_EQ(poolite_pipeline_open(NULL, NULL, &none, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_pipeline_open(db, NULL, NULL, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_pipeline_open(db, &options, &none, &error), POOLITE_BAD_REQUEST);
	poolite_pipeline_close(NULL);
}

/* Refuse, or be silent about, what is asked first. */
static void refuse_hello(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_refuse(fd, request.request.msgid, POOLITE_OVERLOADED, "not now");
	fake_request_release(&request);
	fake_read(self, fd, &request);
	fake_request_release(&request);
	close(fd);
	fd = fake_accept(self);
	while (fake_read(self, fd, &request))
		fake_request_release(&request);
	close(fd);
}

Test(client_pipeline, opening_ends_when_a_broker_refuses_or_stays_silent)
{
	client_open_hasty(&db, broker.path, 0, 0, 100);
	fake_broker_start(&broker, refuse_hello);
	CHECK_ERROR(poolite_pipeline_open(db, NULL, &pipeline, &error), &error,
	    POOLITE_OVERLOADED, POOLITE_DONE_NO);
	CHECK_ERROR(poolite_pipeline_open(db, NULL, &pipeline, &error), &error,
	    POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	CHECK(!pipeline, "no pipeline");
}

Test(client_pipeline, no_pipeline_is_refused_everywhere)
{
	struct poolite_result *result = (void *)1;
	uint64_t ticket = 1;
	void *context = &ticket;

	CHECK_EQ(poolite_send_query(NULL, "x", POOLITE_NO_ARGS, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(ticket, 0);
	CHECK_EQ(poolite_send_update(NULL, "x", POOLITE_NO_ARGS, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_batch(NULL, "x", NULL, 0, 1, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_transaction(NULL, NULL, 0, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_script(NULL, "x", 0, &ticket, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_await(NULL, 1, &result, NULL, &error), POOLITE_BAD_REQUEST);
	CHECK(!result, "no result");
	CHECK_EQ(poolite_await_results(NULL, 1, NULL, 0, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cancel_sent(NULL, 1, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_pipeline_attach(NULL, 1, NULL, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_pipeline_next(NULL, &context), 0);
	CHECK(!context, "no context");
	CHECK_EQ(poolite_pipeline_fd(NULL), -1);
	CHECK_EQ(poolite_pipeline_wants(NULL), 0);
	CHECK_EQ(poolite_pipeline_timeout_ms(NULL), -1);
	poolite_pipeline_on_readable(NULL);
	poolite_pipeline_on_writable(NULL);
}

Test(client_pipeline, a_wrong_argument_is_refused_before_anything_is_sent)
{
	struct poolite_statement statement = {"x", NULL, 2};
	struct poolite_result *results[2];
	uint64_t ticket;

	start(fake_serve);
	CHECK_EQ(poolite_send_query(pipeline, NULL, POOLITE_NO_ARGS, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_update(pipeline, "x", NULL, 1, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_update(pipeline, "x",
		     POOLITE_ARGS(poolite_integer(1), poolite_named("n", poolite_null())),
		     &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_update(pipeline, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_batch(pipeline, "x", NULL, SIZE_MAX, 2, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_send_transaction(pipeline, &statement, 1, &ticket, &error),
	    POOLITE_BAD_REQUEST);
	CHECK_EQ(
	    poolite_send_script(pipeline, "x", 64, &ticket, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(ticket, 0);
	CHECK_EQ(poolite_await(pipeline, 12345, NULL, NULL, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_await(pipeline, 0, NULL, NULL, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_cancel_sent(pipeline, 12345, &error), POOLITE_BAD_REQUEST);
	CHECK_EQ(poolite_pipeline_attach(pipeline, 1, NULL, &error), POOLITE_BAD_REQUEST);
	ticket = send_update("x");
	CHECK_EQ(poolite_await_results(pipeline, ticket, results, 2, &error),
	    POOLITE_BAD_REQUEST);
	expect(ticket, POOLITE_OK, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.requests), 2);
}
