/* T11: one honest client beside fifty rude ones. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

#define RUDE        50
#define RSS_MIB     600
#define IDLE_WITHIN 5 /* seconds, after they have gone */

static struct poolited broker;

struct shared {
	_Atomic bool must_stop;
	_Atomic uint64_t acts; /* of all rude ones */
};

static int connect_rudely(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", broker.socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		close(fd);
		return -1;
	}
	return fd;
}

/* Whatever comes back is not looked at; what is not taken is not sent. */
static void send_rudely(int fd, const void *bytes, size_t len)
{
	send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static size_t pack_query(uint8_t *bytes, const char *sql)
{
	size_t len = strlen(sql);
	uint8_t *at = bytes;

	memcpy(at, "\x94\x00\x01\xa5query\x91\xda", 11);
	at += 11;
	*at++ = (uint8_t)(len >> 8);
	*at++ = (uint8_t)len;
	memcpy(at, sql, len);
	return (size_t)(at + len - bytes);
}

/* Asks and asks, and never reads. */
static void never_read(int fd)
{
	uint8_t bytes[300];
	size_t len = pack_query(bytes, "SELECT hex(randomblob(20000))");

	for (int i = 0; i < 50; i++)
		send_rudely(fd, bytes, len);
	usleep(20000);
}

/* Part of a message, and then nothing. */
static void send_half(int fd)
{
	send_rudely(fd, "\x94\x00\x01\xa5que", 7);
	usleep(100000);
}

/* A byte at a time. */
static void send_slowly(int fd)
{
	static const char ping[] = "\x94\x00\x02\xa4ping\x90";

	for (size_t i = 0; i < sizeof ping - 1; i++) {
		send_rudely(fd, ping + i, 1);
		usleep(10000);
	}
}

static void send_rubbish(int fd)
{
	send_rudely(fd, "\xdd\xff\xff\xff\xff\xc1\xc1\xc1", 8);
	usleep(2000);
}

static void storm(int fd)
{
	(void)fd;
	for (int i = 0; i < 20; i++) {
		int other = connect_rudely();
		if (other >= 0)
			close(other);
	}
	usleep(50000);
}

/* Never ends by itself. */
static void bomb(int fd)
{
	uint8_t bytes[300];
	size_t len = pack_query(bytes,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	    "SELECT count(*) FROM n");

	send_rudely(fd, bytes, len);
	usleep(300000);
}

/* A result that is too large. */
static void ask_for_too_much(int fd)
{
	uint8_t bytes[300];
	size_t len = pack_query(bytes, "SELECT zeroblob(1000000000)");

	send_rudely(fd, bytes, len);
	usleep(20000);
}

static void be_rude(unsigned index, void *context)
{
	static void (*const acts[])(int fd) = {never_read, send_half, send_slowly,
	    send_rubbish, storm, bomb, ask_for_too_much};
	struct shared *shared = context;

	while (!shared->must_stop) {
		int fd = connect_rudely();
		acts[index % (sizeof acts / sizeof *acts)](fd);
		shared->acts++;
		if (fd >= 0)
			close(fd);
	}
}

/* What the honest one does for ${seconds}: short reads and writes. */
static void be_honest(struct poolite *handle, double seconds, struct spans *reads,
    struct spans *writes, uint64_t *errors)
{
	double until = check_seconds() + seconds;
	struct poolite_result *result;

	while (check_seconds() < until) {
		double started = check_seconds();
		if (poolite_query(handle, "SELECT x FROM t WHERE id = 1", POOLITE_NO_ARGS,
			&result, NULL))
			++*errors;
		else
			poolite_result_free(result);
		spans_add(reads, check_seconds() - started);
		started = check_seconds();
		if (poolite_update(handle, "UPDATE t SET x = x + 1 WHERE id = 1",
			POOLITE_NO_ARGS, NULL, NULL))
			++*errors;
		spans_add(writes, check_seconds() - started);
		usleep(1000);
	}
}

/* Until the broker uses less than a tenth of a processor. */
static double seconds_to_idle(void)
{
	double started = check_seconds(), used;

	do {
		used = poolited_cpu_seconds(&broker);
		process_pause(0.2);
		used = poolited_cpu_seconds(&broker) - used;
	} while (used > 0.02 && check_seconds() < started + 30);
	return check_seconds() - started;
}

void test_rude_clients(const struct effort *effort)
{
	double seconds = effort->is_long ? effort->until - check_seconds() : 24;
	struct spans reads_alone = {0}, writes_alone = {0}, reads = {0}, writes = {0};
	struct shared *shared = shared_memory(sizeof *shared);
	struct poolite *handle;
	uint64_t errors = 0;
	pid_t pids[RUDE];

	poolited_start(&broker, "--query-timeout", "1", "--write-timeout", "1",
	    "--max-buffered-bytes", "64M", "--max-result-bytes", "16M");
	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
	CHECK(
	    poolite_script(handle,
		"CREATE TABLE t (id INTEGER PRIMARY KEY, x); INSERT INTO t VALUES (1, 0)",
		0, NULL, NULL) == 0,
	    "cannot make the table");
	be_honest(handle, seconds / 6, &reads_alone, &writes_alone, &errors);
	for (unsigned i = 0; i < RUDE; i++)
		pids[i] = client_start(be_rude, i, shared);
	be_honest(handle, seconds, &reads, &writes, &errors);
	shared->must_stop = true;
	for (unsigned i = 0; i < RUDE; i++)
		client_wait(pids[i]);
	report_amount("things the rude ones did", (double)shared->acts, 500, 50000);
	report_amount("requests of the honest one beside them",
	    (double)(reads.count + writes.count), 1000, 100000);
	report_exactly("errors it got", (double)errors, 0);
	report_at_most("its reads, p99, times that alone",
	    spans_quantile_ms(&reads, 0.99) / spans_quantile_ms(&reads_alone, 0.99), 2);
	report_at_most("its writes, p99, times that alone",
	    spans_quantile_ms(&writes, 0.99) / spans_quantile_ms(&writes_alone, 0.99), 2);
	report_at_most("the broker's memory, MiB", poolited_peak_mib(&broker), RSS_MIB);
	report_at_most("they are gone to idle, s", seconds_to_idle(), IDLE_WITHIN);
	report_note(
	    "     p99 alone: read %.2f ms, write %.2f ms; beside them: read %.2f ms, "
	    "write %.2f ms",
	    spans_quantile_ms(&reads_alone, 0.99), spans_quantile_ms(&writes_alone, 0.99),
	    spans_quantile_ms(&reads, 0.99), spans_quantile_ms(&writes, 0.99));
	poolite_close(handle);
	CHECK_EQ(poolited_stop(&broker), 0);
}
