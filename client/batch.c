#include "client/batch.h"

#include <stdio.h>
#include <string.h>

#include "client/limits.h"
#include "client/verbs.h"

/* Up to here a message goes to any broker; only beyond it hello is asked what
 * this one takes. */
#define SURE_BYTES  ((size_t)64 << 10)
#define SURE_VALUES ((uint64_t)10000)
/* A message around its rows and its SQL: envelope, method, headers, options. */
#define FRAME_BYTES  ((size_t)128)
#define FRAME_VALUES ((uint64_t)16)
/* A row's header at its longest. */
#define HEADER_BYTES ((size_t)5)

/* ---- how much fits ------------------------------------------------------- */

/* Bytes one value takes, at most. */
static size_t value_bytes(const struct poolite_value *value)
{
	size_t bytes = value->name ? 5 + strlen(value->name) : 0;

	if (value->type == POOLITE_TEXT || value->type == POOLITE_BLOB)
		return bytes + 5 + value->len;
	return bytes + 9;
}

static struct poolite__room row_needs(const struct poolite_value *values, size_t columns)
{
	struct poolite__room need = {HEADER_BYTES, 1};

	for (size_t i = 0; i < columns; i++) {
		need.bytes += value_bytes(&values[i]);
		need.values += values[i].name ? 2 : 1;
	}
	return need;
}

size_t poolite__rows_that_fit(const struct poolite_value *values, size_t columns,
    size_t rows, struct poolite__room *room)
{
	for (size_t row = 0; row < rows; row++) {
		struct poolite__room need =
		    row_needs(columns > 0 ? values + row * columns : NULL, columns);

		if (need.bytes > room->bytes || need.values > room->values)
			return row;
		room->bytes -= need.bytes;
		room->values -= need.values;
	}
	return rows;
}

/* ---- sending ------------------------------------------------------------- */

/* Rows ${first} to ${first} + ${rows} in one message. */
static int send_rows(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *batch, size_t first, size_t rows,
    struct poolite_changes *changes, struct poolite__failure *failure)
{
	struct poolite__into into = {.changes = changes};
	struct poolite__verb part = *batch;

	if (part.columns > 0)
		part.values += first * part.columns;
	part.rows = rows;
	return poolite__run(handle, tx, &part, &into, failure);
}

static int too_large(size_t row, struct poolite__failure *failure)
{
	return poolite__fail(failure, POOLITE_TOO_LARGE,
	    "row %zu of the batch alone is larger than a message may be (max_frame_bytes, "
	    "max_values)",
	    row + 1);
}

/* The broker counts the rows of a message, "(row 3 of 9)" at the end of its own; the
 * caller knows only the batch's.  Where those, being longer, do not fit, none are told. */
static void name_row(
    struct poolite__failure *failure, size_t first, size_t part, size_t whole)
{
	char *place = strrchr(failure->message, '(');
	size_t row, rows, room;
	int len = 0;

	if (!place || sscanf(place, "(row %zu of %zu)%n", &row, &rows, &len) != 2 ||
	    len == 0 || place[len] != '\0' || rows != part || row == 0 || row > rows)
		return;
	room = sizeof failure->message - (size_t)(place - failure->message);
	if ((size_t)snprintf(place, room, "(row %zu of %zu)", first + row, whole) >= room)
		*place = '\0';
}

/* How many rows the next message takes, from ${first} on.  A message that is not the last
 * ends with a whole chunk, if it has one. */
static size_t part_rows(
    const struct poolite__verb *batch, size_t first, const struct poolite__room *room)
{
	const struct poolite_value *from =
	    batch->columns > 0 ? batch->values + first * batch->columns : NULL;
	size_t chunk_rows = (size_t)batch->chunk_rows;
	struct poolite__room left = *room;
	size_t rows =
	    poolite__rows_that_fit(from, batch->columns, batch->rows - first, &left);

	if (chunk_rows > 0 && rows > chunk_rows && first + rows < batch->rows)
		rows -= rows % chunk_rows;
	return rows;
}

/* Message after message; ${tx} not NULL: inside it.  ${room} is for the rows of each. */
static int send_in_parts(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *batch, const struct poolite__room *room,
    struct poolite_changes *changes, struct poolite__failure *failure)
{
	size_t first = 0;

	while (first < batch->rows) {
		size_t rows = part_rows(batch, first, room);
		struct poolite_changes part = {0, 0, 0};

		if (rows == 0)
			too_large(first, failure);
		else if (send_rows(handle, tx, batch, first, rows, &part, failure))
			name_row(failure, first, rows, batch->rows);
		if (failure->code != POOLITE_OK) {
			if (!tx) /* those that were answered stay */
				failure->rows_done += (int64_t)first;
			return failure->code;
		}
		changes->changes += part.changes;
		if (part.changes > 0)
			changes->last_insert_id = part.last_insert_id;
		first += rows;
	}
	return 0;
}

/* All or none, in a transaction of its own. */
static int send_in_own_transaction(struct poolite *handle,
    const struct poolite__verb *batch, const struct poolite__room *room,
    struct poolite_changes *changes, struct poolite__failure *failure)
{
	struct poolite_tx *tx;

	if (poolite__begin(handle, POOLITE_WRITE | POOLITE_ABORT_ON_ERROR, &tx, failure))
		return failure->code;
	if (send_in_parts(handle, tx, batch, room, changes, failure)) {
		struct poolite__failure ignored = {.code = POOLITE_OK};

		poolite__rollback(tx, &ignored);
		return failure->code;
	}
	return poolite__commit(tx, failure);
}

/* All or none, inside the caller's transaction: in a savepoint. */
static int send_in_savepoint(struct poolite_tx *tx, const struct poolite__verb *batch,
    const struct poolite__room *room, struct poolite_changes *changes,
    struct poolite__failure *failure)
{
	struct poolite__failure ignored = {.code = POOLITE_OK};

	if (poolite__tx_simple(tx, "SAVEPOINT libpoolite_batch", failure))
		return failure->code;
	if (send_in_parts(tx->handle, tx, batch, room, changes, failure) == 0)
		return poolite__tx_simple(tx, "RELEASE libpoolite_batch", failure);
	/* Nothing to undo, and no harm done, if the error ended the transaction. */
	if (poolite__tx_simple(tx, "ROLLBACK TO libpoolite_batch", &ignored) == 0)
		poolite__tx_simple(tx, "RELEASE libpoolite_batch", &ignored);
	return failure->code;
}

/* Too much for any broker: does this one take it in one message? */
static int send_large(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *batch, struct poolite_changes *changes,
    struct poolite__failure *failure)
{
	size_t around = FRAME_BYTES + strlen(batch->sql);
	struct poolite__room room, left;
	struct poolite__hello limits;

	if (poolite__get_limits(handle, tx, &limits, failure))
		return failure->code;
	if ((uint64_t)limits.max_frame_bytes <= around ||
	    (uint64_t)limits.max_values <= FRAME_VALUES)
		return poolite__fail(failure, POOLITE_TOO_LARGE,
		    "the SQL alone is larger than a message may be (max_frame_bytes)");
	room.bytes = (size_t)limits.max_frame_bytes - around;
	room.values = (uint64_t)limits.max_values - FRAME_VALUES;
	left = room;
	if (poolite__rows_that_fit(batch->values, batch->columns, batch->rows, &left) ==
	    batch->rows)
		return send_rows(handle, tx, batch, 0, batch->rows, changes, failure);
	if (tx)
		return send_in_savepoint(tx, batch, &room, changes, failure);
	if (batch->chunk_rows > 0)
		return send_in_parts(handle, NULL, batch, &room, changes, failure);
	return send_in_own_transaction(handle, batch, &room, changes, failure);
}

/* ---- the verb ------------------------------------------------------------ */

static int run(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *batch, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};
	struct poolite__room sure = {SURE_BYTES, SURE_VALUES};
	struct poolite_changes ignored;
	struct poolite__into into = {.changes = changes ? changes : &ignored};

	if (poolite__start(handle, tx, batch, &into, &failure))
		return poolite__report(error, &failure);
	if (strlen(batch->sql) <= SURE_BYTES &&
	    poolite__rows_that_fit(batch->values, batch->columns, batch->rows, &sure) ==
		batch->rows)
		send_rows(handle, tx, batch, 0, batch->rows, into.changes, &failure);
	else
		send_large(handle, tx, batch, into.changes, &failure);
	if (failure.code != POOLITE_OK)
		poolite__clear(&into, 0);
	return poolite__report(error, &failure);
}

int poolite_batch(struct poolite *handle, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows,
    struct poolite_changes *changes, struct poolite_error *error)
{
	return poolite_batch_in_chunks(
	    handle, sql, values, columns, rows, 0, changes, error);
}

int poolite_batch_in_chunks(struct poolite *handle, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, int chunk_rows,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__verb batch =
	    poolite__batch_verb(sql, values, columns, rows, chunk_rows);

	return run(handle, NULL, &batch, changes, error);
}

int poolite_tx_batch(struct poolite_tx *tx, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows,
    struct poolite_changes *changes, struct poolite_error *error)
{
	struct poolite__verb batch = poolite__batch_verb(sql, values, columns, rows, 0);

	return run(poolite__handle_of(tx), tx, &batch, changes, error);
}
