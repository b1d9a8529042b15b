/* database.h - the table everything is measured on, and SQLite itself on it. */
#ifndef POOLITE_BENCH_DATABASE_H
#define POOLITE_BENCH_DATABASE_H

#include <stdbool.h>
#include <stdint.h>

#include <sqlite3.h>

#define ROWS 10000 /* in the table before anything is measured; ids from 1 */

#define SQL_READ   "SELECT * FROM leads WHERE id = ?"
#define SQL_UPDATE "UPDATE leads SET visits = visits + 1 WHERE id = ?"
#define SQL_INSERT                                                                       \
	"INSERT INTO leads (title, description, link, source, visits) VALUES (?, "       \
	"'A company that may need what we make.', 'https://example.com/lead', 'serp', 0)"

/* Print why to standard error, and exit with status 1. */
_Noreturn void die(const char *what, const char *why);

/** Make a new file with the table and its rows, or die; ${more} is further SQL or NULL. */
void database_create(const char *path, const char *more);
/** Remove the file and what lies beside it. */
void database_remove(const char *path);

/** Open the file with the PRAGMAs of every direct side; NULL: it failed. */
sqlite3 *database_open(const char *path);
/** Open it, run statements and close, or die. */
void database_run(const char *path, const char *sql);
/** The first value of a query's first row, opening the file for it; dies on errors. */
int64_t database_number(const char *path, const char *sql);

/**
 * Bind ${number}, step to the end, read every column of every row, reset.
 * Whether it went well: a query has to find one row, and anything else to change one.
 */
bool database_step(sqlite3_stmt *statement, int64_t number);

#endif
