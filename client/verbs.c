#include "client/verbs.h"

static const struct poolite__failure no_failure = {.code = POOLITE_OK};

struct poolite *poolite__handle_of(const struct poolite_tx *tx)
{
	return tx ? tx->handle : NULL;
}

int poolite__no_handle(struct poolite__failure *failure)
{
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "no handle, or no transaction: poolite_open, poolite_default or poolite_begin "
	    "told why (is POOLITE_SOCKET set?)");
}

int poolite__start(struct poolite *handle, const struct poolite_tx *tx,
    const struct poolite__verb *verb, const struct poolite__into *into,
    struct poolite__failure *failure)
{
	poolite__clear(into, verb->count);
	if (!handle)
		return poolite__no_handle(failure);
	if (tx && poolite__tx_check(tx, failure))
		return failure->code;
	return poolite__verb_check(verb, failure);
}

int poolite__run(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *verb, const struct poolite__into *into,
    struct poolite__failure *failure)
{
	struct poolite__long_batch batch;
	struct poolite__rest rest = {poolite__long_batch_next, &batch};
	struct poolite__call call;
	int packed;

	poolite__call_init(
	    &call, handle, tx ? POOLITE__INSIDE : poolite__verb_effect(verb));
	if (poolite__is_long_batch(verb)) {
		packed = poolite__long_batch_start(
		    &batch, verb, &call.request, call.msgid, poolite__timeout_ms(handle));
		call.rest = &rest;
	} else {
		packed = poolite__verb_pack(
		    verb, &call.request, call.msgid, poolite__timeout_ms(handle));
	}
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
		poolite__verb_take(verb->method, verb->count, &call.reply, into, failure);
	poolite__call_release(&call);
	return failure->code;
}

int poolite__tx_simple(
    struct poolite_tx *tx, const char *sql, struct poolite__failure *failure)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__UPDATE, sql, POOLITE_NO_ARGS);
	struct poolite__into nothing = {NULL, NULL, NULL};

	return poolite__run(tx->handle, tx, &verb, &nothing, failure);
}

/* ---- the public ones ----------------------------------------------------- */

static int run(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *verb, struct poolite__into into,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	if (verb->method == POOLITE__QUERY && !into.result)
		poolite__fail(&failure, POOLITE_BAD_REQUEST, "no place for the result");
	else if (poolite__start(handle, tx, verb, &into, &failure) == 0)
		poolite__run(handle, tx, verb, &into, &failure);
	return poolite__report(error, &failure);
}

int poolite_query(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__QUERY, sql, args, args_count);

	return run(handle, NULL, &verb, (struct poolite__into){.result = result}, error);
}

int poolite_tx_query(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__QUERY, sql, args, args_count);

	return run(poolite__handle_of(tx), tx, &verb,
	    (struct poolite__into){.result = result}, error);
}

int poolite_update(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__UPDATE, sql, args, args_count);

	return run(
	    handle, NULL, &verb, (struct poolite__into){.changes = changes}, error);
}

int poolite_tx_update(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__UPDATE, sql, args, args_count);

	return run(poolite__handle_of(tx), tx, &verb,
	    (struct poolite__into){.changes = changes}, error);
}

int poolite_transaction(struct poolite *handle,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error)
{
	struct poolite__verb verb = poolite__transaction_verb(statements, count);

	return run(
	    handle, NULL, &verb, (struct poolite__into){.results = results}, error);
}

int poolite_tx_transaction(struct poolite_tx *tx,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error)
{
	struct poolite__verb verb = poolite__transaction_verb(statements, count);

	return run(poolite__handle_of(tx), tx, &verb,
	    (struct poolite__into){.results = results}, error);
}

int poolite_script(struct poolite *handle, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__verb verb = poolite__script_verb(sql, flags);

	return run(
	    handle, NULL, &verb, (struct poolite__into){.changes = changes}, error);
}

int poolite_tx_script(struct poolite_tx *tx, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__verb verb = poolite__script_verb(sql, flags);

	return run(poolite__handle_of(tx), tx, &verb,
	    (struct poolite__into){.changes = changes}, error);
}
