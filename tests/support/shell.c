#include "tests/support/shell.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/support/check.h"

struct poolited shell_broker;
char shell_output[1 << 16];

int shell_run_with(const char *line, const char *input)
{
	return program_run((const char *const[]){"sh", "-c", line, NULL}, input,
	    shell_output, sizeof shell_output);
}

int shell_run(const char *line)
{
	return shell_run_with(line, NULL);
}

static void set_path(void)
{
	const char *programs = getenv("PROGRAMS");
	char path[4096];

	snprintf(path, sizeof path, "%s:%s:%s", programs ? programs : BIN_DIR, BIN_DIR,
	    getenv("PATH"));
	setenv("PATH", path, 1);
}

void shell_set_up(void)
{
	set_path();
	poolited_start(&shell_broker);
	setenv("POOLITE_SOCKET", shell_broker.socket, 1);
	CHECK_EQ(chdir(shell_broker.folder), 0);
	CHECK_EQ(shell_run_with("poolite script -",
		     "CREATE TABLE leads(id INTEGER PRIMARY KEY, title TEXT, score);"),
	    0);
}

void shell_tear_down(void)
{
	CHECK_EQ(chdir("/"), 0);
	poolited_end(&shell_broker);
}

void shell_expect(
    const char *file, int at, const char *line, const char *input, const char *text)
{
	int status = shell_run_with(line, input);

	if (status != 0)
		check_failed(
		    file, at, "%s: exit status %d: %s", line, status, shell_output);
	check_text(file, at, line, shell_output, text);
}

void shell_expect_failure(const char *file, int at, const char *line, const char *input,
    int status, const char *text)
{
	int found = shell_run_with(line, input);

	if (found != status)
		check_failed(file, at, "%s: exit status %d instead of %d: %s", line,
		    found, status, shell_output);
	check_has(file, at, shell_output, text);
}
