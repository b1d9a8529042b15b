/* The listening socket: whose it is, and what happens when there is no descriptor left. */
#include <criterion/criterion.h>
#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

static struct poolited broker;

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_socket, .fini = tear_down, .timeout = 60);

/* ---- its group ---------------------------------------------------------------------- */

/* A group that we may give files to, and that they do not have by themselves if we are root. */
static gid_t some_group(void)
{
	return geteuid() == 0 ? 1 : getegid();
}

static void expect_group_and_mode(gid_t group, mode_t mode)
{
	struct stat st;

	CHECK_EQ(stat(broker.socket, &st), 0);
	CHECK_EQ(st.st_gid, group);
	CHECK_EQ(st.st_mode & 0777u, mode);
}

Test(broker_socket, group_is_set_by_number)
{
	char number[16];

	snprintf(number, sizeof number, "%u", (unsigned)some_group());
	poolited_start(&broker, "--socket-group", number, "--socket-mode", "0620");
	expect_group_and_mode(some_group(), 0620);
}

Test(broker_socket, group_is_set_by_name)
{
	struct group *group = getgrgid(some_group());

	CHECK(group, "the group %u has no name", (unsigned)some_group());
	poolited_start(&broker, "--socket-group", group->gr_name);
	expect_group_and_mode(some_group(), 0660);
}

Test(broker_socket, unknown_group_stops_the_start)
{
	char output[4096];
	const char *flags[] = {"--db", broker.database, "--socket", broker.socket,
	    "--socket-group", "no-such-group", NULL};

	poolited_make(&broker, (const char *const[]){NULL});
	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), 2);
	CHECK_HAS(output, "poolited: socket_group: there is no group 'no-such-group'");
	CHECK(access(broker.socket, F_OK), "the socket stays behind");
}

/* ---- no descriptor left ---------------------------------------------------------------- */

static void with_few_descriptors(struct poolited *of)
{
	(void)of;
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){64, 64});
}

static int connect_once(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	CHECK(fd >= 0, "no socket");
	strcpy(address.sun_path, broker.socket);
	CHECK_EQ(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
	return fd;
}

Test(broker_socket, newcomers_without_a_descriptor_are_closed_and_the_others_served)
{
	enum { CLIENTS = 100 };
	struct pollfd clients[CLIENTS];
	struct wire *first;

	poolited_make(&broker, (const char *const[]){"--max-clients", "1000", NULL});
	broker.prepare = with_few_descriptors;
	poolited_run(&broker);
	first = wire_open(&broker);
	for (int i = 0; i < CLIENTS; i++)
		clients[i] = (struct pollfd){.fd = connect_once(), .events = POLLIN};
	/* Who was turned away is told, or at the end at once; the others have nothing to read. */
	CHECK(poll(clients, CLIENTS, 30000) > 0, "nobody was turned away");
	ask(first, "ping");
	for (int i = 0; i < CLIENTS; i++)
		close(clients[i].fd);
	ask(first, "ping");
}

/* Not even the one in reserve: what that frees is above the limit. */
Test(broker_socket, newcomer_waits_while_there_is_no_descriptor_at_all)
{
	struct rlimit limit;
	struct wire *first, *second;
	uint32_t msgid;

	poolited_start(&broker);
	first = wire_open(&broker);
	ask(first, "ping");
	CHECK_EQ(prlimit(broker.pid, RLIMIT_NOFILE, NULL, &limit), 0);
	CHECK_EQ(
	    prlimit(broker.pid, RLIMIT_NOFILE, &(struct rlimit){3, limit.rlim_max}, NULL),
	    0);
	second = wire_open(&broker);
	msgid = wire_bare(second, "ping");
	poolited_await_log(&broker, "cannot accept clients: Too many open files");
	ask(first, "ping");
	CHECK_EQ(prlimit(broker.pid, RLIMIT_NOFILE, &limit, NULL), 0);
	CHECK_EQ(wire_receive(second, msgid)->failure.code, POOLITE_OK);
}
