/* place.h - whether a database lies where SQLite's promises hold. */
#ifndef POOLITE_BROKER_PLACE_H
#define POOLITE_BROKER_PLACE_H

#include <stddef.h>

/**
 * Look at the database ${path} (its realpath, a regular file) and its folder.
 *
 * Refused are a file with a second name (by the other one a second broker, or
 * SQLite itself, would use another -wal), a network or FUSE filesystem (locks
 * and shared memory do not hold there), and a folder in which everybody may put
 * files (a -wal laid beside the database is read as part of it).
 *
 * 0, or -1 with a sentence in ${error} that names the culprit and the way out.
 */
int place_check(const char *path, char *error, size_t error_size);

#endif
