#include "client/verbs.h"

#include <stdlib.h>
#include <string.h>

#include "client/result.h"
#include "proto/script.h"

static const struct poolite__failure no_failure = {.code = POOLITE_OK};

/* ---- shared -------------------------------------------------------------- */

struct poolite *poolite__handle_of(const struct poolite_tx *tx)
{
	return tx ? tx->handle : NULL;
}

enum poolite__effect poolite__effect_in(const struct poolite_tx *tx)
{
	return tx ? POOLITE__INSIDE : POOLITE__WRITES;
}

static bool is_value(const struct poolite_value *value)
{
	if ((unsigned)value->type > POOLITE_BLOB)
		return false;
	if (value->type == POOLITE_TEXT || value->type == POOLITE_BLOB)
		return value->as.data || value->len == 0;
	return true;
}

int poolite__no_handle(struct poolite__failure *failure)
{
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "no handle, or no transaction: poolite_open, poolite_default or poolite_begin "
	    "told why (is POOLITE_SOCKET set?)");
}

int poolite__check_verb(struct poolite *handle, const struct poolite_tx *tx,
    const char *sql, const struct poolite_value *args, size_t args_count,
    struct poolite__failure *failure)
{
	if (!handle)
		return poolite__no_handle(failure);
	if (tx && poolite__tx_check(tx, failure))
		return failure->code;
	if (!sql)
		return poolite__fail(failure, POOLITE_BAD_REQUEST, "no SQL");
	if (!args && args_count > 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "%zu arguments are announced, and none is given", args_count);
	for (size_t i = 0; i < args_count; i++)
		if (!is_value(&args[i]))
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "argument %zu is no value: make values with poolite_integer() "
			    "and its like",
			    i + 1);
	return 0;
}

int poolite__take_changes(struct poolite__call *call, struct poolite_changes *changes,
    struct poolite__failure *failure)
{
	struct poolite__result result;

	if (poolite__read_result(&call->answer.result, &result))
		return poolite__call_nonsense(call, failure);
	changes->changes = result.changes;
	changes->last_insert_id = result.last_insert_id;
	changes->statements = result.statements;
	return 0;
}

int poolite__no_result(
    const struct poolite__call *call, int rc, struct poolite__failure *failure)
{
	if (rc != POOLITE_OVERLOADED)
		return poolite__call_nonsense(call, failure);
	poolite__fail(
	    failure, POOLITE_OVERLOADED, "carried out, but no memory for the result");
	failure->is_unknown = call->effect == POOLITE__WRITES;
	return failure->code;
}

/* ---- query --------------------------------------------------------------- */

static int take_result(struct poolite__call *call, struct poolite_result **result,
    struct poolite__failure *failure)
{
	struct poolite__bytes *bytes = poolite__bytes_take(&call->reply);
	int rc = POOLITE_OVERLOADED;

	if (bytes)
		rc = poolite__result_create(bytes, &call->answer.result, result);
	poolite__bytes_drop(bytes);
	return rc ? poolite__no_result(call, rc, failure) : 0;
}

static int query(struct poolite *handle, struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite__failure *failure)
{
	struct poolite__options options;
	struct poolite__call call;
	int packed;

	if (!result)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no place for the result");
	*result = NULL;
	if (poolite__check_verb(handle, tx, sql, args, args_count, failure))
		return failure->code;
	poolite__call_init(&call, handle, poolite__effect_in(tx), &options);
	packed = poolite__pack_statement(&call.request, call.msgid, POOLITE__QUERY, sql,
	    strlen(sql), args, args_count, &options);
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
		take_result(&call, result, failure);
	poolite__call_release(&call);
	return failure->code;
}

int poolite_query(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	query(handle, NULL, sql, args, args_count, result, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_query(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	query(poolite__handle_of(tx), tx, sql, args, args_count, result, &failure);
	return poolite__report(error, &failure);
}

/* ---- update -------------------------------------------------------------- */

int poolite__update(struct poolite *handle, struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite__failure *failure)
{
	struct poolite_changes ignored;
	struct poolite__options options;
	struct poolite__call call;
	int packed;

	changes = changes ? changes : &ignored;
	memset(changes, 0, sizeof *changes);
	if (poolite__check_verb(handle, tx, sql, args, args_count, failure))
		return failure->code;
	poolite__call_init(&call, handle, poolite__effect_in(tx), &options);
	packed = poolite__pack_statement(&call.request, call.msgid, POOLITE__UPDATE, sql,
	    strlen(sql), args, args_count, &options);
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
		poolite__take_changes(&call, changes, failure);
	poolite__call_release(&call);
	return failure->code;
}

int poolite_update(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	poolite__update(handle, NULL, sql, args, args_count, changes, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_update(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	poolite__update(
	    poolite__handle_of(tx), tx, sql, args, args_count, changes, &failure);
	return poolite__report(error, &failure);
}

/* ---- script -------------------------------------------------------------- */

static int script(struct poolite *handle, struct poolite_tx *tx, const char *sql,
    unsigned flags, struct poolite_changes *changes, struct poolite__failure *failure)
{
	struct poolite_changes ignored;
	struct poolite__options options;
	struct poolite__call call;
	int packed;

	changes = changes ? changes : &ignored;
	memset(changes, 0, sizeof *changes);
	if (poolite__check_verb(handle, tx, sql, NULL, 0, failure))
		return failure->code;
	if (flags & ~(unsigned)POOLITE_FOREIGN_KEYS_OFF)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no such flag of poolite_script");
	poolite__call_init(&call, handle, poolite__effect_in(tx), &options);
	options.foreign_keys_off = flags & POOLITE_FOREIGN_KEYS_OFF;
	packed =
	    poolite__pack_script(&call.request, call.msgid, sql, strlen(sql), &options);
	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
		poolite__take_changes(&call, changes, failure);
	poolite__call_release(&call);
	return failure->code;
}

int poolite_script(struct poolite *handle, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	script(handle, NULL, sql, flags, changes, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_script(struct poolite_tx *tx, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	script(poolite__handle_of(tx), tx, sql, flags, changes, &failure);
	return poolite__report(error, &failure);
}
