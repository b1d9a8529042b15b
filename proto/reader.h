/* reader.h - walk through one whole message, value by value.
 *
 * The bytes must have passed the frame scanner: lengths inside are whole and
 * nesting is bounded.  Containers are entered header by header, so memory
 * follows the bytes that came and never the counts they claim; numbers are
 * decoded by msgpack-c, which takes nothing for one.  Nothing here allocates.
 */
#ifndef POOLITE_PROTO_READER_H
#define POOLITE_PROTO_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A place in a message.  Copy it to remember the place. */
struct poolite__reader {
	const uint8_t *at;  /* next byte; borrowed with the message */
	const uint8_t *end; /* one past the last */
};

enum poolite__kind {
	POOLITE__END, /* no value left */
	POOLITE__NIL,
	POOLITE__BOOL,
	POOLITE__INTEGER, /* any width and sign */
	POOLITE__FLOAT,   /* 32 or 64 bits */
	POOLITE__STR,
	POOLITE__BIN,
	POOLITE__ARRAY,
	POOLITE__MAP,
	POOLITE__EXT,
};

/** A reader over ${len} scanned bytes. */
struct poolite__reader poolite__reader_over(const void *bytes, size_t len);

/** What comes next, without consuming it. */
enum poolite__kind poolite__reader_kind(const struct poolite__reader *reader);

/* Each of these consumes one value (for a container: its header) and returns 0,
 * or consumes nothing and returns POOLITE_BAD_REQUEST when what comes next is
 * of another kind or does not fit. */
int poolite__read_nil(struct poolite__reader *reader);
int poolite__read_bool(struct poolite__reader *reader, bool *value);
/** ${count}: elements that follow. */
int poolite__read_array(struct poolite__reader *reader, uint32_t *count);
/** ${count}: pairs that follow. */
int poolite__read_map(struct poolite__reader *reader, uint32_t *count);
/** Any integer in 0 .. ${max}. */
int poolite__read_uint(struct poolite__reader *reader, uint64_t max, uint64_t *value);
int poolite__read_int64(struct poolite__reader *reader, int64_t *value);
/** Float of either width. */
int poolite__read_double(struct poolite__reader *reader, double *value);
/** str or bin; ${data} points into the message, not NUL-terminated. */
int poolite__read_bytes(struct poolite__reader *reader, const char **data, size_t *len);
/** As poolite__read_bytes, but only str. */
int poolite__read_str(struct poolite__reader *reader, const char **data, size_t *len);

/** Step over one value with all that is in it.  POOLITE_BAD_REQUEST at the end. */
int poolite__skip(struct poolite__reader *reader);

/** Whether ${len} bytes are the text ${word} (NUL-terminated), case counting. */
bool poolite__is_word(const char *data, size_t len, const char *word);

#endif
