/* redis.c - GET by RESP: see wire.h.
 *
 * A key is "lead:" and ten digits.  Its value is those ten digits and padding,
 * so that an answer tells which row it is.
 */
#include "tests/bench/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GET         "*2\r\n$3\r\nGET\r\n$15\r\nlead:%010u\r\n"
#define SET         "*3\r\n$3\r\nSET\r\n$15\r\nlead:%010u\r\n$100\r\n"
#define HEAD        "$100\r\n"
#define HEAD_LEN    (sizeof(HEAD) - 1)
#define ANSWER_LEN  (HEAD_LEN + REDIS_VALUE + 2)
#define DIGITS      10
#define SET_REPLY   "+OK\r\n"
#define MESSAGE_MAX 256

static size_t redis_ask(
    const struct wire *wire, uint32_t slot, uint32_t row, uint8_t *buf)
{
	(void)slot;
	memcpy(buf, wire->request, wire->request_len);
	for (size_t i = DIGITS; i-- > 0; row /= 10)
		buf[wire->row_at + i] = (uint8_t)('0' + row % 10);
	return wire->request_len;
}

static ssize_t redis_answer(
    const struct wire *wire, const uint8_t *buf, size_t len, struct reply *reply)
{
	(void)wire;
	if (len < ANSWER_LEN && memcmp(buf, HEAD, len < HEAD_LEN ? len : HEAD_LEN) == 0)
		return 0;
	if (len < ANSWER_LEN || memcmp(buf, HEAD, HEAD_LEN) != 0) {
		snprintf(reply->message, MESSAGE_MAX, "Redis: %.*s", (int)len,
		    (const char *)buf);
		return -1;
	}
	reply->slot = IN_ORDER;
	reply->row = 0;
	for (size_t i = 0; i < DIGITS; i++)
		reply->row = reply->row * 10 + (uint32_t)(buf[HEAD_LEN + i] - '0');
	return ANSWER_LEN;
}

void wire_redis(struct wire *wire, const char *path)
{
	memset(wire, 0, sizeof(*wire));
	wire->path = path;
	wire->request_len =
	    (size_t)snprintf((char *)wire->request, WIRE_ASK_MAX, GET, 0u);
	wire->row_at = wire->request_len - 2 - DIGITS;
	wire->ask = redis_ask;
	wire->answer = redis_answer;
}

bool redis_fill(const char *path, uint32_t rows, char *message)
{
	char set[WIRE_ASK_MAX], ok[sizeof(SET_REPLY) - 1];
	int fd = socket_open(path, message);
	bool is_good = fd >= 0;

	for (uint32_t row = 1; is_good && row <= rows; row++) {
		int len = snprintf(set, sizeof(set), SET "%010u%090u\r\n", row, row, 0u);

		is_good = socket_send(fd, set, (size_t)len) &&
		    socket_receive(fd, ok, sizeof(ok)) &&
		    memcmp(ok, SET_REPLY, sizeof(ok)) == 0;
		if (!is_good)
			snprintf(message, MESSAGE_MAX, "Redis does not take a value");
	}
	if (fd >= 0)
		close(fd);
	return is_good;
}
