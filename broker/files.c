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
#include <unistd.h>

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

static void read_holder(int fd, char *holder, size_t size)
{
	ssize_t len = pread(fd, holder, size - 1, 0);
	char *end;

	holder[len > 0 ? len : 0] = '\0';
	end = strchr(holder, '\n');
	if (end)
		*end = '\0';
}

static int lock(
    struct database_file *file, const char *socket, char *error, size_t error_size)
{
	char path[PATH_MAX], text[PATH_MAX + 32], holder[32];
	int len;

	snprintf(path, sizeof path, "%s-poolite.lock", file->path);
	file->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (file->lock_fd < 0) {
		snprintf(error, error_size, "cannot open the lock file %s: %s", path,
		    strerror(errno));
		return -1;
	}
	if (flock(file->lock_fd, LOCK_EX | LOCK_NB)) {
		read_holder(file->lock_fd, holder, sizeof holder);
		snprintf(error, error_size,
		    "another broker (pid %s) has the database %s; its socket is named in %s",
		    *holder ? holder : "unknown", file->path, path);
		return -1;
	}
	len = snprintf(text, sizeof text, "%ld\n%s\n", (long)getpid(), socket);
	if (ftruncate(file->lock_fd, 0) ||
	    pwrite(file->lock_fd, text, (size_t)len, 0) != len) {
		snprintf(error, error_size, "cannot write the lock file %s: %s", path,
		    strerror(errno));
		return -1;
	}
	return 0;
}

int database_file_open(struct database_file *file, const char *path, bool create,
    const char *socket, char *error, size_t error_size)
{
	*file = (struct database_file){.lock_fd = -1};
	if (resolve(file, path, create, error, error_size) ||
	    lock(file, socket, error, error_size)) {
		database_file_close(file);
		return -1;
	}
	return 0;
}

void database_file_close(struct database_file *file)
{
	if (file->lock_fd >= 0)
		close(file->lock_fd);
	free(file->path);
	*file = (struct database_file){.lock_fd = -1};
}
