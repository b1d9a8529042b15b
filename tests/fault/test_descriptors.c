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
/* A storm: so many sessions come, send half a request and go, while another client reads. */
#define STORM      40000
#define STORM_LONG 1000000

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

/* ---- a storm ----------------------------------------------------------------------- */

static void come_and_go(unsigned index, void *context)
{
	uint64_t *count = context;

	(void)index;
	for (uint64_t i = 0; i < *count; i++) {
		struct wire *wire = wire_open(&broker);
		wire_send_bytes(wire, "\x94\x00\x01\xa4pi", (size_t)(i % 7));
		wire_close(wire);
		wire_free_all();
	}
}

static void ride_out_a_storm(const struct effort *effort)
{
	uint64_t count = effort_amount(effort, STORM, STORM_LONG), errors = 0;
	struct spans reads = {0};
	double started, seconds;
	struct wire *wire, *stats;
	unsigned before, rss;
	pid_t pid;

	poolited_start(&broker);
	wire = wire_open(&broker);
	stats = wire_open(&broker);
	update(wire, "CREATE TABLE t (x)");
	expect_number(wire, 0, "SELECT count(*) FROM t");
	await_stat_is(stats, "sessions.open", 2);
	before = poolited_descriptors(&broker);
	rss = poolited_resident_kib(&broker);
	started = check_seconds();
	pid = client_start(come_and_go, 0, &count);
	while ((uint64_t)stat_of(stats, "sessions.accepted") < count + 2) {
		double asked = check_seconds();
		uint32_t msgid = wire_sql(wire, "query", "SELECT count(*) FROM t");
		errors += wire_receive(wire, msgid)->failure.code != POOLITE_OK;
		spans_add(&reads, check_seconds() - asked);
	}
	seconds = check_seconds() - started;
	client_wait(pid);
	await_stat_is(stats, "sessions.open", 2);
	report_amount("sessions that came and went", (double)count, STORM, STORM_LONG);
	report_at_least("a second", (double)count / seconds, 2000);
	report_amount("reads of another client meanwhile", (double)reads.count, 30, 1000);
	report_exactly("its errors", (double)errors, 0);
	report_at_most("its reads, median, ms", spans_quantile_ms(&reads, 0.5), 50);
	report_note("     p99 of its reads: %.1f ms", spans_quantile_ms(&reads, 0.99));
	report_at_most(
	    "descriptors left of it", (double)poolited_descriptors(&broker) - before, 10);
	report_at_most("memory left of it, MiB",
	    ((double)poolited_resident_kib(&broker) - rss) / 1024, 4);
	poolited_end(&broker);
}

/* ---- the test ---------------------------------------------------------------------- */

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
	ride_out_a_storm(effort);
}
