#include "proto/cancel.h"

int poolite__pack_cancel_notification(struct poolite__buf *buf, uint32_t target_msgid)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, 3);
	msgpack_pack_int(&packer, 2);
	poolite__pack_cstr(&packer, "cancel");
	msgpack_pack_array(&packer, 1);
	msgpack_pack_uint32(&packer, target_msgid);
	return buf->failed;
}

int poolite__pack_cancel(struct poolite__buf *buf, uint32_t msgid, uint32_t target_msgid,
    uint64_t session, const char *key)
{
	msgpack_packer packer;

	poolite__pack_request(buf, msgid, POOLITE__CANCEL, session ? 3 : 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_uint32(&packer, target_msgid);
	if (session) {
		msgpack_pack_uint64(&packer, session);
		poolite__pack_cstr(&packer, key ? key : "");
	}
	return buf->failed;
}

/* Read an optional parameter's absence: nil or the end. */
static bool is_absent(struct poolite__reader *reader)
{
	return poolite__reader_kind(reader) == POOLITE__END ||
	    poolite__read_nil(reader) == 0;
}

int poolite__read_cancel(
    struct poolite__request *request, struct poolite__failure *failure)
{
	struct poolite__reader *params = &request->params;
	bool has_session;
	uint64_t msgid;
	size_t len;

	if (poolite__read_uint(params, UINT32_MAX, &msgid))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "cancel's first parameter is the msgid of the request to cancel");
	request->cancel_msgid = (uint32_t)msgid;
	has_session = !is_absent(params);
	if (has_session &&
	    (poolite__read_uint(params, UINT64_MAX, &request->cancel_session) ||
		request->cancel_session == 0))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "cancel's second parameter is a session, as hello told it");
	if (is_absent(params)) {
		if (!has_session)
			return 0;
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "cancelling in another session takes its key too, as hello told it");
	}
	if (!has_session)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "cancel has a key and no session; give both or neither");
	if (poolite__read_str(params, &request->cancel_key, &len) ||
	    len != POOLITE__KEY_CHARS)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "cancel's third parameter is a session's key, text of %d characters",
		    POOLITE__KEY_CHARS);
	return 0;
}

void poolite__pack_cancel_result(struct poolite__buf *buf, bool was_there)
{
	poolite__buf_append(buf, was_there ? "\xc3" : "\xc2", 1);
}

int poolite__read_cancel_result(struct poolite__reader *reader, bool *was_there)
{
	return poolite__read_bool(reader, was_there);
}
