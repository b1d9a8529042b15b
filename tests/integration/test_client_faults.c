/* libpoolite when the broker gives no answer, a wrong one, or a late one: what a
 * call says then, and what it does not send twice.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/verb.h"
#include "tests/support/check.h"
#include "tests/support/client.h"
#include "tests/support/direct.h"
#include "tests/support/fake_broker.h"

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;

static void set_up(void)
{
	fake_broker_init(&broker);
	client_open(&db, broker.path, NULL);
}

static void tear_down(void)
{
	poolite_close(db);
	fake_broker_end(&broker);
}

TestSuite(client_faults, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect(int code, enum poolite_code expected, enum poolite_outcome outcome)
{
	CHECK_ERROR(code, &error, expected, outcome);
}

static int update(void)
{
	return poolite_update(
	    db, "INSERT", POOLITE_ARGS(poolite_integer(1)), NULL, &error);
}

static int query(const char *sql)
{
	struct poolite_result *result;
	int code = poolite_query(db, sql, POOLITE_NO_ARGS, &result, &error);

	cr_assert_eq(code != 0, result == NULL);
	poolite_result_free(result);
	return code;
}

/* ---- no answer, or none that is one -------------------------------------- */

/* What to do with each request instead of answering it. */
enum trick {
	HANG_UP,
	HALF_AN_ANSWER,
	NO_MESSAGEPACK,
	NO_ANSWER_BUT_MESSAGEPACK,
	WRONG_MSGID,
	ENDLESS_HEADER,
	GOOD_BYE,
	GOOD_BYE_WITHOUT_REASON,
};

static void play_trick(
    struct fake_broker *self, int fd, const struct fake_request *request)
{
	static const uint8_t huge[] = {0xdb, 0xff, 0xff, 0xff, 0xff};
	struct fake_request other = *request;
	struct poolite__buf buf;

	switch (*(enum trick *)self->context) {
	case HANG_UP: break;
	case HALF_AN_ANSWER:
		poolite__buf_init(&buf, 4096, NULL);
		fake_pack_answer(&buf, self, request);
		fake_send(fd, buf.data, buf.len - 1);
		poolite__buf_release(&buf);
		break;
	case NO_MESSAGEPACK: fake_send(fd, "\xc1\xc1", 2); break;
	case NO_ANSWER_BUT_MESSAGEPACK: fake_send(fd, "\x91\x01", 2); break;
	case WRONG_MSGID:
		other.request.msgid++;
		fake_answer(self, fd, &other);
		break;
	case ENDLESS_HEADER: fake_send(fd, huge, sizeof huge); break;
	case GOOD_BYE:
		fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "the broker is stopping");
		break;
	case GOOD_BYE_WITHOUT_REASON:
		fake_send(fd,
		    "\x93\x02\xa5"
		    "error\x90",
		    9);
		break;
	}
}

/* Answer begin, and play the trick on everything else, once per connection. */
static void trickster(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		while (fake_read(self, fd, &request)) {
			bool is_begin = request.request.method == POOLITE__BEGIN;

			if (is_begin)
				fake_answer(self, fd, &request);
			else
				play_trick(self, fd, &request);
			fake_request_release(&request);
			if (!is_begin)
				break;
		}
		close(fd);
	}
}

static void start_trickster(enum trick *trick)
{
	broker.context = trick;
	fake_broker_start(&broker, trickster);
}

Test(client_faults, without_an_answer_the_outcome_of_a_write_is_unknown)
{
	static enum trick tricks[] = {HANG_UP, HALF_AN_ANSWER, NO_MESSAGEPACK,
	    NO_ANSWER_BUT_MESSAGEPACK, WRONG_MSGID, ENDLESS_HEADER,
	    GOOD_BYE_WITHOUT_REASON};
	enum trick trick;

	start_trickster(&trick);
	for (size_t i = 0; i < sizeof tricks / sizeof *tricks; i++) {
		trick = tricks[i];
		expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
		expect(query("INSERT RETURNING"), POOLITE_OUTCOME_UNKNOWN,
		    POOLITE_DONE_UNKNOWN);
	}
	cr_assert_eq(atomic_load(&broker.requests),
	    2 * (int)(sizeof tricks / sizeof *tricks), "none was sent twice");
}

Test(client_faults, without_an_answer_a_read_or_a_ping_did_nothing)
{
	static const struct {
		enum trick trick;
		enum poolite_code code;
		int sent; /* again only when the connection was lost, and at most twice */
	} cases[] = {
	    {HANG_UP, POOLITE_NO_BROKER, 3},
	    {HALF_AN_ANSWER, POOLITE_NO_BROKER, 3},
	    {NO_MESSAGEPACK, POOLITE_INTERNAL, 1},
	    {WRONG_MSGID, POOLITE_INTERNAL, 1},
	    {ENDLESS_HEADER, POOLITE_TOO_LARGE, 1},
	    {GOOD_BYE, POOLITE_SHUTTING_DOWN, 3},
	};
	enum trick trick;

	start_trickster(&trick);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		trick = cases[i].trick;
		atomic_store(&broker.requests, 0);
		expect(poolite_ping(db, &error), cases[i].code, POOLITE_DONE_NO);
		expect(query("SELECT"), cases[i].code, POOLITE_DONE_NO);
		CHECK_EQ(atomic_load(&broker.requests), 2 * cases[i].sent);
	}
}

Test(client_faults, a_closing_notification_is_the_answer)
{
	enum trick trick = GOOD_BYE;

	start_trickster(&trick);
	expect(update(), POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
	cr_assert_str_eq(error.message, "the broker is stopping");
	cr_assert_eq(atomic_load(&broker.requests), 1);
}

/* Hang up on the first *context requests, and answer those behind. */
static void answer_late(struct fake_broker *self)
{
	int *left = self->context;
	struct fake_request request;
	int fd;

	while (*left > 0 && (fd = fake_accept(self)) >= 0) {
		fake_read(self, fd, &request);
		fake_request_release(&request);
		close(fd);
		--*left;
	}
	fake_serve(self);
}

Test(client_faults, a_read_is_sent_again_when_its_connection_is_lost)
{
	int left = 2;

	broker.context = &left;
	fake_broker_start(&broker, answer_late);
	CHECK_OK(query("SELECT"), &error);
	CHECK_EQ(atomic_load(&broker.requests), 3);
}

/* Read one request, and be gone for good. */
static void leave(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_request_release(&request);
	unlink(self->path);
	close(fd);
}

Test(client_faults, a_read_whose_broker_does_not_come_back_says_that_nothing_was_done)
{
	client_open_hasty(&db, broker.path, 0, 0, 20);
	fake_broker_start(&broker, leave);
	expect(query("SELECT"), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	CHECK_HAS(error.message, "the connection was lost before the answer came");
	CHECK_HAS(error.message, "nothing was done");
	CHECK_HAS(error.message, "no such file");
}

/* Hang up on the first request, and never answer the second. */
static void fall_silent(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_request_release(&request);
	close(fd);
	fd = fake_accept(self);
	while (fake_read(self, fd, &request))
		fake_request_release(&request);
	close(fd);
}

Test(client_faults, a_read_that_is_sent_again_keeps_its_deadline)
{
	double started = check_seconds();

	client_open_hasty(&db, broker.path, 200, 1, 30000);
	fake_broker_start(&broker, fall_silent);
	expect(query("SELECT"), POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	CHECK_EQ(atomic_load(&broker.requests), 2);
	CHECK(check_seconds() - started < 20, "not the time it has to connect");
}

Test(client_faults, only_texts_that_cannot_write_count_as_reads)
{
	static const struct {
		const char *sql;
		bool is_read;
	} cases[] = {
	    {"SELECT 1", true},
	    {"select*from t", true},
	    {"VALUES(1)", true},
	    {" \t\n;; -- SELECT\n/* a */ /**/Select 1", true},
	    {"/*/ INSERT */ SELECT 1", true},
	    {"INSERT INTO t VALUES (1) RETURNING x", false},
	    {"-- SELECT\rINSERT\nDELETE FROM t", false},
	    {"/* SELECT */ DELETE FROM t", false},
	    {"WITH c AS (SELECT 1) INSERT INTO t SELECT * FROM c", false},
	    {"WITH c AS (SELECT 1) SELECT * FROM c", false},
	    {"EXPLAIN SELECT 1", false},
	    {"PRAGMA user_version = 1", false},
	    {"SELECTED", false},
	    {"SELECT$", false},
	    {"values\303\244", false},
	    {"\"SELECT\" 1", false},
	    {"/* SELECT 1", false},
	    {"--", false},
	    {"", false},
	};
	sqlite3 *sqlite;

	CHECK_EQ(sqlite3_open(":memory:", &sqlite), SQLITE_OK);
	direct_run(sqlite, "CREATE TABLE t(x)");
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		sqlite3_stmt *statement;

		CHECK(poolite__is_read(cases[i].sql) == cases[i].is_read, "%s",
		    cases[i].sql);
		if (!cases[i].is_read)
			continue;
		CHECK_EQ(sqlite3_prepare_v2(sqlite, cases[i].sql, -1, &statement, NULL),
		    SQLITE_OK);
		CHECK(sqlite3_stmt_readonly(statement) &&
			sqlite3_column_count(statement) == 1,
		    "%s", cases[i].sql);
		sqlite3_finalize(statement);
	}
	sqlite3_close(sqlite);
}

/* Answer the first request, and say good-bye to the second. */
static void part_at_the_second(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	fake_read(self, fd, &request);
	fake_answer(self, fd, &request);
	fake_request_release(&request);
	fake_read(self, fd, &request);
	fake_good_bye(fd, POOLITE_SHUTTING_DOWN, "bye");
	fake_request_release(&request);
	close(fd);
	fake_serve(self);
}

Test(client_faults, a_write_is_not_sent_again_after_a_good_bye_and_a_ping_is)
{
	fake_broker_start(&broker, part_at_the_second);
	cr_assert_eq(update(), 0);
	expect(update(), POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.requests), 2);
	poolite_close(db);
	db = NULL;
	fake_broker_stop(&broker);
	cr_assert_eq(poolite_open(broker.path, NULL, &db, &error), 0);
	fake_broker_start(&broker, part_at_the_second);
	cr_assert_eq(update(), 0);
	cr_assert_eq(poolite_ping(db, &error), 0, "%s", error.message);
	cr_assert_eq(atomic_load(&broker.requests), 5);
}

Test(client_faults, inside_a_transaction_a_lost_broker_means_a_rollback)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(
	    poolite_begin(db, POOLITE_WRITE, &tx, &error), 0, "%s", error.message);
	expect(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(poolite_tx_update(tx, "x", POOLITE_NO_ARGS, NULL, &error),
	    POOLITE_NO_BROKER, POOLITE_DONE_NO);
	expect(poolite_tx_commit(tx, &error), POOLITE_NO_BROKER, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.requests), 2, "begin and one update");
}

Test(client_faults, a_commit_without_an_answer_is_unknown)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	expect(
	    poolite_tx_commit(tx, &error), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	cr_assert_eq(poolite_begin(db, POOLITE_READ, &tx, &error), 0);
	expect(poolite_tx_commit(tx, &error), POOLITE_NO_BROKER, POOLITE_DONE_NO);
}

Test(client_faults, a_rollback_without_an_answer_is_one)
{
	enum trick trick = HANG_UP;
	struct poolite_tx *tx;

	start_trickster(&trick);
	cr_assert_eq(poolite_begin(db, POOLITE_WRITE, &tx, &error), 0);
	cr_assert_eq(poolite_tx_rollback(tx, &error), 0);
}

/* ---- late ---------------------------------------------------------------- */

/* Answer nothing; then, once the client has hung up, go on to the next. */
static void silent(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		while (fake_read(self, fd, &request))
			fake_request_release(&request);
		close(fd);
	}
}

Test(client_faults, a_late_answer_is_none_and_its_socket_is_not_used_again)
{
	fake_broker_start(&broker, silent);
	client_open_hasty(&db, broker.path, 10, 10, 5000);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(poolite_ping(db, &error), POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	expect(query("SELECT"), POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.connections), 4);
	cr_assert_eq(atomic_load(&broker.requests), 4);
}

/* Read nothing at all. */
static void deaf(struct fake_broker *self)
{
	int fd = fake_accept(self);

	while (fake_accept(self) >= 0)
		;
	close(fd);
}

Test(client_faults, a_request_the_broker_does_not_take_was_not_carried_out)
{
	size_t len = (size_t)8 << 20;
	char *blob = calloc(1, len);

	fake_broker_start(&broker, deaf);
	client_open_hasty(&db, broker.path, 10, 10, 5000);
	expect(poolite_update(
		   db, "INSERT", POOLITE_ARGS(poolite_blob(blob, len)), NULL, &error),
	    POOLITE_POOL_TIMEOUT, POOLITE_DONE_NO);
	free(blob);
}

/* An answer in single bytes. */
static void slow(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;

	while (fake_read(self, fd, &request)) {
		struct poolite__buf buf;

		poolite__buf_init(&buf, 4096, NULL);
		fake_send(fd, "\x93\x02\xa6", 3); /* an unknown notification first */
		fake_send(fd, "gossip\x90", 7);
		fake_pack_answer(&buf, self, &request);
		for (size_t i = 0; i < buf.len; i++)
			fake_send(fd, buf.data + i, 1);
		poolite__buf_release(&buf);
		fake_request_release(&request);
	}
	close(fd);
}

Test(client_faults, answers_come_in_any_pieces_and_gossip_is_ignored)
{
	fake_broker_start(&broker, slow);
	for (int i = 0; i < 100; i++) {
		cr_assert_eq(update(), 0, "%s", error.message);
		cr_assert_eq(query("SELECT"), 0, "%s", error.message);
	}
	cr_assert_eq(atomic_load(&broker.connections), 1);
}
