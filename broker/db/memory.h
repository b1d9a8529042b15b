/* memory.h - SQLite's memory, with an account for each thread.
 *
 * A connection belongs to one thread, so a thread's account is its
 * connection's.  Who passes its cap gets NOMEM; SQLite's own heap limit is the process's,
 * and would fail the innocent.
 */
#ifndef POOLITE_BROKER_DB_MEMORY_H
#define POOLITE_BROKER_DB_MEMORY_H

#include <stdint.h>

/** Once, before SQLite is used at all: put the accounts under its allocator. */
void memory_install(void);

/** This thread's SQLite memory is at most ${bytes} from now on; 0: no cap. */
void memory_cap_thread(int64_t bytes);

#endif
