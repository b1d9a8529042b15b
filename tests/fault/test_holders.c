/* T15: who has the writer in a transaction dies, freezes or leaves; the next one waits. */
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

/* Of a holder that is frozen or idle. */
#define IDLE_TIMEOUT   "0.15"
#define IDLE_TIMEOUT_S 0.15
/* One in so many holders is frozen instead of dying. */
#define FROZEN_EVERY 20
#define DEATHS       190
#define DEATHS_LONG  10000
/* Each who waited writes so much, over and over: a snapshot that stayed would keep it in the WAL. */
#define WAITED_BYTES  100000
#define WAL_LIMIT     "8M"
#define WAL_LIMIT_MIB 8

static struct poolited broker;

/* Where the holder stands, for those who end it. */
struct stage {
	_Atomic bool is_in;
	_Atomic unsigned rows; /* that it has inserted, and that must vanish */
	bool exits;            /* by itself, instead of being killed */
};

static void hold(unsigned index, void *context)
{
	struct stage *stage = context;
	struct poolite *handle;
	struct poolite_tx *tx;
	struct poolite_error error;

	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
	CHECK(poolite_begin(handle, POOLITE_WRITE, &tx, &error) == 0, "begin: %s",
	    error.message);
	atomic_store(&stage->is_in, true);
	for (int64_t i = 0;; i++) {
		if (stage->exits && i == 3)
			_exit(0);
		if (poolite_tx_update(tx, "INSERT INTO held VALUES (?, ?)",
			POOLITE_ARGS(poolite_integer(index), poolite_integer(i)), NULL,
			&error))
			pause(); /* it was frozen for too long */
		atomic_fetch_add(&stage->rows, 1);
	}
}

/* How long the next one waits from the death of ${pid}, or from its silence, on. */
static double wait_behind(struct wire *waiter, pid_t pid, bool is_frozen, bool exits)
{
	uint32_t msgid = wire_sql(waiter, "update",
	    "UPDATE waited SET writes = writes + 1, payload = randomblob(%d)",
	    WAITED_BYTES);
	double died, came;

	if (is_frozen)
		kill(pid, SIGSTOP);
	else if (!exits)
		kill(pid, SIGKILL);
	died = check_seconds();
	if (exits && !is_frozen) {
		waitid(P_PID, (id_t)pid, &(siginfo_t){0}, WEXITED | WNOWAIT);
		died = check_seconds();
	}
	expect_ok(waiter, msgid);
	came = check_seconds();
	if (is_frozen)
		kill(pid, SIGKILL);
	process_wait(pid);
	return came > died ? came - died : 0;
}

/* Fork the ${number}-th holder, and end it once it is in. */
static void end_holder(struct wire *waiter, struct stage *stage, unsigned number,
    bool is_frozen, struct chance *chance, struct spans *spans)
{
	pid_t pid;

	stage->is_in = false;
	stage->rows = 0;
	stage->exits = chance_below(chance, 4) == 0;
	pid = client_start(hold, number, stage);
	while (!stage->is_in)
		usleep(50);
	usleep((useconds_t)chance_below(chance, 2000));
	spans_add(spans, wait_behind(waiter, pid, is_frozen, stage->exits));
}

void test_holders(const struct effort *effort)
{
	uint64_t deaths = effort_amount(effort, DEATHS, DEATHS_LONG);
	uint64_t done = 0, rows = 0;
	struct chance chance = chance_of(effort->seed, 15);
	struct stage *stage = shared_memory(sizeof *stage);
	struct spans dead = {0}, frozen = {0};
	double largest = 0;
	struct wire *waiter;

	poolited_start(&broker, "--transaction-idle-timeout", IDLE_TIMEOUT, "--wal-limit",
	    WAL_LIMIT);
	waiter = wire_open(&broker);
	run(waiter, "script",
	    "CREATE TABLE held (holder, row); CREATE TABLE waited (writes, payload); "
	    "INSERT INTO waited (writes) VALUES (0)");
	for (; effort_goes_on(effort, dead.count, deaths); done++) {
		bool is_frozen = done % FROZEN_EVERY == 0;
		double mib;
		end_holder(waiter, stage, (unsigned)done, is_frozen, &chance,
		    is_frozen ? &frozen : &dead);
		rows += stage->rows;
		mib = poolited_wal_mib(&broker);
		largest = mib > largest ? mib : largest;
	}
	report_amount("holders that died", (double)dead.count, DEATHS, DEATHS_LONG);
	report_amount("holders that froze", (double)frozen.count, DEATHS / FROZEN_EVERY,
	    (double)DEATHS_LONG / FROZEN_EVERY);
	report_amount("rows they had inserted", (double)rows, 200, 10000);
	report_at_most(
	    "wait after a death, p99, ms", spans_quantile_ms(&dead, 0.99), 100);
	report_at_most("wait after a frozen one's timeout, p99, ms",
	    spans_quantile_ms(&frozen, 0.99) - 1000 * IDLE_TIMEOUT_S, 100);
	report_exactly("rows of theirs that stayed",
	    (double)number(waiter, "SELECT count(*) FROM held"), 0);
	report_exactly("writes of those who waited that are missing",
	    (double)done - (double)number(waiter, "SELECT writes FROM waited"), 0);
	report_exactly(
	    "transactions left open", (double)stat_of(waiter, "active_connections"), 0);
	report_at_least("MiB they wrote, times wal_limit",
	    (double)done * WAITED_BYTES / (WAL_LIMIT_MIB << 20), 2);
	report_at_most("largest WAL, MiB", largest, WAL_LIMIT_MIB);
	poolited_end(&broker);
}
