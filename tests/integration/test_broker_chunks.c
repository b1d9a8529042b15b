/* A batch in chunks: several transactions, with others' turns between them.
 *
 * To stand between two chunks, one session holds the writer while the batch and
 * another's begin queue up behind it.  When it lets go, the first chunk is
 * committed, the begin has its turn, and the second chunk waits for its end.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

#define INSERT "`INSERT INTO t (k) VALUES (?)`"
#define SIX    "[[1], [2], [3], [4], [5], [6]]"
/* A row that inserts so many rows. */
#define MANY                                                                             \
	"`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?)"       \
	" INSERT INTO t (k) SELECT NULL FROM n`"
#define ENDLESS "1000000000000"

static struct poolited broker;
static struct wire *holder; /* has the writer while the others queue up */
static struct wire *writer; /* of the batch */
static struct wire *other;  /* has the writer between two chunks */
static uint32_t batch;

static void make_table(void)
{
	holder = wire_open(&broker);
	writer = wire_open(&broker);
	other = wire_open(&broker);
	run(holder, "script",
	    "CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE);"
	    "CREATE TABLE child (p REFERENCES t (k) DEFERRABLE INITIALLY DEFERRED)");
}

static void set_up(void)
{
	poolited_start(&broker, "--grace", "30");
	make_table();
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_chunks, .init = set_up, .fini = tear_down, .timeout = 60);

/* Queue a batch of these params, and then a request of the other's. */
static uint32_t queue(const char *params, const char *method, const char *others)
{
	uint32_t msgid;

	ask(holder, "begin");
	batch = wire_send(writer, "batch", "%s", params);
	await_stat(holder, "queues.writer", 1);
	msgid = wire_send(other, method, "%s", others);
	await_stat(holder, "queues.writer", 2);
	return msgid;
}

/* The first chunk of ${params} is in, and the other has the writer. */
static void stand_between(const char *params)
{
	uint32_t begin = queue(params, "begin", "[]");

	ask(holder, "commit");
	expect_ok(other, begin);
	await_stat_is(holder, "queues.writer", 1);
}

static void expect_count(int64_t wanted)
{
	expect_number(holder, wanted, "SELECT count(*) FROM t");
}

/* ---- what it answers ------------------------------------------------------------- */

Test(broker_chunks, are_answered_as_one_batch)
{
	static const struct {
		unsigned chunk_rows, chunks;
	} cases[] = {{1, 6}, {2, 3}, {4, 2}, {5, 2}, {6, 1}, {7, 1}, {1000000, 1}};
	int64_t buffered = stat_of(holder, "sessions.buffered_bytes");
	int64_t groups = 1, between = 0; /* the script was one */

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		expect_result(writer,
		    wire_send(writer, "batch",
			"[" INSERT ", " SIX ", {`chunk_rows`: %u}]", cases[i].chunk_rows),
		    "{`changes`: 6, `last_insert_id`: 6}");
		expect_rows(holder, "[[1, 1], [2, 2], [3, 3], [4, 4], [5, 5], [6, 6]]",
		    "SELECT id, k FROM t ORDER BY id");
		groups += cases[i].chunks;
		between += cases[i].chunks - 1;
		CHECK_EQ(stat_of(holder, "groups.committed"), groups);
		CHECK_EQ(stat_of(holder, "groups.chunks"), between);
		update(holder, "DELETE FROM t");
		groups++;
	}
	CHECK_EQ(stat_of(holder, "requests.batch.count"), sizeof cases / sizeof *cases);
	await_stat_is(holder, "sessions.buffered_bytes", buffered);
}

Test(broker_chunks, of_an_empty_batch_are_none)
{
	expect_result(writer,
	    wire_send(writer, "batch", "[" INSERT ", [], {`chunk_rows`: 1}]"),
	    "{`changes`: 0, `last_insert_id`: 0}");
	refused(writer, POOLITE_SQL_ERROR, "no such table", "batch",
	    "[`DELETE FROM nowhere`, [], {`chunk_rows`: 1}]");
}

Test(broker_chunks, last_insert_id_is_that_of_the_last_row_inserted)
{
	static const char *const options[] = {"", ", {`chunk_rows`: 2}"};

	update(holder, "INSERT INTO t (k) VALUES ('taken')");
	for (size_t i = 0; i < 2; i++) {
		expect_result(writer,
		    wire_send(writer, "batch",
			"[`INSERT OR IGNORE INTO t (k) VALUES (?)`,"
			" [[1], [2], [3], [`taken`], [`taken`], [`taken`]]%s]",
			options[i]),
		    "{`changes`: 3, `last_insert_id`: 4}");
		update(holder, "DELETE FROM t WHERE k <> 'taken'");
	}
}

Test(broker_chunks, rows_may_be_named_and_of_any_length)
{
	expect_result(writer,
	    wire_send(writer, "batch",
		"[`INSERT INTO t (k) VALUES (:k)`, [{`k`: `a`}, {`:k`: x'00ff'}, {`k`: null},"
		" [1.5], {`k`: -1}], {`chunk_rows`: 2, `timeout_ms`: 60000}]"),
	    "{`changes`: 5, `last_insert_id`: 5}");
	expect_rows(holder, "[[`a`], [x'00ff'], [null], [1.5], [-1]]",
	    "SELECT k FROM t ORDER BY id");
}

/* ---- turns ------------------------------------------------------------------------- */

Test(broker_chunks, others_write_between_them)
{
	uint32_t msgid = queue("[" INSERT ", " SIX ", {`chunk_rows`: 2}]", "update",
	    "[`INSERT INTO t (k) VALUES ('other')`]");

	ask(holder, "commit");
	/* In one group with the first chunk. */
	expect_result(other, msgid, "{`changes`: 1, `last_insert_id`: 3}");
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 7}");
	CHECK_EQ(stat_of(holder, "groups.largest"), 2);
}

Test(broker_chunks, without_them_others_wait_for_the_whole_batch)
{
	uint32_t msgid = queue(
	    "[" INSERT ", " SIX "]", "update", "[`INSERT INTO t (k) VALUES ('other')`]");

	ask(holder, "commit");
	expect_result(other, msgid, "{`changes`: 1, `last_insert_id`: 7}");
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 6}");
}

Test(broker_chunks, transactions_have_their_turn_and_all_see_what_is_in)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	expect_number(other, 2, "SELECT count(*) FROM t");
	expect_count(2);
	update(other, "INSERT INTO t (k) VALUES ('other')");
	ask(other, "commit");
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 7}");
	expect_rows(holder, "[[3]]", "SELECT id FROM t WHERE k = 'other'");
}

/* ---- errors -------------------------------------------------------------------------- */

Test(broker_chunks, first_that_fails_ends_the_batch)
{
	static const struct {
		const char *sql, *rows;
		unsigned chunk_rows;
		enum poolite_code code;
		const char *says;
		unsigned rows_done;
	} cases[] = {
	    {INSERT, "[[1], [2], [3], [4], [5], [1]]", 2, POOLITE_CONSTRAINT,
		"UNIQUE constraint failed: t.k (row 6 of 6)", 4},
	    {INSERT, "[[1], [2], [3], [4], [1], [6]]", 2, POOLITE_CONSTRAINT,
		"(row 5 of 6)", 4},
	    {INSERT, "[[1], [2], [3], [2], [5], [6]]", 2, POOLITE_CONSTRAINT,
		"(row 4 of 6)", 2},
	    {INSERT, "[[1], [2], [3], [2], [5], [6]]", 1, POOLITE_CONSTRAINT,
		"(row 4 of 6)", 3},
	    {INSERT, "[[1], [1], [3], [4], [5], [6]]", 2, POOLITE_CONSTRAINT,
		"(row 2 of 6)", 0},
	    {INSERT, "[[1], [2], [3], [4], [5], [1]]", 6, POOLITE_CONSTRAINT,
		"(row 6 of 6)", 0},
	    {INSERT, "[[1], [2], [3], [4], [], [6]]", 2, POOLITE_BAD_REQUEST,
		"(row 5 of 6)", 4},
	    {INSERT, "[[1], [2], 7, [4], [5], [6]]", 2, POOLITE_BAD_REQUEST,
		"(row 3 of 6)", 2},
	    /* What stays behind when it fails, and what tears all down, of its own chunk. */
	    {"`INSERT OR FAIL INTO t (k) VALUES (?), (0)`", "[[1], [2]]", 1,
		POOLITE_CONSTRAINT, "(row 2 of 2)", 1},
	    {"`INSERT OR ROLLBACK INTO t (k) VALUES (?)`", "[[1], [2], [3], [1]]", 2,
		POOLITE_CONSTRAINT, "(row 4 of 4)", 2},
	    {"`INSERT INTO child VALUES (?)`", "[[null], [null], [null], [9]]", 3,
		POOLITE_CONSTRAINT, "FOREIGN KEY", 3},
	    {"`INSERT INTO t (k) VALUES (zeroblob(?))`", "[[1], [2], [2000000000]]", 2,
		POOLITE_TOO_LARGE, "(row 3 of 3)", 2},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		expect_part(writer,
		    wire_send(writer, "batch", "[%s, %s, {`chunk_rows`: %u}]",
			cases[i].sql, cases[i].rows, cases[i].chunk_rows),
		    cases[i].code, cases[i].rows_done, cases[i].says);
		/* A row of OR FAIL is two, a child's none of t. */
		expect_number(holder, cases[i].rows_done + (i == 8),
		    "SELECT (SELECT count(*) FROM t) + (SELECT count(*) FROM child)");
		run(holder, "script", "DELETE FROM t; DELETE FROM child");
	}
}

Test(broker_chunks, deferred_keys_are_checked_at_each_one_s_end)
{
	/* A child, and the row it refers to in the row behind. */
	static const char params[] = "[`INSERT INTO tree VALUES (?, ?)`, "
				     "[[1, 2], [2, null], [3, 4], [4, null]]%s]";

	update(holder,
	    "CREATE TABLE tree (id PRIMARY KEY, p REFERENCES tree DEFERRABLE INITIALLY "
	    "DEFERRED)");
	call(writer, "batch", params, "");
	update(holder, "DELETE FROM tree");
	call(writer, "batch", params, ", {`chunk_rows`: 2}");
	update(holder, "DELETE FROM tree");
	refused(writer, POOLITE_CONSTRAINT, "FOREIGN KEY", "batch", params,
	    ", {`chunk_rows`: 1}");
	expect_part(writer, wire_send(writer, "batch", params, ", {`chunk_rows`: 3}"),
	    POOLITE_CONSTRAINT, 0, "FOREIGN KEY");
}

Test(broker_chunks, statement_that_gives_rows_is_refused)
{
	refused(writer, POOLITE_BAD_REQUEST, "use query", "batch",
	    "[`SELECT ?`, [[1], [2]], {`chunk_rows`: 1}]");
	refused(writer, POOLITE_BAD_REQUEST, "use query", "batch",
	    "[`INSERT INTO t (k) VALUES (?) RETURNING id`, [[1], [2]], {`chunk_rows`: 1}]");
	expect_count(0);
}

Test(broker_chunks, no_size_but_a_number_of_rows_will_do)
{
	static const char *const sizes[] = {"0", "-1", "1000001", "2.0", "`2`", "true"};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		refused(writer, POOLITE_BAD_REQUEST,
		    "option chunk_rows is an integer, 1 to 1000000", "batch",
		    "[" INSERT ", " SIX ", {`chunk_rows`: %s}]", sizes[i]);
	refused(writer, POOLITE_BAD_REQUEST, "no option \"chunk_rows\"", "update",
	    "[" INSERT ", [1], {`chunk_rows`: 1}]");
	expect_count(0);
}

Test(broker_chunks, inside_a_transaction_are_refused)
{
	static const char params[] = "[" INSERT ", " SIX ", {`chunk_rows`: 2}]";

	ask(writer, "begin");
	refused(writer, POOLITE_BAD_REQUEST, "chunk_rows", "batch", "%s", params);
	call(writer, "batch", "[" INSERT ", " SIX "]");
	ask(writer, "commit");
	expect_count(6);
	call(writer, "begin", "[{`on_error`: `abort`}]");
	refused(writer, POOLITE_BAD_REQUEST, "chunk_rows", "batch", "%s", params);
	refused(writer, POOLITE_BAD_REQUEST, NULL, "update", "[`DELETE FROM t`]");
	ask(writer, "rollback");
	call(writer, "begin", "[{`mode`: `read`}]");
	refused(writer, POOLITE_BAD_REQUEST, "chunk_rows", "batch", "%s", params);
	ask(writer, "commit");
	expect_count(6);
}

Test(broker_chunks, of_who_may_only_read_are_refused)
{
	char uid[20];

	poolited_end(&broker);
	snprintf(uid, sizeof uid, "%u", (unsigned)getuid());
	poolited_start(&broker, "--read-only", uid);
	writer = wire_open(&broker);
	refused(writer, POOLITE_READ_ONLY, NULL, "batch",
	    "[`CREATE TABLE t (x)`, [[]], {`chunk_rows`: 1}]");
}

/* ---- what a neighbour in the group does --------------------------------------------------- */

Test(broker_chunks, are_run_again_when_a_neighbour_tears_their_group_down)
{
	struct wire *third = wire_open(&broker);
	uint32_t culprit = queue("[" INSERT ", " SIX ", {`chunk_rows`: 2}]", "update",
	    "[`INSERT OR ROLLBACK INTO t (k) VALUES ('own'), ('own')`]");
	uint32_t innocent =
	    wire_sql(third, "update", "INSERT INTO t (k) VALUES ('third')");

	await_stat(holder, "queues.writer", 3);
	ask(holder, "commit");
	expect_error(other, culprit, POOLITE_CONSTRAINT, NULL);
	expect_result(third, innocent, "{`changes`: 1, `last_insert_id`: 3}");
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 7}");
	CHECK_EQ(stat_of(holder, "groups.replays"), 1);
	expect_count(7);
}

Test(broker_chunks, later_ones_are_run_again_from_where_they_began)
{
	struct wire *third = wire_open(&broker);
	uint32_t culprit;

	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	culprit = wire_sql(
	    third, "update", "INSERT OR ROLLBACK INTO t (k) VALUES ('own'), ('own')");
	await_stat(holder, "queues.writer", 2);
	ask(other, "commit");
	expect_error(third, culprit, POOLITE_CONSTRAINT, NULL);
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 6}");
	CHECK_EQ(stat_of(holder, "groups.replays"), 1);
	expect_count(6);
}

/* ---- deadlines and cancel -------------------------------------------------------------------- */

Test(broker_chunks, deadline_passes_while_one_waits)
{
	char holds[40];

	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2, `timeout_ms`: 300}]");
	snprintf(holds, sizeof holds, "pid %d (", (int)getpid());
	expect_part(writer, batch, POOLITE_POOL_TIMEOUT, 2, holds);
	ask(other, "rollback");
	expect_count(2);
}

Test(broker_chunks, wait_of_one_is_bounded_by_itself)
{
	poolited_end(&broker);
	poolited_start(&broker, "--connection-timeout", "0.5");
	make_table();
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 4}]");
	/* Not what it has waited and run before. */
	expect_part(
	    writer, batch, POOLITE_POOL_TIMEOUT, 4, "waited 0.5 s for the writer");
	ask(other, "rollback");
	expect_count(4);
}

Test(broker_chunks, deadline_passes_while_one_runs)
{
	expect_part(writer,
	    wire_send(writer, "batch",
		"[" MANY ", [[1], [1], [1], [1], [1], [" ENDLESS "], [1]],"
		" {`chunk_rows`: 2, `timeout_ms`: 500}]"),
	    POOLITE_QUERY_TIMEOUT, 4, "(row 6 of 7)");
	expect_count(4);
}

Test(broker_chunks, cancel_ends_it_while_one_waits)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	CHECK_TEXT(call(writer, "cancel", "[%u]", batch), "true");
	expect_part(writer, batch, POOLITE_CANCELLED, 2, NULL);
	ask(other, "rollback");
	expect_count(2);
}

Test(broker_chunks, cancel_ends_it_while_one_runs)
{
	batch = wire_send(writer, "batch",
	    "[" MANY ", [[1], [1], [" ENDLESS "], [1]], {`chunk_rows`: 2}]");
	await_stat(holder, "groups.chunks", 1);
	CHECK_TEXT(call(writer, "cancel", "[%u]", batch), "true");
	expect_part(writer, batch, POOLITE_CANCELLED, 2, NULL);
	expect_count(2);
}

/* ---- ends ------------------------------------------------------------------------------------- */

Test(broker_chunks, are_carried_out_when_the_client_has_gone)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	wire_close(writer);
	ask(other, "commit");
	await_stat_is(holder, "sessions.open", 2);
	expect_count(6);
}

Test(broker_chunks, of_a_half_closed_client_are_answered)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	wire_half_close(writer);
	ask(other, "commit");
	expect_ok(writer, batch);
	expect_end(writer);
}

Test(broker_chunks, are_finished_by_a_broker_that_stops)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 1}]");
	kill(broker.pid, SIGTERM);
	poolited_await_log(&broker, "stopping");
	ask(other, "commit");
	expect_result(writer, batch, "{`changes`: 6, `last_insert_id`: 6}");
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 6);
}

Test(broker_chunks, end_in_part_when_the_grace_is_over)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	kill(broker.pid, SIGTERM);
	poolited_await_log(&broker, "stopping");
	kill(broker.pid, SIGTERM);
	expect_part(writer, batch, POOLITE_SHUTTING_DOWN, 2, NULL);
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 2);
}

Test(broker_chunks, running_one_ends_in_part_when_the_grace_is_over)
{
	batch = wire_send(writer, "batch",
	    "[" MANY ", [[1], [1], [" ENDLESS "], [1]], {`chunk_rows`: 2}]");
	await_stat(holder, "groups.chunks", 1);
	kill(broker.pid, SIGTERM);
	poolited_await_log(&broker, "stopping");
	kill(broker.pid, SIGTERM);
	expect_part(writer, batch, POOLITE_SHUTTING_DOWN, 2, NULL);
	CHECK_EQ(poolited_wait(&broker), 0);
	CHECK_EQ(direct_number(broker.database, "SELECT count(*) FROM t"), 2);
}

Test(broker_chunks, committed_ones_survive_a_kill)
{
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	poolited_kill(&broker);
	poolited_run(&broker);
	expect_number(wire_open(&broker), 2, "SELECT count(*) FROM t");
}

/* ---- faults ----------------------------------------------------------------------------------- */

Test(broker_chunks, of_unknown_outcome_say_which_are_in_for_certain)
{
	char moved[100];
	const struct reply *reply;
	int64_t found;

	snprintf(moved, sizeof moved, "%s.moved", broker.database);
	stand_between("[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	CHECK_EQ(rename(broker.database, moved), 0);
	ask(other, "rollback");
	reply = wire_receive(writer, batch);
	CHECK_EQ(reply->failure.code, POOLITE_OUTCOME_UNKNOWN);
	CHECK(reply->failure.is_unknown, "done is not \"unknown\"");
	CHECK_EQ(reply->failure.rows_done, 2);
	refused(holder, POOLITE_STORAGE, NULL, "batch",
	    "[" INSERT ", " SIX ", {`chunk_rows`: 2}]");
	CHECK_EQ(poolited_stop(&broker), 0);
	CHECK_EQ(rename(moved, broker.database), 0);
	poolited_run(&broker);
	found = number(wire_open(&broker), "SELECT count(*) FROM t");
	CHECK(found == 2 || found == 4, "%lld rows", (long long)found);
}
