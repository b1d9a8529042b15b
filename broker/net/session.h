/* session.h - one client connection: bytes in, frames out of them, answers out.
 *
 * A session finds whole messages under limits and hands them up; it holds
 * back-pressure both ways, and closes when everything was answered.  It knows
 * nothing of what the messages mean.
 *
 *   OPEN ──── end of stream, session_break, server_drain ────► ENDED
 *    │                                                           │ nothing under way,
 *    │ write_timeout, session_abandon                            │ all bytes written
 *    └────────────────────────► CLOSING ◄────────────────────────┘
 *                                  │ handle closed, nothing under way
 *                                  ▼ freed
 *
 * OPEN    takes messages, unless its marks are passed (then it does not read,
 *         and is polled for a peer that hung up)
 * ENDED   no message comes any more; what is under way is answered
 * CLOSING its descriptor is gone or going; answers are dropped
 */
#ifndef POOLITE_BROKER_NET_SESSION_H
#define POOLITE_BROKER_NET_SESSION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "broker/clock.h"
#include "proto/buffer.h"
#include "proto/failure.h"

struct loop;
struct session;

/* What a session tells its owner; all on the loop's thread. */
struct session_handler {
	/**
	 * A newcomer, connected on ${fd}: the first call.  0 to serve it; or a code, with
	 * ${failure}: it is told so and closed, and counts as refused.
	 */
	int (*on_connect)(
	    struct session *session, int fd, struct poolite__failure *failure);
	/** A whole message, borrowed for the call.  Count it with session_begin_request. */
	void (*on_message)(struct session *session, const uint8_t *message, size_t len);
	/** The client has read so much that it is not full any more (session_is_full). */
	void (*on_has_room)(struct session *session);
	/** No message comes any more: half-closed, gone or broken.  Once. */
	void (*on_end)(struct session *session);
	/** Nobody reads answers any more; on_end may come before or after.  Once. */
	void (*on_gone)(struct session *session);
	/** Last call; the session's memory goes afterwards. */
	void (*on_free)(struct session *session);
	void *context; /* the owner's */
};

/* What the sessions of one user have had of the loop's time (net/share.h); zero it to start. */
struct session_share {
	size_t sessions;
	struct session *waiting; /* put off to a later turn, by waiting_next */
	uint64_t turn;           /* the turn that used_ns is of */
	int64_t used_ns;
};

/* What all sessions of one server have in common; the server owns it. */
struct session_shared {
	struct loop *loop;
	struct clock *clock;
	const struct session_handler *handler;
	struct poolite__limits limits;
	uint32_t inflight_max; /* requests under way per session */
	int64_t write_timeout_ns;
	struct session *dirty;   /* those that session_settle_all has to look at */
	struct session *watched; /* those that the tick has to look at */
	struct session *all;     /* every one, for the end */
	struct session *hungry;  /* those with whole messages left for a later turn */
	size_t shares;           /* users who have sessions */
	uint64_t turn;           /* of the loop */
	int64_t began_ns;        /* what is being done now */
	uint64_t next_id;
	size_t count;   /* clients, without those refused */
	size_t handles; /* sessions whose memory is not freed yet */
	/* counters */
	uint64_t accepted, refused, protocol_errors, timed_out;
};

/* Who is at the other end, by SO_PEERCRED, when it connected. */
struct session_peer {
	pid_t pid;
	uid_t uid;
	gid_t gid;
};

/** Bytes of answers waiting above which no further request of a session is begun. */
#define SESSION_OUT_MARK ((size_t)1 << 20)
/** Bytes of requests under way above which no further one is taken, unless it is one alone. */
#define SESSION_IN_MARK ((size_t)1 << 20)

/** For the server: take over a connected, non-blocking descriptor (closed on failure),
 *  and ask the handler whether to serve it. */
void session_open(struct session_shared *shared, int fd);

/** Ids start at 1 and are never used twice. */
uint64_t session_id(const struct session *session);
struct session_peer session_peer(const struct session *session);
/** POOLITE__KEY_CHARS hexadecimal characters, made on first use. */
const char *session_key(struct session *session);
void *session_context(const struct session *session);

/**
 * From on_connect: whose it is.
 *
 *   budget  borrowed for life: what it keeps in memory is taken from it
 *   share   borrowed for life: the user's sessions share the loop's time by it
 */
void session_set_user(
    struct session *session, struct poolite__budget *budget, struct session_share *share);

/** The owner's data: NULL at first. */
void session_set_data(struct session *session, void *data);
void *session_data(const struct session *session);
/** The next of all sessions after ${session}; NULL for ${session}: the first. */
struct session *session_next(
    const struct session_shared *shared, const struct session *session);

/** A request, or a task for this session, is under way: the session stays until it ended. */
void session_begin_request(struct session *session, size_t message_bytes);
/** It ended; ${answer} (may be NULL or empty: none) is sent; its bytes are taken. */
void session_end_request(
    struct session *session, size_t message_bytes, struct poolite__buf *answer);

/**
 * Send a copy of ${answer}, to a request that was answered while it was handed up.  False
 * when there is no memory for it; when nobody reads it, it is dropped.
 */
bool session_answer(struct session *session, const struct poolite__buf *answer);

/** Whether so much waits to be read by the client that its next request must wait. */
bool session_is_full(const struct session *session);
/** Bytes of answers that wait. */
size_t session_unread_bytes(const struct session *session);
/** Whether other users have sessions, too. */
bool session_has_rivals(const struct session *session);
/** Whether nobody is there to read answers. */
bool session_is_gone(const struct session *session);
/** Whether no message comes any more. */
bool session_has_ended(const struct session *session);

/**
 * The peer broke the rules: take no more messages, answer what is under way,
 * then send the notification "error" with ${failure} and close.
 */
void session_break(struct session *session, const struct poolite__failure *failure);

/** Treat what arrived until now as the end of the stream (a clean stop). */
void session_drain(struct session *session);

/** Close now, whatever waits. */
void session_abandon(struct session *session);

/**
 * Loop, at the end of each turn: flush answers, read on, close what is done.
 * Whether there are messages left for the next one: the loop must not block.
 */
bool session_settle_all(struct session_shared *shared);
/** Loop, each tick: hang-ups of sessions that are not read, time-outs. */
void session_watch_all(struct session_shared *shared);

#endif
