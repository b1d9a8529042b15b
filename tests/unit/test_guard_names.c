/* What the guard says: which reason, with whose name, and that only characters that can be
 * shown are in it; and what it notes of a text that begins with WITH. */
#include <criterion/criterion.h>
#include <string.h>

#include "broker/db/guard.h"

static sqlite3 *db;
static struct guard guard;

static void set_up(void)
{
	cr_assert_eq(sqlite3_open(":memory:", &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db, "CREATE TABLE t (x)", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_eq(guard_install(&guard, db, true), SQLITE_OK);
}

static void tear_down(void)
{
	sqlite3_close(db);
}

TestSuite(guard_names, .init = set_up, .fini = tear_down);

static int prepare(const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	cr_assert_not(guard_refuses_text(&guard, sql, strlen(sql)));
	rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);
	sqlite3_finalize(stmt);
	return rc;
}

static void expect_refused(const char *sql, const char *part)
{
	cr_expect_neq(prepare(sql), SQLITE_OK, "%s", sql);
	cr_expect(guard.is_refused, "%s", sql);
	cr_expect_not_null(strstr(guard.why, part), "%s: %s", sql, guard.why);
}

Test(guard_names, each_pragma_is_refused_for_its_own_reason)
{
	expect_refused(
	    "PRAGMA cache_size=1", "PRAGMA cache_size is not allowed: clients");
	expect_refused(
	    "PRAGMA foreign_keys=OFF", "foreign keys are the broker's setting");
	expect_refused("PRAGMA writable_schema=ON", "in a .dump");
	expect_refused("PRAGMA page_size=512", "may be read, not set");
}

Test(guard_names, whole_characters_are_shown_and_others_are_not)
{
	static const struct {
		const char *sql, *part;
	} table[] = {
	    {"SAVEPOINT \"poolite \x7e\"", "poolite ~ is"},
	    {"SAVEPOINT \"poolite\x7f\"", "poolite? is"},
	    {"SAVEPOINT \"poolite\x1f\"", "poolite? is"},
	    {"SAVEPOINT \"poolite\xc2\x80\"", "poolite\xc2\x80 is"},
	    {"SAVEPOINT \"poolite\xc1\xbf\"", "poolite?? is"},
	    {"SAVEPOINT \"poolite\xdf\xbf\"", "poolite\xdf\xbf is"},
	    {"SAVEPOINT \"poolite\xe0\xa0\x80\"", "poolite\xe0\xa0\x80 is"},
	    {"SAVEPOINT \"poolite\xf0\x90\x80\x80\"", "poolite\xf0\x90\x80\x80 is"},
	    {"SAVEPOINT \"poolite\xf4\x8f\xbf\xbf\"", "poolite\xf4\x8f\xbf\xbf is"},
	    {"SAVEPOINT \"poolite\xf5\x80\x80\x80\"", "poolite???? is"},
	    {"SAVEPOINT \"poolite\xe2\x82\"", "poolite?? is"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		expect_refused(table[i].sql, table[i].part);
}

Test(guard_names, counters_in_a_text_that_begins_with_with_are_noted)
{
	cr_expect_eq(
	    prepare("WITH a AS (SELECT 1) UPDATE t SET x = changes()"), SQLITE_OK);
	cr_expect_eq(guard.facts, GUARD_COUNTERS | GUARD_CHANGES);
}

Test(guard_names, what_one_text_says_does_not_count_for_the_next)
{
	cr_expect_eq(prepare("WITH a AS (SELECT 1) SELECT * FROM a"), SQLITE_OK);
	cr_expect_eq(prepare("EXPLAIN DELETE FROM t"), SQLITE_OK);
	cr_expect_eq(guard.facts, 0, "%#x", guard.facts);
}

/* A statement whose schema has changed is compiled again while it runs. */
Test(guard_names, what_sqlite_compiles_by_itself_says_nothing)
{
	static const char sql[] = "SELECT changes() FROM t";
	sqlite3_stmt *stmt = NULL;

	cr_assert_not(guard_refuses_text(&guard, sql, strlen(sql)));
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	cr_expect_eq(guard.facts, GUARD_COUNTERS);
	cr_assert_eq(
	    sqlite3_exec(db, "CREATE TABLE other (x)", NULL, NULL, NULL), SQLITE_OK);
	cr_assert_not(guard_refuses_text(&guard, sql, strlen(sql)));
	guard_reset(&guard);
	cr_expect_eq(sqlite3_step(stmt), SQLITE_DONE);
	cr_expect_eq(sqlite3_stmt_status(stmt, SQLITE_STMTSTATUS_REPREPARE, 0), 1);
	cr_expect_eq(guard.facts, 0, "%#x", guard.facts);
	sqlite3_finalize(stmt);
}
