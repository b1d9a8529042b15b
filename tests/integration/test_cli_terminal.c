/* The poolite command on a terminal: script(1) gives it one. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/shell.h"

/* Whether this machine gives terminals: a chroot may be without /dev/pts. */
static bool has_terminals(void)
{
	int fd = posix_openpt(O_RDWR | O_NOCTTY);
	const char *name = fd >= 0 ? ptsname(fd) : NULL;
	bool is_there = name && access(name, F_OK) == 0;

	if (fd >= 0)
		close(fd);
	return is_there;
}

static void set_up(void)
{
	if (!has_terminals())
		cr_skip_test("needs pseudo-terminals: /dev/ptmx and /dev/pts");
	shell_set_up();
}

static void tear_down(void)
{
	if (shell_broker.pid)
		shell_tear_down();
}

TestSuite(cli_terminal, .init = set_up, .fini = tear_down, .timeout = 60);

/* Run a line of shell on a terminal of 60 columns; NL ends lines, not CR NL. */
static int run_on_terminal(const char *line)
{
	setenv("LINE", line, 1);
	setenv("SHELL", "/bin/sh", 1);
	return shell_run(
	    "exec 3>&1; { script -qec 'stty cols 60; eval \"$LINE\"' /dev/null "
	    "< /dev/null; echo $? > status; } | tr -d '\\r' >&3; exit $(cat status)");
}

#define FOREVER                                                                          \
	"WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) "               \
	"SELECT count(*) FROM c"

#define FIFTY_SIX "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

Test(cli_terminal, a_table_that_is_too_wide_becomes_lines)
{
	setenv("NO_COLOR", "1", 1);
	CHECK_EQ(
	    run_on_terminal("poolite query \"SELECT 1 AS id, '" FIFTY_SIX "' AS 日本\""),
	    0);
	CHECK_HAS(shell_output, "id  日本\n--  -----");
	setenv("SQL", "SELECT 1 AS id, '" FIFTY_SIX "y' AS 日本 UNION ALL SELECT 2, NULL",
	    1);
	CHECK_EQ(run_on_terminal("poolite query \"$SQL\""), 0);
	CHECK_TEXT(shell_output,
	    "-- row 1\nid    1\n日本  " FIFTY_SIX "y\n"
	    "-- row 2\nid    2\n日本  NULL\n"
	    "(2 rows)\n");
	CHECK_EQ(run_on_terminal("poolite query --table \"$SQL\""), 0);
	CHECK_HAS(shell_output, "id  日本\n--  -----");
}

Test(cli_terminal, null_is_faint_unless_colours_are_unwanted)
{
	CHECK_EQ(run_on_terminal("poolite query 'SELECT NULL AS a'"), 0);
	CHECK_TEXT(shell_output, "a\n----\n\033[2mNULL\033[0m\n(1 row)\n");
	CHECK_EQ(run_on_terminal("NO_COLOR=1 poolite query 'SELECT NULL AS a'"), 0);
	CHECK_TEXT(shell_output, "a\n----\nNULL\n(1 row)\n");
}

Test(cli_terminal, it_says_what_it_waits_for)
{
	CHECK_EQ(
	    run_on_terminal("poolite -s nowhere --connect-timeout 1.5 query 'SELECT 1'"),
	    3);
	CHECK_HAS(shell_output, "waiting for a broker on nowhere ");
	CHECK_HAS(shell_output, "\033[Kpoolite: NO_BROKER: ");
	/* A slow statement is not a missing broker. */
	CHECK_EQ(run_on_terminal("poolite query --timeout 1.5 '" FOREVER "'"), 1);
	CHECK(!strstr(shell_output, "waiting for"), "%s", shell_output);
}

/* Start poolite, wait until the broker works on it, and interrupt it; its status. */
static int interrupt(const char *command, const char *sql)
{
	pid_t pid = process_fork();

	if (pid == 0) {
		CHECK(freopen("interrupted", "w", stderr), "no file");
		execlp("poolite", "poolite", command, sql, (char *)NULL);
		_exit(127);
	}
	while (
	    shell_run("poolite stats --json | grep -q '\"active_connections\": [1-9]'"))
		;
	CHECK_EQ(kill(pid, SIGINT), 0);
	return process_wait(pid);
}

Test(cli_terminal, a_broker_that_comes_late_is_waited_for)
{
	struct poolited late;
	char line[160];
	pid_t pid;

	poolited_make(&late, (const char *const[]){NULL});
	snprintf(line, sizeof line, "poolite -s %s --connect-timeout 40 query 'SELECT 7'",
	    late.socket);
	pid = process_fork();
	if (pid == 0) {
		CHECK(freopen("/dev/null", "r", stdin), "no input");
		CHECK(freopen("/dev/null", "w", stdout), "no output");
		execlp("script", "script", "-qefc", line, "screen", (char *)NULL);
		_exit(127);
	}
	while (shell_run("grep -q 'waiting for a broker on' screen"))
		;
	poolited_run(&late);
	CHECK_EQ(process_wait(pid), 0);
	CHECK_EQ(shell_run("tr -d '\\r' < screen"), 0);
	CHECK_HAS(shell_output, "/socket \033[K7\n-\n7\n(1 row)\n");
	poolited_end(&late);
}

Test(cli_terminal, it_says_when_it_reads_what_is_typed)
{
	static const char said[] = "reading from the terminal; Ctrl-D";

	CHECK_EQ(
	    run_on_terminal(
		"poolite batch --format csv 'DELETE FROM leads WHERE id = ?' < /dev/tty"),
	    0);
	CHECK_HAS(shell_output, said);
	CHECK_EQ(run_on_terminal("echo 'SELECT 1' | poolite script -"), 0);
	CHECK(!strstr(shell_output, said), "%s", shell_output);
}

Test(cli_terminal, an_interrupt_cancels_what_is_under_way)
{
	CHECK_EQ(interrupt("query", FOREVER), 128 + SIGINT);
	CHECK_EQ(shell_run("grep '^poolite: CANCELLED: ' interrupted"), 0);
	EXPECT("poolite update 'INSERT INTO leads(id) VALUES (1)'", "1\t1\n");
	CHECK_EQ(interrupt("update", "INSERT INTO leads(title) " FOREVER), 128 + SIGINT);
	CHECK_EQ(shell_run("grep '^poolite: CANCELLED: ' interrupted"), 0);
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "1\n");
}

/* Larger than what the broker takes of a session at once. */
Test(cli_terminal, an_interrupt_cancels_a_large_batch)
{
	pid_t pid;

	EXPECT("seq 300000 > rows && wc -l < rows", "300000\n");
	EXPECT(
	    "poolite update 'CREATE TRIGGER slow AFTER INSERT ON leads WHEN NEW.id = 150000 "
	    "BEGIN SELECT count(*) FROM (" FOREVER "); END' > none; cat none",
	    "0\t0\n");
	pid = process_fork();
	if (pid == 0) {
		CHECK(freopen("rows", "r", stdin), "no input");
		CHECK(freopen("interrupted", "w", stderr), "no file");
		execlp("poolite", "poolite", "batch", "--format", "csv",
		    "INSERT INTO leads(id) VALUES (?)", (char *)NULL);
		_exit(127);
	}
	while (
	    shell_run("poolite stats --json | grep -q '\"active_connections\": [1-9]'"))
		;
	CHECK_EQ(kill(pid, SIGINT), 0);
	CHECK_EQ(process_wait(pid), 128 + SIGINT);
	CHECK_EQ(shell_run("grep '^poolite: CANCELLED: ' interrupted"), 0);
	EXPECT("poolite query 'SELECT count(*) FROM leads'", "0\n");
}

Test(cli_terminal, an_interrupt_ends_the_wait_for_a_broker)
{
	pid_t pid = process_fork();
	char line[80];

	if (pid == 0) {
		execlp("poolite", "poolite", "-s", "nowhere", "--connect-timeout", "3600",
		    "query", "SELECT 1", (char *)NULL);
		_exit(127);
	}
	/* It watches for signals once it blocks SIGINT and SIGUSR1. */
	snprintf(
	    line, sizeof line, "grep -q '^SigBlk:.*0202$' /proc/%d/status", (int)pid);
	while (shell_run(line))
		;
	CHECK_EQ(kill(pid, SIGINT), 0);
	CHECK_EQ(process_wait(pid), 128 + SIGINT);
}
