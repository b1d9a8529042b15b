/* reply.h - an answer with the bytes it points into, or why there is none. */
#ifndef POOLITE_CLIENT_REPLY_H
#define POOLITE_CLIENT_REPLY_H

#include "client/session.h"

/** What a request may have done when no answer comes. */
enum poolite__effect {
	POOLITE__HARMLESS, /* nothing that matters: it may be sent again */
	POOLITE__WRITES,   /* perhaps everything: OUTCOME_UNKNOWN */
	POOLITE__INSIDE,   /* nothing: its transaction goes with the session */
};

struct poolite__reply {
	enum poolite__effect effect;   /* of the request */
	struct poolite__buf bytes;     /* owns */
	struct poolite__answer answer; /* points into bytes */
};

/** What the answer says: 0, or the broker's error in ${failure} and its code. */
int poolite__reply_outcome(
    const struct poolite__reply *reply, struct poolite__failure *failure);

/** For an answer whose result makes no sense. */
int poolite__reply_nonsense(
    enum poolite__effect effect, struct poolite__failure *failure);

/** The request went out whole, and ${io} ended the wait for its answer. */
int poolite__reply_lost(
    enum poolite__effect effect, enum poolite__io io, struct poolite__failure *failure);

/** It did not go out whole, by ${io}, so it was not carried out. */
int poolite__reply_not_sent(enum poolite__io io, struct poolite__failure *failure);

#endif
