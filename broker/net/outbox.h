/* outbox.h - the answers of one session that wait to be written.
 *
 *   head ─► [lent, being written by libuv] ─► [lent] ─► [waits] ─► [waits] ◄─ tail
 *            ▲ skip bytes of it are written already      small answers share one
 *
 * Loop thread.  Zero it to start.
 */
#ifndef POOLITE_BROKER_NET_OUTBOX_H
#define POOLITE_BROKER_NET_OUTBOX_H

#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "proto/buffer.h"

/** Buffers in one writev(2). */
#define OUTBOX_WRITE_BUFS 64

struct outgoing;

struct outbox {
	struct outgoing *head; /* owns */
	struct outgoing *tail;
	size_t skip;    /* bytes of head that are written already */
	size_t bytes;   /* waiting, the lent ones included */
	uint32_t count; /* buffers in the list */
	uint32_t lent;  /* how many of them, from the head, a write points into */
};

/** Append what ${buf} holds (taken).  False when there is no memory: the bytes are lost. */
bool outbox_push(struct outbox *outbox, struct poolite__buf *buf);

/**
 * Append a copy of ${len} bytes; a new buffer for them takes from ${budget} (borrowed;
 * NULL: none).  False when there is no memory.
 */
bool outbox_append(
    struct outbox *outbox, const void *data, size_t len, struct poolite__budget *budget);

/** Point ${bufs}, of OUTBOX_WRITE_BUFS, at the first bytes that wait; returns how many,
 *  with the sum of their bytes. */
unsigned outbox_gather(const struct outbox *outbox, uv_buf_t *bufs, size_t *bytes);

/** The first ${bytes} are written: free them.  Nothing may be lent. */
void outbox_written(struct outbox *outbox, size_t bytes);

/** The first ${count} buffers stay where they are until outbox_take_back. */
void outbox_lend(struct outbox *outbox, unsigned count);
/** The write is over: free what was lent. */
void outbox_take_back(struct outbox *outbox);

/** Free all but what is lent. */
void outbox_drop(struct outbox *outbox);

#endif
