/* Batches: how many rows a message takes, and what is sent when it is not all. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/batch.h"
#include "client/verb.h"
#include "proto/batch.h"
#include "proto/frame.h"
#include "tests/support/client.h"
#include "tests/support/fake_broker.h"

#define ROWS 5000

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;
static struct poolite_changes changes;
static struct poolite_value values[ROWS * 2]; /* two columns, about 110 bytes a row */
static char text[101];

static void set_up(void)
{
	memset(text, 'x', sizeof text - 1);
	for (size_t i = 0; i < ROWS; i++) {
		values[2 * i] = poolite_integer((int64_t)i);
		values[2 * i + 1] = poolite_text(text);
	}
	fake_broker_init(&broker);
	client_open(&db, broker.path, NULL);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&broker);
}

TestSuite(client_batch, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect_sent(int requests, int rows)
{
	cr_assert_eq(atomic_load(&broker.requests), requests, "%d requests instead of %d",
	    atomic_load(&broker.requests), requests);
	cr_assert_eq(atomic_load(&broker.rows), rows);
}

Test(client_batch, a_small_one_is_one_request)
{
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, 100, &changes, &error), 0);
	expect_sent(1, 100);
	cr_assert_eq(changes.changes, 100);
	cr_assert_eq(changes.last_insert_id, 7);
}

Test(client_batch, no_rows_and_rows_without_columns_are_sent_as_they_are)
{
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_batch(db, "INSERT", NULL, 0, 0, &changes, &error), 0);
	expect_sent(1, 0);
	cr_assert_eq(poolite_batch(db, "INSERT", NULL, 0, 3, &changes, &error), 0);
	expect_sent(2, 3);
}

Test(client_batch, a_large_one_asks_once_what_the_broker_takes)
{
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error), 0);
	expect_sent(2, ROWS); /* hello, batch */
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error), 0);
	expect_sent(3, 2 * ROWS);
}

Test(client_batch, one_too_large_is_split_inside_a_transaction)
{
	broker.max_frame_bytes = 100000;
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error), 0,
	    "%s", error.message);
	expect_sent(3 + 6, ROWS); /* hello, begin, six parts, commit */
	cr_assert_eq(changes.changes, ROWS);
	cr_assert_eq(changes.last_insert_id, 7);
	cr_assert_leq(atomic_load(&broker.largest), 100000);
}

Test(client_batch, too_many_values_split_it_too)
{
	broker.max_values = 5000;
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error), 0,
	    "%s", error.message);
	expect_sent(3 + 4, ROWS);
	cr_assert_eq(changes.changes, ROWS);
}

Test(client_batch, inside_a_transaction_it_is_split_inside_a_savepoint)
{
	struct poolite_tx *tx;

	broker.max_frame_bytes = 100000;
	fake_broker_start(&broker, fake_serve);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	cr_assert_eq(
	    poolite_tx_batch(tx, "INSERT", values, 2, ROWS, &changes, &error), 0);
	cr_assert_eq(poolite_tx_commit(tx, &error), 0);
	expect_sent(
	    1 + 1 + 1 + 6 + 1 + 1, ROWS); /* begin hello SAVEPOINT parts RELEASE commit */
	cr_assert_eq(changes.changes, ROWS);
	cr_assert_eq(atomic_load(&broker.connections), 1);
}

Test(client_batch, a_row_too_large_by_itself_undoes_all)
{
	broker.max_frame_bytes = 70000;
	fake_broker_start(&broker, fake_serve);
	char *large = calloc(1, 80000);
	values[2 * 1000 + 1] = poolite_blob(large, 80000);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error),
	    POOLITE_TOO_LARGE);
	cr_assert_eq(error.outcome, POOLITE_DONE_NO);
	cr_assert_not_null(strstr(error.message, "row 1001 "), "%s", error.message);
	cr_assert_eq(changes.changes, 0);
	expect_sent(2 + 2 + 1, 1000); /* hello, begin, two parts, rollback */
	free(large);
}

Test(client_batch, sql_too_large_by_itself_is_refused)
{
	char *sql = calloc(1, 80001);

	broker.max_frame_bytes = 70000;
	fake_broker_start(&broker, fake_serve);
	memset(sql, ' ', 80000);
	cr_assert_eq(
	    poolite_batch(db, sql, values, 2, 1, &changes, &error), POOLITE_TOO_LARGE);
	expect_sent(1, 0);
	free(sql);
}

/* Answer all but the third batch, which is refused, and note how it ends. */
static void refuse_third(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;
	int batches = 0;

	while (fake_read(self, fd, &request)) {
		enum poolite__method method = request.request.method;

		if (method == POOLITE__BATCH && ++batches == 3)
			fake_refuse(
			    fd, request.request.msgid, POOLITE_CONSTRAINT, "twice");
		else
			fake_answer(self, fd, &request);
		*(enum poolite__method *)self->context = method;
		fake_request_release(&request);
	}
	close(fd);
}

Test(client_batch, an_error_in_one_part_undoes_all)
{
	enum poolite__method last = POOLITE__HELLO;

	broker.max_frame_bytes = 100000;
	broker.context = &last;
	fake_broker_start(&broker, refuse_third);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error),
	    POOLITE_CONSTRAINT);
	cr_assert_str_eq(error.message, "twice");
	cr_assert_eq(error.outcome, POOLITE_DONE_NO);
	cr_assert_eq(changes.changes, 0);
	poolite_close(db);
	db = NULL;
	fake_broker_stop(&broker);
	cr_assert_eq(last, POOLITE__ROLLBACK);
}

/* How the third batch is refused. */
struct refusal {
	const char *behind; /* "(row 17 of ...)" */
	int before;         /* rows of the parts before it */
};

/* Answer all but the third batch. */
static void refuse_row(struct fake_broker *self)
{
	struct refusal *refusal = self->context;
	int fd = fake_accept(self);
	struct fake_request request;
	int batches = 0, rows = 0;

	while (fake_read(self, fd, &request)) {
		if (request.request.method == POOLITE__BATCH && ++batches == 3) {
			char message[200];

			refusal->before = rows;
			snprintf(message, sizeof message, "(a) failed (row 17 of %d)%s",
			    atomic_load(&self->rows) - rows, refusal->behind);
			fake_refuse(
			    fd, request.request.msgid, POOLITE_CONSTRAINT, message);
		} else {
			fake_answer(self, fd, &request);
		}
		rows = atomic_load(&self->rows);
		fake_request_release(&request);
	}
	close(fd);
}

static void fail_in_third_part(struct refusal *refusal)
{
	broker.max_frame_bytes = 100000;
	broker.context = refusal;
	fake_broker_start(&broker, refuse_row);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error),
	    POOLITE_CONSTRAINT);
	cr_assert_gt(refusal->before, 0);
}

Test(client_batch, an_error_in_one_part_names_the_row_of_the_whole)
{
	struct refusal refusal = {.behind = ""};
	char wanted[100];

	fail_in_third_part(&refusal);
	snprintf(wanted, sizeof wanted, "(a) failed (row %d of %d)", refusal.before + 17,
	    ROWS);
	cr_assert_str_eq(error.message, wanted);
}

Test(client_batch, what_only_looks_like_a_row_stays)
{
	struct refusal refusal = {.behind = ", says a trigger"};

	fail_in_third_part(&refusal);
	cr_assert_not_null(strstr(error.message, "(row 17 of "), "%s", error.message);
	cr_assert_null(strstr(error.message, "5000"), "%s", error.message);
}

/* ---- how much fits ------------------------------------------------------- */

/* A row of every type, by position or by name, longer and longer. */
static void make_row(struct poolite_value *row, size_t n, bool is_named)
{
	static char long_text[70000];

	memset(long_text, 'y', sizeof long_text);
	row[0] = poolite_null();
	row[1] = poolite_integer(INT64_MIN);
	row[2] = poolite_real(0.1);
	row[3] = poolite_text_n(long_text, n * 37);
	row[4] = poolite_blob(long_text, n * 41);
	for (int i = 0; is_named && i < 5; i++)
		row[i] = poolite_named(&":abcde"[i], row[i]);
}

/* What is said to fit must fit, as the frame scanner sees it. */
static void expect_fit(bool is_named)
{
	enum { MANY = 1700 };
	static struct poolite_value rows[MANY * 5];

	for (size_t i = 0; i < MANY; i++)
		make_row(rows + 5 * i, i, is_named);
	for (size_t bytes = 1000; bytes < 3000000; bytes = bytes * 5 / 3) {
		struct poolite__room room = {bytes, 1000};
		struct poolite__room before = room;
		size_t fit = poolite__rows_that_fit(rows, 5, MANY, &room);
		struct poolite__limits limits = {bytes + 64, 1000 + 16};
		struct poolite__scan scan = {0};
		struct poolite__buf buf;

		cr_assert_lt(fit, MANY);
		poolite__buf_init(&buf, SIZE_MAX / 4, NULL);
		poolite__pack_batch(&buf, UINT32_MAX, "INSERT", 6, rows, 5, fit, NULL);
		cr_assert_eq(
		    poolite__scan_next(&scan, buf.data, buf.len, &limits), buf.len);
		cr_assert_geq(before.bytes - room.bytes + 64, buf.len);
		poolite__buf_release(&buf);
	}
}

Test(client_batch, what_is_said_to_fit_fits)
{
	expect_fit(false);
	expect_fit(true);
}

/* ---- packed while it is sent --------------------------------------------------------- */

/* All pieces of ${batch}, behind what ${buf} holds. */
static size_t append_pieces(struct poolite__long_batch *batch, struct poolite__buf *buf)
{
	struct poolite__buf piece;
	size_t pieces = 0;

	poolite__buf_init(&piece, SIZE_MAX / 4, NULL);
	while (
	    poolite__long_batch_next(batch, pieces == 0, &piece) == 0 && piece.len > 0) {
		poolite__buf_append(buf, piece.data, piece.len);
		poolite__buf_truncate(&piece, 0);
		pieces++;
	}
	poolite__buf_release(&piece);
	return pieces;
}

static void expect_same_bytes(const struct poolite__verb *verb, int64_t timeout_ms)
{
	struct poolite__options options = {
	    .timeout_ms = timeout_ms, .chunk_rows = (uint32_t)verb->chunk_rows};
	struct poolite__long_batch batch;
	struct poolite__buf whole, pieces;

	poolite__buf_init(&whole, SIZE_MAX / 4, NULL);
	poolite__buf_init(&pieces, SIZE_MAX / 4, NULL);
	cr_assert(poolite__is_long_batch(verb));
	poolite__pack_batch(&whole, 7, verb->sql, strlen(verb->sql), verb->values,
	    verb->columns, verb->rows, &options);
	cr_assert_eq(poolite__long_batch_start(&batch, verb, &pieces, 7, timeout_ms), 0);
	size_t start = pieces.len;
	for (int attempt = 0; attempt < 2; attempt++) { /* as for a second attempt */
		poolite__buf_truncate(&pieces, start);
		cr_assert_geq(append_pieces(&batch, &pieces), 2);
		cr_assert_eq(pieces.len, whole.len);
		cr_assert_eq(memcmp(pieces.data, whole.data, whole.len), 0);
	}
	poolite__buf_release(&whole);
	poolite__buf_release(&pieces);
}

Test(client_batch, pieces_of_a_long_one_are_the_bytes_of_the_whole)
{
	struct poolite__verb verb = poolite__batch_verb("INSERT", values, 2, ROWS, 0);

	expect_same_bytes(&verb, 0);
	expect_same_bytes(&verb, 1234);
	verb.chunk_rows = 100;
	expect_same_bytes(&verb, 1234);
	for (size_t i = 0; i < sizeof values / sizeof *values; i++)
		values[i] = poolite_named(i % 2 ? "b" : "a", values[i]);
	expect_same_bytes(&verb, 1234);
}

Test(client_batch, one_whose_names_do_not_agree_is_refused_before_a_byte_is_sent)
{
	fake_broker_start(&broker, fake_serve);
	values[2 * (ROWS - 1)] = poolite_named("a", values[0]);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error),
	    POOLITE_BAD_REQUEST);
	cr_assert(strstr(error.message, "have a name"), "%s", error.message);
	cr_assert_eq(atomic_load(&broker.rows), 0);
}

/* The first connection ends in the middle of its second request. */
static void hang_up_in_the_middle(struct fake_broker *fake)
{
	struct fake_request hello;
	char some[1000];
	int fd = fake_accept(fake);

	cr_assert(fake_read(fake, fd, &hello));
	fake_answer(fake, fd, &hello);
	fake_request_release(&hello);
	cr_assert_gt(recv(fd, some, sizeof some, MSG_WAITALL), 0);
	close(fd);
	fake_serve(fake);
}

Test(client_batch, a_long_one_that_did_not_go_out_whole_is_sent_anew_from_its_start)
{
	fake_broker_start(&broker, hang_up_in_the_middle);
	cr_assert_eq(poolite_batch(db, "INSERT", values, 2, ROWS, &changes, &error), 0,
	    "%s", error.message);
	cr_assert_eq(atomic_load(&broker.connections), 2);
	expect_sent(2, ROWS); /* hello, and the batch once whole */
	cr_assert_eq(changes.changes, ROWS);
}
