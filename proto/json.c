#include "proto/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "proto/head.h"
#include "proto/limits.h"
#include "proto/utf8.h"
#include "proto/value.h"

/* Both turn bytes into text: JSON's own string, to be freed, of *${text_len} bytes; NULL
 * without memory. */

static char *text_of(const char *data, size_t len, size_t *text_len)
{
	char *text = malloc(len * 3 + 1); /* U+FFFD takes three bytes */
	size_t used = 0;

	if (!text)
		return NULL;
	for (size_t at = 0; at < len;) {
		size_t sequence = poolite__utf8_len((const uint8_t *)data + at, len - at);

		if (sequence > 0) {
			memcpy(text + used, data + at, sequence);
			used += sequence;
			at += sequence;
		} else {
			memcpy(text + used, "\xef\xbf\xbd", 3);
			used += 3;
			at++;
		}
	}
	*text_len = used;
	return text;
}

static char *hex_of(const char *data, size_t len, size_t *text_len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = malloc(len * 2 + 1);

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[(uint8_t)data[i] >> 4];
		text[2 * i + 1] = digits[(uint8_t)data[i] & 15];
	}
	*text_len = len * 2;
	return text;
}

static json_t *string_of(char *text, size_t len)
{
	json_t *json = text ? json_stringn_nocheck(text, len) : NULL;

	free(text);
	return json;
}

static json_t *read_text(struct poolite__reader *reader)
{
	const char *data;
	size_t len;
	size_t text_len = 0;
	char *text;

	if (poolite__read_str(reader, &data, &len))
		return NULL;
	if (poolite__is_utf8(data, len))
		return json_stringn_nocheck(data, len);
	text = text_of(data, len, &text_len);
	return string_of(text, text_len);
}

static json_t *read_blob(struct poolite__reader *reader)
{
	const char *data;
	size_t len;
	size_t text_len = 0;
	char *text;

	if (poolite__read_bytes(reader, &data, &len))
		return NULL;
	text = hex_of(data, len, &text_len);
	return string_of(text, text_len);
}

/* No answer of Poolite's has one; its bytes are shown, without the type. */
static json_t *read_ext(struct poolite__reader *reader)
{
	const uint8_t *at = reader->at;
	struct poolite__head head;
	size_t text_len = 0;
	char *text;

	if (!poolite__head_read(at, (size_t)(reader->end - at), &head) ||
	    poolite__skip(reader))
		return NULL;
	text = hex_of((const char *)at + head.len, (size_t)head.count, &text_len);
	return string_of(text, text_len);
}

static json_t *read_number(struct poolite__reader *reader)
{
	uint64_t large;
	int64_t integer;
	double real;

	if (poolite__read_int64(reader, &integer) == 0)
		return json_integer(integer);
	if (poolite__read_uint(reader, UINT64_MAX, &large) == 0)
		return json_real((double)large);
	if (poolite__read_double(reader, &real))
		return NULL;
	return isfinite(real) ? json_real(real) : json_null();
}

static json_t *read_any(struct poolite__reader *reader, int depth);

static json_t *read_list(struct poolite__reader *reader, int depth)
{
	json_t *list = json_array();
	uint32_t count;

	if (poolite__read_array(reader, &count))
		goto fail;
	while (count-- > 0)
		if (json_array_append_new(list, read_any(reader, depth)))
			goto fail;
	return list;
fail:
	json_decref(list);
	return NULL;
}

/* Put ${value} (taken) under ${key}, whatever JSON it is. */
static int put(json_t *object, const json_t *key, json_t *value)
{
	char *text;
	int rc;

	if (json_is_string(key))
		return json_object_setn_new_nocheck(
		    object, json_string_value(key), json_string_length(key), value);
	text = key ? json_dumps(key, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;
	if (!text) {
		json_decref(value);
		return -1;
	}
	rc = json_object_set_new_nocheck(object, text, value);
	free(text);
	return rc;
}

static json_t *read_object(struct poolite__reader *reader, int depth)
{
	json_t *object = json_object();
	uint32_t count;

	if (poolite__read_map(reader, &count))
		goto fail;
	while (count-- > 0) {
		json_t *key = read_any(reader, depth);
		int rc = put(object, key, read_any(reader, depth));

		json_decref(key);
		if (rc)
			goto fail;
	}
	return object;
fail:
	json_decref(object);
	return NULL;
}

static json_t *read_any(struct poolite__reader *reader, int depth)
{
	bool boolean;

	switch (poolite__reader_kind(reader)) {
	case POOLITE__NIL: return poolite__read_nil(reader) ? NULL : json_null();
	case POOLITE__BOOL:
		return poolite__read_bool(reader, &boolean) ? NULL
							    : json_boolean(boolean);
	case POOLITE__INTEGER:
	case POOLITE__FLOAT: return read_number(reader);
	case POOLITE__STR: return read_text(reader);
	case POOLITE__BIN: return read_blob(reader);
	case POOLITE__EXT: return read_ext(reader);
	case POOLITE__ARRAY: return depth > 0 ? read_list(reader, depth - 1) : NULL;
	case POOLITE__MAP: return depth > 0 ? read_object(reader, depth - 1) : NULL;
	case POOLITE__END: break;
	}
	return NULL;
}

json_t *poolite__json(struct poolite__reader *reader)
{
	return read_any(reader, POOLITE__DEPTH_MAX);
}
