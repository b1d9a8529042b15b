/* wire.c - sockets, and the wires of Poolite and of the echo. */
#include "tests/bench/wire.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/poolite.h"
#include "proto/answer.h"
#include "proto/frame.h"
#include "proto/statement.h"

#define MESSAGE_SIZE 256
#define MSGID_AT     3          /* 94 00 ce, then four bytes */
#define WIDE         0x7fffffff /* packs as a byte and four, to be patched */
#define WAIT_SECONDS 60

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
	    at[3];
}

/* ---- Poolite ------------------------------------------------------------------- */

static size_t poolite_ask(
    const struct wire *wire, uint32_t slot, uint32_t row, uint8_t *buf)
{
	memcpy(buf, wire->request, wire->request_len);
	put_u32(buf + MSGID_AT, slot);
	put_u32(buf + wire->row_at, row);
	return wire->request_len;
}

/* A result of one row, whose first column tells which. */
static bool read_row(struct poolite__result *result, struct reply *reply)
{
	uint32_t columns;
	uint64_t row;

	if (result->rows_count != 1 ||
	    poolite__read_array(&result->rows, &columns) != 0 ||
	    columns != result->columns_count ||
	    poolite__read_uint(&result->rows, UINT32_MAX - 1, &row) != 0)
		return false;
	reply->row = (uint32_t)row;
	return true;
}

static ssize_t poolite_answer(
    const struct wire *wire, const uint8_t *buf, size_t len, struct reply *reply)
{
	static const struct poolite__limits limits = {
	    POOLITE__RESULT_BYTES_DEFAULT, UINT32_MAX};
	struct poolite__scan scan = {0};
	struct poolite__answer answer;
	struct poolite__result result;
	ssize_t end = poolite__scan_next(&scan, buf, len, &limits);

	if (end == 0)
		return 0;
	if (end < 0 || poolite__read_answer(buf, (size_t)end, &answer) != 0) {
		snprintf(reply->message, MESSAGE_SIZE, "Poolite: no answer of a broker");
		return -1;
	}
	if (answer.is_notification || answer.failure.code != POOLITE_OK) {
		snprintf(reply->message, MESSAGE_SIZE, "Poolite: %.240s",
		    answer.failure.message);
		return -1;
	}
	reply->slot = answer.msgid;
	reply->row = ANY_ROW;
	if (poolite__read_result(&answer.result, &result) == 0 &&
	    (wire->method == POOLITE__QUERY ? read_row(&result, reply)
					    : result.changes == 1))
		return end;
	snprintf(reply->message, MESSAGE_SIZE, "Poolite: not the one row");
	return -1;
}

void wire_poolite(
    struct wire *wire, const char *path, enum poolite__method method, const char *sql)
{
	struct poolite_value row = poolite_integer(WIDE);
	struct poolite__buf buf;

	memset(wire, 0, sizeof(*wire));
	poolite__buf_init(&buf, WIRE_ASK_MAX, NULL);
	int rc =
	    poolite__pack_statement(&buf, WIDE, method, sql, strlen(sql), &row, 1, NULL);
	assert(rc == 0 && get_u32(buf.data + MSGID_AT) == WIDE);
	memcpy(wire->request, buf.data, buf.len);
	wire->request_len = buf.len;
	wire->row_at = buf.len - 4;
	assert(get_u32(wire->request + wire->row_at) == WIDE);
	poolite__buf_release(&buf);
	wire->path = path;
	wire->method = method;
	wire->ask = poolite_ask;
	wire->answer = poolite_answer;
}

/* ---- the echo ------------------------------------------------------------------ */

/* An answer begins with its request's head: 94 00 ce and the number. */
static ssize_t echo_answer(
    const struct wire *wire, const uint8_t *buf, size_t len, struct reply *reply)
{
	if (len < wire->answer_len)
		return 0;
	reply->slot = get_u32(buf + MSGID_AT);
	reply->row = ANY_ROW;
	if (memcmp(buf, wire->request, MSGID_AT) == 0)
		return (ssize_t)wire->answer_len;
	snprintf(reply->message, MESSAGE_SIZE, "echo: not what was sent");
	return -1;
}

void wire_echo(
    struct wire *wire, const char *path, const struct wire *like, size_t answer_len)
{
	*wire = *like;
	wire->path = path;
	wire->answer = echo_answer;
	wire->answer_len = answer_len;
}

/* ---- sockets ------------------------------------------------------------------- */

int socket_open(const char *path, char *message)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct timeval wait = {.tv_sec = WAIT_SECONDS};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert(strlen(path) < sizeof(address.sun_path));
	strcpy(address.sun_path, path);
	if (fd < 0 ||
	    connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
		snprintf(message, MESSAGE_SIZE, "%s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	return fd;
}

bool socket_send(int fd, const void *bytes, size_t len)
{
	const uint8_t *at = bytes;

	while (len > 0) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return false;
		at += sent;
		len -= (size_t)sent;
	}
	return true;
}

bool socket_receive(int fd, void *bytes, size_t len)
{
	return recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

size_t socket_call(const struct wire *wire, uint32_t row, char *message)
{
	uint8_t ask[WIRE_ASK_MAX], buf[4096];
	struct reply reply = {.message = "no answer"};
	int fd = socket_open(wire->path, message);
	size_t len = 0;
	ssize_t end = 0;

	if (fd < 0 || (wire->greet != NULL && !wire->greet(fd, message)))
		return 0;
	if (socket_send(fd, ask, wire->ask(wire, 0, row, ask))) {
		while (end == 0 && len < sizeof(buf)) {
			ssize_t came = recv(fd, buf + len, sizeof(buf) - len, 0);

			if (came <= 0)
				break;
			len += (size_t)came;
			end = wire->answer(wire, buf, len, &reply);
		}
	}
	close(fd);
	if (end > 0)
		return (size_t)end;
	snprintf(message, MESSAGE_SIZE, "%s", reply.message);
	return 0;
}
