/* frame.h - find where one MessagePack value ends, under limits.
 *
 * msgpack-c allocates what a header claims: 5 bytes make it take 512 MB.  This
 * scanner runs first: it allocates nothing, and refuses on the header what
 * would be too much.  Pure; broker and client both use it.
 */
#ifndef POOLITE_PROTO_FRAME_H
#define POOLITE_PROTO_FRAME_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/limits.h"
#include "proto/poolite_errors.h"

/* How far into a message the bytes seen so far reach.  Zero it to start. */
struct poolite__scan {
	size_t offset;   /* bytes walked: headers and bodies that are done with; may
	                    lie past the bytes seen, inside a str or bin announced   */
	uint64_t values; /* values met so far, containers included                   */
	uint64_t open[POOLITE__DEPTH_MAX]; /* per level: values still to come        */
	uint8_t depth;                     /* levels in use                          */
};

/**
 * Walk on through ${buf}: the message from its first byte, of which ${len}
 * bytes have arrived.  Cost is linear in the *new* bytes.
 *
 *   scan    progress; call again with the same one and more bytes of the
 *           same message.
 *   limits  borrowed.  values_max counts what headers announce, so a container is refused
 *           before its elements come; depth is POOLITE__DEPTH_MAX.
 *
 * Returns the message's length (> 0, <= ${len}) once it is whole,
 * 0 when more bytes are needed, or
 *   POOLITE_TOO_LARGE    a limit is passed, even if only announced;
 *   POOLITE_BAD_REQUEST  a byte no MessagePack value starts with (0xc1).
 * After an error the stream is lost: answer once and close.
 */
ssize_t poolite__scan_next(struct poolite__scan *scan, const uint8_t *buf, size_t len,
    const struct poolite__limits *limits);

#endif
