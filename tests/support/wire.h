/* wire.h - a protocol session by hand: send without waiting, receive by msgid.
 *
 * Params and results are texts in the notation of notation.h.  A wire belongs
 * to the process that opened it.  Waits end with a failed test, never with time
 * alone.
 */
#ifndef POOLITE_TESTS_WIRE_H
#define POOLITE_TESTS_WIRE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/failure.h"
#include "tests/support/poolited.h"

/* One message of the broker's. */
struct reply {
	struct reply *next;
	bool is_notification; /* "error": the broker is about to close */
	uint32_t msgid;
	struct poolite__failure failure; /* code POOLITE_OK: there is a result */
	char *result;                    /* owns; in the notation */
};

struct wire;

/** Connect.  Closed at the test's end at the latest. */
struct wire *wire_open(const struct poolited *broker);
/** Close at once, whatever waits. */
void wire_close(struct wire *wire);
/** Close the sending half. */
void wire_half_close(struct wire *wire);
/** Close and free all of this process, with their replies: a test's at its end, in a forked
 *  client its parent's. */
void wire_free_all(void);
int wire_fd(const struct wire *wire);

/* ---- sending; each returns the request's msgid ------------------------------- */

/** ${params}: the array, printf-formatted: "[`SELECT %d`]". */
uint32_t wire_send(struct wire *wire, const char *method, const char *params, ...)
    __attribute__((format(printf, 3, 4)));
/** Params are the one SQL text, printf-formatted. */
uint32_t wire_sql(struct wire *wire, const char *method, const char *sql, ...)
    __attribute__((format(printf, 3, 4)));
/** Without params: "commit", "ping" ... */
uint32_t wire_bare(struct wire *wire, const char *method);
/** Keep what is sent from now on, to go out in one write at wire_uncork. */
void wire_cork(struct wire *wire);
void wire_uncork(struct wire *wire);
/** Write what was corked as far as the broker takes it, and read no answer. */
void wire_send_blindly(struct wire *wire);
/** Raw bytes. */
void wire_send_bytes(struct wire *wire, const void *bytes, size_t len);
/** A whole message in the notation. */
void wire_send_message(struct wire *wire, const char *message);
/** Wait until the broker has dealt with all that was sent so far as far as it can: a ping. */
void wire_sync(struct wire *wire);

/* ---- receiving ----------------------------------------------------------------- */

/* A reply lives until 256 more were handed out. */

/** The next answer to ${msgid}, waited for. */
const struct reply *wire_receive(struct wire *wire, uint32_t msgid);
/** The next message that nobody received yet; NULL at the end of the stream. */
const struct reply *wire_next(struct wire *wire);

/** It succeeded; returns the result. */
const char *expect_ok(struct wire *wire, uint32_t msgid);
/** It succeeded with this result. */
void expect_result(struct wire *wire, uint32_t msgid, const char *result);
/** It was refused with this code and done "no"; ${part} (may be NULL) is in the message. */
const struct reply *expect_error(
    struct wire *wire, uint32_t msgid, enum poolite_code code, const char *part);
/** The same of a batch in chunks whose first ${rows_done} rows are in: done "part", or "no". */
void expect_part(struct wire *wire, uint32_t msgid, enum poolite_code code,
    int64_t rows_done, const char *part);
/** The broker says this in its last notification, and closes. */
void expect_farewell(struct wire *wire, enum poolite_code code);
/** The broker closes; answers before that are dropped. */
void expect_end(struct wire *wire);

/* ---- a whole round trip ---------------------------------------------------------- */

/** As wire_send, wire_sql or wire_bare; has to succeed. */
const char *call(struct wire *wire, const char *method, const char *params, ...)
    __attribute__((format(printf, 3, 4)));
const char *run(struct wire *wire, const char *method, const char *sql, ...)
    __attribute__((format(printf, 3, 4)));
const char *ask(struct wire *wire, const char *method);
/** One update that has to succeed. */
void update(struct wire *wire, const char *sql, ...)
    __attribute__((format(printf, 2, 3)));
/** A query's rows have to be these: "[[1, `a`]]". */
void expect_rows(struct wire *wire, const char *rows, const char *sql, ...)
    __attribute__((format(printf, 3, 4)));
/** The first value of a query's first row. */
int64_t number(struct wire *wire, const char *sql, ...)
    __attribute__((format(printf, 2, 3)));
void expect_number(struct wire *wire, int64_t wanted, const char *sql, ...)
    __attribute__((format(printf, 3, 4)));
/** Has to be refused, as expect_error. */
void refused(struct wire *wire, enum poolite_code code, const char *part,
    const char *method, const char *params, ...) __attribute__((format(printf, 5, 6)));

/* ---- stats --------------------------------------------------------------------------- */

/** A figure of `stats`: "pool_size", "groups.replays", "requests.query.count"; not there: 0. */
int64_t stat_of(struct wire *wire, const char *name);
/** The same with its fraction: "wal.checkpoint_age". */
double stat_real(struct wire *wire, const char *name);
/** Ask until the figure is at least this. */
void await_stat(struct wire *wire, const char *name, int64_t at_least);
/** Ask until it is this. */
void await_stat_is(struct wire *wire, const char *name, int64_t wanted);

#endif
