#include "client/transaction.h"

#include <stdlib.h>
#include <string.h>

#include "client/registry.h"
#include "client/verbs.h"
#include "proto/begin.h"

/* Send begin; the session it was answered on goes to tx. */
static int send_begin(
    struct poolite_tx *tx, unsigned flags, struct poolite__failure *failure)
{
	struct poolite__options options = {.timeout_ms = poolite__timeout_ms(tx->handle)};
	struct poolite__session *session;
	struct poolite__call call;
	int packed;

	poolite__call_init(&call, tx->handle, POOLITE__HARMLESS);
	options.is_read = flags & POOLITE_READ;
	options.abort_on_error = flags & POOLITE_ABORT_ON_ERROR;
	packed = poolite__pack_begin(&call.request, call.msgid, &options);
	if (poolite__call_any(&call, tx->handle, packed, &session, failure) == 0) {
		/* After a refused begin the session waits for a rollback: drop it. */
		if (poolite__reply_outcome(&call.reply, failure))
			poolite__discard(tx->handle, session);
		else
			tx->session = session;
	}
	poolite__call_release(&call);
	return failure->code;
}

int poolite__begin(struct poolite *handle, unsigned flags, struct poolite_tx **tx,
    struct poolite__failure *failure)
{
	struct poolite_tx *begun;

	*tx = NULL;
	if (!handle)
		return poolite__no_handle(failure);
	if (flags & ~(unsigned)(POOLITE_READ | POOLITE_ABORT_ON_ERROR))
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no such flag of poolite_begin");
	begun = calloc(1, sizeof *begun);
	if (!begun)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for a transaction");
	begun->handle = handle;
	begun->generation = poolite__generation();
	begun->is_read = flags & POOLITE_READ;
	if (send_begin(begun, flags, failure)) {
		free(begun);
		return failure->code;
	}
	*tx = begun;
	return 0;
}

int poolite__tx_check(const struct poolite_tx *tx, struct poolite__failure *failure)
{
	if (tx->generation != poolite__generation())
		return poolite__fail(failure, POOLITE_NO_TRANSACTION,
		    "the transaction was begun before a fork, in the parent process");
	if (!tx->session)
		*failure = tx->lost;
	return failure->code;
}

int poolite__tx_run(struct poolite_tx *tx, struct poolite__call *call, int packed,
    struct poolite__failure *failure)
{
	if (poolite__tx_check(tx, failure))
		return failure->code;
	if (poolite__call_on(call, tx->handle, packed, &tx->session, failure)) {
		if (!tx->session)
			tx->lost = *failure;
		return failure->code;
	}
	return poolite__reply_outcome(&call->reply, failure);
}

/* Free it with its session, which is of no more use. */
static void drop(struct poolite_tx *tx)
{
	struct poolite__session *session = tx->session;

	if (session && tx->generation == poolite__generation())
		poolite__discard(tx->handle, session);
	else if (session && !session->is_under_way)
		poolite__session_free(session); /* the fork took its socket away */
	free(tx);
}

/* Send commit or rollback, and free it. */
static int end(struct poolite_tx *tx, enum poolite__method method,
    enum poolite__effect effect, struct poolite__failure *failure)
{
	struct poolite__call call;
	int packed;

	if (poolite__tx_check(tx, failure)) {
		drop(tx);
		return failure->code;
	}
	poolite__call_init(&call, tx->handle, effect);
	packed = poolite__pack_bare_request(&call.request, call.msgid, method);
	if (poolite__call_on(&call, tx->handle, packed, &tx->session, failure) == 0) {
		poolite__reply_outcome(&call.reply, failure);
		poolite__give_back(tx->handle, tx->session);
		tx->session = NULL;
	}
	poolite__call_release(&call);
	drop(tx);
	return failure->code;
}

int poolite__commit(struct poolite_tx *tx, struct poolite__failure *failure)
{
	if (!tx)
		return poolite__fail(
		    failure, POOLITE_NO_TRANSACTION, "no transaction to commit");
	return end(tx, POOLITE__COMMIT, tx->is_read ? POOLITE__INSIDE : POOLITE__WRITES,
	    failure);
}

int poolite__rollback(struct poolite_tx *tx, struct poolite__failure *failure)
{
	struct poolite__failure ignored = {.code = POOLITE_OK};

	if (!tx)
		return 0;
	if (tx->generation != poolite__generation())
		return end(tx, POOLITE__ROLLBACK, POOLITE__INSIDE, failure);
	/* Whatever the answer: with its session gone, so is the transaction. */
	end(tx, POOLITE__ROLLBACK, POOLITE__INSIDE, &ignored);
	return 0;
}

int poolite_begin(struct poolite *handle, unsigned flags, struct poolite_tx **tx,
    struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	if (tx)
		poolite__begin(handle, flags, tx, &failure);
	else
		poolite__fail(
		    &failure, POOLITE_BAD_REQUEST, "no place for the transaction");
	return poolite__report(error, &failure);
}

int poolite_tx_commit(struct poolite_tx *tx, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	poolite__commit(tx, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_rollback(struct poolite_tx *tx, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	poolite__rollback(tx, &failure);
	return poolite__report(error, &failure);
}
