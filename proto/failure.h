/* failure.h - one error, as it travels: [code, message, {name, done, rows_done?, sqlite?}].
 *
 * Broker and client fill the same struct; both directions are here.
 */
#ifndef POOLITE_PROTO_FAILURE_H
#define POOLITE_PROTO_FAILURE_H

#include <stdbool.h>

#include "proto/limits.h"
#include "proto/poolite_errors.h"

struct poolite__buf;
struct poolite__reader;

struct poolite__failure {
	enum poolite_code code; /* POOLITE_OK: no failure */
	int sqlite;             /* SQLite's extended result code, 0 when it had no part */
	bool is_unknown;        /* done: "unknown" */
	/* How many of a batch's first rows are in, for certain; and unless is_unknown, no
	 * others: done is "part".  0: "no" (nothing happened). */
	int64_t rows_done;
	char message[POOLITE__MESSAGE_BYTES]; /* UTF-8, NUL-terminated, for people */
};

/** The code's fixed name, "BAD_REQUEST" for POOLITE_BAD_REQUEST; "UNKNOWN" for others. */
const char *poolite__code_name(int code);

/** One clause on what the code means; "" for a number that is none. */
const char *poolite__code_meaning(int code);

/**
 * Fill ${failure} (NULL: do nothing) with ${code} and a printf-formatted
 * message; sqlite and rows_done become 0 and done "no" (for OUTCOME_UNKNOWN "unknown").  A
 * message cut at the end stays whole UTF-8; bytes that are no UTF-8 become '?'.
 *
 * Returns ${code}, so that `return poolite__fail(...)` reads well.
 */
int poolite__fail(struct poolite__failure *failure, enum poolite_code code,
    const char *format, ...) __attribute__((format(printf, 3, 4)));

/** Append ${failure} as [code, message, info].  0, or POOLITE_TOO_LARGE /
 *  POOLITE_OVERLOADED from the buffer. */
int poolite__pack_failure(
    struct poolite__buf *buf, const struct poolite__failure *failure);

/**
 * Read one [code, message, info]; keys of info that are not known are skipped.
 * Returns 0, or POOLITE_BAD_REQUEST when it is no error of this shape.
 */
int poolite__read_failure(
    struct poolite__reader *reader, struct poolite__failure *failure);

#endif
