/* postgres.c - PostgreSQL's protocol 3.0 as far as simple queries need it: see wire.h.
 *
 * Every message but the first is a type's letter, a length that counts itself but not
 * the letter, and a body.  What answers a query ends with 'Z', ready for the next one.
 * Behind pgbouncer's transaction pooling a simple query is what a client can use:
 * a prepared statement may be another server's the next time.
 */
#include "tests/bench/wire.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HEAD_LEN    5
#define MESSAGE_MAX 256
#define ANSWER_MAX  4096

static uint32_t get_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 |
	    at[3];
}

static void put_u32(uint8_t *at, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		at[i] = (uint8_t)(value >> (24 - 8 * i));
}

/* Keep the text of an error: its fields are a letter and a string each, 'M' the message. */
static void keep_error(const uint8_t *body, size_t len, char *message)
{
	const uint8_t *end = body + len;

	snprintf(message, MESSAGE_MAX, "PostgreSQL: an error");
	while (body < end && *body != 0) {
		size_t text = strnlen((const char *)body + 1, (size_t)(end - body) - 1);

		if (*body == 'M')
			snprintf(message, MESSAGE_MAX, "PostgreSQL: %.*s",
			    (int)(text < 200 ? text : 200), (const char *)body + 1);
		body += text + 2;
	}
}

/* Read whole messages up to 'Z'. */
static bool await_ready(int fd, char *message)
{
	uint8_t head[HEAD_LEN], body[ANSWER_MAX];
	bool is_good = true;

	do {
		if (!socket_receive(fd, head, sizeof(head)) ||
		    get_u32(head + 1) - 4 > sizeof(body) ||
		    !socket_receive(fd, body, get_u32(head + 1) - 4)) {
			snprintf(message, MESSAGE_MAX, "PostgreSQL: no answer");
			return false;
		}
		if (head[0] == 'E') {
			keep_error(body, get_u32(head + 1) - 4, message);
			is_good = false;
		}
	} while (head[0] != 'Z' && (is_good || head[0] != 'E'));
	return is_good;
}

static bool postgres_greet(int fd, char *message)
{
	static const char names[] = "user\0bench\0database\0bench\0";
	uint8_t startup[8 + sizeof(names)];

	put_u32(startup, sizeof(startup));
	put_u32(startup + 4, 3 << 16);
	memcpy(startup + 8, names, sizeof(names));
	if (socket_send(fd, startup, sizeof(startup)))
		return await_ready(fd, message);
	snprintf(message, MESSAGE_MAX, "PostgreSQL: it does not listen");
	return false;
}

static size_t postgres_ask(
    const struct wire *wire, uint32_t slot, uint32_t row, uint8_t *buf)
{
	(void)slot;
	char *sql = (char *)buf + HEAD_LEN;
	size_t len =
	    (size_t)snprintf(sql, WIRE_ASK_MAX - HEAD_LEN, "%s%u", wire->sql, row) + 1;

	buf[0] = 'Q';
	put_u32(buf + 1, (uint32_t)len + 4);
	return HEAD_LEN + len;
}

/* 'D': int16 columns, then for each int32 length and text; the first one is the row. */
static uint32_t read_row(const uint8_t *body, size_t len)
{
	uint32_t row = 0;

	if (len < 6)
		return 0;
	uint32_t text = get_u32(body + 2);
	for (size_t i = 0; i < text && 6 + i < len; i++)
		row = row * 10 + (uint32_t)(body[6 + i] - '0');
	return row;
}

static ssize_t postgres_answer(
    const struct wire *wire, const uint8_t *buf, size_t len, struct reply *reply)
{
	unsigned rows = 0;
	size_t at = 0;

	(void)wire;
	reply->slot = IN_ORDER;
	reply->row = ANY_ROW;
	while (at + HEAD_LEN <= len && at + 1 + get_u32(buf + at + 1) <= len) {
		const uint8_t *body = buf + at + HEAD_LEN;
		size_t body_len = get_u32(buf + at + 1) - 4;

		if (buf[at] == 'E' || body_len > len) {
			keep_error(body, body_len > len ? 0 : body_len, reply->message);
			return -1;
		}
		if (buf[at] == 'D') {
			rows++;
			reply->row = read_row(body, body_len);
		}
		if (buf[at] == 'C')
			rows += strcmp((const char *)body, "UPDATE 1") == 0;
		at += HEAD_LEN + body_len;
		if (buf[at - HEAD_LEN - body_len] != 'Z')
			continue;
		if (rows == 1)
			return (ssize_t)at;
		snprintf(reply->message, MESSAGE_MAX, "PostgreSQL: not the one row");
		return -1;
	}
	return 0;
}

void wire_postgres(struct wire *wire, const char *path, const char *sql)
{
	memset(wire, 0, sizeof(*wire));
	wire->path = path;
	wire->sql = sql;
	wire->greet = postgres_greet;
	wire->ask = postgres_ask;
	wire->answer = postgres_answer;
}

bool postgres_run(const char *path, const char *sql, char *message)
{
	size_t len = strlen(sql) + 1;
	uint8_t head[HEAD_LEN] = {'Q'};
	int fd = socket_open(path, message);

	if (fd < 0)
		return false;
	put_u32(head + 1, (uint32_t)len + 4);
	bool is_good = postgres_greet(fd, message) &&
	    socket_send(fd, head, sizeof(head)) && socket_send(fd, sql, len) &&
	    await_ready(fd, message);
	close(fd);
	return is_good;
}
