/* Rows from standard input, and scripts. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/shell.h"

TestSuite(cli_batch, .init = shell_set_up, .fini = shell_tear_down, .timeout = 60);

/* ---- batches ------------------------------------------------------------- */

#define INSERT "'INSERT INTO leads(title, score) VALUES (?, ?)'"
#define SHOW   "poolite query 'SELECT title, score, typeof(score) FROM leads'"

Test(cli_batch, csv_comes_in_as_rfc_4180_has_it)
{
	EXPECT_WITH("poolite batch --format csv " INSERT,
	    "a,1\r\n\"b,c\",\"2\"\n\"say \"\"hi\"\"\nthere\",\n\n007,null\nlast,-1.5",
	    "5\t5\n");
	EXPECT(SHOW,
	    "a\t1\tinteger\n"
	    "b,c\t2\ttext\n"
	    "say \"hi\"\\nthere\t\ttext\n"
	    "007\t\\N\tnull\n"
	    "last\t-1.5\treal\n");
}

Test(cli_batch, csv_may_have_a_heading_and_a_word_for_null)
{
	EXPECT_WITH("poolite batch --format csv --header --null - " INSERT,
	    "\357\273\277title,score\nx,-\ny,\"-\"\n", "2\t2\n");
	EXPECT(SHOW, "x\t\\N\tnull\ny\t-\ttext\n");
	EXPECT_WITH("poolite batch --format csv --text " INSERT, "z,1\n", "1\t3\n");
	EXPECT("poolite query \"SELECT typeof(score) FROM leads WHERE title = 'z'\"",
	    "text\n");
}

#define NAMED                                                                            \
	"\"INSERT INTO leads(title, score) /* 'a:b' */ VALUES (:title, @score || ':x')\""

Test(cli_batch, csv_s_heading_names_the_parameters_that_have_names)
{
	EXPECT_WITH("poolite batch --format csv --header " NAMED,
	    "score,title\n1,a\n2,b\n", "2\t2\n");
	EXPECT(SHOW, "a\t1:x\ttext\nb\t2:x\ttext\n");
	EXPECT_FAILURE_WITH("poolite batch --format csv " NAMED, "1,a\n", 2, "--header");
	EXPECT_FAILURE_WITH("poolite batch --format csv --header " NAMED,
	    "score,title,more\n1,a,3\n", 1, "more");
	EXPECT_FAILURE_WITH("poolite batch --format csv --header " NAMED,
	    "score,title\n1,a,3\n", 1, "more cells");
	EXPECT_FAILURE_WITH(
	    "poolite batch --format csv --header " NAMED, "title\na\n", 1, "score");
	/* What only looks like a name is none. */
	EXPECT_WITH("poolite batch --format csv \"INSERT INTO leads(title, score) "
		    "VALUES (? || ' :x', /* :y */ ?) -- :z\"",
	    "c,3\n", "1\t3\n");
}

Test(cli_batch, what_goes_out_as_csv_comes_in_again)
{
	shell_run("poolite update \"INSERT INTO leads(title, score) VALUES "
		  "('1', 1), ('', 2.5), ('null', NULL), ('x,\\\"y', 'z')\"");
	EXPECT(
	    "poolite query --csv --header --null '' 'SELECT title, score FROM leads' | "
	    "poolite batch --format csv --header --null '' " INSERT,
	    "4\t8\n");
	EXPECT(
	    "poolite query 'SELECT count(*) FROM leads a JOIN leads b ON b.id = a.id + 4 "
	    "AND b.title IS a.title AND b.score IS a.score AND typeof(b.title) = "
	    "typeof(a.title)'",
	    "4\n");
}

Test(cli_batch, json_lines_bind_by_position_or_by_name)
{
	EXPECT_WITH("poolite batch --format jsonl " INSERT,
	    "[\"a\", 1]\n\n[\"b\\u0000c\", 2.5]\n[null, true]\n", "3\t3\n");
	EXPECT(SHOW, "a\t1\tinteger\nb\\0c\t2.5\treal\n\\N\t1\tinteger\n");
	EXPECT_WITH("poolite batch --format jsonl "
		    "'INSERT INTO leads(title, score) VALUES (:title, :score)'",
	    "{\"title\": \"x\", \"score\": 1}\n{\"score\": 2, \"title\": \"y\"}\n",
	    "2\t5\n");
	EXPECT("poolite query 'SELECT title, score FROM leads WHERE id > 3'",
	    "x\t1\ny\t2\n");
}

Test(cli_batch, errors_in_the_input_name_its_line)
{
	static const struct {
		const char *format, *input, *says;
	} cases[] = {
	    {"csv", "a,1\nb\n", "line 2: 1 value: expected 2, as in line 1"},
	    {"csv", "a,1\nb,\"x\n\ny", "line 2: the quote opened here is not closed"},
	    {"csv", "\"a\n\",1\nb,x\"y\"\n", "line 3: a quote in the middle"},
	    {"csv", "a,1\n\"b\"c,1\n", "line 2: a quote in the middle"},
	    {"csv", "a,1\n\xff,1\n", "line 2: not UTF-8"},
	    {"jsonl", "[1, 2]\n[1, 2\n",
		"line 2: ']' expected near the end of the line\n"},
	    {"jsonl", "[1, 99999999999999999999]\n", "line 1: too big integer"},
	    {"jsonl", "[1, 2]\n7\n",
		"line 2: a number: expected a row, as in [\"a\", 1]"},
	    {"jsonl", "[1, 2]\n\n[1, [2]]\n",
		"line 3: value 2 is an array: expected a string, a number,"},
	    {"jsonl", "{\"a\": 1, \"b\": {}}\n",
		"line 1: the value of \"b\" is an object:"},
	    {"jsonl", "\n[1, 2]\n[1, 2, 3]\n",
		"line 3: 3 values: expected 2, as in line 2"},
	    {"jsonl", "[1, 2]\n{\"a\": 1}\n",
		"line 2: an object: expected an array, as in line 1"},
	    {"jsonl", "{\"a\": 1}\n[1]\n",
		"line 2: an array: expected an object, as in line 1"},
	    {"jsonl", "{\"a\": 1, \"b\": 2}\n{\"b\": 1}\n",
		"line 2: the key \"a\" is missing: expected \"a\", \"b\", as in line 1"},
	    {"jsonl", "{\"a\": 1, \"b\": 2}\n{\"b\": 1, \"A\": 1}\n",
		"line 2: the key \"A\" is unknown: expected \"a\", \"b\", as in line 1"},
	    {"jsonl", "{\"a\": 1, \"b\": 2}\n{\"a\": 1, \"b\": 2, \"c\": 3}\n",
		"line 2: the key \"c\" is unknown"},
	    {"jsonl", "[]\n{\"a\": 1}\n",
		"line 2: the key \"a\" is unknown: expected no keys"},
	    {"jsonl",
		"{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1}\n{}\n",
		"\"7\", \"8\" and 1 more, as in line 1"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[200];

		snprintf(line, sizeof line, "poolite batch --format %s " INSERT,
		    cases[i].format);
		EXPECT_FAILURE_WITH(line, cases[i].input, 1, cases[i].says);
		CHECK_HAS(shell_output,
		    "hint: nothing was sent: all of the input is read first\n");
	}
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
}

Test(cli_batch, errors_of_the_broker_name_the_line_of_the_row)
{
	EXPECT_FAILURE_WITH(
	    "poolite batch --format csv --header 'INSERT INTO leads(title, id) VALUES (?, ?)'",
	    "title,id\n\"two\nlines\",1\n\nx,1\n", 1,
	    "(row 2 of 2)\nhint: row 2 is on line 5 of the input");
	EXPECT_FAILURE_WITH("poolite batch --format jsonl "
			    "'INSERT INTO leads(title) VALUES (:title)'",
	    "\n{\"titel\": 1}\n", 1,
	    "no parameter 'titel' (row 1 of 1)\nhint: row 1 is on line 2 of the input");
}

Test(cli_batch, in_several_messages_too)
{
	struct poolited small;

	poolited_start(&small, "--max-frame-bytes", "65536");
	setenv("POOLITE_SOCKET", small.socket, 1);
	CHECK_EQ(shell_run("poolite update 'CREATE TABLE t(id PRIMARY KEY)'"), 0);
	EXPECT_FAILURE("{ seq 40000; echo 7; seq 40001 49999; } | "
		       "poolite batch --format csv 'INSERT INTO t VALUES (?)'",
	    1, "(row 40001 of 50000)\nhint: row 40001 is on line 40001 of the input");
	EXPECT("poolite query 'SELECT count(*) FROM t'", "0\n");
	poolited_end(&small);
}

Test(cli_batch, a_batch_is_all_or_nothing)
{
	EXPECT_FAILURE_WITH(
	    "poolite batch --format csv 'INSERT INTO leads(id) VALUES (?)'", "1\n2\n1\n",
	    1, "poolite: CONSTRAINT: ");
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
	EXPECT_WITH("poolite batch --format csv " INSERT, "", "0\t0\n");
}

Test(cli_batch, in_chunks_what_is_in_stays)
{
	static const char count[] = "poolite query 'SELECT count(*), max(id) FROM leads'";

	EXPECT_WITH("poolite batch --format csv --chunk-rows 2 "
		    "'INSERT INTO leads(id) VALUES (?)'",
	    "1\n2\n3\n", "3\t3\n");
	EXPECT_FAILURE_WITH("poolite batch --format csv --chunk-rows 2 "
			    "'INSERT INTO leads(id) VALUES (?)'",
	    "4\n\"5\"\n6\n7\n8\n1\n9\n", 1,
	    "(row 6 of 7)\n"
	    "hint: row 6 is on line 6 of the input\n"
	    "hint: the first 4 of 7 rows are in the database, and no others: go on from "
	    "line 5 of the input\n");
	EXPECT(count, "7\t7\n");
	/* As it says. */
	EXPECT("printf '4\\n5\\n6\\n7\\n8\\n10\\n9\\n' | tail -n +5 | poolite batch "
	       "--format csv --chunk-rows 2 'INSERT INTO leads(id) VALUES (?)'",
	    "3\t9\n");
	EXPECT(count, "10\t10\n");
	/* The first chunk: nothing is in, and nothing is said of it. */
	EXPECT_FAILURE_WITH("poolite batch --format csv --chunk-rows 2 "
			    "'INSERT INTO leads(id) VALUES (?)'",
	    "11\n1\n12\n", 1, "hint: row 2 is on line 2 of the input");
	CHECK(!strstr(shell_output, "are in the database"), "%s", shell_output);
	EXPECT(count, "10\t10\n");
}

Test(cli_batch, in_chunks_one_goes_on_below_the_heading)
{
	EXPECT_FAILURE_WITH("poolite batch --format csv --header --chunk-rows 1 "
			    "'INSERT INTO leads(title, id) VALUES (:title, :id)'",
	    "id,title\n1,\"two\nlines\"\n2,b\n1,c\n", 1,
	    "hint: row 3 is on line 5 of the input\n"
	    "hint: the first 2 of 3 rows are in the database, and no others: go on from "
	    "line 5 of the input, with the heading before it (--header)\n");
}

Test(cli_batch, in_chunks_over_several_messages)
{
	struct poolited small;

	poolited_start(&small, "--max-frame-bytes", "65536");
	setenv("POOLITE_SOCKET", small.socket, 1);
	CHECK_EQ(shell_run("poolite update 'CREATE TABLE t(id PRIMARY KEY)'"), 0);
	EXPECT_FAILURE("{ seq 40000; echo 7; seq 40001 49999; } | poolite batch "
		       "--format csv --chunk-rows 1000 'INSERT INTO t VALUES (?)'",
	    1,
	    "hint: the first 40000 of 50000 rows are in the database, and no others: go "
	    "on from line 40001 of the input\n");
	EXPECT("poolite query 'SELECT count(*) FROM t'", "40000\n");
	poolited_end(&small);
}

Test(cli_batch, what_the_wal_does_not_hold_is_to_be_cut_in_chunks)
{
	struct poolited small;

	poolited_start(&small, "--wal-limit", "1M", "--cache", "64K");
	setenv("POOLITE_SOCKET", small.socket, 1);
	CHECK_EQ(shell_run("poolite update 'CREATE TABLE t (x)'; seq 300000 > rows"), 0);
	EXPECT_FAILURE("poolite batch --format csv 'INSERT INTO t VALUES (?)' < rows", 1,
	    "hint: --chunk-rows N commits after each N rows, and needs less of the WAL\n");
	EXPECT_FAILURE("poolite batch --format csv --chunk-rows 290000 'INSERT INTO t "
		       "VALUES (?)' < rows",
	    1, "hint: fewer rows to a chunk (--chunk-rows) need less of the WAL\n");
	EXPECT("poolite batch --format csv --chunk-rows 1000 'INSERT INTO t VALUES (?)' "
	       "< rows",
	    "300000\t300000\n");
	poolited_end(&small);
}

Test(cli_batch, chunks_are_so_many_rows)
{
	static const char *const sizes[] = {
	    "0", "-1", "1000001", "x", "1.5", "''", "1x", "99999999999999999999999"};

	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		char line[200];

		snprintf(line, sizeof line,
		    "poolite batch --format csv --chunk-rows %s " INSERT, sizes[i]);
		EXPECT_FAILURE_WITH(line, "a,1\n", 2,
		    "--chunk-rows wants a number of rows, from 1 to 1000000, not ");
	}
	EXPECT_FAILURE("poolite batch --chunk-rows", 2, "--chunk-rows: N is missing");
	EXPECT_FAILURE(
	    "poolite query --chunk-rows 5 'SELECT 1'", 2, "query takes no --chunk-rows");
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
}

/* ---- scripts ------------------------------------------------------------- */

Test(cli_batch, a_script_comes_from_a_file_or_the_input)
{
	EXPECT(
	    "echo 'INSERT INTO leads(title) VALUES (1); INSERT INTO leads(title) VALUES (2)' "
	    "> s.sql; poolite script s.sql",
	    "2\t2\n");
	EXPECT_WITH("poolite script --json -", "DELETE FROM leads;",
	    "{\"statements\": 1, \"changes\": 2}\n");
	EXPECT_FAILURE("poolite script missing.sql", 1, "cannot open \"missing.sql\"");
	EXPECT_FAILURE("printf 'SELECT 1\\0' | poolite script -", 1, "NUL");
	EXPECT_FAILURE_WITH("poolite script -", "nonsense", 1, "poolite: SQL_ERROR: ");
}

Test(cli_batch, what_no_script_can_do_has_a_hint)
{
	EXPECT_FAILURE_WITH("poolite script -", "PRAGMA writable_schema=ON;", 1,
	    "hint: the dump of a virtual table; serve the database's file");
	EXPECT_FAILURE("(printf 'SELECT \\047'; head -c 20000000 /dev/zero | tr '\\0' x; "
		       "echo \"';\") | poolite script -",
	    1, "hint: a script is one message; ");
	EXPECT_FAILURE("poolite update BEGIN", 1, "hint: poolite script runs");
}

Test(cli_batch, a_dump_of_sqlite3_goes_in)
{
	EXPECT(
	    "sqlite3 old.db \"CREATE TABLE p(id INTEGER PRIMARY KEY);"
	    "CREATE TABLE c(p REFERENCES p); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)\" "
	    "&& sqlite3 old.db .dump | poolite script - > /dev/null "
	    "&& poolite query 'SELECT count(*) FROM c JOIN p ON p.id = c.p'",
	    "1\n");
}
