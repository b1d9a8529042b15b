#include "client/reply.h"

/* How waiting for an answer can end without one, for people and for programs. */
static const struct {
	enum poolite_code code;
	const char *text;
} io_failures[] = {
    [POOLITE__IO_END] = {POOLITE_NO_BROKER, "the broker closed the connection"},
    [POOLITE__IO_TIMEOUT] = {POOLITE_QUERY_TIMEOUT, "the broker did not answer in time"},
    [POOLITE__IO_NONSENSE] = {POOLITE_INTERNAL, "the broker's answer makes no sense"},
    [POOLITE__IO_TOO_LARGE] = {POOLITE_TOO_LARGE, "the answer is too large to be read"},
    [POOLITE__IO_NO_MEMORY] = {POOLITE_OVERLOADED, "no memory for the answer"},
};

int poolite__reply_lost(
    enum poolite__effect effect, enum poolite__io io, struct poolite__failure *failure)
{
	const char *text = io_failures[io].text;

	if (effect == POOLITE__WRITES)
		return poolite__fail(failure, POOLITE_OUTCOME_UNKNOWN,
		    "%s: whether the request was carried out cannot be told", text);
	return poolite__fail(failure, io_failures[io].code, "%s: nothing was %s", text,
	    effect == POOLITE__INSIDE ? "done, the transaction is rolled back"
				      : "changed");
}

int poolite__reply_not_sent(enum poolite__io io, struct poolite__failure *failure)
{
	switch (io) {
	case POOLITE__IO_END:
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "the broker closed the connection before it had the whole request");
	case POOLITE__IO_TIMEOUT:
		return poolite__fail(failure, POOLITE_POOL_TIMEOUT,
		    "the broker did not take the whole request in time: it was not carried "
		    "out");
	default:
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory to send the request");
	}
}

int poolite__reply_nonsense(enum poolite__effect effect, struct poolite__failure *failure)
{
	if (effect == POOLITE__WRITES)
		return poolite__reply_lost(effect, POOLITE__IO_NONSENSE, failure);
	return poolite__fail(
	    failure, POOLITE_INTERNAL, "%s", io_failures[POOLITE__IO_NONSENSE].text);
}

int poolite__reply_outcome(
    const struct poolite__reply *reply, struct poolite__failure *failure)
{
	if (reply->answer.failure.code != POOLITE_OK)
		*failure = reply->answer.failure;
	return reply->answer.failure.code;
}
