/* cursor.h - the pages of a query: fetch [cursor, rows?, options?] and close [cursor].
 *
 * A query with options.page_rows answers at most so many rows; while there are
 * more, its result holds `cursor` beside columns and rows.  fetch has the same
 * result; close has nil.
 */
#ifndef POOLITE_PROTO_CURSOR_H
#define POOLITE_PROTO_CURSOR_H

#include "proto/request.h"

/**
 * Client: a whole request for at most ${rows} more; 0: as many as the query asked for.
 *
 *   options  timeout_ms, or NULL
 */
int poolite__pack_fetch(struct poolite__buf *buf, uint32_t msgid, uint64_t cursor,
    uint32_t rows, const struct poolite__options *options);
/** Broker: sets cursor and options, page_rows among them (0: as the query asked for). */
int poolite__read_fetch(
    struct poolite__request *request, struct poolite__failure *failure);

/** Client: a whole request. */
int poolite__pack_close(struct poolite__buf *buf, uint32_t msgid, uint64_t cursor);
/** Broker: sets cursor. */
int poolite__read_close(
    struct poolite__request *request, struct poolite__failure *failure);

#endif
