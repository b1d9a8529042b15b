/* value.h - SQL values and argument lists on the wire.
 *
 * INTEGER int64 | REAL float64 | TEXT str (bin if it is no UTF-8) | BLOB bin |
 * NULL nil.  In arguments also: bool is 0 or 1, float32 widens.
 */
#ifndef POOLITE_PROTO_VALUE_H
#define POOLITE_PROTO_VALUE_H

#include "proto/buffer.h"
#include "proto/failure.h"
#include "proto/poolite_value.h"
#include "proto/reader.h"

/** Whether ${len} bytes are well-formed UTF-8 (no surrogates, nothing overlong). */
bool poolite__is_utf8(const void *data, size_t len);

/** Append an integer.  0, or the buffer's failure. */
int poolite__pack_integer(struct poolite__buf *buf, int64_t integer);

/** Append one value.  0, or the buffer's failure. */
int poolite__pack_value(struct poolite__buf *buf, const struct poolite_value *value);

/**
 * Read one value as SQL means it; text and blob borrow from the message.
 *
 *   check_utf8  whether str must be UTF-8: arguments yes; a broker's results no.
 *
 * Returns 0, or POOLITE_BAD_REQUEST with ${failure} (may be NULL) saying what
 * was wrong: an integer outside int64, ext, a nested array or map, no UTF-8.
 */
int poolite__read_value(struct poolite__reader *reader, bool check_utf8,
    struct poolite_value *value, struct poolite__failure *failure);

/* One statement's arguments, still in the message. */
struct poolite__args {
	struct poolite__reader at; /* the next one */
	uint32_t count;            /* how many are left */
	uint32_t taken;            /* how many were given out, for messages */
	bool is_named;             /* a map: a name before each value */
};

/**
 * Read the header of one argument list and step over it: array, map, or nil
 * and the end of the message for none.  The values are checked as
 * poolite__args_next gives them out.
 *
 * Returns 0, POOLITE_BAD_REQUEST (neither array nor map), or POOLITE_TOO_LARGE
 * (more than POOLITE__ARGS_MAX, named: POOLITE__NAMED_ARGS_MAX).
 */
int poolite__read_args(struct poolite__reader *reader, struct poolite__args *args,
    struct poolite__failure *failure);

/**
 * The next argument.  ${name}, ${name_len}: set for named ones (as sent, with
 * or without its prefix; not NUL-terminated), else NULL and 0.
 *
 * Returns 1 with one, 0 when there is none left, or POOLITE_BAD_REQUEST.
 */
int poolite__args_next(struct poolite__args *args, const char **name, size_t *name_len,
    struct poolite_value *value, struct poolite__failure *failure);

/**
 * Append ${count} arguments: a map when they are named, else an array.  TEXT goes
 * as str even if it is no UTF-8, for the broker to refuse by its number.
 * Returns 0, POOLITE_BAD_REQUEST when only some are named, or the buffer's failure.
 */
int poolite__pack_args(
    struct poolite__buf *buf, const struct poolite_value *args, size_t count);

#endif
