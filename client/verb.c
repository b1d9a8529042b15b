#include "client/verb.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "client/result.h"
#include "proto/batch.h"
#include "proto/script.h"
#include "proto/transaction.h"

/* From so many values on a batch is packed while it is sent, in pieces of so many bytes:
 * half of what a socket holds by default. */
#define LONG_VALUES 4096
#define PIECE_BYTES ((size_t)96 << 10)

struct poolite__verb poolite__statement_verb(enum poolite__method method, const char *sql,
    const struct poolite_value *args, size_t args_count)
{
	return (struct poolite__verb){.method = method,
	    .sql = sql,
	    .values = args,
	    .columns = args_count,
	    .rows = 1};
}

struct poolite__verb poolite__batch_verb(const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, int chunk_rows)
{
	return (struct poolite__verb){.method = POOLITE__BATCH,
	    .sql = sql,
	    .values = values,
	    .columns = columns,
	    .rows = rows,
	    .chunk_rows = chunk_rows};
}

struct poolite__verb poolite__transaction_verb(
    const struct poolite_statement *statements, size_t count)
{
	return (struct poolite__verb){
	    .method = POOLITE__TRANSACTION, .statements = statements, .count = count};
}

struct poolite__verb poolite__script_verb(const char *sql, unsigned flags)
{
	return (struct poolite__verb){
	    .method = POOLITE__SCRIPT, .sql = sql, .rows = 1, .flags = flags};
}

/* ---- checking ------------------------------------------------------------ */

static bool is_value(const struct poolite_value *value)
{
	if ((unsigned)value->type > POOLITE_BLOB)
		return false;
	if (value->type == POOLITE_TEXT || value->type == POOLITE_BLOB)
		return value->as.data || value->len == 0;
	return true;
}

static int check_statement(const char *sql, const struct poolite_value *args,
    size_t args_count, struct poolite__failure *failure)
{
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

static int check_transaction(
    const struct poolite__verb *verb, struct poolite__failure *failure)
{
	if (!verb->statements && verb->count > 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST, "no statements");
	for (size_t i = 0; i < verb->count; i++)
		if (check_statement(verb->statements[i].sql, verb->statements[i].args,
			verb->statements[i].args_count, failure))
			return failure->code;
	return 0;
}

int poolite__verb_check(
    const struct poolite__verb *verb, struct poolite__failure *failure)
{
	size_t values;

	if (verb->method == POOLITE__TRANSACTION)
		return check_transaction(verb, failure);
	if (__builtin_mul_overflow(verb->rows, verb->columns, &values))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "rows times columns is no size");
	if (verb->chunk_rows < 0 || verb->chunk_rows > (int)POOLITE__CHUNK_ROWS_MAX)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "chunk_rows is 1 to %u; 0: all rows or none",
		    POOLITE__CHUNK_ROWS_MAX);
	if (verb->flags & ~(unsigned)POOLITE_FOREIGN_KEYS_OFF)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no such flag of poolite_script");
	return check_statement(verb->sql, verb->values, values, failure);
}

/* Where the first word stands: behind white space, comments and semicolons, as
 * SQLite has them. */
static const char *first_word(const char *sql)
{
	for (;;) {
		sql += strspn(sql, " \t\n\f\r;");
		if (sql[0] == '-' && sql[1] == '-') {
			sql += strcspn(sql, "\n");
		} else if (sql[0] == '/' && sql[1] == '*' && sql[2]) {
			const char *end = strstr(sql + 2, "*/");

			sql = end ? end + 2 : "";
		} else {
			return sql;
		}
	}
}

static bool is_name_byte(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	    (c >= '0' && c <= '9') || c == '_' || c == '$' || c >= 0x80;
}

/* Whether ${sql} begins with ${word}, in any case, and not with a longer one. */
static bool begins_with(const char *sql, const char *word)
{
	size_t len = strlen(word);

	return strncasecmp(sql, word, len) == 0 && !is_name_byte((unsigned char)sql[len]);
}

bool poolite__is_read(const char *sql)
{
	const char *word = first_word(sql);

	return begins_with(word, "select") || begins_with(word, "values");
}

enum poolite__effect poolite__verb_effect(const struct poolite__verb *verb)
{
	if (verb->method == POOLITE__QUERY && poolite__is_read(verb->sql))
		return POOLITE__HARMLESS;
	return POOLITE__WRITES;
}

/* ---- packing ------------------------------------------------------------- */

static int pack_transaction(const struct poolite__verb *verb, struct poolite__buf *buf,
    uint32_t msgid, const struct poolite__options *options)
{
	struct poolite__statement *list = calloc(verb->count + 1, sizeof *list);
	int packed;

	if (!list)
		return POOLITE_OVERLOADED;
	for (size_t i = 0; i < verb->count; i++) {
		const struct poolite_statement *from = &verb->statements[i];

		list[i].sql = from->sql;
		list[i].sql_len = strlen(from->sql);
		list[i].args = from->args;
		list[i].args_count = from->args_count;
	}
	packed = poolite__pack_transaction(buf, msgid, list, verb->count, options);
	free(list);
	return packed;
}

int poolite__verb_pack(const struct poolite__verb *verb, struct poolite__buf *buf,
    uint32_t msgid, int64_t timeout_ms)
{
	struct poolite__options options = {.timeout_ms = timeout_ms,
	    .page_rows = verb->page_rows,
	    .chunk_rows = (uint32_t)verb->chunk_rows};
	size_t len = verb->sql ? strlen(verb->sql) : 0;

	switch (verb->method) {
	case POOLITE__TRANSACTION: return pack_transaction(verb, buf, msgid, &options);
	case POOLITE__SCRIPT:
		options.foreign_keys_off = verb->flags & POOLITE_FOREIGN_KEYS_OFF;
		return poolite__pack_script(buf, msgid, verb->sql, len, &options);
	case POOLITE__BATCH:
		return poolite__pack_batch(buf, msgid, verb->sql, len, verb->values,
		    verb->columns, verb->rows, &options);
	default:
		return poolite__pack_statement(buf, msgid, verb->method, verb->sql, len,
		    verb->values, verb->columns, &options);
	}
}

static const struct poolite_value *row_of(const struct poolite__verb *batch, size_t row)
{
	return batch->columns > 0 ? batch->values + row * batch->columns : NULL;
}

bool poolite__is_long_batch(const struct poolite__verb *verb)
{
	if (verb->method != POOLITE__BATCH || verb->rows * verb->columns < LONG_VALUES)
		return false;
	/* All of a row's values have a name or none has: else packing would fail half-way. */
	for (size_t i = 0; i < verb->rows * verb->columns; i++)
		if (!verb->values[i].name !=
		    !verb->values[i / verb->columns * verb->columns].name)
			return false;
	return true;
}

int poolite__long_batch_start(struct poolite__long_batch *batch,
    const struct poolite__verb *verb, struct poolite__buf *buf, uint32_t msgid,
    int64_t timeout_ms)
{
	*batch = (struct poolite__long_batch){.verb = verb,
	    .options = {
		.timeout_ms = timeout_ms, .chunk_rows = (uint32_t)verb->chunk_rows}};
	return poolite__pack_batch_start(
	    buf, msgid, verb->sql, strlen(verb->sql), verb->rows, &batch->options);
}

int poolite__long_batch_next(void *context, bool is_first, struct poolite__buf *buf)
{
	struct poolite__long_batch *batch = context;
	const struct poolite__verb *verb = batch->verb;

	if (is_first) {
		batch->row = 0;
		batch->has_ended = false;
	}
	while (batch->row < verb->rows && buf->len < PIECE_BYTES && !buf->failed)
		poolite__pack_args(buf, row_of(verb, batch->row++), verb->columns);
	if (batch->row == verb->rows && !batch->has_ended) {
		poolite__pack_batch_end(buf, &batch->options);
		batch->has_ended = true;
	}
	return buf->failed;
}

int poolite__check_packed(int packed, struct poolite__failure *failure)
{
	switch (packed) {
	case POOLITE_OK: return 0;
	case POOLITE_BAD_REQUEST:
		return poolite__fail(
		    failure, packed, "either all arguments have a name or none has");
	case POOLITE_TOO_LARGE:
		return poolite__fail(failure, packed, "the request is too large");
	default:
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for the request");
	}
}

/* ---- the answer ---------------------------------------------------------- */

void poolite__clear(const struct poolite__into *into, size_t count)
{
	if (into->result)
		*into->result = NULL;
	if (into->changes)
		memset(into->changes, 0, sizeof *into->changes);
	for (size_t i = 0; into->results && i < count; i++)
		into->results[i] = NULL;
}

/* The request was carried out, but making its results failed with ${rc}. */
static int no_result(
    enum poolite__effect effect, int rc, struct poolite__failure *failure)
{
	if (rc != POOLITE_OVERLOADED)
		return poolite__reply_nonsense(effect, failure);
	poolite__fail(
	    failure, POOLITE_OVERLOADED, "carried out, but no memory for the result");
	failure->is_unknown = effect == POOLITE__WRITES;
	return failure->code;
}

static int take_changes(struct poolite__reply *reply, struct poolite_changes *changes,
    struct poolite__failure *failure)
{
	struct poolite__reader at = reply->answer.result;
	struct poolite__result result;

	if (poolite__read_result(&at, &result))
		return poolite__reply_nonsense(reply->effect, failure);
	if (changes)
		*changes = (struct poolite_changes){.changes = result.changes,
		    .last_insert_id = result.last_insert_id,
		    .statements = result.statements};
	return 0;
}

/* ${count} results, one behind the other from ${at} on. */
static int take_results(struct poolite__reply *reply, struct poolite__reader at,
    struct poolite_result **results, size_t count, struct poolite__failure *failure)
{
	struct poolite__bytes *bytes = poolite__bytes_take(&reply->bytes);
	int rc = bytes ? 0 : POOLITE_OVERLOADED;

	for (size_t i = 0; !rc && i < count; i++)
		rc = poolite__result_create(bytes, &at, &results[i]);
	poolite__bytes_drop(bytes);
	for (size_t i = 0; rc && i < count; i++) {
		poolite_result_free(results[i]);
		results[i] = NULL;
	}
	return rc ? no_result(reply->effect, rc, failure) : 0;
}

int poolite__verb_take(enum poolite__method method, size_t count,
    struct poolite__reply *reply, const struct poolite__into *into,
    struct poolite__failure *failure)
{
	struct poolite__reader at = reply->answer.result;
	uint32_t told;

	switch (method) {
	case POOLITE__QUERY:
		return into->result ? take_results(reply, at, into->result, 1, failure)
				    : take_changes(reply, NULL, failure);
	case POOLITE__TRANSACTION:
		if (poolite__read_results(&at, &told) || told != count)
			return poolite__reply_nonsense(reply->effect, failure);
		return into->results
		    ? take_results(reply, at, into->results, count, failure)
		    : 0;
	default: return take_changes(reply, into->changes, failure);
	}
}
