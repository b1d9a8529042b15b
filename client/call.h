/* call.h - one request and its answer, under one deadline.
 *
 *	poolite__call_init(&call, handle, POOLITE__WRITES);
 *	packed = poolite__pack_...(&call.request, call.msgid, ...);
 *	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
 *		... read call.reply.answer.result ...
 *	poolite__call_release(&call);
 */
#ifndef POOLITE_CLIENT_CALL_H
#define POOLITE_CLIENT_CALL_H

#include "client/handle.h"
#include "client/reply.h"

struct poolite__call {
	uint32_t msgid;
	int64_t deadline; /* of the answer, on the monotonic clock; 0: not sent yet */
	unsigned resent;  /* how often it was sent again, its answer being lost */
	struct poolite__buf request;      /* to be packed by the caller */
	const struct poolite__rest *rest; /* borrowed: what follows it; NULL: nothing */
	struct poolite__reply reply;      /* after success */
};

/** How large an answer may be. */
struct poolite__limits poolite__answer_limits(struct poolite *handle);
/** The broker's deadline for each request, as options have it; 0: none. */
int64_t poolite__timeout_ms(const struct poolite *handle);
/** Until when to wait for the answer of what is sent now. */
int64_t poolite__answer_deadline(const struct poolite *handle);

/** Start one. */
void poolite__call_init(
    struct poolite__call *call, struct poolite *handle, enum poolite__effect effect);
/** Free what it holds. */
void poolite__call_release(struct poolite__call *call);

/**
 * Send it on a session of the handle's choice and read the answer; ${tx} not
 * NULL: inside that transaction, on its session.  ${packed} is what packing
 * the request returned.  0, or ${failure} filled and its code.
 */
int poolite__call_run(struct poolite__call *call, struct poolite *handle,
    struct poolite_tx *tx, int packed, struct poolite__failure *failure);

/**
 * Send it on a session of the handle's choice.  0 once the broker has answered,
 * if only with an error (poolite__reply_outcome): ${session} stays borrowed.
 * What is HARMLESS is sent again on a new connection when the old one ends
 * before the answer: twice at most, so that no request takes one broker after
 * the other with it.
 */
int poolite__call_any(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure);

/**
 * The same on a given session; unless it returns 0 or ${packed} is none, the
 * session is discarded and set to NULL.
 */
int poolite__call_on(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure);

/**
 * The two halves of one attempt on ${session}, for who has something to do in
 * between.  0, or a code: the session is of no more use.
 */
int poolite__call_send(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure);
int poolite__call_await(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure);

#endif
