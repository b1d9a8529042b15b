/* wire.h - what goes over a socket: one request with a row's number in it, again and
 * again, and how its answer is found and checked.  Poolite's and its peers'.
 */
#ifndef POOLITE_BENCH_WIRE_H
#define POOLITE_BENCH_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "proto/request.h"

#define WIRE_ASK_MAX 512        /* bytes of one request */
#define IN_ORDER     UINT32_MAX /* reply.slot: answers come in the order of requests */
#define ANY_ROW      UINT32_MAX /* reply.row: the answer does not tell */

/* What an answer says. */
struct reply {
	uint32_t slot;     /* the request's, or IN_ORDER */
	uint32_t row;      /* the row it gives, or ANY_ROW */
	char message[256]; /* why it is wrong; NUL-terminated, only after an error */
};

struct wire {
	const char *path; /* of the socket; borrowed */

	/* Talk that has to precede requests, on a blocking socket; NULL: none.  Whether
	 * it went well, else ${message} (256 bytes) says why. */
	bool (*greet)(int fd, char *message);

	/* Write the request of ${slot} for ${row} to ${buf}; returns its bytes. */
	size_t (*ask)(const struct wire *wire, uint32_t slot, uint32_t row, uint8_t *buf);

	/* Look at ${len} bytes that came.  Returns the bytes of the first answer, 0 when it is
	 * not whole yet, -1 when it is an error or not what was asked for. */
	ssize_t (*answer)(
	    const struct wire *wire, const uint8_t *buf, size_t len, struct reply *reply);

	/* A request built once, and what is patched in it; which of these, the kind knows. */
	uint8_t request[WIRE_ASK_MAX];
	size_t request_len;
	size_t row_at;
	size_t answer_len; /* echo: bytes of each answer */
	enum poolite__method method;
	const char *sql; /* PostgreSQL: what stands before the row's number */
};

/** Poolite: ${sql} with one argument, by POOLITE__QUERY or POOLITE__UPDATE. */
void wire_poolite(
    struct wire *wire, const char *path, enum poolite__method method, const char *sql);
/** The echo server of echo.h: the requests of ${like}, answers of ${answer_len} bytes. */
void wire_echo(
    struct wire *wire, const char *path, const struct wire *like, size_t answer_len);

#define REDIS_VALUE 100 /* bytes of each value */

/** Redis: GET of a key that redis_fill has set. */
void wire_redis(struct wire *wire, const char *path);
/** Set the keys 1 .. ${rows}; whether it went well, else ${message} (256 bytes) says why. */
bool redis_fill(const char *path, uint32_t rows, char *message);

/** PostgreSQL's simple query; ${sql} (borrowed) ends where the row's number follows.  See postgres.c. */
void wire_postgres(struct wire *wire, const char *path, const char *sql);
/** Run statements; as redis_fill. */
bool postgres_run(const char *path, const char *sql, char *message);

/* ---- sockets ------------------------------------------------------------------- */

/** Connect, blocking, with a time-out of 60 s on every wait; -1 and ${message}. */
int socket_open(const char *path, char *message);
/** Send all of it. */
bool socket_send(int fd, const void *bytes, size_t len);
/** Receive exactly ${len} bytes. */
bool socket_receive(int fd, void *bytes, size_t len);
/** One request and its whole answer; returns the answer's bytes, or 0 and ${message}. */
size_t socket_call(const struct wire *wire, uint32_t row, char *message);

#endif
