/* T13: a small disk fills up under load, is freed, and fills up again. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/poolited.h"

/* A disk of its own for each so many cycles, for the rows stay. */
#define ROUND 10

static struct poolited broker;

static void mount_disk(void)
{
	char path[FOLDER_SIZE + 8];

	snprintf(path, sizeof path, "%s/disk", broker.folder);
	CHECK(mkdir(path, 0700) == 0, "%s: %s", path, strerror(errno));
	CHECK(mount("poolite", path, "tmpfs", 0, "size=16m,mode=0700") == 0,
	    "mounting a tmpfs needs root: %s", strerror(errno));
	snprintf(
	    broker.database, sizeof broker.database, "%s/disk/test.db", broker.folder);
}

static void path_of(char path[64], const char *name)
{
	snprintf(path, 64, "%s/%s", broker.folder, name);
}

/* Take all that is free, to the last block. */
static void fill_disk(void)
{
	static const char block[4096];
	char path[64];
	int fd;

	path_of(path, "disk/ballast");
	fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	while (write(fd, block, sizeof block) > 0)
		;
	close(fd);
}

static void free_disk(void)
{
	char path[64];

	path_of(path, "disk/ballast");
	CHECK(unlink(path) == 0, "%s: %s", path, strerror(errno));
}

static void begin_round(struct ledger *ledger)
{
	poolited_make(&broker, (const char *const[]){"--checkpoint-pages", "100", NULL});
	mount_disk();
	ledger_clear(ledger);
	ledger_make_database(broker.database);
	poolited_run(&broker);
	ledger_start(ledger, broker.socket);
}

static void end_round(struct ledger *ledger, struct ledger_verdict *verdict)
{
	char path[64];
	int status;

	ledger_stop(ledger);
	status = poolited_stop(&broker);
	CHECK(status == 0, "the broker ended with status %d:\n%s", status, broker.log);
	ledger_check(ledger, broker.database, verdict);
	path_of(path, "disk");
	umount2(path, MNT_DETACH);
}

/* Until writes are refused for it; what they did before that filled the disk. */
static void fill_until_refused(struct ledger *ledger)
{
	uint64_t refused = ledger->codes[-POOLITE_STORAGE];
	double until = check_seconds() + PATIENCE_SECONDS;

	while (ledger->codes[-POOLITE_STORAGE] < refused + 20) {
		CHECK(check_seconds() < until, "writes go on on a full disk:\n%s",
		    broker.log);
		fill_disk();
		usleep(1000);
	}
}

static void cycle(struct ledger *ledger, struct spans *resumed)
{
	uint64_t acks;
	double freed;

	CHECK(ledger_await_acks(ledger, ledger->acks, 100, PATIENCE_SECONDS), "no load");
	fill_until_refused(ledger);
	/* What is acknowledged from here on is on the freed disk, or was under way. */
	freed = check_seconds();
	free_disk();
	acks = ledger->acks;
	CHECK(ledger_await_acks(ledger, acks, ledger->options.clients + 1, 30),
	    "writes do not work again:\n%s", broker.log);
	spans_add(resumed, check_seconds() - freed);
}

void test_full_disk(const struct effort *effort)
{
	struct ledger_options options = {
	    .clients = 4,
	    .seed = effort->seed,
	    .tolerated = LEDGER_CODE(POOLITE_STORAGE),
	    .payload_bytes = 100,
	    .pause_us = 500,
	};
	uint64_t cycles = effort_amount(effort, 5, 200), done = 0;
	struct ledger *ledger = ledger_create(&options);
	struct ledger_verdict verdict = {0};
	struct spans resumed = {0};

	/* The disks are this process's and its children's alone, and go with them. */
	CHECK(unshare(CLONE_NEWNS) == 0 &&
		mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0,
	    "mounting needs root: %s", strerror(errno));
	while (effort_goes_on(effort, done, cycles)) {
		begin_round(ledger);
		for (int i = 0; i < ROUND && effort_goes_on(effort, done, cycles);
		     i++, done++)
			cycle(ledger, &resumed);
		end_round(ledger, &verdict);
	}
	report_amount("cycles of full and freed", (double)done, 5, 200);
	report_amount("writes answered OK", (double)ledger->acks, 500, 20000);
	report_amount(
	    "writes refused for it", (double)ledger->codes[-POOLITE_STORAGE], 100, 4000);
	report_at_most("freed to writes going on, longest, ms",
	    spans_quantile_ms(&resumed, 1), 1000);
	report_exactly("outcomes unknown", (double)ledger->unknowns, 0);
	ledger_report(ledger, &verdict);
}
