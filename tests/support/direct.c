#include "tests/support/direct.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/notation.h"

sqlite3 *direct_open(const char *path)
{
	sqlite3 *db;

	CHECK(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) == SQLITE_OK,
	    "cannot open %s: %s", path, sqlite3_errmsg(db));
	sqlite3_busy_timeout(db, PATIENCE_SECONDS * 1000);
	return db;
}

void direct_close(sqlite3 *db)
{
	CHECK_EQ(sqlite3_close(db), SQLITE_OK);
}

void direct_run(sqlite3 *db, const char *sql)
{
	CHECK(sqlite3_exec(db, sql, NULL, NULL, NULL) == SQLITE_OK, "%s: %s", sql,
	    sqlite3_errmsg(db));
}

static void write_value(struct poolite__buf *text, sqlite3_stmt *stmt, int column)
{
	int type = sqlite3_column_type(stmt, column);
	size_t len;

	if (type == SQLITE_FLOAT) {
		notation_write_real(text, sqlite3_column_double(stmt, column));
		return;
	}
	const void *data = type == SQLITE_BLOB
	    ? sqlite3_column_blob(stmt, column)
	    : (const void *)sqlite3_column_text(stmt, column);
	len = (size_t)sqlite3_column_bytes(stmt, column);
	if (type == SQLITE_NULL)
		poolite__buf_append(text, "null", 4);
	else if (type == SQLITE_INTEGER)
		poolite__buf_append(text, data, len);
	else if (type == SQLITE_TEXT)
		notation_write_str(text, data, len);
	else
		notation_write_bin(text, data, len);
}

/* ", " before all but the first. */
static void separate(struct poolite__buf *text, bool is_first)
{
	if (!is_first)
		poolite__buf_append(text, ", ", 2);
}

char *direct_rows(sqlite3 *db, const char *sql)
{
	struct poolite__buf text;
	sqlite3_stmt *stmt;
	int rc;

	poolite__buf_init(&text, SIZE_MAX, NULL);
	CHECK(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) == SQLITE_OK, "%s: %s", sql,
	    sqlite3_errmsg(db));
	poolite__buf_append(&text, "[", 1);
	for (bool is_first = true; (rc = sqlite3_step(stmt)) == SQLITE_ROW;
	     is_first = false) {
		separate(&text, is_first);
		poolite__buf_append(&text, "[", 1);
		for (int i = 0; i < sqlite3_column_count(stmt); i++) {
			separate(&text, i == 0);
			write_value(&text, stmt, i);
		}
		poolite__buf_append(&text, "]", 1);
	}
	CHECK(rc == SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	poolite__buf_append(&text, "]", 2); /* and the NUL */
	sqlite3_finalize(stmt);
	return (char *)text.data;
}

int64_t direct_number(const char *path, const char *sql)
{
	sqlite3 *db = direct_open(path);
	char *rows = direct_rows(db, sql);
	int64_t number;

	CHECK(strncmp(rows, "[[", 2) == 0, "%s gives %s", sql, rows);
	number = strtoll(rows + 2, NULL, 10);
	free(rows);
	direct_close(db);
	return number;
}

void direct_check(const char *path)
{
	sqlite3 *db = direct_open(path);
	char *rows = direct_rows(db, "PRAGMA integrity_check");

	CHECK_TEXT(rows, "[[`ok`]]");
	free(rows);
	rows = direct_rows(db, "PRAGMA foreign_key_check");
	CHECK_TEXT(rows, "[]");
	free(rows);
	direct_close(db);
}
