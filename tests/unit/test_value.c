/* SQL values and argument lists on the wire, and the reader below them. */
#include "proto/value.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/wire.h"

/* Bytes of a test, and a reader over them that faults behind the end. */
struct sample {
	uint8_t bytes[512];
	struct wire_guarded guarded;
	struct poolite__reader reader;
};

static void sample_init(struct sample *sample, const char *hex)
{
	size_t len = wire_unhex(hex, sample->bytes);

	sample->guarded = wire_guard(sample->bytes, len);
	sample->reader = poolite__reader_over(sample->guarded.bytes, len);
}

static void sample_release(struct sample *sample)
{
	wire_unguard(&sample->guarded);
}

static bool is_at_end(const struct sample *sample)
{
	return sample->reader.at == sample->reader.end;
}

static bool is_same(const struct poolite_value *a, const struct poolite_value *b)
{
	if (a->type != b->type)
		return false;
	switch (a->type) {
	case POOLITE_NULL: return true;
	case POOLITE_INTEGER: return a->as.integer == b->as.integer;
	case POOLITE_REAL: return memcmp(&a->as.real, &b->as.real, sizeof(double)) == 0;
	default:
		return a->len == b->len &&
		    (a->len == 0 || memcmp(a->as.data, b->as.data, a->len) == 0);
	}
}

/* Each value, as Poolite packs it. */
static const struct {
	const char *hex;
	struct poolite_value value;
} packed[] = {
#define INTEGER(number)                                                                  \
	{                                                                                \
		.type = POOLITE_INTEGER, .as.integer = (number)                          \
	}
#define REAL(number)                                                                     \
	{                                                                                \
		.type = POOLITE_REAL, .as.real = (number)                                \
	}
#define TEXT(text)                                                                       \
	{                                                                                \
		.type = POOLITE_TEXT, .len = sizeof(text) - 1, .as.data = (text)         \
	}
#define BLOB(bytes)                                                                      \
	{                                                                                \
		.type = POOLITE_BLOB, .len = sizeof(bytes) - 1, .as.data = (bytes)       \
	}
    {"c0", {.type = POOLITE_NULL}},
    {"00", INTEGER(0)},
    {"7f", INTEGER(127)},
    {"cc80", INTEGER(128)},
    {"ccff", INTEGER(255)},
    {"cd0100", INTEGER(256)},
    {"cdffff", INTEGER(65535)},
    {"ce00010000", INTEGER(65536)},
    {"ceffffffff", INTEGER(4294967295)},
    {"cf0000000100000000", INTEGER(4294967296)},
    {"cf7fffffffffffffff", INTEGER(INT64_MAX)},
    {"ff", INTEGER(-1)},
    {"e0", INTEGER(-32)},
    {"d0df", INTEGER(-33)},
    {"d080", INTEGER(-128)},
    {"d1ff7f", INTEGER(-129)},
    {"d18000", INTEGER(-32768)},
    {"d2ffff7fff", INTEGER(-32769)},
    {"d280000000", INTEGER(INT32_MIN)},
    {"d3ffffffff7fffffff", INTEGER(INT32_MIN - INT64_C(1))},
    {"d38000000000000000", INTEGER(INT64_MIN)},
    {"cb0000000000000000", REAL(0.0)},
    {"cb8000000000000000", REAL(-0.0)},
    {"cb3ff8000000000000", REAL(1.5)},
    {"cb7ff0000000000000", REAL(INFINITY)},
    {"cbfff0000000000000", REAL(-INFINITY)},
    {"cb7ff8000000000000", REAL(NAN)},
    {"a0", TEXT("")},
    {"a3610062", TEXT("a\0b")},
    {"a2c3a9", TEXT("\xc3\xa9")},
    {"bf61616161616161616161616161616161616161616161616161616161616161",
	TEXT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")},
    {"d9206161616161616161616161616161616161616161616161616161616161616161",
	TEXT("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")},
    {"c400", BLOB("")},
    {"c403ff0080", BLOB("\xff\0\x80")},
#undef INTEGER
#undef REAL
#undef TEXT
#undef BLOB
};

Test(value, is_packed_in_the_shortest_form_and_read_back)
{
	for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
		struct poolite_value value;
		struct poolite__buf buf;
		struct sample sample;
		char *hex;

		poolite__buf_init(&buf, 1000, NULL);
		cr_assert(eq(int, poolite__pack_value(&buf, &packed[i].value), 0));
		hex = wire_hex(buf.data, buf.len);
		cr_assert_str_eq(hex, packed[i].hex);
		free(hex);
		poolite__buf_release(&buf);

		sample_init(&sample, packed[i].hex);
		cr_assert(
		    eq(int, poolite__read_value(&sample.reader, true, &value, NULL), 0));
		cr_assert(is_at_end(&sample), "%s", packed[i].hex);
		cr_assert(is_same(&value, &packed[i].value), "%s", packed[i].hex);
		cr_assert(eq(ptr, (void *)value.name, NULL));
		sample_release(&sample);
	}
}

/* Lengths around each width of header, with what the header is. */
Test(value, of_any_length_gets_the_header_it_needs)
{
	static const struct {
		size_t len;
		const char *text;
		const char *blob;
	} table[] = {
	    {255, "d9ff", "c4ff"},
	    {256, "da0100", "c50100"},
	    {65535, "daffff", "c5ffff"},
	    {65536, "db00010000", "c600010000"},
	};
	char *bytes = malloc(65536);

	memset(bytes, 'z', 65536);
	for (size_t i = 0; i < 4; i++) {
		for (int is_blob = 0; is_blob < 2; is_blob++) {
			const char *header = is_blob ? table[i].blob : table[i].text;
			struct poolite_value value = is_blob
			    ? poolite_blob(bytes, table[i].len)
			    : poolite_text_n(bytes, table[i].len);
			struct poolite_value got;
			struct poolite__reader reader;
			struct poolite__buf buf;
			char *hex;

			poolite__buf_init(&buf, 70000, NULL);
			cr_assert(eq(int, poolite__pack_value(&buf, &value), 0));
			hex = wire_hex(buf.data, strlen(header) / 2);
			cr_assert_str_eq(hex, header);
			free(hex);
			reader = poolite__reader_over(buf.data, buf.len);
			cr_assert(
			    eq(int, poolite__read_value(&reader, true, &got, NULL), 0));
			cr_assert(is_same(&value, &got));
			poolite__buf_release(&buf);
		}
	}
	free(bytes);
}

Test(value, is_read_from_every_width)
{
	static const struct {
		const char *hex;
		enum poolite_type type;
		int64_t integer;
		double real;
	} table[] = {
	    {"cc 05", POOLITE_INTEGER, 5, 0},
	    {"cd 0005", POOLITE_INTEGER, 5, 0},
	    {"ce 00000005", POOLITE_INTEGER, 5, 0},
	    {"cf 0000000000000005", POOLITE_INTEGER, 5, 0},
	    {"d0 05", POOLITE_INTEGER, 5, 0},
	    {"d1 0005", POOLITE_INTEGER, 5, 0},
	    {"d2 00000005", POOLITE_INTEGER, 5, 0},
	    {"d3 0000000000000005", POOLITE_INTEGER, 5, 0},
	    {"d0 fb", POOLITE_INTEGER, -5, 0},
	    {"d1 fffb", POOLITE_INTEGER, -5, 0},
	    {"d2 fffffffb", POOLITE_INTEGER, -5, 0},
	    {"d3 fffffffffffffffb", POOLITE_INTEGER, -5, 0},
	    {"c2", POOLITE_INTEGER, 0, 0},
	    {"c3", POOLITE_INTEGER, 1, 0},
	    {"ca 3fc00000", POOLITE_REAL, 0, 1.5},
	    {"ca 7f800000", POOLITE_REAL, 0, INFINITY},
	    {"cb bff8000000000000", POOLITE_REAL, 0, -1.5},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite_value value;
		struct sample sample;

		sample_init(&sample, table[i].hex);
		cr_assert(
		    eq(int, poolite__read_value(&sample.reader, true, &value, NULL), 0));
		cr_assert(is_at_end(&sample));
		cr_assert(eq(int, (int)value.type, (int)table[i].type));
		if (value.type == POOLITE_INTEGER)
			cr_assert(eq(i64, value.as.integer, table[i].integer));
		else
			cr_assert(value.as.real == table[i].real);
		sample_release(&sample);
	}
}

Test(value, points_into_the_message)
{
	static const char *const table[] = {"a2 6162", "d9 02 6162", "da 0002 6162",
	    "db 00000002 6162", "c4 02 6162", "c5 0002 6162", "c6 00000002 6162"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite_value value;
		struct sample sample;

		sample_init(&sample, table[i]);
		cr_assert(
		    eq(int, poolite__read_value(&sample.reader, true, &value, NULL), 0));
		cr_assert(eq(sz, value.len, 2));
		cr_assert(
		    eq(ptr, (void *)value.as.data, (void *)(sample.reader.end - 2)));
		sample_release(&sample);
	}
}

Test(value, that_sql_has_no_type_for_is_refused_and_not_consumed)
{
	static const struct {
		const char *hex;
		const char *says;
	} table[] = {
	    {"cf 8000000000000000", "an integer above 9223372036854775807"},
	    {"cf ffffffffffffffff", "an integer above 9223372036854775807"},
	    {"90", "an array"},
	    {"dd 00000001 c0", "an array"},
	    {"81 01 02", "a map"},
	    {"d4 01 00", "an extension type"},
	    {"d6 ff 00000000", "an extension type"},
	    {"c7 01 05 00", "an extension type"},
	    {"a1 ff", "not UTF-8"},
	    {"a2 c080", "not UTF-8"},
	    {"a3 eda080", "not UTF-8"},
	    {"", "missing"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__failure failure;
		struct poolite_value value;
		struct sample sample;
		const uint8_t *start;

		sample_init(&sample, table[i].hex);
		start = sample.reader.at;
		cr_assert(
		    eq(int, poolite__read_value(&sample.reader, true, &value, &failure),
			POOLITE_BAD_REQUEST));
		cr_assert(ne(ptr, strstr(failure.message, table[i].says), NULL), "%s",
		    failure.message);
		cr_assert(eq(ptr, (void *)sample.reader.at, (void *)start));
		cr_assert(eq(int, poolite__read_value(&sample.reader, true, &value, NULL),
		    POOLITE_BAD_REQUEST));
		sample_release(&sample);
	}
}

Test(value, of_a_result_may_be_text_in_any_bytes)
{
	struct poolite_value value;
	struct sample sample;

	sample_init(&sample, "a1 ff");
	cr_assert(eq(int, poolite__read_value(&sample.reader, false, &value, NULL), 0));
	cr_assert(eq(int, (int)value.type, POOLITE_TEXT));
	sample_release(&sample);
}

Test(value, that_is_text_but_no_utf8_goes_out_as_bin)
{
	struct poolite_value value = poolite_text("a\xff");
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	poolite__pack_value(&buf, &value);
	cr_assert(eq(sz, buf.len, 4));
	cr_assert(zero(int,
	    memcmp(buf.data,
		"\xc4\x02"
		"a\xff",
		4)));
	poolite__buf_release(&buf);
}

Test(value, may_have_no_bytes_at_all)
{
	struct poolite_value values[2] = {poolite_text_n(NULL, 0), poolite_blob(NULL, 0)};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 3, NULL);
	cr_assert(eq(int, poolite__pack_value(&buf, &values[0]), 0));
	cr_assert(eq(int, poolite__pack_value(&buf, &values[1]), 0));
	cr_assert(zero(int, memcmp(buf.data, "\xa0\xc4\x00", 3)));
	poolite__buf_release(&buf);
}

Test(value, too_long_for_messagepack_is_too_large)
{
	struct poolite_value value = poolite_blob("x", (size_t)UINT32_MAX + 1);
	struct poolite__buf buf;

	poolite__buf_init(&buf, SIZE_MAX, NULL);
	cr_assert(eq(int, poolite__pack_value(&buf, &value), POOLITE_TOO_LARGE));
	cr_assert(eq(int, buf.failed, POOLITE_TOO_LARGE));
	poolite__buf_release(&buf);
}

Test(value, fits_a_buffer_exactly_or_not_at_all)
{
	for (size_t i = 0; i < sizeof packed / sizeof packed[0]; i++) {
		size_t len = strlen(packed[i].hex) / 2;

		for (size_t max = 0; max <= len; max++) {
			struct poolite__buf buf;
			int rc;

			poolite__buf_init(&buf, max, NULL);
			rc = poolite__pack_value(&buf, &packed[i].value);
			cr_assert(eq(int, rc, max < len ? POOLITE_TOO_LARGE : 0), "%s",
			    packed[i].hex);
			cr_assert(le(sz, buf.len, max));
			poolite__buf_release(&buf);
		}
	}
}

/* UTF-8 */

static size_t encode(uint32_t point, char *out)
{
	if (point < 0x80) {
		out[0] = (char)point;
		return 1;
	}
	if (point < 0x800) {
		out[0] = (char)(0xc0 | point >> 6);
		out[1] = (char)(0x80 | (point & 0x3f));
		return 2;
	}
	if (point < 0x10000) {
		out[0] = (char)(0xe0 | point >> 12);
		out[1] = (char)(0x80 | (point >> 6 & 0x3f));
		out[2] = (char)(0x80 | (point & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | point >> 18);
	out[1] = (char)(0x80 | (point >> 12 & 0x3f));
	out[2] = (char)(0x80 | (point >> 6 & 0x3f));
	out[3] = (char)(0x80 | (point & 0x3f));
	return 4;
}

Test(utf8, takes_every_code_point_but_surrogates)
{
	for (uint32_t point = 0; point < 0x120000; point++) {
		bool is_good = point < 0x110000 && (point < 0xd800 || point > 0xdfff);
		char text[4];
		size_t len = encode(point, text);

		if (poolite__is_utf8(text, len) != is_good)
			cr_fatal("U+%04X", point);
		if (len > 1 && poolite__is_utf8(text, len - 1))
			cr_fatal("U+%04X cut off", point);
	}
}

Test(utf8, refuses_what_is_not_well_formed_wherever_it_stands)
{
	static const char *const table[] = {"\x80", "\xbf", "\xc0\x80", "\xc1\xbf",
	    "\xc2", "\xc2\xc2", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xe2\x82",
	    "\xe2\x28\xa1", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
	    "\xf5\x80\x80\x80", "\xf0\x9f\x98", "\xfe", "\xff", "\xf8\x88\x80\x80\x80"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		for (size_t before = 0; before < 20; before++) {
			char text[64];

			memset(text, 'a', before);
			strcpy(text + before, table[i]);
			cr_assert(not(poolite__is_utf8(text, strlen(text))));
			strcat(text, "zzzzzzzzzzzzzzzz");
			cr_assert(not(poolite__is_utf8(text, strlen(text))));
		}
	}
	cr_assert(poolite__is_utf8(NULL, 0));
}

/* Argument lists */

Test(args, are_given_out_in_order)
{
	struct poolite_value value;
	struct poolite__args args;
	struct sample sample;
	const char *name;
	size_t len;

	sample_init(&sample, "93 01 a1 61 c0 c3");
	cr_assert(eq(int, poolite__read_args(&sample.reader, &args, NULL), 0));
	cr_assert(eq(u8, *sample.reader.at, 0xc3));
	cr_assert(eq(u32, args.count, 3));
	cr_assert(not(args.is_named));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 1));
	cr_assert(eq(i64, value.as.integer, 1));
	cr_assert(eq(ptr, (void *)name, NULL));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 1));
	cr_assert(eq(int, (int)value.type, POOLITE_TEXT));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 1));
	cr_assert(eq(int, (int)value.type, POOLITE_NULL));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 0));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 0));
	sample_release(&sample);
}

Test(args, may_have_names)
{
	struct poolite_value value;
	struct poolite__args args;
	struct sample sample;
	const char *name;
	size_t len;

	sample_init(&sample, "82 a1 61 01 a2 3a62 02");
	cr_assert(eq(int, poolite__read_args(&sample.reader, &args, NULL), 0));
	cr_assert(is_at_end(&sample));
	cr_assert(args.is_named);
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 1));
	cr_assert(poolite__is_word(name, len, "a"));
	cr_assert(eq(i64, value.as.integer, 1));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 1));
	cr_assert(poolite__is_word(name, len, ":b"));
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 0));
	sample_release(&sample);
}

Test(args, may_be_left_out)
{
	static const char *const table[] = {"", "c0", "90", "80", "dd 00000000"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite_value value;
		struct poolite__args args;
		struct sample sample;
		const char *name;
		size_t len;

		sample_init(&sample, table[i]);
		cr_assert(eq(int, poolite__read_args(&sample.reader, &args, NULL), 0));
		cr_assert(is_at_end(&sample), "%s", table[i]);
		cr_assert(
		    eq(int, poolite__args_next(&args, &name, &len, &value, NULL), 0));
		sample_release(&sample);
	}
}

Test(args, are_an_array_or_a_map)
{
	static const char *const table[] = {"01", "a1 61", "c4 01 00", "c3", "d4 01 00",
	    "cb 0000000000000000", "92 01", "81 a1 61", "c1"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__args args;
		struct sample sample;
		const uint8_t *start;

		sample_init(&sample, table[i]);
		start = sample.reader.at;
		/* c1 ends any list; the scanner lets none of them through. */
		if (strcmp(table[i], "c1") != 0)
			cr_assert(eq(int, poolite__read_args(&sample.reader, &args, NULL),
				      POOLITE_BAD_REQUEST),
			    "%s", table[i]);
		cr_assert(eq(ptr, (void *)sample.reader.at, (void *)start));
		sample_release(&sample);
	}
}

static int read_many(bool is_named, uint32_t count, struct poolite__failure *failure)
{
	struct poolite__args args;
	struct poolite__reader reader;
	struct poolite__buf buf;
	msgpack_packer packer;
	int rc;

	poolite__buf_init(&buf, 1 << 20, NULL);
	poolite__packer_init(&packer, &buf);
	if (is_named)
		msgpack_pack_map(&packer, count);
	else
		msgpack_pack_array(&packer, count);
	for (uint32_t i = 0; i < count; i++) {
		if (is_named)
			poolite__pack_cstr(&packer, "n");
		msgpack_pack_nil(&packer);
	}
	reader = poolite__reader_over(buf.data, buf.len);
	rc = poolite__read_args(&reader, &args, failure);
	poolite__buf_release(&buf);
	return rc;
}

Test(args, are_limited_in_number)
{
	struct poolite__failure failure;

	cr_assert(eq(int, read_many(false, POOLITE__ARGS_MAX, &failure), 0));
	cr_assert(eq(
	    int, read_many(false, POOLITE__ARGS_MAX + 1, &failure), POOLITE_TOO_LARGE));
	cr_assert_str_eq(
	    failure.message, "250001 arguments; one statement takes at most 250000");
	cr_assert(eq(int, read_many(true, POOLITE__NAMED_ARGS_MAX, &failure), 0));
	cr_assert(eq(int, read_many(true, POOLITE__NAMED_ARGS_MAX + 1, &failure),
	    POOLITE_TOO_LARGE));
	cr_assert_str_eq(
	    failure.message, "4097 named arguments; one statement takes at most 4096");
}

Test(args, that_are_wrong_are_named_and_not_repeated)
{
	static const struct {
		const char *hex;
		int good; /* so many before it are fine */
		const char *message;
	} table[] = {
	    {"93 01 02 91 a6 736563726574", 2,
		"argument 3 is an array; arguments are numbers, text, bytes, booleans or nil"},
	    {"91 81 a1 61 01", 0,
		"argument 1 is a map; arguments are numbers, text, bytes, booleans or nil"},
	    {"92 c0 cf ffffffffffffffff", 1,
		"argument 2 is an integer above 9223372036854775807; arguments are numbers, "
		"text, bytes, booleans or nil"},
	    {"91 a7 736563726574ff", 0,
		"argument 1 is text that is not UTF-8 (send it as bytes); arguments are "
		"numbers, text, bytes, booleans or nil"},
	    {"81 a2 6964 d4 07 00", 0,
		"argument \"id\" is an extension type; arguments are numbers, text, bytes, "
		"booleans or nil"},
	    {"82 a1 61 01 05 06", 1, "the name of argument 2 is not text"},
	    {"81 c4 01 61 06", 0, "the name of argument 1 is not text"},
	    {"81 a3 61ff62 90", 0,
		"argument \"a?b\" is an array; arguments are numbers, text, bytes, booleans "
		"or nil"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__failure failure;
		struct poolite_value value;
		struct poolite__args args;
		struct sample sample;
		const char *name;
		size_t len;

		sample_init(&sample, table[i].hex);
		cr_assert(
		    eq(int, poolite__read_args(&sample.reader, &args, &failure), 0));
		for (int good = 0; good < table[i].good; good++)
			cr_assert(eq(int,
			    poolite__args_next(&args, &name, &len, &value, &failure), 1));
		cr_assert(
		    eq(int, poolite__args_next(&args, &name, &len, &value, &failure),
			POOLITE_BAD_REQUEST));
		cr_assert_str_eq(failure.message, table[i].message);
		sample_release(&sample);
	}
}

Test(args, with_a_long_name_make_a_short_message)
{
	struct poolite__failure failure;
	struct poolite_value value;
	struct poolite__args args;
	struct poolite__reader reader;
	struct poolite__buf buf;
	char json[400] = "{'";
	const char *name;
	size_t len;

	memset(json + 2, 'n', 300);
	strcpy(json + 302, "': []}");
	poolite__buf_init(&buf, 1000, NULL);
	wire_pack_json(&buf, json);
	reader = poolite__reader_over(buf.data, buf.len);
	poolite__read_args(&reader, &args, NULL);
	cr_assert(eq(int, poolite__args_next(&args, &name, &len, &value, &failure),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(sz, strspn(failure.message + strlen("argument \""), "n"), 64));
	poolite__buf_release(&buf);
}

Test(args, are_packed_by_position_or_by_name)
{
	struct poolite_value values[2] = {poolite_integer(7), poolite_text("x")};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	cr_assert(eq(int, poolite__pack_args(&buf, values, 2), 0));
	cr_assert(eq(sz, buf.len, 4));
	cr_assert(zero(int, memcmp(buf.data, "\x92\x07\xa1x", 4)));
	poolite__buf_truncate(&buf, 0);
	values[0].name = ":a";
	values[1].name = "b";
	cr_assert(eq(int, poolite__pack_args(&buf, values, 2), 0));
	cr_assert(eq(sz, buf.len, 9));
	cr_assert(zero(int,
	    memcmp(buf.data,
		"\x82\xa2:a\x07\xa1"
		"b\xa1x",
		9)));
	poolite__buf_truncate(&buf, 0);
	cr_assert(eq(int, poolite__pack_args(&buf, NULL, 0), 0));
	cr_assert(zero(int, memcmp(buf.data, "\x90", 1)));
	poolite__buf_release(&buf);
}

Test(args, are_not_packed_when_only_some_are_named)
{
	struct poolite_value values[3] = {
	    poolite_integer(1), poolite_integer(2), poolite_integer(3)};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	values[2].name = "c";
	cr_assert(eq(int, poolite__pack_args(&buf, values, 3), POOLITE_BAD_REQUEST));
	values[0].name = "a";
	cr_assert(eq(int, poolite__pack_args(&buf, values, 3), POOLITE_BAD_REQUEST));
	cr_assert(eq(sz, buf.len, 0));
	poolite__buf_release(&buf);
}

Test(args, that_are_text_but_no_utf8_are_left_for_the_broker_to_refuse)
{
	struct poolite_value value = poolite_text("\xff");
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	poolite__pack_args(&buf, &value, 1);
	cr_assert(zero(int, memcmp(buf.data, "\x91\xa1\xff", 3)));
	poolite__buf_release(&buf);
}

/* The reader */

/* Whatever its bytes are, cut off anywhere: an error, nothing consumed, nothing touched
 * behind the end. */
Test(reader, takes_no_value_that_is_cut_off)
{
	static const char *const table[] = {"cc 05", "cd 0005", "ce 00000005",
	    "cf 0000000000000005", "d0 05", "d1 0005", "d2 00000005",
	    "d3 0000000000000005", "ca 3f800000", "cb 3ff0000000000000", "a2 6162",
	    "d9 02 6162", "da 0002 6162", "db 00000002 6162", "c4 02 6162",
	    "c5 0002 6162", "c6 00000002 6162", "c7 02 01 6162", "c8 0002 01 6162",
	    "c9 00000002 01 6162", "d4 01 00", "d8 01 00000000000000000000000000000000",
	    "92 01 02", "dc 0002 01 02", "dd 00000002 01 02", "81 01 02", "de 0001 01 02",
	    "df 00000001 01 02"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t bytes[64];
		size_t whole = wire_unhex(table[i], bytes);

		for (size_t len = 0; len <= whole; len++) {
			struct wire_guarded guarded = wire_guard(bytes, len);
			struct poolite__reader reader =
			    poolite__reader_over(guarded.bytes, len);
			struct poolite__reader copy;
			struct poolite_value value;
			const char *data;
			uint64_t natural;
			int64_t integer;
			double real;
			size_t data_len;
			int want = len == whole ? 0 : POOLITE_BAD_REQUEST;

			copy = reader;
			cr_assert(eq(int, poolite__skip(&copy), want), "%s", table[i]);
			cr_assert(eq(ptr, (void *)copy.at,
			    (void *)(want ? reader.at : reader.end)));
			if (want) {
				copy = reader;
				cr_assert(ne(int,
				    poolite__read_value(&copy, true, &value, NULL), 0));
				cr_assert(ne(int,
				    poolite__read_uint(&copy, UINT64_MAX, &natural), 0));
				cr_assert(
				    ne(int, poolite__read_int64(&copy, &integer), 0));
				cr_assert(ne(int, poolite__read_double(&copy, &real), 0));
				cr_assert(ne(int,
				    poolite__read_bytes(&copy, &data, &data_len), 0));
				cr_assert(ne(
				    int, poolite__read_str(&copy, &data, &data_len), 0));
				cr_assert(eq(ptr, (void *)copy.at, (void *)reader.at));
			}
			wire_unguard(&guarded);
		}
	}
}

Test(reader, knows_each_kind_and_takes_no_other)
{
	static const struct {
		const char *hex;
		enum poolite__kind kind;
	} table[] = {
	    {"", POOLITE__END},
	    {"c1", POOLITE__END},
	    {"c0", POOLITE__NIL},
	    {"c2", POOLITE__BOOL},
	    {"05", POOLITE__INTEGER},
	    {"f0", POOLITE__INTEGER},
	    {"cf ffffffffffffffff", POOLITE__INTEGER},
	    {"ca 00000000", POOLITE__FLOAT},
	    {"a0", POOLITE__STR},
	    {"c4 00", POOLITE__BIN},
	    {"90", POOLITE__ARRAY},
	    {"80", POOLITE__MAP},
	    {"d4 00 00", POOLITE__EXT},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		enum poolite__kind kind = table[i].kind;
		struct sample sample;
		const char *data;
		uint64_t natural;
		uint32_t count;
		double real;
		size_t len;
		bool boolean;
		struct poolite__reader at;

#define TAKES(call, wanted)                                                              \
	at = sample.reader;                                                              \
	cr_assert(eq(int, call, (wanted) ? 0 : POOLITE_BAD_REQUEST), "%s", table[i].hex)

		sample_init(&sample, table[i].hex);
		cr_assert(eq(int, (int)poolite__reader_kind(&sample.reader), (int)kind));
		TAKES(poolite__read_nil(&at), kind == POOLITE__NIL);
		TAKES(poolite__read_bool(&at, &boolean), kind == POOLITE__BOOL);
		TAKES(poolite__read_array(&at, &count), kind == POOLITE__ARRAY);
		TAKES(poolite__read_map(&at, &count), kind == POOLITE__MAP);
		TAKES(poolite__read_double(&at, &real), kind == POOLITE__FLOAT);
		TAKES(poolite__read_str(&at, &data, &len), kind == POOLITE__STR);
		TAKES(poolite__read_bytes(&at, &data, &len),
		    kind == POOLITE__STR || kind == POOLITE__BIN);
		TAKES(poolite__read_uint(&at, UINT64_MAX, &natural),
		    kind == POOLITE__INTEGER && table[i].hex[0] != 'f');
		TAKES(poolite__skip(&at), kind != POOLITE__END);
#undef TAKES
		sample_release(&sample);
	}
}

Test(reader, takes_integers_within_their_bounds)
{
	uint64_t natural;
	int64_t integer;
	struct sample sample;

	sample_init(&sample, "ce ffffffff");
	cr_assert(eq(int, poolite__read_uint(&sample.reader, UINT32_MAX - 1, &natural),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(int, poolite__read_uint(&sample.reader, UINT32_MAX, &natural), 0));
	cr_assert(eq(u64, natural, UINT32_MAX));
	sample_release(&sample);
	sample_init(&sample, "d3 ffffffffffffffff");
	cr_assert(eq(int, poolite__read_uint(&sample.reader, UINT64_MAX, &natural),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(int, poolite__read_int64(&sample.reader, &integer), 0));
	cr_assert(eq(i64, integer, -1));
	sample_release(&sample);
	sample_init(&sample, "cf 8000000000000000");
	cr_assert(
	    eq(int, poolite__read_int64(&sample.reader, &integer), POOLITE_BAD_REQUEST));
	cr_assert(eq(int, poolite__read_uint(&sample.reader, UINT64_MAX, &natural), 0));
	sample_release(&sample);
}

Test(reader, skips_a_value_with_all_that_is_in_it)
{
	struct sample sample;

	sample_init(&sample, "93 01 82 a1 61 90 a1 62 92 c0 c4 01 00 a0 07");
	cr_assert(eq(int, poolite__skip(&sample.reader), 0));
	cr_assert(eq(u8, *sample.reader.at, 7));
	cr_assert(eq(int, poolite__skip(&sample.reader), 0));
	cr_assert(eq(int, poolite__skip(&sample.reader), POOLITE_BAD_REQUEST));
	sample_release(&sample);
}

Test(reader, believes_no_count_when_it_skips)
{
	static const char *const table[] = {"dd ffffffff", "df ffffffff 01 02",
	    "dd ffffffff dd ffffffff dd ffffffff dd ffffffff", "c6 ffffffff 00",
	    "92 01 c1"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sample sample;

		sample_init(&sample, table[i]);
		cr_assert(eq(int, poolite__skip(&sample.reader), POOLITE_BAD_REQUEST),
		    "%s", table[i]);
		sample_release(&sample);
	}
}

Test(reader, allocates_nothing)
{
	static const char *const table[] = {"cf 0000000000000005", "cb 3ff0000000000000",
	    "da 0002 6162", "c5 0002 6162", "d1 8000"};
	size_t before;

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite_value value;
		struct sample sample;

		sample_init(&sample, table[i]);
		before = mallinfo2().uordblks;
		poolite__read_value(&sample.reader, true, &value, NULL);
		cr_assert(eq(sz, mallinfo2().uordblks, before), "%s", table[i]);
		sample_release(&sample);
	}
}

Test(reader, compares_words_with_their_length)
{
	cr_assert(poolite__is_word("query", 5, "query"));
	cr_assert(not(poolite__is_word("query", 4, "query")));
	cr_assert(not(poolite__is_word("querys", 6, "query")));
	cr_assert(not(poolite__is_word("Query", 5, "query")));
	cr_assert(not(poolite__is_word("que\0y", 5, "que")));
	cr_assert(poolite__is_word("", 0, ""));
}
