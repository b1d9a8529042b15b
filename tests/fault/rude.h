/* rude.h - fifty clients without manners, all in one process.
 *
 * One process, for what is tested is the broker: fifty busy processes would take the
 * processors from everybody, and no broker can help that.
 */
#ifndef POOLITE_TESTS_RUDE_H
#define POOLITE_TESTS_RUDE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define RUDE_CLIENTS 50

/* Shared with the process; zero it, and set `socket` and `uid`. */
struct rude {
	const char *socket; /* borrowed */
	uid_t uid;          /* whose they are */
	_Atomic bool must_stop;
	_Atomic uint64_t acts;       /* what all of them did */
	_Atomic uint64_t closed;     /* sessions that the broker ended */
	_Atomic uint64_t not_served; /* connects that failed */
};

/** Role of a forked client (client_start), with a struct rude: be rude until must_stop. */
void rude_run(unsigned index, void *context);

#endif
