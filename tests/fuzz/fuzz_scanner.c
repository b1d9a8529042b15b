/* fuzz_scanner.c - the frame scanner, against itself and against msgpack-c.
 *
 *   limits | splits | messages ...
 *
 * In pieces it says what it says of the whole; what it calls a message msgpack-c and
 * poolite__skip do too, of the same length; what it refuses was over a limit.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>

#include "proto/frame.h"
#include "proto/reader.h"

/* Pieces that one message is given in, at most; each is a copy of its own. */
#define PIECES_MAX 24

static const struct poolite__limits limits_table[] = {
    {.frame_bytes_max = 64 << 10, .values_max = UINT32_MAX},
    {.frame_bytes_max = 64 << 10, .values_max = 1000},
    {.frame_bytes_max = 1000, .values_max = 40},
    {.frame_bytes_max = 16, .values_max = 6},
};

static const struct poolite__limits no_limits = {
    .frame_bytes_max = SIZE_MAX / 2, .values_max = UINT32_MAX};

static ssize_t scan_whole(
    const uint8_t *data, size_t len, const struct poolite__limits *limits)
{
	struct poolite__scan scan = {0};
	uint8_t *copy = fuzz_copy(data, len);
	ssize_t result = poolite__scan_next(&scan, copy, len, limits);

	free(copy);
	return result;
}

/* What the scanner says in the end when the bytes come one after the other. */
static ssize_t scan_in_pieces(const uint8_t *data, size_t len,
    const struct poolite__limits *limits, unsigned *random)
{
	struct poolite__scan scan = {0};
	size_t step = len / PIECES_MAX + 1;
	size_t seen = 0;
	ssize_t result = 0;

	while (result == 0 && seen < len) {
		uint8_t *copy;

		*random = *random * 1103515245 + 12345;
		seen += 1 + (*random >> 16) % (2 * step);
		if (seen > len)
			seen = len;
		copy = fuzz_copy(data, seen);
		result = poolite__scan_next(&scan, copy, seen, limits);
		free(copy);
	}
	return result;
}

/* Values in ${object}, itself and containers included, as the scanner counts them. */
static uint64_t count_values(const msgpack_object *object)
{
	uint64_t count = 1;

	if (object->type == MSGPACK_OBJECT_ARRAY)
		for (uint32_t i = 0; i < object->via.array.size; i++)
			count += count_values(&object->via.array.ptr[i]);
	if (object->type == MSGPACK_OBJECT_MAP)
		for (uint32_t i = 0; i < object->via.map.size; i++)
			count += count_values(&object->via.map.ptr[i].key) +
			    count_values(&object->via.map.ptr[i].val);
	return count;
}

/* A whole message of ${len} bytes: everybody agrees, and it is within the limits. */
static void check_whole(
    const uint8_t *data, size_t len, const struct poolite__limits *limits)
{
	uint8_t *copy = fuzz_copy(data, len);
	struct poolite__reader reader = poolite__reader_over(copy, len);
	msgpack_unpacked theirs;
	size_t used = 0;

	assert(len <= limits->frame_bytes_max);
	assert(poolite__skip(&reader) == 0 && reader.at == reader.end);
	msgpack_unpacked_init(&theirs);
	assert(msgpack_unpack_next(&theirs, (const char *)copy, len, &used) ==
	    MSGPACK_UNPACK_SUCCESS);
	assert(used == len);
	if (limits->values_max != UINT32_MAX)
		assert(count_values(&theirs.data) <= limits->values_max);
	msgpack_unpacked_destroy(&theirs);
	free(copy);
}

/* The limits were passed, or will be: without them it is a larger message, or none yet. */
static void check_too_large(
    const uint8_t *data, size_t len, const struct poolite__limits *limits)
{
	ssize_t unlimited = scan_whole(data, len, &no_limits);
	msgpack_unpacked theirs;
	size_t used = 0;

	if (unlimited <= 0)
		return;
	msgpack_unpacked_init(&theirs);
	assert(msgpack_unpack_next(&theirs, (const char *)data, (size_t)unlimited,
		   &used) == MSGPACK_UNPACK_SUCCESS);
	assert((size_t)unlimited > limits->frame_bytes_max ||
	    count_values(&theirs.data) > limits->values_max);
	msgpack_unpacked_destroy(&theirs);
}

/* Not whole, or no MessagePack: so it is for msgpack-c. */
static void check_refused(const uint8_t *data, size_t len, msgpack_unpack_return wanted)
{
	msgpack_unpacked theirs;
	size_t used = 0;

	msgpack_unpacked_init(&theirs);
	assert(msgpack_unpack_next(&theirs, (const char *)data, len, &used) == wanted);
	msgpack_unpacked_destroy(&theirs);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_bytes bytes = {data, size};
	const struct poolite__limits *limits = &limits_table[fuzz_byte(&bytes) % 4];
	unsigned random = fuzz_byte(&bytes);

	while (bytes.left > 0) {
		ssize_t whole = scan_whole(bytes.at, bytes.left, limits);

		assert(scan_in_pieces(bytes.at, bytes.left, limits, &random) == whole);
		if (whole > 0) {
			check_whole(bytes.at, (size_t)whole, limits);
			bytes.at += whole;
			bytes.left -= (size_t)whole;
			continue;
		}
		if (whole == 0)
			check_refused(bytes.at, bytes.left, MSGPACK_UNPACK_CONTINUE);
		else if (whole == POOLITE_BAD_REQUEST)
			check_refused(bytes.at, bytes.left, MSGPACK_UNPACK_PARSE_ERROR);
		else
			check_too_large(bytes.at, bytes.left, limits);
		return 0;
	}
	return 0;
}
