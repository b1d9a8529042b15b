#include "broker/net/session.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <utlist.h>

#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/internal.h"
#include "broker/net/outbox.h"
#include "proto/answer.h"
#include "proto/frame.h"

enum session_state { SESSION_OPEN, SESSION_ENDED, SESSION_CLOSING };

struct session {
	uv_pipe_t pipe;
	struct session_shared *shared; /* borrowed; the server outlives its sessions */
	uint64_t id;
	struct session_peer peer;
	void *data; /* the owner's */
	char key[POOLITE__KEY_CHARS + 1];

	enum session_state state;
	bool is_client;  /* counts among max_clients */
	bool is_reading; /* uv_read_start is on */
	bool is_gone;    /* nobody reads answers */
	bool is_writing; /* a uv_write is under way */
	bool is_dirty;   /* on shared->dirty */
	bool is_watched; /* on shared->watched */
	bool saw_end;    /* of the stream; whole messages in `in` are still to be taken */
	bool is_draining; /* shutdown(SHUT_RD) was done */
	bool handle_closed;
	struct poolite__failure *farewell; /* owns; sent last, or NULL */

	uint32_t inflight;     /* requests under way */
	size_t inflight_bytes; /* of their messages */
	struct poolite__scan scan;
	struct poolite__buf in; /* bytes after the last whole message taken */
	struct outbox out;
	uv_write_t write;
	size_t last_queue; /* uv's write queue at the last tick */
	int64_t
	    progress_ns; /* when a byte last moved in the direction that is waited for */

	struct session *dirty_next;
	struct session *watched_next, *watched_prev;
	struct session *all_next, *all_prev;
};

static void settle(struct session *session);
static void adjust_reading(struct session *session);

/* ---- lists ------------------------------------------------------------- */

static void mark_dirty(struct session *session)
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

static void become_gone(struct session *session)
{
	if (session->is_gone)
		return;
	session->is_gone = true;
	outbox_drop(&session->out);
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
	poolite__buf_release(&session->in);
	mark_dirty(session);
	session->shared->handler->on_end(session);
}

static void start_closing(struct session *session)
{
	if (session->state == SESSION_CLOSING)
		return;
	end(session);
	session->state = SESSION_CLOSING;
	become_gone(session);
	watch(session, false);
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

void session_refuse(struct session *session, const struct poolite__failure *failure)
{
	session->shared->refused++;
	end_with(session, failure);
}

/* ---- bytes in ---------------------------------------------------------- */

static bool may_take(const struct session *session)
{
	return session->state == SESSION_OPEN &&
	    session->inflight < session->shared->inflight_max &&
	    session->inflight_bytes < SESSION_IN_MARK && !session_is_full(session);
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

	while (taken < len && may_take(session)) {
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
	}
	return taken;
}

/* The messages that waited in session->in while the session was full. */
static void take_waiting(struct session *session)
{
	size_t taken;

	if (session->in.len == 0 || !may_take(session))
		return;
	taken = take_messages(session, session->in.data, session->in.len);
	if (session->state != SESSION_OPEN)
		return;
	poolite__buf_consume(&session->in, taken);
	if (session->in.len == 0)
		poolite__buf_release(&session->in);
}

/* No more bytes.  The session ends when every whole message has been taken. */
static void stop_at_end(struct session *session)
{
	session->saw_end = true;
	adjust_reading(session);
}

static void keep(struct session *session, const uint8_t *data, size_t len)
{
	if (len == 0 || poolite__buf_append(&session->in, data, len) == 0)
		return;
	session->in.failed = 0; /* what is in there was whole, and counts */
	session->farewell = malloc(sizeof *session->farewell);
	if (session->farewell)
		poolite__fail(session->farewell, POOLITE_OVERLOADED,
		    "the broker's memory for messages (max_buffered_bytes) is used up");
	stop_at_end(session);
}

static void allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
	struct session *session = handle->data;

	(void)suggested;
	buf->base = (char *)session->shared->loop->read_buf;
	buf->len = LOOP_READ_BYTES;
}

static bool peer_hung_up(struct session *session)
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

	if (nread == 0 || session->state != SESSION_OPEN)
		return;
	mark_dirty(session);
	if (nread < 0) {
		/* A half-closed client still wants its answers; POLLHUP says it is gone. */
		if (peer_hung_up(session))
			become_gone(session);
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
		take_waiting(session);
	}
	/* At once: libuv goes on reading as long as it is not told to stop. */
	if (session->state == SESSION_OPEN)
		adjust_reading(session);
}

/* Read while there is room.  What waits in `in` behind a full session was read already. */
static void adjust_reading(struct session *session)
{
	bool wants = may_take(session) && !session->saw_end;

	if (wants == session->is_reading)
		return;
	session->is_reading = wants;
	if (wants)
		uv_read_start((uv_stream_t *)&session->pipe, allocate, on_read);
	else
		uv_read_stop((uv_stream_t *)&session->pipe);
}

/* ---- bytes out --------------------------------------------------------- */

static void written(uv_write_t *write, int status)
{
	struct session *session = write->data;

	session->is_writing = false;
	outbox_take_back(&session->out);
	if (status < 0 && status != UV_ECANCELED)
		become_gone(session);
	if (session->is_gone)
		outbox_drop(&session->out);
	mark_dirty(session);
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
		become_gone(session);
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
			become_gone(session);
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
	if (buf->len == 0 || session->is_gone || session->state == SESSION_CLOSING) {
		poolite__buf_release(buf);
		return;
	}
	/* An answer that cannot be sent ends the session, never silently. */
	if (!outbox_push(&session->out, buf))
		start_closing(session);
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
	mark_dirty(session);
}

bool session_is_full(const struct session *session)
{
	return session->out.bytes > SESSION_OUT_MARK;
}

size_t session_unread_bytes(const struct session *session)
{
	return session->out.bytes;
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
	mark_dirty(session);
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

struct session *session_open(struct session_shared *shared, int fd, bool is_client)
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
	session->is_client = is_client;
	poolite__buf_init(&session->in, shared->limits.frame_bytes_max + LOOP_READ_BYTES,
	    shared->budget);
	DL_APPEND2(shared->all, session, all_prev, all_next);
	shared->handles++;
	if (is_client)
		shared->count++;
	mark_dirty(session);
	return session;
}

/* ---- what the loop calls ----------------------------------------------- */

/* Everything that follows from what happened to a session in this turn. */
static void settle(struct session *session)
{
	take_waiting(session);
	flush(session);
	/* Room left and still something in `in`: that is no whole message. */
	if (session->state == SESSION_OPEN && session->saw_end &&
	    (session->in.len == 0 || may_take(session)))
		end(session);
	if (session->state == SESSION_OPEN)
		adjust_reading(session);
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

void session_settle_all(struct session_shared *shared)
{
	while (shared->dirty) {
		struct session *session = shared->dirty;
		shared->dirty = session->dirty_next;
		session->is_dirty = false;
		settle(session);
		release(session);
	}
}

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
	if (!session->is_writing && (session->in.len == 0 || !may_take(session))) {
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
		if (!session->is_reading && !session->is_gone && peer_hung_up(session)) {
			become_gone(session);
			mark_dirty(session);
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
