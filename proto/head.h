/* head.h - what a MessagePack value's first bytes say: its kind and its size.
 *
 * The one place that knows the format's first bytes; scanner, reader and
 * values build on it.  Inline: it is asked once for every value that travels.
 */
#ifndef POOLITE_PROTO_HEAD_H
#define POOLITE_PROTO_HEAD_H

#include <stdbool.h>

#include "proto/reader.h"

/* What one first byte means. */
struct poolite__first {
	uint8_t kind;         /* enum poolite__kind; POOLITE__END for 0xc1 */
	uint8_t header_len;   /* first byte, length field, ext's type byte */
	uint8_t length_bytes; /* of the length field: 0, 1, 2 or 4 */
	uint8_t fixed; /* without a length field: bytes that follow the header ... */
	uint8_t mask;  /* ... plus these bits of the first byte */
};

extern const struct poolite__first poolite__firsts[256];

struct poolite__head {
	enum poolite__kind kind;
	uint32_t len;   /* bytes of the header */
	uint64_t count; /* str, bin, ext, number: bytes after the header; array:
	                   elements; map: pairs */
};

/**
 * Read the header that ${available} > 0 bytes begin with.  False when it is not whole.
 * An impossible first byte gives kind POOLITE__END.
 */
static inline bool poolite__head_read(
    const uint8_t *at, size_t available, struct poolite__head *head)
{
	const struct poolite__first *first = &poolite__firsts[at[0]];

	head->kind = first->kind;
	head->len = first->header_len;
	if (first->header_len > available)
		return false;
	switch (first->length_bytes) {
	case 0: head->count = first->fixed + (unsigned)(at[0] & first->mask); break;
	case 1: head->count = at[1]; break;
	case 2: head->count = (unsigned)at[1] << 8 | at[2]; break;
	default:
		head->count = (uint32_t)at[1] << 24 | (uint32_t)at[2] << 16 |
		    (uint32_t)at[3] << 8 | at[4];
	}
	return true;
}

/** Whether this first byte is a whole value: nil, false, true or a small integer. */
static inline bool poolite__head_is_all(uint8_t first)
{
	return (int8_t)first >= -0x20 || first == 0xc0 || (first | 1) == 0xc3;
}

/** Whether values follow as content, not bytes. */
static inline bool poolite__head_is_container(const struct poolite__head *head)
{
	return head->kind == POOLITE__ARRAY || head->kind == POOLITE__MAP;
}

/** Bytes after the header that belong to the value itself. */
static inline uint64_t poolite__head_body(const struct poolite__head *head)
{
	return poolite__head_is_container(head) ? 0 : head->count;
}

/** Values inside. */
static inline uint64_t poolite__head_children(const struct poolite__head *head)
{
	if (head->kind == POOLITE__ARRAY)
		return head->count;
	return head->kind == POOLITE__MAP ? head->count * 2 : 0;
}

#endif
