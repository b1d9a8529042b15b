#include "tests/fuzz/session/peer.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/hello.h"
#include "proto/statement.h"

static const struct poolite__limits answer_limits = {
    .frame_bytes_max = 2 << 20, .values_max = UINT32_MAX};

void peer_open(struct peer *peer, struct house *house)
{
	memset(peer, 0, sizeof *peer);
	peer->house = house;
	peer->fd = house_connect(house);
	poolite__buf_init(&peer->sent, SIZE_MAX / 4, NULL);
	poolite__buf_init(&peer->out, SIZE_MAX / 4, NULL);
	poolite__buf_init(&peer->in, SIZE_MAX / 4, NULL);
	poolite__buf_init(&peer->answers, SIZE_MAX / 4, NULL);
}

void peer_release(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	poolite__buf_release(&peer->sent);
	poolite__buf_release(&peer->out);
	poolite__buf_release(&peer->in);
	poolite__buf_release(&peer->answers);
}

/* ---- sending ----------------------------------------------------------------------- */

void peer_flush(struct peer *peer)
{
	size_t done = 0;

	if (peer->is_half_closed || peer->was_closed)
		poolite__buf_truncate(&peer->out, 0);
	while (done < peer->out.len) {
		ssize_t sent = send(
		    peer->fd, peer->out.data + done, peer->out.len - done, MSG_NOSIGNAL);

		if (sent < 0 && errno == EAGAIN) {
			/* The socket is full: let the broker take some, while answers come. */
			house_turn(peer->house);
			peer->is_deaf = false;
			if (!peer_read(peer))
				house_elapse(peer->house, 10);
			continue;
		}
		if (sent <= 0)
			break; /* it has closed */
		poolite__buf_append(&peer->sent, peer->out.data + done, (size_t)sent);
		done += (size_t)sent;
	}
	poolite__buf_truncate(&peer->out, 0);
}

void peer_half_close(struct peer *peer)
{
	if (peer->was_closed || peer->is_half_closed)
		return;
	shutdown(peer->fd, SHUT_WR);
	peer->is_half_closed = true;
}

void peer_close(struct peer *peer)
{
	if (peer->was_closed)
		return;
	close(peer->fd);
	peer->fd = -1;
	peer->was_closed = peer->saw_end = true;
}

/* ---- receiving ---------------------------------------------------------------------- */

/* What later steps may want to use. */
static void learn(struct peer *peer, struct poolite__reader result)
{
	struct poolite__reader at = result;
	struct poolite__result rows;
	struct poolite__hello hello;

	if (poolite__reader_kind(&result) != POOLITE__MAP)
		return;
	if (poolite__read_result(&at, &rows) == 0 && rows.cursor)
		peer->cursors[peer->cursors_count++ % PEER_CURSORS] = rows.cursor;
	at = result;
	if (poolite__read_hello_result(&at, &hello) == 0 && hello.session) {
		peer->session = hello.session;
		memcpy(peer->key, hello.key, sizeof peer->key);
	}
}

static void take(struct peer *peer, const uint8_t *message, size_t len)
{
	struct poolite__answer answer;
	struct peer_answer noted;

	assert(!peer->farewell); /* that is the last thing it says */
	assert(poolite__read_answer(message, len, &answer) == 0);
	/* Nothing fails here but what clients do wrong. */
	assert(answer.failure.code != POOLITE_INTERNAL && !answer.failure.is_unknown);
	assert(answer.failure.code != POOLITE_STORAGE &&
	    answer.failure.code != POOLITE_CORRUPT &&
	    answer.failure.code != POOLITE_BUSY);
	if (answer.is_notification) {
		assert(answer.is_closing);
		peer->farewell = answer.failure.code;
		return;
	}
	if (answer.failure.code == POOLITE_OK) {
		struct poolite__reader at = answer.result;

		learn(peer, answer.result);
		assert(poolite__skip(&at) == 0 && at.at == at.end);
	}
	noted = (struct peer_answer){answer.msgid, answer.failure.code};
	poolite__buf_append(&peer->answers, &noted, sizeof noted);
}

static void take_whole(struct peer *peer)
{
	size_t done = 0;

	for (;;) {
		ssize_t len = poolite__scan_next(&peer->scan, peer->in.data + done,
		    peer->in.len - done, &answer_limits);

		assert(len >= 0);
		if (len == 0)
			break;
		take(peer, peer->in.data + done, (size_t)len);
		memset(&peer->scan, 0, sizeof peer->scan);
		done += (size_t)len;
		if (done == peer->in.len)
			break;
	}
	poolite__buf_consume(&peer->in, done);
}

bool peer_read(struct peer *peer)
{
	bool got_some = false;

	while (!peer->saw_end && !peer->is_deaf) {
		ssize_t got;

		assert(poolite__buf_reserve(&peer->in, 16384) == 0);
		got = recv(peer->fd, peer->in.data + peer->in.len, 16384, 0);
		if (got < 0 && errno == EAGAIN)
			break;
		got_some = true;
		/* It may close while we still send: a reset, after what it wrote. */
		assert(got >= 0 || errno == ECONNRESET);
		if (got <= 0) {
			peer->saw_end = true;
			break;
		}
		peer->in.len += (size_t)got;
		take_whole(peer);
	}
	return got_some;
}

size_t peer_answers(const struct peer *peer)
{
	return peer->answers.len / sizeof(struct peer_answer);
}

int peer_code(const struct peer *peer, uint32_t msgid)
{
	const struct peer_answer *answers = (const void *)peer->answers.data;

	for (size_t i = 0; i < peer_answers(peer); i++)
		if (answers[i].msgid == msgid)
			return answers[i].code;
	return 1;
}

/* ---- what must come back --------------------------------------------------------------- */

/* The msgids of all requests that were sent, up to what breaks the session. */
static void expect(const struct peer *peer, struct poolite__buf *msgids, bool *is_broken)
{
	const struct poolite__limits *limits = &peer->house->broker->sessions.limits;
	size_t at = 0;

	*is_broken = false;
	while (at < peer->sent.len) {
		struct poolite__scan scan = {0};
		struct poolite__request request;
		bool has_msgid;
		ssize_t len = poolite__scan_next(
		    &scan, peer->sent.data + at, peer->sent.len - at, limits);
		int rc;

		*is_broken = len < 0;
		if (len <= 0)
			return;
		rc = poolite__read_request(
		    peer->sent.data + at, (size_t)len, &request, &has_msgid, NULL);
		*is_broken = rc && !has_msgid;
		if (*is_broken)
			return;
		if (has_msgid)
			poolite__buf_append(msgids, &request.msgid, sizeof request.msgid);
		at += (size_t)len;
	}
}

size_t peer_expected(const struct peer *peer)
{
	struct poolite__buf msgids;
	bool is_broken;
	size_t count;

	poolite__buf_init(&msgids, SIZE_MAX / 4, NULL);
	expect(peer, &msgids, &is_broken);
	count = msgids.len / sizeof(uint32_t);
	poolite__buf_release(&msgids);
	return count;
}

static int compare(const void *a, const void *b)
{
	uint32_t left = *(const uint32_t *)a, right = *(const uint32_t *)b;

	return left < right ? -1 : left > right;
}

void peer_check(const struct peer *peer)
{
	const struct peer_answer *answers = (const void *)peer->answers.data;
	size_t count = peer_answers(peer);
	struct poolite__buf wanted, got;
	bool is_broken;

	if (peer->was_closed || (peer->was_deaf && peer->house->has_elapsed))
		return;
	assert(peer->saw_end && peer->in.len == 0);
	poolite__buf_init(&wanted, SIZE_MAX / 4, NULL);
	poolite__buf_init(&got, SIZE_MAX / 4, NULL);
	expect(peer, &wanted, &is_broken);
	for (size_t i = 0; i < count; i++)
		poolite__buf_append(&got, &answers[i].msgid, sizeof answers[i].msgid);
	/* Each has its answer; when the broker said why it takes no more, those up to there. */
	assert(got.len == wanted.len || (peer->farewell && got.len < wanted.len));
	if (is_broken)
		assert(peer->farewell);
	/* Besides, it turns away who comes when it is full, and who keeps it waiting. */
	if (is_broken && peer->farewell != POOLITE_OVERLOADED &&
	    !peer->house->has_elapsed)
		assert(got.len == wanted.len);
	if (count > 0) {
		qsort(wanted.data, count, sizeof(uint32_t), compare);
		qsort(got.data, count, sizeof(uint32_t), compare);
		assert(memcmp(got.data, wanted.data, got.len) == 0);
	}
	poolite__buf_release(&wanted);
	poolite__buf_release(&got);
}
