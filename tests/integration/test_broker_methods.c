/* Every method of the protocol against a real broker: what it answers, and that
 * it is what SQLite itself answers.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a;

static void set_up(void)
{
	poolited_start(&broker);
	a = wire_open(&broker);
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_methods, .init = set_up, .fini = tear_down, .timeout = 60);

/* ---- about the broker ------------------------------------------------------- */

Test(broker_methods, hello_tells_who_serves_and_under_which_limits)
{
	const char *hello = ask(a, "hello");

	CHECK_HAS(hello, "{`server`: `poolite`, `version`: `0.");
	CHECK_HAS(hello, "`protocol`: 1");
	CHECK_HAS(hello, "`sqlite`: `3.");
	CHECK_HAS(hello, "`timeout_ms`");
	CHECK_HAS(hello, "`max_frame_bytes`: 16777216");
	CHECK_HAS(hello, "`session`: 1");
	CHECK_HAS(hello, "`key`: `");
}

Test(broker_methods, sessions_have_numbers_and_keys_of_their_own)
{
	const char *first = ask(a, "hello");
	const char *second = ask(wire_open(&broker), "hello");

	CHECK(strcmp(strstr(first, "`session`"), strstr(second, "`session`")) != 0,
	    "two sessions alike: %s", first);
	CHECK(strcmp(strstr(first, "`key`"), strstr(second, "`key`")) != 0,
	    "two keys alike: %s", first);
}

Test(broker_methods, ping_gives_pong)
{
	expect_result(a, wire_bare(a, "ping"), "`pong`");
}

Test(broker_methods, method_may_be_bin)
{
	wire_send_message(a, "[0, 5, x'70696e67', []]");
	expect_result(a, 5, "`pong`");
}

/* ---- statements --------------------------------------------------------------- */

Test(broker_methods, query_answers_columns_and_rows)
{
	CHECK_TEXT(
	    run(a, "query", "SELECT 1 AS one, 'x' AS two UNION ALL SELECT 2, NULL"),
	    "{`columns`: [`one`, `two`], `rows`: [[1, `x`], [2, null]]}");
}

Test(broker_methods, columns_are_told_without_rows_and_may_repeat)
{
	CHECK_TEXT(run(a, "query", "SELECT 1 AS a, 2 AS a, 3 WHERE 0"),
	    "{`columns`: [`a`, `a`, `3`], `rows`: []}");
}

Test(broker_methods, query_that_writes_tells_what_it_wrote)
{
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	CHECK_TEXT(
	    run(a, "query", "INSERT INTO t (x) VALUES (7), (8) RETURNING id, x * 2 AS y"),
	    "{`columns`: [`id`, `y`], `rows`: [[1, 14], [2, 16]], `changes`: 2, "
	    "`last_insert_id`: 2}");
	CHECK_TEXT(run(a, "query", "DELETE FROM t"),
	    "{`columns`: [], `rows`: [], `changes`: 2, `last_insert_id`: 0}");
}

Test(broker_methods, values_come_back_as_they_went)
{
	static const char *const values[] = {"null", "0", "-1", "9223372036854775807",
	    "-9223372036854775808", "0.25", "-2.0", "1e+300", "inf", "-inf", "``",
	    "`text \xc3\xa9 \xf0\x9f\x98\x80`", "x''", "x'00ff10'"};

	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	for (unsigned i = 0; i < sizeof values / sizeof *values; i++) {
		char wanted[100];
		call(a, "update", "[`INSERT INTO t VALUES (?, ?)`, [%u, %s]]", i,
		    values[i]);
		snprintf(wanted, sizeof wanted, "[[%s]]", values[i]);
		expect_rows(a, wanted, "SELECT x FROM t WHERE id = %u", i);
	}
}

Test(broker_methods, values_that_have_no_type_of_their_own_are_taken_as_the_nearest)
{
	CHECK_TEXT(call(a, "query", "[`SELECT ?, ?, typeof(?)`, [true, false, nan]]"),
	    "{`columns`: [`?`, `?`, `typeof(?)`], `rows`: [[1, 0, `null`]]}");
	expect_rows(a, "[[x'ff41']]", "SELECT CAST(x'ff41' AS TEXT)");
}

Test(broker_methods, arguments_go_by_position_or_name)
{
	static const char *const forms[] = {"[`SELECT ?1 - ?2`, [9, 2]]",
	    "[`SELECT ? - ?`, [9, 2]]", "[`SELECT :x - :y`, {`y`: 2, `x`: 9}]",
	    "[`SELECT :x - @y`, {`@y`: 2, `:x`: 9}]", "[`SELECT $x - 2`, {`$x`: 9}]",
	    "[`SELECT :x - 2`, [9]]", "[`SELECT 7`, null]", "[`SELECT 7`, []]",
	    "[`SELECT 7`, {}, null]", "[`SELECT 7`, null, {}, null, null]"};

	for (unsigned i = 0; i < sizeof forms / sizeof *forms; i++)
		CHECK_HAS(call(a, "query", "%s", forms[i]), "`rows`: [[7]]");
}

/* A text, and the changes and last_insert_id it must be answered with. */
static const struct {
	const char *sql;
	int changes, id;
} rules[] = {
    {"CREATE TABLE t (id INTEGER PRIMARY KEY, k UNIQUE, n)", 0, 0},
    {"INSERT INTO t (k) VALUES ('a')", 1, 1},
    {"INSERT INTO t (k) VALUES ('b'), ('c')", 2, 3},
    {"WITH v(x) AS (SELECT 'd') INSERT INTO t (k) SELECT x FROM v", 1, 4},
    {"UPDATE t SET n = 1", 4, 0},
    {"DELETE FROM t WHERE k = 'c'", 1, 0},
    {"DELETE FROM t WHERE k = 'none'", 0, 0},
    {"INSERT OR IGNORE INTO t (k) VALUES ('a')", 0, 0},
    {"INSERT INTO t (k) SELECT 'none' WHERE 0", 0, 0},
    {"REPLACE INTO t (id, k) VALUES (1, 'a')", 1, 1},
    {"INSERT INTO t (k) VALUES ('b') ON CONFLICT (k) DO UPDATE SET n = 9", 1, 0},
    {"INSERT INTO t (k) VALUES ('b') ON CONFLICT (k) DO NOTHING", 0, 0},
    {"INSERT INTO t (k) SELECT k || k FROM t", 3, 7},
    {"CREATE TABLE log (id INTEGER PRIMARY KEY, x)", 0, 0},
    {"INSERT INTO log VALUES (100, 0)", 1, 100},
    {"CREATE TRIGGER tr AFTER INSERT ON t BEGIN INSERT INTO log (x) VALUES (1), (2); END",
	0, 0},
    {"INSERT INTO t (k) VALUES ('z')", 1, 8},
    {"CREATE VIEW v AS SELECT * FROM t", 0, 0},
    {"CREATE TRIGGER vt INSTEAD OF INSERT ON v BEGIN INSERT INTO log (x) VALUES (3); END",
	0, 0},
    {"INSERT INTO v (k) VALUES ('y')", 0, 0},
    {"CREATE TABLE w (k PRIMARY KEY) WITHOUT ROWID", 0, 0},
    {"INSERT INTO w VALUES (1)", 1, 0},
    {"CREATE TABLE copy AS SELECT * FROM t", 0, 0},
    {"ALTER TABLE copy ADD COLUMN more", 0, 0},
    {"CREATE INDEX copy_k ON copy (k)", 0, 0},
    {"PRAGMA user_version = 5", 0, 0},
    {"INSERT INTO t (k) SELECT 5000", 1, 9},
    {"DROP TABLE copy", 0, 0},
    {"DELETE FROM t", 8, 0},
};

Test(broker_methods, update_tells_changes_and_last_insert_id)
{
	char wanted[80];

	for (unsigned i = 0; i < sizeof rules / sizeof *rules; i++) {
		uint32_t msgid = wire_sql(a, "update", "%s", rules[i].sql);
		snprintf(wanted, sizeof wanted, "{`changes`: %d, `last_insert_id`: %d}",
		    rules[i].changes, rules[i].id);
		CHECK(strcmp(expect_ok(a, msgid), wanted) == 0,
		    "%s\nis answered with other than %s", rules[i].sql, wanted);
	}
}

Test(broker_methods, batch_runs_once_per_list)
{
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	CHECK_TEXT(call(a, "batch", "[`INSERT INTO t (x) VALUES (?)`, [[1], [2], [3]]]"),
	    "{`changes`: 3, `last_insert_id`: 3}");
	CHECK_TEXT(call(a, "batch", "[`INSERT INTO t (x) VALUES (:x)`, [{`x`: 4}, [5]]]"),
	    "{`changes`: 2, `last_insert_id`: 5}");
	CHECK_TEXT(call(a, "batch", "[`DELETE FROM t WHERE x < 3`, [null, []]]"),
	    "{`changes`: 2, `last_insert_id`: 0}");
	CHECK_TEXT(call(a, "batch", "[`INSERT INTO t (x) VALUES (?)`, []]"),
	    "{`changes`: 0, `last_insert_id`: 0}");
	expect_rows(a, "[[3], [4], [5]]", "SELECT x FROM t ORDER BY x");
}

Test(broker_methods, transaction_gives_one_result_per_statement)
{
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	CHECK_TEXT(call(a, "transaction",
		       "[[[`INSERT INTO t (x) VALUES (?)`, [5]],"
		       "[`SELECT last_insert_rowid(), changes()`],"
		       "[`UPDATE t SET x = 6 RETURNING x`, []]]]"),
	    "{`results`: [{`changes`: 1, `last_insert_id`: 1}, "
	    "{`columns`: [`last_insert_rowid()`, `changes()`], `rows`: [[1, 1]]}, "
	    "{`columns`: [`x`], `rows`: [[6]], `changes`: 1, `last_insert_id`: 0}]}");
	CHECK_TEXT(call(a, "transaction", "[[]]"), "{`results`: []}");
}

Test(broker_methods, script_runs_many_statements)
{
	CHECK_TEXT(
	    run(a, "script",
		"CREATE TABLE t (x); -- a comment; with a semicolon\n"
		"INSERT INTO t VALUES (1), (2);;\n SELECT * FROM t; UPDATE t SET x = 3"),
	    "{`statements`: 4, `changes`: 4}");
	refused(a, POOLITE_BAD_REQUEST, "empty", "script", "[` ; -- nothing`]");
}

Test(broker_methods, begin_commit_and_rollback)
{
	update(a, "CREATE TABLE t (x)");
	CHECK_TEXT(ask(a, "begin"), "{`mode`: `write`}");
	update(a, "INSERT INTO t VALUES (1)");
	CHECK_TEXT(ask(a, "commit"), "null");
	CHECK_TEXT(call(a, "begin", "[{`mode`: `write`}]"), "{`mode`: `write`}");
	update(a, "INSERT INTO t VALUES (2)");
	CHECK_TEXT(ask(a, "rollback"), "null");
	CHECK_TEXT(call(a, "begin", "[{`mode`: `read`}]"), "{`mode`: `read`}");
	expect_rows(a, "[[1]]", "SELECT x FROM t");
	CHECK_TEXT(ask(a, "commit"), "null");
}

Test(broker_methods, cancel_of_nothing_is_false)
{
	CHECK_TEXT(call(a, "cancel", "[77]"), "false");
}

Test(broker_methods, stats_and_health_have_the_pool_s_six_figures)
{
	static const char *const keys[] = {"`pool_size`: ", "`max_connections`: 10",
	    "`active_connections`: ", "`total_connections_created`: ",
	    "`connection_timeout`: 30", "`last_health_check`: "};
	const char *stats = ask(a, "stats"), *health = ask(a, "health");

	CHECK_HAS(health,
	    "{`status`: `healthy`, `database`: `connected`, `database_pool`: `ready`, "
	    "`database_pool_stats`: {");
	for (unsigned i = 0; i < 6; i++) {
		CHECK_HAS(stats, keys[i]);
		CHECK_HAS(health, keys[i]);
	}
}

/* ---- as SQLite itself -------------------------------------------------------------- */

static const char schema[] =
    "CREATE TABLE leads (id INTEGER PRIMARY KEY AUTOINCREMENT, title TEXT NOT NULL,"
    "  source TEXT DEFAULT 'serp', score REAL, raw BLOB, created_at);"
    "CREATE INDEX by_source ON leads (source);"
    "CREATE VIEW best AS SELECT * FROM leads WHERE score > 0.5;"
    "INSERT INTO leads (title, score, raw) VALUES ('a', 0.1, x'00'), ('b', 0.75, NULL);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)"
    "  INSERT INTO leads (title, source, score, raw)"
    "  SELECT 'lead ' || i, 'source ' || (i % 7), i / 500.0, CAST(i AS BLOB) FROM n;"
    "UPDATE leads SET created_at = '2024-01-01' WHERE id % 3 = 0;"
    "DELETE FROM leads WHERE id % 50 = 0";

Test(broker_methods, pooled_results_are_those_of_a_direct_connection)
{
	static const char *const queries[] = {
	    "SELECT * FROM leads ORDER BY id",
	    "SELECT * FROM leads WHERE source = 'source 3' ORDER BY score DESC LIMIT 20",
	    "SELECT source, count(*), avg(score), min(title), max(id) FROM leads GROUP BY 1",
	    "SELECT count(*), sum(score), total(length(raw)) FROM best",
	    "SELECT a.id, b.title FROM leads a LEFT JOIN leads b ON b.id = a.id * 100",
	    "SELECT json_group_array(title) FROM leads WHERE id < 5",
	    "SELECT id, row_number() OVER (PARTITION BY source ORDER BY id) FROM leads",
	    "SELECT name, sql FROM sqlite_schema ORDER BY name",
	    "PRAGMA table_info(leads)",
	    "SELECT * FROM leads WHERE 0",
	};
	char path[100];
	sqlite3 *db;

	snprintf(path, sizeof path, "%s/direct.db", broker.folder);
	CHECK_EQ(sqlite3_open(path, &db), SQLITE_OK);
	direct_run(db, schema);
	run(a, "script", "%s", schema);
	for (unsigned i = 0; i < sizeof queries / sizeof *queries; i++) {
		char *rows = direct_rows(db, queries[i]);
		expect_rows(a, rows, "%s", queries[i]);
		free(rows);
	}
	direct_close(db);
}

Test(broker_methods, sqlite_shell_finds_what_the_broker_wrote)
{
	char *rows;
	sqlite3 *db;

	run(a, "script", "%s", schema);
	db = direct_open(broker.database);
	rows = direct_rows(db, "SELECT count(*), max(id) FROM leads");
	expect_rows(a, rows, "SELECT count(*), max(id) FROM leads");
	free(rows);
	direct_close(db);
}
