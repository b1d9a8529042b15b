#include "proto/answer.h"

#include "proto/value.h"

/* Append [1, msgid: error and result must follow. */
static void pack_envelope(struct poolite__buf *buf, uint32_t msgid)
{
	poolite__buf_append(buf, "\x94\x01", 2);
	poolite__pack_integer(buf, msgid);
}

void poolite__pack_answer(struct poolite__buf *buf, uint32_t msgid)
{
	pack_envelope(buf, msgid);
	poolite__buf_append(buf, "\xc0", 1);
}

void poolite__pack_nil_answer(struct poolite__buf *buf, uint32_t msgid)
{
	pack_envelope(buf, msgid);
	poolite__buf_append(buf, "\xc0\xc0", 2);
}

void poolite__pack_error_answer(
    struct poolite__buf *buf, uint32_t msgid, const struct poolite__failure *failure)
{
	pack_envelope(buf, msgid);
	poolite__pack_failure(buf, failure);
	poolite__buf_append(buf, "\xc0", 1);
}

void poolite__pack_error_notification(
    struct poolite__buf *buf, const struct poolite__failure *failure)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_int(&packer, 2);
	poolite__pack_cstr(&packer, "error");
	msgpack_pack_array(&packer, 1);
	poolite__pack_failure(buf, failure);
}

static int read_notification(struct poolite__reader *at, struct poolite__answer *answer)
{
	const char *method;
	uint32_t params;
	size_t len;

	answer->is_notification = true;
	if (poolite__read_bytes(at, &method, &len) || poolite__read_array(at, &params))
		return POOLITE_BAD_REQUEST;
	answer->is_closing = poolite__is_word(method, len, "error");
	if (!answer->is_closing)
		return 0;
	return poolite__read_failure(at, &answer->failure);
}

int poolite__read_answer(const void *message, size_t len, struct poolite__answer *answer)
{
	struct poolite__reader at = poolite__reader_over(message, len);
	uint32_t count;
	uint64_t type;
	uint64_t msgid;

	*answer = (struct poolite__answer){0};
	if (poolite__read_array(&at, &count) || poolite__read_uint(&at, 2, &type))
		return POOLITE_BAD_REQUEST;
	if (type == 2 && count == 3)
		return read_notification(&at, answer);
	if (type != 1 || count != 4 || poolite__read_uint(&at, UINT32_MAX, &msgid))
		return POOLITE_BAD_REQUEST;
	answer->msgid = (uint32_t)msgid;
	if (poolite__read_nil(&at) != 0 && poolite__read_failure(&at, &answer->failure))
		return POOLITE_BAD_REQUEST;
	answer->result = at;
	return 0;
}
