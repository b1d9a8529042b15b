/* poolite_value.h - one SQL value, as an argument or a result.
 *
 * Installed beside poolite.h, which includes it.
 */
#ifndef POOLITE_VALUE_H
#define POOLITE_VALUE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/** SQLite's five storage classes. */
enum poolite_type {
	POOLITE_NULL = 0,
	POOLITE_INTEGER,
	POOLITE_REAL,
	POOLITE_TEXT,
	POOLITE_BLOB,
};

/**
 * One value.  Text and bytes are borrowed: they must stay as they are until the call
 * that takes the value has returned.  Make one with the functions below.
 */
struct poolite_value {
	enum poolite_type type;
	size_t len; /* bytes of text or blob, without a NUL */
	const char *
	    name; /* NULL: bound by position; else by name, with or without its : @ or $ */
	union {
		int64_t integer;
		double real;
		const void *data; /* text (UTF-8) or blob; may be NULL when len is 0 */
	} as;
};

/** SQL NULL. */
static inline struct poolite_value poolite_null(void)
{
	struct poolite_value value;
	memset(&value, 0, sizeof value);
	return value;
}

/** INTEGER. */
static inline struct poolite_value poolite_integer(int64_t integer)
{
	struct poolite_value value = poolite_null();
	value.type = POOLITE_INTEGER;
	value.as.integer = integer;
	return value;
}

/** REAL.  NaN is stored as NULL, as SQLite does; infinities as they are. */
static inline struct poolite_value poolite_real(double real)
{
	struct poolite_value value = poolite_null();
	value.type = POOLITE_REAL;
	value.as.real = real;
	return value;
}

/** TEXT of ${len} bytes of UTF-8; may hold NULs. */
static inline struct poolite_value poolite_text_n(const char *text, size_t len)
{
	struct poolite_value value = poolite_null();
	value.type = POOLITE_TEXT;
	value.as.data = text;
	value.len = len;
	return value;
}

/** TEXT, NUL-terminated UTF-8; a NULL pointer is SQL NULL. */
static inline struct poolite_value poolite_text(const char *text)
{
	return text ? poolite_text_n(text, strlen(text)) : poolite_null();
}

/** BLOB of ${len} bytes. */
static inline struct poolite_value poolite_blob(const void *data, size_t len)
{
	struct poolite_value value = poolite_null();
	value.type = POOLITE_BLOB;
	value.as.data = data;
	value.len = len;
	return value;
}

/** The same value, bound by ${name} instead of its position. */
static inline struct poolite_value poolite_named(
    const char *name, struct poolite_value value)
{
	value.name = name;
	return value;
}

#ifdef __cplusplus
}
#endif

#endif
