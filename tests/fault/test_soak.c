/* T19: everything at once for a while: load, frozen and restarted brokers, changes of the
 * schema.  Then without restarts, while memory and descriptors are watched. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/poolited.h"

#define CLIENTS       6
#define QUICK_SECONDS 8.0
/* Of the time, with restarts; the rest is watched. */
#define RESTARTS_PART 0.4
/* A broker that was frozen for longer than a second must not take it for time that passed. */
#define FROZEN_MAX_S 1.3

static struct poolited broker;

static struct {
	uint64_t kills, stops, freezes, schemas;
	unsigned peak_kib[2]; /* of the watched time's halves */
	unsigned descriptors[2];
	double watched;
} tally;

static void freeze(struct chance *chance)
{
	kill(broker.pid, SIGSTOP);
	process_pause(chance_between(chance, 0.05, FROZEN_MAX_S));
	kill(broker.pid, SIGCONT);
	tally.freezes++;
}

static void restart(struct chance *chance)
{
	int status;

	if (chance_below(chance, 2)) {
		poolited_kill(&broker);
		tally.kills++;
	} else {
		status = poolited_stop(&broker);
		CHECK(status == 0, "SIGTERM: status %d:\n%s", status, broker.log);
		tally.stops++;
	}
	poolited_run(&broker);
}

/* Another text each time: caches have to let the old ones go. */
static void change_schema(struct poolite *handle)
{
	static const char *const texts[] = {
	    "CREATE TABLE IF NOT EXISTS soak (a, b)",
	    "CREATE INDEX IF NOT EXISTS soak_a ON soak (a)",
	    "ALTER TABLE soak ADD COLUMN c",
	    "DROP TABLE soak",
	};
	struct poolite_error error;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		CHECK(
		    poolite_update(handle, texts[i], POOLITE_NO_ARGS, NULL, &error) == 0,
		    "%s: %s", texts[i], error.message);
	tally.schemas++;
}

static void sample(double part)
{
	unsigned half = part >= 0.5, kib = poolited_resident_kib(&broker);

	if (kib > tally.peak_kib[half])
		tally.peak_kib[half] = kib;
	tally.descriptors[half] = poolited_descriptors(&broker);
}

static void disturb(struct chance *chance, struct poolite *handle, bool restarts)
{
	uint64_t dice = chance_below(chance, 4);

	if (dice == 0 && restarts)
		restart(chance);
	else if (dice == 1)
		freeze(chance);
	else if (dice == 2)
		change_schema(handle);
	else
		process_pause(chance_between(chance, 0.05, 0.5));
}

static void soak(struct ledger *ledger, struct chance *chance, double seconds)
{
	struct poolite_options options = {.connect_timeout_ms = 20000};
	double started = check_seconds(), restarts = seconds * RESTARTS_PART;
	struct poolite *handle;
	double watched;

	ledger_start(ledger, broker.socket);
	CHECK(poolite_open(broker.socket, &options, &handle, NULL) == 0, "poolite_open");
	restart(chance); /* once each at least */
	freeze(chance);
	change_schema(handle);
	while (check_seconds() - started < restarts)
		disturb(chance, handle, true);
	/* Caches fill for a while. */
	watched = check_seconds() + (seconds - restarts) / 4;
	while (check_seconds() < watched)
		disturb(chance, handle, false);
	watched = check_seconds();
	tally.watched = started + seconds - watched;
	while (check_seconds() < started + seconds) {
		disturb(chance, handle, false);
		sample((check_seconds() - watched) / tally.watched);
	}
	sample(1);
	poolite_close(handle);
	ledger_stop(ledger);
}

void test_soak(const struct effort *effort)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .seed = effort->seed,
	    .tolerated = LEDGER_CODE(POOLITE_NO_BROKER) |
		LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN) | LEDGER_CODE(POOLITE_SHUTTING_DOWN),
	    .payload_bytes = 60,
	    .pause_us = 1000,
	};
	double seconds =
	    effort->is_long ? effort->until - check_seconds() : QUICK_SECONDS;
	struct ledger *ledger = ledger_create(&options);
	struct chance chance = chance_of(effort->seed, 19);
	struct ledger_verdict verdict = {0};

	poolited_make(&broker,
	    (const char *const[]){"--cache", "1M", "--max-connections", "4",
		"--checkpoint-pages", "200", NULL});
	ledger_make_database(broker.database);
	poolited_run(&broker);
	soak(ledger, &chance, seconds);
	CHECK_EQ(poolited_stop(&broker), 0);
	ledger_check(ledger, broker.database, &verdict);
	report_amount("seconds", seconds, QUICK_SECONDS * 0.9, 120);
	report_amount("writes answered OK", (double)ledger->acks, 500, 50000);
	report_amount("restarts", (double)(tally.kills + tally.stops), 1, 20);
	report_amount("of them after kill -9", (double)tally.kills, 0, 5);
	report_amount("times frozen", (double)tally.freezes, 1, 30);
	report_amount("rounds of changes of the schema", (double)tally.schemas, 1, 20);
	report_at_most("memory's growth between the watched halves, MiB",
	    ((double)tally.peak_kib[1] - (double)tally.peak_kib[0]) / 1024, 1);
	report_at_most("descriptors more at the end",
	    (double)tally.descriptors[1] - (double)tally.descriptors[0], 0);
	report_note("     watched for %.0f s: %u KiB, %u descriptors", tally.watched,
	    tally.peak_kib[1], tally.descriptors[1]);
	ledger_report(ledger, &verdict);
}
