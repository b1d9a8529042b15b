#include "proto/value.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/head.h"
#include "proto/utf8.h"

#define KINDS_OF_ARGUMENTS "arguments are numbers, text, bytes, booleans or nil"

/* Bytes of a name that a message repeats. */
#define NAME_SHOWN 64

/* How many bytes from ${bytes} on are ASCII, which most text is. */
static size_t ascii_len(const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	for (uint64_t eight; len - at >= sizeof eight; at += sizeof eight) {
		memcpy(&eight, bytes + at, sizeof eight);
		if (eight & UINT64_C(0x8080808080808080))
			break;
	}
	while (at < len && bytes[at] < 0x80)
		at++;
	return at;
}

bool poolite__is_utf8(const void *data, size_t len)
{
	const uint8_t *bytes = data;
	size_t at = 0;

	while ((at += ascii_len(bytes + at, len - at)) < len) {
		size_t sequence = poolite__utf8_len(bytes + at, len - at);
		if (sequence == 0)
			return false;
		at += sequence;
	}
	return true;
}

/*
 * Headers and integers are most of what is packed, and most of what msgpack-c's packer
 * costs for them is its callback for every few bytes: so they are written here.
 */

/* The ${count} lowest bytes of ${number}, most significant first. */
static inline uint8_t *put(uint8_t *at, uint64_t number, unsigned count)
{
	for (unsigned i = count; i > 0; i--)
		*at++ = (uint8_t)(number >> (8 * (i - 1)));
	return at;
}

/* Which of a family of headers, whose bytes follow each other, holds ${number}: those
 * of 1, 2, 4 and 8 bytes are 0 to 3. */
static inline unsigned width_of(uint64_t number)
{
	return number <= UINT8_MAX ? 0
	    : number <= UINT16_MAX ? 1
	    : number <= UINT32_MAX ? 2
				   : 3;
}

/* Append a text or blob. */
static int pack_bytes(
    struct poolite__buf *buf, const void *data, size_t len, bool is_text)
{
	bool is_short = is_text && len < 32;
	unsigned width = width_of(len);
	uint8_t *at;

	if (len > UINT32_MAX && !buf->failed)
		buf->failed = POOLITE_TOO_LARGE;
	if (poolite__buf_reserve(buf, 1 + (is_short ? 0 : 1u << width) + len))
		return buf->failed;
	at = buf->data + buf->len;
	if (is_short) {
		*at++ = (uint8_t)(0xa0 | len);
	} else {
		*at++ = (uint8_t)((is_text ? 0xd9 : 0xc4) + width);
		at = put(at, len, 1u << width);
	}
	if (len > 0)
		memcpy(at, data, len);
	buf->len = (size_t)(at - buf->data) + len;
	return 0;
}

/* In the fewest bytes, and as unsigned where it is not negative, as msgpack-c does. */
int poolite__pack_integer(struct poolite__buf *buf, int64_t integer)
{
	uint64_t bits = (uint64_t)integer;
	unsigned width;
	uint8_t *at;

	if (integer >= -32 && integer <= 127) {
		uint8_t byte = (uint8_t)integer;

		return poolite__buf_append(buf, &byte, 1);
	}
	/* A negative one takes the sign's bit too: ~bits is what is left of it. */
	width = width_of(integer > 0 ? bits : ~bits << 1);
	if (poolite__buf_reserve(buf, 1 + (1u << width)))
		return buf->failed;
	at = buf->data + buf->len;
	*at++ = (uint8_t)((integer > 0 ? 0xcc : 0xd0) + width);
	buf->len = (size_t)(put(at, bits, 1u << width) - buf->data);
	return 0;
}

static int pack_real(struct poolite__buf *buf, double real)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_double(&packer, real);
	return buf->failed;
}

static int pack_nil(struct poolite__buf *buf)
{
	return poolite__buf_append(buf, "\xc0", 1);
}

/* Append one value; ${text_is_sure}: a TEXT goes out as str whatever its bytes are. */
static int pack(
    struct poolite__buf *buf, const struct poolite_value *value, bool text_is_sure)
{
	switch (value->type) {
	case POOLITE_NULL: return pack_nil(buf);
	case POOLITE_INTEGER: return poolite__pack_integer(buf, value->as.integer);
	case POOLITE_REAL: return pack_real(buf, value->as.real);
	case POOLITE_TEXT:
		return pack_bytes(buf, value->as.data, value->len,
		    text_is_sure || poolite__is_utf8(value->as.data, value->len));
	case POOLITE_BLOB: return pack_bytes(buf, value->as.data, value->len, false);
	}
	assert(!"a value of no type");
	return POOLITE_INTERNAL;
}

int poolite__pack_value(struct poolite__buf *buf, const struct poolite_value *value)
{
	return pack(buf, value, false);
}

/* Read one value.  NULL, or what is wrong with it, as "is ..." goes on. */
static const char *read_value(
    struct poolite__reader *reader, bool check_utf8, struct poolite_value *value)
{
	const char *data;
	bool boolean;

	memset(value, 0, sizeof *value);
	switch (poolite__reader_kind(reader)) {
	case POOLITE__NIL: reader->at++; return NULL;
	case POOLITE__BOOL:
		poolite__read_bool(reader, &boolean);
		value->type = POOLITE_INTEGER;
		value->as.integer = boolean;
		return NULL;
	case POOLITE__INTEGER:
		value->type = POOLITE_INTEGER;
		if (poolite__read_int64(reader, &value->as.integer))
			return "an integer above 9223372036854775807";
		return NULL;
	case POOLITE__FLOAT:
		value->type = POOLITE_REAL;
		return poolite__read_double(reader, &value->as.real) ? "cut off" : NULL;
	case POOLITE__STR:
		value->type = POOLITE_TEXT;
		if (poolite__read_str(reader, &data, &value->len))
			return "cut off";
		value->as.data = data;
		if (check_utf8 && !poolite__is_utf8(data, value->len))
			return "text that is not UTF-8 (send it as bytes)";
		return NULL;
	case POOLITE__BIN:
		value->type = POOLITE_BLOB;
		if (poolite__read_bytes(reader, &data, &value->len))
			return "cut off";
		value->as.data = data;
		return NULL;
	case POOLITE__ARRAY: return "an array";
	case POOLITE__MAP: return "a map";
	case POOLITE__EXT: return "an extension type";
	case POOLITE__END: break;
	}
	return "missing";
}

int poolite__read_value(struct poolite__reader *reader, bool check_utf8,
    struct poolite_value *value, struct poolite__failure *failure)
{
	struct poolite__reader at = *reader;
	const char *wrong = read_value(&at, check_utf8, value);

	if (wrong)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a value is %s; " KINDS_OF_ARGUMENTS, wrong);
	*reader = at;
	return 0;
}

int poolite__read_args(struct poolite__reader *reader, struct poolite__args *args,
    struct poolite__failure *failure)
{
	struct poolite__reader at = *reader;
	uint32_t max = POOLITE__ARGS_MAX;

	*args = (struct poolite__args){.at = at};
	switch (poolite__reader_kind(reader)) {
	case POOLITE__END: return 0;
	case POOLITE__NIL: return poolite__read_nil(reader);
	case POOLITE__ARRAY: poolite__read_array(&args->at, &args->count); break;
	case POOLITE__MAP:
		poolite__read_map(&args->at, &args->count);
		args->is_named = true;
		max = POOLITE__NAMED_ARGS_MAX;
		break;
	default:
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "arguments are an array, or a map from name to value");
	}
	if (args->count > max)
		return poolite__fail(failure, POOLITE_TOO_LARGE,
		    "%" PRIu32 " %sarguments; one statement takes at most %" PRIu32,
		    args->count, args->is_named ? "named " : "", max);
	if (poolite__skip(&at))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "the arguments are cut off");
	*reader = at;
	return 0;
}

int poolite__args_next(struct poolite__args *args, const char **name, size_t *name_len,
    struct poolite_value *value, struct poolite__failure *failure)
{
	const char *wrong;

	*name = NULL;
	*name_len = 0;
	if (args->count == 0)
		return 0;
	args->count--;
	args->taken++;
	if (args->is_named && poolite__read_str(&args->at, name, name_len))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the name of argument %" PRIu32 " is not text", args->taken);
	wrong = read_value(&args->at, true, value);
	if (!wrong)
		return 1;
	if (args->is_named)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "argument \"%.*s\" is %s; " KINDS_OF_ARGUMENTS,
		    *name_len > NAME_SHOWN ? NAME_SHOWN : (int)*name_len, *name, wrong);
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "argument %" PRIu32 " is %s; " KINDS_OF_ARGUMENTS, args->taken, wrong);
}

int poolite__pack_args(
    struct poolite__buf *buf, const struct poolite_value *args, size_t count)
{
	bool is_named = count > 0 && args[0].name;
	msgpack_packer packer;

	for (size_t i = 1; i < count; i++)
		if ((args[i].name != NULL) != is_named)
			return POOLITE_BAD_REQUEST;
	poolite__packer_init(&packer, buf);
	if (is_named)
		msgpack_pack_map(&packer, count);
	else
		msgpack_pack_array(&packer, count);
	/* Text that is no UTF-8 still goes as text: the broker refuses it by its
	 * number, where bytes would be stored as a BLOB behind the caller's back. */
	for (size_t i = 0; i < count; i++) {
		if (is_named)
			poolite__pack_cstr(&packer, args[i].name);
		pack(buf, &args[i], true);
	}
	return buf->failed;
}
