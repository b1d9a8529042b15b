#include "tests/fault/shim-client/noise.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "tests/fault/fault.h"

static struct noise *noise; /* NULL: silence */
static struct chance chance;
static unsigned percent;

void noise_begin(struct noise *counts, uint64_t seed, unsigned of_hundred)
{
	chance = chance_of(seed, 0);
	percent = of_hundred;
	noise = counts;
}

void noise_end(void)
{
	noise = NULL;
}

static bool is_unix_socket(int fd)
{
	int domain;
	socklen_t len = sizeof domain;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	    domain == AF_UNIX;
}

static bool meets_something(void)
{
	noise->calls++;
	return chance_below(&chance, 100) < percent;
}

/* Fail with EINTR or EAGAIN. */
static int fail(void)
{
	bool is_interrupted = chance_below(&chance, 2) == 0;

	noise->interrupted += is_interrupted;
	noise->not_ready += !is_interrupted;
	errno = is_interrupted ? EINTR : EAGAIN;
	return -1;
}

/* What becomes of a call for ${*len} bytes on ${fd}: -1 fails it, 0 lets it go on, with
 * fewer of them perhaps. */
static int disturb(int fd, size_t *len)
{
	if (!noise || !is_unix_socket(fd) || !meets_something())
		return 0;
	if (*len < 2 || chance_below(&chance, 3) > 0)
		return fail();
	noise->shorts++;
	*len = 1 + chance_below(&chance, *len - 1);
	return 0;
}

/* ---- the calls ------------------------------------------------------------------- */

ssize_t __real_send(int fd, const void *buf, size_t len, int flags);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __real_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __real_recv(int fd, void *buf, size_t len, int flags);
ssize_t __real_read(int fd, void *buf, size_t len);
ssize_t __real_recvmsg(int fd, struct msghdr *message, int flags);
int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_connect(int fd, const struct sockaddr *address, socklen_t len);
ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags);
ssize_t __wrap_write(int fd, const void *buf, size_t len);
ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags);
ssize_t __wrap_read(int fd, void *buf, size_t len);
ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len);

ssize_t __wrap_send(int fd, const void *buf, size_t len, int flags)
{
	return disturb(fd, &len) ? -1 : __real_send(fd, buf, len, flags);
}

ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	return disturb(fd, &len) ? -1 : __real_write(fd, buf, len);
}

ssize_t __wrap_recv(int fd, void *buf, size_t len, int flags)
{
	return disturb(fd, &len) ? -1 : __real_recv(fd, buf, len, flags);
}

ssize_t __wrap_read(int fd, void *buf, size_t len)
{
	return disturb(fd, &len) ? -1 : __real_read(fd, buf, len);
}

/* The first ${len} bytes of ${from}, which has at most 64 parts. */
static size_t cut_parts(struct iovec parts[64], const struct msghdr *from, size_t len)
{
	size_t count = 0;

	while (count < from->msg_iovlen && len > 0) {
		parts[count] = from->msg_iov[count];
		if (parts[count].iov_len > len)
			parts[count].iov_len = len;
		len -= parts[count++].iov_len;
	}
	return count;
}

static size_t bytes_of(const struct msghdr *message)
{
	size_t bytes = 0;

	for (size_t i = 0; i < message->msg_iovlen; i++)
		bytes += message->msg_iov[i].iov_len;
	return bytes;
}

ssize_t __wrap_sendmsg(int fd, const struct msghdr *message, int flags)
{
	struct msghdr cut = *message;
	struct iovec parts[64];
	size_t all = bytes_of(message), len = all;

	if (disturb(fd, &len))
		return -1;
	if (len == all || message->msg_iovlen > 64)
		return __real_sendmsg(fd, message, flags);
	cut.msg_iovlen = cut_parts(parts, message, len);
	cut.msg_iov = parts;
	return __real_sendmsg(fd, &cut, flags);
}

ssize_t __wrap_recvmsg(int fd, struct msghdr *message, int flags)
{
	size_t len = 0; /* whole, or not at all */

	return disturb(fd, &len) ? -1 : __real_recvmsg(fd, message, flags);
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
	if (noise && count == 1 && is_unix_socket(fds[0].fd) && meets_something())
		return fail();
	return __real_poll(fds, count, timeout_ms);
}

int __wrap_connect(int fd, const struct sockaddr *address, socklen_t len)
{
	if (!noise || !is_unix_socket(fd) || !meets_something())
		return __real_connect(fd, address, len);
	noise->connects++;
	/* Interrupted when all was done is one case, before anything another. */
	if (chance_below(&chance, 3) == 0 && __real_connect(fd, address, len) == 0) {
		noise->interrupted++;
		errno = EINTR;
		return -1;
	}
	return fail();
}
