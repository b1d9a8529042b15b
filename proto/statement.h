/* statement.h - query and update: [sql, args?, options?], and their results.
 *
 *   query   {columns: [...], rows: [[...], ...]}; if it wrote also changes, last_insert_id
 *   update  {changes, last_insert_id}
 *
 * The broker packs rows while SQLite steps, so counts are patched at the end.
 */
#ifndef POOLITE_PROTO_STATEMENT_H
#define POOLITE_PROTO_STATEMENT_H

#include "proto/request.h"

/** Client: a whole request; method is POOLITE__QUERY or POOLITE__UPDATE. */
int poolite__pack_statement(struct poolite__buf *buf, uint32_t msgid,
    enum poolite__method method, const char *sql, size_t sql_len,
    const struct poolite_value *args, size_t args_count,
    const struct poolite__options *options);
/** Broker: sets sql, args, options. */
int poolite__read_statement(
    struct poolite__request *request, struct poolite__failure *failure);

/* Broker: a result with rows, while it is packed. */
struct poolite__rows {
	struct poolite__buf *buf; /* borrowed */
	size_t map_at;            /* offset of the map's header (one byte) */
	size_t rows_at;           /* offset of the array of rows */
	uint32_t columns;
	uint64_t rows;
};

/** Begin a result of ${columns} columns: map header, "columns", array header.  The names
 *  follow. */
void poolite__rows_open(
    struct poolite__rows *rows, struct poolite__buf *buf, uint32_t columns);
/** One column's name, NUL-terminated; call it ${columns} times. */
void poolite__rows_column(struct poolite__rows *rows, const char *name);
/** After the names: "rows" and its array. */
void poolite__rows_begin(struct poolite__rows *rows);
/** Begin a result with the bytes that another one of these columns began with, up to its
 *  first row: instead of rows_open, rows_column and rows_begin. */
void poolite__rows_open_as_before(struct poolite__rows *rows, struct poolite__buf *buf,
    uint32_t columns, const void *head, size_t len);
/** One row's header; ${columns} values follow by poolite__pack_value.  0 or the buffer's
 *  failure. */
int poolite__rows_next(struct poolite__rows *rows);
/** The last row did not fit: forget it; the buffer had ${len} bytes before it. */
void poolite__rows_take_back(struct poolite__rows *rows, size_t len);
/** End a result that wrote nothing. */
void poolite__rows_close(struct poolite__rows *rows);
/** End a page that others follow: ${cursor} fetches them. */
void poolite__rows_close_page(struct poolite__rows *rows, uint64_t cursor);
/** End a result that wrote (RETURNING). */
void poolite__rows_close_written(
    struct poolite__rows *rows, int64_t changes, int64_t last_insert_id);

/** Broker: the whole result of an update or a batch. */
void poolite__pack_changes(
    struct poolite__buf *buf, int64_t changes, int64_t last_insert_id);

/* Client: any result of query, update, batch, script, or one of a transaction's. */
struct poolite__result {
	bool has_rows; /* columns and rows are there, if only zero of them */
	struct poolite__reader columns; /* at the first name */
	uint32_t columns_count;
	struct poolite__reader rows; /* at the first row's array header */
	uint32_t rows_count;
	int64_t changes;        /* 0 when not told */
	int64_t last_insert_id; /* 0 when not told */
	int64_t statements;     /* script: statements run */
	uint64_t cursor;        /* more pages follow; 0: no */
};

/** Read one result map; unknown keys are skipped.  0 or POOLITE_BAD_REQUEST. */
int poolite__read_result(struct poolite__reader *reader, struct poolite__result *result);

#endif
