/* echo.h - a bare libuv server in a process of its own: the least a request can cost. */
#ifndef POOLITE_BENCH_ECHO_H
#define POOLITE_BENCH_ECHO_H

#include <stddef.h>
#include <sys/types.h>

#include "tests/bench/wire.h"

/**
 * Fork a server that listens on ${path} and answers every ${request_len} bytes of a
 * client with ${answer_len} bytes, which begin with the request's.  Returns when it
 * listens; for child_kill.
 */
pid_t echo_start(const char *path, size_t request_len, size_t answer_len);

/**
 * The same with the sizes of ${wire}'s request and of the answer that it gets when
 * asked once; ${echo} becomes the wire to it.
 */
pid_t echo_like(struct wire *echo, const char *path, const struct wire *wire);

#endif
