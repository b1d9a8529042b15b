/* How the poolite command writes what it got. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/answer.h"
#include "tests/support/check.h"
#include "tests/support/fake_broker.h"
#include "tests/support/notation.h"
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

Test(cli_output, a_table_tells_null_from_text_and_blobs_from_text)
{
	EXPECT(
	    "poolite query --table \"SELECT NULL, 'NULL', '', x'00', 'x''00''', '''NULL''', "
	    "'it''s', '''' \" | tail -n +3",
	    "NULL  'NULL'      x'00'  'x'00''    ''NULL''    it's     '\n(1 row)\n");
	EXPECT(
	    "poolite query --table --null '' \"SELECT NULL AS a, '' AS b, 'NULL' AS c\"",
	    "a  b   c\n-  --  ----\n   ''  NULL\n(1 row)\n");
	EXPECT("poolite query --table --null '\\N' \"SELECT NULL AS a, '\\N' AS b\"",
	    "a   b\n--  ----\n\\N  '\\N'\n(1 row)\n");
}

Test(cli_output, a_table_measures_what_the_terminal_shows)
{
	/* Two columns each; one with its accent; none; and what is not shown. */
	EXPECT(
	    "poolite query --table \"SELECT '日本' AS a, 1 AS b UNION ALL SELECT 'e' || "
	    "char(769) || 'x', 2 UNION ALL SELECT char(8203), 3 "
	    "UNION ALL SELECT char(133) || char(8238), 4\"",
	    "a             b\n"
	    "------------  -\n"
	    "日本          1\n"
	    "e\u0301x            2\n"
	    "\u200b              3\n"
	    "\\u0085\\u202e  4\n"
	    "(4 rows)\n");
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

/* Who tries again after a failure would make the change twice. */
Test(cli_output, a_change_whose_output_cannot_be_written_is_said_to_be_made)
{
	static const char *const lines[] = {
	    "poolite update 'INSERT INTO leads(title) VALUES (1)'",
	    "poolite query 'INSERT INTO leads(title) VALUES (1) RETURNING id'",
	    "poolite query --json 'INSERT INTO leads(title) VALUES (1) RETURNING id'",
	    "echo 1 | poolite batch --format csv 'INSERT INTO leads(title) VALUES (?)'",
	    "echo 'INSERT INTO leads(title) VALUES (1)' | poolite script -",
	};
	char line[200], wanted[20];

	for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
		snprintf(line, sizeof line, "%s > /dev/full", lines[i]);
		EXPECT_FAILURE(line, 5,
		    "poolite: the change was made, but its output cannot be written: No "
		    "space left on device\n");
		snprintf(line, sizeof line,
		    "mkfifo gone; exec 3<>gone; exec 4>gone 3<&-; (%s) >&4", lines[i]);
		EXPECT_FAILURE(line, 5,
		    "poolite: the change was made, but its output cannot be written: "
		    "nobody reads it\n");
		CHECK_EQ(unlink("gone"), 0);
		snprintf(wanted, sizeof wanted, "%zu\n", 2 * i + 2);
		EXPECT("poolite query 'SELECT count(*) FROM leads'", wanted);
	}
	EXPECT_FAILURE("poolite update 'INSERT INTO leads(id) VALUES (1)' > /dev/full", 1,
	    "poolite: CONSTRAINT: ");
}

/* ---- the broker ---------------------------------------------------------- */

Test(cli_output, stats_and_health_are_for_eyes_or_json)
{
	EXPECT("poolite ping", "pong\n");
	EXPECT("poolite ping --json", "{\"answer\": \"pong\"}\n");
	CHECK_EQ(shell_run("poolite stats"), 0);
	CHECK_HAS(shell_output, "max_connections            10\n");
	CHECK_HAS(shell_output, "\nlast_health_check          20"); /* a date */
	CHECK_HAS(shell_output, " s ago)\n");
	CHECK_HAS(shell_output, "\nerrors                     -\n");
	CHECK_HAS(shell_output, "\n  max_buffered             256 MiB\n");
	CHECK_HAS(shell_output, "\nrequests                   count  errors");
	CHECK_EQ(shell_run("poolite stats --json"), 0);
	CHECK_HAS(shell_output, "\"max_connections\": 10");
	CHECK_EQ(shell_run("poolite health"), 0);
	CHECK_HAS(shell_output, "status                       healthy\n");
	CHECK_EQ(shell_run("poolite health --json"), 0);
	CHECK_HAS(shell_output, "\"status\": \"healthy\"");
}

/* Answer any request with this document. */
static void tell(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;
		struct poolite__buf buf;

		if (fake_read(self, fd, &request)) {
			poolite__buf_init(&buf, 4096, NULL);
			poolite__pack_answer(&buf, request.request.msgid);
			notation_pack(&buf, self->context);
			fake_send(fd, buf.data, buf.len);
			poolite__buf_release(&buf);
			fake_request_release(&request);
		}
		close(fd);
	}
}

Test(cli_output, stats_have_units_and_stand_in_columns)
{
	struct fake_broker fake;

	fake_broker_init(&fake);
	setenv("POOLITE_SOCKET", fake.path, 1);
	fake.context =
	    (char *)"{`uptime`: 200000.5, `holder`: {`since`: 2.61046},"
		    " `requests`: {`query`: {`count`: 12, `p50_ms`: 0.05},"
		    " `script`: {`count`: 3, `p50_ms`: 1234.5}},"
		    " `wal`: {`bytes`: 1418, `max_wal_bytes`: 4294967296,"
		    " `checkpoint_age`: 125.25, `longest_checkpoint_ms`: 0.6214},"
		    " `mean_size`: 1.5, `connection_timeout`: 12345,"
		    " `writes_refused`: `a\033[2J`, `errors`: {}}";
	fake_broker_start(&fake, tell);
	EXPECT("poolite stats",
	    "uptime                2 d 7 h\n"
	    "mean_size             1.5\n"
	    "connection_timeout    3 h 25 min\n"
	    "writes_refused        a\\x1b[2J\n"
	    "errors                -\n"
	    "holder\n"
	    "  since               2.61 s ago\n"
	    "requests              count          p50\n"
	    "  query                  12     0.050 ms\n"
	    "  script                  3  1234.500 ms\n"
	    "wal\n"
	    "  bytes               1.4 KiB\n"
	    "  max_wal             4 GiB\n"
	    "  checkpoint_age      2 min 5 s\n"
	    "  longest_checkpoint  0.621 ms\n");
	CHECK_EQ(shell_run("poolite stats --json"), 0);
	CHECK_HAS(shell_output, "\"since\": 2.61046\n");
	CHECK_HAS(shell_output, "\"max_wal_bytes\": 4294967296,\n");
	fake_broker_end(&fake);
}
