#include "tests/bench/database.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define BUSY_MS 30000 /* direct writers wait this long for each other */

#define SCHEMA                                                                           \
	"CREATE TABLE leads (id INTEGER PRIMARY KEY, title TEXT NOT NULL, "              \
	"description TEXT, link TEXT, source TEXT, visits INTEGER NOT NULL);"            \
	"CREATE INDEX leads_by_source ON leads (source);"
#define FILL                                                                             \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %d) "  \
	"INSERT INTO leads SELECT i, 'Lead ' || i, "                                     \
	"'A company that may need what we make.', 'https://example.com/lead', 'serp', "  \
	"0 FROM n;"

void die(const char *what, const char *why)
{
	fprintf(stderr, "%s: %s: %s\n", program_invocation_short_name, what, why);
	exit(1);
}

sqlite3 *database_open(const char *path)
{
	sqlite3 *db;

	if (sqlite3_open(path, &db) == SQLITE_OK) {
		sqlite3_busy_timeout(db, BUSY_MS);
		if (sqlite3_exec(db,
			"PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
			"PRAGMA cache_size=-8192; PRAGMA temp_store=FILE;"
			"PRAGMA foreign_keys=ON",
			NULL, NULL, NULL) == SQLITE_OK)
			return db;
	}
	sqlite3_close(db);
	return NULL;
}

void database_run(const char *path, const char *sql)
{
	sqlite3 *db = database_open(path);

	if (db == NULL || sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK)
		die(path, db == NULL ? "cannot be opened" : sqlite3_errmsg(db));
	sqlite3_close(db);
}

void database_create(const char *path, const char *more)
{
	char fill[sizeof(FILL) + 16];

	database_remove(path);
	snprintf(fill, sizeof(fill), FILL, ROWS);
	database_run(path, SCHEMA);
	database_run(path, fill);
	if (more != NULL)
		database_run(path, more);
}

void database_remove(const char *path)
{
	static const char *const endings[] = {"", "-wal", "-shm", "-poolite.lock"};
	char name[256];

	for (size_t i = 0; i < sizeof(endings) / sizeof(*endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
}

int64_t database_number(const char *path, const char *sql)
{
	sqlite3 *db = database_open(path);
	sqlite3_stmt *statement = NULL;

	if (db == NULL ||
	    sqlite3_prepare_v2(db, sql, -1, &statement, NULL) != SQLITE_OK ||
	    sqlite3_step(statement) != SQLITE_ROW)
		die(path, db == NULL ? "cannot be opened" : sqlite3_errmsg(db));
	int64_t number = sqlite3_column_int64(statement, 0);

	sqlite3_finalize(statement);
	sqlite3_close(db);
	return number;
}

bool database_step(sqlite3_stmt *statement, int64_t number)
{
	int columns = sqlite3_column_count(statement);
	int rows = 0;
	int rc;

	sqlite3_bind_int64(statement, 1, number);
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		rows += columns > 1 && sqlite3_column_int64(statement, 0) == number;
		for (int i = 0; i < columns; i++)
			(void)sqlite3_column_text(statement, i);
	}
	sqlite3_reset(statement);
	if (columns == 0)
		rows = sqlite3_changes(sqlite3_db_handle(statement));
	return rc == SQLITE_DONE && rows == 1;
}
