/* T16: readers that leave the checkpoints no gap, then one that reads for ever; writers go on. */
#include <string.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

#define READERS       4
#define WAL_LIMIT     "96M"
#define WAL_LIMIT_MIB 96
/* From there on reads are ended for the WAL's sake. */
#define NEAR_LIMIT_MIB (WAL_LIMIT_MIB / 4 * 3)
#define SHORT_MIB      64

static struct poolited broker;
static struct {
	_Atomic bool must_stop;
	_Atomic uint64_t reads;
} * shared;

/* About two milliseconds each, one after another without a pause. */
static void read_on(unsigned index, void *context)
{
	struct poolite *handle;

	(void)index;
	(void)context;
	CHECK(poolite_open(broker.socket, NULL, &handle, NULL) == 0, "poolite_open");
	while (!shared->must_stop) {
		struct poolite_result *result;
		struct poolite_error error;
		CHECK(
		    poolite_query(handle,
			"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
			"WHERE i < 10000) SELECT count(*) FROM n, ledger_client WHERE id = 1",
			POOLITE_NO_ARGS, &result, &error) == 0,
		    "a short read: %s", error.message);
		poolite_result_free(result);
		shared->reads++;
	}
	poolite_close(handle);
}

/* The last checkpoint's age; as long as there was none, that of ${started}. */
static double checkpoint_age(struct wire *wire, double started)
{
	if (stat_of(wire, "wal.checkpoints") == 0)
		return check_seconds() - started;
	return stat_real(wire, "wal.checkpoint_age");
}

/* Watch for ${seconds}: the largest WAL, and the checkpoints' ages. */
static double watch(struct wire *wire, double seconds, struct spans *ages)
{
	double started = check_seconds(), largest = 0;

	while (check_seconds() < started + seconds) {
		double mib = poolited_wal_mib(&broker);
		largest = mib > largest ? mib : largest;
		if (ages)
			spans_add(ages, checkpoint_age(wire, started));
		usleep(10000);
	}
	return largest;
}

/* Watch until the WAL is larger than ${mib}, or is not; its size then. */
static double await_wal(double mib, bool is_larger)
{
	double until = check_seconds() + PATIENCE_SECONDS, found;

	while (((found = poolited_wal_mib(&broker)) > mib) != is_larger &&
	    check_seconds() < until)
		usleep(1000);
	return found;
}

/* A transaction that reads for ever was ended, and is told why. */
static bool was_ended_for_the_wal(struct wire *pin)
{
	const struct reply *reply = wire_receive(pin, wire_sql(pin, "query", "SELECT 1"));

	if (reply->failure.code == POOLITE_TRANSACTION_EXPIRED &&
	    strstr(reply->failure.message, "wal_limit"))
		return true;
	report_note("     the long read's: %s, %s",
	    poolite_code_name(reply->failure.code), reply->failure.message);
	return false;
}

void test_starvation(const struct effort *effort)
{
	double seconds = effort->is_long ? (effort->until - check_seconds()) / 2 : 10;
	struct ledger_options options = {.clients = 4,
	    .seed = effort->seed,
	    .payload_bytes = 3000,
	    .skips_mistakes = true};
	struct ledger *ledger = ledger_create(&options);
	struct ledger_verdict verdict = {0};
	double largest_short, largest_long, near, cut;
	struct spans ages = {0};
	pid_t pids[READERS];
	struct wire *wire, *pin;
	bool was_told;

	shared = shared_memory(sizeof *shared);
	poolited_make(&broker, (const char *const[]){"--wal-limit", WAL_LIMIT, NULL});
	ledger_make_database(broker.database);
	poolited_run(&broker);
	wire = wire_open(&broker);
	ledger_start(ledger, broker.socket);
	for (unsigned i = 0; i < READERS; i++)
		pids[i] = client_start(read_on, i, NULL);
	largest_short = watch(wire, seconds, &ages);
	shared->must_stop = true;
	for (unsigned i = 0; i < READERS; i++)
		client_wait(pids[i]);
	pin = wire_open(&broker);
	call(pin, "begin", "[{`mode`: `read`}]");
	near = await_wal(NEAR_LIMIT_MIB, true);
	cut = await_wal(SHORT_MIB, false);
	largest_long = watch(wire, seconds, NULL);
	largest_long = near > largest_long ? near : largest_long;
	was_told = was_ended_for_the_wal(pin);
	ledger_stop(ledger);
	wire_free_all();
	CHECK_EQ(poolited_stop(&broker), 0);
	ledger_check(ledger, broker.database, &verdict);
	report_amount("short reads", (double)shared->reads, 1000, 100000);
	report_amount("writes answered OK", (double)ledger->acks, 2000, 100000);
	report_at_most("largest WAL with short reads, MiB", largest_short, SHORT_MIB);
	report_at_most("age of the last checkpoint, p99, s",
	    spans_quantile_ms(&ages, 0.99) / 1000, 10);
	report_at_most(
	    "largest WAL with one long read, MiB", largest_long, WAL_LIMIT_MIB);
	report_at_least(
	    "it came to three quarters of wal_limit, MiB", near, NEAR_LIMIT_MIB);
	report_exactly("the long read was ended, and told why", was_told, 1);
	report_at_most("WAL afterwards, MiB", cut, SHORT_MIB);
	ledger_report(ledger, &verdict);
}
