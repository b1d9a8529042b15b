#include "proto/begin.h"

int poolite__pack_begin(
    struct poolite__buf *buf, uint32_t msgid, const struct poolite__options *options)
{
	bool has_options = poolite__has_options(options);

	poolite__pack_request(buf, msgid, POOLITE__BEGIN, has_options ? 1 : 0);
	if (has_options)
		poolite__pack_options(buf, options);
	return buf->failed;
}

int poolite__read_begin(
    struct poolite__request *request, struct poolite__failure *failure)
{
	return poolite__read_options(&request->params,
	    POOLITE__OPTION_TIMEOUT_MS | POOLITE__OPTION_MODE | POOLITE__OPTION_ON_ERROR,
	    &request->options, failure);
}

void poolite__pack_begin_result(struct poolite__buf *buf, bool is_read)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 1);
	poolite__pack_cstr(&packer, "mode");
	poolite__pack_cstr(&packer, is_read ? "read" : "write");
}
