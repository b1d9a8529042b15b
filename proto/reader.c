#include "proto/reader.h"

#include <string.h>

#include <msgpack.h>

#include "proto/head.h"
#include "proto/poolite_errors.h"

struct poolite__reader poolite__reader_over(const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	return (struct poolite__reader){.at = at, .end = len > 0 ? at + len : at};
}

enum poolite__kind poolite__reader_kind(const struct poolite__reader *reader)
{
	if (reader->at == reader->end)
		return POOLITE__END;
	return poolite__firsts[*reader->at].kind;
}

/* The header of the number of this kind that comes next, its bytes all there. */
static int read_number_head(
    struct poolite__reader *reader, enum poolite__kind kind, struct poolite__head *head)
{
	size_t len = (size_t)(reader->end - reader->at);

	if (poolite__reader_kind(reader) != kind ||
	    !poolite__head_read(reader->at, len, head) || head->count > len - head->len)
		return POOLITE_BAD_REQUEST;
	return 0;
}

/* An integer's bits, as of an int64_t where it is negative. */
static int read_integer(struct poolite__reader *reader, uint64_t *bits, bool *is_negative)
{
	struct poolite__head head;
	const uint8_t *at = reader->at;

	if (read_number_head(reader, POOLITE__INTEGER, &head))
		return POOLITE_BAD_REQUEST;
	reader->at += head.len + head.count;
	if (head.count == 0) { /* in the first byte itself */
		*bits = (uint64_t)(int64_t)(int8_t)*at;
		*is_negative = *at >= 0x80;
		return 0;
	}
	/* d0 .. d3 are signed: the bytes' highest bit is the sign. */
	*is_negative = *at >= 0xd0 && at[1] >= 0x80;
	*bits = *is_negative ? UINT64_MAX : 0;
	for (uint64_t i = 1; i <= head.count; i++)
		*bits = *bits << 8 | at[i];
	return 0;
}

int poolite__read_nil(struct poolite__reader *reader)
{
	if (poolite__reader_kind(reader) != POOLITE__NIL)
		return POOLITE_BAD_REQUEST;
	reader->at++;
	return 0;
}

int poolite__read_bool(struct poolite__reader *reader, bool *value)
{
	if (poolite__reader_kind(reader) != POOLITE__BOOL)
		return POOLITE_BAD_REQUEST;
	*value = *reader->at++ == 0xc3;
	return 0;
}

static int read_container(
    struct poolite__reader *reader, enum poolite__kind kind, uint32_t *count)
{
	struct poolite__head head;

	if (poolite__reader_kind(reader) != kind ||
	    !poolite__head_read(reader->at, (size_t)(reader->end - reader->at), &head))
		return POOLITE_BAD_REQUEST;
	reader->at += head.len;
	*count = (uint32_t)head.count;
	return 0;
}

int poolite__read_array(struct poolite__reader *reader, uint32_t *count)
{
	return read_container(reader, POOLITE__ARRAY, count);
}

int poolite__read_map(struct poolite__reader *reader, uint32_t *count)
{
	return read_container(reader, POOLITE__MAP, count);
}

int poolite__read_uint(struct poolite__reader *reader, uint64_t max, uint64_t *value)
{
	struct poolite__reader at = *reader;
	uint64_t bits;
	bool is_negative;

	if (read_integer(&at, &bits, &is_negative) || is_negative || bits > max)
		return POOLITE_BAD_REQUEST;
	*value = bits;
	*reader = at;
	return 0;
}

int poolite__read_int64(struct poolite__reader *reader, int64_t *value)
{
	struct poolite__reader at = *reader;
	uint64_t bits;
	bool is_negative;

	if (read_integer(&at, &bits, &is_negative) || (!is_negative && bits > INT64_MAX))
		return POOLITE_BAD_REQUEST;
	*value = (int64_t)bits;
	*reader = at;
	return 0;
}

/* Floats are msgpack-c's to decode; for one it allocates nothing. */
int poolite__read_double(struct poolite__reader *reader, double *value)
{
	struct poolite__head head;
	msgpack_unpacked number;
	size_t used = 0;
	msgpack_unpack_return rc;

	if (read_number_head(reader, POOLITE__FLOAT, &head))
		return POOLITE_BAD_REQUEST;
	msgpack_unpacked_init(&number);
	rc = msgpack_unpack_next(
	    &number, (const char *)reader->at, head.len + (size_t)head.count, &used);
	*value = number.data.via.f64;
	msgpack_unpacked_destroy(&number);
	if (rc != MSGPACK_UNPACK_SUCCESS)
		return POOLITE_BAD_REQUEST;
	reader->at += used;
	return 0;
}

/* str and bin are their header and the bytes behind it. */
static int read_span(struct poolite__reader *reader, enum poolite__kind kind,
    const char **data, size_t *len)
{
	struct poolite__head head;
	size_t left = (size_t)(reader->end - reader->at);

	if (left == 0 || !poolite__head_read(reader->at, left, &head) ||
	    head.kind != kind || head.count > left - head.len)
		return POOLITE_BAD_REQUEST;
	*data = (const char *)reader->at + head.len;
	*len = (size_t)head.count;
	reader->at += head.len + head.count;
	return 0;
}

int poolite__read_bytes(struct poolite__reader *reader, const char **data, size_t *len)
{
	if (read_span(reader, POOLITE__STR, data, len) == 0)
		return 0;
	return read_span(reader, POOLITE__BIN, data, len);
}

int poolite__read_str(struct poolite__reader *reader, const char **data, size_t *len)
{
	return read_span(reader, POOLITE__STR, data, len);
}

int poolite__skip(struct poolite__reader *reader)
{
	const uint8_t *at = reader->at;
	const uint8_t *end = reader->end;
	uint64_t left = 1; /* values still to step over, at whatever level */

	while (left > 0) {
		struct poolite__head head;

		/* Each value takes a byte: this bounds ${left} too. */
		if (left > (size_t)(end - at) ||
		    !poolite__head_read(at, (size_t)(end - at), &head) ||
		    head.kind == POOLITE__END)
			return POOLITE_BAD_REQUEST;
		at += head.len;
		if (poolite__head_body(&head) > (size_t)(end - at))
			return POOLITE_BAD_REQUEST;
		at += poolite__head_body(&head);
		left += poolite__head_children(&head) - 1;
	}
	reader->at = at;
	return 0;
}

bool poolite__is_word(const char *data, size_t len, const char *word)
{
	return strlen(word) == len && memcmp(data, word, len) == 0;
}
