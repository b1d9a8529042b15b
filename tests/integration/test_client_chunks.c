/* Batches in chunks: what the library sends, and what it says is in. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/statement.h"
#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/fake_broker.h"
#include "tests/support/poolited.h"

#define ROWS      5000
#define PARTS_MAX 64

/* What a fake broker was sent, and what it does about it. */
struct chunked {
	int bad;                         /* message, from 1, that fails; 0: none */
	struct poolite__failure failure; /* with this; code OK: the broker hangs up */
	int empty_from;      /* message from which on nothing changes; 0: none */
	int batches, others; /* messages read */
	uint32_t rows[PARTS_MAX], chunk_rows[PARTS_MAX];
};

static struct fake_broker fake;
static struct poolited broker;
static struct chunked sent;
static struct poolite *db;
static struct poolite_error error;
static struct poolite_changes changes;
static struct poolite_value values[ROWS * 2]; /* two columns, about 110 bytes a row */
static char text[101];

static void make_values(void)
{
	memset(text, 'x', sizeof text - 1);
	for (size_t i = 0; i < ROWS; i++) {
		values[2 * i] = poolite_integer((int64_t)i + 1);
		values[2 * i + 1] = poolite_text(text);
	}
}

/* ---- what is sent ------------------------------------------------------------- */

static void set_up(void)
{
	make_values();
	fake_broker_init(&fake);
	client_open(&db, fake.path, NULL);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&fake);
}

TestSuite(client_chunks, .init = set_up, .fini = tear_down, .timeout = 60);

static void answer_batch(
    struct fake_broker *self, int fd, const struct fake_request *request, int number)
{
	struct poolite__buf answer;

	if (number != sent.bad && (sent.empty_from == 0 || number < sent.empty_from)) {
		fake_answer(self, fd, request);
		return;
	}
	poolite__buf_init(&answer, 1000, NULL);
	if (number == sent.bad) {
		poolite__pack_error_answer(
		    &answer, request->request.msgid, &sent.failure);
	} else {
		poolite__pack_answer(&answer, request->request.msgid);
		poolite__pack_changes(&answer, 0, 0);
	}
	fake_send(fd, answer.data, answer.len);
	poolite__buf_release(&answer);
}

static void take_chunks(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;
	bool goes_on = true;

	while (goes_on && fake_read(self, fd, &request)) {
		if (request.request.method != POOLITE__BATCH) {
			sent.others++;
			fake_answer(self, fd, &request);
		} else {
			cr_assert_lt(sent.batches, PARTS_MAX);
			sent.rows[sent.batches] = request.request.list_count;
			sent.chunk_rows[sent.batches++] =
			    request.request.options.chunk_rows;
			goes_on = sent.batches != sent.bad || sent.failure.code;
			if (goes_on)
				answer_batch(self, fd, &request, sent.batches);
		}
		fake_request_release(&request);
	}
	close(fd);
}

/* Send all rows; several messages are needed, each for two chunks of 300. */
static int send_all(int chunk_rows)
{
	fake.max_frame_bytes = 100000;
	fake_broker_start(&fake, take_chunks);
	poolite_batch_in_chunks(
	    db, "INSERT", values, 2, ROWS, chunk_rows, &changes, &error);
	poolite_close(db);
	db = NULL;
	fake_broker_stop(&fake); /* from here on ${sent} is ours */
	return error.code;
}

static int64_t rows_sent(int messages)
{
	int64_t rows = 0;

	for (int i = 0; i < messages; i++)
		rows += sent.rows[i];
	return rows;
}

Test(client_chunks, small_batch_is_one_request_with_the_option)
{
	fake_broker_start(&fake, take_chunks);
	CHECK_OK(
	    poolite_batch_in_chunks(db, "INSERT", values, 2, 100, 30, &changes, &error),
	    &error);
	CHECK_EQ(sent.batches, 1);
	CHECK_EQ(sent.chunk_rows[0], 30);
	CHECK_EQ(sent.rows[0], 100);
	CHECK_EQ(changes.changes, 100);
	CHECK_EQ(error.rows_done, 0);
}

Test(client_chunks, one_too_large_is_split_without_a_transaction)
{
	CHECK_OK(send_all(300), &error);
	CHECK_EQ(sent.others, 1); /* hello */
	CHECK(sent.batches > 4, "%d messages", sent.batches);
	CHECK_EQ(rows_sent(sent.batches), ROWS);
	for (int i = 0; i < sent.batches; i++) {
		CHECK_EQ(sent.chunk_rows[i], 300);
		CHECK(i == sent.batches - 1 || sent.rows[i] % 300 == 0,
		    "message %d has %u rows", i + 1, sent.rows[i]);
	}
	CHECK(atomic_load(&fake.largest) <= 100000, "too large a message");
	CHECK_EQ(changes.changes, ROWS);
	CHECK_EQ(changes.last_insert_id, 7);
}

Test(client_chunks, chunk_larger_than_a_message_is_that_message)
{
	CHECK_OK(send_all(4000), &error);
	CHECK_EQ(sent.others, 1);
	CHECK_EQ(rows_sent(sent.batches), ROWS);
	CHECK(sent.rows[0] < 4000, "%u rows", sent.rows[0]);
}

Test(client_chunks, of_no_size_are_all_or_none)
{
	CHECK_OK(send_all(0), &error);
	CHECK_EQ(sent.others, 3); /* hello, begin, commit */
	CHECK_EQ(sent.chunk_rows[0], 0);
}

Test(client_chunks, size_that_makes_no_sense_is_refused_here)
{
	static const int sizes[] = {-1, 1000001, INT32_MIN};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		CHECK_ERROR(poolite_batch_in_chunks(
				db, "INSERT", values, 2, 10, sizes[i], &changes, &error),
		    &error, POOLITE_BAD_REQUEST, POOLITE_DONE_NO);
}

/* ---- what is in ------------------------------------------------------------------ */

/* The third message fails so. */
static void fail_third(enum poolite_code code, const char *message, int64_t rows_done)
{
	poolite__fail(&sent.failure, code, "%s", message);
	sent.failure.rows_done = rows_done;
	sent.bad = 3;
	CHECK_EQ(send_all(300), code);
	CHECK_EQ(sent.batches, 3);
	CHECK_EQ(changes.changes, 0);
}

Test(client_chunks, error_tells_the_rows_of_all_messages)
{
	char wanted[100];

	/* Of 600: two chunks are what such a message takes. */
	fail_third(POOLITE_CONSTRAINT, "twice (row 417 of 600)", 300);
	CHECK_EQ(sent.rows[2], 600);
	CHECK_EQ(error.outcome, POOLITE_DONE_PART);
	CHECK_EQ(error.rows_done, rows_sent(2) + 300);
	snprintf(
	    wanted, sizeof wanted, "twice (row %d of %d)", (int)rows_sent(2) + 417, ROWS);
	CHECK_TEXT(error.message, wanted);
}

Test(client_chunks, message_that_did_nothing_leaves_those_before_it)
{
	fail_third(POOLITE_POOL_TIMEOUT, "waited", 0);
	CHECK_EQ(error.outcome, POOLITE_DONE_PART);
	CHECK_EQ(error.rows_done, rows_sent(2));
}

Test(client_chunks, unknown_outcome_tells_what_is_in_for_certain)
{
	fail_third(POOLITE_OUTCOME_UNKNOWN, "who knows", 300);
	CHECK_EQ(error.outcome, POOLITE_DONE_UNKNOWN);
	CHECK_EQ(error.rows_done, rows_sent(2) + 300);
}

Test(client_chunks, lost_answer_is_unknown_from_its_message_on)
{
	sent.bad = 3;
	CHECK_EQ(send_all(300), POOLITE_OUTCOME_UNKNOWN);
	CHECK_EQ(error.outcome, POOLITE_DONE_UNKNOWN);
	CHECK_EQ(error.rows_done, rows_sent(2));
}

Test(client_chunks, first_message_that_did_nothing_leaves_nothing)
{
	poolite__fail(&sent.failure, POOLITE_CONSTRAINT, "twice (row 7 of 9)");
	sent.bad = 1;
	CHECK_EQ(send_all(300), POOLITE_CONSTRAINT);
	CHECK_EQ(error.outcome, POOLITE_DONE_NO);
	CHECK_EQ(error.rows_done, 0);
}

Test(client_chunks, row_too_large_by_itself_leaves_those_before_it)
{
	static char large[120000];

	values[2 * 2000 + 1] = poolite_blob(large, sizeof large);
	CHECK_EQ(send_all(300), POOLITE_TOO_LARGE);
	CHECK_HAS(error.message, "row 2001 ");
	CHECK_EQ(error.outcome, POOLITE_DONE_PART);
	CHECK_EQ(error.rows_done, 2000);
	CHECK_EQ(rows_sent(sent.batches), 2000);
}

static void last_messages_change_nothing(int chunk_rows)
{
	sent.empty_from = 4;
	CHECK_OK(send_all(chunk_rows), &error);
	CHECK_EQ(changes.changes, rows_sent(3));
	CHECK_EQ(changes.last_insert_id, 7);
}

Test(client_chunks, last_insert_id_is_that_of_the_last_message_with_changes)
{
	last_messages_change_nothing(300);
}

Test(client_chunks, last_insert_id_of_a_split_batch_too)
{
	last_messages_change_nothing(0);
}

/* ---- with a broker ------------------------------------------------------------------ */

static void start_broker(void)
{
	make_values();
	poolited_start(&broker, "--max-frame-bytes", "100K");
	client_open(&db, broker.socket, NULL);
	CHECK_EQ(poolite_script(
		     db, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)", 0, NULL, &error),
	    0);
}

static void end_broker(void)
{
	poolite_close(db);
	poolited_end(&broker);
}

TestSuite(client_chunks_broker, .init = start_broker, .fini = end_broker, .timeout = 60);

#define INSERT "INSERT INTO t VALUES (?, ?)"

Test(client_chunks_broker, all_go_in)
{
	CHECK_OK(
	    poolite_batch_in_chunks(db, INSERT, values, 2, ROWS, 70, &changes, &error),
	    &error);
	CHECK_EQ(changes.changes, ROWS);
	CHECK_EQ(changes.last_insert_id, ROWS);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), ROWS);
}

Test(client_chunks_broker, rows_done_are_in_and_no_others)
{
	values[2 * 3333] = poolite_integer(1); /* the second time */
	CHECK_ERROR(
	    poolite_batch_in_chunks(db, INSERT, values, 2, ROWS, 100, &changes, &error),
	    &error, POOLITE_CONSTRAINT, POOLITE_DONE_PART);
	CHECK_HAS(error.message, "(row 3334 of 5000)");
	CHECK_EQ(error.rows_done, 3300);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 3300);
	CHECK_EQ(client_number(db, "SELECT max(id) FROM t"), 3300);
	/* And so one goes on. */
	values[2 * 3333] = poolite_integer(3334);
	CHECK_OK(poolite_batch_in_chunks(db, INSERT, values + 2 * error.rows_done, 2,
		     (size_t)(ROWS - error.rows_done), 100, &changes, &error),
	    &error);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), ROWS);
}

Test(client_chunks_broker, of_a_pipeline_tell_it_too)
{
	struct poolite_pipeline *pipeline;
	uint64_t good, bad, wrong;

	CHECK_OK(poolite_pipeline_open(db, NULL, &pipeline, &error), &error);
	CHECK_OK(poolite_send_batch_in_chunks(
		     pipeline, INSERT, values, 2, 50, 20, &good, &error),
	    &error);
	CHECK_OK(poolite_await(pipeline, good, NULL, &changes, &error), &error);
	CHECK_EQ(changes.changes, 50);
	values[2 * 99] = poolite_integer(1);
	CHECK_OK(poolite_send_batch_in_chunks(
		     pipeline, INSERT, values + 2 * 50, 2, 60, 20, &bad, &error),
	    &error);
	CHECK_ERROR(poolite_await(pipeline, bad, NULL, &changes, &error), &error,
	    POOLITE_CONSTRAINT, POOLITE_DONE_PART);
	CHECK_EQ(error.rows_done, 40);
	CHECK_EQ(client_number(db, "SELECT count(*) FROM t"), 90);
	CHECK_ERROR(poolite_send_batch_in_chunks(
			pipeline, INSERT, values, 2, 60, -1, &wrong, &error),
	    &error, POOLITE_BAD_REQUEST, POOLITE_DONE_NO);
	poolite_pipeline_close(pipeline);
}
