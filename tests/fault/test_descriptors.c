/* T12: more clients than the broker has descriptors for. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

#define CONNECTS 5000

static struct poolited broker;
static rlim_t descriptors;

static void limit_descriptors(struct poolited *starting)
{
	struct rlimit limit = {descriptors, descriptors};

	(void)starting;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static int connect_once(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -1;
	snprintf(address.sun_path, sizeof address.sun_path, "%s", broker.socket);
	/* A full backlog is an answer too. */
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	close(fd);
	return -1;
}

struct load {
	double busiest; /* part of a processor while saturated and idle */
	double barest;  /* the same while not even the descriptor in reserve can be had */
	struct spans recovered;
	uint64_t connects, runs;
};

/* Part of a processor used in a second. */
static double processor_used(void)
{
	double used = poolited_cpu_seconds(&broker);

	process_pause(1);
	return poolited_cpu_seconds(&broker) - used;
}

/* As if another thread had taken every descriptor, the reserve's too, and somebody calls. */
static void steal(struct load *load)
{
	struct rlimit limit;
	struct wire *wire;
	uint32_t msgid;

	CHECK_EQ(prlimit(broker.pid, RLIMIT_NOFILE, NULL, &limit), 0);
	CHECK_EQ(
	    prlimit(broker.pid, RLIMIT_NOFILE, &(struct rlimit){3, limit.rlim_max}, NULL),
	    0);
	wire = wire_open(&broker);
	msgid = wire_bare(wire, "ping");
	poolited_await_log(&broker, "cannot accept clients");
	load->barest = processor_used();
	CHECK_EQ(prlimit(broker.pid, RLIMIT_NOFILE, &limit, NULL), 0);
	wire_receive(wire, msgid);
	wire_free_all();
}

static void saturate(struct load *load)
{
	static int fds[CONNECTS];
	double started, used;

	broker.prepare = limit_descriptors;
	poolited_run(&broker);
	for (int i = 0; i < CONNECTS; i++) {
		fds[i] = connect_once();
		load->connects++;
	}
	process_pause(0.3); /* what can be refused is */
	used = processor_used();
	if (used > load->busiest)
		load->busiest = used;
	for (int i = 0; i < CONNECTS; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	started = check_seconds();
	for (struct wire *wire = wire_open(&broker);;) {
		uint32_t msgid = wire_bare(wire, "ping");
		const struct reply *reply = wire_next(wire);
		if (reply && !reply->is_notification && reply->msgid == msgid)
			break;
		wire_close(wire); /* turned away: those before are not gone yet */
		wire = wire_open(&broker);
		CHECK(check_seconds() < started + 30, "nobody is served any more");
	}
	spans_add(&load->recovered, check_seconds() - started);
	wire_free_all();
	if (load->runs++ == 0)
		steal(load);
	CHECK_EQ(poolited_stop(&broker), 0);
}

void test_descriptors(const struct effort *effort)
{
	struct rlimit own;
	struct load load = {0};

	CHECK(getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_max > CONNECTS + 100,
	    "the test needs more descriptors than it may have");
	own.rlim_cur = own.rlim_max;
	setrlimit(RLIMIT_NOFILE, &own);
	poolited_make(&broker, (const char *const[]){NULL});
	for (descriptors = 64; descriptors <= 256; descriptors += 64) {
		if (!effort_goes_on(effort, 0, 1))
			break;
		saturate(&load);
	}
	report_at_least("limits tried, 64 to 256", (double)load.runs, 4);
	report_at_least("connects", (double)load.connects, 4 * CONNECTS);
	report_at_most("processor used while saturated, %", 100 * load.busiest, 20);
	report_at_most("the same without the one in reserve, %", 100 * load.barest, 20);
	report_at_most("others gone to served again, longest, ms",
	    spans_quantile_ms(&load.recovered, 1), 1000);
}
