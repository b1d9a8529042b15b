#include "proto/request.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/begin.h"
#include "proto/cancel.h"
#include "proto/cursor.h"
#include "proto/script.h"
#include "proto/statement.h"
#include "proto/transaction.h"

/* Bytes of a name that a message repeats. */
#define NAME_SHOWN 64

static const char *const method_names[] = {
#define NAME(name, word) [POOLITE__##name] = word,
    POOLITE__METHODS(NAME)
#undef NAME
};

static const struct {
	enum poolite__option option;
	const char *name;
} option_names[] = {
    {POOLITE__OPTION_TIMEOUT_MS, "timeout_ms"},
    {POOLITE__OPTION_MODE, "mode"},
    {POOLITE__OPTION_ON_ERROR, "on_error"},
    {POOLITE__OPTION_FOREIGN_KEYS, "foreign_keys"},
    {POOLITE__OPTION_PAGE_ROWS, "page_rows"},
    {POOLITE__OPTION_CHUNK_ROWS, "chunk_rows"},
};

#define OPTION_COUNT (sizeof option_names / sizeof option_names[0])

static int shown(size_t len)
{
	return len > NAME_SHOWN ? NAME_SHOWN : (int)len;
}

const char *poolite__method_name(enum poolite__method method)
{
	return method < POOLITE__METHOD_COUNT ? method_names[method] : "unknown";
}

static enum poolite__method method_of(const char *name, size_t len)
{
	unsigned method = 0;

	while (method < POOLITE__METHOD_COUNT &&
	    !poolite__is_word(name, len, method_names[method]))
		method++;
	return method;
}

/* Options */

/* One option by name: its bit, or 0 when it is not among ${allowed}. */
static unsigned option_of(const char *name, size_t len, unsigned allowed)
{
	for (size_t i = 0; i < OPTION_COUNT; i++)
		if ((option_names[i].option & allowed) &&
		    poolite__is_word(name, len, option_names[i].name))
			return option_names[i].option;
	return 0;
}

static int fail_unknown_option(
    const char *name, size_t len, unsigned allowed, struct poolite__failure *failure)
{
	char list[128] = "";

	for (size_t i = 0; i < OPTION_COUNT; i++) {
		if (!(option_names[i].option & allowed))
			continue;
		if (list[0])
			strcat(list, ", ");
		strcat(list, option_names[i].name);
	}
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "there is no option \"%.*s\" here; options are: %s", shown(len), name, list);
}

static int read_timeout(struct poolite__reader *reader, struct poolite__options *options,
    struct poolite__failure *failure)
{
	uint64_t timeout_ms;

	if (poolite__read_uint(reader, POOLITE__TIMEOUT_MS_MAX, &timeout_ms) ||
	    timeout_ms == 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "option timeout_ms is an integer, 1 to %" PRId64,
		    POOLITE__TIMEOUT_MS_MAX);
	options->timeout_ms = (int64_t)timeout_ms;
	return 0;
}

static int read_rows(struct poolite__reader *reader, const char *option, uint32_t max,
    uint32_t *rows, struct poolite__failure *failure)
{
	uint64_t given;

	if (poolite__read_uint(reader, max, &given) || given == 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "option %s is an integer, 1 to %" PRIu32, option, max);
	*rows = (uint32_t)given;
	return 0;
}

/* One of two words: *${is_second} tells which. */
static int read_choice(struct poolite__reader *reader, const char *option,
    const char *first, const char *second, bool *is_second,
    struct poolite__failure *failure)
{
	const char *word;
	size_t len;

	if (poolite__read_str(reader, &word, &len) ||
	    (!poolite__is_word(word, len, first) && !poolite__is_word(word, len, second)))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "option %s is \"%s\" or \"%s\"", option, first, second);
	*is_second = poolite__is_word(word, len, second);
	return 0;
}

static int read_option(struct poolite__reader *reader, unsigned option,
    struct poolite__options *options, struct poolite__failure *failure)
{
	bool keys;

	if (poolite__read_nil(reader) == 0)
		return 0;
	switch (option) {
	case POOLITE__OPTION_TIMEOUT_MS: return read_timeout(reader, options, failure);
	case POOLITE__OPTION_PAGE_ROWS:
		return read_rows(reader, "page_rows", POOLITE__PAGE_ROWS_MAX,
		    &options->page_rows, failure);
	case POOLITE__OPTION_CHUNK_ROWS:
		return read_rows(reader, "chunk_rows", POOLITE__CHUNK_ROWS_MAX,
		    &options->chunk_rows, failure);
	case POOLITE__OPTION_MODE:
		return read_choice(
		    reader, "mode", "write", "read", &options->is_read, failure);
	case POOLITE__OPTION_ON_ERROR:
		return read_choice(reader, "on_error", "continue", "abort",
		    &options->abort_on_error, failure);
	}
	assert(option == POOLITE__OPTION_FOREIGN_KEYS);
	if (poolite__read_bool(reader, &keys))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "option foreign_keys is true or false");
	options->foreign_keys_off = !keys;
	return 0;
}

int poolite__read_options(struct poolite__reader *reader, unsigned allowed,
    struct poolite__options *options, struct poolite__failure *failure)
{
	unsigned seen = 0;
	uint32_t pairs;

	*options = (struct poolite__options){0};
	if (poolite__reader_kind(reader) == POOLITE__END ||
	    poolite__read_nil(reader) == 0)
		return 0;
	if (poolite__read_map(reader, &pairs))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "options are a map, or nil for none");
	while (pairs-- > 0) {
		const char *name;
		size_t len;
		unsigned option;
		int rc;

		if (poolite__read_str(reader, &name, &len))
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "the name of an option is not text");
		option = option_of(name, len, allowed);
		if (!option)
			return fail_unknown_option(name, len, allowed, failure);
		if (seen & option)
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "option %.*s is there twice", shown(len), name);
		seen |= option;
		rc = read_option(reader, option, options, failure);
		if (rc)
			return rc;
	}
	return 0;
}

bool poolite__has_options(const struct poolite__options *options)
{
	return options &&
	    (options->timeout_ms || options->is_read || options->abort_on_error ||
		options->foreign_keys_off || options->page_rows || options->chunk_rows);
}

int poolite__pack_options(
    struct poolite__buf *buf, const struct poolite__options *options)
{
	static const struct poolite__options defaults;
	msgpack_packer packer;

	if (!options)
		options = &defaults;
	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer,
	    (size_t)(options->timeout_ms != 0) + options->is_read +
		options->abort_on_error + options->foreign_keys_off +
		(size_t)(options->page_rows != 0) + (size_t)(options->chunk_rows != 0));
	if (options->timeout_ms) {
		poolite__pack_cstr(&packer, "timeout_ms");
		msgpack_pack_int64(&packer, options->timeout_ms);
	}
	if (options->is_read) {
		poolite__pack_cstr(&packer, "mode");
		poolite__pack_cstr(&packer, "read");
	}
	if (options->abort_on_error) {
		poolite__pack_cstr(&packer, "on_error");
		poolite__pack_cstr(&packer, "abort");
	}
	if (options->foreign_keys_off) {
		poolite__pack_cstr(&packer, "foreign_keys");
		msgpack_pack_false(&packer);
	}
	if (options->page_rows) {
		poolite__pack_cstr(&packer, "page_rows");
		msgpack_pack_uint32(&packer, options->page_rows);
	}
	if (options->chunk_rows) {
		poolite__pack_cstr(&packer, "chunk_rows");
		msgpack_pack_uint32(&packer, options->chunk_rows);
	}
	return buf->failed;
}

/* The envelope */

static int read_method_and_params(struct poolite__reader *at,
    struct poolite__request *request, struct poolite__failure *failure)
{
	if (poolite__read_bytes(at, &request->method_name, &request->method_name_len))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "the method is not text");
	request->method = method_of(request->method_name, request->method_name_len);
	if (poolite__read_array(at, &request->params_count))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the parameters are not an array (send [] for none)");
	request->params = *at;
	return 0;
}

int poolite__read_request(const void *message, size_t len,
    struct poolite__request *request, bool *has_msgid, struct poolite__failure *failure)
{
	struct poolite__reader at = poolite__reader_over(message, len);
	uint64_t type;
	uint64_t msgid;
	uint32_t count;

	*request = (struct poolite__request){.method = POOLITE__METHOD_UNKNOWN};
	*has_msgid = false;
	if (poolite__read_array(&at, &count) || poolite__read_uint(&at, 2, &type) ||
	    type == 1)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a message is [0, msgid, method, params] or [2, method, params]");
	if (type == 2) {
		request->is_notification = true;
		if (count != 3)
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "a notification is [2, method, params]");
		return read_method_and_params(&at, request, failure);
	}
	if (poolite__read_uint(&at, UINT32_MAX, &msgid))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the msgid is not an integer in 0 to 4294967295");
	request->msgid = (uint32_t)msgid;
	*has_msgid = true;
	if (count != 4)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a request is [0, msgid, method, params]");
	return read_method_and_params(&at, request, failure);
}

/* Params */

/* Only nils may be left. */
static int read_params_end(
    struct poolite__request *request, struct poolite__failure *failure)
{
	while (poolite__read_nil(&request->params) == 0)
		;
	if (poolite__reader_kind(&request->params) == POOLITE__END)
		return 0;
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "%" PRIu32 " parameters are too many for %s", request->params_count,
	    poolite__method_name(request->method));
}

static int read_own_params(
    struct poolite__request *request, struct poolite__failure *failure)
{
	switch (request->method) {
	case POOLITE__HELLO:
	case POOLITE__PING:
	case POOLITE__COMMIT:
	case POOLITE__ROLLBACK:
	case POOLITE__STATS:
	case POOLITE__HEALTH: return 0;
	case POOLITE__QUERY:
	case POOLITE__UPDATE: return poolite__read_statement(request, failure);
	case POOLITE__BATCH: return poolite__read_batch(request, failure);
	case POOLITE__TRANSACTION: return poolite__read_transaction(request, failure);
	case POOLITE__SCRIPT: return poolite__read_script(request, failure);
	case POOLITE__BEGIN: return poolite__read_begin(request, failure);
	case POOLITE__FETCH: return poolite__read_fetch(request, failure);
	case POOLITE__CLOSE: return poolite__read_close(request, failure);
	case POOLITE__CANCEL: return poolite__read_cancel(request, failure);
	case POOLITE__METHOD_UNKNOWN: break;
	}
	return poolite__fail(failure, POOLITE_UNKNOWN_METHOD,
	    "there is no method \"%.*s\"", shown(request->method_name_len),
	    request->method_name);
}

int poolite__read_params(
    struct poolite__request *request, struct poolite__failure *failure)
{
	int rc = read_own_params(request, failure);

	return rc ? rc : read_params_end(request, failure);
}

int poolite__read_sql(struct poolite__reader *reader, const char **sql, size_t *sql_len,
    struct poolite__failure *failure)
{
	if (poolite__read_str(reader, sql, sql_len))
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    poolite__reader_kind(reader) == POOLITE__END ? "the SQL is missing"
								 : "the SQL is not text");
	if (memchr(*sql, '\0', *sql_len))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "the SQL has a NUL byte in it");
	if (!poolite__is_utf8(*sql, *sql_len))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "the SQL is not UTF-8");
	return 0;
}

/* Packing */

void poolite__pack_request(struct poolite__buf *buf, uint32_t msgid,
    enum poolite__method method, uint32_t params_count)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_int(&packer, 0);
	msgpack_pack_uint32(&packer, msgid);
	poolite__pack_cstr(&packer, poolite__method_name(method));
	msgpack_pack_array(&packer, params_count);
}

int poolite__pack_request_end(struct poolite__buf *buf, size_t start, int rc)
{
	if (buf->failed)
		return buf->failed;
	if (rc)
		poolite__buf_truncate(buf, start);
	return rc;
}

int poolite__pack_bare_request(
    struct poolite__buf *buf, uint32_t msgid, enum poolite__method method)
{
	poolite__pack_request(buf, msgid, method, 0);
	return buf->failed;
}
