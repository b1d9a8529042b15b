/* fuzz_request.c - the scanner and the broker's decoders of requests.
 *
 *   messages ...
 *
 * What decodes is within the message, and encodes again to an equal request.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/begin.h"
#include "proto/cancel.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/script.h"
#include "proto/statement.h"
#include "proto/transaction.h"

static const struct poolite__limits limits = {
    .frame_bytes_max = 64 << 10, .values_max = 8192};

/* Argument lists, decoded; there is room for as many as the message has bytes. */
struct values {
	struct poolite_value *at; /* owns */
	size_t count, max;
	char *names; /* owns: all names, each with a NUL */
	size_t names_len;
};

/* What the message says, whatever way it is put. */
struct meaning {
	enum poolite__method method;
	uint32_t msgid;
	bool is_notification;
	bool can_pack; /* the client's encoders know a way to say it */
	const char *sql;
	size_t sql_len;
	struct values values;
	size_t columns, rows; /* batch: all of its lists are alike; statement: rows 1 */
	struct poolite__statement *statements; /* owns; transaction */
	size_t statements_count;
	struct poolite__request request;
};

static void values_init(struct values *values, size_t message_len)
{
	values->max = message_len + 1;
	values->at = malloc(values->max * sizeof *values->at);
	values->names = malloc(2 * values->max);
	assert(values->at && values->names);
	values->count = values->names_len = 0;
}

static void values_release(struct values *values)
{
	free(values->at);
	free(values->names);
}

/* A name as the encoder takes it: false when a NUL is in it. */
static bool keep_name(
    struct values *values, struct poolite_value *value, const char *name, size_t len)
{
	char *copy = values->names + values->names_len;

	memcpy(copy, name, len);
	copy[len] = '\0';
	value->name = copy;
	values->names_len += len + 1;
	return !memchr(name, '\0', len);
}

/* Decode one list to its end: how many there are, or -1 when one is refused. */
static ssize_t take_args(
    struct poolite__args args, struct meaning *meaning, struct poolite__failure *failure)
{
	struct values *values = &meaning->values;
	size_t start = values->count;
	uint32_t announced = args.count;

	for (;;) {
		struct poolite_value *value = &values->at[values->count];
		const char *name;
		size_t name_len;
		int rc;

		assert(values->count < values->max);
		rc = poolite__args_next(&args, &name, &name_len, value, failure);
		if (rc < 0) {
			assert(rc == POOLITE_BAD_REQUEST && failure->code == rc);
			return -1;
		}
		if (rc == 0)
			break;
		assert(args.is_named == (name != NULL));
		if (name && !keep_name(values, value, name, name_len))
			meaning->can_pack = false;
		values->count++;
	}
	assert(values->count - start == announced);
	return (ssize_t)announced;
}

static int take_batch(struct meaning *meaning, struct poolite__failure *failure)
{
	struct poolite__reader list = meaning->request.list;

	meaning->rows = meaning->request.list_count;
	for (size_t row = 0; row < meaning->rows; row++) {
		struct poolite__args args;
		ssize_t count;

		if (poolite__read_args(&list, &args, failure))
			return -1;
		count = take_args(args, meaning, failure);
		if (count < 0)
			return -1;
		if (row == 0)
			meaning->columns = (size_t)count;
		if ((size_t)count != meaning->columns)
			meaning->can_pack = false;
	}
	return 0;
}

static int take_transaction(struct meaning *meaning, struct poolite__failure *failure)
{
	struct poolite__reader list = meaning->request.list;
	size_t count = meaning->request.list_count;

	meaning->statements = calloc(count + 1, sizeof *meaning->statements);
	assert(meaning->statements);
	for (; meaning->statements_count < count; meaning->statements_count++) {
		struct poolite__statement *statement =
		    &meaning->statements[meaning->statements_count];
		ssize_t args;

		if (poolite__read_transaction_statement(&list, statement, failure))
			return -1;
		statement->args = meaning->values.at + meaning->values.count;
		args = take_args(statement->sent, meaning, failure);
		if (args < 0)
			return -1;
		statement->args_count = (size_t)args;
	}
	return 0;
}

/* What one whole message means: 0, or -1 when it is refused. */
static int understand(const uint8_t *message, size_t len, struct meaning *meaning)
{
	struct poolite__request *request = &meaning->request;
	struct poolite__failure failure = {0};
	bool has_msgid;
	int rc = poolite__read_request(message, len, request, &has_msgid, &failure);

	if (!rc) {
		assert(has_msgid != request->is_notification);
		rc = poolite__read_params(request, &failure);
	}
	if (rc) {
		assert(rc < 0 && failure.code == rc && failure.message[0]);
		assert(poolite__is_utf8(failure.message, strlen(failure.message)));
		return -1;
	}
	assert(poolite__reader_kind(&request->params) == POOLITE__END);
	meaning->method = request->method;
	meaning->msgid = request->msgid;
	meaning->is_notification = request->is_notification;
	meaning->can_pack = true;
	meaning->rows = 1;
	switch (request->method) {
	case POOLITE__QUERY:
	case POOLITE__UPDATE: {
		ssize_t count = take_args(request->args, meaning, &failure);

		meaning->columns = (size_t)count;
		return count < 0 ? -1 : 0;
	}
	case POOLITE__BATCH: return take_batch(meaning, &failure);
	case POOLITE__TRANSACTION: return take_transaction(meaning, &failure);
	default: break;
	}
	/* The encoder takes a key that ends in a NUL. */
	if (request->cancel_key && memchr(request->cancel_key, '\0', POOLITE__KEY_CHARS))
		meaning->can_pack = false;
	return 0;
}

/* Say it again. */
static int express(const struct meaning *meaning, struct poolite__buf *buf)
{
	const struct poolite__request *request = &meaning->request;
	const struct poolite__options *options = &request->options;
	const struct poolite_value *values = meaning->values.at;
	struct poolite__options own = *options;

	switch (meaning->method) {
	case POOLITE__QUERY:
	case POOLITE__UPDATE:
		return poolite__pack_statement(buf, meaning->msgid, meaning->method,
		    request->sql, request->sql_len, values, meaning->columns, options);
	case POOLITE__BATCH:
		return poolite__pack_batch(buf, meaning->msgid, request->sql,
		    request->sql_len, values, meaning->columns, meaning->rows, options);
	case POOLITE__TRANSACTION:
		return poolite__pack_transaction(buf, meaning->msgid, meaning->statements,
		    meaning->statements_count, options);
	case POOLITE__SCRIPT:
		return poolite__pack_script(
		    buf, meaning->msgid, request->sql, request->sql_len, options);
	case POOLITE__BEGIN: return poolite__pack_begin(buf, meaning->msgid, options);
	case POOLITE__FETCH:
		own.page_rows = 0;
		return poolite__pack_fetch(
		    buf, meaning->msgid, request->cursor, options->page_rows, &own);
	case POOLITE__CLOSE:
		return poolite__pack_close(buf, meaning->msgid, request->cursor);
	case POOLITE__CANCEL: {
		char key[POOLITE__KEY_CHARS + 1] = "";

		if (request->cancel_key)
			memcpy(key, request->cancel_key, POOLITE__KEY_CHARS);
		if (meaning->is_notification)
			return poolite__pack_cancel_notification(
			    buf, request->cancel_msgid);
		return poolite__pack_cancel(buf, meaning->msgid, request->cancel_msgid,
		    request->cancel_session, request->cancel_key ? key : NULL);
	}
	default: return poolite__pack_bare_request(buf, meaning->msgid, meaning->method);
	}
}

static bool is_same_value(const struct poolite_value *a, const struct poolite_value *b)
{
	if (a->type != b->type || a->len != b->len || !a->name != !b->name ||
	    (a->name && strcmp(a->name, b->name) != 0))
		return false;
	switch (a->type) {
	case POOLITE_TEXT:
	case POOLITE_BLOB:
		return a->len == 0 || memcmp(a->as.data, b->as.data, a->len) == 0;
	default: return memcmp(&a->as, &b->as, sizeof a->as) == 0; /* NaNs too */
	}
}

static bool is_same_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	return a_len == b_len && (a_len == 0 || memcmp(a, b, a_len) == 0);
}

static void check_same(const struct meaning *a, const struct meaning *b)
{
	const struct poolite__request *left = &a->request, *right = &b->request;

	assert(a->method == b->method && a->msgid == b->msgid);
	assert(a->is_notification == b->is_notification);
	assert(is_same_text(left->sql, left->sql_len, right->sql, right->sql_len));
	assert(a->values.count == b->values.count && a->rows == b->rows);
	for (size_t i = 0; i < a->values.count; i++)
		assert(is_same_value(&a->values.at[i], &b->values.at[i]));
	assert(a->statements_count == b->statements_count);
	for (size_t i = 0; i < a->statements_count; i++) {
		const struct poolite__statement *one = &a->statements[i];
		const struct poolite__statement *other = &b->statements[i];

		assert(one->args_count == other->args_count);
		assert(is_same_text(one->sql, one->sql_len, other->sql, other->sql_len));
	}
	assert(left->options.timeout_ms == right->options.timeout_ms);
	assert(left->options.is_read == right->options.is_read);
	assert(left->options.abort_on_error == right->options.abort_on_error);
	assert(left->options.foreign_keys_off == right->options.foreign_keys_off);
	assert(left->options.page_rows == right->options.page_rows);
	assert(left->cursor == right->cursor);
	assert(left->cancel_msgid == right->cancel_msgid);
	assert(left->cancel_session == right->cancel_session);
	assert(is_same_text(left->cancel_key, left->cancel_key ? POOLITE__KEY_CHARS : 0,
	    right->cancel_key, right->cancel_key ? POOLITE__KEY_CHARS : 0));
}

static void meaning_init(struct meaning *meaning, size_t message_len)
{
	memset(meaning, 0, sizeof *meaning);
	values_init(&meaning->values, message_len);
}

static void meaning_release(struct meaning *meaning)
{
	values_release(&meaning->values);
	free(meaning->statements);
}

/* Encode what was understood, and understand that: it is the same, and encodes the same. */
static void check_round_trip(struct meaning *meaning)
{
	struct poolite__scan scan = {0};
	struct poolite__buf first, second;
	struct meaning again;

	poolite__buf_init(&first, SIZE_MAX / 4, NULL);
	poolite__buf_init(&second, SIZE_MAX / 4, NULL);
	assert(express(meaning, &first) == 0);
	meaning_init(&again, first.len);
	/* Its own way of saying it may be longer, and then too long. */
	if (first.len <= limits.frame_bytes_max) {
		assert(poolite__scan_next(&scan, first.data, first.len, &limits) ==
		    (ssize_t)first.len);
		assert(understand(first.data, first.len, &again) == 0);
		check_same(meaning, &again);
		assert(express(&again, &second) == 0);
		assert(second.len == first.len &&
		    memcmp(second.data, first.data, first.len) == 0);
	}
	meaning_release(&again);
	poolite__buf_release(&first);
	poolite__buf_release(&second);
}

static void check_message(const uint8_t *data, size_t len)
{
	uint8_t *message = fuzz_copy(data, len);
	struct meaning meaning;

	meaning_init(&meaning, len);
	/* Of notifications the library sends only one. */
	if (understand(message, len, &meaning) == 0 && meaning.can_pack &&
	    (!meaning.is_notification ||
		(meaning.method == POOLITE__CANCEL && !meaning.request.cancel_session)))
		check_round_trip(&meaning);
	meaning_release(&meaning);
	free(message);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > 0) {
		struct poolite__scan scan = {0};
		ssize_t len = poolite__scan_next(&scan, data, size, &limits);

		if (len <= 0)
			return 0;
		check_message(data, (size_t)len);
		data += len;
		size -= (size_t)len;
	}
	return 0;
}
