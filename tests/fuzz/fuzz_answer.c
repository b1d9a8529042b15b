/* fuzz_answer.c - the client library's decoders: what a broker, or an impostor, may send.
 *
 *   pieces | messages ...
 *
 * The bytes come through a socket in pieces and are read as the library reads them; each
 * answer is then taken for everything that it could be the answer to.
 */
#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/result.h"
#include "client/session.h"
#include "proto/cancel.h"
#include "proto/hello.h"
#include "proto/json.h"
#include "proto/transaction.h"

/* Rows of one result that are looked at, and results of one transaction. */
#define ROWS_MAX    200
#define RESULTS_MAX 64

static const struct poolite__limits limits = {
    .frame_bytes_max = 64 << 10, .values_max = UINT32_MAX};

/* Sums up what getters give, so that every byte of it is read. */
static volatile unsigned char sum;

static void read_all(const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	unsigned char total = 0;

	assert(at || len == 0);
	for (size_t i = 0; i < len; i++)
		total ^= at[i];
	sum = total;
}

/* ---- one result ---------------------------------------------------------------- */

static void read_cell(struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);
	double real = poolite_result_double(result, column);
	int64_t integer = poolite_result_int64(result, column);
	const char *text = poolite_result_text(result, column);
	const void *blob = poolite_result_blob(result, column);
	size_t len = poolite_result_bytes(result, column);

	assert(poolite_result_type(result, column) == value.type);
	assert(poolite_result_is_null(result, column) == (value.type == POOLITE_NULL));
	assert((text == NULL) == (value.type == POOLITE_NULL));
	if (!text) {
		assert(len == 0 && integer == 0 && real == 0.0 && !blob);
		return;
	}
	assert(text[len] == '\0');
	read_all(text, len + 1);
	read_all(blob, len);
	if (value.type == POOLITE_TEXT || value.type == POOLITE_BLOB)
		assert(len == value.len && memcmp(text, blob, len) == 0);
	else
		assert(strlen(text) == len);
	if (value.type == POOLITE_INTEGER)
		assert(integer == value.as.integer);
	/* Asked again, the same piece of memory. */
	assert(poolite_result_text(result, column) == text);
}

static unsigned read_rows(struct poolite_result *result)
{
	size_t columns = poolite_result_columns(result);
	unsigned rows = 0;
	int rc = 0;

	while (rows < ROWS_MAX && (rc = poolite_result_next(result)) == 1) {
		/* From the last to the first: texts are made in any order. */
		for (size_t column = columns; column-- > 0;)
			read_cell(result, column);
		rows++;
	}
	assert(rc == 0 || rc == 1 || rc == POOLITE_INTERNAL);
	if (rc <= 0) {
		assert(poolite_result_next(result) == 0);
		assert(poolite_result_is_null(result, 0));
	}
	if (rc == 0)
		assert(rows == poolite_result_rows(result));
	return rows;
}

static void read_result(struct poolite_result *result)
{
	size_t columns = poolite_result_columns(result);
	unsigned rows;

	for (size_t column = 0; column < columns; column++) {
		const char *name = poolite_result_column_name(result, column);
		int index = poolite_result_column_index(result, name);

		read_all(name, strlen(name));
		assert(index >= 0 && (size_t)index <= column);
	}
	assert(!poolite_result_column_name(result, columns));
	assert(poolite_result_is_null(result, columns));
	rows = read_rows(result);
	poolite_result_rewind(result);
	assert(read_rows(result) == rows);
	poolite_result_changes(result);
	poolite_result_last_insert_id(result);
	poolite__result_cursor(result);
}

/* ---- one answer ----------------------------------------------------------------- */

static void take_for_result(struct poolite__bytes *bytes, struct poolite__reader at)
{
	struct poolite_result *result;

	if (poolite__result_create(bytes, &at, &result)) {
		assert(!result);
		return;
	}
	read_result(result);
	poolite_result_free(result);
}

/* Results share the bytes, and outlive whoever took them. */
static void take_for_results(struct poolite__bytes *bytes, struct poolite__reader at)
{
	struct poolite_result *results[RESULTS_MAX] = {0};
	uint32_t count = 0, made = 0;

	if (poolite__read_results(&at, &count))
		return;
	while (made < count && made < RESULTS_MAX &&
	    poolite__result_create(bytes, &at, &results[made]) == 0)
		made++;
	for (uint32_t i = 0; i < made; i++) {
		read_result(results[i]);
		poolite_result_free(results[i]);
	}
}

static void take_for_the_rest(struct poolite__reader result)
{
	struct poolite__reader at = result;
	struct poolite__hello hello;
	bool was_there;
	json_t *json;

	if (poolite__read_hello_result(&at, &hello) == 0) {
		assert(memchr(hello.version, '\0', sizeof hello.version));
		assert(memchr(hello.sqlite, '\0', sizeof hello.sqlite));
		assert(memchr(hello.key, '\0', sizeof hello.key));
	}
	at = result;
	poolite__read_cancel_result(&at, &was_there);
	at = result;
	json = poolite__json(&at);
	if (json) {
		char *text = json_dumps(json, JSON_ENCODE_ANY);

		assert(text);
		free(text);
		json_decref(json);
	}
}

static void check_failure(const struct poolite__failure *failure)
{
	struct poolite__buf buf;
	struct poolite__reader at;
	struct poolite__failure again;

	assert(failure->code < 0);
	assert(memchr(failure->message, '\0', sizeof failure->message));
	assert(poolite__is_utf8(failure->message, strlen(failure->message)));
	poolite__buf_init(&buf, SIZE_MAX / 4, NULL);
	assert(poolite__pack_failure(&buf, failure) == 0);
	at = poolite__reader_over(buf.data, buf.len);
	assert(poolite__read_failure(&at, &again) == 0 && at.at == at.end);
	assert(again.code == failure->code && again.sqlite == failure->sqlite &&
	    again.is_unknown == failure->is_unknown &&
	    strcmp(again.message, failure->message) == 0);
	poolite__buf_release(&buf);
}

static void take_message(struct poolite__buf *message)
{
	struct poolite__answer answer;
	struct poolite__bytes *bytes;
	int rc = poolite__read_answer(message->data, message->len, &answer);

	if (rc) {
		assert(rc == POOLITE_BAD_REQUEST);
		poolite__buf_release(message);
		return;
	}
	if (answer.failure.code != POOLITE_OK)
		check_failure(&answer.failure);
	assert(!answer.is_closing || answer.failure.code != POOLITE_OK);
	bytes = poolite__bytes_take(message);
	assert(bytes);
	if (!answer.is_notification && answer.failure.code == POOLITE_OK) {
		take_for_result(bytes, answer.result);
		take_for_results(bytes, answer.result);
		take_for_the_rest(answer.result);
	}
	poolite__bytes_drop(bytes);
}

/* ---- the stream ------------------------------------------------------------------ */

/* Read what has come.  False: the stream is over, or lost. */
static bool receive(struct poolite__session *session)
{
	enum poolite__io io;
	size_t len;

	while (
	    (io = poolite__session_message(session, &limits, &len)) == POOLITE__IO_OK) {
		struct poolite__buf message;

		assert(poolite__session_take(session, len, &message) == 0);
		assert(message.len == len);
		take_message(&message);
	}
	if (io != POOLITE__IO_AGAIN)
		return false;
	io = poolite__session_read(session);
	return io == POOLITE__IO_OK || io == POOLITE__IO_AGAIN;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_bytes bytes = {data, size};
	struct poolite__session *session = poolite__session_create();
	size_t piece = (size_t)1 << fuzz_byte(&bytes) % 16;
	bool goes_on = true;
	int sockets[2];

	assert(session);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) == 0);
	session->fd = sockets[0];
	if (piece < size / 16)
		piece = size / 16; /* a system call each */
	while (goes_on && bytes.left > 0) {
		size_t len = bytes.left < piece ? bytes.left : piece;

		assert(write(sockets[1], bytes.at, len) == (ssize_t)len);
		bytes.at += len;
		bytes.left -= len;
		goes_on = receive(session);
	}
	close(sockets[1]);
	while (goes_on)
		goes_on = receive(session);
	poolite__session_free(session);
	return 0;
}
