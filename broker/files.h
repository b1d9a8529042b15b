/* files.h - the database file before SQLite opens it: made, found, locked. */
#ifndef POOLITE_BROKER_FILES_H
#define POOLITE_BROKER_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/lock_file.h"
#include "broker/settings.h"

struct database_file {
	char *path; /* owns; the realpath: a symbolic link must not make two writers */
	struct lock_file lock; /* PATH-poolite.lock, for life */
	bool was_created;      /* by this start, and no other broker can have used it */
};

/**
 * Resolve settings->database, create the file if it is missing and `create` is
 * set, look where it lies (place.h, unless `allow_unsafe_place`), and lock
 * PATH-poolite.lock, which then holds our pid and the socket, a line each.
 * Waits for a broker that is stopping to be gone (${wait_ns} at the most), and a
 * second for one that may have been killed just now.
 * 0, or -1 with a sentence in ${error}; then nothing of ours is left behind.
 */
int database_file_open(struct database_file *file, const struct settings *settings,
    int64_t wait_ns, char *error, size_t error_size);
/** Tell a successor that it is worth waiting. */
void database_file_mark_stopping(const struct database_file *file);
/** A start failed: remove the database and the lock file if this start has made them; unlock. */
void database_file_undo(struct database_file *file);
/** Unlock and free. */
void database_file_close(struct database_file *file);

#endif
