/* SQL's first words: read as SQLite reads them, which is asked itself where it can tell. */
#include <criterion/criterion.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

#include "broker/db/sql_text.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BOM          "\xef\xbb\xbf"

/* ${sql} in memory that ends where the text does: a byte read too far is seen under ASan. */
static char *exact(const char *sql)
{
	size_t len = strlen(sql);
	char *copy = malloc(len > 0 ? len : 1);

	memcpy(copy, sql, len);
	return copy;
}

static bool is_blank(const char *sql)
{
	char *copy = exact(sql);
	bool blank = sql_text_is_blank(copy, strlen(sql));

	free(copy);
	return blank;
}

static bool is_vacuum(const char *sql)
{
	char *copy = exact(sql);
	bool vacuum = sql_text_is_vacuum(copy, strlen(sql));

	free(copy);
	return vacuum;
}

static bool calls_changes(const char *sql)
{
	static const char *const names[] = {"total_changes", "changes", NULL};
	char *copy = exact(sql);
	bool calls = sql_text_calls(copy, strlen(sql), names);

	free(copy);
	return calls;
}

/* SQLite's own opinion: it compiles ${sql} to no statement at all. */
static bool sqlite_finds_nothing(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	const char *tail = sql;
	int rc = SQLITE_OK;

	while (rc == SQLITE_OK && stmt == NULL && *tail != '\0')
		rc = sqlite3_prepare_v2(db, tail, -1, &stmt, &tail);
	sqlite3_finalize(stmt);
	return rc == SQLITE_OK && stmt == NULL;
}

Test(sql_text, knows_a_blank_text_as_sqlite_does)
{
	static const struct {
		const char *sql;
		bool blank;
	} cases[] = {
	    {"", true},
	    {" ", true},
	    {" \t\n\f\r", true},
	    {"\v", false},
	    {" \v", true},
	    {";", true},
	    {" ; ;\n;", true},
	    {"--", true},
	    {"-- all of it ; SELECT 1", true},
	    {"-- one line\nSELECT 1", false},
	    {"-", false},
	    {"/**/", true},
	    {"/* a */ ; /* b", true},
	    {"/*/", true},
	    {"/*", false},
	    {"/* ", true},
	    {"/", false},
	    {"/* a */ 1", false},
	    {"/* -- */ SELECT 1", false},
	    {"/***/x", false},
	    {BOM, true},
	    {BOM ";" BOM " -- x", true},
	    {"\xef\xbb", false},
	    {"\xef", false},
	    {"SELECT 1", false},
	    {"''", false},
	    {"\"", false},
	    {"[", false},
	};
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_eq(
		    is_blank(cases[i].sql), cases[i].blank, "'%s'", cases[i].sql);
		cr_expect_eq(sqlite_finds_nothing(db, cases[i].sql), cases[i].blank,
		    "SQLite sees '%s' another way", cases[i].sql);
	}
	sqlite3_close(db);
}

Test(sql_text, knows_a_vacuum_in_every_spelling)
{
	static const char *const vacuums[] = {
	    "VACUUM",
	    "vacuum",
	    "VaCuUm main",
	    "VACUUM INTO 'copy'",
	    ";;VACUUM",
	    " ;\n-- x\n/* y */VACUUM;",
	    BOM "VACUUM",
	    "/**/VACUUM/**/",
	    "/***/VACUUM",
	    " \vVACUUM",
	    "EXPLAIN VACUUM",
	    "explain/**/vacuum",
	    "EXPLAIN QUERY PLAN VACUUM",
	    ";EXPLAIN--\nQUERY/**/PLAN\nVACUUM",
	    "VACUUM'x'",
	    "VACUUM\"main\"",
	    "VACUUM/*",
	};
	static const char *const others[] = {
	    "",
	    "SELECT 'VACUUM'",
	    "\"VACUUM\"",
	    "[VACUUM]",
	    "'VACUUM'",
	    "VACUUMS",
	    "VACUUM$",
	    "VACUUM1",
	    "VACUUM\xc3\xa4",
	    "-- VACUUM",
	    "/* VACUUM */",
	    "/* VACUUM",
	    "SELECT 1; VACUUM",
	    "EXPLAIN; VACUUM",
	    "EXPLAIN SELECT 1",
	    "EXPLAIN QUERY PLAN SELECT 1",
	    "x'00'VACUUM",
	    "1VACUUM",
	    "$VACUUM",
	};

	for (size_t i = 0; i < COUNT(vacuums); i++)
		cr_expect(is_vacuum(vacuums[i]), "not known: %s", vacuums[i]);
	for (size_t i = 0; i < COUNT(others); i++)
		cr_expect_not(is_vacuum(others[i]), "taken for one: %s", others[i]);
}

Test(sql_text, knows_a_verb_by_its_first_word)
{
	static const struct {
		const char *sql;
		enum sql_text_verb verb;
	} cases[] = {
	    {"INSERT INTO t VALUES(1)", SQL_VERB_INSERT},
	    {";; replace INTO t VALUES(1)", SQL_VERB_INSERT},
	    {"/* x */Update t SET a=1", SQL_VERB_CHANGE},
	    {BOM "DELETE FROM t", SQL_VERB_CHANGE},
	    {"WITH a AS (SELECT 1) DELETE FROM t", SQL_VERB_WITH},
	    {"CREATE TABLE t(a)", SQL_VERB_DDL},
	    {"drop TABLE t", SQL_VERB_DDL},
	    {"ALTER TABLE t RENAME TO u", SQL_VERB_DDL},
	    {"REINDEX", SQL_VERB_DDL},
	    {"ANALYZE;", SQL_VERB_DDL},
	    {"SAVEPOINT a", SQL_VERB_SAVEPOINT},
	    {"RELEASE a", SQL_VERB_SAVEPOINT},
	    {"ROLLBACK TO a", SQL_VERB_SAVEPOINT},
	    {"EXPLAIN INSERT INTO t VALUES(1)", SQL_VERB_OTHER},
	    {"SELECT 1", SQL_VERB_OTHER},
	    {"'INSERT'", SQL_VERB_OTHER},
	    {"\"INSERT\"", SQL_VERB_OTHER},
	    {"INSERTS", SQL_VERB_OTHER},
	    {"-- INSERT", SQL_VERB_OTHER},
	    {"", SQL_VERB_OTHER},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char *copy = exact(cases[i].sql);

		cr_expect_eq(sql_text_verb(copy, strlen(cases[i].sql)), cases[i].verb,
		    "%s", cases[i].sql);
		free(copy);
	}
}

/* Notes whether SQLite itself found a call of changes() or total_changes(). */
static int note_call(void *is_called, int action, const char *a, const char *b,
    const char *schema, const char *inner)
{
	(void)a;
	(void)schema;
	(void)inner;
	if (action == SQLITE_FUNCTION && strstr("total_changes", b) != NULL)
		*(bool *)is_called = true;
	return SQLITE_OK;
}

Test(sql_text, finds_calls_exactly_where_sqlite_does)
{
	static const char *const items[] = {"1", "changes()", "CHANGES ()",
	    "\"changes\"()", "[changes] ()", "`Total_Changes`/* ( */()", "changes--\n()",
	    "1 AS changes", "'changes()'", "'it''s changes()'", "\"a\"\"changes()\"",
	    "1 AS [changes(]", "1 AS [;]", "';'", "/* ; changes() */ 2", "$x(')",
	    "$x(changes(;)", ":a::b(')", "@changes", "@changes()", "#x(changes();)", "?1",
	    "x'00'", "X'ab'", "1.5e3", "0x1f", "abs(1)", "(1)", "-1 AS \"(\"", "1 -> '$'",
	    "2-- changes()\n", BOM "3", "4 \v", "(SELECT changes())", "`a``b`"};
	static const char *const ends[] = {
	    "", ";", " ; SELECT changes()", "/* changes()"};
	unsigned long random = 1;
	size_t calls = 0, plain = 0;
	bool is_called;
	sqlite3 *db;

	cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	sqlite3_set_authorizer(db, note_call, &is_called);
	for (int round = 0; round < 20000; round++) {
		char sql[512] = "SELECT ";
		sqlite3_stmt *stmt = NULL;

		for (int i = 0; i < 4; i++) {
			random = random * 6364136223846793005UL + 1442695040888963407UL;
			strcat(sql, i > 0 ? ", " : "");
			strcat(sql, items[(random >> 33) % COUNT(items)]);
		}
		strcat(sql, ends[(random >> 45) % COUNT(ends)]);
		is_called = false;
		if (sqlite3_prepare_v2(db, sql, -1, &stmt, NULL) != SQLITE_OK)
			continue;
		sqlite3_finalize(stmt);
		cr_assert_eq(calls_changes(sql), is_called, "%s", sql);
		*(is_called ? &calls : &plain) += 1;
	}
	sqlite3_close(db);
	cr_assert(
	    calls > 1000 && plain > 1000, "%zu with a call, %zu without", calls, plain);
}

Test(sql_text, sees_no_call_where_none_can_be)
{
	static const char *const others[] = {"", "changes", "changes)", "'changes'()",
	    "SELECT 1; SELECT changes()", "-- changes()", "/* changes()", "xchanges()",
	    "changes1()", "\"changes()", "[changes (", "\"chan\"\"ges\"()",
	    "\"changes\"\"\"()", "\"\"()", "''()", "\"a\"\"changes\"()", "$x(changes()"};

	for (size_t i = 0; i < COUNT(others); i++)
		cr_expect_not(calls_changes(others[i]), "%s", others[i]);
}

struct kind_case {
	const char *sql;
	enum sql_text_kind kind;
	const char *
	    rest; /* of the text behind the statement; for OTHER, from its first token on */
};

static void expect_kinds(const struct kind_case *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		char *copy = exact(cases[i].sql);
		size_t len = strlen(cases[i].sql), start = 99999, end = 99999;

		cr_expect_eq(sql_text_kind(copy, len, &start, &end), cases[i].kind, "%s",
		    cases[i].sql);
		cr_assert(start <= end && end <= len, "%s", cases[i].sql);
		cr_expect_str_eq(cases[i].sql + end, cases[i].rest, "%s", cases[i].sql);
		if (cases[i].kind == SQL_TEXT_OTHER)
			cr_expect_eq(start, end, "%s", cases[i].sql);
		free(copy);
	}
}

Test(sql_text, takes_the_frame_of_a_script_for_what_it_means)
{
	static const struct kind_case cases[] = {
	    {"", SQL_TEXT_END, ""},
	    {" ;; -- x", SQL_TEXT_END, ""},
	    {"BEGIN", SQL_TEXT_BEGIN, ""},
	    {"begin;", SQL_TEXT_BEGIN, ""},
	    {BOM " ;BEGIN TRANSACTION;\nCREATE TABLE t(a);", SQL_TEXT_BEGIN,
		"\nCREATE TABLE t(a);"},
	    {"BEGIN/**/IMMEDIATE--\nTRANSACTION 'a;b' ;x", SQL_TEXT_BEGIN, "x"},
	    {"BEGIN EXCLUSIVE; BEGIN", SQL_TEXT_BEGIN, " BEGIN"},
	    {"BEGIN DEFERRED TRANSACTION [n] /* end", SQL_TEXT_BEGIN, ""},
	    {"COMMIT", SQL_TEXT_COMMIT, ""},
	    {"END TRANSACTION x;y", SQL_TEXT_COMMIT, "y"},
	    {"end ;", SQL_TEXT_COMMIT, ""},
	    {"PRAGMA foreign_keys=OFF;", SQL_TEXT_FOREIGN_KEYS_OFF, ""},
	    {"pragma main . \"Foreign_Keys\" ( 'no' );a", SQL_TEXT_FOREIGN_KEYS_OFF, "a"},
	    {"PRAGMA foreign_keys = 0", SQL_TEXT_FOREIGN_KEYS_OFF, ""},
	    {"PRAGMA foreign_keys(false)", SQL_TEXT_FOREIGN_KEYS_OFF, ""},
	    {"PRAGMA foreign_keys=ON; -- x", SQL_TEXT_FOREIGN_KEYS_ON, " -- x"},
	    {"PRAGMA foreign_keys=+1", SQL_TEXT_FOREIGN_KEYS_ON, ""},
	    {"PRAGMA foreign_keys=255", SQL_TEXT_FOREIGN_KEYS_ON, ""},
	    {"PRAGMA foreign_keys=\"yes\"", SQL_TEXT_FOREIGN_KEYS_ON, ""},
	    {"PRAGMA foreign_keys=TRUE", SQL_TEXT_FOREIGN_KEYS_ON, ""},
	};

	expect_kinds(cases, COUNT(cases));
}

Test(sql_text, takes_what_is_almost_a_frame_for_an_ordinary_statement)
{
	static const struct kind_case cases[] = {
	    {" SELECT 1;", SQL_TEXT_OTHER, "SELECT 1;"},
	    {"BEGINS", SQL_TEXT_OTHER, "BEGINS"},
	    {"'BEGIN'", SQL_TEXT_OTHER, "'BEGIN'"},
	    {"BEGIN x", SQL_TEXT_OTHER, "BEGIN x"},
	    {"BEGIN IMMEDIATE EXCLUSIVE", SQL_TEXT_OTHER, "BEGIN IMMEDIATE EXCLUSIVE"},
	    {"BEGIN TRANSACTION a b", SQL_TEXT_OTHER, "BEGIN TRANSACTION a b"},
	    {"BEGIN SELECT 1; END", SQL_TEXT_OTHER, "BEGIN SELECT 1; END"},
	    {"COMMIT x", SQL_TEXT_OTHER, "COMMIT x"},
	    {"ROLLBACK", SQL_TEXT_OTHER, "ROLLBACK"},
	    {"EXPLAIN BEGIN", SQL_TEXT_OTHER, "EXPLAIN BEGIN"},
	    {"PRAGMA foreign_keys", SQL_TEXT_OTHER, "PRAGMA foreign_keys"},
	    {"PRAGMA foreign_keys=", SQL_TEXT_OTHER, "PRAGMA foreign_keys="},
	    {"PRAGMA foreign_keys=-1", SQL_TEXT_OTHER, "PRAGMA foreign_keys=-1"},
	    {"PRAGMA foreign_keys=maybe", SQL_TEXT_OTHER, "PRAGMA foreign_keys=maybe"},
	    {"PRAGMA foreign_keys=256", SQL_TEXT_OTHER, "PRAGMA foreign_keys=256"},
	    {"PRAGMA foreign_keys=4294967296", SQL_TEXT_OTHER,
		"PRAGMA foreign_keys=4294967296"},
	    {"PRAGMA foreign_keys=1.5", SQL_TEXT_OTHER, "PRAGMA foreign_keys=1.5"},
	    {"PRAGMA foreign_keys(0", SQL_TEXT_OTHER, "PRAGMA foreign_keys(0"},
	    {"PRAGMA foreign_keys=0)", SQL_TEXT_OTHER, "PRAGMA foreign_keys=0)"},
	    {"PRAGMA foreign_keys=0 1", SQL_TEXT_OTHER, "PRAGMA foreign_keys=0 1"},
	    {"PRAGMA temp.foreign_keys=0", SQL_TEXT_OTHER, "PRAGMA temp.foreign_keys=0"},
	    {"PRAGMA foreign_keys_x=0", SQL_TEXT_OTHER, "PRAGMA foreign_keys_x=0"},
	    {"PRAGMA \"foreign_keys\"\"\"=0", SQL_TEXT_OTHER,
		"PRAGMA \"foreign_keys\"\"\"=0"},
	    {"PRAGMA main=foreign_keys=0", SQL_TEXT_OTHER, "PRAGMA main=foreign_keys=0"},
	    {"PRAGMA main", SQL_TEXT_OTHER, "PRAGMA main"},
	};

	expect_kinds(cases, COUNT(cases));
}

Test(sql_text, counts_lines_from_one)
{
	static const char sql[] = "a\nb\r\n\nc";

	cr_expect_eq(sql_text_line(sql, strlen(sql), 0), 1);
	cr_expect_eq(sql_text_line(sql, strlen(sql), 1), 1);
	cr_expect_eq(sql_text_line(sql, strlen(sql), 2), 2);
	cr_expect_eq(sql_text_line(sql, strlen(sql), 6), 4);
	cr_expect_eq(sql_text_line(sql, strlen(sql), 1000), 4);
}
