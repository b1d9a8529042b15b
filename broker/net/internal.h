/* internal.h - what the files of net/ share; nobody else includes it. */
#ifndef POOLITE_BROKER_NET_INTERNAL_H
#define POOLITE_BROKER_NET_INTERNAL_H

#include <stdint.h>

#include <uv.h>

#include "broker/net/loop.h"

/* One read(2).  All sessions read into the loop's one buffer, so that a
 * session that waits owns none. */
#define LOOP_READ_BYTES ((size_t)64 << 10)

struct loop {
	uv_loop_t uv;
	uv_timer_t tick;
	uv_prepare_t prepare;
	uv_idle_t restless; /* active while the loop must not block */
	uv_signal_t on_term;
	uv_signal_t on_int;
	const struct loop_handler *handler;
	uint8_t read_buf[LOOP_READ_BYTES];
};

#endif
