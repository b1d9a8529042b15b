/* buffer.h - bytes that grow, up to a maximum given when the buffer is made.
 *
 * Many buffers may draw on one budget (all sessions of a broker together).
 * A buffer that could not grow stays failed: appending to it does nothing
 * more, so that a whole message can be packed and the result asked for once.
 */
#ifndef POOLITE_PROTO_BUFFER_H
#define POOLITE_PROTO_BUFFER_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <msgpack.h>

/** Bytes that several buffers may take together; used from any thread. */
struct poolite__budget {
	_Atomic size_t used;
	size_t max;
	struct poolite__budget
	    *parent; /* borrowed: what is taken here is taken there too */
};

/** Take ${bytes}: 0, or POOLITE_OVERLOADED when they are not there (nothing is taken). */
int poolite__budget_take(struct poolite__budget *budget, size_t bytes);
/** Give ${bytes} back. */
void poolite__budget_give(struct poolite__budget *budget, size_t bytes);

struct poolite__buf {
	uint8_t *data;                  /* owns; NULL while cap is 0 */
	size_t len;                     /* bytes in use */
	size_t cap;                     /* bytes allocated, all taken from the budget */
	size_t max;                     /* len never passes this */
	struct poolite__budget *budget; /* borrowed, outlives the buffer; NULL: none */
	int failed; /* 0; POOLITE_TOO_LARGE (max) or POOLITE_OVERLOADED (budget, malloc) */
};

/** An empty buffer that allocates nothing yet. */
void poolite__buf_init(
    struct poolite__buf *buf, size_t max, struct poolite__budget *budget);
/** Free the bytes and return them to the budget; usable again as after init. */
void poolite__buf_release(struct poolite__buf *buf);
/** Forget the content from ${len} on, and any failure; keeps the memory. */
void poolite__buf_truncate(struct poolite__buf *buf, size_t len);
/** poolite__buf_reserve, when there is no room yet. */
int poolite__buf_grow(struct poolite__buf *buf, size_t extra);

/** Make room for ${extra} more bytes.  0, or the failure's code. */
static inline int poolite__buf_reserve(struct poolite__buf *buf, size_t extra)
{
	if (extra <= buf->cap - buf->len && !buf->failed)
		return 0;
	return poolite__buf_grow(buf, extra);
}

/** Append.  0, or the failure's code. */
static inline int poolite__buf_append(
    struct poolite__buf *buf, const void *data, size_t len)
{
	if (poolite__buf_reserve(buf, len))
		return buf->failed;
	if (len > 0)
		memcpy(buf->data + buf->len, data, len);
	buf->len += len;
	return 0;
}

/** Drop the first ${len} bytes (<= buf->len). */
void poolite__buf_consume(struct poolite__buf *buf, size_t len);

/** A msgpack-c packer that appends to ${buf} (borrowed while it is used). */
void poolite__packer_init(msgpack_packer *packer, struct poolite__buf *buf);

/** Pack a NUL-terminated string as str. */
void poolite__pack_cstr(msgpack_packer *packer, const char *text);

/**
 * Append an array32 header whose count is not known yet; returns its offset
 * for poolite__patch_array.  Meaningless once the buffer has failed.
 */
size_t poolite__pack_open_array(struct poolite__buf *buf);
/** Write ${count} into the header at ${offset}; does nothing on a failed buffer. */
void poolite__patch_array(struct poolite__buf *buf, size_t offset, uint32_t count);

#endif
