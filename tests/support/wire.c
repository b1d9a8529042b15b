#include "tests/support/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/frame.h"
#include "tests/support/check.h"
#include "tests/support/notation.h"

/* So many replies stay readable after they were handed out. */
#define GIVEN 256

struct wire {
	struct wire *next; /* of all */
	int fd;            /* -1: closed */
	uint32_t last_msgid;
	bool is_corked;
	bool has_ended; /* the broker has closed */
	struct poolite__buf out, in;
	struct reply *first, *last; /* own; came, and nobody asked for them yet */
	struct reply *given[GIVEN]; /* own; the last ones that were asked for */
	unsigned next_given;
};

/* Those of this process, so that a forked client can close them. */
static struct wire *all;

/* ---- open and close ---------------------------------------------------------- */

struct wire *wire_open(const struct poolited *broker)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct wire *wire = calloc(1, sizeof *wire);
	int rc;

	CHECK(wire, "out of memory");
	snprintf(address.sun_path, sizeof address.sun_path, "%s", broker->socket);
	wire->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(wire->fd >= 0, "socket: %s", strerror(errno));
	rc = connect(wire->fd, (struct sockaddr *)&address, sizeof address);
	CHECK(rc == 0, "connect: %s", strerror(errno));
	fcntl(wire->fd, F_SETFL, O_NONBLOCK);
	poolite__buf_init(&wire->out, SIZE_MAX, NULL);
	poolite__buf_init(&wire->in, SIZE_MAX, NULL);
	wire->next = all;
	all = wire;
	return wire;
}

void wire_close(struct wire *wire)
{
	close(wire->fd);
	wire->fd = -1;
}

void wire_half_close(struct wire *wire)
{
	shutdown(wire->fd, SHUT_WR);
}

static void free_reply(struct reply *reply)
{
	if (reply)
		free(reply->result);
	free(reply);
}

static void free_wire(struct wire *wire)
{
	struct reply *reply;

	if (wire->fd >= 0)
		close(wire->fd);
	while ((reply = wire->first)) {
		wire->first = reply->next;
		free_reply(reply);
	}
	for (unsigned i = 0; i < GIVEN; i++)
		free_reply(wire->given[i]);
	poolite__buf_release(&wire->out);
	poolite__buf_release(&wire->in);
	free(wire);
}

void wire_free_all(void)
{
	struct wire *wire;

	while ((wire = all)) {
		all = wire->next;
		free_wire(wire);
	}
}

int wire_fd(const struct wire *wire)
{
	return wire->fd;
}

/* ---- bytes ------------------------------------------------------------------- */

static void keep_reply(struct wire *wire, const uint8_t *message, size_t len)
{
	struct reply *reply = calloc(1, sizeof *reply);
	struct poolite__answer answer;

	CHECK(reply, "out of memory");
	CHECK(poolite__read_answer(message, len, &answer) == 0, "no message of a broker");
	reply->is_notification = answer.is_notification;
	reply->msgid = answer.msgid;
	reply->failure = answer.failure;
	if (!answer.is_notification && answer.failure.code == POOLITE_OK)
		reply->result = notation_text(&answer.result);
	if (wire->last)
		wire->last->next = reply;
	else
		wire->first = reply;
	wire->last = reply;
}

static void take_replies(struct wire *wire)
{
	struct poolite__limits limits = {
	    .frame_bytes_max = (size_t)1 << 30, .values_max = UINT32_MAX};

	for (;;) {
		struct poolite__scan scan = {0};
		ssize_t len =
		    poolite__scan_next(&scan, wire->in.data, wire->in.len, &limits);
		CHECK(len >= 0, "the broker sent no MessagePack");
		if (len == 0)
			return;
		keep_reply(wire, wire->in.data, (size_t)len);
		poolite__buf_consume(&wire->in, (size_t)len);
	}
}

static void read_some(struct wire *wire)
{
	static uint8_t bytes[1 << 16];
	ssize_t got = read(wire->fd, bytes, sizeof bytes);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0) {
		wire->has_ended = true;
		return;
	}
	poolite__buf_append(&wire->in, bytes, (size_t)got);
	take_replies(wire);
}

static void write_some(struct wire *wire)
{
	ssize_t sent = send(wire->fd, wire->out.data, wire->out.len, MSG_NOSIGNAL);

	if (sent > 0)
		poolite__buf_consume(&wire->out, (size_t)sent);
	else if (errno != EAGAIN && errno != EINTR)
		poolite__buf_truncate(&wire->out, 0); /* reading tells why */
}

/* Wait until something moves: answers in, or requests out. */
static void move(struct wire *wire)
{
	struct pollfd pollfd = {.fd = wire->fd, .events = POLLIN};

	if (wire->out.len > 0)
		pollfd.events |= POLLOUT;
	CHECK(poll(&pollfd, 1, PATIENCE_SECONDS * 1000) > 0,
	    "the broker neither reads nor writes");
	if (pollfd.revents & POLLOUT)
		write_some(wire);
	if (pollfd.revents & (POLLIN | POLLHUP | POLLERR))
		read_some(wire);
}

static void flush(struct wire *wire)
{
	if (wire->is_corked)
		return;
	while (wire->out.len > 0 && !wire->has_ended)
		move(wire);
}

/* ---- sending ----------------------------------------------------------------- */

void wire_cork(struct wire *wire)
{
	wire->is_corked = true;
}

void wire_uncork(struct wire *wire)
{
	wire->is_corked = false;
	flush(wire);
}

void wire_send_blindly(struct wire *wire)
{
	struct pollfd pollfd = {.fd = wire->fd, .events = POLLOUT};

	while (
	    wire->out.len > 0 && poll(&pollfd, 1, 100) > 0 && !(pollfd.revents & POLLERR))
		write_some(wire);
}

void wire_send_bytes(struct wire *wire, const void *bytes, size_t len)
{
	poolite__buf_append(&wire->out, bytes, len);
	flush(wire);
}

void wire_send_message(struct wire *wire, const char *message)
{
	notation_pack(&wire->out, message);
	flush(wire);
}

static char *format(const char *text, va_list args)
{
	char *formatted;

	CHECK(vasprintf(&formatted, text, args) >= 0, "out of memory");
	return formatted;
}

static uint32_t send_request(struct wire *wire, const char *method, const char *params)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, &wire->out);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_int(&packer, 0);
	msgpack_pack_uint32(&packer, ++wire->last_msgid);
	poolite__pack_cstr(&packer, method);
	notation_pack(&wire->out, params);
	flush(wire);
	return wire->last_msgid;
}

static uint32_t send_sql(struct wire *wire, const char *method, const char *sql)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, &wire->out);
	msgpack_pack_array(&packer, 4);
	msgpack_pack_int(&packer, 0);
	msgpack_pack_uint32(&packer, ++wire->last_msgid);
	poolite__pack_cstr(&packer, method);
	msgpack_pack_array(&packer, 1);
	poolite__pack_cstr(&packer, sql);
	flush(wire);
	return wire->last_msgid;
}

/* Each of the printf-like functions is a send function on the formatted text. */
#define FORMATTED(name, text)                                                            \
	va_list name##_args;                                                             \
	va_start(name##_args, text);                                                     \
	char *name = format(text, name##_args);                                          \
	va_end(name##_args)

uint32_t wire_send(struct wire *wire, const char *method, const char *params, ...)
{
	FORMATTED(formatted, params);
	uint32_t msgid = send_request(wire, method, formatted);
	free(formatted);
	return msgid;
}

uint32_t wire_sql(struct wire *wire, const char *method, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	uint32_t msgid = send_sql(wire, method, formatted);
	free(formatted);
	return msgid;
}

uint32_t wire_bare(struct wire *wire, const char *method)
{
	return send_request(wire, method, "[]");
}

void wire_sync(struct wire *wire)
{
	expect_result(wire, wire_bare(wire, "ping"), "`pong`");
}

/* ---- receiving --------------------------------------------------------------- */

/* Take the reply after ${before} (NULL: the first) off the list. */
static const struct reply *give(struct wire *wire, struct reply *before)
{
	struct reply **slot = &wire->given[wire->next_given++ % GIVEN];
	struct reply *reply = before ? before->next : wire->first;

	if (before)
		before->next = reply->next;
	else
		wire->first = reply->next;
	if (wire->last == reply)
		wire->last = before;
	free_reply(*slot);
	*slot = reply;
	return reply;
}

static const struct reply *find(struct wire *wire, uint32_t msgid)
{
	struct reply *before = NULL;

	for (struct reply *reply = wire->first; reply; reply = reply->next) {
		if (!reply->is_notification && reply->msgid == msgid)
			return give(wire, before);
		before = reply;
	}
	return NULL;
}

const struct reply *wire_receive(struct wire *wire, uint32_t msgid)
{
	const struct reply *reply;

	while (!(reply = find(wire, msgid))) {
		CHECK(
		    !wire->has_ended, "the session ended before answer %" PRIu32, msgid);
		move(wire);
	}
	return reply;
}

const struct reply *wire_next(struct wire *wire)
{
	while (!wire->first && !wire->has_ended)
		move(wire);
	return wire->first ? give(wire, NULL) : NULL;
}
