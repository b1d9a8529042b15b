/* share.h - how sessions share the loop's time, so that none holds up the others.
 *
 * A turn of the loop looks at every socket that has something, and runs what came: short
 * reads too, right there.  Who sends much must not make that turn long:
 *
 *   a session    hands up messages for so long; what is left of those read waits in
 *                `in`, and the session on shared->hungry, for the next turn;
 *   a user       (struct session_share, all sessions of one uid) when there are several,
 *                as long for all of its sessions together.  The others' sockets
 *                are not read in this turn: they wait on share->waiting.
 *
 * Who waited longer comes first: while one waits that was put off in an earlier turn,
 * those that were not are put off too.
 */
#ifndef POOLITE_BROKER_NET_SHARE_H
#define POOLITE_BROKER_NET_SHARE_H

#include "broker/net/session_internal.h"

/** A newcomer has a part in ${share} (borrowed), until share_leave. */
void share_enter(struct session *session, struct session_share *share);
void share_leave(struct session *session);

/** How many bytes ${session} may read now; 0: not in this turn, and it waits. */
size_t share_begin_read(struct session *session);
/** Its work begins now; false: its user has had its part of this turn. */
bool share_begin(struct session *session);
/** Whether it may hand up another message; to be asked after each.  Advances the clock. */
bool share_goes_on(struct session *session);
/** Its work is over for now: what it took is its user's. */
void share_end(struct session *session);

/** It may have whole messages left, for a later turn. */
void share_be_hungry(struct session *session);
/** It waits for nothing any more. */
void share_forget(struct session *session);
/** The next session that is hungry and may go on in this turn, or NULL; it is hungry no more. */
struct session *share_next_hungry(struct session_shared *shared);

#endif
