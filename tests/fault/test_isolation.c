/* T7: whatever one member of a group does, the others are committed, and it gets its own error.
 *
 * To force a group, one session holds the writer with a transaction while the
 * others queue; its commit lets them go together.
 */
#include <stdio.h>
#include <string.h>

#include <sqlite3.h>

#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
#define POISON  "POISONED-PAGE"
/* Enough of it that the cache, of 64 KiB, spills into the WAL. */
#define MANY_POISONS "replace(hex(zeroblob(40000)), '00', '" POISON "')"
/* Allocations of at least so many bytes can be refused; innocents have none. */
#define LARGE_BYTES 300000
#define LARGE       "hex(randomblob(200000))"

#define GROUP_MAX 64
#define WIRES     4

/* What a fault outside of its text has to do with it. */
enum help { HELP_NONE, HELP_NO_MEMORY, HELP_FULL, HELP_IOERR };

/* What a member does, and what it gets for it.  Each %d becomes a number that makes the
 * text a new one. */
static const struct culprit {
	const char *what;
	const char *method, *params;
	enum poolite_code code;
	bool tears; /* the group's transaction, so that the others are run again */
	bool is_slow;
	enum help help;
} culprits[] = {
    {"UNIQUE", "update", "[`INSERT INTO t VALUES (-1, -1), (-2, 'taken') -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"CHECK", "update", "[`INSERT INTO checked VALUES (1, 1, %d), (-1, 1, 0)`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"NOT NULL", "update", "[`INSERT INTO checked VALUES (1, 1, %d), (1, NULL, 0)`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"a foreign key", "update", "[`INSERT INTO child VALUES (1), (-77) -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"a deferred foreign key", "update", "[`INSERT INTO debtor VALUES (-77) -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"RAISE(ABORT)", "update", "[`INSERT INTO guarded VALUES ('ok'), ('abort') -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"RAISE(FAIL)", "update", "[`INSERT INTO guarded VALUES ('ok'), ('fail') -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"RAISE(ROLLBACK)", "update", "[`INSERT INTO guarded VALUES ('ok'), ('roll') -- %d`]",
	POOLITE_CONSTRAINT, true, false, HELP_NONE},
    {"OR FAIL", "update",
	"[`INSERT OR FAIL INTO t VALUES (-1, -1), (-2, 'taken') -- %d`]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"OR ROLLBACK", "update",
	"[`INSERT OR ROLLBACK INTO t VALUES (-1, -1), (-2, 'taken') -- %d`]",
	POOLITE_CONSTRAINT, true, false, HELP_NONE},
    {"ON CONFLICT ROLLBACK in the schema", "update",
	"[`INSERT INTO strict_k VALUES ('new'), ('taken') -- %d`]", POOLITE_CONSTRAINT,
	true, false, HELP_NONE},
    {"too large a value", "update",
	"[`INSERT INTO guarded VALUES ('ok'), (zeroblob(900000000 + %d))`]",
	POOLITE_TOO_LARGE, false, false, HELP_NONE},
    {"a datatype mismatch", "update", "[`INSERT INTO t VALUES ('x%d', 1)`]",
	POOLITE_SQL_ERROR, false, false, HELP_NONE},
    {"a name that is not there", "update", "[`INSERT INTO nowhere VALUES (%d)`]",
	POOLITE_SQL_ERROR, false, false, HELP_NONE},
    {"a batch that fails late", "batch",
	"[`INSERT INTO t VALUES (-1 - ?, ?) -- %d`, [[0, 1], [1, 2], [2, `taken`]]]",
	POOLITE_CONSTRAINT, false, false, HELP_NONE},
    {"a transaction that fails late", "transaction",
	"[[[`INSERT INTO t VALUES (-1, -1) -- %d`], [`DELETE FROM nowhere`]]]",
	POOLITE_SQL_ERROR, false, false, HELP_NONE},
    {"a SELECT at its deadline", "transaction",
	"[[[`INSERT INTO t VALUES (-1, -1) -- %d`], [`" ENDLESS
	"SELECT count(*) FROM n`]], {`timeout_ms`: 60}]",
	POOLITE_QUERY_TIMEOUT, false, true, HELP_NONE},
    {"an INSERT at its deadline", "update",
	"[`" ENDLESS
	"INSERT INTO t SELECT -i, -i FROM n WHERE i < 50 -- %d`, [], {`timeout_ms`: 60}]",
	POOLITE_QUERY_TIMEOUT, true, true, HELP_NONE},
    {"INSERT RETURNING at its deadline", "query",
	"[`" ENDLESS
	"INSERT INTO t SELECT -i, -i FROM n WHERE i < 50 RETURNING id -- %d`, [],"
	" {`timeout_ms`: 60}]",
	POOLITE_QUERY_TIMEOUT, true, true, HELP_NONE},
    {"no memory in a SELECT", "transaction",
	"[[[`INSERT INTO t VALUES (-1, -1) -- %d`], [`SELECT length(" LARGE ")`]]]",
	POOLITE_OVERLOADED, false, false, HELP_NO_MEMORY},
    {"no memory in an INSERT", "update", "[`INSERT INTO t VALUES (-%d, " LARGE ")`]",
	POOLITE_OVERLOADED, true, false, HELP_NO_MEMORY},
    {"a full disk in an INSERT", "update",
	"[`INSERT INTO guarded VALUES (" MANY_POISONS ") -- %d`]", POOLITE_STORAGE, true,
	false, HELP_FULL},
    {"an I/O error in an INSERT", "update",
	"[`INSERT INTO guarded VALUES (" MANY_POISONS ") -- %d`]", POOLITE_STORAGE, true,
	false, HELP_IOERR},
};
#define CULPRITS (sizeof culprits / sizeof *culprits)

static struct faulty faulty;
static struct wire *holder;
static struct wire *wires[WIRES];

/* Who sent what, of the group under way. */
static struct member {
	struct wire *wire;
	uint32_t msgid;
	const struct culprit *culprit; /* NULL: an innocent */
} members[GROUP_MAX];
static unsigned count;
static int64_t next_number = 1;

static struct {
	uint64_t cells, mixes, members, culprits, replays;
	uint64_t bystanders, wrong_errors, missing, left_behind, not_one_group;
} tally;

/* ---- a group ---------------------------------------------------------------------- */

static void set_up(struct ledger *ledger)
{
	faulty_make(&faulty, ledger,
	    (const char *const[]){"--cache", "64K", "--max-connections", "4", NULL});
	poolited_run(&faulty.broker);
	holder = wire_open(&faulty.broker);
	for (int i = 0; i < WIRES; i++)
		wires[i] = wire_open(&faulty.broker);
	run(holder, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE);"
	    "CREATE TABLE strict_k (k UNIQUE ON CONFLICT ROLLBACK);"
	    "CREATE TABLE checked (a CHECK (a > 0), b NOT NULL, c);"
	    "CREATE TABLE child (p REFERENCES t);"
	    "CREATE TABLE debtor (p REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
	    "CREATE TABLE guarded (x);"
	    "CREATE TRIGGER aborts BEFORE INSERT ON guarded WHEN new.x = 'abort'"
	    "  BEGIN SELECT RAISE(ABORT, 'aborts'); END;"
	    "CREATE TRIGGER fails BEFORE INSERT ON guarded WHEN new.x = 'fail'"
	    "  BEGIN SELECT RAISE(FAIL, 'fails'); END;"
	    "CREATE TRIGGER rolls BEFORE INSERT ON guarded WHEN new.x = 'roll'"
	    "  BEGIN SELECT RAISE(ROLLBACK, 'rolls'); END;"
	    "INSERT INTO t VALUES (1, 'taken'); INSERT INTO strict_k VALUES ('taken')");
	next_number = 2;
}

static void help(enum help help)
{
	struct control *control = faulty.control;
	bool poisons = help == HELP_FULL || help == HELP_IOERR;

	control->refuse_bytes = help == HELP_NO_MEMORY ? LARGE_BYTES : 0;
	control->fail_code = help == HELP_FULL ? SQLITE_FULL : SQLITE_IOERR_WRITE;
	snprintf(control->marker, sizeof control->marker, "%s", poisons ? POISON : "");
}

static void queue(struct wire *wire, const struct culprit *culprit)
{
	struct member *member = &members[count++];
	int number = (int)next_number++;
	char params[400];

	member->wire = wire;
	member->culprit = culprit;
	if (!culprit) {
		member->msgid = wire_sql(
		    wire, "update", "INSERT INTO t VALUES (%d, %d)", number, number);
		return;
	}
	/* The formats are those of the table above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(params, sizeof params, culprit->params, number);
#pragma GCC diagnostic pop
	member->msgid = wire_send(wire, culprit->method, "%s", params);
}

static void await_queue(void)
{
	await_stat(holder, "queues.writer", count);
}

static void judge(const struct member *member)
{
	const struct reply *reply = wire_receive(member->wire, member->msgid);
	enum poolite_code code = reply->failure.code;
	bool is_right = code == (member->culprit ? member->culprit->code : POOLITE_OK) &&
	    !reply->failure.is_unknown;

	tally.members++;
	tally.culprits += member->culprit != NULL;
	if (is_right)
		return;
	if (member->culprit)
		tally.wrong_errors++;
	else
		tally.bystanders++;
	if (tally.wrong_errors + tally.bystanders <= 5)
		report_note("     %s gets %s: %s",
		    member->culprit ? member->culprit->what : "an innocent",
		    poolite__code_name(code), reply->failure.message);
}

/* All innocents of numbers ${from} on are there, and nothing of any culprit. */
static void check_rows(int64_t from)
{
	unsigned innocents = 0;
	int64_t found =
	    number(holder, "SELECT count(*) FROM t WHERE id >= %lld", (long long)from);

	for (unsigned i = 0; i < count; i++)
		innocents += members[i].culprit == NULL;
	if (found < innocents)
		tally.missing += innocents - (uint64_t)found;
	tally.left_behind += (uint64_t)number(holder,
	    "SELECT (SELECT count(*) FROM t WHERE id < 1) + (SELECT count(*) FROM guarded) +"
	    " (SELECT count(*) FROM checked) + (SELECT count(*) FROM child) +"
	    " (SELECT count(*) FROM debtor) + (SELECT count(*) - 1 FROM strict_k)");
	if (found > innocents)
		tally.left_behind += (uint64_t)found - innocents;
}

static void begin_group(void)
{
	ask(holder, "begin");
	count = 0;
}

static void end_group(int64_t from)
{
	await_queue();
	ask(holder, "commit");
	for (unsigned i = 0; i < count; i++)
		judge(&members[i]);
	check_rows(from);
}

/* ---- one culprit at a position ------------------------------------------------------ */

static void queue_innocents(unsigned wanted)
{
	for (unsigned i = 0; i < wanted; i++)
		queue(wires[0], NULL);
	await_queue();
}

static void run_cell(const struct culprit *culprit, unsigned position, unsigned size)
{
	int64_t groups = stat_of(holder, "groups.committed");
	int64_t replays = stat_of(holder, "groups.replays");
	int64_t from = next_number;

	begin_group();
	queue_innocents(position);
	queue(wires[1], culprit);
	await_queue();
	queue_innocents(size - position - 1);
	help(culprit->help);
	end_group(from);
	help(HELP_NONE);
	groups = stat_of(holder, "groups.committed") - groups;
	replays = stat_of(holder, "groups.replays") - replays;
	/* After a slow one that tears nothing the rest is a group of its own. */
	if (groups < 1 || groups > 1 + (culprit->is_slow && !culprit->tears) ||
	    replays != culprit->tears) {
		tally.not_one_group++;
		report_note("     %s as member %u of %u: %d groups, %d replays",
		    culprit->what, position, size, (int)groups, (int)replays);
	}
	tally.replays += (uint64_t)replays;
	tally.cells++;
}

static void run_cells(void)
{
	static const unsigned sizes[] = {2, 8, 64};

	for (size_t which = 0; which < CULPRITS; which++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			run_cell(&culprits[which], 0, sizes[i]);
			run_cell(&culprits[which], sizes[i] / 2, sizes[i]);
			run_cell(&culprits[which], sizes[i] - 1, sizes[i]);
		}
	}
}

/* ---- mixes --------------------------------------------------------------------------- */

static const struct culprit *any_culprit(struct chance *chance)
{
	const struct culprit *culprit;

	do
		culprit = &culprits[chance_below(chance, CULPRITS)];
	while (culprit->is_slow || culprit->help != HELP_NONE);
	return culprit;
}

static void run_mix(struct chance *chance)
{
	unsigned size = 2 + (unsigned)chance_below(chance, 23);
	int64_t from = next_number;

	begin_group();
	for (int i = 0; i < WIRES; i++)
		wire_cork(wires[i]);
	for (unsigned i = 0; i < size; i++)
		queue(wires[chance_below(chance, WIRES)],
		    chance_below(chance, 10) < 3 ? any_culprit(chance) : NULL);
	for (int i = 0; i < WIRES; i++)
		wire_uncork(wires[i]);
	end_group(from);
	if (++tally.mixes % 1000 == 0)
		update(holder, "DELETE FROM t WHERE id > 1");
}

void test_isolation(const struct effort *effort)
{
	struct ledger_options options = {.clients = 0};
	struct chance chance = chance_of(effort->seed, 7);

	set_up(ledger_create(&options));
	run_cells();
	while (effort_goes_on(effort, tally.mixes, effort_amount(effort, 500, 100000)))
		run_mix(&chance);
	report_at_least("kinds of error", CULPRITS, 21);
	report_at_least("of them times position times size", (double)tally.cells, 189);
	report_amount("random mixes", (double)tally.mixes, 500, 100000);
	report_amount("members that made mistakes", (double)tally.culprits, 1000, 300000);
	report_exactly("bystander", (double)tally.bystanders, 0);
	report_exactly("mistakes with the wrong answer", (double)tally.wrong_errors, 0);
	report_exactly("rows answered OK, but absent", (double)tally.missing, 0);
	report_exactly("rows that mistakes left behind", (double)tally.left_behind, 0);
	report_exactly("groups not as they should be", (double)tally.not_one_group, 0);
	poolited_end(&faulty.broker);
}
