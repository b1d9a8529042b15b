/* T6: operations of the broker's connections come in other orders, checkpoints and commits
 * among them.  SQLite before 3.51.3 damages a database whose checkpoints are made beside the
 * writer's connection; the broker makes them on it, and the test must tell the two apart. */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/support/check.h"

#define WORKERS  2
#define CLIENTS  4
#define REQUESTS 30
#define READERS  2
/* One operation in so many waits, for up to so long. */
#define PAUSE_ONE_IN 40
#define PAUSE_US     1500
/* Runs with checkpoints beside, until one of them does the damage. */
#define BLIND_AFTER 200

struct tally {
	_Atomic uint64_t next, runs, pauses, vfs_calls, reads, odd_ends, beside;
	struct ledger_sum sum;
};

struct work {
	const struct effort *effort;
	struct tally *tally;
	uint64_t runs; /* wanted */
	bool checkpoints_beside;
};

/* Of a run. */
struct stage {
	const char *socket;
	_Atomic bool must_stop;
	_Atomic uint64_t reads, errors;
};

/* Reads that hold a snapshot for a while, or none; damage shows in them first. */
static void read_on(unsigned index, void *context)
{
	struct stage *stage = context;
	struct poolite_options options = {
	    .connect_timeout_ms = 1000, .request_timeout_ms = 30000};
	struct poolite *handle;

	CHECK(poolite_open(stage->socket, &options, &handle, NULL) == 0, "poolite_open");
	for (uint64_t i = index; !stage->must_stop; i++) {
		struct poolite_result *result;
		struct poolite_error error;
		struct poolite_tx *tx;
		int rc = i % 3 == 0
		    ? poolite_begin(handle, POOLITE_READ, &tx, &error)
		    : poolite_query(handle,
			  "SELECT count(*), sum(length(payload)) FROM ledger",
			  POOLITE_NO_ARGS, &result, &error);
		if (rc == 0 && i % 3 == 0) {
			rc = poolite_tx_query(tx, "SELECT max(seq) FROM ledger",
			    POOLITE_NO_ARGS, &result, &error);
			if (rc == 0)
				poolite_result_free(result);
			poolite_tx_rollback(tx, NULL);
		} else if (rc == 0) {
			poolite_result_free(result);
		}
		atomic_fetch_add(rc ? &stage->errors : &stage->reads, 1);
	}
	poolite_close(handle);
}

static int run(struct faulty *faulty, struct stage *stage, unsigned count)
{
	pid_t readers[READERS];

	if (!poolited_try_run(&faulty->broker))
		return poolited_wait(&faulty->broker);
	stage->socket = faulty->broker.socket;
	stage->must_stop = false;
	ledger_start(faulty->ledger, faulty->broker.socket);
	for (unsigned i = 0; i < count; i++)
		readers[i] = client_start(read_on, i, stage);
	ledger_join(faulty->ledger);
	stage->must_stop = true;
	for (unsigned i = 0; i < count; i++)
		client_wait(readers[i]);
	return poolited_stop(&faulty->broker);
}

static void add(struct tally *tally, const struct faulty *faulty,
    const struct ledger_verdict *verdict, const struct stage *stage)
{
	tally->runs++;
	tally->pauses += faulty->control->pauses;
	tally->vfs_calls += faulty->control->vfs_calls;
	tally->beside += faulty->control->beside;
	tally->reads += stage->reads;
	ledger_sum_add(&tally->sum, faulty->ledger, verdict);
	tally->sum.bystanders += stage->errors;
}

static void run_once(struct work *work, struct faulty *faulty, struct stage *stage)
{
	uint64_t number = atomic_fetch_add(&work->tally->next, 1);
	struct chance chance = chance_of(work->effort->seed, number);
	struct ledger *ledger = faulty->ledger;
	struct ledger_verdict verdict = {0};

	faulty_renew(faulty);
	ledger_reset_counts(ledger);
	ledger->has_story = false;
	stage->reads = stage->errors = 0;
	ledger->options.seed = chance_below(&chance, UINT64_MAX);
	faulty->control->seed = chance_below(&chance, UINT64_MAX);
	faulty->control->checkpoints_beside = work->checkpoints_beside;
	if (!work->checkpoints_beside) { /* they have an order of their own */
		faulty->control->pause_us = chance_below(&chance, PAUSE_US);
		faulty->control->pause_one_in = 1 + chance_below(&chance, PAUSE_ONE_IN);
	}
	if (run(faulty, stage, work->checkpoints_beside ? 0 : READERS) != 0)
		work->tally->odd_ends++;
	ledger_check(ledger, faulty->broker.database, &verdict);
	if (!work->checkpoints_beside && ledger->has_story)
		report_note("     what should not be: %s", ledger->story);
	add(work->tally, faulty, &verdict, stage);
}

static bool is_harmed(const struct ledger_sum *sum)
{
	return sum->lost + sum->ghosts + sum->torn + sum->damaged > 0;
}

static void run_many(unsigned index, void *context)
{
	struct work *work = context;
	struct ledger_options options = {.clients = CLIENTS,
	    .requests = REQUESTS,
	    .payload_bytes = 1500,
	    .tolerated = work->checkpoints_beside ? UINT32_MAX : 0,
	    /* The writer must be idle now and then, or its own lock protects it. */
	    .pause_us = work->checkpoints_beside ? 3000 : 0};
	struct stage *stage = shared_memory(sizeof *stage);
	struct faulty faulty;

	(void)index;
	faulty_make(&faulty, ledger_create(&options),
	    (const char *const[]){"--checkpoint-pages",
		work->checkpoints_beside ? "60" : "8", "--max-connections", "5", NULL});
	while (effort_goes_on(work->effort, work->tally->next, work->runs) &&
	    !(work->checkpoints_beside && is_harmed(&work->tally->sum)))
		run_once(work, &faulty, stage);
}

void test_order(const struct effort *effort)
{
	struct tally *ours = shared_memory(sizeof *ours);
	struct tally *beside = shared_memory(sizeof *beside);
	struct work control = {effort, beside, BLIND_AFTER, true};
	struct work work = {effort, ours, effort_amount(effort, 30, 1000), false};

	workers_run(WORKERS, run_many, &control);
	workers_run(WORKERS, run_many, &work);
	report_note(
	    "     (the complaints above, if any, are those of the runs with checkpoints "
	    "beside)");
	report_amount("runs, each in another order", (double)ours->runs, 30, 1000);
	report_amount("operations held back while others acted", (double)ours->pauses,
	    1000, 100000);
	report_amount("writes answered OK", (double)ours->sum.acks, 2500, 80000);
	report_amount("reads meanwhile", (double)ours->reads, 500, 20000);
	ledger_sum_report(&ours->sum);
	report_exactly("brokers that did not end well", (double)ours->odd_ends, 0);
	report_at_least("checkpoints made beside the writer's, as no broker does",
	    (double)beside->beside, 1);
	report_at_least("lost or damaged by them, else the test is blind",
	    (double)(beside->sum.lost + beside->sum.torn + beside->sum.damaged), 1);
	report_note("     it took %llu runs with checkpoints beside",
	    (unsigned long long)beside->runs);
}
