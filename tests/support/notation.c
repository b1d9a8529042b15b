#include "tests/support/notation.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

/* ---- text to MessagePack --------------------------------------------------- */

static const char *skip_blanks(const char *at)
{
	return at + strspn(at, " \n\t");
}

static const char *pack(msgpack_packer *packer, const char *at);

/* Values up to ${end}, packed behind a header that counts them. */
static const char *pack_container(msgpack_packer *packer, const char *at)
{
	char end = *at == '[' ? ']' : '}';
	struct poolite__buf items;
	msgpack_packer inner;
	uint32_t count = 0;

	poolite__buf_init(&items, SIZE_MAX, NULL);
	poolite__packer_init(&inner, &items);
	at = skip_blanks(at + 1);
	while (*at != end) {
		at = skip_blanks(pack(&inner, at));
		count++;
		if (*at == ',' || *at == ':')
			at = skip_blanks(at + 1);
		else
			CHECK(*at == end, "no %c before: %s", end, at);
	}
	if (end == ']')
		msgpack_pack_array(packer, count);
	else
		msgpack_pack_map(packer, count / 2);
	poolite__buf_append(packer->data, items.data, items.len);
	poolite__buf_release(&items);
	return at + 1;
}

static const char *pack_str(msgpack_packer *packer, const char *at)
{
	const char *end = strchr(at + 1, '`');

	CHECK(end, "a string without end: %s", at);
	msgpack_pack_str(packer, (size_t)(end - at - 1));
	msgpack_pack_str_body(packer, at + 1, (size_t)(end - at - 1));
	return end + 1;
}

static const char *pack_bin(msgpack_packer *packer, const char *at)
{
	size_t len = strspn(at + 2, "0123456789abcdef") / 2;

	msgpack_pack_bin(packer, len);
	at += 2;
	for (size_t i = 0; i < len; i++, at += 2) {
		char byte = (char)strtoul((char[]){at[0], at[1], 0}, NULL, 16);
		msgpack_pack_bin_body(packer, &byte, 1);
	}
	CHECK(*at == '\'', "bytes without end: %s", at);
	return at + 1;
}

static const char *pack_number(msgpack_packer *packer, const char *at)
{
	char *end;
	size_t digits = strspn(at + (*at == '-'), "0123456789");
	char next = at[digits + (*at == '-')];

	if (next == '.' || next == 'e' || next == 'i' || next == 'n')
		msgpack_pack_double(packer, strtod(at, &end));
	else if (*at == '-')
		msgpack_pack_int64(packer, strtoll(at, &end, 10));
	else
		msgpack_pack_uint64(packer, strtoull(at, &end, 10));
	CHECK(end > at, "neither a value nor a number: %s", at);
	return end;
}

static const char *pack(msgpack_packer *packer, const char *at)
{
	if (*at == '[' || *at == '{')
		return pack_container(packer, at);
	if (*at == '`')
		return pack_str(packer, at);
	if (strncmp(at, "x'", 2) == 0)
		return pack_bin(packer, at);
	if (strncmp(at, "null", 4) == 0) {
		msgpack_pack_nil(packer);
		return at + 4;
	}
	if (strncmp(at, "true", 4) == 0) {
		msgpack_pack_true(packer);
		return at + 4;
	}
	if (strncmp(at, "false", 5) == 0) {
		msgpack_pack_false(packer);
		return at + 5;
	}
	return pack_number(packer, at);
}

void notation_pack(struct poolite__buf *buf, const char *text)
{
	msgpack_packer packer;
	const char *end;

	poolite__packer_init(&packer, buf);
	end = skip_blanks(pack(&packer, skip_blanks(text)));
	CHECK(*end == '\0', "more than one value: %s", text);
}

/* ---- MessagePack to text --------------------------------------------------- */

static void write(struct poolite__buf *text, const char *piece)
{
	poolite__buf_append(text, piece, strlen(piece));
}

void notation_write_str(struct poolite__buf *text, const char *data, size_t len)
{
	write(text, "`");
	poolite__buf_append(text, data, len);
	write(text, "`");
}

void notation_write_bin(struct poolite__buf *text, const uint8_t *data, size_t len)
{
	char digits[3];

	write(text, "x'");
	for (size_t i = 0; i < len; i++) {
		snprintf(digits, sizeof digits, "%02x", data[i]);
		write(text, digits);
	}
	write(text, "'");
}

void notation_write_real(struct poolite__buf *text, double real)
{
	char digits[40];

	snprintf(digits, sizeof digits, "%.15g", real);
	write(text, digits);
	if (isfinite(real) && !strpbrk(digits, ".e"))
		write(text, ".0");
}

static void write_integer(struct poolite__buf *text, struct poolite__reader *reader)
{
	char digits[24];
	int64_t number;

	CHECK(poolite__read_int64(reader, &number) == 0, "an integer beyond int64");
	snprintf(digits, sizeof digits, "%" PRId64, number);
	write(text, digits);
}

static void write_array(struct poolite__buf *text, struct poolite__reader *reader)
{
	uint32_t count;

	poolite__read_array(reader, &count);
	write(text, "[");
	for (uint32_t i = 0; i < count; i++) {
		write(text, i ? ", " : "");
		notation_write(text, reader);
	}
	write(text, "]");
}

static void write_map(struct poolite__buf *text, struct poolite__reader *reader)
{
	uint32_t count;

	poolite__read_map(reader, &count);
	write(text, "{");
	for (uint32_t i = 0; i < count; i++) {
		write(text, i ? ", " : "");
		notation_write(text, reader);
		write(text, ": ");
		notation_write(text, reader);
	}
	write(text, "}");
}

void notation_write(struct poolite__buf *text, struct poolite__reader *reader)
{
	const char *data;
	double real;
	size_t len;
	bool is_true;

	switch (poolite__reader_kind(reader)) {
	case POOLITE__NIL:
		poolite__read_nil(reader);
		write(text, "null");
		break;
	case POOLITE__BOOL:
		poolite__read_bool(reader, &is_true);
		write(text, is_true ? "true" : "false");
		break;
	case POOLITE__INTEGER: write_integer(text, reader); break;
	case POOLITE__FLOAT:
		poolite__read_double(reader, &real);
		notation_write_real(text, real);
		break;
	case POOLITE__STR:
		poolite__read_str(reader, &data, &len);
		notation_write_str(text, data, len);
		break;
	case POOLITE__BIN:
		poolite__read_bytes(reader, &data, &len);
		notation_write_bin(text, (const uint8_t *)data, len);
		break;
	case POOLITE__ARRAY: write_array(text, reader); break;
	case POOLITE__MAP: write_map(text, reader); break;
	default: check_failed(__FILE__, __LINE__, "a value of an unexpected kind");
	}
}

char *notation_text(const struct poolite__reader *reader)
{
	struct poolite__reader copy = *reader;
	struct poolite__buf text;

	poolite__buf_init(&text, SIZE_MAX, NULL);
	notation_write(&text, &copy);
	poolite__buf_append(&text, "", 1);
	CHECK(!text.failed, "out of memory");
	return (char *)text.data;
}
