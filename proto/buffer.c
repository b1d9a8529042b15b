#include "proto/buffer.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/poolite_errors.h"

#define FIRST_CAP ((size_t)256)

static int take(struct poolite__budget *budget, size_t bytes)
{
	size_t used = atomic_load_explicit(&budget->used, memory_order_relaxed);

	do {
		if (used > budget->max || bytes > budget->max - used)
			return POOLITE_OVERLOADED;
	} while (!atomic_compare_exchange_weak_explicit(&budget->used, &used,
	    used + bytes, memory_order_relaxed, memory_order_relaxed));
	return 0;
}

int poolite__budget_take(struct poolite__budget *budget, size_t bytes)
{
	int rc = take(budget, bytes);

	if (rc == 0 && budget->parent) {
		rc = poolite__budget_take(budget->parent, bytes);
		if (rc)
			atomic_fetch_sub_explicit(
			    &budget->used, bytes, memory_order_relaxed);
	}
	return rc;
}

void poolite__budget_give(struct poolite__budget *budget, size_t bytes)
{
	size_t before =
	    atomic_fetch_sub_explicit(&budget->used, bytes, memory_order_relaxed);

	assert(before >= bytes);
	if (budget->parent)
		poolite__budget_give(budget->parent, bytes);
}

void poolite__buf_init(
    struct poolite__buf *buf, size_t max, struct poolite__budget *budget)
{
	*buf = (struct poolite__buf){.max = max, .budget = budget};
}

void poolite__buf_release(struct poolite__buf *buf)
{
	free(buf->data);
	if (buf->budget && buf->cap > 0)
		poolite__budget_give(buf->budget, buf->cap);
	poolite__buf_init(buf, buf->max, buf->budget);
}

void poolite__buf_truncate(struct poolite__buf *buf, size_t len)
{
	assert(len <= buf->len);
	buf->len = len;
	buf->failed = 0;
}

/* Make the capacity ${cap}, which is more than it was. */
static int grow_to(struct poolite__buf *buf, size_t cap)
{
	uint8_t *data;

	if (buf->budget && poolite__budget_take(buf->budget, cap - buf->cap))
		return POOLITE_OVERLOADED;
	data = realloc(buf->data, cap);
	if (!data) {
		if (buf->budget)
			poolite__budget_give(buf->budget, cap - buf->cap);
		return POOLITE_OVERLOADED;
	}
	buf->data = data;
	buf->cap = cap;
	return 0;
}

static int grow(struct poolite__buf *buf, size_t extra)
{
	size_t need = buf->len + extra;
	size_t cap = buf->cap > buf->max / 2 ? buf->max : buf->cap * 2;

	if (cap < FIRST_CAP)
		cap = FIRST_CAP;
	if (cap < need)
		cap = need;
	if (cap > buf->max)
		cap = buf->max;
	if (grow_to(buf, cap) == 0)
		return 0;
	/* Twice as much is not there; just enough may be. */
	return need < cap ? grow_to(buf, need) : POOLITE_OVERLOADED;
}

int poolite__buf_grow(struct poolite__buf *buf, size_t extra)
{
	if (buf->failed)
		return buf->failed;
	if (extra > buf->max - buf->len)
		buf->failed = POOLITE_TOO_LARGE;
	else
		buf->failed = grow(buf, extra);
	return buf->failed;
}

void poolite__buf_consume(struct poolite__buf *buf, size_t len)
{
	assert(len <= buf->len);
	if (len > 0 && len < buf->len)
		memmove(buf->data, buf->data + len, buf->len - len);
	buf->len -= len;
}

static int packer_write(void *data, const char *bytes, size_t len)
{
	return poolite__buf_append(data, bytes, len);
}

void poolite__packer_init(msgpack_packer *packer, struct poolite__buf *buf)
{
	msgpack_packer_init(packer, buf, packer_write);
}

void poolite__pack_cstr(msgpack_packer *packer, const char *text)
{
	msgpack_pack_str_with_body(packer, text, strlen(text));
}

size_t poolite__pack_open_array(struct poolite__buf *buf)
{
	static const uint8_t header[5] = {0xdd};
	size_t offset = buf->len;

	poolite__buf_append(buf, header, sizeof header);
	return offset;
}

void poolite__patch_array(struct poolite__buf *buf, size_t offset, uint32_t count)
{
	uint8_t *at;

	if (buf->failed)
		return;
	assert(offset < buf->len && buf->len - offset >= 5 && buf->data[offset] == 0xdd);
	at = buf->data + offset + 1;
	at[0] = (uint8_t)(count >> 24);
	at[1] = (uint8_t)(count >> 16);
	at[2] = (uint8_t)(count >> 8);
	at[3] = (uint8_t)count;
}
