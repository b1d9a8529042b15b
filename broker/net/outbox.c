#include "broker/net/outbox.h"

#include <assert.h>
#include <stdlib.h>

/* Answers up to this size in all share one buffer: one each would cost several
 * times their bytes. */
#define SHARED_BYTES ((size_t)16 << 10)
/* Room behind the first of them. */
#define FOLLOWERS_BYTES ((size_t)1 << 10)

struct outgoing {
	struct outgoing *next;
	struct poolite__buf buf; /* owns */
};

/* libuv may be writing all there is: then the tail must stay as it is. */
static bool append_to_tail(struct outbox *outbox, const void *data, size_t len)
{
	struct outgoing *tail = outbox->tail;

	if (!tail || outbox->count == outbox->lent ||
	    tail->buf.len + len > SHARED_BYTES ||
	    poolite__buf_append(&tail->buf, data, len))
		return false;
	outbox->bytes += len;
	return true;
}

/* A new tail that owns what ${buf} holds (taken). */
static bool add(struct outbox *outbox, struct poolite__buf *buf)
{
	struct outgoing *outgoing = malloc(sizeof *outgoing);

	if (!outgoing) {
		poolite__buf_release(buf);
		return false;
	}
	outgoing->next = NULL;
	outgoing->buf = *buf;
	poolite__buf_init(buf, buf->max, buf->budget);
	if (outbox->tail)
		outbox->tail->next = outgoing;
	else
		outbox->head = outgoing;
	outbox->tail = outgoing;
	outbox->bytes += outgoing->buf.len;
	outbox->count++;
	return true;
}

bool outbox_push(struct outbox *outbox, struct poolite__buf *buf)
{
	if (!append_to_tail(outbox, buf->data, buf->len))
		return add(outbox, buf);
	poolite__buf_release(buf);
	return true;
}

bool outbox_append(
    struct outbox *outbox, const void *data, size_t len, struct poolite__budget *budget)
{
	struct poolite__buf buf;

	if (append_to_tail(outbox, data, len))
		return true;
	poolite__buf_init(&buf, SIZE_MAX, budget);
	/* Where one answer is copied others follow; without the room, just this one. */
	if (poolite__buf_reserve(&buf, len + FOLLOWERS_BYTES))
		poolite__buf_truncate(&buf, 0);
	if (poolite__buf_append(&buf, data, len)) {
		poolite__buf_release(&buf);
		return false;
	}
	return add(outbox, &buf);
}

unsigned outbox_gather(const struct outbox *outbox, uv_buf_t *bufs, size_t *bytes)
{
	unsigned count = 0;
	size_t skip = outbox->skip;

	*bytes = 0;
	for (struct outgoing *at = outbox->head; at && count < OUTBOX_WRITE_BUFS;
	     at = at->next) {
		bufs[count].base = (char *)at->buf.data + skip;
		bufs[count].len = at->buf.len - skip;
		*bytes += bufs[count].len;
		skip = 0;
		count++;
	}
	return count;
}

static void free_first(struct outbox *outbox)
{
	struct outgoing *first = outbox->head;

	outbox->bytes -= first->buf.len - outbox->skip;
	outbox->skip = 0;
	outbox->count--;
	outbox->head = first->next;
	if (!outbox->head)
		outbox->tail = NULL;
	poolite__buf_release(&first->buf);
	free(first);
}

void outbox_written(struct outbox *outbox, size_t bytes)
{
	assert(outbox->lent == 0);
	while (outbox->head && bytes >= outbox->head->buf.len - outbox->skip) {
		bytes -= outbox->head->buf.len - outbox->skip;
		free_first(outbox);
	}
	outbox->skip += bytes;
	outbox->bytes -= bytes;
}

void outbox_lend(struct outbox *outbox, unsigned count)
{
	assert(outbox->lent == 0 && count <= outbox->count);
	outbox->lent = count;
}

void outbox_take_back(struct outbox *outbox)
{
	while (outbox->lent > 0) {
		outbox->lent--;
		free_first(outbox);
	}
}

void outbox_drop(struct outbox *outbox)
{
	struct outgoing *keep = NULL, *at = outbox->head;

	for (uint32_t held = outbox->lent; held > 0; held--) {
		keep = at;
		at = at->next;
	}
	while (at) {
		struct outgoing *next = at->next;
		outbox->bytes -= at->buf.len - (at == outbox->head ? outbox->skip : 0);
		outbox->count--;
		poolite__buf_release(&at->buf);
		free(at);
		at = next;
	}
	outbox->tail = keep;
	if (keep)
		keep->next = NULL;
	else
		*outbox = (struct outbox){0};
}
