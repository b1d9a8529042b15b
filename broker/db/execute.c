#include "broker/db/execute.h"

#include <assert.h>
#include <string.h>

#include "broker/db/internal.h"
#include "broker/db/sql_text.h"

/* ---- from a text to a statement ------------------------------------------ */

/* What the text is must fit where it stands. */
static int check_place(
    unsigned facts, enum execute_where where, struct poolite__failure *failure)
{
	if ((facts & GUARD_SAVEPOINT) && where != EXECUTE_SESSION)
		return poolite__fail(failure, POOLITE_NOT_ALLOWED,
		    "SAVEPOINT, RELEASE and ROLLBACK TO work between begin and commit only");
	if ((facts & GUARD_COUNTERS) && where == EXECUTE_PLAIN)
		return poolite__fail(failure, POOLITE_NOT_ALLOWED,
		    "last_insert_rowid(), changes() and total_changes() mean nothing here: the "
		    "answer carries last_insert_id and changes (or use transaction or begin)");
	return 0;
}

/* Further statements of a refused text that the guard is asked about: it is an error
 * either way, and each one costs a copy of the rest. */
#define TAIL_STATEMENTS_MAX 16

static int refuse_second_statement(struct connection *connection, const char *tail,
    size_t len, enum execute_where where, struct poolite__failure *failure)
{
	/* The guard speaks first, about every statement of the text.  Compiling
	 * is harmless: what acts when compiled is not let through. */
	for (int i = 0; i < TAIL_STATEMENTS_MAX && !sql_text_is_blank(tail, len) &&
	     !connection_stop_reason(connection);
	     i++) {
		sqlite3_stmt *stmt = NULL;
		const char *next = NULL;
		if (guard_refuses_text(&connection->guard, tail, len))
			break;
		sqlite3_prepare_v2(connection->db, tail, (int)len, &stmt, &next);
		sqlite3_finalize(stmt);
		if (check_place(connection->guard.facts, where, failure))
			return failure->code;
		if (connection->guard.is_refused || !next || next == tail)
			break;
		len -= (size_t)(next - tail);
		tail = next;
	}
	if (connection->guard.is_refused)
		return poolite__fail(
		    failure, POOLITE_NOT_ALLOWED, "%s", connection->guard.why);
	return poolite__fail(failure, POOLITE_BAD_REQUEST,
	    "the text holds more than one statement; send them one by one, or use transaction or "
	    "script");
}

/*
 * The statement of ${sql}, from the cache or compiled.  With ${tail} the rest
 * of the text is the caller's; without it there must be none.
 */
int execute_compile(struct connection *connection, const char *sql, size_t len,
    enum execute_where where, const char **tail, struct statement *statement,
    struct poolite__failure *failure)
{
	const char *rest = NULL;
	int rc;

	*statement = (struct statement){0};
	guard_reset(&connection->guard);
	if (!tail && statement_cache_find(&connection->cache, sql, len, statement)) {
		rc = check_place(statement->facts, where, failure);
		if (rc)
			statement_done(statement);
		return rc;
	}
	if (guard_refuses_text(&connection->guard, sql, len))
		return poolite__fail(
		    failure, POOLITE_NOT_ALLOWED, "%s", connection->guard.why);
	/* A script ends in a NUL that is counted, so that SQLite need not copy the rest of it. */
	rc = sqlite3_prepare_v3(connection->db, sql, (int)(tail ? len + 1 : len),
	    tail ? 0 : SQLITE_PREPARE_PERSISTENT, &statement->stmt, &rest);
	statement->facts = connection->guard.facts;
	if (rc != SQLITE_OK)
		return connection_failure(connection, rc, failure);
	if (!statement->stmt)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "the text holds no statement");
	rc = check_place(statement->facts, where, failure);
	if (rc == 0 && !tail && !sql_text_is_blank(rest, len - (size_t)(rest - sql)))
		rc = refuse_second_statement(
		    connection, rest, len - (size_t)(rest - sql), where, failure);
	if (rc) {
		sqlite3_finalize(statement->stmt);
		return rc;
	}
	if (tail) {
		*tail = rest;
		return 0;
	}
	statement_cache_add(&connection->cache, sql, len, statement);
	return 0;
}

/* ---- rows ----------------------------------------------------------------- */

/* What SQLite could not convert for want of memory is no NULL. */
static void pack_column(sqlite3_stmt *stmt, int column, struct poolite__buf *out)
{
	/* Unprotected, and thus for this thread only, as is all of a connection. */
	sqlite3_value *from = sqlite3_column_value(stmt, column);
	struct poolite_value value = poolite_null();

	switch (sqlite3_value_type(from)) {
	case SQLITE_INTEGER: value = poolite_integer(sqlite3_value_int64(from)); break;
	case SQLITE_FLOAT: value = poolite_real(sqlite3_value_double(from)); break;
	case SQLITE_TEXT:
		value.type = POOLITE_TEXT;
		value.as.data = sqlite3_value_text(from);
		value.len = (size_t)sqlite3_value_bytes(from);
		break;
	case SQLITE_BLOB:
		value.type = POOLITE_BLOB;
		value.as.data = sqlite3_value_blob(from);
		value.len = (size_t)sqlite3_value_bytes(from);
		break;
	default: break;
	}
	if (!value.as.data && (value.type == POOLITE_TEXT || value.len > 0))
		out->failed = POOLITE_OVERLOADED;
	else
		poolite__pack_value(out, &value);
}

int execute_fail_on_buffer(int code, struct poolite__failure *failure)
{
	if (code == POOLITE_TOO_LARGE)
		return poolite__fail(failure, POOLITE_TOO_LARGE,
		    "the result is larger than the broker answers (max_result_bytes); ask for "
		    "less with LIMIT or fewer columns");
	return poolite__fail(failure, POOLITE_OVERLOADED,
	    "there is no memory for the answer (max_buffered_bytes, "
	    "max_user_buffered_bytes)");
}

void execute_pack_row(sqlite3_stmt *stmt, int columns, struct poolite__rows *rows)
{
	poolite__rows_next(rows);
	for (int i = 0; i < columns; i++)
		pack_column(stmt, i, rows->buf);
}

void execute_pack_head(
    sqlite3_stmt *stmt, int columns, struct poolite__rows *rows, struct poolite__buf *out)
{
	poolite__rows_open(rows, out, (uint32_t)columns);
	for (int i = 0; i < columns; i++)
		poolite__rows_column(rows, sqlite3_column_name(stmt, i));
	poolite__rows_begin(rows);
}

/* The same, by what was kept of the last time. */
static void pack_head_again(const struct statement *statement, int columns,
    struct poolite__rows *rows, struct poolite__buf *out)
{
	size_t len;
	const void *head = statement_head(statement, &len);

	if (head) {
		poolite__rows_open_as_before(rows, out, (uint32_t)columns, head, len);
		return;
	}
	execute_pack_head(statement->stmt, columns, rows, out);
	if (!out->failed)
		statement_keep_head(
		    statement, out->data + rows->map_at, out->len - rows->map_at);
}

/* All rows from the first step, whose result was ${step}, on.  SQLite's last code, or a
 * negative one of ours. */
static int pack_rows(const struct statement *statement, int step,
    struct poolite__rows *rows, struct poolite__buf *out)
{
	sqlite3_stmt *stmt = statement->stmt;
	int columns = sqlite3_column_count(stmt);

	/* After the first step: it may have compiled the text anew. */
	pack_head_again(statement, columns, rows, out);
	for (; step == SQLITE_ROW; step = sqlite3_step(stmt)) {
		execute_pack_row(stmt, columns, rows);
		if (out->failed)
			break;
	}
	return out->failed ? out->failed : step;
}

/* ---- one statement -------------------------------------------------------- */

static bool is_written(
    const struct execution *execution, const struct statement *statement)
{
	return execution->is_write && !sqlite3_stmt_isexplain(statement->stmt);
}

static void count_changes(struct connection *connection,
    const struct statement *statement, struct execution *execution)
{
	bool is_dml = (statement->facts & GUARD_CHANGES) &&
	    !(statement->facts & GUARD_DDL) && is_written(execution, statement);
	int64_t changes = is_dml ? sqlite3_changes64(connection->db) : 0;
	int64_t rowid = sqlite3_last_insert_rowid(connection->db);

	execution->changes += changes;
	if (changes > 0 && (statement->facts & GUARD_INSERTS))
		execution->last_insert_id = rowid;
}

/*
 * An INSERT need not give a rowid (WITHOUT ROWID, DO UPDATE): SQLite then still
 * tells the last one before it.  So that one is put away while it runs, unless
 * the text itself asks for it.
 */
static int64_t put_rowid_away(
    struct connection *connection, const struct statement *statement)
{
	int64_t before = sqlite3_last_insert_rowid(connection->db);

	if ((statement->facts & GUARD_INSERTS) && !(statement->facts & GUARD_COUNTERS))
		sqlite3_set_last_insert_rowid(connection->db, 0);
	return before;
}

static void put_rowid_back(struct connection *connection, int64_t before)
{
	if (sqlite3_last_insert_rowid(connection->db) == 0)
		sqlite3_set_last_insert_rowid(connection->db, before);
}

/* Everything that can be refused before the first step. */
int execute_admit(struct connection *connection, struct statement *statement,
    struct execution *execution, struct poolite__failure *failure)
{
	int columns = sqlite3_column_count(statement->stmt);

	execution->is_write = !sqlite3_stmt_readonly(statement->stmt);
	if (!execution->is_write && execution->where == EXECUTE_PLAIN &&
	    connection->asked)
		atomic_store(&connection->asked->is_read, true);
	if (execution->is_write && execution->read_only)
		return poolite__fail(failure, POOLITE_READ_ONLY,
		    "the statement writes, but only reads are possible here (a read transaction, "
		    "or a user who may only read)");
	if (execution->is_write && !execution->can_write)
		return EXECUTE_ELSEWHERE;
	if (execution->result == EXECUTE_CHANGES && columns > 0)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the statement returns rows; use query");
	if (execution->is_write && execution->before_write) {
		int rc = execution->before_write(connection, failure);
		execution->has_savepoint = rc == 0;
		guard_reset(&connection->guard);
		return rc;
	}
	return 0;
}

/* Step to the end.  SQLite's last code, or a negative one of ours. */
static int step_all(const struct statement *statement, struct poolite__rows *rows,
    struct poolite__buf *out)
{
	int rc = sqlite3_step(statement->stmt);

	if (rows && (rc == SQLITE_ROW || rc == SQLITE_DONE))
		return pack_rows(statement, rc, rows, out);
	while (rc == SQLITE_ROW) /* a script's SELECT: its rows go nowhere */
		rc = sqlite3_step(statement->stmt);
	return rc;
}

static int close_result(const struct execution *execution,
    const struct statement *statement, struct poolite__rows *rows,
    struct poolite__buf *out, struct poolite__failure *failure)
{
	if (!rows)
		poolite__pack_changes(out, execution->changes, execution->last_insert_id);
	else if (is_written(execution, statement))
		poolite__rows_close_written(
		    rows, execution->changes, execution->last_insert_id);
	else
		poolite__rows_close(rows);
	return out->failed ? execute_fail_on_buffer(out->failed, failure) : 0;
}

int execute_run(struct connection *connection, struct statement *statement,
    struct execution *execution, struct poolite__buf *out,
    struct poolite__failure *failure)
{
	bool has_rows = out &&
	    (execution->result == EXECUTE_ROWS ||
		(execution->result == EXECUTE_EITHER &&
		    sqlite3_column_count(statement->stmt) > 0));
	struct poolite__rows rows;
	int64_t rowid;
	int rc = execute_bind(statement->stmt, execution->args, SQLITE_STATIC, failure);

	if (rc)
		return rc;
	/* Many short statements never let SQLite ask the progress handler. */
	if (connection_stop_reason(connection))
		return connection_failure(connection, SQLITE_INTERRUPT, failure);
	if ((statement->facts & GUARD_DDL) && is_written(execution, statement))
		connection_begin_schema_change(connection);
	rowid = put_rowid_away(connection, statement);
	rc = step_all(statement, has_rows ? &rows : NULL, out);
	if (rc == SQLITE_DONE)
		count_changes(connection, statement, execution);
	put_rowid_back(connection, rowid);
	if (rc < 0)
		return execute_fail_on_buffer(rc, failure);
	if (rc != SQLITE_DONE)
		return connection_failure(
		    connection, sqlite3_extended_errcode(connection->db), failure);
	return out
	    ? close_result(execution, statement, has_rows ? &rows : NULL, out, failure)
	    : 0;
}

int execute_statement(struct connection *connection, struct execution *execution,
    struct poolite__buf *out, struct poolite__failure *failure)
{
	struct statement statement;
	int rc = execute_compile(connection, execution->sql, execution->sql_len,
	    execution->where, NULL, &statement, failure);

	execution->changes = execution->last_insert_id = 0;
	execution->has_savepoint = false;
	if (rc)
		return rc;
	rc = execute_admit(connection, &statement, execution, failure);
	if (rc == 0)
		rc = execute_run(connection, &statement, execution, out, failure);
	statement_done(&statement);
	return rc;
}

/* ---- batch ----------------------------------------------------------------- */

static int run_batch_row(struct connection *connection, struct statement *statement,
    struct execution *execution, struct poolite__failure *failure)
{
	int rc = execute_run(connection, statement, execution, NULL, failure);

	sqlite3_reset(statement->stmt);
	return rc;
}

void execute_name_part(
    struct poolite__failure *failure, const char *what, uint32_t at, uint32_t count)
{
	char message[POOLITE__MESSAGE_BYTES];
	int sqlite = failure->sqlite;

	memcpy(message, failure->message, sizeof message);
	poolite__fail(
	    failure, failure->code, "%s (%s %u of %u)", message, what, at, count);
	failure->sqlite = sqlite;
}

int execute_batch(struct connection *connection, struct execution *execution,
    struct execute_rows *rows, struct poolite__failure *failure)
{
	struct statement statement;
	int rc = execute_compile(connection, execution->sql, execution->sql_len,
	    execution->where, NULL, &statement, failure);

	execution->changes = execution->last_insert_id = 0;
	execution->has_savepoint = false;
	execution->result = EXECUTE_CHANGES;
	if (rc)
		return rc;
	rc = execute_admit(connection, &statement, execution, failure);
	for (uint32_t row = 1; rc == 0 && row <= rows->count; row++) {
		rc = poolite__read_args(&rows->at, &execution->args, failure);
		if (rc == 0)
			rc = run_batch_row(connection, &statement, execution, failure);
		if (rc)
			execute_name_part(
			    failure, "row", rows->before + row, rows->total);
	}
	statement_done(&statement);
	return rc;
}
