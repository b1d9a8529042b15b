#include "broker/lock_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/clock.h"

#define FLAGS    (O_RDWR | O_CLOEXEC | O_NOFOLLOW)
#define DYING_NS CLOCK_NS_PER_SEC

bool lock_file_is_dying(int64_t waited_ns)
{
	return waited_ns < DYING_NS;
}

/* Where another removes it between the two calls, begin anew. */
static int open_or_make(struct lock_file *lock, const char *path, mode_t mode)
{
	do {
		lock->fd = open(path, FLAGS | O_CREAT | O_EXCL, mode);
		lock->was_made = lock->fd >= 0;
		if (lock->was_made || errno != EEXIST)
			break;
		lock->fd = open(path, FLAGS);
	} while (lock->fd < 0 && errno == ENOENT);
	return lock->fd;
}

/* Whether ${path} is still the name of the file that is open. */
static bool is_named(const struct lock_file *lock, const char *path)
{
	struct stat opened, named;

	return fstat(lock->fd, &opened) == 0 && lstat(path, &named) == 0 &&
	    opened.st_dev == named.st_dev && opened.st_ino == named.st_ino;
}

/* False: its holder keeps it. */
static bool wait_for(
    const struct lock_file *lock, lock_file_patience *patience, void *context)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int64_t began_ns = clock_raw_ns(), waited_ns = 0;

	while (flock(lock->fd, LOCK_EX | LOCK_NB)) {
		if (patience ? !patience(context, lock->fd, waited_ns)
			     : !lock_file_is_dying(waited_ns))
			return false;
		nanosleep(&pause, NULL);
		waited_ns = clock_raw_ns() - began_ns;
	}
	return true;
}

enum lock_file_outcome lock_file_take(struct lock_file *lock, const char *path,
    mode_t mode, lock_file_patience *patience, void *context)
{
	for (;;) {
		if (open_or_make(lock, path, mode) < 0)
			return LOCK_FILE_WRONG;
		if (!wait_for(lock, patience, context)) {
			lock_file_release(lock);
			return LOCK_FILE_HELD;
		}
		if (is_named(lock, path))
			return LOCK_FILE_TAKEN;
		lock_file_release(lock); /* its holder removed it: there may be another */
	}
}

void lock_file_undo(struct lock_file *lock, const char *path)
{
	if (lock->fd >= 0 && lock->was_made && is_named(lock, path))
		unlink(path);
	lock_file_release(lock);
}

void lock_file_release(struct lock_file *lock)
{
	if (lock->fd >= 0)
		close(lock->fd);
	lock->fd = -1;
	lock->was_made = false;
}
