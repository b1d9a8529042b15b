/* Scripts as people have them: dumps of the sqlite3 shell, migrations, rebuilt tables. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

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

TestSuite(broker_script, .init = set_up, .fini = tear_down, .timeout = 60);

/* Parents and children in an order that foreign keys would not allow. */
static const char library[] =
    "CREATE TABLE book (id INTEGER PRIMARY KEY, author REFERENCES writer ON DELETE CASCADE, title);"
    "CREATE TABLE writer (id INTEGER PRIMARY KEY, name UNIQUE);"
    "CREATE INDEX by_title ON book (title);"
    "CREATE TRIGGER shout AFTER INSERT ON writer WHEN new.name = ';' BEGIN"
    "  UPDATE writer SET name = 'semi; colon' WHERE id = new.id; SELECT 1; END;"
    "CREATE VIEW titles AS SELECT name, title FROM book JOIN writer ON author = writer.id;"
    "INSERT INTO writer VALUES (1, 'Kästner'), (2, ';'), (3, 'O''Neill');"
    "INSERT INTO book VALUES (1, 1, 'Emil; und'), (2, 3, x'00ff'), (3, 1, NULL);"
    "PRAGMA user_version = 12;";

Test(broker_script, dump_of_the_sqlite3_shell_is_restored)
{
	static char dump[1 << 16];
	char path[100];
	sqlite3 *old;
	char *rows;

	snprintf(path, sizeof path, "%s/old.db", broker.folder);
	CHECK_EQ(sqlite3_open(path, &old), SQLITE_OK);
	direct_run(old, library);
	CHECK_EQ(program_run((const char *[]){"sqlite3", path, ".dump", NULL}, NULL, dump,
		     sizeof dump),
	    0);
	CHECK_HAS(dump, "PRAGMA foreign_keys=OFF;\nBEGIN TRANSACTION;");
	run(a, "script", "%s", dump);
	for (unsigned i = 0; i < 4; i++) {
		static const char *const queries[] = {"SELECT * FROM book ORDER BY id",
		    "SELECT * FROM writer ORDER BY id", "SELECT * FROM titles ORDER BY 2",
		    "SELECT type, name, tbl_name FROM sqlite_schema ORDER BY name"};
		rows = direct_rows(old, queries[i]);
		expect_rows(a, rows, "%s", queries[i]);
		free(rows);
	}
	direct_close(old);
	refused(a, POOLITE_CONSTRAINT, "FOREIGN KEY", "update",
	    "[`INSERT INTO book VALUES (9, 9, 9)`]");
}

Test(broker_script, enclosing_begin_and_commit_are_taken_as_meant)
{
	CHECK_TEXT(run(a, "script",
		       "BEGIN; CREATE TABLE t (x); INSERT INTO t VALUES (1); COMMIT;"),
	    "{`statements`: 2, `changes`: 1}");
	CHECK_TEXT(
	    run(a, "script",
		"-- a migration\nBEGIN IMMEDIATE TRANSACTION;\nUPDATE t SET x = 2;\n"
		"END TRANSACTION;\n-- the end"),
	    "{`statements`: 1, `changes`: 1}");
	CHECK_TEXT(run(a, "script",
		       "pragma foreign_keys = 0; begin; update t set x = 3; commit; "
		       "PRAGMA foreign_keys=on"),
	    "{`statements`: 1, `changes`: 1}");
	expect_rows(a, "[[3]]", "SELECT x FROM t");
}

Test(broker_script, transactions_in_its_midst_are_not_allowed)
{
	static const char *const texts[] = {
	    "CREATE TABLE t (x); BEGIN; INSERT INTO t VALUES (1); COMMIT",
	    "CREATE TABLE t (x); COMMIT",
	    "BEGIN; CREATE TABLE t (x); COMMIT; CREATE TABLE u (x)",
	    "BEGIN; CREATE TABLE t (x); COMMIT; BEGIN; CREATE TABLE u (x); COMMIT",
	    "BEGIN; CREATE TABLE t (x); ROLLBACK",
	    "CREATE TABLE t (x); SAVEPOINT s",
	};

	for (unsigned i = 0; i < sizeof texts / sizeof *texts; i++) {
		const struct reply *reply =
		    wire_receive(a, wire_sql(a, "script", "%s", texts[i]));
		CHECK(reply->failure.code == POOLITE_NOT_ALLOWED ||
			reply->failure.code == POOLITE_BAD_REQUEST,
		    "%s: %s %s", texts[i], poolite__code_name(reply->failure.code),
		    reply->failure.message);
		expect_number(a, 0, "SELECT count(*) FROM sqlite_schema");
	}
}

Test(broker_script, error_anywhere_undoes_all_of_it)
{
	run(a, "script", "%s", library);
	refused(a, POOLITE_SQL_ERROR, "nowhere", "script",
	    "[`DROP TABLE book; CREATE TABLE t (x); PRAGMA user_version = 13;"
	    " INSERT INTO nowhere VALUES (1)`]");
	refused(a, POOLITE_CONSTRAINT, "UNIQUE", "script",
	    "[`DELETE FROM book; INSERT OR ROLLBACK INTO writer VALUES (1, 'x')`]");
	refused(a, POOLITE_NOT_ALLOWED, NULL, "script", "[`DELETE FROM book; VACUUM`]");
	expect_number(a, 3, "SELECT count(*) FROM book");
	expect_number(a, 12, "PRAGMA user_version");
	expect_number(a, 0, "SELECT count(*) FROM sqlite_schema WHERE name = 't'");
}

/* SQLite's recipe for what ALTER TABLE cannot do. */
#define REBUILD                                                                          \
	"DROP VIEW IF EXISTS titles;"                                                    \
	"CREATE TABLE fresh (id INTEGER PRIMARY KEY, name UNIQUE, born);"                \
	"INSERT INTO fresh SELECT id, name, 0 FROM writer;"                              \
	"DROP TABLE writer; ALTER TABLE fresh RENAME TO writer;"

Test(broker_script, rebuilt_parent_does_not_cascade)
{
	run(a, "script", "%s", library);
	call(a, "script", "[`" REBUILD "`, {`foreign_keys`: false}]");
	expect_number(a, 3, "SELECT count(*) FROM book");
	run(a, "script",
	    "PRAGMA foreign_keys=OFF; BEGIN; " REBUILD "COMMIT; PRAGMA foreign_keys=ON;");
	expect_number(a, 3, "SELECT count(*) FROM book");
	expect_number(a, 3, "SELECT count(*) FROM writer WHERE born = 0");
	update(a, "DELETE FROM writer WHERE id = 1");
	expect_rows(a, "[[2]]", "SELECT id FROM book");
}

Test(broker_script, violations_it_leaves_behind_are_a_constraint_error)
{
	run(a, "script", "%s", library);
	CHECK_EQ(expect_error(a,
		     wire_send(a, "script",
			 "[`DELETE FROM writer WHERE id = 1`, {`foreign_keys`: false}]"),
		     POOLITE_CONSTRAINT, "FOREIGN KEY")
		     ->failure.sqlite,
	    787);
	refused(a, POOLITE_CONSTRAINT, "FOREIGN KEY", "script",
	    "[`PRAGMA foreign_keys=OFF; INSERT INTO book VALUES (7, 77, 7)`]");
	expect_rows(a, "[[3, 3]]",
	    "SELECT (SELECT count(*) FROM book), (SELECT count(*) FROM writer)");
}

Test(broker_script, keys_are_on_again_after_it)
{
	run(a, "script", "%s", library);
	call(a, "script", "[`UPDATE book SET title = 'x'`, {`foreign_keys`: false}]");
	refused(a, POOLITE_SQL_ERROR, NULL, "script",
	    "[`DELETE FROM nowhere`, {`foreign_keys`: false}]");
	refused(a, POOLITE_CONSTRAINT, "FOREIGN KEY", "update",
	    "[`INSERT INTO book VALUES (9, 9, 9)`]");
	update(a, "DELETE FROM writer WHERE id = 1");
	expect_rows(a, "[[2]]", "SELECT id FROM book");
}

Test(broker_script, violations_that_were_there_before_are_no_error)
{
	sqlite3 *db;

	run(a, "script", "%s", library);
	db = direct_open(broker.database);
	direct_run(
	    db, "PRAGMA foreign_keys = OFF; INSERT INTO book VALUES (8, 88, 'orphan')");
	direct_close(db);
	call(a, "script", "[`UPDATE book SET title = 'x'`, {`foreign_keys`: false}]");
	update(a, "DELETE FROM book WHERE id = 8");
}

Test(broker_script, others_writes_wait_for_it_and_keep_their_keys)
{
	struct wire *b = wire_open(&broker), *c = wire_open(&broker);
	uint32_t script, orphan;

	run(a, "script", "%s", library);
	ask(a, "begin");
	script = wire_send(
	    b, "script", "[`UPDATE book SET title = 'x'`, {`foreign_keys`: false}]");
	wire_sync(b);
	orphan = wire_sql(c, "update", "INSERT INTO book VALUES (9, 9, 9)");
	wire_sync(c);
	ask(a, "commit");
	CHECK_TEXT(expect_ok(b, script), "{`statements`: 1, `changes`: 3}");
	expect_error(c, orphan, POOLITE_CONSTRAINT, "FOREIGN KEY");
}

Test(broker_script, honest_features_of_sqlite_work)
{
	run(a, "script",
	    "CREATE VIRTUAL TABLE words USING fts5(body);"
	    "INSERT INTO words VALUES ('one two'), ('three');"
	    "CREATE VIRTUAL TABLE area USING rtree(id, x0, x1);"
	    "INSERT INTO area VALUES (1, 0, 5);"
	    "CREATE TABLE s (x INTEGER, y INTEGER AS (x * 2) STORED) STRICT;"
	    "ALTER TABLE s ADD COLUMN z TEXT CHECK (z <> '');"
	    "ALTER TABLE s RENAME COLUMN x TO w; ALTER TABLE s DROP COLUMN z;"
	    "INSERT INTO s (w) VALUES (4); ANALYZE; REINDEX;"
	    "CREATE VIEW j AS SELECT json_extract('{\"a\":[7]}', '$.a[0]') AS a;");
	expect_rows(a, "[[`one two`]]", "SELECT body FROM words WHERE words MATCH 'two'");
	expect_rows(a, "[[1]]", "SELECT id FROM area WHERE x1 > 4");
	expect_rows(a, "[[4, 8]]", "SELECT * FROM s");
	expect_rows(a, "[[7]]", "SELECT a FROM j");
	expect_number(a, 1,
	    "SELECT count(*) FROM words WHERE body MATCH 'three' "
	    "AND highlight(words, 0, '[', ']') = '[three]'");
}
