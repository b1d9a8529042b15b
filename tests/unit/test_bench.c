/* The benchmark's own arithmetic, and that it notices wrong answers. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "proto/answer.h"
#include "proto/buffer.h"
#include "proto/failure.h"
#include "proto/statement.h"
#include "tests/bench/database.h"
#include "tests/bench/measure.h"
#include "tests/bench/wire.h"

Test(bench, quantiles_are_right_to_one_percent)
{
	static struct histogram histogram;
	static const double quantiles[] = {0.01, 0.5, 0.9, 0.99, 0.999};

	for (int64_t ns = 1; ns <= 1000000; ns++)
		histogram_add(&histogram, ns);
	cr_assert_eq(histogram.count, 1000000);
	cr_assert_eq(histogram.max_ns, 1000000);
	for (size_t i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++) {
		double found = histogram_quantile(&histogram, quantiles[i]);

		cr_expect_float_eq(found, quantiles[i] * 1e6, quantiles[i] * 1e4,
		    "%g is %g", quantiles[i], found);
	}
	cr_expect_eq(histogram_quantile(&histogram, 1), 1000000);
}

Test(bench, histograms_add_up_and_take_any_value)
{
	static struct histogram one, other;
	static const int64_t values[] = {-5, 0, 127, 128, INT64_MAX};

	cr_expect_eq(histogram_quantile(&one, 0.5), 0);
	for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++)
		histogram_add(&one, values[i]);
	histogram_merge(&other, &one);
	histogram_merge(&other, &one);
	cr_expect_eq(other.count, 10);
	cr_expect_eq(other.max_ns, INT64_MAX);
	cr_expect_eq(histogram_quantile(&other, 0.5), 127);
}

Test(bench, spread_is_median_and_quartiles)
{
	struct spread spread = spread_of((const double[]){40, 10, 30, 20, 50}, 5);

	cr_expect_eq(spread.q1, 20);
	cr_expect_eq(spread.median, 30);
	cr_expect_eq(spread.q3, 40);
	spread = spread_of((const double[]){2, 1}, 2);
	cr_expect_eq(spread.median, 1.5);
}

Test(bench, only_what_ended_in_time_counts_for_the_rate)
{
	static struct tally tally = {.elapsed_ns = 1000};

	tally_add(&tally, 0, 900, 1000);
	tally_add(&tally, 0, 1001, 1000);
	cr_expect_eq(tally.done, 2);
	cr_expect_eq(tally_rate(&tally), 1e6);
}

/* ---- wires: each request's right answer, and wrong ones ------------------------------ */

/* An answer to ${slot} with ${rows} rows of two columns, the first one ${row}. */
static void pack_rows(
    struct poolite__buf *buf, uint32_t slot, uint32_t row, unsigned rows)
{
	struct poolite__rows result;
	msgpack_packer packer;

	poolite__buf_init(buf, 4096, NULL);
	poolite__packer_init(&packer, buf);
	poolite__pack_answer(buf, slot);
	poolite__rows_open(&result, buf, 2);
	poolite__rows_column(&result, "id");
	poolite__rows_column(&result, "title");
	poolite__rows_begin(&result);
	for (unsigned i = 0; i < rows; i++) {
		poolite__rows_next(&result);
		msgpack_pack_uint32(&packer, row);
		poolite__pack_cstr(&packer, "a lead");
	}
	poolite__rows_close(&result);
}

Test(bench, poolite_requests_are_what_proto_reads)
{
	struct wire wire;
	uint8_t bytes[WIRE_ASK_MAX];
	struct poolite__request request;
	struct poolite__failure failure;
	int64_t row;
	bool has_msgid;

	wire_poolite(&wire, "x", POOLITE__QUERY, SQL_READ);
	size_t len = wire.ask(&wire, 5, 777, bytes);
	cr_assert_eq(
	    poolite__read_request(bytes, len, &request, &has_msgid, &failure), 0);
	cr_assert_eq(poolite__read_params(&request, &failure), 0);
	cr_expect_eq(request.msgid, 5);
	cr_expect_eq(request.method, POOLITE__QUERY);
	cr_assert_eq(request.sql_len, strlen(SQL_READ));
	cr_assert_eq(poolite__read_int64(&request.args.at, &row), 0);
	cr_expect_eq(row, 777);
}

Test(bench, poolite_answers_tell_slot_and_row)
{
	struct wire wire;
	struct poolite__buf buf;
	struct reply reply;

	wire_poolite(&wire, "x", POOLITE__QUERY, SQL_READ);
	pack_rows(&buf, 3, 4711, 1);
	for (size_t len = 0; len < buf.len; len++)
		cr_assert_eq(wire.answer(&wire, buf.data, len, &reply), 0);
	cr_assert_eq(wire.answer(&wire, buf.data, buf.len, &reply), (ssize_t)buf.len);
	cr_expect_eq(reply.slot, 3);
	cr_expect_eq(reply.row, 4711);
	poolite__buf_release(&buf);
}

Test(bench, poolite_errors_and_missing_rows_are_noticed)
{
	struct wire wire;
	struct poolite__buf buf;
	struct poolite__failure failure;
	struct reply reply;

	wire_poolite(&wire, "x", POOLITE__QUERY, SQL_READ);
	for (unsigned rows = 0; rows <= 2; rows += 2) {
		pack_rows(&buf, 3, 1, rows);
		cr_expect_eq(wire.answer(&wire, buf.data, buf.len, &reply), -1);
		poolite__buf_truncate(&buf, 0);
	}
	poolite__fail(&failure, POOLITE_BUSY, "held");
	poolite__pack_error_answer(&buf, 3, &failure);
	cr_expect_eq(wire.answer(&wire, buf.data, buf.len, &reply), -1);
	cr_expect_str_eq(reply.message, "Poolite: held");
	poolite__buf_release(&buf);
}

Test(bench, an_update_has_to_change_one_row)
{
	struct wire wire;
	struct poolite__buf buf;
	struct reply reply;

	wire_poolite(&wire, "x", POOLITE__UPDATE, SQL_UPDATE);
	poolite__buf_init(&buf, 4096, NULL);
	for (int64_t changes = 0; changes <= 2; changes++) {
		poolite__pack_answer(&buf, 0);
		poolite__pack_changes(&buf, changes, 0);
		cr_expect_eq(wire.answer(&wire, buf.data, buf.len, &reply),
		    changes == 1 ? (ssize_t)buf.len : -1);
		poolite__buf_truncate(&buf, 0);
	}
	poolite__buf_release(&buf);
}

Test(bench, redis_answers_tell_their_row)
{
	struct wire wire;
	struct reply reply;
	uint8_t bytes[WIRE_ASK_MAX];
	char answer[128];

	wire_redis(&wire, "x");
	size_t len = wire.ask(&wire, 0, 42, bytes);
	cr_expect_eq(len, strlen("*2\r\n$3\r\nGET\r\n$15\r\nlead:0000000042\r\n"));
	cr_expect_eq(
	    memcmp(bytes, "*2\r\n$3\r\nGET\r\n$15\r\nlead:0000000042\r\n", len), 0);
	snprintf(answer, sizeof(answer), "$100\r\n%010u%090u\r\n", 42u, 0u);
	for (size_t i = 0; i < strlen(answer); i++)
		cr_assert_eq(wire.answer(&wire, (uint8_t *)answer, i, &reply), 0);
	cr_assert_eq(wire.answer(&wire, (uint8_t *)answer, strlen(answer), &reply),
	    (ssize_t)strlen(answer));
	cr_expect_eq(reply.row, 42);
	cr_expect_eq(reply.slot, IN_ORDER);
	cr_expect_eq(wire.answer(&wire, (const uint8_t *)"$-1\r\n", 5, &reply), -1);
	cr_expect_eq(wire.answer(&wire, (const uint8_t *)"-ERR no\r\n", 9, &reply), -1);
}

Test(bench, postgres_answers_tell_their_row)
{
	/* 'D' with one column "17", 'C', 'Z'; then 'E' */
	static const uint8_t good[] = "D\0\0\0\x0c\0\1\0\0\0\2"
				      "17"
				      "C\0\0\0\x0dSELECT 1\0"
				      "Z\0\0\0\5I";
	static const uint8_t none[] = "C\0\0\0\x0dSELECT 0\0"
				      "Z\0\0\0\5I";
	static const uint8_t error[] = "E\0\0\0\x0bMhello\0\0"
				       "Z\0\0\0\5I";
	struct wire wire;
	struct reply reply;

	wire_postgres(&wire, "x", "SELECT ");
	for (size_t i = 0; i < sizeof(good) - 1; i++)
		cr_assert_eq(wire.answer(&wire, good, i, &reply), 0);
	cr_assert_eq(wire.answer(&wire, good, sizeof(good) - 1, &reply),
	    (ssize_t)sizeof(good) - 1);
	cr_expect_eq(reply.row, 17);
	cr_expect_eq(wire.answer(&wire, none, sizeof(none) - 1, &reply), -1);
	cr_expect_eq(wire.answer(&wire, error, sizeof(error) - 1, &reply), -1);
	cr_expect_str_eq(reply.message, "PostgreSQL: hello");
}
