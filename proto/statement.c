#include "proto/statement.h"

#include <assert.h>
#include <string.h>

int poolite__pack_statement(struct poolite__buf *buf, uint32_t msgid,
    enum poolite__method method, const char *sql, size_t sql_len,
    const struct poolite_value *args, size_t args_count,
    const struct poolite__options *options)
{
	bool has_options = poolite__has_options(options);
	size_t start = buf->len;
	msgpack_packer packer;
	int rc = 0;

	assert(method == POOLITE__QUERY || method == POOLITE__UPDATE);
	poolite__pack_request(buf, msgid, method,
	    has_options          ? 3
		: args_count > 0 ? 2
				 : 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_str_with_body(&packer, sql, sql_len);
	if (args_count > 0)
		rc = poolite__pack_args(buf, args, args_count);
	else if (has_options)
		msgpack_pack_nil(&packer);
	if (has_options)
		poolite__pack_options(buf, options);
	return poolite__pack_request_end(buf, start, rc);
}

int poolite__read_statement(
    struct poolite__request *request, struct poolite__failure *failure)
{
	unsigned allowed = POOLITE__OPTION_TIMEOUT_MS |
	    (request->method == POOLITE__QUERY ? POOLITE__OPTION_PAGE_ROWS : 0);
	int rc = poolite__read_sql(
	    &request->params, &request->sql, &request->sql_len, failure);

	if (!rc)
		rc = poolite__read_args(&request->params, &request->args, failure);
	if (!rc)
		rc = poolite__read_options(
		    &request->params, allowed, &request->options, failure);
	return rc;
}

/* A result with rows is packed as a map of two, whose one-byte header becomes
 * a map of four if changes and last_insert_id follow:
 *
 *   82 "columns" [names]  "rows" dd nnnnnnnn [row] [row] ...
 *   ^ map_at              rows_at ^
 */

static void pack_word(struct poolite__buf *buf, const char *word)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	poolite__pack_cstr(&packer, word);
}

static void pack_array(struct poolite__buf *buf, uint32_t count)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, count);
}

static void pack_number(struct poolite__buf *buf, const char *key, int64_t number)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	poolite__pack_cstr(&packer, key);
	msgpack_pack_int64(&packer, number);
}

void poolite__rows_open(
    struct poolite__rows *rows, struct poolite__buf *buf, uint32_t columns)
{
	*rows =
	    (struct poolite__rows){.buf = buf, .map_at = buf->len, .columns = columns};
	poolite__buf_append(buf, "\x82", 1);
	pack_word(buf, "columns");
	pack_array(buf, columns);
}

void poolite__rows_column(struct poolite__rows *rows, const char *name)
{
	struct poolite_value text = poolite_text(name);

	poolite__pack_value(rows->buf, &text);
}

void poolite__rows_begin(struct poolite__rows *rows)
{
	pack_word(rows->buf, "rows");
	rows->rows_at = poolite__pack_open_array(rows->buf);
}

void poolite__rows_open_as_before(struct poolite__rows *rows, struct poolite__buf *buf,
    uint32_t columns, const void *head, size_t len)
{
	*rows =
	    (struct poolite__rows){.buf = buf, .map_at = buf->len, .columns = columns};
	poolite__buf_append(buf, head, len);
	rows->rows_at = buf->len - 5; /* its last part is the array's header */
}

int poolite__rows_next(struct poolite__rows *rows)
{
	rows->rows++;
	if (rows->columns < 16) {
		uint8_t header = (uint8_t)(0x90 | rows->columns);

		return poolite__buf_append(rows->buf, &header, 1);
	}
	pack_array(rows->buf, rows->columns);
	return rows->buf->failed;
}

/* Write the counts now known into the headers. */
static void patch(struct poolite__rows *rows, uint8_t entries)
{
	if (rows->buf->failed)
		return;
	assert(rows->rows <= UINT32_MAX);
	rows->buf->data[rows->map_at] = (uint8_t)(0x80 | entries);
	poolite__patch_array(rows->buf, rows->rows_at, (uint32_t)rows->rows);
}

void poolite__rows_close(struct poolite__rows *rows)
{
	patch(rows, 2);
}

void poolite__rows_take_back(struct poolite__rows *rows, size_t len)
{
	rows->rows--;
	poolite__buf_truncate(rows->buf, len);
}

void poolite__rows_close_page(struct poolite__rows *rows, uint64_t cursor)
{
	pack_number(rows->buf, "cursor", (int64_t)cursor);
	patch(rows, 3);
}

void poolite__rows_close_written(
    struct poolite__rows *rows, int64_t changes, int64_t last_insert_id)
{
	pack_number(rows->buf, "changes", changes);
	pack_number(rows->buf, "last_insert_id", last_insert_id);
	patch(rows, 4);
}

void poolite__pack_changes(
    struct poolite__buf *buf, int64_t changes, int64_t last_insert_id)
{
	poolite__buf_append(buf, "\x82", 1);
	pack_number(buf, "changes", changes);
	pack_number(buf, "last_insert_id", last_insert_id);
}

/* Remember where a list's elements are, and step over it. */
static int read_list(
    struct poolite__reader *reader, struct poolite__reader *list, uint32_t *count)
{
	*list = *reader;
	return poolite__read_array(list, count) ? POOLITE_BAD_REQUEST
						: poolite__skip(reader);
}

/* One entry of a result; has_rows becomes the bits of the lists seen. */
static int read_entry(struct poolite__reader *reader, const char *key, size_t len,
    struct poolite__result *result, unsigned *lists)
{
	if (poolite__is_word(key, len, "columns")) {
		*lists |= 1;
		return read_list(reader, &result->columns, &result->columns_count);
	}
	if (poolite__is_word(key, len, "rows")) {
		*lists |= 2;
		return read_list(reader, &result->rows, &result->rows_count);
	}
	if (poolite__is_word(key, len, "changes"))
		return poolite__read_int64(reader, &result->changes);
	if (poolite__is_word(key, len, "last_insert_id"))
		return poolite__read_int64(reader, &result->last_insert_id);
	if (poolite__is_word(key, len, "statements"))
		return poolite__read_int64(reader, &result->statements);
	if (poolite__is_word(key, len, "cursor"))
		return poolite__read_uint(reader, INT64_MAX, &result->cursor);
	return poolite__skip(reader);
}

int poolite__read_result(struct poolite__reader *reader, struct poolite__result *result)
{
	struct poolite__reader at = *reader;
	unsigned lists = 0;
	uint32_t pairs;

	*result = (struct poolite__result){0};
	if (poolite__read_map(&at, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		const char *key;
		size_t len;

		if (poolite__read_bytes(&at, &key, &len) ||
		    read_entry(&at, key, len, result, &lists))
			return POOLITE_BAD_REQUEST;
	}
	if (lists == 1 || lists == 2)
		return POOLITE_BAD_REQUEST;
	result->has_rows = lists != 0;
	*reader = at;
	return 0;
}
