#include "proto/batch.h"

int poolite__pack_batch_start(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, size_t rows, const struct poolite__options *options)
{
	msgpack_packer packer;

	poolite__pack_request(
	    buf, msgid, POOLITE__BATCH, poolite__has_options(options) ? 3 : 2);
	poolite__packer_init(&packer, buf);
	msgpack_pack_str_with_body(&packer, sql, sql_len);
	msgpack_pack_array(&packer, rows);
	return buf->failed;
}

int poolite__pack_batch_end(
    struct poolite__buf *buf, const struct poolite__options *options)
{
	return poolite__has_options(options) ? poolite__pack_options(buf, options)
					     : buf->failed;
}

int poolite__pack_batch(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, const struct poolite_value *values, size_t columns, size_t rows,
    const struct poolite__options *options)
{
	size_t start = buf->len;
	int rc = poolite__pack_batch_start(buf, msgid, sql, sql_len, rows, options);

	for (size_t row = 0; !rc && row < rows; row++)
		rc = poolite__pack_args(
		    buf, columns > 0 ? values + row * columns : NULL, columns);
	poolite__pack_batch_end(buf, options);
	return poolite__pack_request_end(buf, start, rc);
}

int poolite__read_batch(
    struct poolite__request *request, struct poolite__failure *failure)
{
	struct poolite__reader *params = &request->params;
	int rc = poolite__read_sql(params, &request->sql, &request->sql_len, failure);

	if (rc)
		return rc;
	request->list = *params;
	if (poolite__read_array(&request->list, &request->list_count) ||
	    poolite__skip(params))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a batch's second parameter is an array of argument lists");
	return poolite__read_options(params,
	    POOLITE__OPTION_TIMEOUT_MS | POOLITE__OPTION_CHUNK_ROWS, &request->options,
	    failure);
}
