/* noise.h - system calls of a client that do less than they were asked for.
 *
 * The torture program is linked with --wrap for send, sendmsg, write, recv, recvmsg,
 * read, poll and connect.  They are themselves until noise_begin: then, by chance, they
 * move fewer bytes, are interrupted (EINTR) or not ready (EAGAIN), in this process and
 * on Unix sockets only.
 */
#ifndef POOLITE_TESTS_NOISE_H
#define POOLITE_TESTS_NOISE_H

#include <stdatomic.h>
#include <stdint.h>

/* What was injected; in memory that processes share. */
struct noise {
	_Atomic uint64_t calls; /* that came by */
	_Atomic uint64_t shorts, interrupted, not_ready;
	_Atomic uint64_t connects; /* of the last two, by connect */
};

/** From now on ${percent} of the calls meet something; counted in ${noise}, which is borrowed. */
void noise_begin(struct noise *noise, uint64_t seed, unsigned percent);
void noise_end(void);

#endif
