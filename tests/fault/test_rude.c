/* T11: one honest client beside fifty rude ones. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/fault/fault.h"
#include "tests/fault/rude.h"
#include "tests/support/check.h"
#include "tests/support/poolited.h"

#define RSS_MIB     600
#define IDLE_WITHIN 5 /* seconds, after they have gone */
#define STRANGER    4321
#define ROUNDS      6 /* each in all companies, so that noise from outside meets all alike */

/* Beside whom the honest client works. */
enum company { ALONE, BESIDE_OTHERS, BESIDE_ITS_OWN, COMPANIES };

static struct poolited broker;

struct honest {
	struct poolite *handle;
	struct spans reads[COMPANIES], writes[COMPANIES];
	uint64_t errors[COMPANIES];
};

/* Keeps a processor from falling asleep, and gives way to everybody. */
static void stay_awake(unsigned index, void *context)
{
	const struct sched_param none = {0};
	_Atomic bool *must_stop = context;

	(void)index;
	CHECK(sched_setscheduler(0, SCHED_IDLE, &none) == 0, "SCHED_IDLE: %s",
	    strerror(errno));
	while (!*must_stop)
		;
}

/* What the honest one does for ${seconds}: short reads and writes. */
static void be_honest(struct honest *honest, enum company company, double seconds)
{
	double until = check_seconds() + seconds;
	struct poolite_result *result;

	while (check_seconds() < until) {
		double started = check_seconds();
		if (poolite_query(honest->handle, "SELECT x FROM t WHERE id = 1",
			POOLITE_NO_ARGS, &result, NULL))
			honest->errors[company]++;
		else
			poolite_result_free(result);
		spans_add(&honest->reads[company], check_seconds() - started);
		started = check_seconds();
		if (poolite_update(honest->handle, "UPDATE t SET x = x + 1 WHERE id = 1",
			POOLITE_NO_ARGS, NULL, NULL))
			honest->errors[company]++;
		spans_add(&honest->writes[company], check_seconds() - started);
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

/* The honest one beside fifty rude ones of ${uid}; returns the seconds to idle afterwards. */
static double be_beside(struct honest *honest, enum company company, struct rude *rude,
    uid_t uid, double seconds)
{
	pid_t pid;

	rude->uid = uid;
	rude->must_stop = false;
	pid = client_start(rude_run, 0, rude);
	be_honest(honest, company, seconds);
	rude->must_stop = true;
	client_wait(pid);
	poolited_forget_log(&broker);
	return seconds_to_idle();
}

static double p99_ms(struct spans spans[COMPANIES], enum company company)
{
	return spans_quantile_ms(&spans[company], 0.99);
}

/* The short form runs wherever the tests do, beside whatever else the machine has to do. */
static void report_ratio(
    const struct effort *effort, const char *what, struct spans spans[COMPANIES])
{
	double ratio = p99_ms(spans, BESIDE_OTHERS) / p99_ms(spans, ALONE);

	if (effort->is_long)
		report_at_most(what, ratio, 2);
	else
		report_note("     %s: %.1f; only the long form judges that", what, ratio);
}

static void report_latencies(const struct effort *effort, struct honest *honest)
{
	struct spans *reads = honest->reads, *writes = honest->writes;

	report_exactly("errors it got",
	    (double)(honest->errors[ALONE] + honest->errors[BESIDE_OTHERS]), 0);
	report_ratio(effort, "its reads, p99, times that alone", reads);
	report_ratio(effort, "its writes, p99, times that alone", writes);
	report_note("     errors beside rude ones of its own user: %llu",
	    (unsigned long long)honest->errors[BESIDE_ITS_OWN]);
	report_note("     p99 of reads: alone %.2f ms, beside rude ones of another user "
		    "%.2f ms, of its own %.2f ms",
	    p99_ms(reads, ALONE), p99_ms(reads, BESIDE_OTHERS),
	    p99_ms(reads, BESIDE_ITS_OWN));
	report_note("     p99 of writes: alone %.2f ms, beside rude ones of another user "
		    "%.2f ms, of its own %.2f ms",
	    p99_ms(writes, ALONE), p99_ms(writes, BESIDE_OTHERS),
	    p99_ms(writes, BESIDE_ITS_OWN));
}

static void start_broker(struct honest *honest)
{
	poolited_start(&broker, "--query-timeout", "1", "--write-timeout", "1",
	    "--max-buffered-bytes", "64M", "--max-user-buffered-bytes", "48M",
	    "--max-result-bytes", "16M", "--socket-mode", "0666");
	CHECK(chmod(broker.folder, 0711) == 0, "chmod: %s", strerror(errno));
	CHECK(poolite_open(broker.socket, NULL, &honest->handle, NULL) == 0,
	    "poolite_open");
	CHECK(poolite_script(honest->handle,
		  "CREATE TABLE t (id INTEGER PRIMARY KEY, x);"
		  "INSERT INTO t VALUES (1, 0)",
		  0, NULL, NULL) == 0,
	    "cannot make the table");
}

void test_rude_clients(const struct effort *effort)
{
	double round = (effort->is_long ? effort->until - check_seconds() : 24) / ROUNDS;
	struct rude *rude = shared_memory(sizeof *rude);
	_Atomic bool *may_sleep = shared_memory(sizeof *may_sleep);
	long processors = sysconf(_SC_NPROCESSORS_ONLN);
	struct honest honest = {0};
	double to_idle = 0;

	start_broker(&honest);
	rude->socket = broker.socket;
	for (long i = 0; i < processors; i++)
		client_start(stay_awake, 0, may_sleep);
	for (int i = 0; i < ROUNDS; i++) {
		double idle[2];
		be_honest(&honest, ALONE, round / 4);
		idle[0] = be_beside(&honest, BESIDE_OTHERS, rude, STRANGER, round / 2);
		idle[1] = be_beside(&honest, BESIDE_ITS_OWN, rude, geteuid(), round / 8);
		for (int j = 0; j < 2; j++)
			to_idle = idle[j] > to_idle ? idle[j] : to_idle;
	}
	*may_sleep = true;
	report_amount("things the rude ones did", (double)rude->acts, 20000, 1000000);
	report_amount(
	    "of them cut short by the broker", (double)rude->closed, 100, 10000);
	report_amount("requests of the honest one beside them",
	    (double)(honest.reads[BESIDE_OTHERS].count +
		honest.writes[BESIDE_OTHERS].count),
	    1000, 100000);
	report_latencies(effort, &honest);
	report_at_most("the broker's memory, MiB", poolited_peak_mib(&broker), RSS_MIB);
	report_at_most("they are gone to idle, s", to_idle, IDLE_WITHIN);
	poolite_close(honest.handle);
	CHECK_EQ(poolited_stop(&broker), 0);
}
