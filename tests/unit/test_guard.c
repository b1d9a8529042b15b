/* The guard: what it refuses in every spelling, that nothing stays behind, what honest SQL
 * needs, and the facts it notes. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/db/guard.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define BOM          "\xef\xbb\xbf"

static sqlite3 *db;
static struct guard guard;
static char folder[64];

/* What became of one text. */
enum outcome {
	DONE,
	FAILED,             /* SQLite's own error */
	REFUSED_IN_TEXT,    /* guard_refuses_text() */
	REFUSED_AT_PREPARE, /* the rest by the authorizer */
	REFUSED_AT_STEP,
};

/* What SQLite asks: the linker sends its setting here (--wrap). */
typedef int authorizer(
    void *, int, const char *, const char *, const char *, const char *);
static authorizer *asked;
int __real_sqlite3_set_authorizer(sqlite3 *of, authorizer *call, void *context);
int __wrap_sqlite3_set_authorizer(sqlite3 *of, authorizer *call, void *context);

int __wrap_sqlite3_set_authorizer(sqlite3 *of, authorizer *call, void *context)
{
	asked = call;
	return __real_sqlite3_set_authorizer(of, call, context);
}

static unsigned facts;   /* of the text that ran last */
static char error[1024]; /* its error, the guard's or SQLite's */

static enum outcome failed(enum outcome refused)
{
	snprintf(error, sizeof(error), "%s",
	    guard.is_refused ? guard.why : sqlite3_errmsg(db));
	return guard.is_refused ? refused : FAILED;
}

/* ${sql} as the broker runs a client's text. */
static enum outcome run(const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	enum outcome outcome = DONE;
	int rc;

	error[0] = '\0';
	if (guard_refuses_text(&guard, sql, strlen(sql)))
		return failed(REFUSED_IN_TEXT);
	rc = sqlite3_prepare_v3(db, sql, (int)strlen(sql), 0, &stmt, NULL);
	facts = guard.facts;
	if (rc != SQLITE_OK)
		return failed(REFUSED_AT_PREPARE);
	guard_reset(&guard);
	do
		rc = sqlite3_step(stmt);
	while (rc == SQLITE_ROW);
	if (rc != SQLITE_DONE)
		outcome = failed(REFUSED_AT_STEP);
	sqlite3_finalize(stmt);
	return outcome;
}

static void must(const char *sql)
{
	enum outcome outcome = run(sql);

	cr_assert_eq(outcome, DONE, "%s: %s", sql, error);
}

/* Run as the broker's own. */
static void own(const char *sql)
{
	guard.is_own = true;
	cr_assert_eq(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK, "%s: %s", sql,
	    sqlite3_errmsg(db));
	guard.is_own = false;
}

/* The first column of all rows of the broker's own ${sql}, one after another. */
static void own_text(char *out, size_t size, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	size_t used = strlen(out);
	int rc;

	guard.is_own = true;
	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK, "%s", sql);
	while ((rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		const char *text = (const char *)sqlite3_column_text(stmt, 0);

		used += (size_t)snprintf(
		    out + used, size - used, "%s|", text ? text : "NULL");
		cr_assert_lt(used, size);
	}
	cr_assert_eq(rc, SQLITE_DONE, "%s: %s", sql, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	guard.is_own = false;
}

static const char *own_value(const char *sql)
{
	static char value[1024];

	value[0] = '\0';
	own_text(value, sizeof(value), sql);
	if (value[0] != '\0')
		value[strlen(value) - 1] = '\0';
	return value;
}

/* Everything a text could leave behind on the connection or beside the file. */
static void digest(char *out, size_t size)
{
	static const char *const states[] = {"PRAGMA foreign_keys",
	    "PRAGMA defer_foreign_keys", "PRAGMA recursive_triggers",
	    "PRAGMA writable_schema", "PRAGMA journal_mode", "PRAGMA synchronous",
	    "PRAGMA temp.synchronous", "PRAGMA cache_size", "PRAGMA temp.cache_size",
	    "PRAGMA cache_spill", "PRAGMA hard_heap_limit", "PRAGMA soft_heap_limit",
	    "PRAGMA temp_store", "PRAGMA query_only", "PRAGMA read_uncommitted",
	    "PRAGMA trusted_schema", "PRAGMA legacy_alter_table",
	    "PRAGMA ignore_check_constraints", "PRAGMA cell_size_check",
	    "PRAGMA automatic_index", "PRAGMA analysis_limit", "PRAGMA auto_vacuum",
	    "PRAGMA busy_timeout", "PRAGMA checkpoint_fullfsync", "PRAGMA count_changes",
	    "PRAGMA empty_result_callbacks", "PRAGMA encoding",
	    "PRAGMA full_column_names", "PRAGMA fullfsync", "PRAGMA journal_size_limit",
	    "PRAGMA locking_mode", "PRAGMA max_page_count", "PRAGMA mmap_size",
	    "PRAGMA page_size", "PRAGMA reverse_unordered_selects",
	    "PRAGMA secure_delete", "PRAGMA short_column_names", "PRAGMA threads",
	    "PRAGMA wal_autocheckpoint", "PRAGMA schema_version", "PRAGMA user_version",
	    "PRAGMA application_id", "PRAGMA temp.user_version",
	    "PRAGMA temp.application_id", "SELECT 'a' LIKE 'A'", /* case_sensitive_like */
	    "SELECT count(*) FROM sqlite_temp_schema",
	    "SELECT group_concat(name || file) FROM pragma_database_list",
	    "SELECT group_concat(sql, ';') FROM sqlite_schema", "SELECT count(*) FROM t",
	    "SELECT total_changes()"};
	static const int options[] = {SQLITE_DBCONFIG_ENABLE_FKEY,
	    SQLITE_DBCONFIG_DEFENSIVE, SQLITE_DBCONFIG_TRUSTED_SCHEMA,
	    SQLITE_DBCONFIG_WRITABLE_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
	    SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION,
	    SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, SQLITE_DBCONFIG_DQS_DML,
	    SQLITE_DBCONFIG_DQS_DDL};
	DIR *files = opendir(folder);
	size_t count = 0;

	out[0] = '\0';
	for (size_t i = 0; i < COUNT(states); i++)
		own_text(out, size, states[i]);
	for (size_t i = 0; i < COUNT(options); i++) {
		int value = -1;

		sqlite3_db_config(db, options[i], -1, &value);
		sprintf(out + strlen(out), "%d|", value);
	}
	while (readdir(files) != NULL)
		count++;
	closedir(files);
	sprintf(out + strlen(out), "autocommit %d, files %zu", sqlite3_get_autocommit(db),
	    count);
}

/* A database in a folder of its own, which is the working directory, with a guard. */
static void open_guarded(void)
{
	strcpy(folder, "/tmp/test_guard_XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	cr_assert_eq(chdir(folder), 0);
	cr_assert_eq(sqlite3_open("guarded.db", &db), SQLITE_OK);
	cr_assert_eq(sqlite3_exec(db,
			 "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;"
			 "CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT UNIQUE, c);"
			 "INSERT INTO t VALUES(1, 'one', 1), (2, 'two', 2);"
			 "CREATE VIEW v AS SELECT a, changes() AS n FROM t;"
			 "ANALYZE;",
			 NULL, NULL, NULL),
	    SQLITE_OK);
	cr_assert_eq(guard_install(&guard, db, true), SQLITE_OK);
}

static void close_guarded(void)
{
	char name[320];
	struct dirent *entry;
	DIR *files = opendir(folder);

	cr_expect_eq(sqlite3_close(db), SQLITE_OK);
	while ((entry = readdir(files)) != NULL) {
		snprintf(name, sizeof(name), "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] != '.')
			unlink(name);
	}
	closedir(files);
	rmdir(folder);
}

TestSuite(guard, .init = open_guarded, .fini = close_guarded);

/* -- Refusals ---------------------------------------------------------- */

/* Refused when they are compiled or before, in any spelling, behind EXPLAIN too. */
static const char *const forbidden[] = {
    "PRAGMA foreign_keys",
    "PRAGMA foreign_keys=OFF",
    "PRAGMA main.foreign_keys=0",
    "PRAGMA \"foreign_keys\"=0",
    "PRAGMA [foreign_keys](off)",
    "PRAGMA defer_foreign_keys=1",
    "PRAGMA recursive_triggers=1",
    "PRAGMA writable_schema=1",
    "PRAGMA writable_schema=RESET",
    "PRAGMA journal_mode=DELETE",
    "PRAGMA main.journal_mode=OFF",
    "PRAGMA journal_size_limit=1",
    "PRAGMA synchronous=OFF",
    "PRAGMA main.synchronous(0)",
    "PRAGMA cache_size=1",
    "PRAGMA cache_spill=0",
    "PRAGMA hard_heap_limit=1",
    "PRAGMA soft_heap_limit=1",
    "PRAGMA temp_store=2",
    "PRAGMA temp_store_directory='x'",
    "PRAGMA query_only=1",
    "PRAGMA read_uncommitted=1",
    "PRAGMA trusted_schema=1",
    "PRAGMA legacy_alter_table=1",
    "PRAGMA ignore_check_constraints=1",
    "PRAGMA case_sensitive_like=1",
    "PRAGMA cell_size_check=1",
    "PRAGMA automatic_index=0",
    "PRAGMA analysis_limit=7",
    "PRAGMA auto_vacuum=2",
    "PRAGMA incremental_vacuum",
    "PRAGMA busy_timeout=1",
    "PRAGMA checkpoint_fullfsync=1",
    "PRAGMA count_changes=1",
    "PRAGMA database_list",
    "PRAGMA default_cache_size=3",
    "PRAGMA encoding='UTF-16'",
    "PRAGMA encoding",
    "PRAGMA full_column_names=1",
    "PRAGMA locking_mode=EXCLUSIVE",
    "PRAGMA max_page_count=1",
    "PRAGMA mmap_size=1000000",
    "PRAGMA optimize",
    "PRAGMA reverse_unordered_selects=1",
    "PRAGMA secure_delete=1",
    "PRAGMA short_column_names=0",
    "PRAGMA shrink_memory",
    "PRAGMA threads=4",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA wal_autocheckpoint=1",
    "PRAGMA no_such_pragma",
    "PRAGMA page_size=512",
    "PRAGMA main.page_size(512)",
    "PRAGMA schema_version=7",
    "PRAGMA data_version=7",
    "PRAGMA freelist_count=7",
    "PRAGMA page_count=7",
    "PRAGMA collation_list=7",
    "PRAGMA compile_options=7",
    "PRAGMA function_list=7",
    "PRAGMA temp.user_version=7",
    "PRAGMA temp.application_id(7)",
    "ATTACH 'new.db' AS x",
    "ATTACH DATABASE ':memory:' AS x",
    "ATTACH '' AS x",
    "ATTACH ? AS x",
    "ATTACH abs(1) AS abs",
    "DETACH main",
    "DETACH DATABASE temp",
    "VACUUM",
    "VACUUM main",
    "VACUUM INTO 'new.db'",
    "BEGIN",
    "BEGIN IMMEDIATE TRANSACTION",
    "BEGIN EXCLUSIVE",
    "COMMIT",
    "END TRANSACTION",
    "ROLLBACK",
    "ROLLBACK TRANSACTION",
    "SAVEPOINT poolite",
    "SAVEPOINT poolite_x",
    "SAVEPOINT \"poolite\"",
    "SAVEPOINT [poolite/**/1]",
    "SAVEPOINT `poolite`",
    "SAVEPOINT 'poolite'",
    "RELEASE poolite",
    "RELEASE SAVEPOINT \"poolite\"",
    "ROLLBACK TO poolite",
    "ROLLBACK TRANSACTION TO SAVEPOINT [poolite]",
    "CREATE TEMP TABLE x(a)",
    "CREATE TEMPORARY TABLE IF NOT EXISTS x(a)",
    "CREATE TEMP TABLE x AS SELECT * FROM t",
    "CREATE TABLE temp.x(a)",
    "CREATE TABLE \"temp\".x AS SELECT 1",
    "CREATE TEMP VIEW x AS SELECT 1",
    "CREATE VIEW temp.x AS SELECT 1",
    "CREATE TEMP TRIGGER x AFTER INSERT ON t BEGIN SELECT 1; END",
    "CREATE TRIGGER temp.x AFTER INSERT ON main.t BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE temp.x USING fts5(a)",
    "CREATE VIRTUAL TABLE temp.x USING rtree(a,b,c)",
    "ANALYZE temp",
    "CREATE VIRTUAL TABLE x USING sqlite_stmt",
    "CREATE VIRTUAL TABLE x USING dbstat",
    "CREATE VIRTUAL TABLE x USING sqlite_dbpage",
    "CREATE VIRTUAL TABLE x USING \"no_such_module\"(a)",
    "SELECT * FROM sqlite_stmt",
    "SELECT 1 FROM main.sqlite_stmt AS x",
    "SELECT sql FROM \"sqlite_stmt\" WHERE sql LIKE '%'",
    "SELECT rowid FROM [sqlite_stmt]",
    "SELECT count(*) FROM sqlite_stmt",
    "SELECT EXISTS(SELECT 1 FROM sqlite_stmt)",
    "SELECT 1 FROM t NATURAL JOIN sqlite_stmt",
    "SELECT 1 WHERE 1 IN sqlite_stmt",
    "WITH x AS (SELECT sql FROM sqlite_stmt) SELECT * FROM x",
    "INSERT INTO t(b) SELECT sql FROM sqlite_stmt",
    "UPDATE t SET b=1 FROM sqlite_stmt",
    "DELETE FROM t WHERE b IN (SELECT sql FROM sqlite_stmt)",
    "CREATE TABLE x AS SELECT sql FROM sqlite_stmt",
    "SELECT load_extension('x')",
    "SELECT \"load_extension\"('x','y')",
    "SELECT 1 FROM t WHERE load_extension('x')",
    "INSERT INTO t(b) VALUES(load_extension('x'))",
    "SELECT fts3_tokenizer('simple')",
    "SELECT fts3_tokenizer('simple',x'0000000000000000')",
    "SELECT sqlite_log(1,'x')",
};

/* Refused when run, by the PRAGMA or table behind them; behind EXPLAIN they just explain. */
static const char *const forbidden_to_run[] = {
    "SELECT * FROM pragma_foreign_keys",
    "SELECT 1 FROM \"pragma_journal_mode\"",
    "SELECT * FROM main.pragma_writable_schema",
    "SELECT * FROM pragma_database_list",
    "SELECT * FROM pragma_hard_heap_limit",
    "SELECT count(*) FROM pragma_synchronous",
    "SELECT * FROM t, pragma_trusted_schema",
    "SELECT * FROM pragma_cache_size",
    "WITH x AS (SELECT * FROM pragma_encoding) SELECT * FROM x",
    "SELECT 'wal' IN pragma_journal_mode",
    "INSERT INTO t(b) SELECT * FROM pragma_temp_store",
};

/* Prefixes that change nothing; the first ${PLAIN_PREFIXES} do not EXPLAIN. */
static const char *const prefixes[] = {"", ";;", " \n\t\f\r", " \v", BOM,
    "/* PRAGMA page_size; */", "--;\n", ";/**/;" BOM "-- x\n ", "EXPLAIN ",
    "EXPLAIN QUERY PLAN ", BOM ";EXPLAIN/**/", "/* */explain--\nquery\nplan/**/"};
enum { PLAIN_PREFIXES = 8 };

static const char *const spaces[] = {" ", "/**/", "\n", "-- ; '\n", "\t/* \" */ \v"};

/* ${sql} behind ${prefix}, each of its spaces as ${space}; letters outside quotes in ${letter_case}. */
static void spell(
    char *out, const char *prefix, const char *sql, const char *space, int letter_case)
{
	bool in_string = false;

	out = stpcpy(out, prefix);
	for (; *sql != '\0'; sql++) {
		bool is_letter =
		    (*sql >= 'a' && *sql <= 'z') || (*sql >= 'A' && *sql <= 'Z');

		if (*sql == '\'')
			in_string = !in_string;
		if (*sql == ' ')
			out = stpcpy(out, space);
		else if (is_letter && !in_string && letter_case == 1)
			*out++ = (char)(*sql | 0x20);
		else if (is_letter && !in_string && letter_case == 2)
			*out++ = (char)((size_t)sql % 2 ? *sql ^ 0x20 : *sql);
		else
			*out++ = *sql;
	}
	*out = '\0';
}

static void refuse_all_spellings(
    const char *sql, size_t prefix_count, enum outcome latest, size_t *count)
{
	static char before[16384], after[16384];
	char text[1024];

	digest(before, sizeof(before));
	for (size_t prefix = 0; prefix < prefix_count; prefix++)
		for (size_t space = 0; space < COUNT(spaces); space++)
			for (int letter_case = 0; letter_case < 3; letter_case++) {
				enum outcome outcome;

				spell(text, prefixes[prefix], sql, spaces[space],
				    letter_case);
				outcome = run(text);
				cr_assert(outcome >= REFUSED_IN_TEXT && outcome <= latest,
				    "%s: outcome %d, %s", text, outcome, error);
				++*count;
			}
	digest(after, sizeof(after));
	cr_assert_str_eq(before, after, "%s left something behind", sql);
}

Test(guard, refuses_every_spelling_and_leaves_nothing_behind, .timeout = 120)
{
	size_t count = 0;

	for (size_t i = 0; i < COUNT(forbidden); i++)
		refuse_all_spellings(
		    forbidden[i], COUNT(prefixes), REFUSED_AT_PREPARE, &count);
	for (size_t i = 0; i < COUNT(forbidden_to_run); i++)
		refuse_all_spellings(
		    forbidden_to_run[i], PLAIN_PREFIXES, REFUSED_AT_STEP, &count);
	cr_assert_gt(count, 20000, "only %zu texts", count);
}

Test(guard, refuses_it_all_inside_a_transaction_too)
{
	static char before[16384], after[16384];

	own("BEGIN IMMEDIATE; INSERT INTO t VALUES(3, 'three', 3)");
	digest(before, sizeof(before));
	for (size_t i = 0; i < COUNT(forbidden); i++)
		cr_expect_geq(run(forbidden[i]), REFUSED_IN_TEXT, "%s", forbidden[i]);
	for (size_t i = 0; i < COUNT(forbidden_to_run); i++)
		cr_expect_geq(
		    run(forbidden_to_run[i]), REFUSED_IN_TEXT, "%s", forbidden_to_run[i]);
	digest(after, sizeof(after));
	cr_assert_str_eq(before, after);
	own("COMMIT");
	cr_assert_str_eq(own_value("SELECT count(*) FROM t"), "3");
}

static void do_nothing(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	(void)argv;
	sqlite3_result_null(context);
}

/* Not in every build of SQLite: an application's function by each name stands in. */
Test(guard, refuses_functions_by_their_name)
{
	static const char *const names[] = {
	    "load_extension", "fts3_tokenizer", "icu_load_collation", "sqlite_log"};
	char sql[64];

	must("SELECT abs(1)");
	for (size_t i = 0; i < COUNT(names); i++) {
		cr_assert_eq(sqlite3_create_function(db, names[i], 0, SQLITE_UTF8, NULL,
				 do_nothing, NULL, NULL),
		    SQLITE_OK);
		snprintf(sql, sizeof(sql), "SELECT %s()", names[i]);
		cr_expect_eq(run(sql), REFUSED_AT_PREPARE, "%s", sql);
	}
}

/* SQLite does not ask about what a DEFAULT calls, nor about a CHECK of a file made elsewhere. */
Test(guard, leaves_no_refused_function_for_constraints_to_call)
{
	static const char *const calls[] = {"load_extension('x')",
	    "load_extension('x', 'y')", "fts3_tokenizer('simple')",
	    "icu_load_collation('x', 'y')", "icu_load_collation('x', 'y', 'z')",
	    "sqlite_log(1, 'x')"};
	char sql[128];

	for (size_t i = 0; i < COUNT(calls); i++) {
		snprintf(sql, sizeof(sql), "CREATE TABLE x%zu(a DEFAULT (%s), b)", i,
		    calls[i]);
		must(sql);
		snprintf(sql, sizeof(sql), "INSERT INTO x%zu(b) VALUES(1)", i);
		cr_expect_neq(run(sql), DONE, "%s", calls[i]);
		snprintf(sql, sizeof(sql), "CREATE TABLE y%zu(a CHECK (%s IS NULL))", i,
		    calls[i]);
		cr_expect_eq(run(sql), REFUSED_AT_PREPARE, "%s", sql);
		own(sql);
		snprintf(sql, sizeof(sql), "INSERT INTO y%zu VALUES(1)", i);
		cr_expect_eq(run(sql), FAILED, "%s", calls[i]);
		cr_expect_str_eq(error, "this function is not allowed");
	}
}

/* None of today's SQLite is left out of the list: what a newer one asks must be learnt first. */
Test(guard, refuses_what_it_does_not_know)
{
	cr_expect_eq(asked(&guard, 1000, "a", "b", "main", NULL), SQLITE_DENY);
	cr_expect(guard.is_refused);
	cr_expect_not_null(
	    strstr(guard.why, "not on the broker's list"), "%s", guard.why);
}

/* Nobody can attach one: were it there all the same, it would not be the client's. */
Test(guard, refuses_a_schema_that_is_neither_main_nor_temp)
{
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 1);
	own("ATTACH ':memory:' AS other; CREATE TABLE other.x(a)");
	cr_expect_eq(run("SELECT a FROM other.x"), REFUSED_AT_PREPARE);
	cr_expect_not_null(strstr(error, "schema other is not allowed"), "%s", error);
	cr_expect_eq(run("INSERT INTO x VALUES(1)"), REFUSED_AT_PREPARE);
}

/* What SQLite itself refuses, by DEFENSIVE or because it is internal; all that counts is no effect. */
Test(guard, lets_no_one_write_the_schema_or_its_shadows)
{
	static const char *const texts[] = {"UPDATE sqlite_schema SET sql=''",
	    "DELETE FROM sqlite_master",
	    "INSERT INTO sqlite_schema VALUES('table','x','x',2,'')",
	    "UPDATE sqlite_temp_schema SET sql=''",
	    "INSERT INTO temp.sqlite_master DEFAULT VALUES", "DELETE FROM f_data",
	    "DROP TABLE f_data", "DROP TABLE sqlite_schema",
	    "ALTER TABLE sqlite_schema RENAME TO x", "CREATE TABLE sqlite_x(a)",
	    "CREATE INDEX temp.x ON t(a)",
	    "CREATE TRIGGER x AFTER INSERT ON sqlite_schema BEGIN SELECT 1; END",
	    "SELECT sqlite_rename_table(1,2,3,4,5,6,7)",
	    "SELECT sqlite_drop_column(1,2,3)",
	    "UPDATE sqlite_dbpage SET data=zeroblob(4096)", "SELECT * FROM sqlite_dbpage",
	    "DELETE FROM sqlite_stmt", "INSERT INTO pragma_foreign_keys VALUES(0)",
	    "REINDEX temp.x", "DROP TABLE temp.t"};
	static char before[16384], after[16384];

	must("CREATE VIRTUAL TABLE f USING fts5(x)");
	digest(before, sizeof(before));
	for (size_t i = 0; i < COUNT(texts); i++)
		cr_expect_neq(run(texts[i]), DONE, "%s", texts[i]);
	digest(after, sizeof(after));
	cr_assert_str_eq(before, after);
}

/* A file made elsewhere may hold anything: the guard is asked about views and triggers too. */
Test(guard, does_not_trust_what_the_file_holds)
{
	static const char *const texts[] = {"SELECT * FROM evil_stmt",
	    "SELECT * FROM evil_load", "SELECT * FROM evil_pragma",
	    "SELECT 1 FROM t WHERE EXISTS(SELECT 1 FROM evil_stmt)",
	    "INSERT INTO t VALUES(9, 'x', 9)", "DELETE FROM t"};

	own("CREATE VIEW evil_stmt AS SELECT sql FROM sqlite_stmt");
	own("CREATE VIEW evil_load AS SELECT load_extension('x')");
	own("CREATE VIEW evil_pragma AS SELECT * FROM pragma_database_list");
	own("CREATE TRIGGER evil_insert AFTER INSERT ON t BEGIN SELECT fts3_tokenizer('simple'); END");
	own("CREATE TRIGGER evil_delete AFTER DELETE ON t BEGIN SELECT sql FROM sqlite_stmt; END");
	for (size_t i = 0; i < COUNT(texts); i++)
		cr_expect_neq(run(texts[i]), DONE, "%s", texts[i]);
	cr_expect_str_eq(own_value("SELECT group_concat(a) FROM t"), "1,2");
	/* Through full text search over content that is not its own. */
	must("CREATE VIRTUAL TABLE f4 USING fts4(content=\"sqlite_stmt\", sql)");
	cr_expect_neq(run("SELECT * FROM f4"), DONE);
	must("CREATE VIRTUAL TABLE f5 USING fts5(sql, content='sqlite_stmt')");
	cr_expect_neq(run("SELECT * FROM f5"), DONE);
}

/* -- What a refusal says ----------------------------------------------- */

Test(guard, says_what_it_refused_and_the_way_out)
{
	static const struct {
		const char *sql, *culprit, *hint;
	} cases[] = {
	    {"COMMIT", "COMMIT", "methods: begin, commit, rollback"},
	    {"PRAGMA Cache_Size=1", "PRAGMA Cache_Size", "broker's"},
	    {"PRAGMA foreign_keys=0", "PRAGMA foreign_keys", "script"},
	    {"PRAGMA schema_version=1", "PRAGMA schema_version", "read, not set"},
	    {"PRAGMA temp.user_version=1", "user_version", "in main"},
	    {"ATTACH 'secret/name.db' AS x", "ATTACH", "one database"},
	    {"DETACH secret", "DETACH", "one database"},
	    {"VACUUM INTO 'secret/name.db'", "VACUUM", "while the broker is stopped"},
	    {"CREATE TEMP TABLE x(a)", "TEMP", "ordinary table or WITH"},
	    {"SELECT load_extension('secret/name.so')", "load_extension()",
		"not allowed"},
	    {"SELECT * FROM sqlite_stmt", "sqlite_stmt", "other clients"},
	    {"CREATE VIRTUAL TABLE x USING csv(a)", "csv", "fts5"},
	    {"SAVEPOINT \"Poolite 1\"", "Poolite 1", "choose another"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_expect_geq(run(cases[i].sql), REFUSED_IN_TEXT, "%s", cases[i].sql);
		cr_expect_not_null(strstr(error, cases[i].culprit), "%s", error);
		cr_expect_not_null(strstr(error, cases[i].hint), "%s", error);
		cr_expect_null(strchr(error, '/'), "%s", error);
	}
}

Test(guard, keeps_the_first_reason_until_it_is_reset)
{
	sqlite3_stmt *stmt = NULL;

	guard_reset(&guard);
	cr_expect_neq(
	    sqlite3_prepare_v2(db, "PRAGMA cache_size=1", -1, &stmt, NULL), SQLITE_OK);
	cr_expect_neq(sqlite3_prepare_v2(db, "COMMIT", -1, &stmt, NULL), SQLITE_OK);
	cr_expect(guard.is_refused);
	cr_expect_not_null(strstr(guard.why, "cache_size"), "%s", guard.why);
	guard_reset(&guard);
	cr_expect_not(guard.is_refused);
	cr_expect_str_empty(guard.why);
	cr_expect_eq(run("SELECT nothing"), FAILED, "an error that is not the guard's");
}

Test(guard, shortens_a_long_name_by_whole_characters)
{
	char sql[1024] = "PRAGMA \"";
	size_t len;

	for (int i = 0; i < 100; i++)
		strcat(sql, i == 0 ? "\xf0\x9f\x8e\x88" : "\xc3\xa4");
	strcat(sql, "\"");
	cr_assert_eq(run(sql), REFUSED_AT_PREPARE);
	len = strspn(error + strlen("PRAGMA "), "\xc3\xa4\xf0\x9f\x8e\x88");
	cr_expect_eq(len, 80, "%zu bytes in %s", len, error);
	cr_expect_eq(run("PRAGMA \"a\nb\x7f\xc3\xa4\xff\xe2\x82z\""), REFUSED_AT_PREPARE);
	cr_expect_not_null(strstr(error, "PRAGMA a?b?\xc3\xa4???z is"), "%s", error);
	memset(sql, 'x', 900);
	memcpy(sql, "SAVEPOINT poolite", strlen("SAVEPOINT poolite"));
	sql[900] = '\0';
	cr_expect_eq(run(sql), REFUSED_AT_PREPARE);
	cr_expect_not_null(strstr(error, "choose another"), "%s", error);
}

/* -- What passes ------------------------------------------------------- */

Test(guard, lets_the_brokers_own_statements_pass)
{
	own("BEGIN IMMEDIATE; SAVEPOINT poolite; PRAGMA cache_size=-100; RELEASE poolite");
	cr_expect_eq(run("COMMIT"), REFUSED_AT_PREPARE);
	cr_expect_eq(sqlite3_get_autocommit(db), 0);
	own("COMMIT");
	cr_expect_eq(sqlite3_get_autocommit(db), 1);
}

Test(guard, lets_the_listed_pragmas_pass)
{
	static const char *const texts[] = {"PRAGMA integrity_check",
	    "PRAGMA integrity_check(3)", "PRAGMA main.integrity_check('t')",
	    "PRAGMA quick_check", "PRAGMA table_info(t)", "PRAGMA Main.Table_Info('t')",
	    "PRAGMA temp.table_info(t)", "PRAGMA table_xinfo(t)", "PRAGMA table_list",
	    "PRAGMA table_list(t)", "PRAGMA index_list(t)",
	    "PRAGMA index_info(sqlite_autoindex_t_1)",
	    "PRAGMA index_xinfo(sqlite_autoindex_t_1)", "PRAGMA foreign_key_list(t)",
	    "PRAGMA foreign_key_check", "PRAGMA foreign_key_check(t)",
	    "PRAGMA function_list", "PRAGMA collation_list", "PRAGMA compile_options",
	    "PRAGMA freelist_count", "PRAGMA page_count", "PRAGMA page_size",
	    "PRAGMA data_version", "PRAGMA schema_version", "PRAGMA user_version",
	    "PRAGMA application_id", "PRAGMA temp.user_version",
	    "SELECT * FROM pragma_table_info('t')",
	    "SELECT * FROM pragma_table_xinfo('t','main')",
	    "SELECT * FROM pragma_function_list", "SELECT * FROM pragma_table_list",
	    "SELECT * FROM pragma_page_count",
	    "SELECT m.name, c.name FROM sqlite_schema m, pragma_table_info(m.name) c",
	    "SELECT * FROM pragma_integrity_check",
	    "SELECT count(*) FROM sqlite_temp_master", "EXPLAIN PRAGMA table_info(t)"};

	for (size_t i = 0; i < COUNT(texts); i++)
		must(texts[i]);
	must("PRAGMA user_version=77");
	must("PRAGMA main.application_id(88)");
	cr_expect_str_eq(own_value("PRAGMA user_version"), "77");
	cr_expect_str_eq(own_value("PRAGMA application_id"), "88");
}

static const char *const honest[] = {
    "CREATE TABLE p(id INTEGER PRIMARY KEY AUTOINCREMENT, n TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS main.p(id)",
    "CREATE TABLE s(a INT, b TEXT, c ANY) STRICT",
    "CREATE TABLE w(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
    "CREATE TABLE g(a, b AS (a * 2), c AS (a || '!') STORED, CHECK (length(a) < 9))",
    "CREATE TABLE d(a DEFAULT (datetime('now')), b DEFAULT CURRENT_TIMESTAMP)",
    "CREATE TABLE copy AS SELECT * FROM t",
    "CREATE TABLE child(p REFERENCES p(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED)",
    "CREATE TABLE pragma_notes(a)",
    "INSERT INTO p(n) VALUES('a'), ('b')",
    "INSERT INTO child SELECT id FROM p",
    "INSERT INTO g(a) VALUES(1)",
    "INSERT INTO s VALUES(1, 'x', 2.5)",
    "INSERT INTO pragma_notes SELECT a FROM t",
    "SELECT * FROM pragma_notes",
    "SELECT * FROM sqlite_sequence",
    "UPDATE sqlite_sequence SET seq=100 WHERE name='p'",
    "CREATE INDEX i ON t(c) WHERE c > 0",
    "CREATE UNIQUE INDEX IF NOT EXISTS u ON t(lower(b), a DESC)",
    "CREATE VIEW w2 AS WITH x AS (SELECT a FROM t) SELECT a, count(*) OVER () n FROM x",
    "SELECT * FROM w2, v",
    ("CREATE TRIGGER tr AFTER INSERT ON t WHEN new.a > 0 BEGIN"
     " INSERT INTO copy(a) VALUES(last_insert_rowid()); UPDATE copy SET c=changes(); END"),
    "CREATE TRIGGER io INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES(new.a); END",
    "INSERT INTO t VALUES(10, 'ten', 10)",
    "INSERT INTO v(a) VALUES(11)",
    "REPLACE INTO t VALUES(10, 'TEN', 10)",
    "INSERT INTO t VALUES(10, 'x', 1) ON CONFLICT(a) DO UPDATE SET c=excluded.c RETURNING a, b",
    "UPDATE t SET c=c+1 WHERE a=10 RETURNING *",
    "DELETE FROM t WHERE a=11 RETURNING a",
    "UPDATE t SET c=copy.c FROM copy WHERE copy.a=t.a",
    "ALTER TABLE t RENAME TO t2",
    "ALTER TABLE t2 RENAME TO t",
    "ALTER TABLE t RENAME COLUMN c TO cc",
    "ALTER TABLE t RENAME cc TO c",
    "ALTER TABLE t ADD COLUMN d CHECK (d > 0 OR d IS NULL)",
    "ALTER TABLE t ADD COLUMN e NOT NULL DEFAULT 1",
    "ALTER TABLE t ADD COLUMN f AS (a + 1) NOT NULL",
    "ALTER TABLE t ADD COLUMN r REFERENCES p(id)",
    "ALTER TABLE t DROP COLUMN d",
    "ANALYZE",
    "ANALYZE main.t",
    "ANALYZE i",
    "ANALYZE v",
    "SELECT * FROM sqlite_stat1",
    "DELETE FROM sqlite_stat1",
    "REINDEX",
    "REINDEX main.t",
    "REINDEX nocase",
    "DROP INDEX i",
    "DROP TRIGGER io",
    "DROP TRIGGER IF EXISTS nosuch",
    "DROP VIEW v",
    "DROP TABLE p",
    "DROP TABLE IF EXISTS temp.nosuch",
};

static const char *const honest_virtual[] = {
    "CREATE VIRTUAL TABLE f USING fts5(title, body, tokenize='porter unicode61', prefix='2 3')",
    "INSERT INTO f VALUES('hello', 'brave new world')",
    "INSERT INTO f SELECT b, c FROM t",
    ("SELECT highlight(f, 0, '[', ']'), snippet(f, 1, '<', '>', '...', 5), bm25(f) FROM f"
     " WHERE f MATCH 'hel* OR world' ORDER BY rank"),
    "SELECT * FROM f('hello')",
    "UPDATE f SET body='other' WHERE rowid=1",
    "INSERT INTO f(f) VALUES('rebuild')",
    "INSERT INTO f(f) VALUES('optimize')",
    "INSERT INTO f(f) VALUES('integrity-check')",
    "INSERT INTO f(f, rank) VALUES('automerge', 8)",
    "CREATE VIRTUAL TABLE fv USING fts5vocab(f, row)",
    "SELECT * FROM fv",
    "CREATE VIRTUAL TABLE fc USING fts5(b, content='t', content_rowid='a')",
    "INSERT INTO fc(fc) VALUES('rebuild')",
    "SELECT b FROM fc WHERE fc MATCH 'two'",
    "DELETE FROM f",
    "DROP TABLE fv",
    "ALTER TABLE f RENAME TO f2",
    "DROP TABLE f2",
    "CREATE VIRTUAL TABLE f4 USING FTS4(x, tokenize=unicode61)",
    "INSERT INTO f4 VALUES('hello world')",
    "SELECT snippet(f4), offsets(f4), matchinfo(f4) FROM f4 WHERE f4 MATCH 'hello'",
    "INSERT INTO f4(f4) VALUES('optimize')",
    "CREATE VIRTUAL TABLE aux USING fts4aux(f4)",
    "SELECT * FROM aux",
    "CREATE VIRTUAL TABLE tok USING fts3tokenize(simple)",
    "SELECT token FROM tok WHERE input='a b'",
    "CREATE VIRTUAL TABLE f3 USING fts3(x)",
    "DROP TABLE f4",
    "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, y0, y1, +note)",
    "INSERT INTO r VALUES(1, 0, 1, 0, 1, 'n')",
    "UPDATE r SET x1=5 WHERE id=1",
    "SELECT * FROM r WHERE x0 < 3 AND x1 > 2",
    "DELETE FROM r WHERE id=1",
    "CREATE VIRTUAL TABLE ri USING rtree_i32(id, a, b)",
    "ALTER TABLE r RENAME TO r2",
    "DROP TABLE r2",
};

/* Where honest files put them: SQLite has a second list, of what a schema may use. */
static const char *const honest_schema[] = {
    "CREATE TABLE j(a CHECK (json_valid(a)), b AS (json_extract(a, '$.x')), c DEFAULT (json('{}')))",
    "CREATE INDEX ji ON j(a ->> '$.y') WHERE json_type(a) = 'object'",
    "INSERT INTO j(a) VALUES('{\"x\":1}')",
    "CREATE VIEW vj AS SELECT value, json_quote(value) FROM j, json_each(j.a)",
    "SELECT * FROM j, vj",
    "CREATE TABLE d(a DEFAULT (datetime('now')), b DEFAULT (hex(randomblob(4))), c)",
    "INSERT INTO d(c) VALUES(1)",
    "CREATE VIRTUAL TABLE f USING fts5(b, content='t', content_rowid='a')",
    "CREATE VIRTUAL TABLE f4 USING fts4(b)",
    "CREATE VIRTUAL TABLE r USING rtree(id, a, b)",
    "CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO f(rowid, b) VALUES(new.a, new.b);"
    " INSERT INTO f4(docid, b) VALUES(new.a, new.b); INSERT INTO r VALUES(new.a, 0, 1); END",
    "CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO f(f, rowid, b)"
    " VALUES('delete', old.a, old.b); DELETE FROM f4 WHERE docid=old.a;"
    " DELETE FROM r WHERE id=old.a; END",
    "INSERT INTO t(b) VALUES('hello world'), ('hello moon')",
    "DELETE FROM t WHERE b='hello moon'",
    "CREATE VIEW vf AS SELECT highlight(f, 0, '[', ']'), bm25(f) FROM f WHERE f MATCH 'hello'",
    "CREATE VIEW vf4 AS SELECT snippet(f4) FROM f4 WHERE f4 MATCH 'hello'",
    "CREATE VIEW vr AS SELECT * FROM r WHERE a < 5",
    "CREATE VIEW vp AS SELECT * FROM pragma_table_info('t')",
    "SELECT * FROM vf, vf4, vr, vp",
};

static const char *const honest_queries[] = {
    "SELECT json_extract('{\"a\":[1,2]}', '$.a[1]'), '[1]' -> 0, '[1]' ->> '$[0]'",
    "SELECT * FROM json_each('[1,2]'), json_tree('{\"a\":1}')",
    "SELECT json_group_array(a), json_group_object(a, b) FROM t",
    "WITH RECURSIVE c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c WHERE n < 9) SELECT sum(n) FROM c",
    ("SELECT row_number() OVER w, lag(a) OVER w, sum(c) OVER (ROWS 1 PRECEDING) FROM t"
     " WINDOW w AS (PARTITION BY c ORDER BY a)"),
    "SELECT date('now'), julianday('now'), strftime('%Y', 'now'), unixepoch(), current_date",
    "SELECT abs(-1), printf('%d', 1), format('%s', 'x'), hex(randomblob(4)), zeroblob(3), sqrt(2)",
    "SELECT sqlite_version(), sqlite_source_id(), sqlite_compileoption_used('THREADSAFE')",
    "SELECT group_concat(b, ','), total(c), min(a), max(a, 1), count(DISTINCT c) FROM t",
    "SELECT * FROM t a LEFT JOIN t b USING (a) WHERE a.b LIKE '%o%' AND b.b GLOB '*' ORDER BY 1 LIMIT 1",
    "SELECT a FROM t UNION SELECT a FROM t EXCEPT SELECT 1 INTERSECT SELECT 2",
    "SELECT count(*) FROM sqlite_schema",
    "SELECT 1 FROM sqlite_temp_schema",
    "SELECT name, sql FROM sqlite_schema WHERE type='table'",
    "SELECT * FROM sqlite_master UNION ALL SELECT * FROM sqlite_temp_master",
    "SELECT count(*) FROM dbstat",
    "VALUES(1), (2)",
    "EXPLAIN SELECT * FROM t",
    "EXPLAIN QUERY PLAN SELECT * FROM t WHERE b='x'",
    "WITH sqlite AS (SELECT 1) SELECT * FROM sqlite",
    "SAVEPOINT a",
    "SAVEPOINT \" poolite\"",
    "SAVEPOINT pool",
    "ROLLBACK TO pool",
    "RELEASE a",
};

Test(guard, lets_honest_statements_pass)
{
	for (size_t i = 0; i < COUNT(honest); i++)
		must(honest[i]);
	cr_expect_str_eq(own_value("PRAGMA integrity_check"), "ok");
}

Test(guard, lets_honest_virtual_tables_pass)
{
	for (size_t i = 0; i < COUNT(honest_virtual); i++)
		must(honest_virtual[i]);
	cr_expect_str_eq(own_value("PRAGMA integrity_check"), "ok");
	/* Debian's SQLite has no geopoly: where there is one it may be used. */
	cr_expect_leq(
	    run("CREATE VIRTUAL TABLE gp USING geopoly(note)"), FAILED, "%s", error);
}

Test(guard, lets_honest_schemas_pass)
{
	for (size_t i = 0; i < COUNT(honest_schema); i++)
		must(honest_schema[i]);
	cr_expect_str_eq(own_value("SELECT count(*) FROM vf, vf4, vr"), "1");
}

Test(guard, lets_honest_queries_pass)
{
	static char before[16384], after[16384];

	digest(before, sizeof(before));
	for (size_t i = 0; i < COUNT(honest_queries); i++)
		must(honest_queries[i]);
	digest(after, sizeof(after));
	cr_expect_str_eq(before, after);
}

/* A connection that finds the schema made, as one just opened does, is asked more while compiling. */
Test(guard, lets_a_fresh_connection_use_what_another_made)
{
	static const char *const texts[] = {"SELECT bm25(f) FROM f WHERE f MATCH 'x'",
	    "SELECT * FROM r WHERE a > 0",
	    "SELECT snippet(f4) FROM f4 WHERE f4 MATCH 'x'", "SELECT * FROM v",
	    "PRAGMA integrity_check"};

	must("CREATE VIRTUAL TABLE f USING fts5(x)");
	must("CREATE VIRTUAL TABLE r USING rtree(id, a, b)");
	must("CREATE VIRTUAL TABLE f4 USING fts4(x)");
	cr_assert_eq(sqlite3_close(db), SQLITE_OK);
	cr_assert_eq(
	    sqlite3_open_v2("guarded.db", &db, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
	cr_assert_eq(guard_install(&guard, db, true), SQLITE_OK);
	for (size_t i = 0; i < COUNT(texts); i++)
		must(texts[i]);
	cr_assert_eq(sqlite3_close(db), SQLITE_OK);
	cr_assert_eq(sqlite3_open("guarded.db", &db), SQLITE_OK);
	cr_assert_eq(guard_install(&guard, db, true), SQLITE_OK);
	must("WITH q AS (SELECT x FROM f) SELECT * FROM q");
	cr_expect_eq(facts, 0, "%#x", facts);
	must("WITH q AS (SELECT 'x' AS n) INSERT INTO f SELECT n FROM q");
	cr_expect_eq(facts, GUARD_INSERTS | GUARD_CHANGES, "%#x", facts);
	must("UPDATE r SET a=2");
	cr_expect_eq(facts, GUARD_CHANGES, "%#x", facts);
	must("DROP TABLE f");
	must("DROP TABLE f4");
	must("DROP TABLE r");
}

/* -- Facts ------------------------------------------------------------- */

enum {
	INSERTED = GUARD_INSERTS | GUARD_CHANGES,
	CHANGED = GUARD_CHANGES,
	COUNTED = GUARD_COUNTERS,
	DDL = GUARD_DDL,
};

Test(guard, notes_what_kind_of_text_it_was)
{
	static const struct {
		const char *sql;
		unsigned facts;
	} cases[] = {
	    {"SELECT * FROM t", 0},
	    {"VALUES(1)", 0},
	    {"PRAGMA user_version=1", 0},
	    {"INSERT INTO t(b) VALUES('a')", INSERTED},
	    {";/**/insert OR ROLLBACK INTO t(b) VALUES('b')", INSERTED},
	    {"REPLACE INTO t(b) VALUES('a')", INSERTED},
	    {"INSERT INTO t(b) VALUES('a') ON CONFLICT DO UPDATE SET c=1", INSERTED},
	    {"INSERT INTO t(b) VALUES('c') RETURNING a", INSERTED},
	    {"INSERT INTO t(b) SELECT name FROM sqlite_schema", INSERTED},
	    {"INSERT INTO v(a) VALUES(70)", INSERTED},
	    {"UPDATE t SET c=1", CHANGED},
	    {"UPDATE t SET c=1 WHERE 0", CHANGED},
	    {"DELETE FROM t WHERE a=70", CHANGED},
	    {"DELETE FROM sqlite_stat1", CHANGED},
	    {"WITH q AS (SELECT 71 n) INSERT INTO t(a) SELECT n FROM q", INSERTED},
	    {"WITH q AS (SELECT 71 n) REPLACE INTO t(a) SELECT n FROM q", INSERTED},
	    {"WITH q AS (SELECT 72 n) INSERT INTO v(a) SELECT n FROM q", INSERTED},
	    {"WITH q AS (SELECT 71 n) UPDATE t SET c=(SELECT n FROM q)", CHANGED},
	    {"WITH q AS (SELECT 71 n) DELETE FROM t WHERE a IN q", CHANGED},
	    {"WITH \"insert\" AS (SELECT 1) SELECT * FROM \"insert\"", 0},
	    {"WITH replace AS (SELECT 1) DELETE FROM t WHERE 0", CHANGED},
	    {"INSERT INTO f VALUES('x')", INSERTED},
	    {"INSERT INTO f(f) VALUES('rebuild')", INSERTED},
	    {"WITH q AS (SELECT 'y' n) INSERT INTO f SELECT n FROM q", INSERTED},
	    {"UPDATE f SET x='z'", CHANGED},
	    {"DELETE FROM f", CHANGED},
	    {"SELECT * FROM f WHERE f MATCH 'x'", 0},
	    {"EXPLAIN INSERT INTO t(b) VALUES('x')", 0},
	    {"EXPLAIN QUERY PLAN DELETE FROM t", 0},
	    {"EXPLAIN CREATE TABLE x(a)", 0},
	    {"EXPLAIN WITH q AS (SELECT 1) DELETE FROM t", 0},
	    {"CREATE TABLE x(a)", DDL},
	    {"CREATE TABLE y AS SELECT * FROM t", DDL},
	    {"CREATE INDEX xi ON x(a)", DDL},
	    {"CREATE VIEW xv AS SELECT * FROM x", DDL},
	    {"CREATE TRIGGER xt AFTER INSERT ON x BEGIN DELETE FROM y; END", DDL},
	    {"INSERT INTO x VALUES(1)", INSERTED},
	    {"CREATE VIRTUAL TABLE xf USING fts5(a)", DDL},
	    {"ALTER TABLE x RENAME TO x2", DDL},
	    {"ALTER TABLE x2 ADD COLUMN b NOT NULL DEFAULT 1", DDL},
	    {"ALTER TABLE x2 DROP COLUMN b", DDL},
	    {"DROP TABLE xf", DDL},
	    {"DROP VIEW xv", DDL},
	    {"DROP TABLE IF EXISTS nosuch", DDL},
	    {"ANALYZE", DDL},
	    {"ANALYZE t", DDL},
	    {"ANALYZE v",
		DDL}, /* the authorizer hears only of DELETE FROM sqlite_stat1 */
	    {"REINDEX", DDL},
	    {"REINDEX nocase", DDL}, /* the authorizer hears nothing */
	    {"SAVEPOINT a", GUARD_SAVEPOINT},
	    {"rollback /**/ TO a", GUARD_SAVEPOINT},
	    {"RELEASE a", GUARD_SAVEPOINT},
	    {"EXPLAIN SAVEPOINT a", 0},
	};

	must(
	    "CREATE TRIGGER io INSTEAD OF INSERT ON v BEGIN INSERT INTO t(a) VALUES(new.a); END");
	must("CREATE TRIGGER ai AFTER INSERT ON t BEGIN UPDATE t SET c=0 WHERE 0; END");
	must(
	    "CREATE TRIGGER au AFTER UPDATE ON t BEGIN INSERT INTO log VALUES(new.a); END");
	must(
	    "CREATE TRIGGER ad AFTER DELETE ON t BEGIN INSERT INTO log VALUES(old.a); END");
	must("CREATE TABLE log(a)");
	must("CREATE VIRTUAL TABLE f USING fts5(x)");
	for (size_t i = 0; i < COUNT(cases); i++) {
		must(cases[i].sql);
		cr_expect_eq(facts, cases[i].facts, "%s: %#x", cases[i].sql, facts);
	}
}

Test(guard, notes_counters_that_the_text_itself_names)
{
	static const struct {
		const char *sql;
		unsigned facts;
	} cases[] = {
	    {"SELECT last_insert_rowid()", COUNTED},
	    {"SELECT Changes(), 1", COUNTED},
	    {"SELECT \"total_changes\" /* ( */ ()", COUNTED},
	    {"SELECT * FROM t WHERE a=last_insert_rowid()", COUNTED},
	    {"SELECT n FROM (SELECT changes() AS n)", COUNTED},
	    {"WITH q AS (SELECT changes() AS n) SELECT n FROM q", COUNTED},
	    {"WITH q AS (SELECT 1) SELECT * FROM q, (SELECT total_changes())", COUNTED},
	    {"SELECT (SELECT (SELECT last_insert_rowid())) FROM v", COUNTED},
	    {"EXPLAIN SELECT changes()", COUNTED},
	    {"UPDATE t SET c=changes()", CHANGED | COUNTED},
	    {"DELETE FROM t WHERE a=changes()+1000", CHANGED | COUNTED},
	    {"INSERT INTO t(c) VALUES(last_insert_rowid())", INSERTED | COUNTED},
	    {"INSERT INTO t(c) VALUES(1) RETURNING last_insert_rowid()",
		INSERTED | COUNTED},
	    {"CREATE TABLE y AS SELECT changes() AS n", DDL | COUNTED},
	    {"SELECT * FROM v", 0},
	    {"SELECT (SELECT max(n) FROM v)", 0},
	    {"WITH q AS (SELECT * FROM v) SELECT * FROM q", 0},
	    {"SELECT 'changes()', \"changes()\"", 0},
	    {"SELECT 1 AS changes, 2 AS last_insert_rowid -- changes()", 0},
	    {"INSERT INTO t(c) VALUES(2)", INSERTED}, /* its trigger asks for them */
	    {"INSERT INTO counted(b) VALUES(1)", INSERTED},
	    {"CREATE VIEW v2 AS SELECT last_insert_rowid()", DDL},
	    {"CREATE TRIGGER ad AFTER DELETE ON t BEGIN SELECT changes(); END", DDL},
	    {"DELETE FROM t WHERE 0", CHANGED},
	};

	must(
	    "CREATE TRIGGER ai AFTER INSERT ON t BEGIN UPDATE t SET c=last_insert_rowid() + changes()"
	    " WHERE 0; END");
	must("CREATE TABLE counted(a DEFAULT (total_changes()), b)");
	for (size_t i = 0; i < COUNT(cases); i++) {
		must(cases[i].sql);
		cr_expect_eq(facts, cases[i].facts, "%s: %#x", cases[i].sql, facts);
	}
}

/* -- The connection ---------------------------------------------------- */

Test(guard, sets_the_connection_up)
{
	static const struct {
		int option, value;
	} options[] = {{SQLITE_DBCONFIG_DEFENSIVE, 1},
	    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, 1}, {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
	    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0}};

	sqlite3_close(db);
	cr_assert_eq(sqlite3_open("guarded.db", &db), SQLITE_OK);
	sqlite3_enable_load_extension(db, 1);
	sqlite3_db_config(db, SQLITE_DBCONFIG_WRITABLE_SCHEMA, 1, (int *)NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 1, (int *)NULL);
	sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, (int *)NULL);
	guard = (struct guard){.is_own = true, .is_refused = true, .facts = GUARD_DDL};
	cr_assert_eq(guard_install(&guard, db, true), SQLITE_OK);
	for (size_t i = 0; i < COUNT(options); i++) {
		int value = -1;

		sqlite3_db_config(db, options[i].option, -1, &value);
		cr_expect_eq(
		    value, options[i].value, "option %d is %d", options[i].option, value);
	}
	cr_expect_eq(sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, -1), 0);
	cr_expect_not(guard.is_own || guard.is_refused || guard.facts);
}

Test(guard, is_not_installed_where_a_function_cannot_be_replaced)
{
	sqlite3_stmt *stmt = NULL;

	sqlite3_close(db);
	cr_assert_eq(sqlite3_open("guarded.db", &db), SQLITE_OK);
	cr_assert_eq(sqlite3_create_function(db, "load_extension", 1, SQLITE_UTF8, NULL,
			 do_nothing, NULL, NULL),
	    SQLITE_OK);
	/* None that is in use can be. */
	cr_assert_eq(
	    sqlite3_prepare_v2(db, "SELECT a FROM t", -1, &stmt, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	cr_expect_eq(guard_install(&guard, db, true), SQLITE_BUSY);
	sqlite3_finalize(stmt);
}
