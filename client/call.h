/* call.h - one request and its answer, under one deadline.
 *
 *	poolite__call_init(&call, handle, POOLITE__WRITES, &options);
 *	packed = poolite__pack_...(&call.request, call.msgid, ..., &options);
 *	if (poolite__call_run(&call, handle, tx, packed, failure) == 0)
 *		... read call.answer.result ...
 *	poolite__call_release(&call);
 */
#ifndef POOLITE_CLIENT_CALL_H
#define POOLITE_CLIENT_CALL_H

#include "client/handle.h"

/** What a request may have done when no answer comes. */
enum poolite__effect {
	POOLITE__HARMLESS, /* nothing that matters: it may be sent again */
	POOLITE__WRITES,   /* perhaps everything: OUTCOME_UNKNOWN */
	POOLITE__INSIDE,   /* nothing: its transaction goes with the session */
};

struct poolite__call {
	uint32_t msgid;
	enum poolite__effect effect;
	struct poolite__buf request; /* to be packed by the caller */
	/* After success: */
	struct poolite__buf reply;     /* owns the answer's bytes */
	struct poolite__answer answer; /* points into them */
};

/**
 * Start one.  ${options}, if not NULL, is zeroed and given the handle's
 * request timeout.
 */
void poolite__call_init(struct poolite__call *call, struct poolite *handle,
    enum poolite__effect effect, struct poolite__options *options);
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
 * if only with an error (poolite__call_outcome): ${session} stays borrowed.
 */
int poolite__call_any(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure);

/**
 * The same on a given session; unless it returns 0 or ${packed} is none, the
 * session is discarded and set to NULL.
 */
int poolite__call_on(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure);

/** What the answer says: 0, or the broker's error in ${failure} and its code. */
int poolite__call_outcome(
    const struct poolite__call *call, struct poolite__failure *failure);

/** For an answer whose result makes no sense. */
int poolite__call_nonsense(
    const struct poolite__call *call, struct poolite__failure *failure);

#endif
