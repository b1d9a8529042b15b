/* Cursors: a query's result page by page. */
#include "proto/cursor.h"

#include <stdlib.h>

#include "client/registry.h"
#include "client/result.h"
#include "client/verbs.h"

#define PAGE_ROWS 1000

struct poolite_cursor {
	struct poolite *handle;           /* borrowed; lives while a session is */
	struct poolite_tx *tx;            /* borrowed; NULL: outside */
	struct poolite__session *session; /* borrowed from handle, outside and while there
	                                     is more to fetch; else NULL */
	unsigned generation;              /* the process it belongs to (registry.h) */
	uint64_t id;                      /* the broker's name for it; 0: no more pages */
	struct poolite_result *page;      /* owns */
	struct poolite__failure failure;  /* why it ended before its end */

	bool is_ahead; /* the next page's fetch has been sent */
	struct poolite__call fetch;
};

/* ---- pages --------------------------------------------------------------- */

/* Its session is of no more use, or (${is_clean}) is for others again. */
static void let_go(struct poolite_cursor *cursor, bool is_clean)
{
	cursor->id = 0;
	if (cursor->is_ahead)
		poolite__call_release(&cursor->fetch);
	if (cursor->session && is_clean && !cursor->is_ahead)
		poolite__give_back(cursor->handle, cursor->session);
	else if (cursor->session)
		poolite__discard(cursor->handle, cursor->session);
	cursor->is_ahead = false;
	cursor->session = NULL;
}

/* Begin the call fetch. */
static int pack_fetch(struct poolite_cursor *cursor)
{
	struct poolite__options options = {
	    .timeout_ms = poolite__timeout_ms(cursor->handle)};

	poolite__call_init(&cursor->fetch, cursor->handle,
	    cursor->tx ? POOLITE__INSIDE : POOLITE__HARMLESS);
	return poolite__pack_fetch(
	    &cursor->fetch.request, cursor->fetch.msgid, cursor->id, 0, &options);
}

/* A page has come: take it, and see to the one behind it. */
static int take_page(struct poolite_cursor *cursor, struct poolite__reply *reply)
{
	struct poolite__into into = {.result = &cursor->page};

	poolite_result_free(cursor->page);
	cursor->page = NULL;
	cursor->id = 0;
	if (poolite__reply_outcome(reply, &cursor->failure) == 0 &&
	    poolite__verb_take(POOLITE__QUERY, 0, reply, &into, &cursor->failure) == 0)
		cursor->id = poolite__result_cursor(cursor->page);
	return cursor->failure.code;
}

/* Outside a transaction nobody else is on the session: ask for the next page now. */
static void fetch_ahead(struct poolite_cursor *cursor)
{
	int packed;

	if (cursor->id == 0 || cursor->tx)
		return;
	packed = pack_fetch(cursor);
	cursor->is_ahead = true;
	if (poolite__check_packed(packed, &cursor->failure) == 0)
		poolite__call_send(
		    &cursor->fetch, cursor->handle, cursor->session, &cursor->failure);
}

/* Wait for the next page. */
static int next_page(struct poolite_cursor *cursor)
{
	struct poolite__call *fetch = &cursor->fetch;
	struct poolite__failure *failure = &cursor->failure;

	if (cursor->tx) {
		int packed = pack_fetch(cursor);

		if (poolite__call_run(
			fetch, cursor->handle, cursor->tx, packed, failure) == 0)
			take_page(cursor, &fetch->reply);
		else
			cursor->id = 0;
		poolite__call_release(fetch);
		return failure->code;
	}
	if (failure->code != POOLITE_OK || /* it could not be sent */
	    poolite__call_await(fetch, cursor->handle, cursor->session, failure)) {
		let_go(cursor, false);
		return failure->code;
	}
	take_page(cursor, &fetch->reply);
	poolite__call_release(fetch);
	cursor->is_ahead = false;
	if (cursor->id == 0)
		let_go(cursor, true);
	return failure->code;
}

/* ---- opening ------------------------------------------------------------- */

/* Run the query; the cursor keeps the session if there is more to fetch. */
static int start(struct poolite_cursor *cursor, const struct poolite__verb *verb)
{
	struct poolite__failure *failure = &cursor->failure;
	struct poolite__call call;
	int packed;

	poolite__call_init(&call, cursor->handle,
	    cursor->tx ? POOLITE__INSIDE : poolite__verb_effect(verb));
	packed = poolite__verb_pack(
	    verb, &call.request, call.msgid, poolite__timeout_ms(cursor->handle));
	if (cursor->tx)
		poolite__call_run(&call, cursor->handle, cursor->tx, packed, failure);
	else
		poolite__call_any(
		    &call, cursor->handle, packed, &cursor->session, failure);
	if (failure->code == POOLITE_OK)
		take_page(cursor, &call.reply);
	poolite__call_release(&call);
	if (cursor->id == 0)
		let_go(cursor, true);
	return failure->code;
}

static int open_cursor(struct poolite *handle, struct poolite_tx *tx,
    struct poolite__verb *verb, int page_rows, struct poolite_cursor **opened,
    struct poolite__failure *failure)
{
	struct poolite__into nothing = {NULL, NULL, NULL};
	struct poolite_cursor *cursor;

	if (!opened)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no place for the cursor");
	*opened = NULL;
	if (poolite__start(handle, tx, verb, &nothing, failure))
		return failure->code;
	if (page_rows < 0 || page_rows > (int)POOLITE__PAGE_ROWS_MAX)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a page has 1 to %u rows", POOLITE__PAGE_ROWS_MAX);
	verb->page_rows = page_rows ? (uint32_t)page_rows : PAGE_ROWS;
	cursor = calloc(1, sizeof *cursor);
	if (!cursor)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for a cursor");
	cursor->handle = handle;
	cursor->tx = tx;
	cursor->generation = poolite__generation();
	if (start(cursor, verb)) {
		*failure = cursor->failure;
		free(cursor);
		return failure->code;
	}
	fetch_ahead(cursor);
	*opened = cursor;
	return 0;
}

int poolite_cursor_open(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, int page_rows,
    struct poolite_cursor **cursor, struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__QUERY, sql, args, args_count);
	struct poolite__failure failure = {.code = POOLITE_OK};

	open_cursor(handle, NULL, &verb, page_rows, cursor, &failure);
	return poolite__report(error, &failure);
}

int poolite_tx_cursor_open(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, int page_rows,
    struct poolite_cursor **cursor, struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__QUERY, sql, args, args_count);
	struct poolite__failure failure = {.code = POOLITE_OK};

	open_cursor(poolite__handle_of(tx), tx, &verb, page_rows, cursor, &failure);
	return poolite__report(error, &failure);
}

/* ---- reading ------------------------------------------------------------- */

static int step(struct poolite_cursor *cursor, struct poolite__failure *failure)
{
	int rc;

	if (!cursor)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "no cursor: poolite_cursor_open told why");
	if (cursor->generation != poolite__generation())
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "the cursor was opened before a fork, in the parent process");
	while ((rc = poolite_result_next(cursor->page)) == 0 && cursor->id > 0) {
		if (next_page(cursor))
			break;
		fetch_ahead(cursor);
	}
	if (rc > 0)
		return rc;
	if (rc < 0) {
		let_go(cursor, false);
		poolite__fail(&cursor->failure, (enum poolite_code)rc,
		    rc == POOLITE_OVERLOADED ? "no memory for a row"
					     : "a row makes no sense");
	}
	*failure = cursor->failure;
	return failure->code;
}

int poolite_cursor_next(struct poolite_cursor *cursor, struct poolite_result **row,
    struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};
	int rc = step(cursor, &failure);

	poolite__report(error, &failure);
	if (row)
		*row = rc > 0 ? cursor->page : NULL;
	return rc;
}

struct poolite_result *poolite_cursor_page(const struct poolite_cursor *cursor)
{
	return cursor ? cursor->page : NULL;
}

/* Tell the broker that no more is wanted, so that the session can be used again. */
static void close_at_broker(struct poolite_cursor *cursor)
{
	struct poolite__failure ignored = {.code = POOLITE_OK};
	struct poolite__call call;
	int packed;

	poolite__call_init(&call, cursor->handle, POOLITE__INSIDE);
	packed = poolite__pack_close(&call.request, call.msgid, cursor->id);
	poolite__call_run(&call, cursor->handle, cursor->tx, packed, &ignored);
	poolite__call_release(&call);
}

void poolite_cursor_close(struct poolite_cursor *cursor)
{
	if (!cursor)
		return;
	if (cursor->generation != poolite__generation()) {
		if (cursor->is_ahead)
			poolite__call_release(&cursor->fetch);
		poolite__session_free(cursor->session); /* the fork took its socket */
	} else if (cursor->tx && cursor->id > 0) {
		close_at_broker(cursor);
	} else {
		let_go(cursor, false); /* with its session the broker's cursor ends */
	}
	poolite_result_free(cursor->page);
	free(cursor);
}
