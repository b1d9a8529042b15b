/* transaction.h - a session's transaction over several round trips.
 *
 * The only state a session has.  From the moment a begin is received, the
 * session's requests wait here and take their turns one by one, in order; only
 * hello, ping, stats, health and cancel never come here.
 *
 *             begin               begin answered
 *   NONE ───────────► BEGINNING ─────────────────► OPEN ─┐ statements
 *    ▲ ▲                  │ it failed               │ ▲──┘
 *    │ │                  ▼                         │
 *    │ └── commit, ──── DEAD ◄── expired, SQLite ───┤
 *    │     rollback              ended it, abort    │ commit, rollback
 *    └────────────── ENDING ◄───────────────────────┘
 *
 * NONE       requests are plain ones, and run concurrently
 * BEGINNING  the begin waits for a connection or for BEGIN; the rest is held
 * OPEN       one statement runs at a time, or the transaction idles
 * ENDING     commit or rollback runs; what follows waits for its answer
 * DEAD       every request is refused with the cause, up to commit or rollback
 */
#ifndef POOLITE_BROKER_TRANSACTION_H
#define POOLITE_BROKER_TRANSACTION_H

#include "broker/job.h"

struct broker;

enum transaction_state {
	TRANSACTION_NONE,
	TRANSACTION_BEGINNING,
	TRANSACTION_OPEN,
	TRANSACTION_ENDING,
	TRANSACTION_DEAD,
};

struct transaction {
	struct transaction *next; /* of the broker's transactions */
	struct transaction *prev;
	struct broker *broker;   /* borrowed */
	struct session *session; /* borrowed; outlives it */
	enum transaction_state state;
	bool abort_on_error;
	bool may_begin_again;  /* DEAD by a failed begin, and nothing was refused since */
	struct reader *reader; /* borrowed while it has one; NULL: the writer */
	struct job *running;   /* borrowed: handed over and not back yet */
	struct job_list held;  /* owns: wait for their turn */
	struct poolite__failure cause; /* DEAD, or is_killed: why */
	bool is_killed;                /* what runs is stopped, for the cause's sake */
	int64_t opened_ns;
	int64_t idle_since_ns;
};

/** A session's transaction, in NONE; listed with the broker.  NULL: no memory. */
struct transaction *transaction_create(struct broker *broker, struct session *session);
/** Nothing may be running or held.  NULL: nothing. */
void transaction_free(struct transaction *transaction);

/** A request of the session, in the order received (taken). */
void transaction_receive(struct transaction *transaction, struct job *job);
/** The session gets no more messages: go on to the end, then roll back. */
void transaction_session_ended(struct transaction *transaction);
/** The client has read: a fetch that waited for that may go on. */
void transaction_session_has_room(struct transaction *transaction);
/** Each tick: expiry, and held requests whose deadline has passed. */
void transaction_tick(struct transaction *transaction, int64_t now_ns);
/** End it now with ${code}: the broker stops, or the WAL needs it. */
void transaction_kill(
    struct transaction *transaction, enum poolite_code code, const char *why);
/** Whether it is open on a reader. */
bool transaction_holds_snapshot(const struct transaction *transaction);
/** Whether the session is between begin and commit, waiting for begin included. */
bool transaction_is_active(const struct transaction *transaction);

#endif
