#include "client/session.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "proto/cancel.h"

/* A broker that has just made its socket may not have set its group yet. */
#define EACCES_RETRY_MS 200
#define RETRY_MS_MAX    50
/* A cancel waits this long for room in a socket that is full. */
#define CANCEL_WAIT_MS 1000
/* Read in pieces of this size, or of half of what has come already. */
#define PIECE_BYTES 4096

int64_t poolite__now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

int64_t poolite__deadline(int ms)
{
	return ms < 0 ? INT64_MAX : poolite__now_ms() + ms;
}

struct poolite__session *poolite__session_create(void)
{
	struct poolite__session *session = calloc(1, sizeof *session);

	if (!session)
		return NULL;
	session->fd = -1;
	poolite__buf_init(&session->in, SIZE_MAX / 4, NULL);
	pthread_mutex_init(&session->lock, NULL);
	return session;
}

void poolite__session_free(struct poolite__session *session)
{
	if (!session)
		return;
	if (session->fd >= 0)
		close(session->fd);
	poolite__buf_release(&session->in);
	pthread_mutex_destroy(&session->lock);
	free(session);
}

/* The group that may use the socket at ${path}, for an error's text. */
static void name_group(const char *path, char *name, size_t size)
{
	struct stat status;
	struct group group, *found = NULL;
	char buf[1024];

	snprintf(name, size, "its group");
	if (stat(path, &status))
		return;
	if (getgrgid_r(status.st_gid, &group, buf, sizeof buf, &found) == 0 && found)
		snprintf(name, size, "group %s", found->gr_name);
	else
		snprintf(name, size, "group %ld", (long)status.st_gid);
}

/* What stands at ${path} in the place of a socket; NULL: a socket, or nothing. */
static const char *wrong_kind(const char *path)
{
	struct stat status;

	if (stat(path, &status) || S_ISSOCK(status.st_mode))
		return NULL;
	return S_ISDIR(status.st_mode) ? "a directory" : "a file that is no socket";
}

/* Why connecting failed for good. */
static int connect_failed(const char *path, int error, struct poolite__failure *failure)
{
	char group[64];

	if (error == ECONNREFUSED && wrong_kind(path))
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "%s is %s: give the path of a broker's socket", path,
		    wrong_kind(path));
	switch (error) {
	case EACCES:
	case EPERM:
		name_group(path, group, sizeof group);
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "no permission to use the socket %s: the broker's socket_mode and "
		    "socket_group let %s in",
		    path, group);
	case ENOENT:
	case ECONNREFUSED:
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "no broker on the socket %s (%s); start one with: "
		    "poolited --db FILE --socket %s",
		    path, error == ENOENT ? "no such file" : "nobody listens", path);
	case EAGAIN:
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "the broker on the socket %s does not accept connections", path);
	default:
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "no broker on the socket %s: %s", path, strerrordesc_np(error));
	}
}

/* Whether a broker may be there a moment later. */
static bool may_pass(const char *path, int error, int64_t started)
{
	if (error == ECONNREFUSED && wrong_kind(path))
		return false;
	if (error == ENOENT || error == ECONNREFUSED || error == EAGAIN)
		return true;
	return error == EACCES && poolite__now_ms() < started + EACCES_RETRY_MS;
}

int poolite__session_connect(struct poolite__session *session, const char *path,
    int64_t deadline, struct poolite__failure *failure)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int64_t started = poolite__now_ms();
	int pause_ms = 1;

	memcpy(address.sun_path, path, strlen(path) + 1);
	while (connect(session->fd, (struct sockaddr *)&address, sizeof address)) {
		int error = errno;
		int64_t left = deadline - poolite__now_ms();

		if (error == EINTR)
			continue;
		if (error == EISCONN)
			break;
		if (!may_pass(path, error, started) || left <= 0)
			return connect_failed(path, error, failure);
		poll(NULL, 0, left < pause_ms ? (int)left : pause_ms);
		pause_ms = pause_ms * 2 < RETRY_MS_MAX ? pause_ms * 2 : RETRY_MS_MAX;
	}
	return 0;
}

bool poolite__session_is_alive(const struct poolite__session *session)
{
	char byte;

	/* Nobody speaks to an idle session, except to say that it ends. */
	return recv(session->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR);
}

enum poolite__io poolite__session_wait(
    const struct poolite__session *session, short events, int64_t deadline)
{
	for (;;) {
		struct pollfd wanted = {.fd = session->fd, .events = events};
		int64_t left = deadline == INT64_MAX ? -1 : deadline - poolite__now_ms();

		if (deadline != INT64_MAX && left < 0)
			left = 0;
		int rc = poll(&wanted, 1, left > INT32_MAX ? INT32_MAX : (int)left);

		if (rc > 0)
			return POOLITE__IO_OK;
		if (rc == 0 && left <= INT32_MAX)
			return POOLITE__IO_TIMEOUT;
		if (rc < 0 && errno != EINTR && errno != EAGAIN)
			return POOLITE__IO_NO_MEMORY;
	}
}

enum poolite__io poolite__session_write(
    struct poolite__session *session, struct iovec *parts, int count, size_t *sent)
{
	struct msghdr message = {.msg_iov = parts, .msg_iovlen = (size_t)count};
	ssize_t rc;

	do
		rc = sendmsg(session->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (rc < 0 && errno == EINTR);
	*sent = rc < 0 ? 0 : (size_t)rc;
	if (rc >= 0)
		return POOLITE__IO_OK;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return POOLITE__IO_AGAIN;
	return errno == ENOBUFS || errno == ENOMEM ? POOLITE__IO_NO_MEMORY
						   : POOLITE__IO_END;
}

static enum poolite__io send_all(
    struct poolite__session *session, uint8_t *data, size_t len, int64_t deadline)
{
	struct iovec left = {data, len};

	while (left.iov_len > 0) {
		size_t sent;
		enum poolite__io io = poolite__session_write(session, &left, 1, &sent);

		left.iov_base = (uint8_t *)left.iov_base + sent;
		left.iov_len -= sent;
		if (io == POOLITE__IO_AGAIN)
			io = poolite__session_wait(session, POLLOUT, deadline);
		if (io != POOLITE__IO_OK)
			return io;
	}
	return POOLITE__IO_OK;
}

/* Piece after piece.  The socket holds one or two, so that the broker reads and scans
 * while the next is packed. */
static enum poolite__io send_rest(
    struct poolite__session *session, const struct poolite__rest *rest, int64_t deadline)
{
	enum poolite__io io = POOLITE__IO_OK;
	struct poolite__buf piece;

	poolite__buf_init(&piece, SIZE_MAX / 4, NULL);
	for (bool is_first = true; io == POOLITE__IO_OK; is_first = false) {
		poolite__buf_truncate(&piece, 0);
		if (rest->next(rest->context, is_first, &piece))
			io = POOLITE__IO_NO_MEMORY;
		else if (piece.len == 0)
			break;
		else
			io = send_all(session, piece.data, piece.len, deadline);
	}
	poolite__buf_release(&piece);
	return io;
}

/* With session->lock held, and the request whole on its way. */
static void send_cancel(struct poolite__session *session)
{
	int64_t deadline = poolite__deadline(CANCEL_WAIT_MS);
	struct poolite__buf buf;
	ssize_t sent = -1;

	poolite__buf_init(&buf, 64, NULL);
	if (poolite__pack_cancel_notification(&buf, session->msgid) == 0) {
		do
			sent = send(
			    session->fd, buf.data, buf.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		while (sent < 0 && (errno == EAGAIN || errno == EINTR) &&
		    poolite__session_wait(session, POLLOUT, deadline) == POOLITE__IO_OK);
		/* A part of it would spoil what follows: then nothing may follow. */
		if (sent > 0 && (size_t)sent < buf.len)
			shutdown(session->fd, SHUT_WR);
	}
	poolite__buf_release(&buf);
}

enum poolite__io poolite__session_send(struct poolite__session *session, uint32_t msgid,
    const struct poolite__buf *request, const struct poolite__rest *rest,
    int64_t deadline)
{
	enum poolite__io io;

	pthread_mutex_lock(&session->lock);
	session->msgid = msgid;
	session->is_under_way = true;
	session->is_sending = true;
	session->wants_cancel = false;
	pthread_mutex_unlock(&session->lock);

	io = send_all(session, request->data, request->len, deadline);
	if (io == POOLITE__IO_OK && rest)
		io = send_rest(session, rest, deadline);

	pthread_mutex_lock(&session->lock);
	session->is_sending = false;
	if (io != POOLITE__IO_OK)
		session->is_under_way = false;
	else if (session->wants_cancel)
		send_cancel(session);
	pthread_mutex_unlock(&session->lock);
	return io;
}

void poolite__session_cancel(struct poolite__session *session)
{
	pthread_mutex_lock(&session->lock);
	if (session->is_sending)
		session->wants_cancel = true;
	else if (session->is_under_way)
		send_cancel(session);
	pthread_mutex_unlock(&session->lock);
}

void poolite__session_finish(struct poolite__session *session)
{
	pthread_mutex_lock(&session->lock);
	session->is_under_way = false;
	pthread_mutex_unlock(&session->lock);
}

/* ---- receiving ----------------------------------------------------------- */

enum poolite__io poolite__session_read(struct poolite__session *session)
{
	struct poolite__buf *in = &session->in;
	size_t piece = in->len / 2 > PIECE_BYTES ? in->len / 2 : PIECE_BYTES;
	ssize_t got;

	poolite__buf_consume(in, session->taken);
	session->taken = 0;
	if (in->cap - in->len < PIECE_BYTES && poolite__buf_reserve(in, piece))
		return POOLITE__IO_NO_MEMORY;
	do
		got = recv(
		    session->fd, in->data + in->len, in->cap - in->len, MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got > 0) {
		in->len += (size_t)got;
		return POOLITE__IO_OK;
	}
	return got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? POOLITE__IO_AGAIN
								    : POOLITE__IO_END;
}

bool poolite__session_has_rest(const struct poolite__session *session)
{
	return session->in.len > session->taken;
}

const uint8_t *poolite__session_head(const struct poolite__session *session)
{
	return session->in.data + session->taken;
}

enum poolite__io poolite__session_message(
    struct poolite__session *session, const struct poolite__limits *limits, size_t *len)
{
	ssize_t whole;

	if (!poolite__session_has_rest(session))
		return POOLITE__IO_AGAIN;
	whole = poolite__scan_next(&session->scan, poolite__session_head(session),
	    session->in.len - session->taken, limits);
	if (whole < 0)
		return whole == POOLITE_TOO_LARGE ? POOLITE__IO_TOO_LARGE
						  : POOLITE__IO_NONSENSE;
	*len = (size_t)whole;
	return whole > 0 ? POOLITE__IO_OK : POOLITE__IO_AGAIN;
}

void poolite__session_skip(struct poolite__session *session, size_t len)
{
	session->taken += len;
	memset(&session->scan, 0, sizeof session->scan);
}

int poolite__session_take(
    struct poolite__session *session, size_t len, struct poolite__buf *bytes)
{
	struct poolite__buf *in = &session->in;

	/* A small message is copied, lest it keep a large buffer. */
	if (in->len == len && len >= in->cap / 2) {
		*bytes = *in;
		poolite__buf_init(in, bytes->max, NULL);
	} else {
		poolite__buf_init(bytes, len, NULL);
		if (poolite__buf_append(bytes, poolite__session_head(session), len))
			return POOLITE_OVERLOADED;
		session->taken += len;
	}
	memset(&session->scan, 0, sizeof session->scan);
	return 0;
}

enum poolite__io poolite__session_receive(struct poolite__session *session,
    const struct poolite__limits *limits, int64_t deadline, size_t *len)
{
	for (;;) {
		enum poolite__io io = poolite__session_message(session, limits, len);

		if (io != POOLITE__IO_AGAIN)
			return io;
		/* A first piece is not there yet: ask poll before recv. */
		if (poolite__session_has_rest(session))
			io = poolite__session_read(session);
		if (io == POOLITE__IO_AGAIN) {
			io = poolite__session_wait(session, POLLIN, deadline);
			if (io == POOLITE__IO_OK)
				io = poolite__session_read(session);
		}
		if (io != POOLITE__IO_OK && io != POOLITE__IO_AGAIN)
			return io;
	}
}
