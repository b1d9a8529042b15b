/* The stats socket: what it answers, to whom it says no, and that it can be stopped. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/http/stats_server.h"
#include "proto/reader.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* A broker that says what a test wants. */
struct fake {
	bool is_silent;
	bool is_healthy;
};

static struct fake fake;
static struct sockaddr_un address;
static struct stats_server *server;
static char answer[8192];

static bool give_document(void *context, enum stats_document which,
    struct poolite__buf *document, bool *is_healthy)
{
	const struct fake *broker = context;
	msgpack_packer packer;

	if (broker->is_silent)
		return false;
	if (which == STATS_DOCUMENT_HEALTH)
		*is_healthy = broker->is_healthy;
	poolite__packer_init(&packer, document);
	msgpack_pack_map(&packer, 2);
	poolite__pack_cstr(
	    &packer, which == STATS_DOCUMENT_HEALTH ? "status" : "pool_size");
	msgpack_pack_int(&packer, 7);
	poolite__pack_cstr(&packer, "last_health_check");
	msgpack_pack_double(&packer, 1640995200.125);
	return true;
}

static void start_server(void)
{
	char error[128];
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	fake = (struct fake){.is_healthy = true};
	address = (struct sockaddr_un){.sun_family = AF_UNIX};
	/* No path: an abstract address, which vanishes with the process. */
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "poolite-test-%d",
	    (int)getpid());
	cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	cr_assert_eq(listen(fd, 64), 0);
	server = stats_server_start(fd, give_document, &fake, error, sizeof(error));
	cr_assert_not_null(server, "%s", error);
}

static void stop_server(void)
{
	stats_server_stop(server);
	server = NULL;
}

static int visit(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* Send a request and read up to the end into ${answer}. */
static void ask(const char *method, const char *path)
{
	char request[256];
	int fd = visit();
	size_t len = 0;
	ssize_t got;

	int wanted = snprintf(request, sizeof(request),
	    "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", method,
	    path);
	cr_assert_eq(write(fd, request, (size_t)wanted), wanted);
	while ((got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
		len += (size_t)got;
	answer[len] = '\0';
	close(fd);
}

static void assert_answer(const char *status, const char *part)
{
	cr_expect_eq(strncmp(answer, "HTTP/1.1 ", 9), 0, "%s", answer);
	cr_expect_eq(strncmp(answer + 9, status, strlen(status)), 0, "%s is not %s",
	    answer, status);
	cr_expect_not_null(strstr(answer, part), "%s is not in %s", part, answer);
}

TestSuite(stats_server, .init = start_server, .fini = stop_server);

Test(stats_server, answers_each_path)
{
	static const struct {
		const char *method, *path, *status, *part;
	} cases[] = {
	    {"GET", "/health", "200", "\"status\": 7"},
	    {"GET", "/stats", "200", "\"pool_size\": 7"},
	    {"GET", "/stats", "200", "\"last_health_check\": 1640995200.125"},
	    {"GET", "/stats", "200", "Content-Type: application/json\r\n"},
	    {"GET", "/stats", "200", "Cache-Control: no-store\r\n"},
	    {"GET", "/stats?anything=1", "200", "\"pool_size\": 7"},
	    {"GET", "/", "200", "/health"},
	    {"GET", "/healthy", "404", "\"error\": \"there is nothing here"},
	    {"GET", "//stats", "404", "\"error\""},
	    {"POST", "/stats", "405", "Allow: GET, HEAD\r\n"},
	    {"DELETE", "/health", "405", "\"error\""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		ask(cases[i].method, cases[i].path);
		assert_answer(cases[i].status, cases[i].part);
	}
}

Test(stats_server, head_has_the_length_and_no_body)
{
	ask("HEAD", "/stats");
	assert_answer("200", "Content-Length: ");
	cr_expect_null(strchr(answer, '{'));
}

Test(stats_server, unhealthy_is_503_with_the_document)
{
	fake.is_healthy = false;
	ask("GET", "/health");
	assert_answer("503", "\"status\": 7");
	ask("GET", "/stats");
	assert_answer("200", "\"pool_size\": 7");
}

Test(stats_server, silent_broker_is_503_with_a_reason)
{
	fake.is_silent = true;
	ask("GET", "/health");
	assert_answer("503", "did not answer in time");
	ask("GET", "/stats");
	assert_answer("503", "did not answer in time");
}

Test(stats_server, one_connection_carries_several_requests)
{
	static const char requests[] =
	    "GET /stats HTTP/1.1\r\nHost: a\r\n\r\n"
	    "GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
	int fd = visit();
	size_t len = 0;
	ssize_t got;

	cr_assert_eq(
	    write(fd, requests, sizeof(requests) - 1), (ssize_t)sizeof(requests) - 1);
	while ((got = read(fd, answer + len, sizeof(answer) - 1 - len)) > 0)
		len += (size_t)got;
	answer[len] = '\0';
	close(fd);
	assert_answer("200", "\"pool_size\": 7");
	assert_answer("200", "\"status\": 7");
}

Test(stats_server, bytes_that_are_no_http_harm_nobody)
{
	int fd = visit();

	cr_assert_eq(write(fd, "\x94\x00\x01\xa4ping\x90\r\n\r\n", 13), 13);
	ask("GET", "/stats");
	assert_answer("200", "\"pool_size\": 7");
	close(fd);
}

Test(stats_server, stops_while_visitors_say_nothing, .timeout = 5)
{
	int silent[16];

	for (size_t i = 0; i < COUNT(silent); i++)
		silent[i] = visit();
	ask("GET", "/stats");
	assert_answer("200", "\"pool_size\": 7");
	stop_server();
	for (size_t i = 0; i < COUNT(silent); i++) {
		char byte;

		cr_expect_eq(read(silent[i], &byte, 1), 0);
		close(silent[i]);
	}
}

Test(stats_server, stopping_none_does_nothing)
{
	stats_server_stop(NULL);
}
