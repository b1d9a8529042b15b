#include "proto/script.h"

int poolite__pack_script(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, const struct poolite__options *options)
{
	bool has_options = poolite__has_options(options);
	msgpack_packer packer;

	poolite__pack_request(buf, msgid, POOLITE__SCRIPT, has_options ? 2 : 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_str_with_body(&packer, sql, sql_len);
	if (has_options)
		poolite__pack_options(buf, options);
	return buf->failed;
}

int poolite__read_script(
    struct poolite__request *request, struct poolite__failure *failure)
{
	int rc = poolite__read_sql(
	    &request->params, &request->sql, &request->sql_len, failure);

	if (rc)
		return rc;
	return poolite__read_options(&request->params,
	    POOLITE__OPTION_TIMEOUT_MS | POOLITE__OPTION_FOREIGN_KEYS, &request->options,
	    failure);
}

void poolite__pack_script_result(
    struct poolite__buf *buf, int64_t statements, int64_t changes)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 2);
	poolite__pack_cstr(&packer, "statements");
	msgpack_pack_int64(&packer, statements);
	poolite__pack_cstr(&packer, "changes");
	msgpack_pack_int64(&packer, changes);
}
