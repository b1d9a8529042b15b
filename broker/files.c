#include "broker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/clock.h"
#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/place.h"

/* The line a broker adds to its lock file when it begins to stop. */
#define STOPPING "stopping\n"

/* After creating a file its folder has to be synced, or a power cut loses the name. */
static int sync_folder(const char *path)
{
	char *copy = strdup(path);
	int fd = copy ? open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
	int rc = fd < 0 ? -1 : fsync(fd);

	free(copy);
	if (fd >= 0)
		close(fd);
	return rc;
}

/* No SQLite connection is open yet, so open() and close() drop nobody's locks. */
static int create_file(
    struct database_file *file, const char *path, char *error, size_t error_size)
{
	int fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0660);

	if (fd < 0 && errno == EEXIST)
		return 0;
	if (fd < 0 || fsync(fd) || sync_folder(path)) {
		snprintf(error, error_size, "cannot create the database %s: %s", path,
		    strerror(errno));
		if (fd >= 0)
			close(fd);
		return -1;
	}
	close(fd);
	file->was_created = true;
	return 0;
}

static int resolve(struct database_file *file, const char *path, bool create, char *error,
    size_t error_size)
{
	struct stat st;

	if (stat(path, &st) && errno == ENOENT) {
		if (!create) {
			snprintf(error, error_size,
			    "there is no database %s, and create is off; check --db, or start "
			    "with --create=on",
			    path);
			return -1;
		}
		if (create_file(file, path, error, error_size))
			return -1;
	}
	file->path = realpath(path, NULL);
	if (!file->path || stat(file->path, &st)) {
		snprintf(error, error_size, "cannot open the database %s: %s", path,
		    strerror(errno));
		return -1;
	}
	if (!S_ISREG(st.st_mode)) {
		snprintf(error, error_size,
		    "%s is not a regular file; --db names the database", path);
		return -1;
	}
	if (access(file->path, R_OK | W_OK)) {
		snprintf(error, error_size,
		    "no permission to read and write the database %s as uid %u: %s", path,
		    (unsigned)geteuid(), strerror(errno));
		return -1;
	}
	return 0;
}

/* What the holder of the lock wrote: its pid, and whether it is stopping. */
static bool read_holder(int fd, char *pid, size_t size)
{
	char text[PATH_MAX + 64];
	ssize_t len = pread(fd, text, sizeof text - 1, 0);

	text[len > 0 ? len : 0] = '\0';
	snprintf(pid, size, "%.*s", (int)strcspn(text, "\n"), text);
	return strstr(text, STOPPING) != NULL;
}

/* Take the lock, or name its holder; while that one is stopping, wait. */
static int wait_for_lock(struct database_file *file, const char *path, int64_t wait_ns,
    char *error, size_t error_size)
{
	const struct timespec pause = {.tv_nsec = 20000000};
	int64_t until_ns = clock_after(clock_raw_ns(), wait_ns);
	bool has_told = false, is_stopping;
	char pid[32];

	while (flock(file->lock_fd, LOCK_EX | LOCK_NB)) {
		is_stopping = read_holder(file->lock_fd, pid, sizeof pid);
		if (!is_stopping || clock_raw_ns() > until_ns) {
			snprintf(error, error_size,
			    "another broker (pid %s) has the database %s; its socket is named in "
			    "%s",
			    *pid ? pid : "unknown", file->path, path);
			return -1;
		}
		if (!has_told)
			log_info(
			    "waiting for the broker with pid %s, which is stopping", pid);
		has_told = true;
		nanosleep(&pause, NULL);
	}
	return 0;
}

static int lock(struct database_file *file, const char *socket, int64_t wait_ns,
    char *error, size_t error_size)
{
	char path[PATH_MAX + 16], folder[PATH_MAX] = "", text[2 * PATH_MAX];
	struct stat st;
	int len;

	snprintf(path, sizeof path, "%s-poolite.lock", file->path);
	file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (file->lock_fd < 0) {
		snprintf(error, error_size, "cannot open the lock file %s: %s", path,
		    strerror(errno));
		return -1;
	}
	if (wait_for_lock(file, path, wait_ns, error, error_size)) {
		file->was_created = false; /* who has the lock may have it open by now */
		return -1;
	}
	/* Another broker may have come, written and gone before we had the lock. */
	file->was_created &= stat(file->path, &st) == 0 && st.st_size == 0;
	/* Who reads it may stand in another folder. */
	if (socket[0] != '/' && !getcwd(folder, sizeof folder))
		folder[0] = '\0';
	len = snprintf(text, sizeof text, "%ld\n%s%s%s\n", (long)getpid(), folder,
	    *folder ? "/" : "", socket);
	FAILPOINT("start_locked");
	if (ftruncate(file->lock_fd, 0) ||
	    pwrite(file->lock_fd, text, (size_t)len, 0) != len) {
		snprintf(error, error_size, "cannot write the lock file %s: %s", path,
		    strerror(errno));
		return -1;
	}
	return 0;
}

void database_file_mark_stopping(const struct database_file *file)
{
	off_t end = lseek(file->lock_fd, 0, SEEK_END);

	/* Only a hint to a successor: without it that one says who has the database. */
	if (end < 0 || pwrite(file->lock_fd, STOPPING, sizeof STOPPING - 1, end) < 0)
		log_debug("cannot mark the lock file: %s", strerror(errno));
}

void database_file_undo(const struct database_file *file)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	for (size_t i = 0;
	     file->was_created && file->path && i < sizeof suffixes / sizeof *suffixes;
	     i++) {
		char path[PATH_MAX + 8];
		snprintf(path, sizeof path, "%s%s", file->path, suffixes[i]);
		unlink(path);
	}
}

int database_file_open(struct database_file *file, const struct settings *settings,
    int64_t wait_ns, char *error, size_t error_size)
{
	*file = (struct database_file){.lock_fd = -1};
	if (resolve(file, settings->database, settings->create, error, error_size) == 0 &&
	    (settings->allow_unsafe_place ||
		place_check(file->path, error, error_size) == 0) &&
	    lock(file, settings->socket, wait_ns, error, error_size) == 0)
		return 0;
	database_file_undo(file);
	database_file_close(file);
	return -1;
}

void database_file_close(struct database_file *file)
{
	if (file->lock_fd >= 0)
		close(file->lock_fd);
	free(file->path);
	*file = (struct database_file){.lock_fd = -1};
}
