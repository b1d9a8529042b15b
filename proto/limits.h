/* limits.h - how much one message may be, with unit and reason.
 *
 * What an operator can set is a default here; what is fixed says why.
 */
#ifndef POOLITE_PROTO_LIMITS_H
#define POOLITE_PROTO_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* Containers within containers.  The deepest request is
 * [0, id, "transaction", [[[sql, [arg]]]]]: 5 levels.  The scanner keeps one
 * counter a level, and msgpack-c's own limit is 32. */
#define POOLITE__DEPTH_MAX 16

/* Bytes of one request, header included (setting max_frame_bytes). */
#define POOLITE__FRAME_BYTES_DEFAULT ((size_t)16 << 20)

/* Values in one request, containers included (setting max_values).  msgpack-c
 * takes 24 bytes for each value it decodes, so sizes alone bound nothing. */
#define POOLITE__VALUES_DEFAULT 4000000u

/* Bytes of one answer (setting max_result_bytes). */
#define POOLITE__RESULT_BYTES_DEFAULT ((size_t)64 << 20)

/* What every answer may have on top of max_result_bytes: its envelope. */
#define POOLITE__ENVELOPE_BYTES ((size_t)1024)

/* Arguments of one statement: SQLite's own MAX_VARIABLE_NUMBER in Debian's
 * build.  A row of arguments is refused on its header above this. */
#define POOLITE__ARGS_MAX 250000u

/* Named arguments of one statement.  SQLite looks a name up by walking all
 * of them: 4,096 names are 17 million comparisons at worst, about 0.1 s. */
#define POOLITE__NAMED_ARGS_MAX 4096u

/* The method's name; every method's is far shorter. */
#define POOLITE__METHOD_BYTES_MAX 64u

/* Rows of one page (options.page_rows): 32 bits on the wire, and far more than
 * fits max_result_bytes. */
#define POOLITE__PAGE_ROWS_MAX 1000000u

/* Rows of one chunk of a batch (options.chunk_rows): a larger one would hold the writer
 * for as long as a batch without chunks does. */
#define POOLITE__CHUNK_ROWS_MAX 1000000u

/* Largest options.timeout_ms: 365 days.  Keeps sums of times inside int64. */
#define POOLITE__TIMEOUT_MS_MAX INT64_C(31536000000)

/* Bytes of an error's message, with the NUL. */
#define POOLITE__MESSAGE_BYTES 512

/* Characters of a session's key as hello tells it (128 random bits, hex). */
#define POOLITE__KEY_CHARS 32

/** What the scanner holds a message against. */
struct poolite__limits {
	size_t frame_bytes_max;
	uint32_t values_max; /* UINT32_MAX: bounded by frame_bytes_max alone */
};

#endif
