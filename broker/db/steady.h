/* steady.h - whether a statement's program is made of short steps only.
 *
 * SQLite asks the progress handler between the steps of its virtual machine,
 * never inside one; and some single steps are long (Count walks a table,
 * IntegrityCk the file, a virtual table does what it likes).  EXPLAIN shows the
 * program.  What is not on the list of steps known to be short is not steady,
 * so that a step invented later is safe.
 */
#ifndef POOLITE_BROKER_DB_STEADY_H
#define POOLITE_BROKER_DB_STEADY_H

#include <stdbool.h>
#include <stddef.h>

struct connection;

/** Compile EXPLAIN of ${sql}, one reading statement that ran well, and look at every step. */
bool connection_is_steady(struct connection *connection, const char *sql, size_t len);

#endif
