#include "broker/files.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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
		snprintf(error, error_size, "cannot create the database %s: %s%s", path,
		    strerror(errno),
		    errno == ENOENT ? " (the folder has to be there)" : "");
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

/* Waiting for the lock. */
struct succession {
	int64_t wait_ns; /* for a broker that is stopping */
	bool has_told;
	char pid[32]; /* of the holder */
};

static bool is_worth_waiting(void *context, int fd, int64_t waited_ns)
{
	struct succession *succession = context;

	if (!read_holder(fd, succession->pid, sizeof succession->pid))
		return lock_file_is_dying(waited_ns);
	if (!succession->has_told)
		log_info("waiting for the broker with pid %s, which is stopping",
		    succession->pid);
	succession->has_told = true;
	return waited_ns < succession->wait_ns;
}

static void lock_path(const struct database_file *file, char path[PATH_MAX + 16])
{
	snprintf(path, PATH_MAX + 16, "%s-poolite.lock", file->path);
}

static int take_lock(struct database_file *file, const char *path, int64_t wait_ns,
    char *error, size_t error_size)
{
	struct succession succession = {.wait_ns = wait_ns};

	switch (lock_file_take(&file->lock, path, 0640, is_worth_waiting, &succession)) {
	case LOCK_FILE_TAKEN: return 0;
	case LOCK_FILE_HELD:
		file->was_created = false; /* who has the lock may have it open by now */
		snprintf(error, error_size,
		    "another broker (pid %s) has the database %s; its socket is named in %s",
		    *succession.pid ? succession.pid : "unknown", file->path, path);
		return -1;
	case LOCK_FILE_WRONG: break;
	}
	snprintf(
	    error, error_size, "cannot open the lock file %s: %s", path, strerror(errno));
	return -1;
}

static int lock(struct database_file *file, const char *socket, int64_t wait_ns,
    char *error, size_t error_size)
{
	char path[PATH_MAX + 16], folder[PATH_MAX] = "", text[2 * PATH_MAX];
	struct stat st;
	int len;

	lock_path(file, path);
	if (take_lock(file, path, wait_ns, error, error_size))
		return -1;
	/* Another broker may have come, written and gone before we had the lock. */
	file->was_created &= stat(file->path, &st) == 0 && st.st_size == 0;
	/* Who reads it may stand in another folder. */
	if (socket[0] != '/' && !getcwd(folder, sizeof folder))
		folder[0] = '\0';
	len = snprintf(text, sizeof text, "%ld\n%s%s%s\n", (long)getpid(), folder,
	    *folder ? "/" : "", socket);
	FAILPOINT("start_locked");
	if (ftruncate(file->lock.fd, 0) ||
	    pwrite(file->lock.fd, text, (size_t)len, 0) != len) {
		snprintf(error, error_size, "cannot write the lock file %s: %s", path,
		    strerror(errno));
		return -1;
	}
	return 0;
}

void database_file_mark_stopping(const struct database_file *file)
{
	off_t end = lseek(file->lock.fd, 0, SEEK_END);

	/* Only a hint to a successor: without it that one says who has the database. */
	if (end < 0 || pwrite(file->lock.fd, STOPPING, sizeof STOPPING - 1, end) < 0)
		log_debug("cannot mark the lock file: %s", strerror(errno));
}

void database_file_undo(struct database_file *file)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};

	for (size_t i = 0;
	     file->was_created && file->path && i < sizeof suffixes / sizeof *suffixes;
	     i++) {
		char path[PATH_MAX + 8];
		snprintf(path, sizeof path, "%s%s", file->path, suffixes[i]);
		unlink(path);
	}
	if (file->path) {
		char path[PATH_MAX + 16];
		lock_path(file, path);
		lock_file_undo(&file->lock, path);
	}
}

int database_file_open(struct database_file *file, const struct settings *settings,
    int64_t wait_ns, char *error, size_t error_size)
{
	*file = (struct database_file){.lock.fd = -1};
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
	lock_file_release(&file->lock);
	free(file->path);
	*file = (struct database_file){.lock.fd = -1};
}
