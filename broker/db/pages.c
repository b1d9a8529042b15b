#include "broker/db/pages.h"

#include <stdlib.h>

#include "broker/db/internal.h"

/* What the end of a page takes: "cursor" and its number. */
#define CLOSE_BYTES 16

struct pages {
	struct pages *next;
	uint64_t number;
	sqlite3_stmt *stmt; /* owns; stands on the next row, or NULL: failed */
	uint32_t rows;      /* of a page */
	struct poolite__failure failure; /* then: why */
};

static struct pages **find(struct connection *connection, uint64_t number)
{
	struct pages **at = &connection->pages;

	while (*at && (*at)->number != number)
		at = &(*at)->next;
	return at;
}

static void end(struct pages **at)
{
	struct pages *pages = *at;

	*at = pages->next;
	sqlite3_finalize(pages->stmt);
	free(pages);
}

int pages_fail_unknown(uint64_t number, struct poolite__failure *failure)
{
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "this session has no cursor %llu: it came to its end, failed, was closed, or its "
	    "transaction ended",
	    (unsigned long long)number);
}

/* ---- a page ------------------------------------------------------------------ */

/* The row ${stmt} stands on.  False when it is left to the next page, for it does not fit. */
static bool pack_row(sqlite3_stmt *stmt, int columns, struct poolite__rows *rows)
{
	struct poolite__buf *out = rows->buf;
	size_t len = out->len;

	execute_pack_row(stmt, columns, rows);
	if (rows->rows == 1 || (!out->failed && out->max - out->len >= CLOSE_BYTES))
		return true;
	poolite__rows_take_back(rows, len);
	return false;
}

/* Rows from the one ${stmt} stands on, after a step with the result ${step}.  The last
 * step's: ROW when there are more; or a code of ours. */
static int pack_page(sqlite3_stmt *stmt, int step, uint32_t rows_max,
    struct poolite__rows *rows, struct poolite__buf *out)
{
	int columns = sqlite3_column_count(stmt);

	execute_pack_head(stmt, columns, rows, out);
	while (step == SQLITE_ROW && rows->rows < rows_max && out->len < PAGES_BYTES) {
		if (!pack_row(stmt, columns, rows))
			break;
		if (out->failed)
			return out->failed;
		step = sqlite3_step(stmt);
	}
	return step;
}

/* *${has_more}: the rest is worth keeping. */
static int answer_page(struct connection *connection, sqlite3_stmt *stmt, int step,
    uint64_t number, uint32_t rows_max, struct poolite__buf *out, bool *has_more,
    struct poolite__failure *failure)
{
	struct poolite__rows rows;

	if (step == SQLITE_ROW || step == SQLITE_DONE)
		step = pack_page(stmt, step, rows_max, &rows, out);
	if (step < 0)
		return execute_fail_on_buffer(step, failure);
	if (step != SQLITE_ROW && step != SQLITE_DONE)
		return connection_failure(
		    connection, sqlite3_extended_errcode(connection->db), failure);
	*has_more = step == SQLITE_ROW;
	if (*has_more)
		poolite__rows_close_page(&rows, number);
	else
		poolite__rows_close(&rows);
	return out->failed ? execute_fail_on_buffer(out->failed, failure) : 0;
}

/* ---- open, fetch, close --------------------------------------------------------- */

/* A statement that has more to give leaves the cache, where others would find it. */
static int keep(struct connection *connection, uint64_t number, uint32_t rows,
    struct statement *statement, struct poolite__failure *failure)
{
	struct pages *pages = calloc(1, sizeof *pages);

	if (!pages)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	statement_cache_detach(&connection->cache, statement);
	pages->number = number;
	pages->rows = rows;
	pages->stmt = statement->stmt;
	pages->next = connection->pages;
	connection->pages = pages;
	statement->stmt = NULL;
	return 0;
}

static int refuse_too_many(
    const struct connection *connection, struct poolite__failure *failure)
{
	unsigned count = 0;

	for (const struct pages *pages = connection->pages; pages; pages = pages->next)
		count++;
	if (count < PAGES_MAX)
		return 0;
	return poolite__fail(failure, POOLITE_OVERLOADED,
	    "the transaction has %u cursors open already; close some", count);
}

static int open_read(struct connection *connection, uint64_t number, uint32_t rows,
    struct statement *statement, struct execution *execution, struct poolite__buf *out,
    struct poolite__failure *failure)
{
	bool has_more = false;
	int rc = refuse_too_many(connection, failure);

	/* The request's bytes are gone when the next page is asked for: SQLite copies them. */
	if (rc == 0)
		rc = execute_bind(
		    statement->stmt, execution->args, SQLITE_TRANSIENT, failure);
	if (rc == 0)
		rc = answer_page(connection, statement->stmt,
		    sqlite3_step(statement->stmt), number, rows, out, &has_more, failure);
	if (rc == 0 && has_more)
		rc = keep(connection, number, rows, statement, failure);
	return rc;
}

int pages_open(struct connection *connection, uint64_t number, uint32_t rows,
    struct execution *execution, struct poolite__buf *out,
    struct poolite__failure *failure)
{
	struct statement statement;
	int rc = execute_compile(connection, execution->sql, execution->sql_len,
	    execution->where, NULL, &statement, failure);

	execution->changes = execution->last_insert_id = 0;
	execution->has_savepoint = false;
	if (rc)
		return rc;
	rc = execute_admit(connection, &statement, execution, failure);
	if (rc == 0 && execution->is_write)
		rc = execute_run(connection, &statement, execution, out, failure);
	else if (rc == 0)
		rc = open_read(
		    connection, number, rows, &statement, execution, out, failure);
	if (statement.stmt)
		statement_done(&statement);
	return rc;
}

int pages_fetch(struct connection *connection, uint64_t number, uint32_t rows,
    struct poolite__buf *out, struct poolite__failure *failure)
{
	struct pages **at = find(connection, number), *pages = *at;
	bool has_more = false;
	int rc;

	if (!pages)
		return pages_fail_unknown(number, failure);
	guard_reset(&connection->guard);
	if (pages->stmt) {
		rc = answer_page(connection, pages->stmt, SQLITE_ROW, number,
		    rows ? rows : pages->rows, out, &has_more, failure);
	} else {
		*failure = pages->failure;
		rc = failure->code;
	}
	if (rc || !has_more)
		end(at);
	return rc;
}

int pages_close(
    struct connection *connection, uint64_t number, struct poolite__failure *failure)
{
	struct pages **at = find(connection, number);

	if (!*at)
		return pages_fail_unknown(number, failure);
	end(at);
	return 0;
}

/* ---- all of a connection's ------------------------------------------------------- */

bool connection_has_pages(const struct connection *connection)
{
	return connection->pages != NULL;
}

void connection_end_pages(struct connection *connection)
{
	while (connection->pages)
		end(&connection->pages);
}

void connection_fail_pages(
    struct connection *connection, const struct poolite__failure *failure)
{
	for (struct pages *pages = connection->pages; pages; pages = pages->next) {
		if (!pages->stmt)
			continue;
		sqlite3_finalize(pages->stmt);
		pages->stmt = NULL;
		pages->failure = *failure;
	}
}
