/* record.c - for LD_PRELOAD: write down what a poolited reads from and writes to its clients.
 *
 * In the folder $POOLITE_RECORD one file per process, descriptor and direction:
 * PID-FD.in, PID-FD.out; sessions that had one descriptor follow each other in it.  Other
 * programs are left alone.  scripts/fuzz --seeds runs the tests with it.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))

static bool is_client(int fd)
{
	int domain = 0, error = errno;
	socklen_t len = sizeof domain;
	bool is_socket = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0;

	errno = error;
	return is_socket && domain == AF_UNIX &&
	    strcmp(program_invocation_short_name, "poolited") == 0;
}

/* Append what was written of ${parts}, or read into them. */
static void note(int fd, const char *direction, const struct iovec *parts, ssize_t len)
{
	const char *folder = getenv("POOLITE_RECORD");
	int error = errno, file;
	char path[512];

	if (!folder || len <= 0 || !is_client(fd))
		return;
	snprintf(path, sizeof path, "%s/%d-%d.%s", folder, (int)getpid(), fd, direction);
	file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	for (; file >= 0 && len > 0; parts++) {
		size_t part = parts->iov_len < (size_t)len ? parts->iov_len : (size_t)len;
		ssize_t (*write_it)(int, const void *, size_t) =
		    (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");

		if (write_it(file, parts->iov_base, part) != (ssize_t)part)
			break;
		len -= (ssize_t)part;
	}
	if (file >= 0)
		close(file);
	errno = error;
}

EXPORTED ssize_t read(int fd, void *bytes, size_t size)
{
	ssize_t (*next)(int, void *, size_t) =
	    (ssize_t(*)(int, void *, size_t))dlsym(RTLD_NEXT, "read");
	struct iovec part = {bytes, size};
	ssize_t len = next(fd, bytes, size);

	note(fd, "in", &part, len);
	return len;
}

EXPORTED ssize_t write(int fd, const void *bytes, size_t size)
{
	ssize_t (*next)(int, const void *, size_t) =
	    (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
	struct iovec part = {(void *)bytes, size};
	ssize_t len = next(fd, bytes, size);

	note(fd, "out", &part, len);
	return len;
}

EXPORTED ssize_t writev(int fd, const struct iovec *parts, int count)
{
	ssize_t (*next)(int, const struct iovec *, int) =
	    (ssize_t(*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
	ssize_t len = next(fd, parts, count);

	note(fd, "out", parts, len);
	return len;
}
