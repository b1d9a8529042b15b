#include "proto/transaction.h"

#define SHAPE "a statement of a transaction is [sql] or [sql, args]"

int poolite__pack_transaction(struct poolite__buf *buf, uint32_t msgid,
    const struct poolite__statement *statements, size_t count,
    const struct poolite__options *options)
{
	bool has_options = poolite__has_options(options);
	size_t start = buf->len;
	msgpack_packer packer;
	int rc = 0;

	poolite__pack_request(buf, msgid, POOLITE__TRANSACTION, has_options ? 2 : 1);
	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, count);
	for (size_t i = 0; !rc && i < count; i++) {
		const struct poolite__statement *statement = &statements[i];

		msgpack_pack_array(&packer, statement->args_count > 0 ? 2 : 1);
		msgpack_pack_str_with_body(&packer, statement->sql, statement->sql_len);
		if (statement->args_count > 0)
			rc = poolite__pack_args(
			    buf, statement->args, statement->args_count);
	}
	if (has_options)
		poolite__pack_options(buf, options);
	return poolite__pack_request_end(buf, start, rc);
}

int poolite__read_transaction(
    struct poolite__request *request, struct poolite__failure *failure)
{
	struct poolite__reader *params = &request->params;

	request->list = *params;
	if (poolite__read_array(&request->list, &request->list_count) ||
	    poolite__skip(params))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a transaction's first parameter is an array of statements");
	return poolite__read_options(
	    params, POOLITE__OPTION_TIMEOUT_MS, &request->options, failure);
}

int poolite__read_transaction_statement(struct poolite__reader *list,
    struct poolite__statement *statement, struct poolite__failure *failure)
{
	struct poolite__reader at = *list;
	uint32_t count;
	int rc;

	*statement = (struct poolite__statement){0};
	if (poolite__read_array(&at, &count) || count < 1 || count > 2)
		return poolite__fail(failure, POOLITE_BAD_REQUEST, SHAPE);
	rc = poolite__read_sql(&at, &statement->sql, &statement->sql_len, failure);
	if (!rc && count == 2)
		rc = poolite__read_args(&at, &statement->sent, failure);
	if (!rc)
		*list = at;
	return rc;
}

void poolite__pack_results(struct poolite__buf *buf, uint32_t count)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 1);
	poolite__pack_cstr(&packer, "results");
	msgpack_pack_array(&packer, count);
}

int poolite__read_results(struct poolite__reader *reader, uint32_t *count)
{
	struct poolite__reader at = *reader;
	uint32_t pairs;

	if (poolite__read_map(&at, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		const char *key;
		size_t len;

		if (poolite__read_bytes(&at, &key, &len))
			return POOLITE_BAD_REQUEST;
		if (poolite__is_word(key, len, "results")) {
			if (poolite__read_array(&at, count))
				return POOLITE_BAD_REQUEST;
			*reader = at;
			return 0;
		}
		if (poolite__skip(&at))
			return POOLITE_BAD_REQUEST;
	}
	return POOLITE_BAD_REQUEST;
}
