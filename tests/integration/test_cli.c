/* The poolite command, run as people and scripts run it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/fake_broker.h"
#include "tests/support/poolited.h"

static struct poolited broker;
static char output[1 << 16];

/* Run a line of shell, where poolite is the one to test and knows its socket. */
static int run_with(const char *line, const char *input)
{
	return program_run(
	    (const char *const[]){"sh", "-c", line, NULL}, input, output, sizeof output);
}

static int run(const char *line)
{
	return run_with(line, NULL);
}

static void set_path(void)
{
	char path[4096];

	snprintf(path, sizeof path, "%s:%s", BIN_DIR, getenv("PATH"));
	setenv("PATH", path, 1);
}

static void set_up(void)
{
	set_path();
	poolited_start(&broker);
	setenv("POOLITE_SOCKET", broker.socket, 1);
	CHECK_EQ(chdir(broker.folder), 0);
	CHECK_EQ(run_with("poolite script -",
		     "CREATE TABLE leads(id INTEGER PRIMARY KEY, title TEXT, score);"),
	    0);
}

static void tear_down(void)
{
	CHECK_EQ(chdir("/"), 0);
	poolited_end(&broker);
}

TestSuite(cli, .init = set_up, .fini = tear_down, .timeout = 60);

static void expect(int status, int wanted, const char *text)
{
	CHECK(
	    status == wanted, "exit status %d instead of %d: %s", status, wanted, output);
	CHECK_TEXT(output, text);
}

/* A line of shell, with what it has to print. */
#define EXPECT(line, text)             expect(run(line), 0, text)
#define EXPECT_WITH(line, input, text) expect(run_with(line, input), 0, text)

/* It fails with this status, and says so. */
static void expect_failure(int status, int wanted, const char *text)
{
	CHECK(
	    status == wanted, "exit status %d instead of %d: %s", status, wanted, output);
	CHECK_HAS(output, text);
}

/* ---- arguments ----------------------------------------------------------- */

Test(cli, numbers_and_null_bind_as_such_and_the_rest_as_text)
{
	static const struct {
		const char *word, *type;
	} cases[] = {
	    {"0", "integer"},
	    {"-7", "integer"},
	    {"9223372036854775807", "integer"},
	    {"-9223372036854775808", "integer"},
	    {"1.5", "real"},
	    {"-0.5", "real"},
	    {"1e3", "real"},
	    {"2E-2", "real"},
	    {"null", "null"},
	    {"007", "text"},
	    {"-0", "text"},
	    {"-01", "text"},
	    {"+5", "text"},
	    {".5", "text"},
	    {"5.", "text"},
	    {"1e", "text"},
	    {"0x10", "text"},
	    {"1e999", "text"},
	    {"9223372036854775808", "text"},
	    {"NULL", "text"},
	    {"true", "text"},
	    {"''", "text"},
	    {"'1 '", "text"},
	    {"-", "text"},
	    {"--json", "text"},
	    {"inf", "text"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[256], wanted[64];

		snprintf(line, sizeof line, "poolite query 'SELECT typeof(?)' %s",
		    cases[i].word);
		snprintf(wanted, sizeof wanted, "%s\n", cases[i].type);
		EXPECT(line, wanted);
	}
	EXPECT(
	    "poolite query --text 'SELECT typeof(?), typeof(?)' 1 null", "text\ttext\n");
	EXPECT("poolite query -- 'SELECT ?' -x", "-x\n");
}

/* ---- output -------------------------------------------------------------- */

#define ODD                                                                              \
	"\"SELECT 1 AS id, 'a' || char(9) || 'b' || char(10) || '\\\\' AS t, 2.5 AS r, " \
	"NULL AS n, x'00ff' AS b UNION ALL SELECT -10, '', 1e20, 'N', x''\""

Test(cli, tab_separated_lines_stay_lines)
{
	EXPECT("poolite query " ODD,
	    "1\ta\\tb\\n\\\\\t2.5\t\\N\t00ff\n-10\t\t1.0e+20\tN\t\n");
	EXPECT(
	    "poolite query --header --null - 'SELECT 1 AS a, NULL AS b'", "a\tb\n1\t-\n");
}

Test(cli, a_table_is_aligned_and_cannot_steer_the_terminal)
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

Test(cli, a_table_counts_the_rows_changed)
{
	EXPECT("poolite query --table \"INSERT INTO leads(title) VALUES ('a')\"",
	    "(1 row changed)\n");
	EXPECT("poolite query --table \"INSERT INTO leads(title) VALUES ('a'), ('b')\"",
	    "(2 rows changed)\n");
}

Test(cli, csv_quotes_what_needs_it)
{
	EXPECT(
	    "poolite query --csv --header "
	    "\"SELECT 1 AS id, 'a,b' AS \\\"x,y\\\", 'say \\\"hi\\\"' AS q, '' AS e, NULL AS n, '7' AS t\"",
	    "id,\"x,y\",q,e,n,t\r\n1,\"a,b\",\"say \"\"hi\"\"\",\"\",,\"7\"\r\n");
}

Test(cli, json_keeps_types)
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

Test(cli, update_tells_changes_and_id)
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

Test(cli, output_that_cannot_be_written_is_an_error)
{
	expect_failure(
	    run("poolite query 'SELECT 1' > /dev/full"), 1, "cannot write the output");
	/* More than a pipe holds, to somebody who has gone. */
	CHECK_EQ(
	    run("(poolite query 'SELECT hex(zeroblob(500000))'; echo status $? >&2) | true"),
	    0);
	CHECK_TEXT(output, "status 1\n");
}

/* ---- batches ------------------------------------------------------------- */

#define INSERT "'INSERT INTO leads(title, score) VALUES (?, ?)'"
#define SHOW   "poolite query 'SELECT title, score, typeof(score) FROM leads'"

Test(cli, csv_comes_in_as_rfc_4180_has_it)
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

Test(cli, csv_may_have_a_heading_and_a_word_for_null)
{
	EXPECT_WITH("poolite batch --format csv --header --null - " INSERT,
	    "\357\273\277title,score\nx,-\ny,\"-\"\n", "2\t2\n");
	EXPECT(SHOW, "x\t\\N\tnull\ny\t-\ttext\n");
	EXPECT_WITH("poolite batch --format csv --text " INSERT, "z,1\n", "1\t3\n");
	EXPECT("poolite query \"SELECT typeof(score) FROM leads WHERE title = 'z'\"",
	    "text\n");
}

Test(cli, what_goes_out_as_csv_comes_in_again)
{
	run("poolite update \"INSERT INTO leads(title, score) VALUES "
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

Test(cli, json_lines_bind_by_position_or_by_name)
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

Test(cli, errors_in_the_input_name_its_line)
{
	static const struct {
		const char *format, *input, *says;
	} cases[] = {
	    {"csv", "a,1\nb\n", "line 2: 1 values where the first row has 2"},
	    {"csv", "a,1\nb,\"x\n\ny", "line 2: the quote opened here is not closed"},
	    {"csv", "\"a\n\",1\nb,x\"y\"\n", "line 3: a quote in the middle"},
	    {"csv", "a,1\n\"b\"c,1\n", "line 2: a quote in the middle"},
	    {"csv", "a,1\n\xff,1\n", "line 2: not UTF-8"},
	    {"jsonl", "[1, 2]\n[1, 2\n", "line 2: "},
	    {"jsonl", "[1, 2]\n\n[1, [2]]\n", "line 3: a list or object inside"},
	    {"jsonl", "[1, 99999999999999999999]\n", "line 1: too big integer"},
	    {"jsonl", "[1, 2]\n7\n", "line 2: "},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char line[200];

		snprintf(line, sizeof line, "poolite batch --format %s " INSERT,
		    cases[i].format);
		expect_failure(run_with(line, cases[i].input), 1, cases[i].says);
	}
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
}

Test(cli, a_batch_is_all_or_nothing)
{
	expect_failure(
	    run_with("poolite batch --format csv 'INSERT INTO leads(id) VALUES (?)'",
		"1\n2\n1\n"),
	    1, "poolite: CONSTRAINT: ");
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
	EXPECT_WITH("poolite batch --format csv " INSERT, "", "0\t0\n");
}

/* ---- scripts ------------------------------------------------------------- */

Test(cli, a_script_comes_from_a_file_or_the_input)
{
	EXPECT(
	    "echo 'INSERT INTO leads(title) VALUES (1); INSERT INTO leads(title) VALUES (2)' "
	    "> s.sql; poolite script s.sql",
	    "2\t2\n");
	EXPECT_WITH("poolite script --json -", "DELETE FROM leads;",
	    "{\"statements\": 1, \"changes\": 2}\n");
	expect_failure(run("poolite script missing.sql"), 1, "cannot open missing.sql");
	expect_failure(run("printf 'SELECT 1\\0' | poolite script -"), 1, "NUL");
	expect_failure(
	    run_with("poolite script -", "nonsense"), 1, "poolite: SQL_ERROR: ");
}

Test(cli, what_no_script_can_do_has_a_hint)
{
	expect_failure(run_with("poolite script -", "PRAGMA writable_schema=ON;"), 1,
	    "hint: the dump of a virtual table; serve the database's file");
	expect_failure(
	    run("(printf 'SELECT \\047'; head -c 20000000 /dev/zero | tr '\\0' x; "
		"echo \"';\") | poolite script -"),
	    1, "hint: a script is one message; ");
	expect_failure(run("poolite update BEGIN"), 1, "hint: poolite script runs");
}

Test(cli, a_dump_of_sqlite3_goes_in)
{
	EXPECT(
	    "sqlite3 old.db \"CREATE TABLE p(id INTEGER PRIMARY KEY);"
	    "CREATE TABLE c(p REFERENCES p); INSERT INTO p VALUES (1); INSERT INTO c VALUES (1)\" "
	    "&& sqlite3 old.db .dump | poolite script - > /dev/null "
	    "&& poolite query 'SELECT count(*) FROM c JOIN p ON p.id = c.p'",
	    "1\n");
}

/* ---- the broker ---------------------------------------------------------- */

Test(cli, stats_and_health_are_for_eyes_or_json)
{
	EXPECT("poolite ping", "pong\n");
	CHECK_EQ(run("poolite stats"), 0);
	CHECK_HAS(output, "max_connections            10\n");
	CHECK_HAS(output, "\nlast_health_check          20"); /* a date */
	CHECK_HAS(output, "\nerrors                     -\n");
	CHECK_EQ(run("poolite stats --json"), 0);
	CHECK_HAS(output, "\"max_connections\": 10");
	CHECK_EQ(run("poolite health"), 0);
	CHECK_HAS(output, "status         healthy\n");
	CHECK_EQ(run("poolite health --json"), 0);
	CHECK_HAS(output, "\"status\": \"healthy\"");
}

/* ---- exit statuses ------------------------------------------------------- */

Test(cli, wrong_usage_is_status_2)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
	    {"poolite", "no command"},
	    {"poolite frobnicate", "no command frobnicate"},
	    {"poolite query", "query: SQL is missing\nhint: usage: poolite query"},
	    {"poolite query --frob x", "poolite: query has no option --frob\n"},
	    {"poolite query --frob x", "poolite query --help"},
	    {"poolite query -x y", "poolite: query has no option -x\n"},
	    {"poolite --frob query x",
		"poolite: the command line has no option --frob\n"},
	    {"poolite query --json=1 x", "--json takes no value"},
	    {"poolite query --null", "--null wants a value"},
	    {"poolite query -s", "--socket wants a value"},
	    {"poolite ping x", "ping: one word too many: x\nhint: usage: poolite ping"},
	    {"poolite ping --json", "takes no --json"},
	    {"poolite script --null x y", "script takes no --null"},
	    {"poolite --json ping", "poolite: --json goes after the command\n"},
	    {"poolite script a b", "too many: b\nhint: usage: poolite script"},
	    {"poolite script", "script: FILE is missing"},
	    {"poolite batch --format csv x y", "rows come from the standard input"},
	    {"poolite batch 'x' < /dev/null", "--format"},
	    {"poolite batch --format xml x", "csv or jsonl"},
	    {"poolite query --timeout soon x", "--timeout wants seconds"},
	    {"poolite query --timeout 0 x", "--timeout wants seconds"},
	    {"poolite query --timeout 1e9 x", "from 0.001 to 2147483, not 1e9"},
	    {"POOLITE_SOCKET= poolite ping", "set POOLITE_SOCKET"},
	    {"env -u POOLITE_SOCKET poolite ping", "set POOLITE_SOCKET"},
	};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		expect_failure(run(cases[i].line), 2, cases[i].says);
}

Test(cli, failures_are_status_1_with_code_and_hint)
{
	expect_failure(run("poolite query nonsense"), 1, "poolite: SQL_ERROR: ");
	expect_failure(
	    run_with("poolite script -", "SELECT '\n\033[2J"), 1, "'\\n\\x1b[2J\"");
	run("poolite update 'INSERT INTO leads(id) VALUES (1)'");
	expect_failure(run("poolite update 'INSERT INTO leads(id) VALUES (1)'"), 1,
	    "poolite: CONSTRAINT: UNIQUE constraint failed: leads.id");
	expect_failure(
	    run("poolite query 'SELECT ?' 1 --json"), 1, "hint: options go before");
	expect_failure(
	    run("poolite query --timeout 0.1 'WITH RECURSIVE c(n) AS (SELECT 1 UNION "
		"ALL SELECT n + 1 FROM c) SELECT count(*) FROM c'"),
	    1, "poolite: QUERY_TIMEOUT: ");
	CHECK_HAS(output, "hint: --timeout");
}

Test(cli, no_broker_is_status_3)
{
	expect_failure(run("poolite --socket nowhere --connect-timeout 0.01 ping"), 3,
	    "poolite: NO_BROKER: no broker on the socket nowhere");
	CHECK_HAS(output, "poolited --db FILE --socket nowhere");
}

/* Read one request and hang up. */
static void hang_up(struct fake_broker *self)
{
	int fd;

	while ((fd = fake_accept(self)) >= 0) {
		struct fake_request request;

		if (fake_read(self, fd, &request))
			fake_request_release(&request);
		close(fd);
	}
}

Test(cli, an_unknown_outcome_is_status_4)
{
	struct fake_broker fake;

	fake_broker_init(&fake);
	setenv("POOLITE_SOCKET", fake.path, 1);
	fake_broker_start(&fake, hang_up);
	expect_failure(run("poolite update x"), 4, "poolite: OUTCOME_UNKNOWN: ");
	CHECK_HAS(output, "hint: look whether");
	fake_broker_stop(&fake);
	fake_broker_start(&fake, fake_serve);
	expect_failure(run("poolite health"), 1, "the disk is full");
	fake_broker_stop(&fake);
	fake_broker_release(&fake);
}

Test(cli, help_is_there_for_all_and_for_each)
{
	static const char *const commands[] = {
	    "query", "update", "batch", "script", "ping", "stats", "health"};

	CHECK_EQ(run("poolite --help"), 0);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		char line[64];

		CHECK_HAS(output, commands[i]);
		snprintf(line, sizeof line, "poolite %s --help", commands[i]);
		CHECK_EQ(run(line), 0);
		CHECK_HAS(output, "\n  poolite ");
		CHECK(!strstr(output, " \n"), "trailing blanks: %s", output);
		CHECK_EQ(run("poolite --help"), 0);
	}
	CHECK_EQ(run("poolite --version"), 0);
	CHECK_HAS(output, "poolite ");
	expect_failure(run("poolite --help > /dev/full"), 1, "cannot write");
}

/* ---- the example --------------------------------------------------------- */

Test(cli, the_example_does_leadfinders_work)
{
	CHECK_EQ(run("poolite update 'DROP TABLE leads' && leads setup"), 0);
	CHECK_EQ(run("leads crawl crawler-1 123"), 0);
	CHECK_HAS(output, "role=crawl ");
	CHECK_HAS(output, " rows=123 errors=0\n");
	CHECK_EQ(run("leads read 120"), 0);
	CHECK_HAS(output, "role=read requests=120 ");
	CHECK_HAS(output, " errors=0\n");
	CHECK_EQ(run("leads move 5"), 0);
	CHECK_HAS(output, " rows=5 errors=0\n");
	CHECK_EQ(run("leads stats 3"), 0);
	EXPECT_WITH("leads import -", "a\tb\tc\td\te\nx\ty\tz\tv\tw\n",
	    "role=import requests=1 rows=2 errors=0\n");
	EXPECT("leads list e", "124\te\ta\nrole=list requests=1 rows=1 errors=0\n");
	EXPECT("leads delete 124", "role=delete requests=1 rows=1 errors=0\n");
	EXPECT("leads delete 124", "role=delete requests=1 rows=0 errors=0\n");
	EXPECT(
	    "poolite query \"SELECT count(*), count(created_at), sum(source = 'moved') FROM leads\"",
	    "124\t124\t5\n");
	CHECK_EQ(run("leads"), 2);
	CHECK_EQ(run("leads --help"), 0);
}
