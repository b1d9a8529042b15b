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

#define WORKERS  2
#define CLIENTS  4
#define REQUESTS 50
/* So many are started again on what the cut left, before the checker is let at it. */
#define RESTART_EVERY 10

/* What the workers count together. */
struct tally {
	_Atomic uint64_t next; /* number of the next run */
	_Atomic uint64_t cuts;
	_Atomic uint64_t restarts;
	_Atomic uint64_t acks, unknowns, bystanders, wrong;
	_Atomic uint64_t pending, dropped;
	_Atomic uint64_t lost, ghosts, torn, damaged;
	_Atomic bool has_story; /* told already */
};

struct work {
	const struct effort *effort;
	struct tally *tally;
	const char *synchronous;
	uint64_t cuts;    /* wanted */
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
	tally->acks += ledger->acks;
	tally->unknowns += ledger->unknowns;
	tally->bystanders += ledger->bystanders;
	tally->wrong += ledger->wrong;
	tally->pending += control->pending;
	tally->dropped += control->dropped;
	tally->lost += verdict->lost;
	tally->ghosts += verdict->ghosts;
	tally->torn += verdict->torn;
	tally->damaged += verdict->damaged;
}

/* One run up to the cut. */
static void cut_once(const struct work *work, struct faulty *faulty, uint64_t number)
{
	struct chance chance = chance_of(work->effort->seed, number);
	struct ledger *ledger = faulty->ledger;
	struct ledger_verdict verdict = {0};
	uint64_t rounds = work->cuts / work->changes + 1;
	int status;

	faulty_renew(faulty);
	ledger->acks = ledger->unknowns = ledger->bystanders = ledger->wrong = 0;
	memset(ledger->codes, 0, sizeof ledger->codes);
	ledger->options.seed = chance_below(&chance, UINT64_MAX);
	faulty->control->seed = chance_below(&chance, UINT64_MAX);
	/* Evenly over the run, then each of them several times. */
	faulty->control->cut_at =
	    1 + number * work->changes * rounds / work->cuts % work->changes;
	status = faulty_run(faulty);
	if (!faulty->control->was_cut)
		return; /* a shorter run than most */
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
	while (effort_goes_on(work->effort, work->tally->cuts, work->cuts))
		cut_once(work, &faulty, atomic_fetch_add(&work->tally->next, 1));
}

/* How many changes a run makes when nothing happens to it. */
static uint64_t count_changes(const struct work *work)
{
	struct faulty faulty;
	const char *flags[8];
	int status;

	name_flags(work, flags);
	faulty_make(&faulty, make_ledger(), flags);
	faulty.control->cut_at = UINT64_MAX;
	status = faulty_run(&faulty);
	CHECK(status == 0, "without a fault: status %d:\n%s", status, faulty.broker.log);
	return faulty.control->changes;
}

static void run_cuts(const struct effort *effort, const char *synchronous, uint64_t cuts,
    struct tally *tally)
{
	struct work work = {
	    .effort = effort, .tally = tally, .synchronous = synchronous, .cuts = cuts};

	work.changes = count_changes(&work);
	workers_run(WORKERS, cut_many, &work);
	report_note(
	    "     synchronous=%s: a run makes %llu writes and syncs; %llu cuts dropped "
	    "%llu of %llu sectors not synced",
	    synchronous, (unsigned long long)work.changes,
	    (unsigned long long)tally->cuts, (unsigned long long)tally->dropped,
	    (unsigned long long)tally->pending);
}

void test_power_cut(const struct effort *effort)
{
	struct tally *full = shared_memory(sizeof *full);
	struct tally *normal = shared_memory(sizeof *normal);

	run_cuts(effort, "NORMAL", effort_amount(effort, 40, 400), normal);
	run_cuts(effort, "FULL", effort_amount(effort, 500, 10000), full);
	report_amount("power cuts, synchronous=FULL", (double)full->cuts, 500, 10000);
	report_amount(
	    "of them with a broker started again", (double)full->restarts, 45, 900);
	report_amount("writes answered OK before", (double)full->acks, 20000, 400000);
	report_amount("sectors dropped or torn", (double)full->dropped, 500, 10000);
	report_exactly("lost", (double)full->lost, 0);
	report_exactly("ghost", (double)full->ghosts, 0);
	report_exactly("torn", (double)full->torn, 0);
	report_exactly("bystander", (double)full->bystanders, 0);
	report_exactly("wrong answers", (double)full->wrong, 0);
	report_exactly("integrity or foreign keys damaged", (double)full->damaged, 0);
	report_amount("power cuts, synchronous=NORMAL", (double)normal->cuts, 40, 400);
	report_at_least("lost there, else the test is blind", (double)normal->lost, 1);
	report_exactly("torn there", (double)normal->torn, 0);
	report_exactly("damaged there", (double)normal->damaged, 0);
}
