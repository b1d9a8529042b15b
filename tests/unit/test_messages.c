/* Every message: the examples of PROTOCOL.md against both halves of the code, and
 * each method's rules for its params. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/answer.h"
#include "proto/batch.h"
#include "proto/begin.h"
#include "proto/cancel.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/hello.h"
#include "proto/json.h"
#include "proto/script.h"
#include "proto/statement.h"
#include "proto/transaction.h"
#include "tests/unit/wire.h"

#define KEY "00112233445566778899aabbccddeeff"

static size_t count_of(const char *text)
{
	return strlen(text);
}

/* What the packers make of each example, by its form in PROTOCOL.md */

static void pack_greetings(struct poolite__buf *buf)
{
	wire_pack_json(buf, "[2, 'greetings', ['any client', 1]]");
}

static void pack_broken(struct poolite__buf *buf)
{
	struct poolite__failure failure;

	poolite__fail(
	    &failure, POOLITE_BAD_REQUEST, "these bytes are no MessagePack message");
	poolite__pack_error_notification(buf, &failure);
}

static void pack_hello(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 1, POOLITE__HELLO);
}

static const struct poolite__hello hello_told = {
    .version = "0.1.0",
    .protocol = POOLITE__PROTOCOL_VERSION,
    .sqlite = "3.40.1",
    .max_frame_bytes = POOLITE__FRAME_BYTES_DEFAULT,
    .max_values = POOLITE__VALUES_DEFAULT,
    .max_result_bytes = POOLITE__RESULT_BYTES_DEFAULT,
    .max_inflight = 128,
    .session = 7,
    .key = KEY,
};

static void pack_hello_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 1);
	poolite__pack_hello_result(buf, &hello_told);
}

static void pack_ping(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 2, POOLITE__PING);
}

static void pack_pong(struct poolite__buf *buf)
{
	msgpack_packer packer;

	poolite__pack_answer(buf, 2);
	poolite__packer_init(&packer, buf);
	poolite__pack_cstr(&packer, "pong");
}

static void pack_query(struct poolite__buf *buf)
{
	const char *sql = "SELECT id, title FROM book WHERE price < ?";
	struct poolite_value price = poolite_real(9.5);

	poolite__pack_statement(
	    buf, 3, POOLITE__QUERY, sql, count_of(sql), &price, 1, NULL);
}

static void pack_query_answer(struct poolite__buf *buf)
{
	static const char *const titles[] = {"Emma", "Momo"};
	struct poolite__rows rows;

	poolite__pack_answer(buf, 3);
	poolite__rows_open(&rows, buf, 2);
	poolite__rows_column(&rows, "id");
	poolite__rows_column(&rows, "title");
	poolite__rows_begin(&rows);
	for (int i = 0; i < 2; i++) {
		struct poolite_value id = poolite_integer(i ? 7 : 1);
		struct poolite_value title = poolite_text(titles[i]);

		poolite__rows_next(&rows);
		poolite__pack_value(buf, &id);
		poolite__pack_value(buf, &title);
	}
	poolite__rows_close(&rows);
}

static void pack_named_query(struct poolite__buf *buf)
{
	const char *sql = "SELECT id FROM book WHERE title = :title";
	struct poolite_value title = poolite_named("title", poolite_text("Momo"));
	struct poolite__options options = {.timeout_ms = 500};

	poolite__pack_statement(
	    buf, 4, POOLITE__QUERY, sql, count_of(sql), &title, 1, &options);
}

static void pack_five_types(struct poolite__buf *buf)
{
	const struct poolite_value values[] = {poolite_null(), poolite_integer(INT64_MIN),
	    poolite_real(0.25), poolite_text("h\xc3\xa9"), poolite_blob("\0\xff\x10", 3)};
	static const char *const names[] = {"a", "b", "c", "d", "e"};
	struct poolite__rows rows;

	poolite__pack_answer(buf, 4);
	poolite__rows_open(&rows, buf, 5);
	for (int i = 0; i < 5; i++)
		poolite__rows_column(&rows, names[i]);
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	for (int i = 0; i < 5; i++)
		poolite__pack_value(buf, &values[i]);
	poolite__rows_close(&rows);
}

static void pack_returning(struct poolite__buf *buf)
{
	const char *sql = "INSERT INTO book (title, price) VALUES (?, ?) RETURNING id";
	struct poolite_value values[] = {poolite_text("Krabat"), poolite_integer(8)};

	poolite__pack_statement(
	    buf, 5, POOLITE__QUERY, sql, count_of(sql), values, 2, NULL);
}

static void pack_returning_answer(struct poolite__buf *buf)
{
	struct poolite_value id = poolite_integer(8);
	struct poolite__rows rows;

	poolite__pack_answer(buf, 5);
	poolite__rows_open(&rows, buf, 1);
	poolite__rows_column(&rows, "id");
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__pack_value(buf, &id);
	poolite__rows_close_written(&rows, 1, 8);
}

static void pack_paged_query(struct poolite__buf *buf)
{
	const char *sql = "SELECT id FROM book";
	struct poolite__options options = {.page_rows = 2};

	poolite__pack_statement(
	    buf, 18, POOLITE__QUERY, sql, count_of(sql), NULL, 0, &options);
}

static void open_ids(struct poolite__rows *rows, struct poolite__buf *buf)
{
	poolite__rows_open(rows, buf, 1);
	poolite__rows_column(rows, "id");
	poolite__rows_begin(rows);
}

static void pack_id(struct poolite__rows *rows, int64_t id)
{
	struct poolite_value value = poolite_integer(id);

	poolite__rows_next(rows);
	poolite__pack_value(rows->buf, &value);
}

static void pack_page(struct poolite__buf *buf)
{
	struct poolite__rows rows;

	poolite__pack_answer(buf, 18);
	open_ids(&rows, buf);
	pack_id(&rows, 1);
	pack_id(&rows, 7);
	poolite__rows_close_page(&rows, 4);
}

static void pack_fetch(struct poolite__buf *buf)
{
	poolite__pack_fetch(buf, 19, 4, 0, NULL);
}

static void pack_last_page(struct poolite__buf *buf)
{
	struct poolite__rows rows;

	poolite__pack_answer(buf, 19);
	open_ids(&rows, buf);
	pack_id(&rows, 8);
	poolite__rows_close(&rows);
}

static void pack_long_fetch(struct poolite__buf *buf)
{
	struct poolite__options options = {.timeout_ms = 500};

	poolite__pack_fetch(buf, 20, 4, 1000, &options);
}

static void pack_fetch_error(struct poolite__buf *buf)
{
	struct poolite__failure failure;

	poolite__fail(&failure, POOLITE_BAD_REQUEST,
	    "this session has no cursor 4: it came to its end, failed, was closed, or its "
	    "transaction ended");
	poolite__pack_error_answer(buf, 20, &failure);
}

static void pack_close(struct poolite__buf *buf)
{
	poolite__pack_close(buf, 21, 4);
}

static void pack_close_answer(struct poolite__buf *buf)
{
	poolite__pack_nil_answer(buf, 21);
}

static void pack_update(struct poolite__buf *buf)
{
	const char *sql = "UPDATE book SET price = ? WHERE id = ?";
	struct poolite_value values[] = {poolite_null(), poolite_integer(8)};

	poolite__pack_statement(
	    buf, 6, POOLITE__UPDATE, sql, count_of(sql), values, 2, NULL);
}

static void pack_update_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 6);
	poolite__pack_changes(buf, 1, 0);
}

static void pack_update_error(struct poolite__buf *buf)
{
	struct poolite__failure failure;

	poolite__fail(
	    &failure, POOLITE_CONSTRAINT, "UNIQUE constraint failed: book.title");
	failure.sqlite = 2067;
	poolite__pack_error_answer(buf, 6, &failure);
}

static void pack_batch(struct poolite__buf *buf)
{
	const char *sql = "INSERT INTO book (title) VALUES (?)";
	struct poolite_value values[] = {poolite_text("Heidi"), poolite_text("Ronja")};

	poolite__pack_batch(buf, 7, sql, count_of(sql), values, 1, 2, NULL);
}

static void pack_batch_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 7);
	poolite__pack_changes(buf, 2, 10);
}

static void pack_batch_in_chunks(struct poolite__buf *buf)
{
	const char *sql = "INSERT INTO book (title) VALUES (?)";
	struct poolite_value values[] = {poolite_text("Lotta"), poolite_text("Michel"),
	    poolite_text("Momo"), poolite_text("Madita")};
	struct poolite__options options = {.chunk_rows = 2};

	poolite__pack_batch(buf, 22, sql, count_of(sql), values, 1, 4, &options);
}

static void pack_part_error(struct poolite__buf *buf)
{
	struct poolite__failure failure;

	poolite__fail(&failure, POOLITE_CONSTRAINT,
	    "UNIQUE constraint failed: book.title (row 3 of 4)");
	failure.sqlite = 2067;
	failure.rows_done = 2;
	poolite__pack_error_answer(buf, 22, &failure);
}

static void pack_transaction(struct poolite__buf *buf)
{
	struct poolite_value id = poolite_integer(7);
	struct poolite__statement statements[2] = {
	    {.sql = "UPDATE book SET price = 9 WHERE id = ?",
		.args = &id,
		.args_count = 1},
	    {.sql = "SELECT count(*) FROM book"},
	};

	for (int i = 0; i < 2; i++)
		statements[i].sql_len = count_of(statements[i].sql);
	poolite__pack_transaction(buf, 8, statements, 2, NULL);
}

static void pack_transaction_answer(struct poolite__buf *buf)
{
	struct poolite_value ten = poolite_integer(10);
	struct poolite__rows rows;

	poolite__pack_answer(buf, 8);
	poolite__pack_results(buf, 2);
	poolite__pack_changes(buf, 1, 0);
	poolite__rows_open(&rows, buf, 1);
	poolite__rows_column(&rows, "count(*)");
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__pack_value(buf, &ten);
	poolite__rows_close(&rows);
}

static void pack_script(struct poolite__buf *buf)
{
	const char *sql = "CREATE TABLE shelf (id INTEGER PRIMARY KEY);\n"
			  "INSERT INTO shelf VALUES (1), (2);";

	poolite__pack_script(buf, 9, sql, count_of(sql), NULL);
}

static void pack_script_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 9);
	poolite__pack_script_result(buf, 2, 2);
}

static void pack_rebuild(struct poolite__buf *buf)
{
	const char *sql = "DROP TABLE shelf; "
			  "CREATE TABLE shelf (id INTEGER PRIMARY KEY, room TEXT);";
	struct poolite__options options = {.foreign_keys_off = true};

	poolite__pack_script(buf, 10, sql, count_of(sql), &options);
}

static void pack_begin(struct poolite__buf *buf)
{
	poolite__pack_begin(buf, 11, NULL);
}

static void pack_begin_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 11);
	poolite__pack_begin_result(buf, false);
}

static void pack_begin_read(struct poolite__buf *buf)
{
	struct poolite__options options = {
	    .timeout_ms = 2000, .is_read = true, .abort_on_error = true};

	poolite__pack_begin(buf, 12, &options);
}

static void pack_begin_read_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 12);
	poolite__pack_begin_result(buf, true);
}

static void pack_commit(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 13, POOLITE__COMMIT);
}

static void pack_commit_answer(struct poolite__buf *buf)
{
	poolite__pack_nil_answer(buf, 13);
}

static void pack_rollback(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 14, POOLITE__ROLLBACK);
}

static void pack_rollback_error(struct poolite__buf *buf)
{
	struct poolite__failure failure;

	poolite__fail(
	    &failure, POOLITE_NO_TRANSACTION, "rollback without a begin before it");
	poolite__pack_error_answer(buf, 14, &failure);
}

static void pack_stats(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 15, POOLITE__STATS);
}

static void pack_health(struct poolite__buf *buf)
{
	poolite__pack_bare_request(buf, 16, POOLITE__HEALTH);
}

static void pack_cancel_notification(struct poolite__buf *buf)
{
	poolite__pack_cancel_notification(buf, 3);
}

static void pack_cancel(struct poolite__buf *buf)
{
	poolite__pack_cancel(buf, 17, 3, 7, KEY);
}

static void pack_cancel_answer(struct poolite__buf *buf)
{
	poolite__pack_answer(buf, 17);
	poolite__pack_cancel_result(buf, true);
}

/* In the document's order.  NULL: the broker's statistics make it, not proto/. */
static const struct {
	const char *starts; /* how the form starts */
	void (*pack)(struct poolite__buf *buf);
} packers[] = {
    {"[2, \"greetings\"", pack_greetings},
    {"[2, \"error\"", pack_broken},
    {"[0, 1, \"hello\"", pack_hello},
    {"[1, 1, null, {\"server\"", pack_hello_answer},
    {"[0, 2, \"ping\"", pack_ping},
    {"[1, 2, null, \"pong\"", pack_pong},
    {"[0, 3, \"query\"", pack_query},
    {"[1, 3, null, {\"columns\"", pack_query_answer},
    {"[0, 4, \"query\"", pack_named_query},
    {"[1, 4, null, {\"columns\"", pack_five_types},
    {"[0, 5, \"query\"", pack_returning},
    {"[1, 5, null, {\"columns\"", pack_returning_answer},
    {"[0, 18, \"query\"", pack_paged_query},
    {"[1, 18, null, {\"columns\"", pack_page},
    {"[0, 19, \"fetch\"", pack_fetch},
    {"[1, 19, null, {\"columns\"", pack_last_page},
    {"[0, 20, \"fetch\"", pack_long_fetch},
    {"[1, 20, [-1", pack_fetch_error},
    {"[0, 21, \"close\"", pack_close},
    {"[1, 21, null, null", pack_close_answer},
    {"[0, 6, \"update\"", pack_update},
    {"[1, 6, null, {\"changes\"", pack_update_answer},
    {"[1, 6, [-5", pack_update_error},
    {"[0, 7, \"batch\"", pack_batch},
    {"[1, 7, null, {\"changes\"", pack_batch_answer},
    {"[0, 22, \"batch\"", pack_batch_in_chunks},
    {"[1, 22, [-5", pack_part_error},
    {"[0, 8, \"transaction\"", pack_transaction},
    {"[1, 8, null, {\"results\"", pack_transaction_answer},
    {"[0, 9, \"script\"", pack_script},
    {"[1, 9, null, {\"statements\"", pack_script_answer},
    {"[0, 10, \"script\"", pack_rebuild},
    {"[0, 11, \"begin\"", pack_begin},
    {"[1, 11, null, {\"mode\"", pack_begin_answer},
    {"[0, 12, \"begin\"", pack_begin_read},
    {"[1, 12, null, {\"mode\"", pack_begin_read_answer},
    {"[0, 13, \"commit\"", pack_commit},
    {"[1, 13, null, null", pack_commit_answer},
    {"[0, 14, \"rollback\"", pack_rollback},
    {"[1, 14, [-12", pack_rollback_error},
    {"[0, 15, \"stats\"", pack_stats},
    {"[0, 16, \"health\"", pack_health},
    {"[1, 16, null, {\"status\"", NULL},
    {"[2, \"cancel\"", pack_cancel_notification},
    {"[0, 17, \"cancel\"", pack_cancel},
    {"[1, 17, null, true", pack_cancel_answer},
};

#define PACKERS (sizeof packers / sizeof packers[0])

static struct wire_example examples[WIRE_EXAMPLES_MAX];

static void read_examples(void)
{
	size_t count = wire_examples(examples);

	cr_assert(eq(sz, count, PACKERS));
	for (size_t i = 0; i < count; i++)
		cr_assert(strncmp(examples[i].form, packers[i].starts,
			      strlen(packers[i].starts)) == 0,
		    "line %d: %s", examples[i].line, examples[i].form);
}

TestSuite(examples, .init = read_examples);

Test(examples, say_in_bytes_what_they_say_in_json)
{
	for (size_t i = 0; i < PACKERS; i++) {
		struct poolite__reader reader =
		    poolite__reader_over(examples[i].bytes, examples[i].len);
		json_t *said = json_loads(examples[i].form, 0, NULL);
		json_t *meant = poolite__json(&reader);

		cr_assert(ne(ptr, said, NULL), "%s", examples[i].form);
		cr_assert(ne(ptr, meant, NULL), "%s", examples[i].form);
		cr_assert(json_equal(said, meant), "line %d: %s", examples[i].line,
		    examples[i].form);
		json_decref(said);
		json_decref(meant);
	}
}

Test(examples, are_what_the_code_packs)
{
	for (size_t i = 0; i < PACKERS; i++) {
		struct poolite__buf buf;
		char *got;
		char *want;

		if (!packers[i].pack)
			continue;
		poolite__buf_init(&buf, 4096, NULL);
		packers[i].pack(&buf);
		cr_assert(eq(int, buf.failed, 0));
		got = wire_hex(buf.data, buf.len);
		want = wire_hex(examples[i].bytes, examples[i].len);
		cr_assert_str_eq(got, want);
		free(got);
		free(want);
		poolite__buf_release(&buf);
	}
}

Test(examples, fit_their_buffer_exactly_or_not_at_all)
{
	for (size_t i = 0; i < PACKERS; i++) {
		for (size_t max = 0; packers[i].pack && max <= examples[i].len; max++) {
			struct poolite__budget budget = {.max = max};
			struct poolite__buf buf;

			poolite__buf_init(&buf, max, NULL);
			packers[i].pack(&buf);
			cr_assert(eq(int, buf.failed,
				      max < examples[i].len ? POOLITE_TOO_LARGE : 0),
			    "%s in %zu bytes", examples[i].form, max);
			poolite__buf_release(&buf);

			poolite__buf_init(&buf, 4096, &budget);
			packers[i].pack(&buf);
			cr_assert(eq(int, buf.failed,
				      max < examples[i].len ? POOLITE_OVERLOADED : 0),
			    "%s with %zu bytes left", examples[i].form, max);
			poolite__buf_release(&buf);
			cr_assert(eq(sz, budget.used, 0));
		}
	}
}

/* Read a message as who receives it does, whatever it is. */
static int receive(bool is_client, const uint8_t *bytes, size_t len)
{
	struct poolite__failure failure;
	struct poolite__request request;
	struct poolite__answer answer;
	bool has_msgid;

	if (!is_client)
		return poolite__read_answer(bytes, len, &answer);
	if (poolite__read_request(bytes, len, &request, &has_msgid, &failure))
		return POOLITE_BAD_REQUEST;
	return request.is_notification && request.method == POOLITE__METHOD_UNKNOWN
	    ? 0
	    : poolite__read_params(&request, &failure);
}

Test(examples, are_understood)
{
	for (size_t i = 0; i < PACKERS; i++) {
		struct wire_guarded guarded =
		    wire_guard(examples[i].bytes, examples[i].len);

		cr_assert(
		    eq(int,
			receive(examples[i].is_client, guarded.bytes, examples[i].len),
			0),
		    "%s", examples[i].form);
		wire_unguard(&guarded);
	}
}

/* The scanner keeps such bytes away; should they come all the same, they are refused or
 * read without a touch behind their end. */
Test(examples, that_are_cut_off_or_changed_do_no_harm)
{
	for (size_t i = 0; i < PACKERS; i++) {
		for (size_t at = 0; at < examples[i].len; at++) {
			struct wire_guarded part = wire_guard(examples[i].bytes, at);
			struct wire_guarded all =
			    wire_guard(examples[i].bytes, examples[i].len);

			receive(examples[i].is_client, part.bytes, at);
			for (unsigned byte = 0; byte < 256; byte += 5) {
				all.bytes[at] = (uint8_t)(all.bytes[at] + 5);
				receive(
				    examples[i].is_client, all.bytes, examples[i].len);
				receive(
				    !examples[i].is_client, all.bytes, examples[i].len);
			}
			wire_unguard(&part);
			wire_unguard(&all);
		}
	}
}

/* Requests */

/* A message made of JSON, read as a request. */
struct sent {
	struct poolite__buf buf;
	struct poolite__request request;
	struct poolite__failure failure;
	bool has_msgid;
	int rc; /* of the envelope */
};

static void send_json(struct sent *sent, const char *json)
{
	poolite__buf_init(&sent->buf, 1 << 16, NULL);
	wire_pack_json(&sent->buf, json);
	sent->rc = poolite__read_request(sent->buf.data, sent->buf.len, &sent->request,
	    &sent->has_msgid, &sent->failure);
}

static void sent_release(struct sent *sent)
{
	poolite__buf_release(&sent->buf);
}

Test(request, has_the_method_and_params_it_was_sent_with)
{
	struct sent sent;

	send_json(&sent, "[0, 4294967295, 'ping', []]");
	cr_assert(eq(int, sent.rc, 0));
	cr_assert(sent.has_msgid);
	cr_assert(not(sent.request.is_notification));
	cr_assert(eq(u32, sent.request.msgid, UINT32_MAX));
	cr_assert(eq(int, (int)sent.request.method, POOLITE__PING));
	cr_assert(eq(u32, sent.request.params_count, 0));
	sent_release(&sent);
}

Test(request, knows_every_method_by_its_name)
{
	for (unsigned i = 0; i < POOLITE__METHOD_COUNT; i++) {
		struct sent sent;
		char json[64];

		snprintf(json, sizeof json, "[0, 1, '%s', []]", poolite__method_name(i));
		send_json(&sent, json);
		cr_assert(eq(int, (int)sent.request.method, (int)i));
		sent_release(&sent);
	}
	cr_assert_str_eq(poolite__method_name(POOLITE__METHOD_UNKNOWN), "unknown");
}

Test(request, may_name_its_method_in_bin)
{
	struct poolite__request request;
	uint8_t bytes[32];
	size_t len = wire_unhex("94 00 01 c4 04 70696e67 90", bytes);
	bool has_msgid;

	cr_assert(
	    eq(int, poolite__read_request(bytes, len, &request, &has_msgid, NULL), 0));
	cr_assert(eq(int, (int)request.method, POOLITE__PING));
}

Test(request, of_a_wrong_shape_is_refused_and_answered_if_it_has_a_msgid)
{
	static const struct {
		const char *json;
		bool has_msgid;
		const char *says;
	} table[] = {
	    {"7", false, "a message is"},
	    {"'ping'", false, "a message is"},
	    {"null", false, "a message is"},
	    {"{}", false, "a message is"},
	    {"[]", false, "a message is"},
	    {"['0', 1, 'ping', []]", false, "a message is"},
	    {"[3, 1, 'ping', []]", false, "a message is"},
	    {"[-1, 1, 'ping', []]", false, "a message is"},
	    {"[1, 1, null, null]", false, "a message is"},
	    {"[0]", false, "msgid"},
	    {"[0, -1, 'ping', []]", false, "0 to 4294967295"},
	    {"[0, 4294967296, 'ping', []]", false, "0 to 4294967295"},
	    {"[0, 1.0, 'ping', []]", false, "msgid"},
	    {"[0, '1', 'ping', []]", false, "msgid"},
	    {"[0, null, 'ping', []]", false, "msgid"},
	    {"[0, 1]", true, "[0, msgid, method, params]"},
	    {"[0, 1, 'ping']", true, "[0, msgid, method, params]"},
	    {"[0, 1, 'ping', [], {}]", true, "[0, msgid, method, params]"},
	    {"[0, 1, 5, []]", true, "method is not text"},
	    {"[0, 1, null, []]", true, "method is not text"},
	    {"[0, 1, ['ping'], []]", true, "method is not text"},
	    {"[0, 1, 'ping', {}]", true, "not an array"},
	    {"[0, 1, 'ping', null]", true, "not an array"},
	    {"[0, 1, 'query', 'SELECT 1']", true, "not an array"},
	    {"[2, 'x']", false, "notification"},
	    {"[2, 1, 'x', []]", false, "notification"},
	    {"[2, 5, []]", false, "method is not text"},
	    {"[2, 'x', {}]", false, "not an array"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sent sent;

		send_json(&sent, table[i].json);
		cr_assert(eq(int, sent.rc, POOLITE_BAD_REQUEST), "%s", table[i].json);
		cr_assert(
		    eq(int, sent.has_msgid, table[i].has_msgid), "%s", table[i].json);
		cr_assert(ne(ptr, strstr(sent.failure.message, table[i].says), NULL),
		    "%s: %s", table[i].json, sent.failure.message);
		if (table[i].has_msgid)
			cr_assert(eq(u32, sent.request.msgid, 1));
		sent_release(&sent);
	}
}

Test(request, that_is_a_notification_has_no_msgid)
{
	struct sent sent;

	send_json(&sent, "[2, 'cancel', [9]]");
	cr_assert(eq(int, sent.rc, 0));
	cr_assert(sent.request.is_notification);
	cr_assert(not(sent.has_msgid));
	cr_assert(eq(int, (int)sent.request.method, POOLITE__CANCEL));
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u32, sent.request.cancel_msgid, 9));
	sent_release(&sent);
	send_json(&sent, "[2, 'some_client_info', [{}, 2]]");
	cr_assert(eq(int, sent.rc, 0));
	cr_assert(eq(int, (int)sent.request.method, POOLITE__METHOD_UNKNOWN));
	sent_release(&sent);
}

/* Params that are fine */

Test(params, may_be_short_or_skipped)
{
	static const char *const table[] = {
	    "[0, 1, 'ping', []]",
	    "[0, 1, 'ping', [null]]",
	    "[0, 1, 'commit', [null, null]]",
	    "[0, 1, 'rollback', []]",
	    "[0, 1, 'hello', []]",
	    "[0, 1, 'stats', []]",
	    "[0, 1, 'health', []]",
	    "[0, 1, 'query', ['SELECT 1']]",
	    "[0, 1, 'query', ['SELECT 1', null]]",
	    "[0, 1, 'query', ['SELECT 1', null, null]]",
	    "[0, 1, 'query', ['SELECT 1', [], {}]]",
	    "[0, 1, 'query', ['SELECT 1', {}, {'timeout_ms': null}, null]]",
	    "[0, 1, 'update', ['DELETE FROM t', null, {'timeout_ms': 31536000000}]]",
	    "[0, 1, 'batch', ['DELETE FROM t', []]]",
	    "[0, 1, 'batch', ['DELETE FROM t', [[], null, {}], {'timeout_ms': 1}]]",
	    "[0, 1, 'batch', ['DELETE FROM t', [[]], {'chunk_rows': 1}]]",
	    "[0, 1, 'batch', ['DELETE FROM t', [], {'chunk_rows': 1000000}]]",
	    "[0, 1, 'batch', ['DELETE FROM t', [], {'chunk_rows': null}]]",
	    "[0, 1, 'transaction', [[]]]",
	    "[0, 1, 'transaction', [[['SELECT 1'], ['SELECT ?', [1]]], null]]",
	    "[0, 1, 'script', ['']]",
	    "[0, 1, 'script', ['', {'foreign_keys': false, 'timeout_ms': 5}]]",
	    "[0, 1, 'begin', []]",
	    "[0, 1, 'begin', [null]]",
	    "[0, 1, 'begin', [{'mode': 'write', 'on_error': 'continue'}]]",
	    "[0, 1, 'query', ['SELECT 1', null, {'page_rows': 1}]]",
	    "[0, 1, 'query', ['SELECT 1', [], {'page_rows': 1000000, 'timeout_ms': 1}]]",
	    "[0, 1, 'query', ['SELECT 1', [], {'page_rows': null}]]",
	    "[0, 1, 'fetch', [1]]",
	    "[0, 1, 'fetch', [9223372036854775807, null, null]]",
	    "[0, 1, 'fetch', [1, 1000000, {'timeout_ms': 5}]]",
	    "[0, 1, 'close', [1]]",
	    "[0, 1, 'cancel', [0]]",
	    "[0, 1, 'cancel', [4294967295, null, null]]",
	    "[0, 1, 'cancel', [1, 18, '" KEY "']]",
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sent sent;

		send_json(&sent, table[i]);
		cr_assert(eq(int, poolite__read_params(&sent.request, &sent.failure), 0),
		    "%s: %s", table[i], sent.failure.message);
		sent_release(&sent);
	}
}

/* ... and such that are not; each says what is wrong */
Test(params, that_make_no_sense_are_refused_with_a_reason)
{
	static const struct {
		const char *json;
		const char *says;
	} table[] = {
	    {"[0, 1, 'ping', [1]]", "1 parameters are too many for ping"},
	    {"[0, 1, 'commit', [null, {}]]", "2 parameters are too many for commit"},
	    {"[0, 1, 'query', []]", "the SQL is missing"},
	    {"[0, 1, 'query', [null]]", "the SQL is not text"},
	    {"[0, 1, 'query', [5]]", "the SQL is not text"},
	    {"[0, 1, 'query', [['SELECT 1']]]", "the SQL is not text"},
	    {"[0, 1, 'query', ['SELECT\\u0000 1']]", "NUL"},
	    {"[0, 1, 'query', ['SELECT 1', 5]]", "an array, or a map from name to value"},
	    {"[0, 1, 'query', ['SELECT 1', 'x']]",
		"an array, or a map from name to value"},
	    {"[0, 1, 'query', ['SELECT 1', [], []]]", "options are a map"},
	    {"[0, 1, 'query', ['SELECT 1', [], 5]]", "options are a map"},
	    {"[0, 1, 'query', ['SELECT 1', [], {}, 5]]",
		"4 parameters are too many for query"},
	    {"[0, 1, 'update', ['x', [], {'mode': 'read'}]]",
		"there is no option \"mode\" here; options are: timeout_ms"},
	    {"[0, 1, 'query', ['x', [], {'Timeout_ms': 5}]]", "no option \"Timeout_ms\""},
	    {"[0, 1, 'query', ['x', [], {'timeout_ms': 0}]]", "1 to 31536000000"},
	    {"[0, 1, 'query', ['x', [], {'timeout_ms': -1}]]", "1 to 31536000000"},
	    {"[0, 1, 'query', ['x', [], {'timeout_ms': 31536000001}]]",
		"1 to 31536000000"},
	    {"[0, 1, 'query', ['x', [], {'timeout_ms': 1.5}]]", "1 to 31536000000"},
	    {"[0, 1, 'query', ['x', [], {'timeout_ms': '5'}]]", "1 to 31536000000"},
	    {"[0, 1, 'batch', ['x']]", "an array of argument lists"},
	    {"[0, 1, 'batch', ['x', null]]", "an array of argument lists"},
	    {"[0, 1, 'batch', ['x', {}]]", "an array of argument lists"},
	    {"[0, 1, 'batch', ['x', [], {'foreign_keys': true}]]",
		"no option \"foreign_keys\" here; options are: timeout_ms, chunk_rows"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': 0}]]", "chunk_rows is an integer"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': -1}]]", "1 to 1000000"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': 1000001}]]", "1 to 1000000"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': 2.0}]]", "1 to 1000000"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': '5'}]]", "1 to 1000000"},
	    {"[0, 1, 'batch', ['x', [], {'chunk_rows': true}]]", "1 to 1000000"},
	    {"[0, 1, 'update', ['x', [], {'chunk_rows': 5}]]",
		"no option \"chunk_rows\""},
	    {"[0, 1, 'query', ['x', [], {'chunk_rows': 5}]]", "no option \"chunk_rows\""},
	    {"[0, 1, 'transaction', []]", "an array of statements"},
	    {"[0, 1, 'transaction', ['SELECT 1']]", "an array of statements"},
	    {"[0, 1, 'transaction', [[], {'on_error': 'abort'}]]", "no option"},
	    {"[0, 1, 'script', ['x', []]]", "options are a map"},
	    {"[0, 1, 'script', ['x', {'foreign_keys': 0}]]", "true or false"},
	    {"[0, 1, 'script', ['x', {'args': []}]]",
		"there is no option \"args\" here; options are: timeout_ms, foreign_keys"},
	    {"[0, 1, 'begin', ['write']]", "options are a map"},
	    {"[0, 1, 'begin', [{'mode': 'exclusive'}]]", "\"write\" or \"read\""},
	    {"[0, 1, 'begin', [{'mode': true}]]", "\"write\" or \"read\""},
	    {"[0, 1, 'begin', [{'on_error': ''}]]", "\"continue\" or \"abort\""},
	    {"[0, 1, 'begin', [{'x': 1}]]", "options are: timeout_ms, mode, on_error"},
	    {"[0, 1, 'query', ['x', [], {'page_rows': 0}]]", "1 to 1000000"},
	    {"[0, 1, 'query', ['x', [], {'page_rows': 1000001}]]", "1 to 1000000"},
	    {"[0, 1, 'query', ['x', [], {'page_rows': '5'}]]", "1 to 1000000"},
	    {"[0, 1, 'update', ['x', [], {'page_rows': 5}]]", "no option \"page_rows\""},
	    {"[0, 1, 'transaction', [[], {'page_rows': 5}]]", "no option \"page_rows\""},
	    {"[0, 1, 'fetch', []]", "fetch's first parameter is a cursor"},
	    {"[0, 1, 'fetch', [null]]", "fetch's first parameter is a cursor"},
	    {"[0, 1, 'fetch', [0]]", "fetch's first parameter is a cursor"},
	    {"[0, 1, 'fetch', [-1]]", "fetch's first parameter is a cursor"},
	    {"[0, 1, 'fetch', ['1']]", "fetch's first parameter is a cursor"},
	    {"[0, 1, 'fetch', [1, 0]]", "a number of rows, 1 to 1000000"},
	    {"[0, 1, 'fetch', [1, 1000001]]", "a number of rows, 1 to 1000000"},
	    {"[0, 1, 'fetch', [1, {}]]", "a number of rows, 1 to 1000000"},
	    {"[0, 1, 'fetch', [1, 2, 3]]", "options are a map"},
	    {"[0, 1, 'fetch', [1, 2, {'page_rows': 3}]]", "no option"},
	    {"[0, 1, 'fetch', [1, 2, {}, 4]]", "4 parameters are too many for fetch"},
	    {"[0, 1, 'close', []]", "close's first parameter is a cursor"},
	    {"[0, 1, 'close', [1, 2]]", "2 parameters are too many for close"},
	    {"[0, 1, 'cancel', []]", "the msgid"},
	    {"[0, 1, 'cancel', [null]]", "the msgid"},
	    {"[0, 1, 'cancel', [-1]]", "the msgid"},
	    {"[0, 1, 'cancel', [4294967296]]", "the msgid"},
	    {"[0, 1, 'cancel', [1, 5]]", "takes its key too"},
	    {"[0, 1, 'cancel', [1, 5, null]]", "takes its key too"},
	    {"[0, 1, 'cancel', [1, null, '" KEY "']]", "both or neither"},
	    {"[0, 1, 'cancel', [1, 0, '" KEY "']]", "a session"},
	    {"[0, 1, 'cancel', [1, '5', '" KEY "']]", "a session"},
	    {"[0, 1, 'cancel', [1, 5, '0011']]", "32 characters"},
	    {"[0, 1, 'cancel', [1, 5, '" KEY "0']]", "32 characters"},
	    {"[0, 1, 'cancel', [1, 5, 7]]", "32 characters"},
	    {"[0, 1, 'cancel', [1, 5, '" KEY "', 1]]", "too many"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct sent sent;

		send_json(&sent, table[i].json);
		cr_assert(eq(int, sent.rc, 0), "%s", table[i].json);
		cr_assert(eq(int, poolite__read_params(&sent.request, &sent.failure),
			      POOLITE_BAD_REQUEST),
		    "%s", table[i].json);
		cr_assert(ne(ptr, strstr(sent.failure.message, table[i].says), NULL),
		    "%s: %s", table[i].json, sent.failure.message);
		sent_release(&sent);
	}
}

Test(params, of_an_unknown_method_are_not_looked_at)
{
	struct sent sent;

	send_json(&sent, "[0, 1, 'qeury', [{}]]");
	cr_assert(eq(int, sent.rc, 0));
	cr_assert(eq(int, poolite__read_params(&sent.request, &sent.failure),
	    POOLITE_UNKNOWN_METHOD));
	cr_assert_str_eq(sent.failure.message, "there is no method \"qeury\"");
	sent_release(&sent);
}

Test(params, with_an_option_twice_are_refused)
{
	/* [0, 1, "begin", [{"mode": "read", "mode": nil}]] */
	struct poolite__failure failure;
	struct poolite__request request;
	uint8_t bytes[64];
	size_t len = wire_unhex("94 00 01 a5 626567696e 91"
				"82 a4 6d6f6465 a4 72656164 a4 6d6f6465 c0",
	    bytes);
	bool has_msgid;

	cr_assert(
	    eq(int, poolite__read_request(bytes, len, &request, &has_msgid, NULL), 0));
	cr_assert(eq(int, poolite__read_params(&request, &failure), POOLITE_BAD_REQUEST));
	cr_assert_str_eq(failure.message, "option mode is there twice");
}

Test(params, with_sql_that_is_no_utf8_are_refused)
{
	struct poolite__failure failure;
	struct poolite__request request;
	uint8_t bytes[64];
	size_t len = wire_unhex("94 00 01 a5 7175657279 91 a3 27ff27", bytes);
	bool has_msgid;

	cr_assert(
	    eq(int, poolite__read_request(bytes, len, &request, &has_msgid, NULL), 0));
	cr_assert(eq(int, poolite__read_params(&request, &failure), POOLITE_BAD_REQUEST));
	cr_assert_str_eq(failure.message, "the SQL is not UTF-8");
	len = wire_unhex("94 00 01 a5 7175657279 91 c4 01 61", bytes);
	poolite__read_request(bytes, len, &request, &has_msgid, NULL);
	cr_assert(eq(int, poolite__read_params(&request, &failure), POOLITE_BAD_REQUEST));
	cr_assert_str_eq(failure.message, "the SQL is not text");
}

Test(params, with_too_many_arguments_are_too_large)
{
	struct poolite__failure failure;
	struct poolite__request request;
	struct poolite__buf buf;
	msgpack_packer packer;
	bool has_msgid;

	poolite__buf_init(&buf, 1 << 20, NULL);
	poolite__pack_request(&buf, 1, POOLITE__QUERY, 2);
	poolite__packer_init(&packer, &buf);
	poolite__pack_cstr(&packer, "SELECT 1");
	msgpack_pack_array(&packer, POOLITE__ARGS_MAX + 1);
	for (unsigned i = 0; i <= POOLITE__ARGS_MAX; i++)
		msgpack_pack_nil(&packer);
	poolite__read_request(buf.data, buf.len, &request, &has_msgid, NULL);
	cr_assert(eq(int, poolite__read_params(&request, &failure), POOLITE_TOO_LARGE));
	poolite__buf_release(&buf);
}

/* What each method's reader hands on */

Test(params, of_query_are_sql_args_and_options)
{
	struct poolite_value value;
	struct sent sent;
	const char *name;
	size_t len;

	send_json(&sent, "[0, 1, 'query', ['SELECT ?', [5], {'timeout_ms': 70}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(poolite__is_word(sent.request.sql, sent.request.sql_len, "SELECT ?"));
	cr_assert(eq(u32, sent.request.args.count, 1));
	cr_assert(eq(
	    int, poolite__args_next(&sent.request.args, &name, &len, &value, NULL), 1));
	cr_assert(eq(i64, value.as.integer, 5));
	cr_assert(eq(i64, sent.request.options.timeout_ms, 70));
	sent_release(&sent);
}

Test(params, of_batch_are_rows_of_args)
{
	struct poolite__args args;
	struct sent sent;
	uint32_t counts[4];

	send_json(&sent,
	    "[0, 1, 'batch', ['x', [[1, 2], null, {'a': 3}, []], {'timeout_ms': 5, "
	    "'chunk_rows': 3}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u32, sent.request.list_count, 4));
	cr_assert(eq(i64, sent.request.options.timeout_ms, 5));
	cr_assert(eq(u32, sent.request.options.chunk_rows, 3));
	for (int i = 0; i < 4; i++) {
		cr_assert(
		    eq(int, poolite__read_args(&sent.request.list, &args, NULL), 0));
		counts[i] = args.count;
		cr_assert(eq(int, args.is_named, i == 2));
	}
	cr_assert(eq(u32, counts[0], 2));
	cr_assert(eq(u32, counts[1], 0));
	cr_assert(eq(u32, counts[2], 1));
	cr_assert(eq(u32, counts[3], 0));
	sent_release(&sent);
}

Test(params, of_transaction_are_statements)
{
	struct poolite__statement statement;
	struct sent sent;

	send_json(&sent,
	    "[0, 1, 'transaction', [[['a', [1, 2]], ['b'], ['c', null]], {'timeout_ms': 5}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u32, sent.request.list_count, 3));
	cr_assert(eq(i64, sent.request.options.timeout_ms, 5));
	for (int i = 0; i < 3; i++) {
		static const char *const sql[] = {"a", "b", "c"};

		cr_assert(eq(int,
		    poolite__read_transaction_statement(
			&sent.request.list, &statement, NULL),
		    0));
		cr_assert(poolite__is_word(statement.sql, statement.sql_len, sql[i]));
		cr_assert(eq(u32, statement.sent.count, i == 0 ? 2 : 0));
	}
	sent_release(&sent);
}

Test(params, of_transaction_hold_statements_of_one_or_two)
{
	static const char *const table[] = {"[]", "[], 'SELECT 1'", "'SELECT 1'",
	    "['a', [], []]", "[5]", "['a', 5]", "{}", "null", "['a\\u0000b']"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__statement statement;
		struct poolite__reader start;
		struct sent sent;
		char json[128];

		snprintf(json, sizeof json, "[0, 1, 'transaction', [[%s]]]", table[i]);
		send_json(&sent, json);
		cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
		start = sent.request.list;
		cr_assert(eq(int,
			      poolite__read_transaction_statement(
				  &sent.request.list, &statement, &sent.failure),
			      POOLITE_BAD_REQUEST),
		    "%s", table[i]);
		cr_assert(eq(ptr, (void *)start.at, (void *)sent.request.list.at));
		sent_release(&sent);
	}
}

Test(params, of_begin_and_script_are_options)
{
	struct sent sent;

	send_json(&sent,
	    "[0, 1, 'begin', [{'mode': 'read', 'on_error': 'abort', 'timeout_ms': 3}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(sent.request.options.is_read);
	cr_assert(sent.request.options.abort_on_error);
	cr_assert(eq(i64, sent.request.options.timeout_ms, 3));
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'begin', [{'mode': 'write', 'on_error': 'continue'}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(not(sent.request.options.is_read));
	cr_assert(not(sent.request.options.abort_on_error));
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'script', ['a; b', {'foreign_keys': false}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(poolite__is_word(sent.request.sql, sent.request.sql_len, "a; b"));
	cr_assert(sent.request.options.foreign_keys_off);
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'script', ['', {'foreign_keys': true}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(not(sent.request.options.foreign_keys_off));
	sent_release(&sent);
}

Test(params, of_fetch_are_cursor_rows_and_options)
{
	struct sent sent;

	send_json(&sent, "[0, 1, 'fetch', [7]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u64, sent.request.cursor, 7));
	cr_assert(eq(u32, sent.request.options.page_rows, 0));
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'fetch', [7, 30, {'timeout_ms': 4}]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u64, sent.request.cursor, 7));
	cr_assert(eq(u32, sent.request.options.page_rows, 30));
	cr_assert(eq(i64, sent.request.options.timeout_ms, 4));
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'close', [8]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u64, sent.request.cursor, 8));
	sent_release(&sent);
}

Test(params, of_cancel_may_name_another_session)
{
	struct sent sent;

	send_json(&sent, "[0, 1, 'cancel', [5, 77, '" KEY "']]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u32, sent.request.cancel_msgid, 5));
	cr_assert(eq(u64, sent.request.cancel_session, 77));
	cr_assert(zero(int, memcmp(sent.request.cancel_key, KEY, POOLITE__KEY_CHARS)));
	sent_release(&sent);
	send_json(&sent, "[0, 1, 'cancel', [5]]");
	cr_assert(eq(int, poolite__read_params(&sent.request, NULL), 0));
	cr_assert(eq(u64, sent.request.cancel_session, 0));
	cr_assert(eq(ptr, (void *)sent.request.cancel_key, NULL));
	sent_release(&sent);
}

Test(requests, whose_values_are_named_only_in_part_are_not_packed)
{
	struct poolite_value values[4] = {poolite_integer(1), poolite_integer(2),
	    poolite_integer(3), poolite_named("d", poolite_integer(4))};
	struct poolite__statement statement = {
	    .sql = "x", .sql_len = 1, .args = values, .args_count = 4};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 1000, NULL);
	poolite__buf_append(&buf, "before", 6);
	cr_assert(eq(int,
	    poolite__pack_statement(&buf, 1, POOLITE__QUERY, "x", 1, values, 4, NULL),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(int, poolite__pack_batch(&buf, 1, "x", 1, values, 2, 2, NULL),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(int, poolite__pack_transaction(&buf, 1, &statement, 1, NULL),
	    POOLITE_BAD_REQUEST));
	cr_assert(eq(sz, buf.len, 6));
	poolite__buf_release(&buf);
}

/* Answers */

static int read_answer(
    struct poolite__buf *buf, const char *json, struct poolite__answer *answer)
{
	poolite__buf_init(buf, 1 << 16, NULL);
	wire_pack_json(buf, json);
	return poolite__read_answer(buf->data, buf->len, answer);
}

Test(answer, is_a_result_or_an_error)
{
	struct poolite__answer answer;
	struct poolite__buf buf;

	cr_assert(
	    eq(int, read_answer(&buf, "[1, 4294967295, null, 'pong']", &answer), 0));
	cr_assert(not(answer.is_notification));
	cr_assert(eq(u32, answer.msgid, UINT32_MAX));
	cr_assert(eq(int, (int)answer.failure.code, POOLITE_OK));
	cr_assert(eq(int, (int)poolite__reader_kind(&answer.result), POOLITE__STR));
	poolite__buf_release(&buf);
	cr_assert(eq(int,
	    read_answer(&buf, "[1, 5, [-3, 'big', {'done': 'no'}], null]", &answer), 0));
	cr_assert(eq(u32, answer.msgid, 5));
	cr_assert(eq(int, (int)answer.failure.code, POOLITE_TOO_LARGE));
	cr_assert_str_eq(answer.failure.message, "big");
	poolite__buf_release(&buf);
}

Test(answer, may_be_the_notification_that_closes_or_any_other)
{
	struct poolite__answer answer;
	struct poolite__buf buf;

	cr_assert(eq(int,
	    read_answer(&buf, "[2, 'error', [[-13, 'full', {'done': 'no'}]]]", &answer),
	    0));
	cr_assert(answer.is_notification);
	cr_assert(answer.is_closing);
	cr_assert(eq(int, (int)answer.failure.code, POOLITE_OVERLOADED));
	poolite__buf_release(&buf);
	cr_assert(eq(int, read_answer(&buf, "[2, 'weather', [{}]]", &answer), 0));
	cr_assert(answer.is_notification);
	cr_assert(not(answer.is_closing));
	poolite__buf_release(&buf);
}

Test(answer, of_a_wrong_shape_is_refused)
{
	static const char *const table[] = {"7", "[]", "[1]", "[1, 2]", "[1, 2, null]",
	    "[1, 2, null, null, null]", "[0, 2, 'ping', []]", "[3, 2, null, null]",
	    "[1, -1, null, null]", "[1, 4294967296, null, null]", "[1, 'x', null, null]",
	    "[1, 2, 'oops', null]", "[1, 2, [1], null]", "[2, 'error']",
	    "[2, 'error', []]", "[2, 'error', ['x']]", "[2, 5, []]", "[2, 'x', 5]",
	    "[2, 'x', [], 5]"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__answer answer;
		struct poolite__buf buf;

		cr_assert(
		    eq(int, read_answer(&buf, table[i], &answer), POOLITE_BAD_REQUEST),
		    "%s", table[i]);
		poolite__buf_release(&buf);
	}
}

/* Results */

static int read_result(
    struct poolite__buf *buf, const char *json, struct poolite__result *result)
{
	struct poolite__reader reader;
	const uint8_t *start;
	int rc;

	poolite__buf_init(buf, 1 << 16, NULL);
	wire_pack_json(buf, json);
	reader = poolite__reader_over(buf->data, buf->len);
	start = reader.at;
	rc = poolite__read_result(&reader, result);
	cr_assert(
	    eq(ptr, (void *)reader.at, (void *)(rc ? start : reader.end)), "%s", json);
	return rc;
}

Test(result, tells_columns_and_rows)
{
	struct poolite__result result;
	struct poolite_value value;
	struct poolite__buf buf;
	uint32_t columns;
	const char *name;
	size_t len;

	cr_assert(eq(int,
	    read_result(&buf,
		"{'more': [1], 'rows': [[1, 2], [3, 4]], 'columns': ['a', 'b'], 'x': {}}",
		&result),
	    0));
	cr_assert(result.has_rows);
	cr_assert(eq(u32, result.columns_count, 2));
	cr_assert(eq(u32, result.rows_count, 2));
	cr_assert(eq(int, poolite__read_bytes(&result.columns, &name, &len), 0));
	cr_assert(poolite__is_word(name, len, "a"));
	for (int64_t want = 1; want <= 4; want++) {
		if (want % 2) {
			cr_assert(
			    eq(int, poolite__read_array(&result.rows, &columns), 0));
			cr_assert(eq(u32, columns, 2));
		}
		cr_assert(
		    eq(int, poolite__read_value(&result.rows, false, &value, NULL), 0));
		cr_assert(eq(i64, value.as.integer, want));
	}
	cr_assert(eq(i64, result.changes, 0));
	poolite__buf_release(&buf);
}

Test(result, tells_numbers)
{
	struct poolite__result result;
	struct poolite__buf buf;

	cr_assert(eq(int,
	    read_result(
		&buf, "{'changes': 3, 'last_insert_id': -9, 'statements': 4}", &result),
	    0));
	cr_assert(not(result.has_rows));
	cr_assert(eq(i64, result.changes, 3));
	cr_assert(eq(i64, result.last_insert_id, -9));
	cr_assert(eq(i64, result.statements, 4));
	poolite__buf_release(&buf);
	cr_assert(eq(int, read_result(&buf, "{}", &result), 0));
	poolite__buf_release(&buf);
}

Test(result, tells_its_cursor)
{
	struct poolite__result result;
	struct poolite__buf buf;

	cr_assert(eq(int,
	    read_result(&buf, "{'columns': ['a'], 'rows': [[1]], 'cursor': 12}", &result),
	    0));
	cr_assert(eq(u64, result.cursor, 12));
	poolite__buf_release(&buf);
	cr_assert(
	    eq(int, read_result(&buf, "{'columns': ['a'], 'rows': []}", &result), 0));
	cr_assert(eq(u64, result.cursor, 0));
	poolite__buf_release(&buf);
}

Test(result, may_lose_its_last_row)
{
	struct poolite_value value = poolite_integer(5);
	struct poolite__result result;
	struct poolite__reader reader;
	struct poolite__rows rows;
	struct poolite__buf buf;
	size_t len;

	poolite__buf_init(&buf, 40, NULL);
	poolite__rows_open(&rows, &buf, 1);
	poolite__rows_column(&rows, "a");
	poolite__rows_begin(&rows);
	do {
		len = buf.len;
		poolite__rows_next(&rows);
		poolite__pack_value(&buf, &value);
	} while (!buf.failed && buf.max - buf.len >= 16);
	poolite__rows_take_back(&rows, len);
	poolite__rows_close_page(&rows, 3);
	cr_assert(eq(int, buf.failed, 0));
	reader = poolite__reader_over(buf.data, buf.len);
	cr_assert(eq(int, poolite__read_result(&reader, &result), 0));
	cr_assert(eq(u32, result.rows_count, (uint32_t)rows.rows));
	cr_assert(eq(u64, result.cursor, 3));
	poolite__buf_release(&buf);
}

Test(result, of_a_wrong_shape_is_refused)
{
	static const char *const table[] = {"null", "[]", "{'columns': 5, 'rows': []}",
	    "{'columns': [], 'rows': {}}", "{'columns': []}", "{'rows': []}",
	    "{'changes': 'x'}", "{'changes': 1.5}", "{'last_insert_id': null}"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__result result;
		struct poolite__buf buf;

		cr_assert(
		    eq(int, read_result(&buf, table[i], &result), POOLITE_BAD_REQUEST),
		    "%s", table[i]);
		poolite__buf_release(&buf);
	}
}

Test(result, may_have_no_rows_or_no_columns)
{
	for (uint32_t columns = 0; columns <= 20; columns += 20) {
		struct poolite__result result;
		struct poolite__reader reader;
		struct poolite__rows rows;
		struct poolite__buf buf;

		poolite__buf_init(&buf, 1000, NULL);
		poolite__rows_open(&rows, &buf, columns);
		for (uint32_t i = 0; i < columns; i++)
			poolite__rows_column(&rows, "x");
		poolite__rows_begin(&rows);
		poolite__rows_close_written(&rows, 5, 6);
		reader = poolite__reader_over(buf.data, buf.len);
		cr_assert(eq(int, poolite__read_result(&reader, &result), 0));
		cr_assert(result.has_rows);
		cr_assert(eq(u32, result.columns_count, columns));
		cr_assert(eq(u32, result.rows_count, 0));
		cr_assert(eq(i64, result.changes, 5));
		cr_assert(eq(i64, result.last_insert_id, 6));
		poolite__buf_release(&buf);
	}
}

Test(result, may_have_any_number_of_columns)
{
	static const uint32_t widths[] = {1, 15, 16, 17, 2000};

	for (size_t width = 0; width < sizeof widths / sizeof widths[0]; width++) {
		struct poolite_value nothing = poolite_null();
		struct poolite__result result;
		struct poolite__reader reader;
		struct poolite__rows rows;
		struct poolite__buf buf;
		uint32_t columns;

		poolite__buf_init(&buf, 1 << 20, NULL);
		poolite__rows_open(&rows, &buf, widths[width]);
		for (uint32_t i = 0; i < widths[width]; i++)
			poolite__rows_column(&rows, "x");
		poolite__rows_begin(&rows);
		for (int row = 0; row < 3; row++) {
			cr_assert(eq(int, poolite__rows_next(&rows), 0));
			for (uint32_t i = 0; i < widths[width]; i++)
				poolite__pack_value(&buf, &nothing);
		}
		poolite__rows_close(&rows);
		reader = poolite__reader_over(buf.data, buf.len);
		cr_assert(eq(int, poolite__read_result(&reader, &result), 0));
		cr_assert(eq(u32, result.rows_count, 3));
		cr_assert(eq(int, poolite__read_array(&result.rows, &columns), 0));
		cr_assert(eq(u32, columns, widths[width]));
		poolite__buf_release(&buf);
	}
}

Test(result, stands_where_other_bytes_are_before_it)
{
	struct poolite__result result;
	struct poolite__reader reader;
	struct poolite__rows rows;
	struct poolite__buf buf;

	poolite__buf_init(&buf, 1000, NULL);
	poolite__buf_append(&buf, "other answers", 13);
	poolite__rows_open(&rows, &buf, 0);
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__rows_close(&rows);
	reader = poolite__reader_over(buf.data + 13, buf.len - 13);
	cr_assert(eq(int, poolite__read_result(&reader, &result), 0));
	cr_assert(eq(u32, result.rows_count, 1));
	cr_assert(zero(int, memcmp(buf.data, "other answers", 13)));
	poolite__buf_release(&buf);
}

Test(results, are_read_one_after_the_other)
{
	struct poolite__result result;
	struct poolite__reader reader;
	struct poolite__buf buf;
	uint32_t count;

	poolite__buf_init(&buf, 1000, NULL);
	wire_pack_json(&buf, "{'x': [1], 'results': [{'changes': 1}, {'changes': 2}]}");
	reader = poolite__reader_over(buf.data, buf.len);
	cr_assert(eq(int, poolite__read_results(&reader, &count), 0));
	cr_assert(eq(u32, count, 2));
	for (int64_t i = 1; i <= 2; i++) {
		cr_assert(eq(int, poolite__read_result(&reader, &result), 0));
		cr_assert(eq(i64, result.changes, i));
	}
	poolite__buf_release(&buf);
}

Test(results, of_a_wrong_shape_are_refused)
{
	static const char *const table[] = {
	    "null", "{}", "{'results': 5}", "[]", "{'x': 1}"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__reader reader;
		struct poolite__buf buf;
		uint32_t count;

		poolite__buf_init(&buf, 1000, NULL);
		wire_pack_json(&buf, table[i]);
		reader = poolite__reader_over(buf.data, buf.len);
		cr_assert(
		    eq(int, poolite__read_results(&reader, &count), POOLITE_BAD_REQUEST));
		poolite__buf_release(&buf);
	}
}

Test(hello, is_read_back_as_told)
{
	struct poolite__reader reader;
	struct poolite__hello hello;
	struct poolite__buf buf;

	poolite__buf_init(&buf, 1000, NULL);
	poolite__pack_hello_result(&buf, &hello_told);
	reader = poolite__reader_over(buf.data, buf.len);
	cr_assert(eq(int, poolite__read_hello_result(&reader, &hello), 0));
	cr_assert_str_eq(hello.version, hello_told.version);
	cr_assert_str_eq(hello.sqlite, hello_told.sqlite);
	cr_assert_str_eq(hello.key, hello_told.key);
	cr_assert(eq(i64, hello.protocol, 1));
	cr_assert(eq(i64, hello.max_frame_bytes, hello_told.max_frame_bytes));
	cr_assert(eq(i64, hello.max_values, hello_told.max_values));
	cr_assert(eq(i64, hello.max_result_bytes, hello_told.max_result_bytes));
	cr_assert(eq(i64, hello.max_inflight, hello_told.max_inflight));
	cr_assert(eq(u64, hello.session, hello_told.session));
	poolite__buf_release(&buf);
}

static int read_hello(const char *json, struct poolite__hello *hello)
{
	struct poolite__reader reader;
	struct poolite__buf buf;
	int rc;

	poolite__buf_init(&buf, 1000, NULL);
	wire_pack_json(&buf, json);
	reader = poolite__reader_over(buf.data, buf.len);
	rc = poolite__read_hello_result(&reader, hello);
	poolite__buf_release(&buf);
	return rc;
}

Test(hello, may_tell_less_or_more)
{
	struct poolite__hello hello;

	cr_assert(eq(int, read_hello("{}", &hello), 0));
	cr_assert_str_eq(hello.version, "");
	cr_assert(eq(i64, hello.max_inflight, 0));
	cr_assert(eq(int,
	    read_hello("{'new': [{}], 'limits': {'max_x': 1, 'max_values': 5}}", &hello),
	    0));
	cr_assert(eq(i64, hello.max_values, 5));
}

Test(hello, of_a_wrong_shape_is_refused)
{
	static const char *const table[] = {"null", "{'limits': 5}", "{'version': 1}",
	    "{'version': '01234567890123456789012345678901'}", "{'key': '" KEY "0'}",
	    "{'session': -1}", "{'limits': {'max_values': 'x'}}"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__hello hello;

		cr_assert(eq(int, read_hello(table[i], &hello), POOLITE_BAD_REQUEST),
		    "%s", table[i]);
	}
}

Test(cancel, answers_yes_or_no)
{
	for (int was_there = 0; was_there < 2; was_there++) {
		struct poolite__reader reader;
		struct poolite__buf buf;
		bool got;

		poolite__buf_init(&buf, 10, NULL);
		poolite__pack_cancel_result(&buf, was_there);
		reader = poolite__reader_over(buf.data, buf.len);
		cr_assert(eq(int, poolite__read_cancel_result(&reader, &got), 0));
		cr_assert(eq(int, got, was_there));
		poolite__buf_release(&buf);
	}
}

Test(cancel, without_a_session_has_the_msgid_alone)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	cr_assert(eq(int, poolite__pack_cancel(&buf, 1, 2, 0, NULL), 0));
	cr_assert(eq(u8, buf.data[buf.len - 2], 0x91));
	cr_assert(eq(u8, buf.data[buf.len - 1], 2));
	poolite__buf_release(&buf);
}

Test(options, are_left_out_when_they_are_the_defaults)
{
	struct poolite__options options = {0};
	struct poolite__buf with;
	struct poolite__buf without;

	poolite__buf_init(&with, 100, NULL);
	poolite__buf_init(&without, 100, NULL);
	poolite__pack_statement(&with, 1, POOLITE__QUERY, "x", 1, NULL, 0, &options);
	poolite__pack_statement(&without, 1, POOLITE__QUERY, "x", 1, NULL, 0, NULL);
	cr_assert(eq(sz, with.len, without.len));
	cr_assert(eq(int, poolite__pack_options(&with, NULL), 0));
	cr_assert(eq(u8, with.data[with.len - 1], 0x80));
	poolite__buf_release(&with);
	poolite__buf_release(&without);
}

Test(options, without_arguments_are_sent_behind_a_nil)
{
	struct poolite__options options = {.timeout_ms = 9};
	struct poolite__request request;
	struct poolite__buf buf;
	bool has_msgid;

	poolite__buf_init(&buf, 100, NULL);
	poolite__pack_statement(&buf, 1, POOLITE__UPDATE, "x", 1, NULL, 0, &options);
	poolite__read_request(buf.data, buf.len, &request, &has_msgid, NULL);
	cr_assert(eq(int, poolite__read_params(&request, NULL), 0));
	cr_assert(eq(u32, request.args.count, 0));
	cr_assert(eq(i64, request.options.timeout_ms, 9));
	poolite__buf_release(&buf);
}
