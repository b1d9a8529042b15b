/* T2: the broker is killed at each of its named points. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/support/check.h"

#define WORKERS    2
#define CLIENTS    4
#define REQUESTS   30
#define POINTS_MAX 64
/* A point is killed at when it is passed for this time at the latest, by chance. */
#define COUNT_MAX 12
#define TRIES     6

/*
 * Where a lone client's request stands at a point.  Before COMMIT began its rows may not be
 * there, whatever the client was told; behind it they must be.  With several clients nobody
 * could say whose request was killed where.
 */
static const struct place {
	const char *point;
	bool is_behind;
} places[] = {
    {"group_before_begin", false},
    {"group_after_begin", false},
    {"member_before_savepoint", false},
    {"member_after_savepoint", false},
    {"member_before_release", false},
    {"member_after_release", false},
    {"member_before_undo", false},
    {"transaction_after_begin", false},
    {"transaction_after_statement", false},
    {"commit_before", false},
    {"commit_after", true},
    {"commit_before_files", true},
    {"group_before_answer", true},
};
#define PLACES (sizeof places / sizeof *places)
/* Kills at each of them in a quick run. */
#define LONE_KILLS 4

struct tally {
	_Atomic uint64_t next_lone, before, there_before, behind, there_behind;
	unsigned points;
	char names[POINTS_MAX][48];
	_Atomic unsigned kills[POINTS_MAX];
	_Atomic uint64_t next, all_kills, restarts;
	struct ledger_sum sum;
};

struct work {
	const struct effort *effort;
	struct tally *tally;
	uint64_t kills; /* wanted, of all points together */
};

static void list_points(struct tally *tally)
{
	const char *const argv[] = {program_path("poolited-faulty"), NULL};
	char output[4096], *rest = output;

	setenv("POOLITE_FAILPOINT", "list", 1);
	CHECK_EQ(program_run(argv, NULL, output, sizeof output), 0);
	unsetenv("POOLITE_FAILPOINT");
	for (char *name; (name = strsep(&rest, "\n")) && *name; tally->points++) {
		CHECK(tally->points < POINTS_MAX, "too many points");
		snprintf(tally->names[tally->points], sizeof tally->names[0], "%s", name);
	}
}

/* Run up to the COUNT-th time that the point is passed; false when it never was.  ${there}
 * counts what is in the database of those whose outcome is unknown. */
static bool kill_at(struct work *work, struct faulty *faulty, const char *point,
    uint64_t count, uint64_t *there)
{
	struct ledger *ledger = faulty->ledger;
	struct ledger_verdict verdict = {0};
	char order[80];
	int status;

	faulty_renew(faulty);
	if (strncmp(point, "takeover", 8) == 0) {
		poolited_run(&faulty->broker); /* and leaves a stale socket */
		poolited_kill(&faulty->broker);
	}
	ledger_reset_counts(ledger);
	snprintf(order, sizeof order, "%s:%llu", point, (unsigned long long)count);
	setenv("POOLITE_FAILPOINT", order, 1);
	status = faulty_run(faulty);
	unsetenv("POOLITE_FAILPOINT");
	CHECK(status == 0 || status == 128 + SIGKILL, "%s: status %d:\n%s", order, status,
	    faulty->broker.log);
	if (status == 0)
		return false;
	ledger_check_copy(ledger, faulty->broker.database, &verdict);
	*there = verdict.unknown_there;
	/* The next one takes the socket over and serves. */
	ledger->codes[-POOLITE_NO_BROKER] = 0;
	ledger->options.requests += 3;
	status = faulty_run_sound(faulty);
	ledger->options.requests -= 3;
	CHECK(status == 0, "after %s: status %d:\n%s", order, status, faulty->broker.log);
	ledger_check(ledger, faulty->broker.database, &verdict);
	ledger_sum_add(&work->tally->sum, ledger, &verdict);
	return true;
}

static struct ledger *make_ledger(uint64_t seed)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .seed = seed,
	    .requests = REQUESTS,
	    .tolerated = LEDGER_CODE(POOLITE_NO_BROKER) |
		LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN) | LEDGER_CODE(POOLITE_SHUTTING_DOWN),
	    .payload_bytes = 200,
	    .ends_with_broker = true,
	};

	return ledger_create(&options);
}

/* Some time that it is passed; the rare ones are passed but once, and not in every run. */
static bool kill_sometime(struct work *work, struct faulty *faulty, const char *point,
    struct chance *chance, uint64_t *there)
{
	uint64_t count = 1 + chance_below(chance, COUNT_MAX);

	for (int i = 0; i < TRIES; i++) {
		faulty->ledger->options.seed = chance_below(chance, UINT64_MAX);
		if (kill_at(work, faulty, point, i == 0 ? count : 1, there))
			return true;
	}
	return false;
}

/* A lone client's broker is killed before COMMIT, and behind it. */
static void kill_around_commit(
    struct work *work, struct faulty *faulty, struct chance *chance)
{
	struct tally *tally = work->tally;
	uint64_t kills = PLACES * effort_amount(work->effort, LONE_KILLS, 50), there;

	faulty->ledger->options.clients = 1;
	while (effort_goes_on(work->effort, tally->next_lone, kills)) {
		const struct place *place = &places[tally->next_lone++ % PLACES];
		if (!kill_sometime(work, faulty, place->point, chance, &there))
			continue;
		atomic_fetch_add(place->is_behind ? &tally->behind : &tally->before, 1);
		atomic_fetch_add(
		    place->is_behind ? &tally->there_behind : &tally->there_before,
		    there);
	}
}

static void kill_everywhere(unsigned index, void *context)
{
	struct work *work = context;
	struct tally *tally = work->tally;
	struct chance chance = chance_of(work->effort->seed, index);
	struct faulty faulty;
	uint64_t there;

	faulty_make(&faulty, make_ledger(work->effort->seed + index),
	    (const char *const[]){
		"--checkpoint-pages", "10", "--max-connections", "4", NULL});
	while (effort_goes_on(work->effort, tally->next, work->kills)) {
		unsigned point = (unsigned)(tally->next++ % tally->points);
		if (!kill_sometime(work, &faulty, tally->names[point], &chance, &there))
			continue;
		tally->kills[point]++;
		tally->all_kills++;
	}
	kill_around_commit(work, &faulty, &chance);
}

void test_failpoints(const struct effort *effort)
{
	struct tally *tally = shared_memory(sizeof *tally);
	struct work work = {effort, tally, 0};
	unsigned never = 0;

	list_points(tally);
	work.kills = tally->points * effort_amount(effort, 1, 50);
	workers_run(WORKERS, kill_everywhere, &work);
	for (unsigned i = 0; i < tally->points; i++) {
		if (tally->kills[i] > 0)
			continue;
		never++;
		report_note("     never passed: %s", tally->names[i]);
	}
	report_at_least("points", tally->points, 20);
	report_exactly("of them never passed", never, 0);
	report_amount("kills at them", (double)tally->all_kills, tally->points,
	    50.0 * tally->points);
	report_amount("writes answered OK", (double)tally->sum.acks, 1000, 50000);
	report_amount(
	    "kills before a lone client's COMMIT", (double)tally->before, 30, 400);
	report_exactly(
	    "of unknown outcome, and there all the same", (double)tally->there_before, 0);
	report_amount("kills behind it", (double)tally->behind, 9, 100);
	report_amount("of unknown outcome, and there as they must be",
	    (double)tally->there_behind, 5, 50);
	ledger_sum_report(&tally->sum);
}
