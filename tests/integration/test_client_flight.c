/* Requests in flight, against a real broker: many of them, from an event loop
 * too, and a broker that is killed in their midst.
 */
#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/poolited.h"
#include "tests/support/process.h"

#define MANY 10000

static struct poolited broker;
static struct poolite *db;
static struct poolite_pipeline *pipeline;
static struct poolite_error error;
static uint64_t tickets[MANY];

static void set_up(void)
{
	poolited_start(&broker);
	client_open(&db, broker.socket, NULL);
	CHECK_OK(poolite_script(db, "CREATE TABLE t(id INTEGER PRIMARY KEY, x UNIQUE);",
		     0, NULL, &error),
	    &error);
	CHECK_OK(poolite_pipeline_open(db, NULL, &pipeline, &error), &error);
}

static void tear_down(void)
{
	poolite_pipeline_close(pipeline);
	poolite_close(db);
	poolited_end(&broker);
}

TestSuite(client_flight, .init = set_up, .fini = tear_down, .timeout = 120);

/* A query for ${i}, its double, and a text that is longer for some. */
static void send_query(int i)
{
	CHECK_OK(
	    poolite_send_query(pipeline, "SELECT ?1, 2 * ?1, hex(zeroblob(?1 % 500))",
		POOLITE_ARGS(poolite_integer(i)), &tickets[i], &error),
	    &error);
}

static void expect_rows(int i)
{
	struct poolite_result *result;

	CHECK_OK(poolite_await(pipeline, tickets[i], &result, NULL, &error), &error);
	CHECK_EQ(poolite_result_next(result), 1);
	CHECK_EQ(poolite_result_int64(result, 0), i);
	CHECK_EQ(poolite_result_int64(result, 1), 2 * i);
	CHECK_EQ(poolite_result_bytes(result, 2), 2 * (i % 500));
	CHECK_EQ(poolite_result_next(result), 0);
	poolite_result_free(result);
}

Test(client_flight, ten_thousand_queries_are_under_way_and_each_has_its_result)
{
	for (int i = 0; i < MANY; i++)
		send_query(i);
	/* 3,001 has no divisor in common with 10,000: each once, here and there. */
	for (int64_t i = 0; i < MANY; i++)
		expect_rows((int)(i * 3001 % MANY));
}

/* ---- an event loop ------------------------------------------------------- */

/* Wait for what is wanted, and do it. */
static void turn(void)
{
	struct pollfd watched = {.fd = poolite_pipeline_fd(pipeline),
	    .events = poolite_pipeline_wants(pipeline)};

	CHECK(watched.events != 0, "the socket has ended");
	CHECK(poll(&watched, 1, poolite_pipeline_timeout_ms(pipeline)) >= 0, "poll");
	if (watched.revents & POLLOUT)
		poolite_pipeline_on_writable(pipeline);
	if (watched.revents & ~POLLOUT)
		poolite_pipeline_on_readable(pipeline);
}

Test(client_flight, ten_thousand_queries_from_an_event_loop)
{
	int sent = 0, done = 0;

	while (done < MANY) {
		uint64_t ticket;
		void *context;

		while (sent < MANY && sent < done + 500) {
			send_query(sent);
			CHECK_OK(poolite_pipeline_attach(
				     pipeline, tickets[sent], &tickets[sent], &error),
			    &error);
			sent++;
		}
		turn();
		while ((ticket = poolite_pipeline_next(pipeline, &context)) != 0) {
			CHECK(*(uint64_t *)context == ticket, "its own context");
			expect_rows((int)((uint64_t *)context - tickets));
			done++;
		}
	}
	CHECK_EQ(poolite_pipeline_timeout_ms(pipeline), -1);
}

Test(client_flight, the_example_counts_every_visit)
{
	const char *const argv[] = {program_path("loop"), "5000", NULL};
	char output[1000];

	setenv("POOLITE_SOCKET", broker.socket, 1);
	CHECK_EQ(program_run(argv, NULL, output, sizeof output), 0);
	CHECK_HAS(output, "5000 visits saved, 500 questions answered, 0 failed");
	CHECK_EQ(client_number(db, "SELECT sum(visits) FROM visits"), 5000);
}

/* ---- writes -------------------------------------------------------------- */

Test(client_flight, writes_fail_and_succeed_each_by_itself)
{
	struct poolite_changes changes;

	for (int i = 0; i < 2000; i++)
		CHECK_OK(
		    poolite_send_update(pipeline, "INSERT INTO t(id, x) VALUES (?, ?)",
			POOLITE_ARGS(
			    poolite_integer(i + 1), poolite_integer(i % 10 == 9 ? 0 : i)),
			&tickets[i], &error),
		    &error);
	for (int i = 0; i < 2000; i++) {
		int code = poolite_await(pipeline, tickets[i], NULL, &changes, &error);

		if (i % 10 == 9) {
			CHECK_ERROR(code, &error, POOLITE_CONSTRAINT, POOLITE_DONE_NO);
			CHECK_EQ(changes.changes, 0);
			continue;
		}
		CHECK_OK(code, &error);
		CHECK_EQ(changes.changes, 1);
		CHECK_EQ(changes.last_insert_id, i + 1);
	}
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 1800);
}

Test(client_flight, transactions_in_flight_are_all_or_nothing)
{
	struct poolite_value one = poolite_integer(1);
	struct poolite_statement statements[] = {
	    {"INSERT INTO t(x) VALUES (hex(randomblob(8)))", NULL, 0},
	    {"INSERT INTO t(id, x) VALUES (?, 'one')", &one, 1},
	};
	struct poolite_result *results[2];

	for (int i = 0; i < 2; i++)
		CHECK_OK(poolite_send_transaction(
			     pipeline, statements, 2 - (size_t)i, &tickets[i], &error),
		    &error);
	/* Its first row has id 1 already. */
	CHECK_ERROR(poolite_await_results(pipeline, tickets[0], results, 2, &error),
	    &error, POOLITE_CONSTRAINT, POOLITE_DONE_NO);
	CHECK(!results[0] && !results[1], "no results after an error");
	CHECK_OK(poolite_await_results(pipeline, tickets[1], results, 1, &error), &error);
	CHECK_EQ(poolite_result_changes(results[0]), 1);
	poolite_result_free(results[0]);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 1);
}

Test(client_flight, a_client_that_only_sends_is_neither_stopped_nor_forgotten)
{
	static char bytes[16000];

	/* 48 MB of requests, each with an answer, and not a look at one of them. */
	for (int i = 0; i < 3000; i++)
		CHECK_OK(poolite_send_query(pipeline,
			     "INSERT INTO t(x) VALUES (?1 || ?2) RETURNING x",
			     POOLITE_ARGS(poolite_integer(i),
				 poolite_text_n(
				     memset(bytes, 'x', sizeof bytes), sizeof bytes)),
			     &tickets[i], &error),
		    &error);
	for (int i = 2999; i >= 0; i--) {
		struct poolite_result *result;

		CHECK_OK(
		    poolite_await(pipeline, tickets[i], &result, NULL, &error), &error);
		CHECK_EQ(poolite_result_next(result), 1);
		CHECK_EQ(poolite_result_int64(result, 0), i);
		poolite_result_free(result);
	}
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 3000);
}

/* ---- cancel and deadlines ------------------------------------------------ */

#define ENDLESS                                                                          \
	"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

Test(client_flight, one_is_cancelled_and_the_others_are_not)
{
	uint64_t endless;

	CHECK_OK(poolite_send_query(pipeline, ENDLESS, POOLITE_NO_ARGS, &endless, &error),
	    &error);
	for (int i = 0; i < 100; i++)
		send_query(i);
	for (int i = 0; i < 100; i++)
		expect_rows(i);
	CHECK_OK(poolite_cancel_sent(pipeline, endless, &error), &error);
	CHECK_ERROR(poolite_await(pipeline, endless, NULL, NULL, &error), &error,
	    POOLITE_CANCELLED, POOLITE_DONE_NO);
}

Test(client_flight, each_has_the_request_timeout)
{
	struct poolite_options options = {.request_timeout_ms = 200};
	struct poolite *hasty = NULL;
	uint64_t endless;

	client_open(&hasty, broker.socket, &options);
	poolite_pipeline_close(pipeline);
	CHECK_OK(poolite_pipeline_open(hasty, NULL, &pipeline, &error), &error);
	CHECK_OK(poolite_send_query(pipeline, ENDLESS, POOLITE_NO_ARGS, &endless, &error),
	    &error);
	send_query(0);
	expect_rows(0);
	CHECK_ERROR(poolite_await(pipeline, endless, NULL, NULL, &error), &error,
	    POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	poolite_close(hasty);
}

/* ---- a killed broker ----------------------------------------------------- */

Test(client_flight, after_a_kill_every_outcome_is_true)
{
	int saved = 0, unknown = 0;
	int64_t found;

	for (int i = 0; i < MANY; i++)
		CHECK_OK(poolite_send_update(pipeline, "INSERT INTO t(x) VALUES (?)",
			     POOLITE_ARGS(poolite_integer(i)), &tickets[i], &error),
		    &error);
	for (int i = 0; i < MANY; i++) {
		if (i == 1000)
			poolited_kill(&broker);
		if (poolite_await(pipeline, tickets[i], NULL, NULL, &error) == 0)
			saved++;
		else if (error.outcome == POOLITE_DONE_UNKNOWN)
			unknown++;
		else
			CHECK_ERROR(
			    (int)error.code, &error, POOLITE_NO_BROKER, POOLITE_DONE_NO);
	}
	CHECK(saved >= 1000 && saved < MANY, "killed in the midst: %d", saved);
	poolited_run(&broker);
	found = client_number(db, "SELECT count(*) FROM t");
	CHECK(found >= saved && found <= saved + unknown,
	    "%lld found, %d saved, %d unknown", (long long)found, saved, unknown);
}
