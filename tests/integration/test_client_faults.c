/* libpoolite when the broker gives no answer, a wrong one, or a late one: what a
 * call says then, and what it does not send twice.
 */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/support/fake_broker.h"

static struct fake_broker broker;
static struct poolite *db;
static struct poolite_error error;

static void set_up(void)
{
	fake_broker_init(&broker);
	cr_assert_eq(
	    poolite_open(broker.path, NULL, &db, &error), 0, "%s", error.message);
}

static void tear_down(void)
{
	poolite_close(db);
	if (broker.listen_fd >= 0)
		fake_broker_stop(&broker);
	fake_broker_release(&broker);
}

TestSuite(client_faults, .init = set_up, .fini = tear_down, .timeout = 60);

static void open_again(int request_ms, int grace_ms, int connect_ms)
{
	struct poolite_options options = {.request_timeout_ms = request_ms,
	    .answer_grace_ms = grace_ms,
	    .connect_timeout_ms = connect_ms};

	poolite_close(db);
	cr_assert_eq(
	    poolite_open(broker.path, &options, &db, &error), 0, "%s", error.message);
}

static void expect(int code, enum poolite_code expected, enum poolite_outcome outcome)
{
	cr_assert_eq(code, expected, "%s instead of %s: %s", poolite_code_name(code),
	    poolite_code_name(expected), error.message);
	cr_assert_eq(error.code, code);
	cr_assert_eq(error.outcome, outcome, "%s", error.message);
	cr_assert_neq(error.message[0], '\0');
}

static int update(void)
{
	return poolite_update(
	    db, "INSERT", POOLITE_ARGS(poolite_integer(1)), NULL, &error);
}

static int query(void)
{
	struct poolite_result *result;
	int code = poolite_query(db, "SELECT", POOLITE_NO_ARGS, &result, &error);

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
		expect(query(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	}
	cr_assert_eq(atomic_load(&broker.requests),
	    2 * (int)(sizeof tricks / sizeof *tricks), "none was sent twice");
}

Test(client_faults, without_an_answer_a_harmless_request_did_nothing)
{
	static const struct {
		enum trick trick;
		enum poolite_code code;
	} cases[] = {
	    {HANG_UP, POOLITE_NO_BROKER},
	    {HALF_AN_ANSWER, POOLITE_NO_BROKER},
	    {NO_MESSAGEPACK, POOLITE_INTERNAL},
	    {WRONG_MSGID, POOLITE_INTERNAL},
	    {ENDLESS_HEADER, POOLITE_TOO_LARGE},
	    {GOOD_BYE, POOLITE_SHUTTING_DOWN},
	};
	enum trick trick;

	start_trickster(&trick);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		trick = cases[i].trick;
		expect(poolite_ping(db, &error), cases[i].code, POOLITE_DONE_NO);
	}
	cr_assert_eq(atomic_load(&broker.requests), (int)(sizeof cases / sizeof *cases),
	    "a new connection that ends is not tried again");
}

Test(client_faults, a_closing_notification_is_the_answer)
{
	enum trick trick = GOOD_BYE;

	start_trickster(&trick);
	expect(update(), POOLITE_SHUTTING_DOWN, POOLITE_DONE_NO);
	cr_assert_str_eq(error.message, "the broker is stopping");
	cr_assert_eq(atomic_load(&broker.requests), 1);
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
	open_again(10, 10, 5000);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(update(), POOLITE_OUTCOME_UNKNOWN, POOLITE_DONE_UNKNOWN);
	expect(poolite_ping(db, &error), POOLITE_QUERY_TIMEOUT, POOLITE_DONE_NO);
	cr_assert_eq(atomic_load(&broker.connections), 3);
	cr_assert_eq(atomic_load(&broker.requests), 3);
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
	open_again(10, 10, 5000);
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
		cr_assert_eq(query(), 0, "%s", error.message);
	}
	cr_assert_eq(atomic_load(&broker.connections), 1);
}
