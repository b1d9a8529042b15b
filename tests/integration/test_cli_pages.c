/* Results of any size by the poolite command: page by page, in little memory. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/shell.h"

#define PAD  "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define ALL  "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n"
#define PADS ALL ", '" PAD "' AS pad FROM c"

static void set_up(void)
{
	shell_set_up();
	setenv("MILLION", PADS " LIMIT 1000000", 1);
	setenv("ENDLESS", PADS, 1);
	/* Two pages, and then no more, without an end. */
	setenv("STUCK", ALL " FROM c WHERE n <= 2500", 1);
	/* Two pages, and an error in the third. */
	setenv("FAILING",
	    ALL ", abs(CASE n WHEN 2500 THEN -9223372036854775808 END) AS a FROM c", 1);
}

TestSuite(cli_pages, .init = set_up, .fini = shell_tear_down, .timeout = 200);

/* ---- any size ------------------------------------------------------------ */

/* So many KiB of address space: less than half of what all rows take.  What
 * sanitizers need of it is none of the command's. */
#ifdef __SANITIZE_ADDRESS__
#define LIMITED ""
#else
#define LIMITED "ulimit -v 32768; "
#endif

/* A million rows are the same as what ${line} makes of the numbers up to there. */
static void expect_million(const char *option, const char *line)
{
	char shell[1000];

	snprintf(shell, sizeof shell,
	    "mkfifo rows; { " LIMITED "poolite query %s \"$MILLION\"; "
	    "echo status $? >&2; } > rows & { %s; } | cmp - rows; wait; rm rows",
	    option, line);
	EXPECT(shell, "status 0\n");
}

Test(cli_pages, a_million_tab_separated_rows)
{
	expect_million("--tsv", "seq 1000000 | sed 's/$/\t" PAD "/'");
}

Test(cli_pages, a_million_rows_of_csv)
{
	expect_million("--csv --header",
	    "printf 'n,pad\\r\\n'; seq 1000000 | sed 's/$/," PAD "\\r/'");
}

Test(cli_pages, a_million_rows_of_json)
{
	expect_million("--json",
	    "printf '{\"columns\": [\"n\", \"pad\"],\\n \"rows\": [\\n'; "
	    "seq 1000000 | sed 's/.*/  [&, \"" PAD "\"],/; $s/,$/],/'; "
	    "printf ' \"changes\": 0, \"last_insert_id\": 0}\\n'");
}

/* Its first page makes the first column four wide, and nothing is cut. */
Test(cli_pages, a_million_rows_as_a_table)
{
	expect_million("--table",
	    "echo 'n     pad'; echo \"----  $(echo " PAD " | tr x -)\"; "
	    "seq -f '%4.0f' 1000000 | sed 's/$/  " PAD "/'; echo '(1000000 rows)'");
}

Test(cli_pages, what_is_wider_further_down_is_out_of_line_but_whole)
{
	EXPECT("poolite query --table \"" ALL ", CASE WHEN n < 1500 THEN 'a' ELSE "
	       "'longer' END AS t, 'b' AS b FROM c LIMIT 1501\" | tail -n 4",
	    "1499  a  b\n1500  longer  b\n1501  longer  b\n(1501 rows)\n");
}

Test(cli_pages, what_writes_gives_all_its_rows)
{
	EXPECT("poolite query --json \"INSERT INTO leads(title) " ALL
	       " FROM c LIMIT 2500 RETURNING id\" | tail -n 2",
	    "  [2500]],\n \"changes\": 2500, \"last_insert_id\": 2500}\n");
	EXPECT("poolite query --csv --header 'SELECT id FROM leads WHERE 0'", "id\r\n");
	EXPECT("poolite query --table 'DELETE FROM leads'", "(2500 rows changed)\n");
}

/* ---- before the end ------------------------------------------------------ */

static void await_idle_broker(void)
{
	while (shell_run("poolite stats --json | grep -q '\"active_connections\": 0'"))
		;
}

Test(cli_pages, a_reader_that_goes_away_ends_it)
{
	static const char *const formats[] = {"--tsv", "--csv", "--json", "--table"};
	char line[100];

	for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
		snprintf(line, sizeof line,
		    "{ poolite query %s \"$ENDLESS\"; echo status $? >&2; } "
		    "| head -n 1 > first",
		    formats[i]);
		EXPECT(line, "status 1\n");
		await_idle_broker();
	}
}

Test(cli_pages, output_that_cannot_be_written_ends_it)
{
	EXPECT_FAILURE("poolite query \"$ENDLESS\" > /dev/full", 1,
	    "poolite: cannot write the output: No space left");
	EXPECT("{ poolite query \"$ENDLESS\" 2>&1 > /dev/full; } | wc -l", "1\n");
	await_idle_broker();
}

Test(cli_pages, an_error_in_the_middle_keeps_what_was_written)
{
	EXPECT_FAILURE("poolite query \"$FAILING\" > rows", 1,
	    "poolite: SQL_ERROR: integer overflow");
	EXPECT("wc -l < rows; tail -n 1 rows", "2000\n2000\t\\N\n");
	EXPECT_FAILURE("poolite query --csv \"$FAILING\" > rows", 1, "SQL_ERROR");
	EXPECT("wc -l < rows", "2000\n");
	EXPECT_FAILURE("poolite query --table \"$FAILING\" 2>&1 | tail -n 2; false", 1,
	    "poolite: SQL_ERROR: integer overflow\nhint: the output is not complete: only "
	    "what came before is written\n");
	EXPECT_FAILURE("poolite query --json \"$FAILING\" > rows", 1, "SQL_ERROR");
	EXPECT("tail -n 1 rows", "  [2000, null]\n");
	EXPECT_FAILURE(
	    "poolite query --table \"$FAILING\" | tail -n 1; false", 1, "2000  NULL\n");
}

Test(cli_pages, a_result_that_takes_too_long_says_what_to_do)
{
	struct poolited hasty;

	poolited_start(&hasty, "--transaction-timeout", "1");
	setenv("POOLITE_SOCKET", hasty.socket, 1);
	EXPECT_FAILURE("poolite query \"$ENDLESS\" > /dev/null", 1,
	    "hint: a result is read as fast as the output is taken");
	poolited_end(&hasty);
}

/* ---- in between ---------------------------------------------------------- */

/* Start a query, with rows and errors going to files of these names. */
static pid_t start(const char *sql)
{
	pid_t pid = process_fork();

	if (pid == 0) {
		CHECK(freopen("rows", "w", stdout), "no output");
		CHECK(freopen("errors", "w", stderr), "no errors");
		execlp("poolite", "poolite", "query", getenv(sql), (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* Start one that has written two pages and waits for the third in vain. */
static pid_t start_stuck(void)
{
	pid_t pid = start("STUCK");
	char line[80];

	while (shell_run("test $(wc -l < rows) = 2000"))
		;
	/* It watches for signals, which it does while it fetches. */
	snprintf(
	    line, sizeof line, "grep -q '^SigBlk:.*0202$' /proc/%d/status", (int)pid);
	while (shell_run(line))
		;
	return pid;
}

Test(cli_pages, an_interrupt_while_a_page_is_fetched_cancels)
{
	pid_t pid = start_stuck();

	CHECK_EQ(kill(pid, SIGINT), 0);
	CHECK_EQ(process_wait(pid), 128 + SIGINT);
	EXPECT("wc -l < rows", "2000\n");
	EXPECT("grep -c '^poolite: CANCELLED: ' errors", "1\n");
	await_idle_broker();
}

Test(cli_pages, an_interrupt_while_nobody_reads_ends_it)
{
	int available = 0;
	pid_t pid;
	int fd;

	CHECK_EQ(mkfifo("rows", 0600), 0);
	fd = open("rows", O_RDWR | O_CLOEXEC);
	CHECK_EQ(fcntl(fd, F_SETPIPE_SZ, 4096), 4096);
	pid = start("ENDLESS");
	while (available < 4096)
		CHECK_EQ(ioctl(fd, FIONREAD, &available), 0);
	CHECK_EQ(kill(pid, SIGINT), 0);
	CHECK_EQ(process_wait(pid), 128 + SIGINT);
	close(fd);
	await_idle_broker();
}

/* Status 3 would say that nothing was sent. */
Test(cli_pages, a_broker_that_dies_in_the_middle_is_status_1)
{
	pid_t pid = start_stuck();

	poolited_kill(&shell_broker);
	CHECK_EQ(process_wait(pid), 1);
	EXPECT("wc -l < rows", "2000\n");
	EXPECT("cat errors",
	    "poolite: NO_BROKER: the broker closed the connection: nothing was changed\n"
	    "hint: the output is not complete: only what came before is written\n");
}
