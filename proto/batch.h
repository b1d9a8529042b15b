/* batch.h - batch: [sql, [args, args, ...], options?] -> {changes, last_insert_id}.
 *
 * The rows stay undecoded in request->list; the broker takes one after the
 * other with poolite__read_args.
 */
#ifndef POOLITE_PROTO_BATCH_H
#define POOLITE_PROTO_BATCH_H

#include "proto/request.h"

/**
 * Client: a whole request.  ${values} holds ${rows} times ${columns} values,
 * row after row; all of a row's are named, or none.
 */
int poolite__pack_batch(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, const struct poolite_value *values, size_t columns, size_t rows,
    const struct poolite__options *options);
/**
 * Client: the same in pieces, for who sends while packing: what stands before the rows,
 * then poolite__pack_args for each row, then the end.  0, or the buffer's failure.
 */
int poolite__pack_batch_start(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, size_t rows, const struct poolite__options *options);
int poolite__pack_batch_end(
    struct poolite__buf *buf, const struct poolite__options *options);
/** Broker: sets sql, list, list_count, options. */
int poolite__read_batch(
    struct poolite__request *request, struct poolite__failure *failure);

#endif
