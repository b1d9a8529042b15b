#include "proto/failure.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "proto/buffer.h"
#include "proto/reader.h"
#include "proto/utf8.h"

const char *poolite__code_name(int code)
{
	switch (code) {
#define NAME(name, number, meaning)                                                      \
	case number: return #name;
		POOLITE_ERRORS(NAME)
#undef NAME
	default: return "UNKNOWN";
	}
}

const char *poolite__code_meaning(int code)
{
	switch (code) {
#define MEANING(name, number, meaning)                                                   \
	case number: return meaning;
		POOLITE_ERRORS(MEANING)
#undef MEANING
	default: return "";
	}
}

/* Put '?' for each byte of ${text} that is no UTF-8; what ${was_cut} off within a
 * sequence at the end goes altogether. */
static void make_utf8(char *text, size_t len, bool was_cut)
{
	size_t at = 0;

	while (at < len) {
		size_t sequence = poolite__utf8_len((const uint8_t *)text + at, len - at);

		if (sequence == 0 && was_cut && len - at < 4 &&
		    (uint8_t)text[at] >= 0xc2) {
			text[at] = '\0';
			return;
		}
		if (sequence == 0)
			text[at] = '?';
		at += sequence > 0 ? sequence : 1;
	}
}

int poolite__fail(
    struct poolite__failure *failure, enum poolite_code code, const char *format, ...)
{
	/* Written here first: the arguments may point into ${failure}. */
	char message[POOLITE__MESSAGE_BYTES];
	bool was_cut;
	va_list list;
	int len;

	if (!failure)
		return code;
	va_start(list, format);
	len = vsnprintf(message, sizeof message, format, list);
	va_end(list);
	if (len < 0)
		message[0] = '\0';
	was_cut = len >= (int)sizeof message;
	make_utf8(message, strlen(message), was_cut);

	failure->code = code;
	failure->sqlite = 0;
	failure->is_unknown = code == POOLITE_OUTCOME_UNKNOWN;
	failure->rows_done = 0;
	strcpy(failure->message, message);
	return code;
}

static const char *done_word(const struct poolite__failure *failure)
{
	if (failure->is_unknown)
		return "unknown";
	return failure->rows_done > 0 ? "part" : "no";
}

int poolite__pack_failure(
    struct poolite__buf *buf, const struct poolite__failure *failure)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_int(&packer, failure->code);
	poolite__pack_cstr(&packer, failure->message);
	msgpack_pack_map(
	    &packer, 2 + (size_t)(failure->rows_done != 0) + (failure->sqlite != 0));
	poolite__pack_cstr(&packer, "name");
	poolite__pack_cstr(&packer, poolite__code_name(failure->code));
	poolite__pack_cstr(&packer, "done");
	poolite__pack_cstr(&packer, done_word(failure));
	if (failure->rows_done) {
		poolite__pack_cstr(&packer, "rows_done");
		msgpack_pack_int64(&packer, failure->rows_done);
	}
	if (failure->sqlite) {
		poolite__pack_cstr(&packer, "sqlite");
		msgpack_pack_int(&packer, failure->sqlite);
	}
	return buf->failed;
}

/* What only the words "no", and "part" with a number of rows, may deny: that something
 * could have happened that nobody knows of. */
static void settle_done(struct poolite__failure *failure, bool is_no, bool is_part)
{
	failure->is_unknown = !is_no && !(is_part && failure->rows_done > 0);
	if (is_no)
		failure->rows_done = 0;
}

static int read_info(struct poolite__reader *reader, struct poolite__failure *failure)
{
	bool is_no = false, is_part = false;
	uint64_t rows_done;
	uint32_t pairs;
	int64_t number;

	if (poolite__read_map(reader, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		const char *key;
		const char *word;
		size_t key_len;
		size_t word_len;

		if (poolite__read_bytes(reader, &key, &key_len))
			return POOLITE_BAD_REQUEST;
		if (poolite__is_word(key, key_len, "done")) {
			if (poolite__read_bytes(reader, &word, &word_len))
				return POOLITE_BAD_REQUEST;
			is_no = poolite__is_word(word, word_len, "no");
			is_part = poolite__is_word(word, word_len, "part");
		} else if (poolite__is_word(key, key_len, "rows_done")) {
			if (poolite__read_uint(reader, INT64_MAX, &rows_done))
				return POOLITE_BAD_REQUEST;
			failure->rows_done = (int64_t)rows_done;
		} else if (poolite__is_word(key, key_len, "sqlite")) {
			if (poolite__read_int64(reader, &number) || number < INT_MIN ||
			    number > INT_MAX)
				return POOLITE_BAD_REQUEST;
			failure->sqlite = (int)number;
		} else if (poolite__skip(reader)) {
			return POOLITE_BAD_REQUEST;
		}
	}
	settle_done(failure, is_no, is_part);
	return 0;
}

int poolite__read_failure(
    struct poolite__reader *reader, struct poolite__failure *failure)
{
	struct poolite__reader at = *reader;
	const char *message;
	uint32_t count;
	int64_t code;
	size_t len;

	if (poolite__read_array(&at, &count) || count < 3 ||
	    poolite__read_int64(&at, &code) || code >= 0 || code < INT_MIN ||
	    poolite__read_bytes(&at, &message, &len))
		return POOLITE_BAD_REQUEST;
	if (len > POOLITE__MESSAGE_BYTES)
		len = POOLITE__MESSAGE_BYTES;
	poolite__fail(failure, (enum poolite_code)code, "%.*s", (int)len, message);
	if (read_info(&at, failure))
		return POOLITE_BAD_REQUEST;
	for (; count > 3; count--)
		if (poolite__skip(&at))
			return POOLITE_BAD_REQUEST;
	*reader = at;
	return 0;
}
