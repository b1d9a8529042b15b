/* session_internal.h - what session.c and session_input.c share; nobody else includes it. */
#ifndef POOLITE_BROKER_NET_SESSION_INTERNAL_H
#define POOLITE_BROKER_NET_SESSION_INTERNAL_H

#include "broker/net/internal.h"
#include "broker/net/outbox.h"
#include "broker/net/session.h"
#include "proto/answer.h"
#include "proto/frame.h"

enum session_state { SESSION_OPEN, SESSION_ENDED, SESSION_CLOSING };

struct session {
	uv_pipe_t pipe;
	struct session_shared *shared; /* borrowed; the server outlives its sessions */
	uint64_t id;
	struct session_peer peer;
	void *data; /* the owner's */
	char key[POOLITE__KEY_CHARS + 1];

	enum session_state state;
	bool is_client;  /* counts among max_clients */
	bool is_reading; /* uv_read_start is on */
	bool is_gone;    /* nobody reads answers */
	bool is_writing; /* a uv_write is under way */
	bool is_dirty;   /* on shared->dirty */
	bool is_watched; /* on shared->watched */
	bool saw_end;    /* of the stream; whole messages in `in` are still to be taken */
	bool is_draining; /* shutdown(SHUT_RD) was done */
	bool was_full;    /* and its owner not yet told that it has room again */
	bool is_waiting;  /* on share->waiting */
	bool is_hungry;   /* on shared->hungry: whole messages are left in `in` */
	bool handle_closed;
	struct poolite__failure *farewell; /* owns; sent last, or NULL */

	uint32_t inflight;     /* requests under way */
	size_t inflight_bytes; /* of their messages */
	struct poolite__scan scan;
	struct poolite__buf in; /* bytes after the last whole message taken */
	struct outbox out;
	uv_write_t write;
	size_t last_queue; /* uv's write queue at the last tick */
	int64_t
	    progress_ns; /* when a byte last moved in the direction that is waited for */

	struct session_share *share; /* borrowed: its user's; NULL: being turned away */
	uint64_t waits_since;        /* the turn that put it off */
	uint64_t fed_in; /* the turn in which it was hungry last and went on */

	struct session *waiting_next, *waiting_prev;
	struct session *hungry_next, *hungry_prev;
	struct session *dirty_next;
	struct session *watched_next, *watched_prev;
	struct session *all_next, *all_prev;
};

/* ---- session.c ---- */

/** Have session_settle_all look at it before the loop blocks. */
void session_mark_dirty(struct session *session);
/** Nobody reads its answers any more. */
void session_become_gone(struct session *session);

/* ---- session_input.c ---- */

/** Whether another message may be taken now. */
bool session_may_take(const struct session *session);
/** Take the messages that waited in `in` while the session was full. */
void session_take_waiting(struct session *session);
/** Read while there is room.  What waits in `in` behind a full session was read already. */
void session_adjust_reading(struct session *session);
/** Whether the peer has closed both halves. */
bool session_peer_hung_up(struct session *session);

#endif
