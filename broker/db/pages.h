/* pages.h - a query that is answered page by page: a statement left half-stepped.
 *
 * It lives on the connection it was opened on, under a number that the caller
 * chooses, pins that connection's snapshot, and ends with the transaction around
 * it.  One row is read ahead, so that a page knows whether another follows.
 */
#ifndef POOLITE_BROKER_DB_PAGES_H
#define POOLITE_BROKER_DB_PAGES_H

#include "broker/db/execute.h"

/* A page ends when it has so many bytes: memory is bounded by that and one row,
 * whatever the client asked for. */
#define PAGES_BYTES ((size_t)1 << 20)

/* Half-stepped statements on one connection. */
#define PAGES_MAX 64

/**
 * Run ${execution}, and answer at most ${rows} rows.  When there are more, the
 * rest stays open as ${number}; else nothing does.  A text that writes is run to
 * its end.  Results as for execute_statement.
 */
int pages_open(struct connection *connection, uint64_t number, uint32_t rows,
    struct execution *execution, struct poolite__buf *out,
    struct poolite__failure *failure);

/**
 * The next page of ${number}: at most ${rows}, 0: as many as it was opened with.
 * After the last one, and after a failure, it is closed.
 */
int pages_fetch(struct connection *connection, uint64_t number, uint32_t rows,
    struct poolite__buf *out, struct poolite__failure *failure);

/** Close it; BAD_REQUEST when there is none. */
int pages_close(
    struct connection *connection, uint64_t number, struct poolite__failure *failure);

/** There is no cursor of that number: ${failure} says so.  Returns its code. */
int pages_fail_unknown(uint64_t number, struct poolite__failure *failure);

/** Whether any is open. */
bool connection_has_pages(const struct connection *connection);
/** The transaction ends: close them all. */
void connection_end_pages(struct connection *connection);
/** An interrupt hits every half-stepped statement: reset them; each one's next
 *  fetch fails as ${failure}. */
void connection_fail_pages(
    struct connection *connection, const struct poolite__failure *failure);

#endif
