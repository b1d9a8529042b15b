/* notation.h - MessagePack values as short text, both ways.
 *
 * Like JSON, save that strings stand in backquotes (SQL needs both other kinds,
 * and C one of them) and bin is x'00ff':
 *
 *	[`SELECT ?`, [1, -2.5, null, true, `text`, x'00ff'], {`timeout_ms`: 200}]
 *
 * Numbers with a point or an exponent are float 64.  Spaces and newlines separate.
 */
#ifndef POOLITE_TESTS_NOTATION_H
#define POOLITE_TESTS_NOTATION_H

#include "proto/buffer.h"
#include "proto/reader.h"

/** Append ${text}, one value, as MessagePack; a mistake in it fails the test. */
void notation_pack(struct poolite__buf *buf, const char *text);

/** Append the value at ${reader} as text, without a NUL, and step over it. */
void notation_write(struct poolite__buf *text, struct poolite__reader *reader);

/** The same as a new NUL-terminated string, for free(); ${reader} stays. */
char *notation_text(const struct poolite__reader *reader);

/** Append a string or bytes in the notation, without a NUL. */
void notation_write_str(struct poolite__buf *text, const char *data, size_t len);
void notation_write_bin(struct poolite__buf *text, const uint8_t *data, size_t len);
void notation_write_real(struct poolite__buf *text, double real);

#endif
