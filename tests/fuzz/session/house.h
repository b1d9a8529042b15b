/* house.h - a whole broker in this process, for one fuzzed sequence after the other.
 *
 * Its loop is turned by whoever calls, on the caller's thread; writer and readers have
 * theirs, as always.  Sessions come in by socket pairs.  Its clock can be put forward, so
 * that nothing has to wait for a deadline.
 */
#ifndef POOLITE_TESTS_FUZZ_HOUSE_H
#define POOLITE_TESTS_FUZZ_HOUSE_H

#include <stdbool.h>

#include "broker/broker.h"

struct house {
	char folder[200];
	struct settings settings;
	struct broker *broker; /* owns */
	char *schema;          /* owns: of the fresh database, to know it again */
	uint64_t clean_seq;    /* commit_seq when the database was last as at first */
	unsigned sequences;    /* since the broker was started */
	bool has_elapsed;      /* in this sequence its clock was put forward */
};

/** Make the folder and read the settings.  Once. */
void house_init(struct house *house);
/** Stop the broker, if it runs, and remove the folder. */
void house_release(struct house *house);

/** Before a sequence: a broker serves, and its database is as at first. */
void house_ready(struct house *house);
/** After a sequence, all of whose sessions are closed: what must hold, holds. */
void house_check(struct house *house);

/** One turn of the loop; does not block.  */
void house_turn(struct house *house);
/** Wait until something happens in the loop, for ${ms} at most.  False: nothing did. */
bool house_wait(struct house *house, int ms);
/** Whether a statement may be under way: what is quiet need not be stuck. */
bool house_is_busy(struct house *house);
/** Put the clock forward, by at most 900 ms, and tick. */
void house_elapse(struct house *house, int ms);

/** A new session; the descriptor is the client's end, non-blocking. */
int house_connect(struct house *house);

/** One request on a session of its own, to its end.  Its result as JSON, for free().
 *  NULL: refused as too large for the WAL. */
char *house_ask(struct house *house, const char *method, const char *sql);

#endif
