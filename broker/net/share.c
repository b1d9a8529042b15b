#include "broker/net/share.h"

#include <utlist.h>

/* One user's time in a turn while there are others: about forty point reads. */
#define USER_NS (100 * (CLOCK_NS_PER_MS / 1000))
/* One session's time while all are the same user's. */
#define SESSION_NS CLOCK_NS_PER_MS
/* One read(2) while there are others: bytes cost time before they are messages. */
#define USER_READ_BYTES ((size_t)16 << 10)

void share_enter(struct session *session, struct session_share *share)
{
	session->share = share;
	if (share->sessions++ == 0)
		session->shared->shares++;
}

void share_leave(struct session *session)
{
	share_forget(session);
	if (session->share && --session->share->sessions == 0)
		session->shared->shares--;
	session->share = NULL;
}

/* ---- who waits --------------------------------------------------------------- */

static void wait_for_turn(struct session *session)
{
	if (session->is_waiting || !session->share)
		return;
	session->is_waiting = true;
	session->waits_since = session->shared->turn;
	DL_APPEND2(session->share->waiting, session, waiting_prev, waiting_next);
}

void share_be_hungry(struct session *session)
{
	if (session->is_hungry)
		return;
	session->is_hungry = true;
	DL_APPEND2(session->shared->hungry, session, hungry_prev, hungry_next);
	wait_for_turn(session);
}

void share_forget(struct session *session)
{
	if (session->is_waiting)
		DL_DELETE2(session->share->waiting, session, waiting_prev, waiting_next);
	if (session->is_hungry)
		DL_DELETE2(session->shared->hungry, session, hungry_prev, hungry_next);
	session->is_waiting = session->is_hungry = false;
}

/* Of this turn, by all sessions of its user. */
static int64_t used_ns(const struct session *session)
{
	const struct session_share *share = session->share;

	return share && share->turn == session->shared->turn ? share->used_ns : 0;
}

/* Whether its user has had its part of this turn. */
static bool is_used_up(const struct session *session)
{
	return session->shared->shares > 1 && used_ns(session) >= USER_NS;
}

/* Whether one of its user's was put off earlier than this one. */
static bool is_behind(const struct session *session)
{
	const struct session *first = session->share ? session->share->waiting : NULL;

	if (session->shared->shares <= 1 || !first)
		return false;
	return !session->is_waiting || session->waits_since != first->waits_since;
}

struct session *share_next_hungry(struct session_shared *shared)
{
	struct session *session;

	DL_FOREACH2 (shared->hungry, session, hungry_next) {
		if (is_used_up(session) || session->fed_in == shared->turn)
			continue;
		share_forget(session);
		session->fed_in = shared->turn;
		return session;
	}
	return NULL;
}

/* ---- time ---------------------------------------------------------------------- */

size_t share_begin_read(struct session *session)
{
	if (is_used_up(session) || is_behind(session)) {
		wait_for_turn(session);
		return 0;
	}
	share_forget(session);
	share_begin(session);
	return session->shared->shares > 1 ? USER_READ_BYTES : LOOP_READ_BYTES;
}

bool share_begin(struct session *session)
{
	session->shared->began_ns = clock_advance(session->shared->clock);
	return !is_used_up(session);
}

bool share_goes_on(struct session *session)
{
	const struct session_shared *shared = session->shared;
	int64_t took_ns = clock_advance(shared->clock) - shared->began_ns;

	if (shared->shares <= 1)
		return took_ns < SESSION_NS;
	return used_ns(session) + took_ns < USER_NS;
}

void share_end(struct session *session)
{
	struct session_shared *shared = session->shared;
	struct session_share *share = session->share;

	if (!share)
		return;
	if (share->turn != shared->turn)
		*share = (struct session_share){.sessions = share->sessions,
		    .waiting = share->waiting,
		    .turn = shared->turn};
	share->used_ns += clock_advance(shared->clock) - shared->began_ns;
}
