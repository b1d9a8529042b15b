#include "client/call.h"

#include <poll.h>
#include <string.h>

#include "client/transaction.h"
#include "client/verb.h"

/* An answer may be this large even when no broker has told its limit. */
#define ANSWER_BYTES_MAX ((size_t)1 << 30)
/* Between two attempts when a broker hangs up on us. */
#define RETRY_MS       10
#define RETRY_LATER_MS 100
/* A request that ends one broker after the other is not to go on doing so. */
#define RESENDS_MAX 2

/** How one attempt ended. */
enum attempt {
	ANSWERED,
	NOT_SENT, /* the broker hung up before it had all of it: nothing happened */
	LOST,     /* anything else */
};

void poolite__call_init(
    struct poolite__call *call, struct poolite *handle, enum poolite__effect effect)
{
	memset(call, 0, sizeof *call);
	call->reply.effect = effect;
	poolite__buf_init(&call->request, ANSWER_BYTES_MAX, NULL);
	poolite__buf_init(&call->reply.bytes, 0, NULL);
	if (handle)
		call->msgid = atomic_fetch_add_explicit(
		    &handle->next_msgid, 1, memory_order_relaxed);
}

void poolite__call_release(struct poolite__call *call)
{
	poolite__buf_release(&call->request);
	poolite__buf_release(&call->reply.bytes);
}

/* ---- one attempt --------------------------------------------------------- */

static enum attempt lost(const struct poolite__call *call, enum poolite__io io,
    struct poolite__failure *failure)
{
	poolite__reply_lost(call->reply.effect, io, failure);
	return LOST;
}

struct poolite__limits poolite__answer_limits(struct poolite *handle)
{
	struct poolite__limits limits = {ANSWER_BYTES_MAX, UINT32_MAX};

	pthread_mutex_lock(&handle->lock);
	if (handle->has_limits &&
	    handle->limits.max_result_bytes > (int64_t)ANSWER_BYTES_MAX)
		limits.frame_bytes_max =
		    (size_t)handle->limits.max_result_bytes + POOLITE__ENVELOPE_BYTES;
	pthread_mutex_unlock(&handle->lock);
	return limits;
}

/* The request did not go out whole.  Did the broker say why it hangs up? */
static enum attempt not_sent(struct poolite__session *session, enum poolite__io io,
    struct poolite__failure *failure)
{
	struct poolite__limits limits = {ANSWER_BYTES_MAX, UINT32_MAX};
	struct poolite__answer answer;
	size_t len;

	if (io == POOLITE__IO_END &&
	    poolite__session_receive(session, &limits, 0, &len) == POOLITE__IO_OK &&
	    poolite__read_answer(poolite__session_head(session), len, &answer) == 0 &&
	    answer.is_closing && answer.failure.code != POOLITE_OK) {
		*failure = answer.failure;
		return NOT_SENT;
	}
	poolite__reply_not_sent(io, failure);
	return io == POOLITE__IO_END ? NOT_SENT : LOST;
}

/* Read messages up to the one that answers. */
static enum attempt await(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	struct poolite__limits limits = poolite__answer_limits(handle);
	struct poolite__reply *reply = &call->reply;

	for (;;) {
		size_t len;
		enum poolite__io io =
		    poolite__session_receive(session, &limits, call->deadline, &len);

		if (io != POOLITE__IO_OK)
			return lost(call, io, failure);
		poolite__buf_release(&reply->bytes);
		if (poolite__session_take(session, len, &reply->bytes))
			return lost(call, POOLITE__IO_NO_MEMORY, failure);
		if (poolite__read_answer(reply->bytes.data, len, &reply->answer))
			return lost(call, POOLITE__IO_NONSENSE, failure);
		if (reply->answer.is_closing) {
			if (reply->answer.failure.code == POOLITE_OK)
				return lost(call, POOLITE__IO_NONSENSE, failure);
			*failure = reply->answer.failure;
			return LOST;
		}
		if (reply->answer.is_notification)
			continue; /* one that a later broker sends */
		if (reply->answer.msgid != call->msgid)
			return lost(call, POOLITE__IO_NONSENSE, failure);
		return ANSWERED;
	}
}

int64_t poolite__timeout_ms(const struct poolite *handle)
{
	return handle->options.request_timeout_ms > 0 ? handle->options.request_timeout_ms
						      : 0;
}

int64_t poolite__answer_deadline(const struct poolite *handle)
{
	if (handle->options.request_timeout_ms < 0)
		return INT64_MAX;
	return poolite__now_ms() + handle->options.request_timeout_ms +
	    handle->options.answer_grace_ms;
}

/* ANSWERED: not yet, but it may be. */
static enum attempt send_request(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	enum poolite__io io;

	if (call->deadline == 0)
		call->deadline = poolite__answer_deadline(handle);
	io = poolite__session_send(
	    session, call->msgid, &call->request, call->rest, call->deadline);
	return io == POOLITE__IO_OK ? ANSWERED : not_sent(session, io, failure);
}

static enum attempt attempt(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	enum attempt ended = send_request(call, handle, session, failure);

	if (ended != ANSWERED)
		return ended;
	ended = await(call, handle, session, failure);
	poolite__session_finish(session);
	return ended;
}

int poolite__call_send(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	return send_request(call, handle, session, failure) == ANSWERED ? 0
									: failure->code;
}

int poolite__call_await(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	enum attempt ended = await(call, handle, session, failure);

	poolite__session_finish(session);
	return ended == ANSWERED ? 0 : failure->code;
}

/* ---- as many as it takes ------------------------------------------------- */

/* Whether to try again what did not succeed on ${session}. */
static bool may_try_again(const struct poolite__call *call,
    const struct poolite__session *session, enum attempt ended,
    const struct poolite__failure *failure)
{
	bool is_gone = failure->code == POOLITE_NO_BROKER;

	if (ended == NOT_SENT)
		return session->is_reused || is_gone;
	return call->reply.effect == POOLITE__HARMLESS && call->resent < RESENDS_MAX &&
	    (is_gone || failure->code == POOLITE_SHUTTING_DOWN);
}

/* Its answer is lost, and it is to be sent again: until when? */
static int64_t begin_again(struct poolite__call *call, const struct poolite *handle)
{
	int64_t deadline = poolite__deadline(handle->options.connect_timeout_ms);

	call->resent++;
	return deadline < call->deadline ? deadline : call->deadline;
}

/* No session to send it on; ${failure} tells why. */
static int no_session(const struct poolite__call *call, struct poolite__failure *failure)
{
	struct poolite__failure why = *failure;

	if (call->resent > 0)
		poolite__fail(failure, why.code,
		    "the connection was lost before the answer came, and nothing was "
		    "done; then: %s",
		    why.message);
	return failure->code;
}

int poolite__call_any(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure)
{
	int64_t deadline = poolite__deadline(handle->options.connect_timeout_ms);

	*session = NULL;
	if (poolite__check_packed(packed, failure))
		return failure->code;
	for (;;) {
		enum attempt ended;
		bool may_again, should_pause;

		if (poolite__borrow(handle, deadline, session, failure))
			return no_session(call, failure);
		ended = attempt(call, handle, *session, failure);
		if (ended == ANSWERED) {
			failure->code = POOLITE_OK; /* of attempts before */
			return 0;
		}
		may_again = may_try_again(call, *session, ended, failure);
		/* The broker's other sockets may be about to end, too. */
		should_pause = ended == LOST || !(*session)->is_reused;
		poolite__discard(handle, *session);
		*session = NULL;
		if (may_again && ended == LOST)
			deadline = begin_again(call, handle);
		if (!may_again || poolite__now_ms() >= deadline)
			return failure->code;
		if (should_pause)
			poll(NULL, 0, call->resent > 1 ? RETRY_LATER_MS : RETRY_MS);
	}
}

int poolite__call_on(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure)
{
	if (poolite__check_packed(packed, failure))
		return failure->code;
	if (attempt(call, handle, *session, failure) == ANSWERED)
		return 0;
	poolite__discard(handle, *session);
	*session = NULL;
	return failure->code;
}

int poolite__call_run(struct poolite__call *call, struct poolite *handle,
    struct poolite_tx *tx, int packed, struct poolite__failure *failure)
{
	struct poolite__session *session;

	if (tx)
		return poolite__tx_run(tx, call, packed, failure);
	if (poolite__call_any(call, handle, packed, &session, failure))
		return failure->code;
	poolite__give_back(handle, session);
	return poolite__reply_outcome(&call->reply, failure);
}
