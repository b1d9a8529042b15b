#include "client/call.h"

#include <poll.h>
#include <string.h>

#include "client/transaction.h"

/* An answer may be this large even when no broker has told its limit. */
#define ANSWER_BYTES_MAX ((size_t)1 << 30)
/* Between two connects when a broker hangs up on us at once. */
#define RETRY_MS 10

/** How one attempt ended. */
enum attempt {
	ANSWERED,
	NOT_SENT, /* the broker hung up before it had all of it: nothing happened */
	LOST,     /* anything else */
};

void poolite__call_init(struct poolite__call *call, struct poolite *handle,
    enum poolite__effect effect, struct poolite__options *options)
{
	memset(call, 0, sizeof *call);
	call->effect = effect;
	poolite__buf_init(&call->request, ANSWER_BYTES_MAX, NULL);
	poolite__buf_init(&call->reply, 0, NULL);
	if (options)
		memset(options, 0, sizeof *options);
	if (!handle)
		return;
	call->msgid =
	    atomic_fetch_add_explicit(&handle->next_msgid, 1, memory_order_relaxed);
	if (options && handle->options.request_timeout_ms > 0)
		options->timeout_ms = handle->options.request_timeout_ms;
}

void poolite__call_release(struct poolite__call *call)
{
	poolite__buf_release(&call->request);
	poolite__buf_release(&call->reply);
}

int poolite__call_nonsense(
    const struct poolite__call *call, struct poolite__failure *failure)
{
	if (call->effect == POOLITE__WRITES)
		return poolite__fail(failure, POOLITE_OUTCOME_UNKNOWN,
		    "the broker's answer makes no sense: whether it was done cannot be told");
	return poolite__fail(
	    failure, POOLITE_INTERNAL, "the broker's answer makes no sense");
}

/* ---- one attempt --------------------------------------------------------- */

/* How an attempt can end without an answer, for people and for programs. */
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

static enum attempt lost(const struct poolite__call *call, enum poolite__io io,
    struct poolite__failure *failure)
{
	const char *text = io_failures[io].text;

	if (call->effect == POOLITE__WRITES)
		poolite__fail(failure, POOLITE_OUTCOME_UNKNOWN,
		    "%s: whether the request was carried out cannot be told", text);
	else
		poolite__fail(failure, io_failures[io].code, "%s%s", text,
		    call->effect == POOLITE__INSIDE ? "; the transaction is rolled back"
						    : "");
	return LOST;
}

static struct poolite__limits answer_limits(struct poolite *handle)
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
	    poolite__read_answer(session->in.data, len, &answer) == 0 &&
	    answer.is_closing && answer.failure.code != POOLITE_OK) {
		*failure = answer.failure;
		return NOT_SENT;
	}
	if (io == POOLITE__IO_END) {
		poolite__fail(failure, POOLITE_NO_BROKER,
		    "the broker closed the connection before it had the whole request");
		return NOT_SENT;
	}
	if (io == POOLITE__IO_TIMEOUT)
		poolite__fail(failure, POOLITE_POOL_TIMEOUT,
		    "the broker did not take the whole request in time: it was not carried out");
	else
		poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory to send the request");
	return LOST;
}

/* Move the first ${len} bytes of what came to the call. */
static int take_reply(
    struct poolite__call *call, struct poolite__session *session, size_t len)
{
	if (session->in.len == len) {
		call->reply = session->in;
		poolite__buf_init(&session->in, call->reply.max, NULL);
		return 0;
	}
	poolite__buf_init(&call->reply, len, NULL);
	if (poolite__buf_append(&call->reply, session->in.data, len))
		return POOLITE_OVERLOADED;
	poolite__buf_consume(&session->in, len);
	return 0;
}

/* Read messages up to the one that answers. */
static enum attempt await(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, int64_t deadline, struct poolite__failure *failure)
{
	struct poolite__limits limits = answer_limits(handle);

	for (;;) {
		size_t len;
		enum poolite__io io =
		    poolite__session_receive(session, &limits, deadline, &len);

		if (io != POOLITE__IO_OK)
			return lost(call, io, failure);
		poolite__buf_release(&call->reply);
		if (take_reply(call, session, len))
			return lost(call, POOLITE__IO_NO_MEMORY, failure);
		if (poolite__read_answer(call->reply.data, len, &call->answer))
			return lost(call, POOLITE__IO_NONSENSE, failure);
		if (call->answer.is_closing) {
			if (call->answer.failure.code == POOLITE_OK)
				return lost(call, POOLITE__IO_NONSENSE, failure);
			*failure = call->answer.failure;
			return LOST;
		}
		if (call->answer.is_notification)
			continue; /* one that a later broker sends */
		if (call->answer.msgid != call->msgid)
			return lost(call, POOLITE__IO_NONSENSE, failure);
		return ANSWERED;
	}
}

static enum attempt attempt(struct poolite__call *call, struct poolite *handle,
    struct poolite__session *session, struct poolite__failure *failure)
{
	int64_t deadline = INT64_MAX;
	enum attempt ended;
	enum poolite__io io;

	if (handle->options.request_timeout_ms > 0)
		deadline = poolite__now_ms() + handle->options.request_timeout_ms +
		    handle->options.answer_grace_ms;
	io = poolite__session_send(session, call->msgid, &call->request, deadline);
	if (io != POOLITE__IO_OK)
		return not_sent(session, io, failure);
	ended = await(call, handle, session, deadline, failure);
	poolite__session_finish(session);
	return ended;
}

/* ---- as many as it takes ------------------------------------------------- */

/* Whether to try again what did not succeed on ${session}. */
static bool may_try_again(const struct poolite__call *call,
    const struct poolite__session *session, enum attempt ended,
    const struct poolite__failure *failure)
{
	bool is_gone = failure->code == POOLITE_NO_BROKER;

	if (!session->is_reused)
		return ended == NOT_SENT && is_gone;
	/* A broker's restart: an old session ends, another one will do. */
	return ended == NOT_SENT ||
	    (call->effect == POOLITE__HARMLESS &&
		(is_gone || failure->code == POOLITE_SHUTTING_DOWN));
}

static int check_packed(int packed, struct poolite__failure *failure)
{
	if (packed == POOLITE_BAD_REQUEST)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "either all arguments have a name or none has");
	if (packed == POOLITE_TOO_LARGE)
		return poolite__fail(failure, packed, "the request is too large");
	if (packed)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for the request");
	return 0;
}

int poolite__call_any(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure)
{
	int64_t deadline = poolite__deadline(handle->options.connect_timeout_ms);

	*session = NULL;
	if (check_packed(packed, failure))
		return failure->code;
	for (;;) {
		enum attempt ended;
		bool may_again, is_new;

		if (poolite__borrow(handle, deadline, session, failure))
			return failure->code;
		ended = attempt(call, handle, *session, failure);
		if (ended == ANSWERED) {
			failure->code = POOLITE_OK; /* of attempts before */
			return 0;
		}
		may_again = may_try_again(call, *session, ended, failure);
		is_new = !(*session)->is_reused;
		poolite__discard(handle, *session);
		*session = NULL;
		if (!may_again || poolite__now_ms() >= deadline)
			return failure->code;
		if (is_new)
			poll(NULL, 0, RETRY_MS);
	}
}

int poolite__call_on(struct poolite__call *call, struct poolite *handle, int packed,
    struct poolite__session **session, struct poolite__failure *failure)
{
	if (check_packed(packed, failure))
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
	return poolite__call_outcome(call, failure);
}

int poolite__call_outcome(
    const struct poolite__call *call, struct poolite__failure *failure)
{
	if (call->answer.failure.code != POOLITE_OK)
		*failure = call->answer.failure;
	return call->answer.failure.code;
}
