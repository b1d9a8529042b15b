/* How the poolite command writes what it got. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/shell.h"

TestSuite(cli_output, .init = shell_set_up, .fini = shell_tear_down, .timeout = 60);

/* ---- output -------------------------------------------------------------- */

#define ODD                                                                              \
	"\"SELECT 1 AS id, 'a' || char(9) || 'b' || char(10) || '\\\\' AS t, 2.5 AS r, " \
	"NULL AS n, x'00ff' AS b UNION ALL SELECT -10, '', 1e20, 'N', x''\""

Test(cli_output, tab_separated_lines_stay_lines)
{
	EXPECT("poolite query " ODD,
	    "1\ta\\tb\\n\\\\\t2.5\t\\N\t00ff\n-10\t\t1.0e+20\tN\t\n");
	EXPECT(
	    "poolite query --header --null - 'SELECT 1 AS a, NULL AS b'", "a\tb\n1\t-\n");
}

Test(cli_output, a_table_is_aligned_and_cannot_steer_the_terminal)
{
	EXPECT("poolite query --table " ODD,
	    "id   t        r        n     b\n"
	    "---  -------  -------  ----  -------\n"
	    "  1  a\\tb\\n\\      2.5  NULL  x'00ff'\n"
	    "-10           1.0e+20  N     x''\n"
	    "(2 rows)\n");
	EXPECT("poolite query --table \"SELECT '日本' AS j, char(27) || '[2J' AS esc\"",
	    "j     esc\n----  -------\n日本  \\x1b[2J\n(1 row)\n");
	EXPECT("poolite query --table 'SELECT 1 AS a WHERE 0'", "a\n-\n(0 rows)\n");
}

Test(cli_output, a_table_counts_the_rows_changed)
{
	EXPECT("poolite query --table \"INSERT INTO leads(title) VALUES ('a')\"",
	    "(1 row changed)\n");
	EXPECT("poolite query --table \"INSERT INTO leads(title) VALUES ('a'), ('b')\"",
	    "(2 rows changed)\n");
}

Test(cli_output, csv_quotes_what_needs_it)
{
	EXPECT(
	    "poolite query --csv --header "
	    "\"SELECT 1 AS id, 'a,b' AS \\\"x,y\\\", 'say \\\"hi\\\"' AS q, '' AS e, NULL AS n, '7' AS t\"",
	    "id,\"x,y\",q,e,n,t\r\n1,\"a,b\",\"say \"\"hi\"\"\",\"\",,\"7\"\r\n");
}

Test(cli_output, json_keeps_types)
{
	EXPECT("poolite query --json " ODD,
	    "{\"columns\": [\"id\", \"t\", \"r\", \"n\", \"b\"],\n"
	    " \"rows\": [\n"
	    "  [1, \"a\\u0009b\\n\\\\\", 2.5, null, \"00ff\"],\n"
	    "  [-10, \"\", 1e+20, \"N\", \"\"]],\n"
	    " \"changes\": 0, \"last_insert_id\": 0}\n");
	EXPECT("poolite query --json 'SELECT 1.0 AS one, 0.1 AS tenth, 9e999 AS inf'",
	    "{\"columns\": [\"one\", \"tenth\", \"inf\"],\n"
	    " \"rows\": [\n  [1.0, 0.1, null]],\n"
	    " \"changes\": 0, \"last_insert_id\": 0}\n");
}

Test(cli_output, update_tells_changes_and_id)
{
	EXPECT("poolite update 'INSERT INTO leads(title) VALUES (?)' x", "1\t1\n");
	EXPECT("poolite update --json 'INSERT INTO leads(title) VALUES (?), (?)' x y",
	    "{\"changes\": 2, \"last_insert_id\": 3}\n");
	EXPECT("poolite update --table 'DELETE FROM leads'",
	    "changes         3\nlast_insert_id  0\n");
	EXPECT(
	    "poolite query --json \"INSERT INTO leads(title) VALUES ('z') RETURNING id\"",
	    "{\"columns\": [\"id\"],\n \"rows\": [\n  [1]],\n"
	    " \"changes\": 1, \"last_insert_id\": 1}\n");
}

Test(cli_output, output_that_cannot_be_written_is_an_error)
{
	EXPECT_FAILURE(
	    "poolite query 'SELECT 1' > /dev/full", 1, "cannot write the output");
	/* More than a pipe holds, to somebody who has gone. */
	CHECK_EQ(
	    shell_run(
		"(poolite query 'SELECT hex(zeroblob(500000))'; echo status $? >&2) | true"),
	    0);
	CHECK_TEXT(shell_output, "status 1\n");
}

/* ---- the broker ---------------------------------------------------------- */

Test(cli_output, stats_and_health_are_for_eyes_or_json)
{
	EXPECT("poolite ping", "pong\n");
	EXPECT("poolite ping --json", "{\"answer\": \"pong\"}\n");
	CHECK_EQ(shell_run("poolite stats"), 0);
	CHECK_HAS(shell_output, "max_connections            10\n");
	CHECK_HAS(shell_output, "\nlast_health_check          20"); /* a date */
	CHECK_HAS(shell_output, "\nerrors                     -\n");
	CHECK_EQ(shell_run("poolite stats --json"), 0);
	CHECK_HAS(shell_output, "\"max_connections\": 10");
	CHECK_EQ(shell_run("poolite health"), 0);
	CHECK_HAS(shell_output, "status         healthy\n");
	CHECK_EQ(shell_run("poolite health --json"), 0);
	CHECK_HAS(shell_output, "\"status\": \"healthy\"");
}
