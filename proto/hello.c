#include "proto/hello.h"

#include <string.h>

static const char *const features[] = {
    "timeout_ms",
    "pages",
    "on_error",
    "foreign_keys",
    "cancel_session",
    "chunk_rows",
};

#define FEATURE_COUNT (sizeof features / sizeof features[0])

static void pack_text(msgpack_packer *packer, const char *key, const char *text)
{
	poolite__pack_cstr(packer, key);
	poolite__pack_cstr(packer, text);
}

static void pack_number(msgpack_packer *packer, const char *key, int64_t number)
{
	poolite__pack_cstr(packer, key);
	msgpack_pack_int64(packer, number);
}

void poolite__pack_hello_result(
    struct poolite__buf *buf, const struct poolite__hello *hello)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 8);
	pack_text(&packer, "server", "poolite");
	pack_text(&packer, "version", hello->version);
	pack_number(&packer, "protocol", hello->protocol);
	pack_text(&packer, "sqlite", hello->sqlite);
	poolite__pack_cstr(&packer, "features");
	msgpack_pack_array(&packer, FEATURE_COUNT);
	for (size_t i = 0; i < FEATURE_COUNT; i++)
		poolite__pack_cstr(&packer, features[i]);
	poolite__pack_cstr(&packer, "limits");
	msgpack_pack_map(&packer, 4);
	pack_number(&packer, "max_frame_bytes", hello->max_frame_bytes);
	pack_number(&packer, "max_values", hello->max_values);
	pack_number(&packer, "max_result_bytes", hello->max_result_bytes);
	pack_number(&packer, "max_inflight", hello->max_inflight);
	poolite__pack_cstr(&packer, "session");
	msgpack_pack_uint64(&packer, hello->session);
	pack_text(&packer, "key", hello->key);
}

/* Read text into ${field} of ${size} bytes; too long is no hello. */
static int read_text(struct poolite__reader *reader, char *field, size_t size)
{
	const char *text;
	size_t len;

	if (poolite__read_bytes(reader, &text, &len) || len >= size)
		return POOLITE_BAD_REQUEST;
	memcpy(field, text, len);
	field[len] = '\0';
	return 0;
}

static int read_limits(struct poolite__reader *reader, struct poolite__hello *hello)
{
	uint32_t pairs;

	if (poolite__read_map(reader, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		const char *key;
		size_t len;
		int rc;

		if (poolite__read_bytes(reader, &key, &len))
			return POOLITE_BAD_REQUEST;
		if (poolite__is_word(key, len, "max_frame_bytes"))
			rc = poolite__read_int64(reader, &hello->max_frame_bytes);
		else if (poolite__is_word(key, len, "max_values"))
			rc = poolite__read_int64(reader, &hello->max_values);
		else if (poolite__is_word(key, len, "max_result_bytes"))
			rc = poolite__read_int64(reader, &hello->max_result_bytes);
		else if (poolite__is_word(key, len, "max_inflight"))
			rc = poolite__read_int64(reader, &hello->max_inflight);
		else
			rc = poolite__skip(reader);
		if (rc)
			return POOLITE_BAD_REQUEST;
	}
	return 0;
}

static int read_entry(struct poolite__reader *reader, const char *key, size_t len,
    struct poolite__hello *hello)
{
	if (poolite__is_word(key, len, "version"))
		return read_text(reader, hello->version, sizeof hello->version);
	if (poolite__is_word(key, len, "protocol"))
		return poolite__read_int64(reader, &hello->protocol);
	if (poolite__is_word(key, len, "sqlite"))
		return read_text(reader, hello->sqlite, sizeof hello->sqlite);
	if (poolite__is_word(key, len, "limits"))
		return read_limits(reader, hello);
	if (poolite__is_word(key, len, "session"))
		return poolite__read_uint(reader, UINT64_MAX, &hello->session);
	if (poolite__is_word(key, len, "key"))
		return read_text(reader, hello->key, sizeof hello->key);
	return poolite__skip(reader);
}

int poolite__read_hello_result(
    struct poolite__reader *reader, struct poolite__hello *hello)
{
	uint32_t pairs;

	memset(hello, 0, sizeof *hello);
	if (poolite__read_map(reader, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		const char *key;
		size_t len;

		if (poolite__read_bytes(reader, &key, &len) ||
		    read_entry(reader, key, len, hello))
			return POOLITE_BAD_REQUEST;
	}
	return 0;
}
