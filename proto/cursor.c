#include "proto/cursor.h"

int poolite__pack_fetch(struct poolite__buf *buf, uint32_t msgid, uint64_t cursor,
    uint32_t rows, const struct poolite__options *options)
{
	bool has_options = poolite__has_options(options);
	msgpack_packer packer;

	poolite__pack_request(buf, msgid, POOLITE__FETCH, has_options ? 3 : rows ? 2 : 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_uint64(&packer, cursor);
	if (rows)
		msgpack_pack_uint32(&packer, rows);
	else if (has_options)
		msgpack_pack_nil(&packer);
	if (has_options)
		poolite__pack_options(buf, options);
	return buf->failed;
}

int poolite__pack_close(struct poolite__buf *buf, uint32_t msgid, uint64_t cursor)
{
	msgpack_packer packer;

	poolite__pack_request(buf, msgid, POOLITE__CLOSE, 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_uint64(&packer, cursor);
	return buf->failed;
}

static int read_cursor(struct poolite__request *request, struct poolite__failure *failure)
{
	if (poolite__read_uint(&request->params, INT64_MAX, &request->cursor) == 0 &&
	    request->cursor > 0)
		return 0;
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "%s's first parameter is a cursor, as a query with page_rows answered it",
	    poolite__method_name(request->method));
}

/* Left out, or nil: 0. */
static int read_rows(
    struct poolite__reader *params, uint64_t *rows, struct poolite__failure *failure)
{
	*rows = 0;
	if (poolite__reader_kind(params) == POOLITE__END ||
	    poolite__read_nil(params) == 0)
		return 0;
	if (poolite__read_uint(params, POOLITE__PAGE_ROWS_MAX, rows) == 0 && *rows > 0)
		return 0;
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "fetch's second parameter is a number of rows, 1 to %u",
	    POOLITE__PAGE_ROWS_MAX);
}

int poolite__read_fetch(
    struct poolite__request *request, struct poolite__failure *failure)
{
	uint64_t rows;
	int rc = read_cursor(request, failure);

	if (!rc)
		rc = read_rows(&request->params, &rows, failure);
	if (!rc)
		rc = poolite__read_options(&request->params, POOLITE__OPTION_TIMEOUT_MS,
		    &request->options, failure);
	if (!rc)
		request->options.page_rows = (uint32_t)rows;
	return rc;
}

int poolite__read_close(
    struct poolite__request *request, struct poolite__failure *failure)
{
	return read_cursor(request, failure);
}
