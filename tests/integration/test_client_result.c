/* Results: rows, types, conversions as SQLite does them. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/number.h"
#include "client/poolite.h"
#include "proto/answer.h"
#include "proto/statement.h"
#include "tests/support/fake_broker.h"

static struct fake_broker broker;
static struct poolite *db;

/* What the role answers to the one query. */
static struct poolite__buf answer;

static void role(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	while (fake_read(self, fd, &request)) {
		fake_send(fd, answer.data, answer.len);
		fake_request_release(&request);
	}
	close(fd);
}

static void set_up(void)
{
	fake_broker_init(&broker);
	fake_broker_start(&broker, role);
	cr_assert_eq(poolite_open(broker.path, NULL, &db, NULL), 0);
	poolite__buf_init(&answer, 1 << 20, NULL);
	poolite__pack_answer(&answer, 0);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&broker);
	poolite__buf_release(&answer);
}

TestSuite(client_result, .init = set_up, .fini = tear_down, .timeout = 60);

static struct poolite_result *ask(void)
{
	struct poolite_result *result;
	struct poolite_error error;

	poolite_query(db, "x", POOLITE_NO_ARGS, &result, &error);
	cr_assert_eq(error.code, 0, "%s", error.message);
	return result;
}

/* Two rows of a INTEGER, b REAL, B TEXT, d BLOB, e NULL; it also wrote. */
static void pack_rows(void)
{
	struct poolite_value row[] = {poolite_integer(-5), poolite_real(2.75),
	    poolite_text("12 apples"), poolite_blob("\0\1\2", 3), poolite_null()};
	const char *const names[] = {"a", "b", "B", "d", "e"};
	struct poolite__rows rows;

	poolite__rows_open(&rows, &answer, 5);
	for (int i = 0; i < 5; i++)
		poolite__rows_column(&rows, names[i]);
	poolite__rows_begin(&rows);
	for (int n = 0; n < 2; n++) {
		poolite__rows_next(&rows);
		for (int i = 0; i < 5; i++)
			poolite__pack_value(&answer, &row[i]);
		row[0] = poolite_integer(6);
		row[2] = poolite_text("");
	}
	poolite__rows_close_written(&rows, 2, 9);
}

Test(client_result, steps_through_rows_and_back)
{
	struct poolite_result *result;

	pack_rows();
	result = ask();
	cr_assert_eq(poolite_result_rows(result), 2);
	cr_assert_eq(poolite_result_columns(result), 5);
	cr_assert_eq(poolite_result_changes(result), 2);
	cr_assert_eq(poolite_result_last_insert_id(result), 9);
	for (int round = 0; round < 2; round++) {
		cr_assert_eq(poolite_result_int64(result, 0), 0, "no row yet");
		cr_assert_null(poolite_result_text(result, 0));
		cr_assert_eq(poolite_result_next(result), 1);
		cr_assert_eq(poolite_result_int64(result, 0), -5);
		cr_assert_eq(poolite_result_next(result), 1);
		cr_assert_eq(poolite_result_int64(result, 0), 6);
		cr_assert_str_eq(poolite_result_text(result, 2), "");
		cr_assert_not_null(poolite_result_blob(result, 2));
		cr_assert_eq(poolite_result_bytes(result, 2), 0);
		cr_assert_eq(poolite_result_next(result), 0);
		cr_assert_eq(poolite_result_next(result), 0);
		cr_assert(poolite_result_is_null(result, 0), "past the last row");
		poolite_result_rewind(result);
	}
	poolite_result_free(result);
}

Test(client_result, finds_columns_by_name)
{
	struct poolite_result *result;

	pack_rows();
	result = ask();
	cr_assert_str_eq(poolite_result_column_name(result, 4), "e");
	cr_assert_null(poolite_result_column_name(result, 5));
	cr_assert_eq(poolite_result_column_index(result, "A"), 0);
	cr_assert_eq(
	    poolite_result_column_index(result, "B"), 1, "the first of that name");
	cr_assert_eq(poolite_result_column_index(result, "bb"), -1);
	cr_assert_eq(poolite_result_column_index(result, NULL), -1);
	poolite_result_free(result);
}

Test(client_result, converts_as_sqlite_does)
{
	struct poolite_result *result;
	const char *first;

	pack_rows();
	result = ask();
	cr_assert_eq(poolite_result_next(result), 1);
	cr_assert_eq(poolite_result_type(result, 0), POOLITE_INTEGER);
	cr_assert_float_eq(poolite_result_double(result, 0), -5.0, 0);
	first = poolite_result_text(result, 0);
	cr_assert_eq(poolite_result_type(result, 1), POOLITE_REAL);
	cr_assert_eq(poolite_result_int64(result, 1), 2);
	cr_assert_str_eq(poolite_result_text(result, 1), "2.75");
	cr_assert_eq(poolite_result_bytes(result, 1), 4);
	cr_assert_eq(poolite_result_type(result, 2), POOLITE_TEXT);
	cr_assert_eq(poolite_result_int64(result, 2), 12);
	cr_assert_float_eq(poolite_result_double(result, 2), 12.0, 0);
	cr_assert_str_eq(poolite_result_text(result, 2), "12 apples");
	cr_assert_eq(poolite_result_type(result, 3), POOLITE_BLOB);
	cr_assert_eq(poolite_result_bytes(result, 3), 3);
	cr_assert_arr_eq(poolite_result_blob(result, 3), "\0\1\2", 3);
	cr_assert_arr_eq(poolite_result_text(result, 3), "\0\1\2", 4);
	cr_assert(poolite_result_is_null(result, 4));
	cr_assert_null(poolite_result_text(result, 4));
	cr_assert_null(poolite_result_blob(result, 4));
	cr_assert_eq(poolite_result_bytes(result, 4), 0);
	cr_assert(poolite_result_is_null(result, 99));
	cr_assert_str_eq(first, "-5", "a text lasts while its row does");
	cr_assert_eq(poolite_result_text(result, 0), first);
	poolite_result_free(result);
}

Test(client_result, a_row_of_another_width_ends_it_once)
{
	struct poolite_result *result;
	struct poolite_value one = poolite_integer(1);
	struct poolite__rows rows;

	poolite__rows_open(&rows, &answer, 2);
	poolite__rows_column(&rows, "a");
	poolite__rows_column(&rows, "b");
	rows.columns = 1; /* and now rows of one */
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__pack_value(&answer, &one);
	poolite__rows_close(&rows);
	result = ask();
	cr_assert_eq(poolite_result_next(result), POOLITE_INTERNAL);
	cr_assert_eq(poolite_result_next(result), 0);
	poolite_result_free(result);
}

Test(client_result, no_result_is_an_empty_one)
{
	cr_assert_eq(poolite_result_next(NULL), 0);
	cr_assert_eq(poolite_result_rows(NULL), 0);
	cr_assert_eq(poolite_result_columns(NULL), 0);
	cr_assert_null(poolite_result_column_name(NULL, 0));
	cr_assert_eq(poolite_result_column_index(NULL, "a"), -1);
	cr_assert_eq(poolite_result_changes(NULL), 0);
	cr_assert_eq(poolite_result_last_insert_id(NULL), 0);
	cr_assert(poolite_result_is_null(NULL, 0));
	cr_assert_eq(poolite_result_int64(NULL, 0), 0);
	cr_assert_float_eq(poolite_result_double(NULL, 0), 0.0, 0);
	cr_assert_null(poolite_result_text(NULL, 0));
	cr_assert_null(poolite_result_blob(NULL, 0));
	cr_assert_eq(poolite_result_bytes(NULL, 0), 0);
	poolite_result_rewind(NULL);
	poolite_result_free(NULL);
}

/* ---- numbers ------------------------------------------------------------- */

/* The expectations are what sqlite3 3.40 says to CAST. */
Test(client_number, reads_integers)
{
	static const struct {
		const char *text;
		int64_t integer;
	} cases[] = {
	    {"", 0},
	    {"-", 0},
	    {"apples", 0},
	    {"007", 7},
	    {" \t+42x", 42},
	    {"1e3", 1},
	    {"-12.9", -12},
	    {"9223372036854775807", INT64_MAX},
	    {"9223372036854775808", INT64_MAX},
	    {"-9223372036854775808", INT64_MIN},
	    {"-9223372036854775809", INT64_MIN},
	    {"99999999999999999999", INT64_MAX},
	    {"0x10", 0},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect_eq(poolite__text_to_int64(cases[i].text, strlen(cases[i].text)),
		    cases[i].integer, "%s", cases[i].text);
	cr_expect_eq(poolite__text_to_int64("123", 2), 12, "no byte beyond");
}

Test(client_number, reads_reals)
{
	static const struct {
		const char *text;
		double real;
	} cases[] = {
	    {"", 0},
	    {".", 0},
	    {"-.", 0},
	    {".5", 0.5},
	    {"5.", 5},
	    {"-1.5e3x", -1500},
	    {"1e", 1},
	    {"1e+", 1},
	    {"2.5E-1", 0.25},
	    {"0x10", 0},
	    {"inf", 0},
	    {"nan", 0},
	    {" 7 ", 7},
	    {"1e999", HUGE_VAL},
	    {"1,5", 1},
	};
	char digits[1000];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		cr_expect(poolite__text_to_double(cases[i].text, strlen(cases[i].text)) ==
			cases[i].real,
		    "%s", cases[i].text);
	memset(digits, '0', sizeof digits);
	digits[sizeof digits - 1] = '8';
	cr_expect_float_eq(poolite__text_to_double(digits, sizeof digits), 8.0, 0);
}

Test(client_number, writes_reals_with_a_point)
{
	static const struct {
		double real;
		const char *text;
	} cases[] = {
	    {0.0, "0.0"},
	    {-0.0, "0.0"},
	    {100.0, "100.0"},
	    {0.1, "0.1"},
	    {1e20, "1.0e+20"},
	    {1.5e300, "1.5e+300"},
	    {-1e-5, "-1.0e-05"},
	    {HUGE_VAL, "Inf"},
	    {-HUGE_VAL, "-Inf"},
	    {-1.2345678901234567e-300, "-1.23456789012346e-300"},
	};
	char text[POOLITE__NUMBER_BYTES];

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		cr_expect_eq(poolite__double_to_text(text, cases[i].real), strlen(text));
		cr_expect_str_eq(text, cases[i].text);
	}
}

Test(client_number, cuts_reals_to_integers)
{
	cr_expect_eq(poolite__double_to_int64(-2.9), -2);
	cr_expect_eq(poolite__double_to_int64(1e30), INT64_MAX);
	cr_expect_eq(poolite__double_to_int64(-1e30), INT64_MIN);
	cr_expect_eq(poolite__double_to_int64((double)INT64_MIN), INT64_MIN);
	cr_expect_eq(poolite__double_to_int64(NAN), 0);
}
