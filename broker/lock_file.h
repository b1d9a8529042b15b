/* lock_file.h - the files beside database and socket by which one broker keeps others out.
 *
 * The lock is flock(2): it goes with its process, and the file means nothing by itself.
 * Only who holds the lock removes the file, and whoever gets a lock looks whether the path
 * still names the file it is on; so two brokers never hold two files of one name.
 */
#ifndef POOLITE_BROKER_LOCK_FILE_H
#define POOLITE_BROKER_LOCK_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct lock_file {
	int fd;        /* -1: not locked */
	bool was_made; /* by us: it was not there before */
};

/**
 * Told while somebody else has the lock: whether it is worth waiting.
 *
 *   fd         the other's lock file, open for reading
 *   waited_ns  so far
 */
typedef bool lock_file_patience(void *context, int fd, int64_t waited_ns);

/** What lock_file_take returns. */
enum lock_file_outcome {
	LOCK_FILE_TAKEN,
	LOCK_FILE_HELD,  /* by another process, and patience said no more */
	LOCK_FILE_WRONG, /* errno tells */
};

/**
 * Open ${path}, make it with ${mode} where it is missing, and lock it.  ${patience} NULL:
 * for as long as a process that was killed may take to die, see lock_file_is_dying.
 */
enum lock_file_outcome lock_file_take(struct lock_file *lock, const char *path,
    mode_t mode, lock_file_patience *patience, void *context);

/** Whether who holds the lock may have been killed just now, ${waited_ns} after the first try:
 *  the kernel takes a process's locks away last, after its memory and its files. */
bool lock_file_is_dying(int64_t waited_ns);

/** A start failed: remove ${path} if it was made by lock_file_take and is locked; then unlock. */
void lock_file_undo(struct lock_file *lock, const char *path);
/** Unlock; the file stays. */
void lock_file_release(struct lock_file *lock);

#endif
