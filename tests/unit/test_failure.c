/* Errors: the table, the text for people, and the way over the wire. */
#include "proto/failure.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/reader.h"
#include "proto/value.h"
#include "tests/unit/wire.h"

Test(failure, has_a_name_and_a_meaning_for_every_code)
{
	cr_assert_str_eq(poolite__code_name(-1), "BAD_REQUEST");
	cr_assert_str_eq(poolite__code_name(-20), "NO_BROKER");
	for (int code = -20; code < 0; code++) {
		cr_assert_str_neq(poolite__code_name(code), "UNKNOWN");
		cr_assert_str_neq(poolite__code_meaning(code), "");
	}
	for (int other = 0; other < 3; other++) {
		static const int numbers[] = {0, 1, -21};

		cr_assert_str_eq(poolite__code_name(numbers[other]), "UNKNOWN");
		cr_assert_str_eq(poolite__code_meaning(numbers[other]), "");
	}
}

Test(failure, is_listed_in_the_protocol_with_number_name_and_meaning)
{
	static char document[1 << 17];
	FILE *file = fopen(SOURCE_DIR "/proto/PROTOCOL.md", "r");

	cr_assert(ne(ptr, file, NULL));
	document[fread(document, 1, sizeof document - 1, file)] = '\0';
	fclose(file);
	for (int code = -20; code < 0; code++) {
		char row[256];

		snprintf(row, sizeof row, "\n| %d | `%s` | %s | ", code,
		    poolite__code_name(code), poolite__code_meaning(code));
		cr_assert(ne(ptr, strstr(document, row), NULL), "%s", row);
	}
	cr_assert(eq(ptr, strstr(document, "\n| -21 |"), NULL));
}

Test(failure, says_what_the_format_says)
{
	struct poolite__failure failure = {
	    .sqlite = 5, .is_unknown = true, .rows_done = 3};

	cr_assert(eq(int, poolite__fail(&failure, POOLITE_TOO_LARGE, "%d of %s", 3, "x"),
	    POOLITE_TOO_LARGE));
	cr_assert(eq(int, failure.code, POOLITE_TOO_LARGE));
	cr_assert(eq(int, failure.sqlite, 0));
	cr_assert(not(failure.is_unknown));
	cr_assert(eq(i64, failure.rows_done, 0));
	cr_assert_str_eq(failure.message, "3 of x");
	poolite__fail(&failure, POOLITE_OUTCOME_UNKNOWN, "who knows");
	cr_assert(failure.is_unknown);
}

Test(failure, may_be_nowhere)
{
	cr_assert(eq(int, poolite__fail(NULL, POOLITE_BUSY, "%s", "x"), POOLITE_BUSY));
}

Test(failure, may_be_made_of_its_own_message)
{
	struct poolite__failure failure;

	poolite__fail(&failure, POOLITE_SQL_ERROR, "no such table: t");
	poolite__fail(&failure, failure.code, "statement %d: %s", 2, failure.message);
	cr_assert_str_eq(failure.message, "statement 2: no such table: t");
}

Test(failure, puts_a_question_mark_for_each_byte_that_is_no_utf8)
{
	static const struct {
		const char *bytes;
		const char *text;
	} table[] = {
	    {"caf\xc3\xa9", "caf\xc3\xa9"},
	    {"\xff\xfe.", "??."},
	    {"\xc3(", "?("},
	    {"\xed\xa0\x80", "???"},
	    {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
	    {"tail\xe2\x82", "tail??"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__failure failure;

		poolite__fail(&failure, POOLITE_SQL_ERROR, "%s", table[i].bytes);
		cr_assert_str_eq(failure.message, table[i].text);
	}
}

Test(failure, is_cut_between_characters)
{
	static const char *const characters[] = {
	    "x", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80"};

	for (size_t shift = 0; shift < 4; shift++) {
		for (size_t i = 0; i < 4; i++) {
			struct poolite__failure failure;
			size_t size = strlen(characters[i]);
			char text[2 * POOLITE__MESSAGE_BYTES] = "abc";
			size_t len;

			text[shift] = '\0';
			while (strlen(text) < POOLITE__MESSAGE_BYTES + 8)
				strcat(text, characters[i]);
			poolite__fail(&failure, POOLITE_SQL_ERROR, "%s", text);
			len = strlen(failure.message);
			cr_assert(poolite__is_utf8(failure.message, len));
			cr_assert(eq(ptr, strchr(failure.message, '?'), NULL));
			cr_assert(gt(sz, len, POOLITE__MESSAGE_BYTES - 1 - size));
			cr_assert(lt(sz, len, POOLITE__MESSAGE_BYTES));
		}
	}
}

/* ${failure} over the wire and back. */
static int send_over(const struct poolite__failure *failure, struct poolite__failure *got)
{
	struct poolite__reader reader;
	struct poolite__buf buf;
	int rc;

	poolite__buf_init(&buf, 1024, NULL);
	cr_assert(eq(int, poolite__pack_failure(&buf, failure), 0));
	reader = poolite__reader_over(buf.data, buf.len);
	rc = poolite__read_failure(&reader, got);
	cr_assert(eq(ptr, (void *)reader.at, (void *)reader.end));
	poolite__buf_release(&buf);
	return rc;
}

Test(failure, comes_over_the_wire_as_it_was)
{
	struct poolite__failure failure;
	struct poolite__failure got;

	for (int code = -20; code < 0; code++) {
		poolite__fail(&failure, code, "reason %d", code);
		failure.sqlite = code % 2 ? 2067 : 0;
		failure.is_unknown = code % 3 == 0;
		failure.rows_done = code % 4 ? 0 : INT64_MAX + code;
		cr_assert(eq(int, send_over(&failure, &got), 0));
		cr_assert(eq(int, got.code, failure.code));
		cr_assert(eq(int, got.sqlite, failure.sqlite));
		cr_assert(eq(int, got.is_unknown, failure.is_unknown));
		cr_assert(eq(i64, got.rows_done, failure.rows_done));
		cr_assert_str_eq(got.message, failure.message);
	}
}

static int read_json(const char *json, struct poolite__failure *failure)
{
	struct poolite__reader reader;
	struct poolite__buf buf;
	const uint8_t *start;
	int rc;

	poolite__buf_init(&buf, 1 << 16, NULL);
	wire_pack_json(&buf, json);
	reader = poolite__reader_over(buf.data, buf.len);
	start = reader.at;
	rc = poolite__read_failure(&reader, failure);
	cr_assert(
	    eq(ptr, (void *)reader.at, (void *)(rc ? start : reader.end)), "%s", json);
	poolite__buf_release(&buf);
	return rc;
}

Test(failure, of_a_later_broker_is_understood)
{
	struct poolite__failure failure;

	cr_assert(eq(int,
	    read_json("[-99, 'new', {'more': [1, {}], 'done': 'no'}, 7]", &failure), 0));
	cr_assert(eq(int, (int)failure.code, -99));
	cr_assert_str_eq(failure.message, "new");
	cr_assert(not(failure.is_unknown));
}

Test(failure, is_of_unknown_outcome_unless_done_says_no)
{
	struct poolite__failure failure;

	cr_assert(eq(int, read_json("[-3, 'x', {}]", &failure), 0));
	cr_assert(failure.is_unknown);
	cr_assert(eq(int, read_json("[-3, 'x', {'done': 'perhaps'}]", &failure), 0));
	cr_assert(failure.is_unknown);
	cr_assert(eq(int, read_json("[-17, 'x', {'done': 'no'}]", &failure), 0));
	cr_assert(not(failure.is_unknown));
}

Test(failure, done_in_part_says_how_many_rows)
{
	static const struct {
		const char *info;
		bool is_unknown;
		int64_t rows_done;
	} table[] = {
	    {"'done': 'part', 'rows_done': 7", false, 7},
	    {"'rows_done': 7, 'done': 'part'", false, 7},
	    {"'done': 'unknown', 'rows_done': 7", true, 7},
	    {"'rows_done': 7", true, 7},
	    /* Which part?  That is not known, then. */
	    {"'done': 'part'", true, 0},
	    {"'done': 'part', 'rows_done': 0", true, 0},
	    /* What was not done has no rows. */
	    {"'done': 'no', 'rows_done': 7", false, 0},
	    {"'rows_done': 7, 'done': 'no'", false, 0},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__failure failure;
		char json[100];

		snprintf(json, sizeof json, "[-5, 'x', {%s}]", table[i].info);
		cr_assert(eq(int, read_json(json, &failure), 0), "%s", json);
		cr_assert(eq(int, failure.is_unknown, table[i].is_unknown), "%s", json);
		cr_assert(eq(i64, failure.rows_done, table[i].rows_done), "%s", json);
	}
}

Test(failure, of_another_shape_is_refused)
{
	static const char *const table[] = {"null", "'oops'", "[]", "[-1]", "[-1, 'x']",
	    "[0, 'x', {}]", "[1, 'x', {}]", "[-1.5, 'x', {}]", "['-1', 'x', {}]",
	    "[-1, 5, {}]", "[-1, 'x', []]", "[-1, 'x', {'done': 1}]",
	    "[-1, 'x', {'rows_done': 'x'}]", "[-1, 'x', {'rows_done': -1}]",
	    "[-1, 'x', {'rows_done': 1.5}]", "[-1, 'x', {'sqlite': 'x'}]",
	    "[-1, 'x', {'sqlite': 4294967296}]", "[-4294967297, 'x', {}]"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__failure failure;

		cr_assert(eq(int, read_json(table[i], &failure), POOLITE_BAD_REQUEST),
		    "%s", table[i]);
	}
}

Test(failure, of_any_length_is_read_and_cut)
{
	struct poolite__failure failure;
	char json[2000];
	char text[1001];

	memset(text, 'y', 1000);
	text[1000] = '\0';
	snprintf(json, sizeof json, "[-4, '%s', {'done': 'no'}]", text);
	cr_assert(eq(int, read_json(json, &failure), 0));
	cr_assert(eq(sz, strlen(failure.message), POOLITE__MESSAGE_BYTES - 1));
}
