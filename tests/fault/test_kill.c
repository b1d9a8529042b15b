/* T1 and T17: the broker is killed, or told to stop, in the midst of load. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/poolited.h"

#define CLIENTS 8
/* A database of its own for each so many faults: checking goes over all of it. */
#define ROUND 25

static struct poolited broker;

/* What both tests count. */
struct tally {
	uint64_t faults;
	double seconds_up; /* between a start and the fault */
	struct spans restarts;
	struct spans stops;
	struct ledger_verdict verdict;
};

/* Start the broker, and how long that took until a client's first answer. */
static void start_and_measure(struct spans *restarts)
{
	double started = check_seconds();
	struct poolite_error error;
	struct poolite_result *result;
	struct poolite *handle;

	poolited_run(&broker);
	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
	CHECK(poolite_query(handle, "SELECT count(*) FROM ledger_client", POOLITE_NO_ARGS,
		  &result, &error) == 0,
	    "after a restart: %s", error.message);
	spans_add(restarts, check_seconds() - started);
	poolite_result_free(result);
	poolite_close(handle);
}

static void begin_round(struct ledger *ledger)
{
	poolited_make(&broker, (const char *const[]){"--checkpoint-pages", "200", NULL});
	ledger_clear(ledger);
	ledger_make_database(broker.database);
	poolited_run(&broker);
	ledger_start(ledger, broker.socket);
}

static void end_round(struct ledger *ledger, struct tally *tally)
{
	int status;

	ledger_stop(ledger);
	status = poolited_stop(&broker);
	CHECK(status == 0, "the broker ended with status %d:\n%s", status, broker.log);
	ledger_check(ledger, broker.database, &tally->verdict);
}

/* ---- T1 --------------------------------------------------------------------------- */

/* Some of them while it starts or recovers. */
static void kill_in_start(struct chance *chance)
{
	pid_t pid = fork();

	if (pid == 0) {
		execl(POOLITED, POOLITED, "--db", broker.database, "--socket",
		    broker.socket, "--log-level", "error", (char *)NULL);
		_exit(127);
	}
	usleep((useconds_t)chance_below(chance, 15000));
	kill(pid, SIGKILL);
	process_wait(pid);
}

static void kill_once(struct ledger *ledger, struct tally *tally, struct chance *chance)
{
	double started = check_seconds();

	usleep((useconds_t)(1e6 * chance_between(chance, 0.005, 0.5)));
	poolited_kill(&broker);
	tally->seconds_up += check_seconds() - started;
	ledger_check_copy(ledger, broker.database, &tally->verdict);
	tally->faults++;
	if (chance_below(chance, 5) == 0) {
		kill_in_start(chance);
		tally->faults++;
	}
	start_and_measure(&tally->restarts);
}

void test_kill(const struct effort *effort)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .seed = effort->seed,
	    .tolerated =
		LEDGER_CODE(POOLITE_NO_BROKER) | LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN),
	    .payload_bytes = 60,
	};
	uint64_t kills = effort_amount(effort, 50, 1000);
	struct ledger *ledger = ledger_create(&options);
	struct chance chance = chance_of(effort->seed, 1);
	struct tally tally = {0};

	while (effort_goes_on(effort, tally.faults, kills)) {
		begin_round(ledger);
		for (int i = 0; i < ROUND && effort_goes_on(effort, tally.faults, kills);
		     i++)
			kill_once(ledger, &tally, &chance);
		end_round(ledger, &tally);
	}
	report_amount("kills", (double)tally.faults, 50, 1000);
	report_amount("writes answered OK", (double)ledger->acks, 2000, 200000);
	report_at_least("of them per second while it ran",
	    (double)ledger->acks / (tally.seconds_up + 1e-9), 200);
	report_at_least("outcomes unknown (in flight)", (double)ledger->unknowns, 1);
	report_at_most("restart to first answer, p99, ms",
	    spans_quantile_ms(&tally.restarts, 0.99), 1000);
	ledger_report(ledger, &tally.verdict);
}

/* ---- T17 -------------------------------------------------------------------------- */

static void stop_once(struct ledger *ledger, struct tally *tally, struct chance *chance)
{
	uint64_t acks = ledger->acks;
	double started;
	int status;

	CHECK(ledger_await_acks(ledger, acks, 1 + chance_below(chance, 400), 30),
	    "no load");
	started = check_seconds();
	status = poolited_stop(&broker);
	spans_add(&tally->stops, check_seconds() - started);
	CHECK(status == 0, "SIGTERM: status %d:\n%s", status, broker.log);
	ledger_check_copy(ledger, broker.database, &tally->verdict);
	tally->faults++;
	start_and_measure(&tally->restarts);
}

void test_terminate(const struct effort *effort)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .seed = effort->seed,
	    .tolerated =
		LEDGER_CODE(POOLITE_SHUTTING_DOWN) | LEDGER_CODE(POOLITE_NO_BROKER),
	    .payload_bytes = 60,
	};
	uint64_t stops = effort_amount(effort, 20, 500);
	struct ledger *ledger = ledger_create(&options);
	struct chance chance = chance_of(effort->seed, 17);
	struct tally tally = {0};

	while (effort_goes_on(effort, tally.faults, stops)) {
		begin_round(ledger);
		for (int i = 0; i < ROUND && effort_goes_on(effort, tally.faults, stops);
		     i++)
			stop_once(ledger, &tally, &chance);
		end_round(ledger, &tally);
	}
	report_amount("stops, each with exit status 0", (double)tally.faults, 20, 500);
	report_amount("writes answered OK", (double)ledger->acks, 1000, 25000);
	report_at_most(
	    "longest stop, ms (grace 10 s)", spans_quantile_ms(&tally.stops, 1), 10000);
	report_exactly("outcomes unknown", (double)ledger->unknowns, 0);
	ledger_report(ledger, &tally.verdict);
}
