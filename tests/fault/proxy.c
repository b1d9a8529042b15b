#include "tests/fault/proxy.h"

#include <errno.h>
#include <linux/sockios.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/frame.h"
#include "tests/support/check.h"

#define PIECE_BYTES 65536
/* A part of a request ends within so many bytes: less than a socket holds. */
#define PART_BYTES_MAX 4000

static const struct poolite__limits no_limits = {(size_t)1 << 30, UINT32_MAX};

static struct sockaddr_un address_of(const char *path)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
	return address;
}

void proxy_init(struct proxy *proxy, const char *path, const char *broker_path)
{
	memset(proxy, 0, sizeof *proxy);
	snprintf(proxy->path, sizeof proxy->path, "%s", path);
	proxy->broker_path = broker_path;
	proxy->listen_fd = -1;
	for (int i = 0; i < PROXY_PAIRS; i++)
		proxy->pairs[i].client = proxy->pairs[i].broker = -1;
}

void proxy_listen(struct proxy *proxy)
{
	struct sockaddr_un address = address_of(proxy->path);

	unlink(proxy->path);
	proxy->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(bind(proxy->listen_fd, (struct sockaddr *)&address, sizeof address) == 0 &&
		listen(proxy->listen_fd, PROXY_PAIRS) == 0,
	    "%s: %s", proxy->path, strerror(errno));
}

static void close_pair(struct proxy_pair *pair)
{
	if (pair->client >= 0)
		close(pair->client);
	if (pair->broker >= 0)
		close(pair->broker);
	pair->client = pair->broker = -1;
	poolite__buf_release(&pair->request);
	poolite__buf_release(&pair->answer);
}

void proxy_shut(struct proxy *proxy, bool unlinks)
{
	if (proxy->listen_fd >= 0)
		close(proxy->listen_fd);
	proxy->listen_fd = -1;
	if (unlinks)
		unlink(proxy->path);
	for (int i = 0; i < PROXY_PAIRS; i++)
		close_pair(&proxy->pairs[i]);
	proxy->cut.place = PROXY_NOWHERE;
}

void proxy_arm(struct proxy *proxy, const struct proxy_cut *cut)
{
	proxy->cut = *cut;
	proxy->requests = proxy->answers = 0;
}

/* ---- passing on -------------------------------------------------------------------- */

static bool is_due(const struct proxy *proxy, enum proxy_place place, unsigned message)
{
	return proxy->cut.place == place && proxy->cut.message == message;
}

/* False: the other side is gone. */
static bool pass(int fd, struct poolite__buf *from, size_t len)
{
	size_t done = 0;

	while (done < len) {
		ssize_t sent = send(fd, from->data + done, len - done, MSG_NOSIGNAL);
		if (sent < 0)
			return false;
		done += (size_t)sent;
	}
	poolite__buf_consume(from, len);
	return true;
}

/* The length of the first message of ${buf}, if it is whole. */
static size_t whole_message(const struct poolite__buf *buf)
{
	struct poolite__scan scan = {0};
	ssize_t len;

	if (buf->len == 0)
		return 0;
	len = poolite__scan_next(&scan, buf->data, buf->len, &no_limits);
	CHECK(len >= 0, "a message makes no sense");
	return (size_t)len;
}

static void await_taken(int broker)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	int left = 1;

	while (ioctl(broker, SIOCOUTQ, &left) == 0 && left > 0) {
		CHECK(check_seconds() < until, "the broker does not read");
		sched_yield();
	}
}

/* True: the place is reached. */
static bool pass_requests(struct proxy *proxy, struct proxy_pair *pair, bool *is_gone)
{
	for (;;) {
		size_t len = whole_message(&pair->request);
		size_t end = len > 0 ? len : pair->request.len;

		if (is_due(proxy, PROXY_REQUEST_PART, proxy->requests) && end > 1) {
			end = end < PART_BYTES_MAX ? end : PART_BYTES_MAX;
			pass(pair->broker, &pair->request,
			    1 + proxy->cut.dice % (end - 1));
			return true;
		}
		if (len == 0)
			return false;
		if (!pass(pair->broker, &pair->request, len)) {
			*is_gone = true;
			return false;
		}
		if (is_due(proxy, PROXY_REQUEST_WHOLE, proxy->requests))
			return true;
		if (is_due(proxy, PROXY_REQUEST_TAKEN, proxy->requests)) {
			await_taken(pair->broker);
			return true;
		}
		proxy->requests++;
	}
}

static bool pass_answers(struct proxy *proxy, struct proxy_pair *pair)
{
	size_t len;

	while ((len = whole_message(&pair->answer)) > 0) {
		if (is_due(proxy, PROXY_ANSWER_PART, proxy->answers)) {
			pass(pair->client, &pair->answer, proxy->cut.dice % len);
			return true;
		}
		pass(pair->client, &pair->answer, len);
		if (is_due(proxy, PROXY_ANSWER_WHOLE, proxy->answers))
			return true;
		proxy->answers++;
	}
	return false;
}

/* ---- events ------------------------------------------------------------------------ */

/* Append what has come to ${buf}; false at its end. */
static bool take(int fd, struct poolite__buf *buf)
{
	ssize_t got;

	CHECK(poolite__buf_reserve(buf, PIECE_BYTES) == 0, "no memory");
	got = recv(fd, buf->data + buf->len, PIECE_BYTES, MSG_DONTWAIT);
	if (got > 0)
		buf->len += (size_t)got;
	return got > 0 || (got < 0 && errno == EAGAIN);
}

/* True: the place is reached. */
static bool accept_client(struct proxy *proxy)
{
	struct sockaddr_un address = address_of(proxy->broker_path);
	struct proxy_pair *pair = proxy->pairs;

	while (pair < proxy->pairs + PROXY_PAIRS && pair->client >= 0)
		pair++;
	CHECK(pair < proxy->pairs + PROXY_PAIRS, "too many connections");
	pair->client = accept4(proxy->listen_fd, NULL, NULL, SOCK_CLOEXEC);
	CHECK(pair->client >= 0, "accept: %s", strerror(errno));
	poolite__buf_init(&pair->request, SIZE_MAX / 4, NULL);
	poolite__buf_init(&pair->answer, SIZE_MAX / 4, NULL);
	if (proxy->cut.place == PROXY_CONNECTED)
		return true;
	pair->broker = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(connect(pair->broker, (struct sockaddr *)&address, sizeof address) == 0,
	    "cannot reach the broker: %s", strerror(errno));
	return false;
}

/* Look at one connection; true when something happened that the caller wants to hear of. */
static bool serve(struct proxy *proxy, struct proxy_pair *pair, short client_events,
    short broker_events, enum proxy_event *event)
{
	bool is_gone = false;

	if (broker_events) {
		is_gone = !take(pair->broker, &pair->answer);
		*event = PROXY_CUT;
		if (pass_answers(proxy, pair))
			return true;
	}
	if (client_events && !is_gone) {
		if (!take(pair->client, &pair->request)) {
			close_pair(pair);
			return false;
		}
		*event = PROXY_CUT;
		if (pass_requests(proxy, pair, &is_gone))
			return true;
	}
	*event = PROXY_BROKER_GONE;
	return is_gone;
}

enum proxy_event proxy_run(struct proxy *proxy, int other_fd, double until)
{
	enum proxy_event event;

	for (;;) {
		struct pollfd fds[2 + 2 * PROXY_PAIRS] = {
		    {.fd = other_fd, .events = POLLIN},
		    {.fd = proxy->listen_fd, .events = POLLIN}};
		double left = until - check_seconds();

		for (int i = 0; i < PROXY_PAIRS; i++) {
			fds[2 + 2 * i] =
			    (struct pollfd){proxy->pairs[i].client, POLLIN, 0};
			fds[3 + 2 * i] =
			    (struct pollfd){proxy->pairs[i].broker, POLLIN, 0};
		}
		if (left <= 0)
			return PROXY_TIMEOUT;
		if (poll(fds, 2 + 2 * PROXY_PAIRS, (int)(left * 1000) + 1) <= 0)
			continue;
		if (fds[0].revents)
			return PROXY_OTHER;
		for (int i = 0; i < PROXY_PAIRS; i++)
			if (serve(proxy, &proxy->pairs[i], fds[2 + 2 * i].revents,
				fds[3 + 2 * i].revents, &event))
				return event;
		if (fds[1].revents && accept_client(proxy))
			return PROXY_CUT;
	}
}
