/* load.h - many clients in one process: all their sockets, one thread.
 *
 * Every client keeps ${depth} requests in flight: one is sent for each answer
 * that came.  Each answer is checked by its wire, and against the row asked for.
 */
#ifndef POOLITE_BENCH_LOAD_H
#define POOLITE_BENCH_LOAD_H

#include "tests/bench/measure.h"
#include "tests/bench/wire.h"

struct load;

/**
 * Connect ${clients} sockets to wire->path (and greet).
 *
 *   wire   borrowed until load_close
 *   depth  requests in flight of each client, 1 .. 64
 *
 * Dies when a connection cannot be had.
 */
struct load *load_open(const struct wire *wire, unsigned clients, unsigned depth);
/** Close the sockets.  NULL: nothing. */
void load_close(struct load *load);

/**
 * Send and receive until ${duration_ns} are over or ${requests} were sent, whichever
 * comes first (0: no bound), then wait for the answers that are missing.
 *
 * ${tally} is what was done.  After a failure in it the connections are in no
 * defined state: close them.
 */
void load_run(
    struct load *load, int64_t duration_ns, uint64_t requests, struct tally *tally);

#endif
