/* loop.c - libpoolite in an event loop: many reads and writes under way from one
 * libuv program, on one thread and one socket.
 *
 *	loop [VISITS]
 *
 * Counts visits to ten pages in the database behind $POOLITE_SOCKET, up to
 * UNDER_WAY of them at once; after each tenth visit it asks how many there were.
 *
 * The whole of it is settle(): after whatever happened, see which requests are done,
 * send new ones, and tell libuv what to wait for now.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>

#include <uv.h>

#include "client/poolite.h"

#define UNDER_WAY 128
#define PAGES     10

struct counter {
	uv_poll_t socket;
	uv_timer_t timer;
	struct poolite_pipeline *pipeline; /* owns */
	int wanted, sent, under_way;       /* visits; requests of both kinds */
	int saved, asked, failed;
	int64_t most; /* visits to one page, as the last answers told */
};

static int complain(const char *what, const struct poolite_error *error)
{
	fprintf(stderr, "loop: %s: %s: %s\n", what, poolite_code_name(error->code),
	    error->message);
	return 1;
}

/* ---- what this program is about ------------------------------------------ */

/* The context of a request: which kind it is. */
static char visit, question;

static bool send_one(struct counter *counter, char *kind)
{
	struct poolite_value page = poolite_integer(counter->sent % PAGES);
	struct poolite_error error;
	uint64_t ticket;
	int code;

	if (kind == &visit)
		code = poolite_send_update(counter->pipeline,
		    "INSERT INTO visits (page, visits) VALUES (?, 1) "
		    "ON CONFLICT (page) DO UPDATE SET visits = visits + 1",
		    &page, 1, &ticket, &error);
	else
		code = poolite_send_query(counter->pipeline,
		    "SELECT visits FROM visits WHERE page = ?", &page, 1, &ticket,
		    &error);
	if (code) {
		counter->failed++;
		complain("cannot send", &error);
		return false;
	}
	poolite_pipeline_attach(counter->pipeline, ticket, kind, NULL);
	counter->under_way++;
	return true;
}

static void send_more(struct counter *counter)
{
	while (counter->sent < counter->wanted && counter->under_way < UNDER_WAY) {
		if (!send_one(counter, &visit))
			return;
		counter->sent++;
		if (counter->sent % 10 == 0 && !send_one(counter, &question))
			return;
	}
}

static void finish(struct counter *counter, uint64_t ticket, const char *kind)
{
	struct poolite_result *result;
	struct poolite_error error;

	counter->under_way--;
	if (poolite_await(counter->pipeline, ticket, &result, NULL, &error)) {
		counter->failed++;
		complain(kind == &visit ? "a visit" : "a question", &error);
	} else if (kind == &visit) {
		counter->saved++;
	} else {
		counter->asked++;
		while (poolite_result_next(result) > 0)
			if (poolite_result_int64(result, 0) > counter->most)
				counter->most = poolite_result_int64(result, 0);
	}
	poolite_result_free(result);
}

/* ---- the pipeline in libuv's loop ---------------------------------------- */

static void settle(struct counter *counter);

static void on_socket(uv_poll_t *handle, int status, int events)
{
	struct counter *counter = handle->data;

	if (events & UV_WRITABLE)
		poolite_pipeline_on_writable(counter->pipeline);
	if (status < 0 || events & (UV_READABLE | UV_DISCONNECT))
		poolite_pipeline_on_readable(counter->pipeline);
	settle(counter);
}

static void on_timer(uv_timer_t *handle)
{
	settle(handle->data); /* poolite_pipeline_next finds what is overdue */
}

/* Wait for what the pipeline waits for. */
static void wait_on(struct counter *counter)
{
	short wanted = poolite_pipeline_wants(counter->pipeline);
	int timeout_ms = poolite_pipeline_timeout_ms(counter->pipeline);

	if (wanted)
		uv_poll_start(&counter->socket,
		    (wanted & POLLIN ? UV_READABLE : 0) |
			(wanted & POLLOUT ? UV_WRITABLE : 0),
		    on_socket);
	else
		uv_poll_stop(&counter->socket);
	if (timeout_ms >= 0)
		uv_timer_start(&counter->timer, on_timer, (uint64_t)timeout_ms, 0);
	else
		uv_timer_stop(&counter->timer);
}

static void settle(struct counter *counter)
{
	uint64_t ticket;
	void *kind;

	while ((ticket = poolite_pipeline_next(counter->pipeline, &kind)) != 0)
		finish(counter, ticket, kind);
	if (counter->failed == 0)
		send_more(counter);
	if (counter->under_way > 0) {
		wait_on(counter);
		return;
	}
	/* All done: with its handles closed the loop ends. */
	uv_close((uv_handle_t *)&counter->socket, NULL);
	uv_close((uv_handle_t *)&counter->timer, NULL);
}

static void run(struct counter *counter)
{
	uv_loop_t loop;

	uv_loop_init(&loop);
	uv_poll_init(&loop, &counter->socket, poolite_pipeline_fd(counter->pipeline));
	uv_timer_init(&loop, &counter->timer);
	counter->socket.data = counter;
	counter->timer.data = counter;
	settle(counter);
	uv_run(&loop, UV_RUN_DEFAULT);
	uv_loop_close(&loop);
}

int main(int argc, char **argv)
{
	struct counter counter = {.wanted = argc > 1 ? atoi(argv[1]) : 10000};
	struct poolite_error error;
	struct poolite *db = poolite_default(&error);

	if (poolite_update(db,
		"CREATE TABLE IF NOT EXISTS visits "
		"(page INTEGER PRIMARY KEY, visits INTEGER NOT NULL)",
		POOLITE_NO_ARGS, NULL, &error))
		return complain("cannot prepare", &error);
	if (poolite_pipeline_open(db, NULL, &counter.pipeline, &error))
		return complain("cannot connect", &error);
	run(&counter);
	poolite_pipeline_close(counter.pipeline);
	poolite_close_default();
	printf("%d visits saved, %d questions answered, %d failed; "
	       "at most %lld visits to a page\n",
	    counter.saved, counter.asked, counter.failed, (long long)counter.most);
	return counter.failed > 0;
}
