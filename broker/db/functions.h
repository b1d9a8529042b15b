/* functions.h - SQL functions of SQLite's that work on without end, in versions that do not.
 *
 * No deadline reaches into a function's call.  printf('%.*c', 2000000000, 'x') counts to the
 * end before it finds the result too large, and instr() and replace() take the product of
 * their arguments' lengths.  These here have the same results, in time that is linear.
 */
#ifndef POOLITE_BROKER_DB_FUNCTIONS_H
#define POOLITE_BROKER_DB_FUNCTIONS_H

#include <sqlite3.h>

/** Put them in the place of printf(), format(), instr() and replace().  SQLite's code. */
int functions_install(sqlite3 *db);

/**
 * printf() and format(): as SQLite's, conversion by conversion, but that a result larger than
 * LIMIT_LENGTH is an error (SQLite 3.40 answers NULL).
 */
void functions_printf(sqlite3_context *context, int argc, sqlite3_value **argv);

/** Answer what ${out} holds, NULL for nothing, and free it; too large or no memory: that
 *  error. */
void functions_result(sqlite3_context *context, sqlite3_str *out);

#endif
