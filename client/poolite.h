/* poolite.h - libpoolite: SQLite through Poolite's broker.
 *
 * A program opens a handle once and shares it between its threads:
 *
 *	struct poolite *db;
 *	struct poolite_result *leads;
 *	struct poolite_error error;
 *
 *	if (poolite_open(NULL, NULL, &db, &error))        // NULL: $POOLITE_SOCKET
 *		return complain(error.message);
 *	if (poolite_query(db, "SELECT id, title FROM leads WHERE source = ?",
 *		POOLITE_ARGS(poolite_text("serp")), &leads, &error))
 *		return complain(error.message);
 *	while (poolite_result_next(leads) > 0)
 *		printf("%ld %s\n", (long)poolite_result_int64(leads, 0),
 *		    poolite_result_text(leads, 1));
 *	poolite_result_free(leads);
 *	poolite_close(db);
 *
 * Every function that can fail returns 0 or a code of poolite_errors.h, and
 * fills the caller's struct poolite_error, which may be NULL.  What it hands
 * out through a pointer is NULL or zero first.
 *
 * The handle is for many threads at once: each call borrows an idle socket or
 * opens another.  A transaction (struct poolite_tx), a pipeline and a result are
 * for one thread at a time.  After fork() the child may go on with its parent's handle:
 * it opens its own sockets.  A transaction begun before the fork stays the
 * parent's; the child may only roll it back, which frees its memory.
 *
 * Connecting is retried until the connect timeout, since nothing was sent by
 * then.  A request that may write is never sent a second time: when its answer
 * does not come, the error says POOLITE_OUTCOME_UNKNOWN.  What can only read (a
 * poolite_query whose SQL begins with SELECT or VALUES, poolite_begin,
 * poolite_ping and its like) is sent again when the connection ends before the
 * answer: within its deadline and the connect timeout, and twice at most.  Its
 * errors always have outcome POOLITE_DONE_NO: POOLITE_NO_BROKER when no broker
 * comes back, POOLITE_QUERY_TIMEOUT when no answer comes in time.  Signals,
 * their handlers and masks are never touched, and no SIGPIPE is raised.
 */
#ifndef POOLITE_H
#define POOLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Installed they lie beside this file; in the source tree in proto/. */
#if __has_include("poolite_errors.h")
#include "poolite_errors.h"
#include "poolite_value.h"
#else
#include "proto/poolite_errors.h"
#include "proto/poolite_value.h"
#endif

#if defined(__cplusplus)
#include <initializer_list>
#endif

#if defined(__GNUC__)
#define POOLITE_API __attribute__((visibility("default")))
#else
#define POOLITE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- errors -------------------------------------------------------------- */

/** What became of a request that failed. */
enum poolite_outcome {
	POOLITE_DONE_NO,      /* nothing happened in the database, not even in part */
	POOLITE_DONE_UNKNOWN, /* it may or may not have happened: look before trying again */
	POOLITE_DONE_PART, /* a batch in chunks: its first rows_done rows are in, no others */
};

/** Why a call failed.  Every call overwrites all of it, also on success. */
struct poolite_error {
	enum poolite_code code; /* POOLITE_OK: it did not fail */
	int sqlite;             /* SQLite's extended result code; 0: SQLite had no part */
	enum poolite_outcome outcome;
	/* A batch in chunks: how many of its first rows are in, for certain; with
	 * POOLITE_DONE_UNKNOWN more of them may be.  Else 0. */
	int64_t rows_done;
	char message[512]; /* for people; UTF-8, "" on success */
};

/** The fixed name of a code, "CONSTRAINT" for POOLITE_CONSTRAINT; "UNKNOWN" for no code. */
POOLITE_API const char *poolite_code_name(int code);

/* ---- the handle ---------------------------------------------------------- */

struct poolite;

/** How a handle behaves.  A zero means the default. */
struct poolite_options {
	/* How long to try for a broker that accepts, in ms; default 5,000. */
	int connect_timeout_ms;
	/* The broker's deadline for one request, waiting for a connection included,
	 * in ms; -1: only the broker's own limits.  Default 90,000: the 30 s a
	 * broker waits for a connection and the 60 s it lets a statement run. */
	int request_timeout_ms;
	/* How much longer than that to wait for the answer itself, in ms, for a
	 * COMMIT that has begun is never stopped; default 10,000. */
	int answer_grace_ms;
	/* Idle sockets to keep for later calls; default 16, -1: none. */
	int max_idle;
};

/**
 * Make a handle.  Does not connect: the first call does.
 *
 *   socket_path  the broker's socket, copied; NULL: $POOLITE_SOCKET
 *   options      copied; NULL: all defaults
 *   handle       set to the new handle, for poolite_close
 *
 * Returns 0, POOLITE_NO_BROKER (no path given and no $POOLITE_SOCKET),
 * POOLITE_BAD_REQUEST (a path no socket can have, a bad option) or
 * POOLITE_OVERLOADED (no memory).
 */
POOLITE_API int poolite_open(const char *socket_path,
    const struct poolite_options *options, struct poolite **handle,
    struct poolite_error *error);

/**
 * Close the idle sockets and free the handle.  NULL: nothing.  No other thread
 * may be inside a call on it; an open transaction lives on until it is ended.
 */
POOLITE_API void poolite_close(struct poolite *handle);

/**
 * The process's shared handle on $POOLITE_SOCKET, opened at the first call with
 * all defaults; any thread may ask.  Do not poolite_close it.  NULL when it
 * cannot be opened, with the reason in ${error}; every call takes that NULL.
 */
POOLITE_API struct poolite *poolite_default(struct poolite_error *error);

/** poolite_close for the shared handle; a later poolite_default opens it anew. */
POOLITE_API void poolite_close_default(void);

/* ---- statements ---------------------------------------------------------- */

/* POOLITE_ARGS(poolite_integer(7), poolite_text("x")) stands for the two
 * parameters "args, args_count" of the calls below.  The values live until the
 * end of the enclosing block (in C++: of the call). */
#ifdef __cplusplus
typedef struct poolite_value poolite__values[];
#define POOLITE_ARGS(...)                                                                \
	(std::initializer_list<struct poolite_value>{__VA_ARGS__}.begin()),              \
	    (sizeof(poolite__values{__VA_ARGS__}) / sizeof(struct poolite_value))
#else
#define POOLITE_ARGS(...)                                                                \
	((const struct poolite_value[]){__VA_ARGS__}),                                   \
	    (sizeof((const struct poolite_value[]){__VA_ARGS__}) /                       \
		sizeof(struct poolite_value))
#endif
#define POOLITE_NO_ARGS NULL, 0

struct poolite_result;

/** What a write did. */
struct poolite_changes {
	int64_t changes;        /* rows inserted, updated, deleted; 0 for DDL */
	int64_t last_insert_id; /* rowid, when the text is an INSERT or REPLACE, else 0 */
	int64_t statements;     /* poolite_script: how many ran; else 0 */
};

/*
 * Common to all of these:
 *
 *   sql     one statement, NUL-terminated UTF-8
 *   args    ${args_count} values, borrowed for the call; all by position, or
 *           all by name.  NULL and 0 for none.
 *   changes may be NULL
 *   error   may be NULL
 *
 * Besides the broker's own errors: POOLITE_BAD_REQUEST (a NULL that must not be
 * one, mixed arguments), POOLITE_NO_BROKER (nothing was sent),
 * POOLITE_OUTCOME_UNKNOWN (sent, and no answer came), POOLITE_OVERLOADED (no
 * memory or descriptors here).
 */

/** Run a statement that gives rows.  ${result} is for poolite_result_free. */
POOLITE_API int poolite_query(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error);

/** Run a statement that gives no rows. */
POOLITE_API int poolite_update(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error);

/**
 * Run one statement once per row of arguments, all of them or none.  What is
 * too large for one message is sent in several, inside one transaction: then
 * every message has its own deadline.  An error of a row names it, counted from 1
 * over the whole batch: "(row 3 of 9)".
 *
 *   values   ${rows} times ${columns} values, row after row
 *   changes  the sum, and the last row's last_insert_id
 */
POOLITE_API int poolite_batch(struct poolite *handle, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows,
    struct poolite_changes *changes, struct poolite_error *error);

/**
 * The same, but in several transactions: each ${chunk_rows} rows are committed by
 * themselves, and in between others write whose turn it is.  For what is too long
 * to keep all others waiting.  Nothing but the order of the rows binds the chunks
 * together: the first one that fails ends the batch, and those before it stay.
 *
 *   chunk_rows  rows of a chunk, 1 to 1,000,000; the last one, and the last of each
 *               message that it takes to send them all, may have fewer.  0: all rows
 *               or none, as poolite_batch
 *
 * Then the error has outcome POOLITE_DONE_PART, and rows_done says how many rows are
 * in: to go on, send the others.  POOLITE_DONE_NO: none is in.  POOLITE_DONE_UNKNOWN:
 * besides the first rows_done further chunks may be, in order, each as a whole.
 */
POOLITE_API int poolite_batch_in_chunks(struct poolite *handle, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, int chunk_rows,
    struct poolite_changes *changes, struct poolite_error *error);

/** One statement of poolite_transaction; all borrowed. */
struct poolite_statement {
	const char *sql;
	const struct poolite_value *args;
	size_t args_count;
};

/**
 * Run several statements in one round trip, all of them or none.
 *
 *   results  NULL, or room for ${count} results, one per statement, each for
 *            poolite_result_free; all NULL after an error
 */
POOLITE_API int poolite_transaction(struct poolite *handle,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error);

/** Flags of poolite_script. */
enum poolite_script_flag {
	POOLITE_FOREIGN_KEYS_OFF =
	    1, /* keys are off while it runs, and checked at its end */
};

/**
 * Run a text of many statements, all of them or none: schemas, dumps, migrations.
 *
 *   flags    0 or flags of enum poolite_script_flag
 *   changes  changes and statements
 */
POOLITE_API int poolite_script(struct poolite *handle, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error);

/**
 * Cancel what other threads have under way on this handle, in transactions
 * too; their calls return POOLITE_CANCELLED, or their result when they were
 * quicker.  Does not wait for them.  Not for signal handlers.
 */
POOLITE_API int poolite_cancel(struct poolite *handle, struct poolite_error *error);

/* ---- transactions over several round trips ------------------------------- */

struct poolite_tx;

/** Flags of poolite_begin. */
enum poolite_begin_flag {
	POOLITE_WRITE = 0,          /* has the writer to itself until it ends */
	POOLITE_READ = 1,           /* one snapshot; writes are POOLITE_READ_ONLY */
	POOLITE_ABORT_ON_ERROR = 2, /* the first error of a statement ends it */
};

/**
 * Begin.  A failed statement did nothing and the transaction goes on, except
 * after an error that ended it: then every further call gives that error, and
 * only commit (which gives it too) or rollback remain.
 *
 *   flags  POOLITE_WRITE or POOLITE_READ, and perhaps POOLITE_ABORT_ON_ERROR
 *   tx     set to the transaction, for poolite_tx_commit or poolite_tx_rollback
 */
POOLITE_API int poolite_begin(struct poolite *handle, unsigned flags,
    struct poolite_tx **tx, struct poolite_error *error);

/* The same verbs inside it.  When the broker goes away in the middle, they say
 * POOLITE_NO_BROKER with outcome POOLITE_DONE_NO: nothing was committed. */
POOLITE_API int poolite_tx_query(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_result **result,
    struct poolite_error *error);
POOLITE_API int poolite_tx_update(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite_error *error);
POOLITE_API int poolite_tx_batch(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows,
    struct poolite_changes *changes, struct poolite_error *error);
POOLITE_API int poolite_tx_transaction(struct poolite_tx *tx,
    const struct poolite_statement *statements, size_t count,
    struct poolite_result **results, struct poolite_error *error);
POOLITE_API int poolite_tx_script(struct poolite_tx *tx, const char *sql, unsigned flags,
    struct poolite_changes *changes, struct poolite_error *error);

/**
 * Make it durable, and free ${tx} whatever the answer; after an error it is
 * rolled back, save after POOLITE_OUTCOME_UNKNOWN.  NULL: POOLITE_NO_TRANSACTION.
 */
POOLITE_API int poolite_tx_commit(struct poolite_tx *tx, struct poolite_error *error);

/**
 * Undo it and free ${tx}.  Fails only for a transaction from before a fork
 * (POOLITE_NO_TRANSACTION; it is freed, and stays open in the parent).  NULL: nothing, 0.
 */
POOLITE_API int poolite_tx_rollback(struct poolite_tx *tx, struct poolite_error *error);

/* ---- cursors ------------------------------------------------------------- */

/*
 * A cursor reads a result of any size page by page, so that neither side ever
 * holds more than two of them; a page ends at about 1 MB.
 *
 *	poolite_cursor_open(db, "SELECT * FROM leads", POOLITE_NO_ARGS, 0, &cursor, &error);
 *	while ((rc = poolite_cursor_next(cursor, &row, &error)) > 0)
 *		printf("%s\n", poolite_result_text(row, 1));
 *	poolite_cursor_close(cursor);
 *
 * All pages show one state of the database.  Outside a transaction a cursor has
 * a socket and one of the broker's connections to itself while there is more to
 * fetch, and the next page is asked for ahead; it expires like a transaction
 * (POOLITE_TRANSACTION_EXPIRED).  A program that stays on one page for longer
 * than the broker's write_timeout (30 s), while the next one is larger than a
 * socket's buffer, loses the cursor too (POOLITE_NO_BROKER): smaller pages are
 * for it.  A cursor is for one thread at a time, and after fork() stays the parent's, as a
 * transaction does.
 */
struct poolite_cursor;

/**
 * Run a query, and get its first page.  A statement that writes gives all of its rows at once.
 *
 *   page_rows  rows of a page, 1 to 1,000,000; 0: the default, 1,000
 *   cursor     set to the cursor, for poolite_cursor_close
 */
POOLITE_API int poolite_cursor_open(struct poolite *handle, const char *sql,
    const struct poolite_value *args, size_t args_count, int page_rows,
    struct poolite_cursor **cursor, struct poolite_error *error);

/** The same inside a transaction, which must not end before the cursor is closed. */
POOLITE_API int poolite_tx_cursor_open(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, int page_rows,
    struct poolite_cursor **cursor, struct poolite_error *error);

/**
 * Step to the next row, fetching a page when it takes one.
 *
 *   row  NULL, or set to the cursor's rows, which stand at this one: for the
 *        getters poolite_result_*, until the next call on the cursor.  Not to be
 *        stepped or freed.  NULL when there is no row.
 *
 * Returns 1 with a row, 0 after the last one, or a code; after an error always
 * the same one.  Errors of reading have outcome POOLITE_DONE_NO.
 */
POOLITE_API int poolite_cursor_next(struct poolite_cursor *cursor,
    struct poolite_result **row, struct poolite_error *error);

/**
 * The page that the cursor's row is in; before the first row, the one with it; behind
 * the last, the last one.  For its columns, which all pages have, for its number of
 * rows, and for what a statement that writes has changed: also when there are no rows.
 * Lives until the next call on the cursor.  Not to be freed; before the first
 * poolite_cursor_next it may be stepped through, and then rewound.  NULL: after an error.
 */
POOLITE_API struct poolite_result *poolite_cursor_page(
    const struct poolite_cursor *cursor);

/** Give up what was not read, and free it.  NULL: nothing. */
POOLITE_API void poolite_cursor_close(struct poolite_cursor *cursor);

/* ---- requests in flight -------------------------------------------------- */

/*
 * A pipeline is one socket with many requests under way: send them, then await
 * each, in any order.
 *
 *	for (i = 0; i < 1000; i++)
 *		poolite_send_query(pipeline, "SELECT title FROM leads WHERE id = ?",
 *		    POOLITE_ARGS(poolite_integer(i)), &tickets[i], &error);
 *	for (i = 0; i < 1000; i++)
 *		if (poolite_await(pipeline, tickets[i], &result, NULL, &error) == 0)
 *			...
 *
 * The broker runs what is under way together side by side, and answers in any
 * order: who depends on a request awaits it first, or sends both as one
 * poolite_send_transaction.  (poolite_begin is not for pipelines: in between
 * there would be no telling what is inside.)
 *
 * Sending never waits.  Requests gather, and go out once there are 16 KiB of
 * them, whenever one is awaited, and by poolite_pipeline_on_writable.  Answers
 * stay in the broker until something is awaited, or read by
 * poolite_pipeline_on_readable; a broker does not wait for ever for a client to
 * read them (write_timeout, 30 s), nor between sending and awaiting.
 *
 * Each request has the handle's request timeout, counted from when it is sent.
 * Nothing is sent twice.  When the socket ends, the requests under way end, each
 * with its own outcome: POOLITE_NO_BROKER and POOLITE_DONE_NO for what can only
 * read or did not go out whole, else POOLITE_OUTCOME_UNKNOWN; a broker that says
 * why it closes has carried out none of them.  Answers that came before
 * are still there.  The pipeline itself is of no more use then.
 *
 * A pipeline is for one thread at a time.  After fork() it stays the parent's:
 * in the child every call fails (POOLITE_NO_BROKER) without sending a byte,
 * and poolite_pipeline_close frees its memory.  poolite_cancel does not reach
 * its requests.
 */
struct poolite_pipeline;

/** How much a pipeline may take.  A zero means the default. */
struct poolite_pipeline_options {
	/* Requests sent and not awaited; default 65,536. */
	int max_requests;
	/* Bytes of requests that have not gone out, and, apart from them, of answers
	 * that were not awaited; default 64 MiB.  Each may be passed by one message.
	 * With as many answers nothing is read, except in poolite_await: what it meets
	 * on the way to its own is thrown away, and fails (POOLITE_OVERLOADED). */
	size_t max_bytes;
};

/**
 * Open a pipeline to the handle's broker.  This connects and asks the broker
 * for its limits, waiting up to the connect timeout for both.
 *
 *   options   copied; NULL: all defaults
 *   pipeline  set to the new one, for poolite_pipeline_close
 */
POOLITE_API int poolite_pipeline_open(struct poolite *handle,
    const struct poolite_pipeline_options *options, struct poolite_pipeline **pipeline,
    struct poolite_error *error);

/**
 * Close it.  The broker carries out writes that have gone out; their outcome is
 * not to be learnt any more.  NULL: nothing.
 */
POOLITE_API void poolite_pipeline_close(struct poolite_pipeline *pipeline);

/*
 * Send: parameters as of poolite_query and its like, all copied before they
 * return.  ${ticket} is set to the request's ticket, never 0, for poolite_await;
 * to 0 after an error, and then nothing was sent: POOLITE_BAD_REQUEST,
 * POOLITE_TOO_LARGE (more than this broker takes in one message; nothing is
 * split here), POOLITE_NO_BROKER (the socket has ended), POOLITE_OVERLOADED
 * (no memory, max_requests or max_bytes: await some first).
 */
POOLITE_API int poolite_send_query(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *args, size_t args_count, uint64_t *ticket,
    struct poolite_error *error);
POOLITE_API int poolite_send_update(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *args, size_t args_count, uint64_t *ticket,
    struct poolite_error *error);
POOLITE_API int poolite_send_batch(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, uint64_t *ticket,
    struct poolite_error *error);
POOLITE_API int poolite_send_batch_in_chunks(struct poolite_pipeline *pipeline,
    const char *sql, const struct poolite_value *values, size_t columns, size_t rows,
    int chunk_rows, uint64_t *ticket, struct poolite_error *error);
POOLITE_API int poolite_send_transaction(struct poolite_pipeline *pipeline,
    const struct poolite_statement *statements, size_t count, uint64_t *ticket,
    struct poolite_error *error);
POOLITE_API int poolite_send_script(struct poolite_pipeline *pipeline, const char *sql,
    unsigned flags, uint64_t *ticket, struct poolite_error *error);

/**
 * Wait until the request is done, and take what it gave.  Its ticket is void
 * then, also after an error; only a ticket that is none of the pipeline's, or
 * awaited before, is POOLITE_BAD_REQUEST itself.
 *
 *   result   NULL, or set to a query's rows, for poolite_result_free; else to NULL
 *   changes  NULL, or set to what an update, batch or script did; else to zeros
 */
POOLITE_API int poolite_await(struct poolite_pipeline *pipeline, uint64_t ticket,
    struct poolite_result **result, struct poolite_changes *changes,
    struct poolite_error *error);

/**
 * The same for a poolite_send_transaction, with its results.
 *
 *   results  room for ${count} results, one per statement, each for
 *            poolite_result_free; all NULL after an error.  Another ${count} than was sent, or
 *            another request, is POOLITE_BAD_REQUEST, and the ticket still good.
 */
POOLITE_API int poolite_await_results(struct poolite_pipeline *pipeline, uint64_t ticket,
    struct poolite_result **results, size_t count, struct poolite_error *error);

/**
 * Cancel a request.  Await it all the same: it ends with POOLITE_CANCELLED, or
 * as it would have when it was quicker.  Does not wait.
 */
POOLITE_API int poolite_cancel_sent(
    struct poolite_pipeline *pipeline, uint64_t ticket, struct poolite_error *error);

/*
 * For event loops.  None of these waits.  Watch poolite_pipeline_fd for
 * poolite_pipeline_wants, and set a timer to poolite_pipeline_timeout_ms; when
 * either calls, call poolite_pipeline_on_readable or _on_writable, and then, as
 * after sending, poolite_pipeline_next until it gives 0: each ticket that it gives is
 * done, so that poolite_await takes its outcome without waiting.  Last, look
 * again at what is wanted.  client/examples/loop.c does this with libuv.
 */

/** Its descriptor, the same until poolite_pipeline_close; -1: NULL, or the parent's. */
POOLITE_API int poolite_pipeline_fd(const struct poolite_pipeline *pipeline);
/** What to wait for: POLLIN and POLLOUT of <poll.h>; 0: nothing, for its socket has
 *  ended, or max_bytes of answers are to be awaited first. */
POOLITE_API short poolite_pipeline_wants(const struct poolite_pipeline *pipeline);
/** How long until poolite_pipeline_next has something to say by itself; -1: it has not. */
POOLITE_API int poolite_pipeline_timeout_ms(const struct poolite_pipeline *pipeline);
/** Read what has come, up to some 64 KiB unless an answer is larger. */
POOLITE_API void poolite_pipeline_on_readable(struct poolite_pipeline *pipeline);
/** Write what the socket takes.  Also without an event loop: then nothing gathers any longer. */
POOLITE_API void poolite_pipeline_on_writable(struct poolite_pipeline *pipeline);

/**
 * The ticket of a request that is done, each once, in the order in which they
 * came to be; 0: there is none.  What was awaited before is left out.
 *
 *   context  NULL, or set to what poolite_pipeline_attach gave it, else NULL
 */
POOLITE_API uint64_t poolite_pipeline_next(
    struct poolite_pipeline *pipeline, void **context);

/** Let poolite_pipeline_next give ${context}, which is the caller's, with ${ticket}. */
POOLITE_API int poolite_pipeline_attach(struct poolite_pipeline *pipeline,
    uint64_t ticket, void *context, struct poolite_error *error);

/* ---- results ------------------------------------------------------------- */

/*
 * A result stands before its first row.  Getters take a column's index from 0;
 * without a current row or such a column they give NULL, 0, 0.0, POOLITE_NULL.
 * They convert as SQLite does: "12 apples" is 12, a REAL is cut to an integer,
 * numbers become text.  Pointers last until the next poolite_result_next,
 * poolite_result_rewind or poolite_result_free.  All of them take NULL.
 */

/**
 * Step to the next row.  Returns 1 with a row, 0 after the last one, or, once,
 * a code: POOLITE_OVERLOADED (no memory), POOLITE_INTERNAL (a row makes no sense).
 */
POOLITE_API int poolite_result_next(struct poolite_result *result);
/** Stand before the first row again. */
POOLITE_API void poolite_result_rewind(struct poolite_result *result);
/** NULL: nothing. */
POOLITE_API void poolite_result_free(struct poolite_result *result);

POOLITE_API size_t poolite_result_rows(const struct poolite_result *result);
POOLITE_API size_t poolite_result_columns(const struct poolite_result *result);
/** Lives as long as the result. */
POOLITE_API const char *poolite_result_column_name(
    const struct poolite_result *result, size_t column);
/** The first column of that name, A-Z as a-z; -1: none. */
POOLITE_API int poolite_result_column_index(
    const struct poolite_result *result, const char *name);
/** What it wrote (RETURNING, or an update inside poolite_transaction); else 0. */
POOLITE_API int64_t poolite_result_changes(const struct poolite_result *result);
POOLITE_API int64_t poolite_result_last_insert_id(const struct poolite_result *result);

POOLITE_API enum poolite_type poolite_result_type(
    const struct poolite_result *result, size_t column);
POOLITE_API bool poolite_result_is_null(
    const struct poolite_result *result, size_t column);
POOLITE_API int64_t poolite_result_int64(
    const struct poolite_result *result, size_t column);
POOLITE_API double poolite_result_double(
    const struct poolite_result *result, size_t column);
/** NUL-terminated; poolite_result_bytes tells whether NULs lie inside.  SQL NULL: NULL. */
POOLITE_API const char *poolite_result_text(struct poolite_result *result, size_t column);
/** The bytes of TEXT or BLOB, or a number's text.  SQL NULL: NULL. */
POOLITE_API const void *poolite_result_blob(struct poolite_result *result, size_t column);
/** How many bytes the two above give, without the NUL. */
POOLITE_API size_t poolite_result_bytes(struct poolite_result *result, size_t column);
/** The value as it is, fit to be an argument; its text is not NUL-terminated. */
POOLITE_API struct poolite_value poolite_result_value(
    const struct poolite_result *result, size_t column);

/* ---- the broker itself --------------------------------------------------- */

/** Whether a broker answers. */
POOLITE_API int poolite_ping(struct poolite *handle, struct poolite_error *error);

/** The pool's figures. */
struct poolite_stats {
	int64_t pool_size;          /* SQLite connections open now */
	int64_t max_connections;    /* how many there may be */
	int64_t active_connections; /* running something, or in a transaction */
	int64_t total_connections_created;
	double connection_timeout; /* seconds */
	double last_health_check;  /* Unix time in seconds; at first: the start */
};

/** A whole document as the broker sent it: one MessagePack map. */
struct poolite_document {
	uint8_t *bytes; /* owned; NULL: none */
	size_t len;
};

/** Free the bytes.  NULL: nothing. */
POOLITE_API void poolite_document_release(struct poolite_document *document);

/**
 * Ask for the pool's figures.
 *
 *   stats     may be NULL; what the broker does not tell is 0
 *   document  may be NULL; else everything it told, for poolite_document_release
 */
POOLITE_API int poolite_stats(struct poolite *handle, struct poolite_stats *stats,
    struct poolite_document *document, struct poolite_error *error);

/** How the broker feels. */
struct poolite_health {
	bool is_healthy;        /* status is "healthy" */
	char status[32];        /* "healthy", "unhealthy" */
	char database[32];      /* "connected" */
	char database_pool[32]; /* "ready" */
	char reason[256];       /* why it is unhealthy; "" when it is not */
	struct poolite_stats pool;
};

/** Ask for its health; parameters as for poolite_stats.  Unhealthy is no error. */
POOLITE_API int poolite_health(struct poolite *handle, struct poolite_health *health,
    struct poolite_document *document, struct poolite_error *error);

#ifdef __cplusplus
}
#endif

#endif
