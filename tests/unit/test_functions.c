/* The functions that stand in for SQLite's: the same results, in linear time. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "broker/db/functions.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static sqlite3 *ours, *theirs;
static unsigned long state = 1;

static void open_both(void)
{
	cr_assert_eq(sqlite3_open(":memory:", &ours), SQLITE_OK);
	cr_assert_eq(sqlite3_open(":memory:", &theirs), SQLITE_OK);
	cr_assert_eq(functions_install(ours), SQLITE_OK);
}

static void close_both(void)
{
	sqlite3_close(ours);
	sqlite3_close(theirs);
}

TestSuite(functions, .init = open_both, .fini = close_both, .timeout = 240);

static size_t below(size_t bound)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (size_t)(state >> 33) % bound;
}

/* What ${sql} answers, with its type; the same memory for both is not needed. */
static char *answer(sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	char *text;

	cr_assert_eq(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK, "%s: %s",
	    sql, sqlite3_errmsg(db));
	if (sqlite3_step(stmt) == SQLITE_ROW)
		text = sqlite3_mprintf(
		    "%d %s", sqlite3_column_type(stmt, 0), sqlite3_column_text(stmt, 0));
	else
		text = sqlite3_mprintf("%s", sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
	return text;
}

static void must_agree(const char *call)
{
	/* As hex(): NUL bytes and torn characters too. */
	char *sql =
	    sqlite3_mprintf("SELECT typeof(x) || hex(x) FROM (SELECT %s AS x)", call);
	char *found = answer(ours, sql), *wanted = answer(theirs, sql);

	cr_assert_str_eq(found, wanted, "%s: %s, not %s", call, found, wanted);
	sqlite3_free(found);
	sqlite3_free(wanted);
	sqlite3_free(sql);
}

static const char *const values[] = {"NULL", "0", "1", "-7", "42", "123456789",
    "-9223372036854775808", "9223372036854775807", "3.14159", "-0.0", "1e300", "1.5e-10",
    "9e999", "''", "'a'", "'it''s \"q\"'", "'h\xc3\xa9llo'", "'\xe2\x82\xac'",
    "'\xf0\x9f\x8e\x88x'", "x'61ff00'", "x'c3'", "x'80'", "'a' || char(0) || 'b'",
    "'12abc'", "x''", "'%d'"};

Test(functions, printf_is_as_sqlites)
{
	static const char *const parts[] = {"%", "%", "%", "-", "+", " ", "#", "!", "0",
	    ",", "*", "1", "5", "12", ".", ".", ".3", ".*", ".0", "l", "ll", "d", "i",
	    "u", "x", "X", "o", "s", "s", "z", "q", "Q", "w", "c", "c", "f", "e", "E",
	    "g", "G", "n", "p", "r", "%%", "text", "\xc3\xa9", "T", "S", "k"};
	char call[1024];

	for (int i = 0; i < 8000; i++) {
		int len = sprintf(call, "%s('", below(2) ? "printf" : "format");
		for (size_t j = below(9); j > 0; j--)
			len += sprintf(call + len, "%s", parts[below(COUNT(parts))]);
		len += sprintf(call + len, "'");
		for (size_t j = below(4); j > 0; j--)
			len += sprintf(call + len, ", %s", values[below(COUNT(values))]);
		sprintf(call + len, ")");
		must_agree(call);
	}
	must_agree("printf()");
	must_agree("printf(NULL)");
	must_agree("printf(7)");
	must_agree(
	    "printf('%4294967297d|%-3c|%3c|%.3c|%8.3c|%-8.3c', 1, 'a', 'b', 'c', 'd', 'e')");
	must_agree("printf('%*d|%-*d|%*d', 5, 1, -5, 2, -2147483648, 3)");
	must_agree("printf('%.*c', 5000, '\xe2\x82\xac')");
	must_agree("length(printf('%.*f', 1000, 1.5))");
}

Test(functions, instr_and_replace_are_as_sqlites)
{
	static const char *const bytes[] = {
	    "61", "61", "62", "c3a9", "e282ac", "80", "c3", "00"};
	char call[1024];

	for (int i = 0; i < 8000; i++) {
		int len = sprintf(call, "%s(", i % 2 ? "instr" : "replace");
		bool is_text;
		for (int argument = 0; argument < (i % 2 ? 2 : 3); argument++) {
			len += sprintf(call + len, "%s", argument ? ", " : "");
			if (below(4) == 0) {
				len += sprintf(
				    call + len, "%s", values[below(COUNT(values))]);
				continue;
			}
			is_text = below(2);
			len += sprintf(call + len, is_text ? "CAST(x'" : "x'");
			for (size_t j = below(argument ? 3 : 12); j > 0; j--)
				len +=
				    sprintf(call + len, "%s", bytes[below(COUNT(bytes))]);
			len += sprintf(call + len, is_text ? "' AS TEXT)" : "'");
		}
		sprintf(call + len, ")");
		must_agree(call);
	}
}

static double seconds_of(const char *sql)
{
	struct timespec from, to;
	char *found;

	clock_gettime(CLOCK_MONOTONIC, &from);
	found = answer(ours, sql);
	clock_gettime(CLOCK_MONOTONIC, &to);
	sqlite3_free(found);
	return (double)(to.tv_sec - from.tv_sec) +
	    (double)(to.tv_nsec - from.tv_nsec) / 1e9;
}

/* SQLite's own take 13 s for the first here, and the product of the lengths for the others. */
Test(functions, take_time_in_proportion_to_what_they_read_and_write)
{
	static const char *const texts[] = {"SELECT printf('%.*c', 2000000000, 'x')",
	    "SELECT format('%.*c', 2000000000, '\xe2\x82\xac')",
	    "SELECT printf('%2000000000.2000000000c', 'x')",
	    "SELECT instr(zeroblob(8000000), zeroblob(4000000) || x'01')",
	    "SELECT instr(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || 'a')",
	    "SELECT replace(hex(zeroblob(4000000)), hex(zeroblob(2000000)) || 'a', '')"};

	sqlite3_limit(ours, SQLITE_LIMIT_LENGTH, 64 << 20);
	for (size_t i = 0; i < COUNT(texts); i++)
		cr_expect_lt(seconds_of(texts[i]), 5, "%s", texts[i]);
}

Test(functions, what_is_too_large_is_an_error)
{
	static const char *const texts[] = {"SELECT printf('%.*c', 2000000000, 'x')",
	    "SELECT printf('%*s', 2000000, 'x')", "SELECT format('%.2000000d', 1)",
	    "SELECT printf('%s%s', hex(zeroblob(400000)), hex(zeroblob(400000)))",
	    "SELECT replace(hex(zeroblob(100000)), '0', 'xxxxxxxx')"};

	sqlite3_limit(ours, SQLITE_LIMIT_LENGTH, 1000000);
	for (size_t i = 0; i < COUNT(texts); i++) {
		char *found = answer(ours, texts[i]);
		cr_expect_str_eq(
		    found, "string or blob too big", "%s: %.40s", texts[i], found);
		sqlite3_free(found);
	}
}

Test(functions, may_stand_in_indexes_and_constraints)
{
	static const char sql[] =
	    "PRAGMA trusted_schema=OFF;"
	    "CREATE TABLE t (a, b AS (printf('%05d', a)) STORED, CHECK (instr(a, 'x') = 0));"
	    "CREATE INDEX i ON t (format('%s', a), replace(a, 'b', 'c'));"
	    "INSERT INTO t VALUES (7); PRAGMA integrity_check";

	cr_assert_eq(sqlite3_exec(ours, sql, NULL, NULL, NULL), SQLITE_OK, "%s",
	    sqlite3_errmsg(ours));
}
