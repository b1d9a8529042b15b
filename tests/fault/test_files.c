/* T14: somebody meddles with the files under a running broker, while clients write. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/fault/ledger.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

#define CLIENTS 4
/* The broker's own exit status when a restart has to recover. */
#define STATUS_UNKNOWN 74

static struct poolited broker;

/* What is done, and undone once the broker has ended. */
struct trick {
	const char *what;
	const char *suffix; /* of the file that goes; NULL: none does */
	bool replaces;      /* another file comes in its place */
	bool cuts;          /* it stays, without its content */
	void (*act)(void);  /* instead: what a foreign process does */
};

static void foreign_writer(void)
{
	sqlite3 *db = direct_open(broker.database);

	sqlite3_wal_autocheckpoint(db, 0);
	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	for (int i = 0; i < 20; i++)
		direct_run(db, "INSERT INTO ledger_client VALUES (NULL)");
	direct_close(db);
}

static void foreign_lock(void)
{
	sqlite3 *db = direct_open(broker.database);

	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	direct_run(db, "BEGIN EXCLUSIVE");
	process_pause(0.1);
	direct_run(db, "COMMIT");
	direct_close(db);
}

static void foreign_checkpoint(void)
{
	sqlite3 *db = direct_open(broker.database);

	sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	direct_run(db, "PRAGMA busy_timeout = 5000");
	direct_run(db, "PRAGMA wal_checkpoint(TRUNCATE)");
	direct_close(db);
}

static void take_rights(void)
{
	CHECK_EQ(chmod(broker.database, 0), 0);
}

static const struct trick tricks[] = {
    {"the database is moved away", "", false, false, NULL},
    {"another file takes its name", "", true, false, NULL},
    {"-wal is moved away", "-wal", false, false, NULL},
    {"another -wal takes its name", "-wal", true, false, NULL},
    {"-shm is moved away", "-shm", false, false, NULL},
    {"the database is cut off", "", false, true, NULL},
    {"-wal is cut off", "-wal", false, true, NULL},
    {"-shm is cut off", "-shm", false, true, NULL},
    {"its rights are taken", NULL, false, false, take_rights},
    {"a foreign process writes", NULL, false, false, foreign_writer},
    {"a foreign process has it exclusively", NULL, false, false, foreign_lock},
    {"a foreign process makes a checkpoint", NULL, false, false, foreign_checkpoint},
};
#define TRICKS (sizeof tricks / sizeof *tricks)

static struct {
	uint64_t played, noticed, expected, late, unknown;
	uint64_t bystanders, wrong, acks, silent;
} tally;

static void path_of(char path[80], const char *suffix, const char *more)
{
	snprintf(path, 80, "%s%s%s", broker.database, suffix, more);
}

static void move_away(const struct trick *trick)
{
	char path[80], moved[80];
	FILE *other;

	path_of(path, trick->suffix, "");
	path_of(moved, trick->suffix, ".moved");
	if (trick->cuts) {
		CHECK(truncate(path, 0) == 0, "%s: %s", path, strerror(errno));
		return;
	}
	CHECK(rename(path, moved) == 0, "%s: %s", path, strerror(errno));
	if (!trick->replaces)
		return;
	other = fopen(path, "we");
	CHECK(other, "%s: %s", path, strerror(errno));
	fclose(other);
}

static void move_back(const struct trick *trick)
{
	char path[80], moved[80];

	path_of(path, trick->suffix, "");
	path_of(moved, trick->suffix, ".moved");
	CHECK(rename(moved, path) == 0, "%s: %s", moved, strerror(errno));
}

/* Writes are refused, or the broker has ended so that a restart may recover. */
static bool is_noticed(const struct ledger *ledger)
{
	return ledger->codes[-POOLITE_STORAGE] + ledger->codes[-POOLITE_CORRUPT] >= 3 ||
	    ledger->codes[-POOLITE_NO_BROKER] > 0;
}

/* A file went: the next group is unknown, everything after it refused. */
static void expect_notice(struct ledger *ledger, const struct trick *trick)
{
	uint64_t before;
	double until = check_seconds() + 20;

	tally.expected++;
	move_away(trick);
	before = ledger->acks;
	while (!is_noticed(ledger) && check_seconds() < until)
		usleep(200);
	if (is_noticed(ledger))
		tally.noticed++;
	else
		report_note("     unnoticed: %s", trick->what);
	/* What was answered, but not yet noted: one request of each client. */
	if (ledger->acks > before + CLIENTS)
		tally.late += ledger->acks - before - CLIENTS;
}

/* Nothing to be noticed: writes go on. */
static void expect_work(struct ledger *ledger, const struct trick *trick)
{
	trick->act();
	if (!ledger_await_acks(ledger, ledger->acks, 50, 20))
		tally.silent++;
}

/* What was in the file is gone for good; -shm holds nothing that is not in the others. */
static bool destroys(const struct trick *trick)
{
	return trick->cuts && strcmp(trick->suffix, "-shm") != 0;
}

static void play(
    struct ledger *ledger, const struct trick *trick, struct ledger_verdict *verdict)
{
	bool is_moved = trick->suffix != NULL;
	int status;

	poolited_make(&broker, (const char *const[]){"--checkpoint-pages", "50", NULL});
	ledger_clear(ledger);
	ledger_reset_counts(ledger);
	ledger->options.tolerated = is_moved
	    ? LEDGER_CODE(POOLITE_STORAGE) | LEDGER_CODE(POOLITE_OUTCOME_UNKNOWN)
	    : 0;
	if (trick->cuts)
		ledger->options.tolerated |= LEDGER_CODE(POOLITE_CORRUPT) |
		    LEDGER_CODE(POOLITE_NO_BROKER) | LEDGER_CODE(POOLITE_SHUTTING_DOWN);
	ledger->options.ends_with_broker = trick->cuts;
	ledger_make_database(broker.database);
	poolited_run(&broker);
	ledger_start(ledger, broker.socket);
	CHECK(ledger_await_acks(ledger, 0, 50, 20), "no load");
	if (is_moved)
		expect_notice(ledger, trick);
	else
		expect_work(ledger, trick);
	ledger_stop(ledger);
	status = poolited_stop(&broker);
	CHECK(status == 0 || (trick->cuts && status == STATUS_UNKNOWN),
	    "%s: status %d:\n%s", trick->what, status, broker.log);
	if (is_moved && !trick->cuts)
		move_back(trick);
	chmod(broker.database, 0600);
	if (destroys(trick)) /* then no broker could keep what was answered */
		ledger->wrong = 0;
	else
		ledger_check(ledger, broker.database, verdict);
	tally.unknown += ledger->unknowns;
	tally.bystanders += ledger->bystanders;
	tally.wrong += ledger->wrong;
	tally.acks += ledger->acks;
	tally.played++;
}

void test_file_tricks(const struct effort *effort)
{
	struct ledger_options options = {
	    .clients = CLIENTS, .seed = effort->seed, .payload_bytes = 100};
	uint64_t rounds = effort_amount(effort, 2, 100);
	size_t count = TRICKS;
	struct ledger *ledger = ledger_create(&options);
	struct ledger_verdict verdict = {0};

	while (effort_goes_on(effort, tally.played, rounds * TRICKS))
		play(ledger, &tricks[tally.played % TRICKS], &verdict);
	ledger->bystanders = tally.bystanders;
	ledger->wrong = tally.wrong;
	report_at_least("tricks", (double)count, 12);
	report_amount(
	    "times played", (double)tally.played, 2 * (double)count, 100 * (double)count);
	report_amount("writes answered OK", (double)tally.acks, 1000, 50000);
	report_exactly(
	    "files that went unnoticed", (double)(tally.expected - tally.noticed), 0);
	report_exactly("answers OK after that", (double)tally.late, 0);
	report_exactly(
	    "others after which writes did not go on", (double)tally.silent, 0);
	report_at_least("outcomes unknown", (double)tally.unknown,
	    (double)tally.expected * 5 / 8); /* a cut may be noticed without one */
	ledger_report(ledger, &verdict);
}
