/* T4 and T5: the n-th operation on the database's files fails, or the n-th allocation, for
 * every n, once or from then on. */
#include <signal.h>
#include <string.h>

#include <sqlite3.h>

#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/support/check.h"

#define WORKERS  2
#define CLIENTS  4
#define REQUESTS 12
/* A quick run takes one n of so many. */
#define QUICK_STEP 7
/* Under AddressSanitizer each broker takes ten times as long to start and to end. */
#ifdef __SANITIZE_ADDRESS__
#define QUICK_STEP_MEMORY 37
#define QUICK_RUNS_MEMORY 80
#else
#define QUICK_STEP_MEMORY 11
#define QUICK_RUNS_MEMORY 300
#endif
/* Instead of an operation: an allocation. */
#define FAULT_MEMORY FAULT_OPS
#define FAULTS_MAX   8
/* The broker's own exit statuses: fine, it did not start, the disk failed. */
#define STATUS_NO_START 1
#define STATUS_UNKNOWN  74
/* What LeakSanitizer writes when the broker ended well, but left memory behind. */
#define LEAKED "LeakSanitizer"
/* What shim/crash.c writes when libuv, which has no other way, aborts for lack of memory. */
#define LIBUV_ABORTS "aborted by libuv"

static const struct fault {
	const char *what;
	enum fault_op op;
	int code;
} io_faults[] = {
    {"read", FAULT_READ, SQLITE_IOERR_READ},
    {"write, IOERR", FAULT_WRITE, SQLITE_IOERR_WRITE},
    {"write, FULL", FAULT_WRITE, SQLITE_FULL},
    {"sync", FAULT_SYNC, SQLITE_IOERR_FSYNC},
    {"truncate", FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE},
    {"file size", FAULT_FILE_SIZE, SQLITE_IOERR_FSTAT},
    {"shared memory", FAULT_SHM_MAP, SQLITE_IOERR_SHMMAP},
};

static const struct fault memory_faults[] = {{"an allocation", FAULT_MEMORY, 0}};

/* Bytes of a log, for people. */
#define LAST_WORDS 900

struct tally {
	_Atomic uint64_t next[2 * FAULTS_MAX]; /* the n to try */
	_Atomic bool is_clean[2 * FAULTS_MAX]; /* a run went by without reaching its n */
	_Atomic uint64_t faults, runs;
	_Atomic uint64_t not_started, stopped, ended_well, libuv_aborts, odd_ends, leaks;
	struct ledger_sum sum;
	_Atomic unsigned stories;
};

struct work {
	const struct effort *effort;
	struct tally *tally;
	const struct fault *faults;
	size_t count;
	uint64_t step;
	uint32_t tolerated;
	const char *patience_s; /* in which a wait for a connection ends */
};

static struct ledger *make_ledger(uint32_t tolerated)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .requests = REQUESTS,
	    .tolerated = tolerated | LEDGER_CODE(POOLITE_NO_BROKER) |
		LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN) | LEDGER_CODE(POOLITE_SHUTTING_DOWN),
	    .payload_bytes = 1500,
	    .ends_with_broker = true,
	};

	return ledger_create(&options);
}

static void tell(struct tally *tally, const struct fault *fault, uint64_t n,
    bool for_ever, const char *text, int status)
{
	if (atomic_fetch_add(&tally->stories, 1) < 3)
		report_note("     %s, n = %llu, %s: status %d, %s", fault->what,
		    (unsigned long long)n, for_ever ? "for ever" : "once", status, text);
}

/* The end of what it logged: after a crash, its stack. */
static const char *last_words(const struct poolited *broker)
{
	return broker->log +
	    (broker->log_len > LAST_WORDS ? broker->log_len - LAST_WORDS : 0);
}

/* One run with the fault; false when the run was over before the n-th operation. */
static bool fail_once(struct work *work, struct faulty *faulty, const struct fault *fault,
    bool for_ever, uint64_t n)
{
	struct tally *tally = work->tally;
	struct ledger *ledger = faulty->ledger;
	struct ledger_verdict verdict = {0};
	int status;

	faulty_renew(faulty);
	ledger_reset_counts(ledger);
	ledger->has_story = false;
	ledger->options.seed = work->effort->seed;
	if (fault->op == FAULT_MEMORY) {
		faulty->control->refuse_for_ever = for_ever;
		faulty->control->refuse_at = n;
	} else {
		faulty->control->fail_op = (int)fault->op;
		faulty->control->fail_code = fault->code;
		faulty->control->fail_for_ever = for_ever;
		faulty->control->fail_at = n;
	}
	status = faulty_run(faulty);
	tally->runs++;
	ledger_check(ledger, faulty->broker.database, &verdict);
	if (verdict.lost || verdict.ghosts || verdict.torn || verdict.damaged)
		tell(tally, fault, n, for_ever, "lost, ghost, torn or damaged", status);
	if (ledger->has_story)
		tell(tally, fault, n, for_ever, ledger->story, status);
	if (status == STATUS_NO_START) {
		tally->not_started++;
	} else if (status == STATUS_UNKNOWN) {
		tally->stopped++;
	} else if (status == 128 + SIGABRT && strstr(faulty->broker.log, LIBUV_ABORTS)) {
		tally->libuv_aborts++;
	} else if (status == 0) {
		tally->ended_well++;
	} else {
		if (strstr(faulty->broker.log, LEAKED))
			tally->leaks++;
		else
			tally->odd_ends++;
		tell(tally, fault, n, for_ever, last_words(&faulty->broker), status);
	}
	ledger_sum_add(&tally->sum, ledger, &verdict);
	tally->faults += faulty->control->injected;
	return faulty->control->injected > 0;
}

static void fail_all(unsigned index, void *context)
{
	struct work *work = context;
	struct tally *tally = work->tally;
	struct faulty faulty;

	(void)index;
	faulty_make(&faulty, make_ledger(work->tolerated),
	    (const char *const[]){"--checkpoint-pages", "15", "--cache", "64K",
		"--connection-timeout", work->patience_s, "--max-connections", "4",
		"--log-level", "info", NULL});
	for (size_t which = 0; which < 2 * work->count; which++) {
		while (!tally->is_clean[which] && check_seconds() < work->effort->until) {
			uint64_t n =
			    1 + work->step * atomic_fetch_add(&tally->next[which], 1);
			if (!fail_once(
				work, &faulty, &work->faults[which / 2], which % 2, n))
				tally->is_clean[which] = true;
		}
	}
}

/* Everything that both have to reach alike. */
static void report_tally(const struct tally *tally)
{
	report_exactly("brokers that ended in any other way", (double)tally->odd_ends, 0);
	ledger_sum_report(&tally->sum);
	report_note("     %llu did not start, and said why",
	    (unsigned long long)tally->not_started);
}

/* Kinds of fault that were tried up to the last n, once and for ever. */
static unsigned run_faults(struct work *work)
{
	unsigned clean = 0;

	workers_run(WORKERS, fail_all, work);
	for (size_t which = 0; which < 2 * work->count; which++)
		clean += work->tally->is_clean[which];
	return clean;
}

void test_io_faults(const struct effort *effort)
{
	struct tally *tally = shared_memory(sizeof *tally);
	struct work work = {
	    .effort = effort,
	    .tally = tally,
	    .faults = io_faults,
	    .count = sizeof io_faults / sizeof *io_faults,
	    .step = effort->is_long ? 1 : QUICK_STEP,
	    .tolerated = LEDGER_CODE(POOLITE_STORAGE),
	    .patience_s = "30",
	};
	double clean = run_faults(&work), kinds = 2.0 * (double)work.count;

	report_amount(
	    "runs, each with an n-th operation failing", (double)tally->runs, 150, 1200);
	report_amount("operations that failed", (double)tally->faults, 500, 5000);
	report_amount("kinds of fault tried up to the last n", clean,
	    effort->is_long ? 0 : kinds, kinds);
	report_amount("writes answered OK", (double)tally->sum.acks, 1000, 10000);
	report_amount(
	    "brokers that stopped with status 74", (double)tally->stopped, 10, 100);
	report_tally(tally);
}

void test_no_memory(const struct effort *effort)
{
	struct tally *tally = shared_memory(sizeof *tally);
	struct work work = {
	    .effort = effort,
	    .tally = tally,
	    .faults = memory_faults,
	    .count = 1,
	    .step = effort->is_long ? 1 : QUICK_STEP_MEMORY,
	    /* After an unknown COMMIT it refuses writes; without memory for a reader
	     * reads wait in vain. */
	    .tolerated = LEDGER_CODE(POOLITE_OVERLOADED) | LEDGER_CODE(POOLITE_STORAGE) |
		LEDGER_CODE(POOLITE_POOL_TIMEOUT),
	    .patience_s = "0.3",
	};
	double clean = run_faults(&work);

	report_amount("runs, each with an n-th allocation refused", (double)tally->runs,
	    QUICK_RUNS_MEMORY, 4000);
	report_amount("allocations refused", (double)tally->faults, 500, 30000);
	report_amount(
	    "once, and for ever, up to the last n", clean, effort->is_long ? 0 : 2, 2);
	report_amount("writes answered OK", (double)tally->sum.acks, 1000, 50000);
#ifdef __SANITIZE_ADDRESS__
	report_amount("brokers that ended in order, looked at for leaks",
	    (double)tally->ended_well, 30, 1000);
	report_exactly("of them with leaks", (double)tally->leaks, 0);
#else
	report_note("     leaks are looked for under --asan");
#endif
	report_tally(tally);
	report_note("     %llu ended in libuv's own abort()",
	    (unsigned long long)tally->libuv_aborts);
}
