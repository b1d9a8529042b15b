/* guard_state.h - all that a text could leave behind on a connection, as one text to compare.
 *
 * Looks behind the guard, as the broker's own statements do.
 */
#ifndef POOLITE_TESTS_GUARD_STATE_H
#define POOLITE_TESTS_GUARD_STATE_H

#include "broker/db/internal.h"
#include "tests/fault/sql_grammar.h"

#define GUARD_STATE_BYTES 16384

/** Read from SQLite itself which PRAGMAs and modules it has.  Once, before it is used otherwise. */
void guard_state_learn(struct sql_names *names);

/** Everything that a PRAGMA, a flag or a limit tells of ${connection}, outside a transaction. */
void guard_state_read(struct connection *connection, char state[GUARD_STATE_BYTES]);

/** The cheap part of it, in a transaction too: flags, limits, databases. */
void guard_state_read_flags(struct connection *connection, char state[GUARD_STATE_BYTES]);

/** From now on count PRAGMAs not on the list, ATTACHes and so on that begin to run on
 *  ${connection}, in whatever way a text brought that about. */
void guard_state_watch(struct connection *connection, uint64_t *count);

#endif
