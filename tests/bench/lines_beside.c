/* lines_beside.c - short reads while another session runs long ones: see tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/bench/database.h"

#define NUMBERS 2000000
#define NUMBERS_TABLE                                                                    \
	"CREATE TABLE numbers (n INTEGER PRIMARY KEY, half INTEGER);"                    \
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < "      \
	"2000000) INSERT INTO numbers SELECT i, i / 2 FROM c"
#define AGGREGATE                                                                        \
	"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < "      \
	"%" PRId64 ") SELECT count(i) FROM c"
#define TRIAL       200000 /* steps of the aggregate to learn its speed from */
#define BLOB        20000000
#define TEXT_MAX    1100000
#define LIST_TEXT   1000000  /* characters of the IN list */
#define LIST_NUMBER 10000000 /* no lead has it: numbers of 8 digits */

/* A long read: writes its text for the ${turn}th time, tells the answer. */
struct long_read {
	const char *work;
	int64_t (*write)(char text[TEXT_MAX], int64_t turn, int64_t steps);
};

static int64_t write_aggregate(char text[TEXT_MAX], int64_t turn, int64_t steps)
{
	(void)turn;
	snprintf(text, TEXT_MAX, AGGREGATE, steps);
	return steps;
}

static int64_t write_count(char text[TEXT_MAX], int64_t turn, int64_t steps)
{
	(void)turn;
	(void)steps;
	snprintf(text, TEXT_MAX, "SELECT count(*) FROM numbers");
	return NUMBERS;
}

static int64_t write_hex(char text[TEXT_MAX], int64_t turn, int64_t steps)
{
	(void)turn;
	(void)steps;
	snprintf(text, TEXT_MAX, "SELECT length(hex(zeroblob(%d)))", BLOB);
	return 2 * (int64_t)BLOB;
}

/* One of the numbers is a lead. */
static int64_t write_list(char text[TEXT_MAX], int64_t turn, int64_t steps)
{
	size_t len =
	    (size_t)snprintf(text, TEXT_MAX, "SELECT count(*) FROM leads WHERE id IN (1");

	(void)steps;
	for (int64_t i = 0; len < LIST_TEXT; i++)
		len += (size_t)snprintf(text + len, TEXT_MAX - len, ",%" PRId64,
		    LIST_NUMBER + turn * 1000 + i);
	snprintf(text + len, TEXT_MAX - len, ")");
	return 1;
}

/* What the process with the long reads tells. */
struct witness {
	atomic_int begun;
	atomic_int done;
	atomic_int failed;
	char message[512];
};

static void fail(struct witness *witness, const char *message)
{
	snprintf(witness->message, sizeof(witness->message), "%s", message);
	atomic_fetch_add(&witness->failed, 1);
}

/* Run long reads until killed. */
_Noreturn static void read_long(const struct site *site, const struct long_read *kind,
    int64_t steps, struct witness *witness)
{
	static char text[TEXT_MAX];
	struct poolite_result *result;
	struct poolite_error error;
	struct poolite *handle;

	if (poolite_open(site->socket, NULL, &handle, &error) != 0)
		fail(witness, error.message);
	for (int64_t turn = 0; atomic_load(&witness->failed) == 0; turn++) {
		int64_t wanted = kind->write(text, turn, steps);

		atomic_fetch_add(&witness->begun, 1);
		if (poolite_query(handle, text, POOLITE_NO_ARGS, &result, &error) != 0)
			fail(witness, error.message);
		else if (poolite_result_next(result) != 1 ||
		    poolite_result_int64(result, 0) != wanted)
			fail(witness, "a wrong answer");
		else
			atomic_fetch_add(&witness->done, 1);
		poolite_result_free(result);
	}
	_exit(0);
}

/* Steps of the aggregate that take ${seconds} on this machine. */
static int64_t aggregate_steps(const struct site *site, double seconds)
{
	char text[256];
	int64_t started = now_ns();

	snprintf(text, sizeof(text), AGGREGATE, (int64_t)TRIAL);
	if (database_number(site->direct, text) != TRIAL)
		die("beside", "a wrong sum");
	return (int64_t)(seconds * 1e9 * TRIAL / (double)(now_ns() - started));
}

/* One round: alone, then beside the long reads. */
static void measure_round(struct bench *bench, const struct site *site,
    const struct long_read *kind, int64_t steps, int round, struct side sides[2])
{
	struct witness *witness = shared_memory(sizeof(*witness));
	int64_t duration = kind->write == write_aggregate && !bench->is_quick
	    ? 3 * bench->side_ns
	    : bench->side_ns;

	side_measure(bench, &sides[1], round, duration);
	pid_t pid = child_fork();
	if (pid == 0)
		read_long(site, kind, steps, witness);
	while (atomic_load(&witness->begun) == 0 && atomic_load(&witness->failed) == 0)
		usleep(1000);
	side_measure(bench, &sides[0], round, duration);
	child_kill(pid);
	if (atomic_load(&witness->failed) != 0) {
		fprintf(stderr, "bench: beside: %s: %s\n", kind->work, witness->message);
		bench->is_wrong = true;
	}
	munmap(witness, sizeof(*witness));
}

static void measure_kind(struct bench *bench, const struct site *site,
    const struct long_read *kind, int64_t steps)
{
	struct side sides[2];
	struct wire wire;

	wire_poolite(&wire, site->socket, POOLITE__QUERY, SQL_READ);
	side_of_load(&sides[0], "beside", &wire, 1, 1);
	side_of_load(&sides[1], "alone", &wire, 1, 1);
	for (size_t round = 0; round < bench->rounds; round++)
		measure_round(bench, site, kind, steps, (int)round, sides);
	sides_compare(bench, &sides[0], &sides[1],
	    (struct claim){"beside", kind->work, "Poolite, the client alone", METRIC_P99,
		RATIO_OURS, 0, 2});
	side_close(&sides[0]);
	side_close(&sides[1]);
}

void line_beside(struct bench *bench)
{
	static const struct long_read kinds[] = {
	    {"p99 of a read beside an aggregate", write_aggregate},
	    {"p99 of a read beside count(*) of 2 M", write_count},
	    {"p99 of a read beside hex(zeroblob(20 M))", write_hex},
	    {"p99 of a read beside IN lists of 1 MB", write_list},
	};
	struct site site;

	site_open(&site, bench->poolited, "beside", NUMBERS_TABLE);
	int64_t steps = aggregate_steps(&site, bench->is_quick ? 2 : 10);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds) && !bench->is_wrong; i++)
		measure_kind(bench, &site, &kinds[i], steps);
	bench->is_wrong |= !site_close(&site);
}
