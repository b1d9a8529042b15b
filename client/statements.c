/* poolite_transaction: several statements in one round trip. */
#include <stdlib.h>
#include <string.h>

#include "client/result.h"
#include "client/verbs.h"
#include "proto/transaction.h"

static int check(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite_statement *statements, size_t count,
    struct poolite__failure *failure)
{
	if (!statements && count > 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST, "no statements");
	if (poolite__check_verb(handle, tx, "", NULL, 0, failure))
		return failure->code;
	for (size_t i = 0; i < count; i++)
		if (poolite__check_verb(handle, tx, statements[i].sql, statements[i].args,
			statements[i].args_count, failure))
			return failure->code;
	return 0;
}

/* The same list as the wire wants it; NULL: no memory. */
static struct poolite__statement *prepare(
    const struct poolite_statement *statements, size_t count)
{
	struct poolite__statement *list = calloc(count + 1, sizeof *list);

	for (size_t i = 0; list && i < count; i++) {
		list[i].sql = statements[i].sql;
		list[i].sql_len = strlen(statements[i].sql);
		list[i].args = statements[i].args;
		list[i].args_count = statements[i].args_count;
	}
	return list;
}

/* Hand out one result per statement; ${results} is all NULL. */
static int take_results(struct poolite__call *call, size_t count,
    struct poolite_result **results, struct poolite__failure *failure)
{
	struct poolite__reader at = call->answer.result;
	struct poolite__bytes *bytes;
	uint32_t told = 0;
	int rc;

	if (poolite__read_results(&at, &told) || told != count)
		return poolite__call_nonsense(call, failure);
	bytes = poolite__bytes_take(&call->reply);
	rc = bytes ? 0 : POOLITE_OVERLOADED;
	for (size_t i = 0; !rc && i < count; i++)
		rc = poolite__result_create(bytes, &at, &results[i]);
	poolite__bytes_drop(bytes);
	if (!rc)
		return 0;
	for (size_t i = 0; i < count; i++) {
		poolite_result_free(results[i]);
		results[i] = NULL;
	}
	return poolite__no_result(call, rc, failure);
}

static int transaction(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite__failure *failure)
{
	struct poolite__statement *list;
	struct poolite__options options;
	struct poolite__call call;
	int packed;

	for (size_t i = 0; results && i < count; i++)
		results[i] = NULL;
	if (check(handle, tx, statements, count, failure))
		return failure->code;
	list = prepare(statements, count);
	if (!list)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for the request");
	poolite__call_init(&call, handle, poolite__effect_in(tx), &options);
	packed =
	    poolite__pack_transaction(&call.request, call.msgid, list, count, &options);
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0 && results)
		take_results(&call, count, results, failure);
	poolite__call_release(&call);
	free(list);
	return failure->code;
}

int poolite_transaction(struct poolite *handle,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	transaction(handle, NULL, statements, count, results, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_transaction(struct poolite_tx *tx,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	transaction(poolite__handle_of(tx), tx, statements, count, results, &failure);
	return poolite__report(error, &failure);
}
