/* Group commit: what one member does inside a group while others commit.
 *
 * To force a group, one session holds the writer with a transaction while the
 * others queue their writes; its commit lets them go together.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define MEMBERS 5
#define ENDLESS "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n) "

static struct poolited broker;
static struct wire *holder;
static struct wire *members[MEMBERS];
static uint32_t msgids[MEMBERS];
static int queued;

static void set_up(void)
{
	poolited_start(&broker, "--query-timeout", "0.5");
	holder = wire_open(&broker);
	for (unsigned i = 0; i < MEMBERS; i++)
		members[i] = wire_open(&broker);
	run(holder, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE);"
	    "CREATE TABLE strict_k (k UNIQUE ON CONFLICT ROLLBACK);"
	    "CREATE TABLE child (p REFERENCES t DEFERRABLE INITIALLY DEFERRED);"
	    "CREATE TABLE guarded (x);"
	    "CREATE TRIGGER fails BEFORE INSERT ON guarded WHEN new.x = 'fail'"
	    "  BEGIN SELECT RAISE(FAIL, 'fails'); END;"
	    "CREATE TRIGGER rolls BEFORE INSERT ON guarded WHEN new.x = 'roll'"
	    "  BEGIN SELECT RAISE(ROLLBACK, 'rolls'); END;"
	    "INSERT INTO t VALUES (1, 'taken'); INSERT INTO strict_k VALUES ('taken')");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_groups, .init = set_up, .fini = tear_down, .timeout = 60);

static void hold(void)
{
	ask(holder, "begin");
	queued = 0;
}

static void let_go(void)
{
	ask(holder, "commit");
}

/* Queue one request of a member; it is in the broker's queue when this returns. */
static void queue(unsigned member, const char *method, const char *params)
{
	msgids[member] = wire_send(members[member], method, "%s", params);
	/* A query goes to a reader first, which finds that it writes. */
	await_stat(holder, "queues.writer", ++queued);
}

static void queue_innocent(unsigned member, int id)
{
	char params[100];

	snprintf(params, sizeof params, "[`INSERT INTO t VALUES (%d, %d)`]", id, id);
	queue(member, "update", params);
}

/* ---- one culprit -------------------------------------------------------------- */

/* What a member does, what it gets for it, and whether it tears the transaction down.
 * Each %d becomes a number that makes the text a new one. */
static const struct culprit {
	const char *what;
	const char *method, *params;
	enum poolite_code code;
	bool tears;
} culprits[] = {
    {"a constraint error", "update",
	"[`INSERT INTO t VALUES (900, 900), (901, 'taken') -- %d`]", POOLITE_CONSTRAINT,
	false},
    {"OR FAIL after some rows", "update",
	"[`INSERT OR FAIL INTO t VALUES (900, 900), (901, 901), (902, 'taken') -- %d`]",
	POOLITE_CONSTRAINT, false},
    {"OR ROLLBACK", "update",
	"[`INSERT OR ROLLBACK INTO t VALUES (900, 900), (901, 'taken') -- %d`]",
	POOLITE_CONSTRAINT, true},
    {"ON CONFLICT ROLLBACK in the schema", "update",
	"[`INSERT INTO strict_k VALUES ('new'), ('taken') -- %d`]", POOLITE_CONSTRAINT,
	true},
    {"RAISE(FAIL)", "update", "[`INSERT INTO guarded VALUES ('ok'), ('fail') -- %d`]",
	POOLITE_CONSTRAINT, false},
    {"RAISE(ROLLBACK)", "update", "[`INSERT INTO guarded VALUES ('ok'), ('roll') -- %d`]",
	POOLITE_CONSTRAINT, true},
    {"a deferred foreign key", "update", "[`INSERT INTO child VALUES (77) -- %d`]",
	POOLITE_CONSTRAINT, false},
    {"a deadline", "update",
	"[`" ENDLESS "INSERT INTO t SELECT i, i FROM n WHERE i < 2000 -- %d`]",
	POOLITE_QUERY_TIMEOUT, true},
    {"a deadline with RETURNING", "query",
	"[`" ENDLESS "INSERT INTO t SELECT i, i FROM n RETURNING id -- %d`]",
	POOLITE_QUERY_TIMEOUT, true},
    {"a name that is not there", "update", "[`INSERT INTO nowhere VALUES (%d)`]",
	POOLITE_SQL_ERROR, false},
    {"too large a value", "update",
	"[`INSERT INTO guarded VALUES (zeroblob(2000000000 + %d))`]", POOLITE_TOO_LARGE,
	false},
    {"a wrong argument", "update", "[`INSERT INTO guarded VALUES (?) -- %d`]",
	POOLITE_BAD_REQUEST, false},
    {"a guarded text", "update", "[`COMMIT -- %d`]", POOLITE_NOT_ALLOWED, false},
    {"a batch that fails late", "batch",
	"[`INSERT INTO t VALUES (900 + ?, ?) -- %d`, [[0, 1], [1, 2], [2, `taken`]]]",
	POOLITE_CONSTRAINT, false},
    {"a batch that tears late", "batch",
	"[`INSERT OR ROLLBACK INTO t VALUES (900 + ?, ?) -- %d`, [[0, 8], [1, 9], [2, `taken`]]]",
	POOLITE_CONSTRAINT, true},
    {"a transaction that fails late", "transaction",
	"[[[`INSERT INTO t VALUES (900, 900) -- %d`], [`DELETE FROM nowhere`]]]",
	POOLITE_SQL_ERROR, false},
    {"a transaction that tears late", "transaction",
	"[[[`DELETE FROM t`], [`INSERT INTO guarded VALUES ('roll') -- %d`]]]",
	POOLITE_CONSTRAINT, true},
    {"a script that fails after DDL", "script",
	"[`CREATE TABLE made (x); INSERT INTO made VALUES (1); DROP TABLE guarded;"
	" INSERT INTO nowhere VALUES (%d)`]",
	POOLITE_SQL_ERROR, false},
};

/* Run ${culprit} at ${position} among innocents.  False when a slow machine made more than
 * one group of them: members are added for 20 ms. */
static bool run_with_culprit(const struct culprit *culprit, unsigned position, int round)
{
	int64_t groups = stat_of(holder, "groups.committed");
	int64_t replays = stat_of(holder, "groups.replays");
	int64_t replayed;
	char params[400];

	/* The formats are those of the table above. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(params, sizeof params, culprit->params, round);
#pragma GCC diagnostic pop
	hold();
	for (unsigned i = 0; i < MEMBERS; i++)
		if (i == position)
			queue(i, culprit->method, params);
		else
			queue_innocent(i, 10000 + round * MEMBERS + (int)i);
	let_go();
	for (unsigned i = 0; i < MEMBERS; i++) {
		const struct reply *reply = wire_receive(members[i], msgids[i]);
		enum poolite_code wanted = i == position ? culprit->code : POOLITE_OK;
		CHECK(reply->failure.code == wanted && !reply->failure.is_unknown,
		    "%s as member %u: member %u gets %s, not %s: %s", culprit->what,
		    position, i, poolite__code_name(reply->failure.code),
		    poolite__code_name(wanted), reply->failure.message);
	}
	if (stat_of(holder, "groups.committed") != groups + 1)
		return false;
	replayed = stat_of(holder, "groups.replays") - replays;
	CHECK(replayed == culprit->tears, "%s as member %u: %d replays", culprit->what,
	    position, (int)replayed);
	return true;
}

Test(broker_groups, no_member_s_error_changes_another_s_result)
{
	int round = 0;

	for (unsigned i = 0; i < sizeof culprits / sizeof culprits[0]; i++) {
		for (unsigned position = 0; position < MEMBERS; position += MEMBERS / 2) {
			int tries = 1;
			while (!run_with_culprit(&culprits[i], position, round++))
				CHECK(++tries <= 20, "%s: never one group",
				    culprits[i].what);
		}
		expect_number(
		    holder, 1 + round * (MEMBERS - 1), "SELECT count(*) FROM t");
	}
	expect_rows(holder, "[[0, 0, 0, 1]]",
	    "SELECT (SELECT count(*) FROM t WHERE id BETWEEN 2 AND 9999), "
	    "(SELECT count(*) FROM guarded), (SELECT count(*) FROM child), "
	    "(SELECT count(*) FROM strict_k)");
}

/* ---- more than one culprit ------------------------------------------------------- */

Test(broker_groups, innocents_commit_beside_any_number_of_culprits)
{
	enum { COUNT = 60 };
	struct wire *many[COUNT];
	uint32_t ids[COUNT];

	for (int i = 0; i < COUNT; i++)
		many[i] = wire_open(&broker);
	hold();
	for (int i = 0; i < COUNT; i++) {
		ids[i] = i % 3
		    ? wire_sql(many[i], "update", "INSERT INTO t VALUES (%d, %d)",
			  100 + i, 100 + i)
		    : wire_sql(many[i], "update",
			  "INSERT OR ROLLBACK INTO t VALUES (%d, 'taken')", 100 + i);
		wire_sync(many[i]);
	}
	let_go();
	for (int i = 0; i < COUNT; i++)
		if (i % 3)
			expect_ok(many[i], ids[i]);
		else
			expect_error(many[i], ids[i], POOLITE_CONSTRAINT, "UNIQUE");
	expect_number(holder, 1 + COUNT / 3 * 2, "SELECT count(*) FROM t");
}

Test(broker_groups, text_that_tore_a_group_down_runs_alone_from_then_on)
{
	static const char tearing[] =
	    "[`INSERT OR ROLLBACK INTO t VALUES (?, 'taken')`, [5]]";

	for (int round = 0; round < 3; round++) {
		hold();
		queue_innocent(0, 100 + 2 * round);
		queue(1, "update", tearing);
		queue_innocent(2, 101 + 2 * round);
		let_go();
		expect_ok(members[0], msgids[0]);
		expect_error(members[1], msgids[1], POOLITE_CONSTRAINT, NULL);
		expect_ok(members[2], msgids[2]);
		CHECK_EQ(stat_of(holder, "groups.replays"), 1);
	}
}

Test(broker_groups, two_members_may_violate_deferred_keys_together)
{
	hold();
	queue(0, "update", "[`INSERT INTO child VALUES (500)`]");
	queue_innocent(1, 500);
	queue(2, "update", "[`INSERT INTO child VALUES (500)`]");
	queue(3, "update", "[`INSERT INTO child VALUES (501)`]");
	let_go();
	expect_error(members[0], msgids[0], POOLITE_CONSTRAINT, "FOREIGN KEY");
	expect_ok(members[1], msgids[1]);
	expect_ok(members[2], msgids[2]);
	expect_error(members[3], msgids[3], POOLITE_CONSTRAINT, "FOREIGN KEY");
	expect_rows(holder, "[[500]]", "SELECT p FROM child");
}

/* ---- groups as such ---------------------------------------------------------------- */

Test(broker_groups, waiting_writes_share_one_commit)
{
	hold();
	for (unsigned i = 0; i < MEMBERS; i++)
		queue_innocent(i, 100 + (int)i);
	CHECK_EQ(stat_of(holder, "queues.writer"), MEMBERS);
	let_go();
	for (unsigned i = 0; i < MEMBERS; i++)
		expect_ok(members[i], msgids[i]);
	CHECK_EQ(stat_of(holder, "groups.largest"), MEMBERS);
}

Test(broker_groups, members_run_in_the_order_they_came)
{
	hold();
	queue(0, "update", "[`INSERT INTO guarded VALUES ('a')`]");
	queue(1, "update", "[`UPDATE guarded SET x = x || 'b'`]");
	queue(2, "query", "[`UPDATE guarded SET x = x || 'c' RETURNING x`]");
	let_go();
	CHECK_HAS(expect_ok(members[2], msgids[2]), "[[`abc`]]");
}

Test(broker_groups, members_do_not_see_each_other_s_counters)
{
	hold();
	queue_innocent(0, 700);
	queue(1, "update", "[`UPDATE t SET k = 5 WHERE id = -1`]");
	queue(2, "update", "[`INSERT OR IGNORE INTO t VALUES (1, 1)`]");
	queue(3, "update", "[`CREATE TABLE made (x)`]");
	queue(4, "transaction",
	    "[[[`UPDATE t SET k = k`], [`SELECT last_insert_rowid()`]]]");
	let_go();
	expect_result(members[0], msgids[0], "{`changes`: 1, `last_insert_id`: 700}");
	for (unsigned i = 1; i < 4; i++)
		expect_result(
		    members[i], msgids[i], "{`changes`: 0, `last_insert_id`: 0}");
	CHECK_HAS(expect_ok(members[4], msgids[4]), "`rows`: [[0]]");
}

Test(broker_groups, begin_takes_its_turn_between_groups)
{
	hold();
	queue_innocent(0, 100);
	queue(1, "begin", "[]");
	queue_innocent(2, 102);
	let_go();
	expect_ok(members[0], msgids[0]);
	expect_ok(members[1], msgids[1]);
	expect_rows(members[1], "[[1], [100]]", "SELECT id FROM t ORDER BY id");
	update(members[1], "DELETE FROM t WHERE id = 100");
	ask(members[1], "commit");
	expect_ok(members[2], msgids[2]);
	expect_rows(holder, "[[1], [102]]", "SELECT id FROM t ORDER BY id");
}

Test(broker_groups, reads_go_on_while_the_writer_is_held)
{
	hold();
	update(holder, "DELETE FROM t");
	expect_number(members[0], 1, "SELECT count(*) FROM t");
	ask(holder, "rollback");
}
