/* cursor.h - a session's query in pages, outside a transaction.
 *
 * It has a reader to itself from before its first page until after its last, and
 * its requests take their turns there one by one.  Inside a transaction a cursor
 * is the connection's affair alone (db/pages.h): the transaction has it anyway.
 *
 *        query with page_rows
 *   ─────────► OPENING ──► it was all, or it failed ──► gone
 *                 │ more rows follow
 *       fetch ┌─► OPEN ── last page, close, an error ──► gone
 *             └───┘ │ └── session ended ──► CLOSING ──► gone
 *                   │ expired, WAL, stop
 *                   ▼
 *                 ENDED ── its next request is told why ──► gone
 *
 * OPENING  waits for a reader, or its first page is being made
 * OPEN     a page is being made, or it idles
 * CLOSING  its reader is being given back
 * ENDED    it has no reader any more, or will have none in a moment
 */
#ifndef POOLITE_BROKER_CURSOR_H
#define POOLITE_BROKER_CURSOR_H

#include "broker/job.h"

struct broker;

/* Of one session, outside transactions: those that wait for a reader or ended included. */
#define CURSORS_MAX 64

enum cursor_state { CURSOR_OPENING, CURSOR_OPEN, CURSOR_CLOSING, CURSOR_ENDED };

struct cursor {
	struct cursor *next; /* of the broker's cursors */
	struct cursor *prev;
	struct cursor *mate_next; /* of its session's */
	struct cursor *mate_prev;
	struct broker *broker;   /* borrowed */
	struct session *session; /* borrowed; outlives it */
	uint64_t number;         /* what the client calls it by */
	enum cursor_state state;
	struct reader *reader; /* borrowed while it has one */
	struct job *running;   /* borrowed: handed over and not back yet */
	struct job_list held;  /* owns: fetches and a close that wait for their turn */
	struct poolite__failure cause; /* ENDED: why */
	int64_t opened_ns;             /* no later than its snapshot */
	int64_t idle_since_ns;
};

/** Run ${job} (taken), a query with page_rows whose `cursor` is set, on a reader of its own. */
void cursor_open(struct broker *broker, struct job *job);
/** The session's cursor that ${job} fetches from or closes; NULL: it has none such. */
struct cursor *cursor_find(const struct job *job);
/** Its next request (taken), in the order received. */
void cursor_receive(struct cursor *cursor, struct job *job);

/** The session gets no more messages, or is gone: carry out what it sent, then close. */
void cursor_session_ended(struct cursor *cursor);
/** The client has read: fetches that waited for that may go on. */
void cursor_session_has_room(struct cursor *cursor);
/** The session is freed: free what it never came back for; it has no reader. */
void cursor_free(struct cursor *cursor);

/** Each tick: expiry. */
void cursor_tick(struct cursor *cursor, int64_t now_ns);
/** End it now with ${code}: the broker stops, or the WAL needs it. */
void cursor_kill(struct cursor *cursor, enum poolite_code code, const char *why);
/** Whether it waits for a reader or has one. */
bool cursor_is_active(const struct cursor *cursor);

#endif
