/* The poolite command, run as people and scripts run it. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/fake_broker.h"
#include "tests/support/shell.h"

TestSuite(cli, .init = shell_set_up, .fini = shell_tear_down, .timeout = 60);

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

/* ---- exit statuses ------------------------------------------------------- */

Test(cli, wrong_usage_is_status_2)
{
	static const struct {
		const char *line, *says;
	} cases[] = {
	    {"poolite", "no command"},
	    {"poolite frobnicate", "no command \"frobnicate\""},
	    {"poolite help frobnicate", "no command \"frobnicate\""},
	    {"poolite 'SELECT 1'", "hint: SQL is one word behind query or update"},
	    {"poolite query", "query: SQL is missing\nhint: usage: poolite query"},
	    {"poolite query --frob x", "poolite: query has no option --frob\n"},
	    {"poolite query --frob x", "poolite query --help"},
	    {"poolite query -x y", "poolite: query has no option -x\n"},
	    {"poolite --frob query x",
		"poolite: the command line has no option --frob\n"},
	    {"poolite query --json=1 x", "--json stands alone"},
	    {"poolite query --null", "poolite: --null: TEXT is missing"},
	    {"poolite query -s", "--socket: PATH is missing"},
	    {"poolite ping x", "ping: one word too many: x\nhint: usage: poolite ping"},
	    {"poolite ping --csv", "ping takes no --csv"},
	    {"poolite query --timeout", "--timeout: SECONDS is missing"},
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
		EXPECT_FAILURE(cases[i].line, 2, cases[i].says);
}

Test(cli, failures_are_status_1_with_code_and_hint)
{
	EXPECT_FAILURE("poolite query nonsense", 1, "poolite: SQL_ERROR: ");
	EXPECT_FAILURE_WITH("poolite script -", "SELECT '\n\033[2J", 1, "'\\n\\x1b[2J\"");
	shell_run("poolite update 'INSERT INTO leads(id) VALUES (1)'");
	EXPECT_FAILURE("poolite update 'INSERT INTO leads(id) VALUES (1)'", 1,
	    "poolite: CONSTRAINT: UNIQUE constraint failed: leads.id");
	EXPECT_FAILURE("poolite query 'SELECT ?' 1 --json", 1, "hint: options go before");
	EXPECT_FAILURE(
	    "poolite update 'DELETE FROM leads WHERE title = ?' $(printf '\\351')", 1,
	    "hint: text is sent as UTF-8: iconv ");
	EXPECT_FAILURE(
	    "poolite query --timeout 0.1 'WITH RECURSIVE c(n) AS (SELECT 1 UNION "
	    "ALL SELECT n + 1 FROM c) SELECT count(*) FROM c'",
	    1, "poolite: QUERY_TIMEOUT: ");
	CHECK_HAS(shell_output, "hint: --timeout");
}

Test(cli, closed_standard_streams_do_not_reach_the_broker)
{
	/* Were the socket number 1 or 2, all this would go to the broker. */
	EXPECT_FAILURE("poolite query 'SELECT hex(zeroblob(50000))' >&-", 1,
	    "cannot write the output: Bad file descriptor");
	EXPECT_FAILURE(
	    "poolite query nonsense 2>&-; echo status $?; false", 1, "status 1\n");
	EXPECT_FAILURE("poolite script - <&-", 1, "cannot read the standard input");
	EXPECT_FAILURE(
	    "poolite batch --format csv 'INSERT INTO leads(title) VALUES (?)' <&-", 1,
	    "line 1: the input cannot be read on: Bad file descriptor");
	EXPECT("poolite stats --json | grep -c '\"protocol_errors\": 0,'", "1\n");
}

Test(cli, no_broker_is_status_3)
{
	EXPECT_FAILURE("poolite --socket nowhere --connect-timeout 0.01 ping", 3,
	    "poolite: NO_BROKER: no broker on the socket nowhere");
	CHECK_HAS(shell_output, "poolited --db FILE --socket nowhere");
}

Test(cli, the_stats_socket_is_told_from_the_clients)
{
	static const char *const commands[] = {
	    "ping", "query 'SELECT 1'", "update 'DELETE FROM leads'"};
	char line[300];

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		snprintf(line, sizeof line, "poolite --socket %s %s",
		    shell_broker.stats_socket, commands[i]);
		EXPECT_FAILURE(line, 3,
		    "is no socket for clients: it speaks HTTP, as the broker's "
		    "stats_socket does\nhint: --socket or POOLITE_SOCKET");
	}
}

/* At once: no broker will come to where something else stands. */
Test(cli, what_is_no_socket_is_said_to_be_none)
{
	double started = check_seconds();

	EXPECT_FAILURE("poolite --socket . query 'SELECT 1'", 3,
	    "poolite: NO_BROKER: . is a directory: give the path of a broker's socket\n");
	EXPECT_FAILURE("poolite --socket test.db query 'SELECT 1'", 3,
	    "poolite: NO_BROKER: test.db is a file that is no socket: ");
	CHECK(check_seconds() - started < 4, "it waited for a broker");
}

Test(cli, ping_and_health_do_not_wait_for_long)
{
	static const char *const commands[] = {"ping", "health"};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		double started = check_seconds();
		char line[64];

		snprintf(line, sizeof line, "poolite -s nowhere %s", commands[i]);
		EXPECT_FAILURE(line, 3, "no broker on the socket nowhere");
		CHECK(check_seconds() - started < 4, "%s waited as query does", line);
		snprintf(line, sizeof line, "poolite %s --help", commands[i]);
		CHECK_EQ(shell_run(line), 0);
		CHECK_HAS(shell_output, "second");
	}
}

Test(cli, each_command_has_json)
{
	static const char *const commands[] = {
	    "query", "update", "batch", "script", "ping", "stats", "health"};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		char line[64];

		snprintf(line, sizeof line, "poolite %s --help", commands[i]);
		CHECK_EQ(shell_run(line), 0);
		CHECK_HAS(shell_output, "--json");
		CHECK(!strstr(shell_output, "VALUE "), "ARGUMENT is the word: %s",
		    shell_output);
	}
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
	EXPECT_FAILURE("poolite update x", 4, "poolite: OUTCOME_UNKNOWN: ");
	CHECK_HAS(shell_output, "hint: look whether");
	EXPECT_FAILURE("poolite query 'WITH c AS (SELECT 1) SELECT * FROM c'", 4,
	    "hint: look whether it was done before trying again; what only reads may be "
	    "asked again at once\n");
	EXPECT_FAILURE_WITH("poolite batch --format csv --chunk-rows 1 x", "1\n2\n", 4,
	    "hint: 0 of 2 rows are in the database for certain; those from line 1 of the "
	    "input on may be, in order, up to the end of a chunk\n");
	fake_broker_stop(&fake);
	fake_broker_start(&fake, fake_serve);
	EXPECT_FAILURE("poolite health", 1, "the disk is full");
	fake_broker_end(&fake);
}

/* Take one batch, and be gone. */
static void leave_after_a_batch(struct fake_broker *self)
{
	int fd = fake_accept(self);
	struct fake_request request;
	bool goes_on = true;

	while (goes_on && fake_read(self, fd, &request)) {
		goes_on = request.request.method != POOLITE__BATCH;
		if (!goes_on) { /* before the answer: nothing more is to go out */
			shutdown(self->listen_fd, SHUT_RDWR);
			shutdown(fd, SHUT_RD);
		}
		fake_answer(self, fd, &request);
		fake_request_release(&request);
	}
	close(fd);
}

Test(cli, a_broker_that_leaves_in_the_midst_of_chunks_is_status_1)
{
	struct fake_broker fake;

	fake_broker_init(&fake);
	fake.max_frame_bytes = 100000;
	setenv("POOLITE_SOCKET", fake.path, 1);
	fake_broker_start(&fake, leave_after_a_batch);
	/* Not 3, for which nothing was sent; or 4, when it was just being sent. */
	EXPECT_FAILURE("seq 20000 | poolite batch --connect-timeout 0.1 --format csv "
		       "--chunk-rows 5000 x",
	    1,
	    "hint: the first 5000 of 20000 rows are in the database, and no others: go on "
	    "from line 5001 of the input\n");
	CHECK_HAS(shell_output, "poolite: NO_BROKER: ");
	fake_broker_end(&fake);
}

Test(cli, help_is_there_for_all_and_for_each)
{
	static const char *const commands[] = {
	    "query", "update", "batch", "script", "ping", "stats", "health"};

	CHECK_EQ(shell_run("poolite --help"), 0);
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
		char line[64];

		CHECK_HAS(shell_output, commands[i]);
		snprintf(line, sizeof line, "poolite %s --help", commands[i]);
		CHECK_EQ(shell_run(line), 0);
		CHECK_HAS(shell_output, "\n  poolite ");
		CHECK(!strstr(shell_output, " \n"), "trailing blanks: %s", shell_output);
		CHECK_EQ(shell_run("poolite --help"), 0);
	}
	CHECK_EQ(shell_run("poolite --help > all; poolite help | cmp - all"), 0);
	CHECK_EQ(
	    shell_run("poolite ping --help > one; poolite help ping | cmp - one"), 0);
	CHECK_EQ(shell_run("poolite --version"), 0);
	CHECK_HAS(shell_output, "poolite ");
	EXPECT_FAILURE("poolite --help > /dev/full", 1, "cannot write");
}

/* ---- the example --------------------------------------------------------- */

Test(cli, the_example_does_leadfinders_work)
{
	CHECK_EQ(shell_run("poolite update 'DROP TABLE leads' && leads setup"), 0);
	CHECK_EQ(shell_run("leads crawl crawler-1 123"), 0);
	CHECK_HAS(shell_output, "role=crawl ");
	CHECK_HAS(shell_output, " rows=123 errors=0\n");
	CHECK_EQ(shell_run("leads read 120"), 0);
	CHECK_HAS(shell_output, "role=read requests=120 ");
	CHECK_HAS(shell_output, " errors=0\n");
	CHECK_EQ(shell_run("leads move 5"), 0);
	CHECK_HAS(shell_output, " rows=5 errors=0\n");
	CHECK_EQ(shell_run("leads stats 3"), 0);
	EXPECT_WITH("leads import -", "a\tb\tc\td\te\nx\ty\tz\tv\tw\n",
	    "role=import requests=1 rows=2 errors=0\n");
	EXPECT("leads list e", "124\te\ta\nrole=list requests=1 rows=1 errors=0\n");
	EXPECT("leads delete 124", "role=delete requests=1 rows=1 errors=0\n");
	EXPECT("leads delete 124", "role=delete requests=1 rows=0 errors=0\n");
	EXPECT(
	    "poolite query \"SELECT count(*), count(created_at), sum(source = 'moved') FROM leads\"",
	    "124\t124\t5\n");
	CHECK_EQ(shell_run("leads"), 2);
	CHECK_EQ(shell_run("leads --help"), 0);
}
