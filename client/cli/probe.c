#include "client/cli/probe.h"

#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static bool answers_http(int fd)
{
	static const char question[] = "GET / HTTP/1.0\r\n\r\n", wanted[] = "HTTP/";
	char answer[sizeof wanted - 1];

	return send(fd, question, sizeof question - 1, MSG_NOSIGNAL) > 0 &&
	    recv(fd, answer, sizeof answer, MSG_WAITALL) == (ssize_t)sizeof answer &&
	    memcmp(answer, wanted, sizeof answer) == 0;
}

bool probe_speaks_http(const char *path)
{
	static const struct timeval patience = {.tv_sec = 1};
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool is_http;

	if (fd < 0)
		return false;
	memcpy(address.sun_path, path, strlen(path) + 1);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	is_http = connect(fd, (struct sockaddr *)&address, sizeof address) == 0 &&
	    answers_http(fd);
	close(fd);
	return is_http;
}
