/* T3: the power goes at every write and sync, and the disk keeps what it likes of what was
 * not synced. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/support/check.h"

#define WORKERS 2
#define CLIENTS 4
/* A run makes some 600 writes and syncs with them: a quick form goes through all of these. */
#define REQUESTS 24
/* Runs are not alike.  So many are counted; and so many tries has a point near the end. */
#define COUNTED 4
#define TRIES   5
/* Subsets of what was not synced that each point has in a long run. */
#define SUBSETS    20
#define POINTS_MAX 4096
/* So many are started again on what the cut left, before the checker is let at it. */
#define RESTART_EVERY 10

/* What the workers count together. */
struct tally {
	_Atomic uint64_t next; /* number of the next run */
	_Atomic uint64_t cuts;
	_Atomic bool is_cut[POINTS_MAX]; /* by point */
	_Atomic uint64_t restarts;
	_Atomic uint64_t pending, dropped;
	struct ledger_sum sum;
	_Atomic bool has_story; /* told already */
};

struct work {
	const struct effort *effort;
	struct tally *tally;
	const char *synchronous;
	uint64_t step;    /* one point of so many */
	uint64_t subsets; /* of each point */
	uint64_t changes; /* that an undisturbed run makes */
};

static void name_flags(const struct work *work, const char *flags[8])
{
	const char *wanted[8] = {"--checkpoint-pages", "30", "--synchronous",
	    work->synchronous, "--max-connections", "4", NULL};

	memcpy(flags, wanted, sizeof wanted);
}

/* What is in the -shm file then, nobody knows. */
static void scribble_on_shm(const struct faulty *faulty)
{
	char path[80], rubbish[4096];
	struct stat st;
	int fd;

	snprintf(path, sizeof path, "%s-shm", faulty->broker.database);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	memset(rubbish, 0x5a, sizeof rubbish);
	CHECK(fstat(fd, &st) == 0, "%s", path);
	for (off_t at = 0; at < st.st_size; at += (off_t)sizeof rubbish)
		CHECK(pwrite(fd, rubbish, sizeof rubbish, at) > 0, "%s", path);
	close(fd);
}

static void add(struct tally *tally, const struct ledger *ledger,
    const struct ledger_verdict *verdict, const struct control *control)
{
	if (ledger->has_story && !atomic_exchange(&tally->has_story, true))
		report_note("     first of what should not be: %s", ledger->story);
	tally->cuts++;
	tally->pending += control->pending;
	tally->dropped += control->dropped;
	ledger_sum_add(&tally->sum, ledger, verdict);
}

/* One run up to the ${point}-th change; false when it was over before. */
static bool cut_once(
    const struct work *work, struct faulty *faulty, uint64_t point, uint64_t number)
{
	struct chance chance = chance_of(work->effort->seed, number);
	struct ledger *ledger = faulty->ledger;
	struct ledger_verdict verdict = {0};
	int status;

	faulty_renew(faulty);
	ledger_reset_counts(ledger);
	ledger->options.seed = chance_below(&chance, UINT64_MAX);
	faulty->control->seed = chance_below(&chance, UINT64_MAX);
	faulty->control->cut_at = point;
	status = faulty_run(faulty);
	if (!faulty->control->was_cut)
		return false;
	CHECK(status == 128 + SIGKILL, "cut, but status %d", status);
	scribble_on_shm(faulty);
	if (number % RESTART_EVERY == 0) {
		ledger_check_copy(ledger, faulty->broker.database, &verdict);
		ledger->codes[-POOLITE_NO_BROKER] = 0;
		ledger->options.requests += 3;
		status = faulty_run_sound(faulty);
		ledger->options.requests -= 3;
		CHECK(status == 0, "after the cut: status %d:\n%s", status,
		    faulty->broker.log);
		work->tally->restarts++;
	}
	ledger_check(ledger, faulty->broker.database, &verdict);
	add(work->tally, ledger, &verdict, faulty->control);
	work->tally->is_cut[point] = true;
	return true;
}

static struct ledger *make_ledger(void)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .requests = REQUESTS,
	    .tolerated = LEDGER_CODE(POOLITE_NO_BROKER) |
		LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN) | LEDGER_CODE(POOLITE_SHUTTING_DOWN),
	    .payload_bytes = 200,
	    .ends_with_broker = true,
	};

	return ledger_create(&options);
}

static void cut_many(unsigned index, void *context)
{
	struct work *work = context;
	struct faulty faulty;
	const char *flags[8];

	(void)index;
	name_flags(work, flags);
	faulty_make(&faulty, make_ledger(), flags);
	/* From the first to the last, then all of them anew. */
	for (;;) {
		uint64_t number = atomic_fetch_add(&work->tally->next, 1);
		uint64_t at = number * work->step;
		if (!effort_goes_on(work->effort, at, work->changes * work->subsets))
			break;
		for (uint64_t i = 0; i < TRIES; i++)
			if (cut_once(work, &faulty, 1 + at % work->changes,
				number + i * POINTS_MAX * SUBSETS))
				break;
	}
}

/* How many changes a run makes when nothing happens to it, on average. */
static uint64_t count_changes(const struct work *work)
{
	struct faulty faulty;
	const char *flags[8];
	uint64_t changes = 0;

	name_flags(work, flags);
	faulty_make(&faulty, make_ledger(), flags);
	for (int i = 0; i < COUNTED; i++) {
		int status;
		faulty_renew(&faulty);
		faulty.ledger->options.seed = work->effort->seed + (uint64_t)i;
		faulty.control->cut_at = UINT64_MAX;
		status = faulty_run(&faulty);
		CHECK(status == 0, "without a fault: status %d:\n%s", status,
		    faulty.broker.log);
		changes += faulty.control->changes;
	}
	return changes / COUNTED;
}

/* How many points were cut at. */
static uint64_t points_cut(const struct tally *tally)
{
	uint64_t points = 0;

	for (size_t i = 0; i < POINTS_MAX; i++)
		points += tally->is_cut[i];
	return points;
}

/* Returns how many points a run has. */
static uint64_t run_cuts(const struct effort *effort, const char *synchronous,
    uint64_t step, uint64_t subsets, struct tally *tally)
{
	struct work work = {
	    .effort = effort,
	    .tally = tally,
	    .synchronous = synchronous,
	    .step = step,
	    .subsets = subsets,
	};

	work.changes = count_changes(&work);
	CHECK(work.changes < POINTS_MAX, "too many points");
	workers_run(WORKERS, cut_many, &work);
	report_note(
	    "     synchronous=%s: a run makes %llu writes and syncs; %llu cuts at %llu of "
	    "them dropped %llu of %llu sectors not synced",
	    synchronous, (unsigned long long)work.changes,
	    (unsigned long long)tally->cuts, (unsigned long long)points_cut(tally),
	    (unsigned long long)tally->dropped, (unsigned long long)tally->pending);
	return work.changes;
}

void test_power_cut(const struct effort *effort)
{
	struct tally *full = shared_memory(sizeof *full);
	struct tally *normal = shared_memory(sizeof *normal);
	uint64_t points;

	run_cuts(effort, "NORMAL", 6, effort_amount(effort, 1, 10), normal);
	points = run_cuts(effort, "FULL", 1, effort_amount(effort, 1, SUBSETS), full);
	report_amount("power cuts, synchronous=FULL", (double)full->cuts, 500, 10000);
	/* The last points of one run are past the end of another. */
	report_amount("points of a run at which it went, in %",
	    100.0 * (double)points_cut(full) / (double)points, 95, 95);
	report_amount(
	    "of them with a broker started again", (double)full->restarts, 45, 900);
	report_amount("writes answered OK before", (double)full->sum.acks, 20000, 400000);
	report_amount("sectors dropped or torn", (double)full->dropped, 500, 10000);
	ledger_sum_report(&full->sum);
	report_amount("power cuts, synchronous=NORMAL", (double)normal->cuts, 40, 400);
	report_at_least(
	    "lost there, else the test is blind", (double)normal->sum.lost, 1);
	report_exactly("torn there", (double)normal->sum.torn, 0);
	report_exactly("damaged there", (double)normal->sum.damaged, 0);
}
