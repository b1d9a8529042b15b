/* direct.h - the database file by sqlite3 itself, without the broker. */
#ifndef POOLITE_TESTS_DIRECT_H
#define POOLITE_TESTS_DIRECT_H

#include <stdint.h>

#include <sqlite3.h>

/** Open the file as a foreign process would. */
sqlite3 *direct_open(const char *path);
void direct_close(sqlite3 *db);

/** Run statements that must succeed. */
void direct_run(sqlite3 *db, const char *sql);
/** All rows of a query, in the notation of notation.h: "[[1, `a`]]"; for free(). */
char *direct_rows(sqlite3 *db, const char *sql);

/** The first value of the first row, opening the file for it. */
int64_t direct_number(const char *path, const char *sql);
/** integrity_check and foreign_key_check find nothing. */
void direct_check(const char *path);

#endif
