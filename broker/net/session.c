#include "broker/net/session_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/share.h"

static void settle(struct session *session);

/* ---- lists ------------------------------------------------------------- */

void session_mark_dirty(struct session *session)
{
	if (session->is_dirty)
		return;
	session->is_dirty = true;
	session->dirty_next = session->shared->dirty;
	session->shared->dirty = session;
}

static void watch(struct session *session, bool on)
{
	struct session_shared *shared = session->shared;

	if (session->is_watched == on)
		return;
	session->is_watched = on;
	if (!on) {
		DL_DELETE2(shared->watched, session, watched_prev, watched_next);
		return;
	}
	session->progress_ns = clock_now(shared->clock);
	session->last_queue = 0;
	DL_APPEND2(shared->watched, session, watched_prev, watched_next);
}

struct session *session_next(
    const struct session_shared *shared, const struct session *session)
{
	return session ? session->all_next : shared->all;
}

/* ---- the end of it ----------------------------------------------------- */

static void release(struct session *session)
{
	struct session_shared *shared = session->shared;

	if (!session->handle_closed || session->inflight > 0 || session->is_dirty)
		return;
	shared->handler->on_free(session);
	shared->handles--;
	free(session);
}

static void handle_closed(uv_handle_t *handle)
{
	struct session *session = handle->data;

	session->handle_closed = true;
	release(session);
}

void session_become_gone(struct session *session)
{
	if (session->is_gone)
		return;
	session->is_gone = true;
	outbox_drop(&session->out);
	session_mark_dirty(session);
	session->shared->handler->on_gone(session);
}

static void end(struct session *session)
{
	if (session->state != SESSION_OPEN)
		return;
	session->state = SESSION_ENDED;
	if (session->is_reading)
		uv_read_stop((uv_stream_t *)&session->pipe);
	session->is_reading = false;
	share_forget(session);
	poolite__buf_release(&session->in);
	session_mark_dirty(session);
	session->shared->handler->on_end(session);
}

static void start_closing(struct session *session)
{
	if (session->state == SESSION_CLOSING)
		return;
	end(session);
	session->state = SESSION_CLOSING;
	session_become_gone(session);
	watch(session, false);
	share_leave(session);
	DL_DELETE2(session->shared->all, session, all_prev, all_next);
	if (session->is_client)
		session->shared->count--;
	free(session->farewell);
	session->farewell = NULL;
	uv_close((uv_handle_t *)&session->pipe, handle_closed);
}

void session_abandon(struct session *session)
{
	start_closing(session);
}

static void end_with(struct session *session, const struct poolite__failure *failure)
{
	session->farewell = malloc(sizeof *failure);
	if (session->farewell)
		*session->farewell = *failure;
	log_debug(
	    "session %llu ends: %s", (unsigned long long)session->id, failure->message);
	end(session);
}

void session_break(struct session *session, const struct poolite__failure *failure)
{
	if (session->state != SESSION_OPEN)
		return;
	session->shared->protocol_errors++;
	end_with(session, failure);
}

/* ---- bytes out --------------------------------------------------------- */

static void written(uv_write_t *write, int status)
{
	struct session *session = write->data;

	session->is_writing = false;
	outbox_take_back(&session->out);
	if (status < 0 && status != UV_ECANCELED)
		session_become_gone(session);
	if (session->is_gone)
		outbox_drop(&session->out);
	session_mark_dirty(session);
}

/* What the socket does not take at once is left to libuv. */
static void write_rest(struct session *session)
{
	uv_buf_t bufs[OUTBOX_WRITE_BUFS];
	size_t bytes;
	unsigned count = outbox_gather(&session->out, bufs, &bytes);

	session->write.data = session;
	if (uv_write(
		&session->write, (uv_stream_t *)&session->pipe, bufs, count, written)) {
		session_become_gone(session);
		return;
	}
	outbox_lend(&session->out, count);
	session->is_writing = true;
}

static void flush(struct session *session)
{
	uv_buf_t bufs[OUTBOX_WRITE_BUFS];
	size_t bytes;

	while (session->out.head && !session->is_writing &&
	    session->state != SESSION_CLOSING) {
		unsigned count = outbox_gather(&session->out, bufs, &bytes);
		int sent;
		FAILPOINT("answer_before_send");
		sent = uv_try_write((uv_stream_t *)&session->pipe, bufs, count);
		if (sent < 0 && sent != UV_EAGAIN) {
			/* Reading goes on: what came before counts. */
			session_become_gone(session);
			return;
		}
		FAILPOINT("answer_after_send");
		if (sent > 0)
			outbox_written(&session->out, (size_t)sent);
		if (sent < 0 || (size_t)sent < bytes)
			write_rest(session);
	}
}

static void send_buf(struct session *session, struct poolite__buf *buf)
{
	bool is_whole = !buf->failed;

	if (!is_whole || buf->len == 0 || session->is_gone ||
	    session->state == SESSION_CLOSING)
		poolite__buf_release(buf);
	else
		is_whole = outbox_push(&session->out, buf);
	/* An answer for which there is no memory ends the session, never silently. */
	if (!is_whole)
		start_closing(session);
	session->was_full |= session_is_full(session);
}

static void say_farewell(struct session *session)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, SIZE_MAX, NULL);
	poolite__pack_error_notification(&buf, session->farewell);
	free(session->farewell);
	session->farewell = NULL;
	send_buf(session, &buf);
	flush(session);
}

/* ---- what the owner calls ---------------------------------------------- */

void session_begin_request(struct session *session, size_t message_bytes)
{
	session->inflight++;
	session->inflight_bytes += message_bytes;
}

void session_end_request(
    struct session *session, size_t message_bytes, struct poolite__buf *answer)
{
	assert(session->inflight > 0 && session->inflight_bytes >= message_bytes);
	session->inflight--;
	session->inflight_bytes -= message_bytes;
	if (answer)
		send_buf(session, answer);
	session_mark_dirty(session);
}

bool session_answer(struct session *session, const struct poolite__buf *answer)
{
	session_mark_dirty(session);
	if (session->is_gone || session->state == SESSION_CLOSING)
		return true;
	if (!outbox_append(&session->out, answer->data, answer->len, session->in.budget))
		return false;
	session->was_full |= session_is_full(session);
	return true;
}

bool session_is_full(const struct session *session)
{
	return session->out.bytes > SESSION_OUT_MARK;
}

size_t session_unread_bytes(const struct session *session)
{
	return session->out.bytes;
}

bool session_has_rivals(const struct session *session)
{
	return session->shared->shares > 1;
}

bool session_is_gone(const struct session *session)
{
	return session->is_gone;
}

bool session_has_ended(const struct session *session)
{
	return session->state != SESSION_OPEN;
}

void session_drain(struct session *session)
{
	int fd;

	if (session->state != SESSION_OPEN || session->is_draining)
		return;
	session->is_draining = true;
	/* Writers get EPIPE from now on; what they sent before is still read. */
	if (uv_fileno((uv_handle_t *)&session->pipe, &fd) == 0)
		shutdown(fd, SHUT_RD);
	session_mark_dirty(session);
}

uint64_t session_id(const struct session *session)
{
	return session->id;
}

struct session_peer session_peer(const struct session *session)
{
	return session->peer;
}

const char *session_key(struct session *session)
{
	uint8_t random[POOLITE__KEY_CHARS / 2];

	if (session->key[0])
		return session->key;
	if (getrandom(random, sizeof random, 0) != (ssize_t)sizeof random)
		abort(); /* cannot fail for so few bytes once the machine is up */
	for (size_t i = 0; i < sizeof random; i++) {
		static const char digits[] = "0123456789abcdef";
		session->key[2 * i] = digits[random[i] >> 4];
		session->key[2 * i + 1] = digits[random[i] & 15];
	}
	return session->key;
}

void session_set_user(
    struct session *session, struct poolite__budget *budget, struct session_share *share)
{
	poolite__buf_init(&session->in, session->in.max, budget);
	share_enter(session, share);
}

void *session_context(const struct session *session)
{
	return session->shared->handler->context;
}

void session_set_data(struct session *session, void *data)
{
	session->data = data;
}

void *session_data(const struct session *session)
{
	return session->data;
}

static void free_unopened(uv_handle_t *handle)
{
	free(handle->data);
}

static struct session *create(struct session_shared *shared, int fd)
{
	struct session *session = calloc(1, sizeof *session);
	struct ucred cred = {0};
	socklen_t len = sizeof cred;

	if (!session)
		return NULL;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) ||
	    uv_pipe_init(&shared->loop->uv, &session->pipe, 0)) {
		free(session);
		return NULL;
	}
	session->pipe.data = session;
	if (uv_pipe_open(&session->pipe, fd)) {
		uv_close((uv_handle_t *)&session->pipe, free_unopened);
		return NULL;
	}
	session->shared = shared;
	session->id = ++shared->next_id;
	session->peer = (struct session_peer){cred.pid, cred.uid, cred.gid};
	poolite__buf_init(
	    &session->in, shared->limits.frame_bytes_max + LOOP_READ_BYTES, NULL);
	DL_APPEND2(shared->all, session, all_prev, all_next);
	shared->handles++;
	session_mark_dirty(session);
	return session;
}

void session_open(struct session_shared *shared, int fd)
{
	struct session *session = create(shared, fd);
	struct poolite__failure failure;

	if (!session) {
		close(fd);
	} else if (shared->handler->on_connect(session, fd, &failure)) {
		shared->refused++;
		end_with(session, &failure);
	} else {
		session->is_client = true;
		shared->count++;
		shared->accepted++;
	}
}

/* ---- what the loop calls ----------------------------------------------- */

/* Everything that follows from what happened to a session in this turn. */
static void settle(struct session *session)
{
	if (!session->is_hungry)
		session_take_waiting(session);
	flush(session);
	if (session->was_full && !session_is_full(session)) {
		session->was_full = false;
		session->shared->handler->on_has_room(session);
	}
	/* Room left and still something in `in`: that is no whole message. */
	if (session->state == SESSION_OPEN && session->saw_end && !session->is_hungry &&
	    (session->in.len == 0 || session_may_take(session)))
		end(session);
	if (session->state == SESSION_OPEN)
		session_adjust_reading(session);
	if (session->state == SESSION_ENDED && session->inflight == 0) {
		if (session->farewell && !session->is_gone)
			say_farewell(session);
		if (!session->out.head && !session->is_writing)
			start_closing(session);
	}
	if (session->state != SESSION_CLOSING)
		watch(session,
		    !session->is_reading || session->out.head || session->in.len > 0);
}

bool session_settle_all(struct session_shared *shared)
{
	struct session *hungry;

	while ((hungry = share_next_hungry(shared))) {
		session_mark_dirty(hungry);
		session_take_waiting(hungry);
	}
	while (shared->dirty) {
		struct session *session = shared->dirty;
		shared->dirty = session->dirty_next;
		session->is_dirty = false;
		settle(session);
		release(session);
	}
	shared->turn++;
	return shared->hungry != NULL;
}
