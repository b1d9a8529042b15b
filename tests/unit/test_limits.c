/* Limits of a connection, the hardened profile, and texts that take long to compile. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/db/internal.h"
#include "broker/db/memory.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define VALUE_BYTES ((int64_t)8 << 20)

static char folder[64], path[96];
static struct clock time_of_broker;
static struct connection *connection;
static struct poolite__failure failure;

static void set_up(void)
{
	FILE *file;

	strcpy(folder, "/tmp/poolite-limits-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/db", folder);
	file = fopen(path, "w");
	cr_assert_not_null(file);
	fclose(file);
	clock_init(&time_of_broker);
}

static void tear_down(void)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char name[128];

	connection_close(connection);
	for (size_t i = 0; i < COUNT(ends); i++) {
		snprintf(name, sizeof name, "%s%s", path, ends[i]);
		unlink(name);
	}
	rmdir(folder);
}

TestSuite(limits, .init = set_up, .fini = tear_down, .timeout = 60);

static bool examines; /* the file, at the next opening */

static int try_open(enum connection_role role, bool hardened)
{
	struct connection_options options = {.path = path,
	    .role = role,
	    .synchronous = 1,
	    .foreign_keys = true,
	    .hardened = hardened,
	    .examine = examines,
	    .cache_bytes = 1 << 20,
	    .value_bytes_max = VALUE_BYTES,
	    .clock = &time_of_broker};

	connection_close(connection);
	connection = NULL;
	return connection_open(&options, &connection, &failure);
}

static void open_as(enum connection_role role, bool hardened)
{
	cr_assert_eq(try_open(role, hardened), 0, "%s", failure.message);
}

/* 0, or the code of ${failure}. */
static int run(const char *sql)
{
	struct execution execution = {.sql = sql,
	    .sql_len = strlen(sql),
	    .where = EXECUTE_COMPOUND,
	    .result = EXECUTE_EITHER,
	    .can_write = true};
	struct poolite__buf out;
	int rc;

	poolite__buf_init(&out, SIZE_MAX, NULL);
	rc = execute_statement(connection, &execution, &out, &failure);
	poolite__buf_release(&out);
	return rc;
}

static void must(const char *sql)
{
	int rc = run(sql);

	cr_assert_eq(rc, 0, "%.60s: %s", sql, failure.message);
}

/* ${count} times ${part} between ${head} and ${tail}; freed with the test's process. */
static const char *many(const char *head, int count, const char *part, const char *tail)
{
	char *text =
	    malloc(strlen(head) + (size_t)count * strlen(part) + strlen(tail) + 1);
	char *end = stpcpy(text, head);

	for (int i = 0; i < count; i++)
		end = stpcpy(end, part);
	strcpy(end, tail);
	return text;
}

/* -- What is set ---------------------------------------------------------- */

Test(limits, are_set_on_every_connection)
{
	/* As Debian built it where the broker leaves it. */
	static const struct {
		int limit, ordinary, fast, hardened;
	} cases[] = {
	    {SQLITE_LIMIT_LENGTH, VALUE_BYTES, FAST_VALUE_BYTES, 1000000},
	    {SQLITE_LIMIT_SQL_LENGTH, 1000000000, 1000000000, 100000},
	    {SQLITE_LIMIT_COLUMN, 2000, 2000, 100},
	    {SQLITE_LIMIT_EXPR_DEPTH, 1000, 1000, 10},
	    {SQLITE_LIMIT_COMPOUND_SELECT, 500, 500, 3},
	    {SQLITE_LIMIT_VDBE_OP, 10000000, 10000000, 25000},
	    {SQLITE_LIMIT_FUNCTION_ARG, 127, 127, 8},
	    {SQLITE_LIMIT_ATTACHED, 0, 0, 0},
	    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 2048, FAST_PATTERN_BYTES, 50},
	    {SQLITE_LIMIT_VARIABLE_NUMBER, 250000, 250000, 10},
	    {SQLITE_LIMIT_TRIGGER_DEPTH, 1000, 1000, 10},
	    {SQLITE_LIMIT_WORKER_THREADS, 0, 0, 0},
	};

	for (enum connection_role role = CONNECTION_WRITER; role <= CONNECTION_FAST;
	     role++)
		for (int hardened = 0; hardened < 2; hardened++) {
			open_as(
			    CONNECTION_WRITER, hardened); /* so that there is a file */
			open_as(role, hardened);
			for (size_t i = 0; i < COUNT(cases); i++) {
				int wanted = hardened         ? cases[i].hardened
				    : role == CONNECTION_FAST ? cases[i].fast
							      : cases[i].ordinary;
				if (role == CONNECTION_FAST && cases[i].fast < wanted)
					wanted = cases[i].fast;
				cr_expect_eq(
				    sqlite3_limit(connection->db, cases[i].limit, -1),
				    wanted, "role %d, hardened %d, limit %d", (int)role,
				    hardened, cases[i].limit);
			}
		}
}

/* Each text is fine for honest programs, and too much once hardened. */
Test(limits, hardened_refuses_what_is_large)
{
	const char *const texts[] = {"SELECT length(zeroblob(1000001))",
	    many("SELECT 1 --", 100000, "x", ""), many("SELECT 1", 100, ", 1", ""),
	    many("SELECT 1", 11, " + 1", ""),
	    many("SELECT 1", 3, " UNION ALL SELECT 1", ""),
	    many("SELECT 1 IN (1", 24000, ", 1", ")"),
	    "SELECT max(1, 2, 3, 4, 5, 6, 7, 8, 9)",
	    many("SELECT 'x' LIKE '", 51, "x", "'"), "SELECT ?11 IS NULL"};

	for (size_t i = 0; i < COUNT(texts); i++) {
		int rc;
		open_as(CONNECTION_WRITER, false);
		rc = run(texts[i]);
		cr_expect(rc == 0 || rc == POOLITE_BAD_REQUEST, "%.40s: %s", texts[i],
		    failure
			.message); /* BAD_REQUEST: it compiles, and wants its argument */
		open_as(CONNECTION_WRITER, true);
		rc = run(texts[i]);
		cr_expect(rc < 0 && rc != POOLITE_BAD_REQUEST, "%.40s: %d", texts[i], rc);
	}
}

Test(limits, bound_what_one_like_costs)
{
	open_as(CONNECTION_WRITER, false);
	must(many("SELECT 'x' LIKE '", 2048, "x", "'"));
	cr_expect_lt(run(many("SELECT 'x' LIKE '", 2049, "x", "'")), 0);
	cr_expect_not_null(strstr(failure.message, "pattern"), "%s", failure.message);
	cr_expect_lt(run(many("SELECT 'x' GLOB '", 2049, "x", "'")), 0);
}

/* SQLite's own would count for 13 s, and answer NULL. */
Test(limits, bound_printf_on_every_connection)
{
	open_as(CONNECTION_WRITER, false);
	for (enum connection_role role = CONNECTION_WRITER; role <= CONNECTION_FAST;
	     role++) {
		open_as(role, false);
		cr_expect_eq(
		    run("SELECT printf('%.*c', 2000000000, 'x')"), POOLITE_TOO_LARGE);
	}
}

/* -- Hardened --------------------------------------------------------------- */

static int64_t own_number(const char *sql)
{
	sqlite3_stmt *stmt;
	int64_t number;

	connection->guard.is_own = true;
	cr_assert_eq(sqlite3_prepare_v2(connection->db, sql, -1, &stmt, NULL), SQLITE_OK);
	cr_assert_eq(sqlite3_step(stmt), SQLITE_ROW);
	number = sqlite3_column_int64(stmt, 0);
	sqlite3_finalize(stmt);
	connection->guard.is_own = false;
	return number;
}

Test(limits, hardened_trusts_neither_pages_nor_schema)
{
	for (int hardened = 0; hardened < 2; hardened++) {
		open_as(CONNECTION_WRITER, hardened);
		cr_expect_eq(own_number("PRAGMA cell_size_check"), hardened);
		cr_expect_eq(own_number("PRAGMA trusted_schema"), !hardened);
		cr_expect_eq(own_number("PRAGMA mmap_size"), 0);
	}
}

/* What README says of them: these need a schema that is trusted. */
Test(limits, hardened_stops_what_only_a_trusted_schema_may_do)
{
	static const char *const made[] = {"CREATE TABLE t (a, b)",
	    "CREATE VIRTUAL TABLE f USING fts5(b)",
	    "CREATE VIRTUAL TABLE r USING rtree(i, x, y)",
	    "CREATE TRIGGER ai AFTER INSERT ON t BEGIN INSERT INTO f VALUES (new.b); END",
	    "CREATE VIEW vf AS SELECT * FROM f", "CREATE VIEW vr AS SELECT * FROM r",
	    "CREATE VIEW vj AS SELECT json_extract(b, '$.x') FROM t",
	    "CREATE TABLE d (a DEFAULT (json('{}')), b DEFAULT (datetime('now')))"};
	static const char *const stopped[] = {"INSERT INTO t VALUES (1, '{}')",
	    "SELECT * FROM vf", "SELECT * FROM vr", "SELECT * FROM vj",
	    "INSERT INTO d (b) VALUES (1)", "CREATE TABLE x (a CHECK (json_valid(a)))",
	    "CREATE TABLE y (a, b AS (a ->> '$.x'))",
	    "CREATE INDEX i ON t (json_extract(b, '$.x'))"};
	static const char *const fine[] = {"INSERT INTO f VALUES ('x')",
	    "SELECT * FROM f WHERE f MATCH 'x'", "INSERT INTO r VALUES (1, 0, 1)",
	    "SELECT json_extract(b, '$.x') FROM t", "INSERT INTO d (a) VALUES (1)",
	    "CREATE TABLE z (a CHECK (instr(a, 'x') = 0), b AS (printf('%d', a)))"};

	open_as(CONNECTION_WRITER, false);
	for (size_t i = 0; i < COUNT(made); i++)
		must(made[i]);
	for (size_t i = 0; i < COUNT(stopped) - 3; i++)
		must(stopped[i]);
	open_as(CONNECTION_WRITER, true);
	for (size_t i = 0; i < COUNT(stopped); i++) {
		cr_expect_eq(run(stopped[i]), POOLITE_SQL_ERROR, "%s", stopped[i]);
		cr_expect_not_null(strstr(failure.message, "unsafe use"), "%s: %s",
		    stopped[i], failure.message);
	}
	for (size_t i = 0; i < COUNT(fine); i++)
		must(fine[i]);
	/* JSON in a CHECK is part of the table: such a file is not served at all. */
	open_as(CONNECTION_WRITER, false);
	must("CREATE TABLE x (a CHECK (json_valid(a)))");
	cr_expect_eq(try_open(CONNECTION_WRITER, true), POOLITE_CORRUPT);
	cr_expect_not_null(strstr(failure.message, "unsafe use"), "%s", failure.message);
	open_as(CONNECTION_WRITER, false);
	must("DROP TABLE x");
	open_as(CONNECTION_WRITER, true);
}

/* Else it would be a damaged file once the schema is read anew, in the middle of the work. */
Test(limits, hardened_opens_no_file_whose_schema_does_not_fit)
{
	open_as(CONNECTION_WRITER, false);
	must(
	    "CREATE TABLE x (a CHECK (a + a + a + a + a + a + a + a + a + a + a + a > 0))");
	cr_expect_neq(try_open(CONNECTION_WRITER, true), 0);
	cr_expect_not_null(strstr(failure.message, "depth"), "%s", failure.message);
}

Test(limits, examined_file_is_no_damaged_one)
{
	FILE *file;

	open_as(CONNECTION_WRITER, true);
	must("CREATE TABLE t (a)");
	must("CREATE INDEX i ON t (a)");
	must("INSERT INTO t VALUES (1), (2), (3)");
	connection_close(connection); /* its checkpoint moves all into the file */
	connection = NULL;
	examines = true;
	open_as(CONNECTION_WRITER, true);
	connection_close(connection);
	connection = NULL;
	file = fopen(path, "r+");
	cr_assert_eq(fseek(file, 2 * 4096 - 30, SEEK_SET), 0); /* rows of t, on page 2 */
	for (int i = 0; i < 30; i++)
		fputc(0x55, file);
	fclose(file);
	cr_expect_eq(try_open(CONNECTION_WRITER, true), POOLITE_CORRUPT);
	cr_expect_not_null(strstr(failure.message, "quick_check"), "%s", failure.message);
	examines = false;
	open_as(CONNECTION_WRITER, true);
}

/* -- Compiling --------------------------------------------------------------- */

/* A thousand bytes whose program grows with 2 to the power of ${depth}. */
static const char *bomb(int depth)
{
	static char text[4096];
	int len = sprintf(text, "WITH c0 AS (SELECT 1 a)");

	for (int i = 1; i <= depth; i++)
		len += sprintf(text + len, ", c%d AS (SELECT x.a FROM c%d x, c%d y)", i,
		    i - 1, i - 1);
	sprintf(text + len, " SELECT count(*) FROM c%d", depth);
	return text;
}

/* SQLite 3.40 asks no progress handler while it compiles; this would take hours, and all memory. */
Test(limits, memory_bounds_what_a_text_takes_to_compile)
{
	memory_install();
	open_as(CONNECTION_WRITER, false);
	memory_cap_thread((int64_t)32 << 20);
	cr_expect_eq(run(bomb(40)), POOLITE_OVERLOADED, "%s", failure.message);
	must(bomb(4));
}
