/* files.h - the database file before SQLite opens it: made, found, locked. */
#ifndef POOLITE_BROKER_FILES_H
#define POOLITE_BROKER_FILES_H

#include <stdbool.h>
#include <stddef.h>

struct database_file {
	char *path;  /* owns; the realpath: a symbolic link must not make two writers */
	int lock_fd; /* holds flock on PATH-poolite.lock for life; -1: none */
	bool was_created;
};

/**
 * Resolve ${path}, create the file if it is missing and ${create} is set, and
 * lock PATH-poolite.lock, which then holds our pid and ${socket}, a line each.
 * 0, or -1 with a sentence in ${error}.
 */
int database_file_open(struct database_file *file, const char *path, bool create,
    const char *socket, char *error, size_t error_size);
/** Unlock and free. */
void database_file_close(struct database_file *file);

#endif
