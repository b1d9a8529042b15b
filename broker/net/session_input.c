/* session_input.c - session.h's bytes in: from the socket to whole messages handed up. */
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "broker/log.h"
#include "broker/net/share.h"
#include "broker/net/session_internal.h"

/* One large message alone does not keep the session from saying more: "cancel", say. */
bool session_may_take(const struct session *session)
{
	return session->state == SESSION_OPEN &&
	    session->inflight < session->shared->inflight_max &&
	    (session->inflight_bytes < SESSION_IN_MARK || session->inflight == 1) &&
	    !session_is_full(session);
}

static void break_on_scan(struct session *session, ssize_t code)
{
	struct poolite__failure failure;

	if (code == POOLITE_TOO_LARGE)
		poolite__fail(&failure, POOLITE_TOO_LARGE,
		    "the message is larger than this broker takes: at most %zu bytes, %u values "
		    "and %d levels of nesting",
		    session->shared->limits.frame_bytes_max,
		    session->shared->limits.values_max, POOLITE__DEPTH_MAX);
	else
		poolite__fail(&failure, POOLITE_BAD_REQUEST,
		    "these bytes are no MessagePack message");
	session_break(session, &failure);
}

/* Hand up the whole messages of ${data}; returns the bytes they took. */
static size_t take_messages(struct session *session, const uint8_t *data, size_t len)
{
	size_t taken = 0;

	while (taken < len && session_may_take(session)) {
		ssize_t size = poolite__scan_next(
		    &session->scan, data + taken, len - taken, &session->shared->limits);
		if (size < 0) {
			break_on_scan(session, size);
			break;
		}
		if (size == 0)
			break;
		memset(&session->scan, 0, sizeof session->scan);
		session->shared->handler->on_message(session, data + taken, (size_t)size);
		taken += (size_t)size;
		if (!share_goes_on(session) && taken < len) {
			share_be_hungry(session);
			break;
		}
	}
	return taken;
}

/* What is in `in`. */
static void take_kept(struct session *session)
{
	size_t taken = take_messages(session, session->in.data, session->in.len);

	if (session->state != SESSION_OPEN)
		return;
	poolite__buf_consume(&session->in, taken);
	if (session->in.len == 0)
		poolite__buf_release(&session->in);
}

void session_take_waiting(struct session *session)
{
	if (session->in.len == 0 || !session_may_take(session))
		return;
	if (!share_begin(session)) {
		share_be_hungry(session);
		return;
	}
	take_kept(session);
	share_end(session);
}

/* No more bytes.  The session ends when every whole message has been taken. */
static void stop_at_end(struct session *session)
{
	session->saw_end = true;
	session_adjust_reading(session);
}

static void keep(struct session *session, const uint8_t *data, size_t len)
{
	if (len == 0 || poolite__buf_append(&session->in, data, len) == 0)
		return;
	session->in.failed = 0; /* what is in there was whole, and counts */
	session->farewell = malloc(sizeof *session->farewell);
	if (session->farewell)
		poolite__fail(session->farewell, POOLITE_OVERLOADED,
		    "the memory for messages (max_buffered_bytes, max_user_buffered_bytes) is "
		    "used up");
	stop_at_end(session);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct session *session = handle->data;

	(void)suggested;
	buf->base = (char *)session->shared->loop->read_buf;
	buf->len = share_begin_read(session); /* 0: on_read gets UV_ENOBUFS */
}

bool session_peer_hung_up(struct session *session)
{
	struct pollfd pollfd = {.events = POLLRDHUP};

	if (uv_fileno((uv_handle_t *)&session->pipe, &pollfd.fd))
		return true;
	return poll(&pollfd, 1, 0) > 0 && (pollfd.revents & (POLLHUP | POLLERR)) != 0;
}

static void on_read(uv_stream_t *stream, ssize_t nread, const uv_buf_t *buf)
{
	struct session *session = stream->data;
	const uint8_t *data = (const uint8_t *)buf->base;
	size_t taken = 0;

	if (nread == 0 || nread == UV_ENOBUFS || session->state != SESSION_OPEN)
		return;
	session_mark_dirty(session);
	if (nread < 0) {
		/* A half-closed client still wants its answers; POLLHUP says it is gone. */
		if (session_peer_hung_up(session))
			session_become_gone(session);
		stop_at_end(session);
		return;
	}
	session->progress_ns = clock_now(session->shared->clock);
	if (session->in.len == 0) {
		taken = take_messages(session, data, (size_t)nread);
		if (session->state == SESSION_OPEN)
			keep(session, data + taken, (size_t)nread - taken);
	} else {
		keep(session, data, (size_t)nread);
		if (session_may_take(session))
			take_kept(session);
	}
	share_end(session);
	/* At once: libuv goes on reading as long as it is not told to stop. */
	if (session->state == SESSION_OPEN)
		session_adjust_reading(session);
}

void session_adjust_reading(struct session *session)
{
	bool wants =
	    session_may_take(session) && !session->saw_end && !session->is_hungry;

	if (wants == session->is_reading)
		return;
	session->is_reading = wants;
	if (wants)
		uv_read_start((uv_stream_t *)&session->pipe, allocate, on_read);
	else
		uv_read_stop((uv_stream_t *)&session->pipe);
	if (!wants && !session->is_hungry)
		share_forget(session);
}

/* ---- those that owe something ------------------------------------------- */

/* One watched session; true when it was idle for write_timeout in what it owes. */
static bool has_stalled(struct session *session)
{
	int64_t now_ns = clock_now(session->shared->clock);
	size_t queue = uv_stream_get_write_queue_size((uv_stream_t *)&session->pipe);

	if (queue != session->last_queue) {
		session->last_queue = queue;
		session->progress_ns = now_ns;
	}
	/* It owes us: reading what was written, or the rest of a message. */
	if (!session->is_writing &&
	    (session->in.len == 0 || session->is_waiting || !session_may_take(session))) {
		session->progress_ns = now_ns;
		return false;
	}
	return now_ns - session->progress_ns > session->shared->write_timeout_ns;
}

void session_watch_all(struct session_shared *shared)
{
	struct session *next;

	for (struct session *session = shared->watched; session; session = next) {
		struct poolite__failure failure;

		next = session->watched_next;
		if (!session->is_reading && !session->is_gone &&
		    session_peer_hung_up(session)) {
			session_become_gone(session);
			session_mark_dirty(session);
		}
		if (!has_stalled(session))
			continue;
		shared->timed_out++;
		log_info("session %llu (pid %d): closed, it %s for %.0f s",
		    (unsigned long long)session->id, (int)session->peer.pid,
		    session->is_writing ? "did not read its answers"
					: "stopped in the middle of a message",
		    (double)shared->write_timeout_ns / 1e9);
		if (session->is_writing) {
			session_abandon(session);
			continue;
		}
		poolite__fail(&failure, POOLITE_BAD_REQUEST,
		    "the rest of a message did not come within %.0f s (write_timeout)",
		    (double)shared->write_timeout_ns / 1e9);
		session_break(session, &failure);
	}
}
