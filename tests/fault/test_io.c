/* T4: the n-th operation on the database's files fails, for every n, once or from then on. */
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
/* The broker's own exit statuses: fine, it did not start, the disk failed. */
#define STATUS_NO_START 1
#define STATUS_UNKNOWN  74

static const struct fault {
	const char *what;
	enum fault_op op;
	int code;
} faults[] = {
    {"read", FAULT_READ, SQLITE_IOERR_READ},
    {"write, IOERR", FAULT_WRITE, SQLITE_IOERR_WRITE},
    {"write, FULL", FAULT_WRITE, SQLITE_FULL},
    {"sync", FAULT_SYNC, SQLITE_IOERR_FSYNC},
    {"truncate", FAULT_TRUNCATE, SQLITE_IOERR_TRUNCATE},
    {"file size", FAULT_FILE_SIZE, SQLITE_IOERR_FSTAT},
    {"shared memory", FAULT_SHM_MAP, SQLITE_IOERR_SHMMAP},
};
#define FAULTS (sizeof faults / sizeof *faults)

struct tally {
	_Atomic uint64_t next[2 * FAULTS]; /* the n to try */
	_Atomic bool is_clean[2 * FAULTS]; /* a run went by without reaching its n */
	_Atomic uint64_t faults, runs, acks, bystanders, wrong;
	_Atomic uint64_t not_started, stopped, odd_ends;
	_Atomic uint64_t lost, ghosts, torn, damaged;
	_Atomic unsigned stories;
};

struct work {
	const struct effort *effort;
	struct tally *tally;
};

static struct ledger *make_ledger(void)
{
	struct ledger_options options = {
	    .clients = CLIENTS,
	    .requests = REQUESTS,
	    .tolerated = LEDGER_CODE(POOLITE_STORAGE) | LEDGER_CODE(POOLITE_NO_BROKER) |
		LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN) | LEDGER_CODE(POOLITE_SHUTTING_DOWN),
	    .payload_bytes = 1500,
	    .ends_with_broker = true,
	};

	return ledger_create(&options);
}

static void tell(struct tally *tally, const struct fault *fault, uint64_t n,
    bool for_ever, const char *text, int status)
{
	if (atomic_fetch_add(&tally->stories, 1) < 5)
		report_note("     %s, n = %llu, %s: status %d, %s", fault->what,
		    (unsigned long long)n, for_ever ? "for ever" : "once", status, text);
}

static void add(struct tally *tally, const struct ledger *ledger,
    const struct ledger_verdict *verdict)
{
	tally->acks += ledger->acks;
	tally->bystanders += ledger->bystanders;
	tally->wrong += ledger->wrong;
	tally->lost += verdict->lost;
	tally->ghosts += verdict->ghosts;
	tally->torn += verdict->torn;
	tally->damaged += verdict->damaged;
}

/* The last line of what it logged. */
static const char *last_words(struct poolited *broker)
{
	char *end = broker->log + broker->log_len;
	char *line;

	if (end > broker->log)
		end[-1] = '\0';
	line = strrchr(broker->log, '\n');
	return line ? line + 1 : broker->log;
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
	ledger->acks = ledger->bystanders = ledger->wrong = ledger->has_story = 0;
	memset(ledger->codes, 0, sizeof ledger->codes);
	ledger->options.seed = work->effort->seed;
	faulty->control->fail_op = (int)fault->op;
	faulty->control->fail_code = fault->code;
	faulty->control->fail_for_ever = for_ever;
	faulty->control->fail_at = n;
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
	} else if (status != 0) {
		tally->odd_ends++;
		tell(tally, fault, n, for_ever, last_words(&faulty->broker), status);
	}
	add(tally, ledger, &verdict);
	tally->faults += faulty->control->injected;
	return faulty->control->injected > 0;
}

static void fail_all(unsigned index, void *context)
{
	struct work *work = context;
	struct tally *tally = work->tally;
	uint64_t step = work->effort->is_long ? 1 : QUICK_STEP;
	struct faulty faulty;

	(void)index;
	faulty_make(&faulty, make_ledger(),
	    (const char *const[]){"--checkpoint-pages", "15", "--cache", "64K",
		"--max-connections", "4", "--log-level", "info", NULL});
	for (size_t which = 0; which < 2 * FAULTS; which++) {
		while (!tally->is_clean[which] && check_seconds() < work->effort->until) {
			uint64_t n = 1 + step * atomic_fetch_add(&tally->next[which], 1);
			if (!fail_once(work, &faulty, &faults[which / 2], which % 2, n))
				tally->is_clean[which] = true;
		}
	}
}

void test_io_faults(const struct effort *effort)
{
	struct tally *tally = shared_memory(sizeof *tally);
	struct work work = {effort, tally};
	unsigned clean = 0;

	clients_run(WORKERS, fail_all, &work);
	for (size_t which = 0; which < 2 * FAULTS; which++)
		clean += tally->is_clean[which];
	report_amount(
	    "runs, each with an n-th operation failing", (double)tally->runs, 150, 1500);
	report_amount("operations that failed", (double)tally->faults, 500, 5000);
	report_amount(
	    "kinds of fault tried up to the last n", clean, 2 * FAULTS, 2 * FAULTS);
	report_amount("writes answered OK before", (double)tally->acks, 1000, 10000);
	report_amount(
	    "brokers that stopped with status 74", (double)tally->stopped, 10, 100);
	report_exactly("brokers that ended in any other way", (double)tally->odd_ends, 0);
	report_exactly("lost", (double)tally->lost, 0);
	report_exactly("ghost", (double)tally->ghosts, 0);
	report_exactly("torn", (double)tally->torn, 0);
	report_exactly("bystander", (double)tally->bystanders, 0);
	report_exactly("wrong answers", (double)tally->wrong, 0);
	report_exactly("integrity or foreign keys damaged", (double)tally->damaged, 0);
	report_note("     %llu did not start, and said why",
	    (unsigned long long)tally->not_started);
}
