/* shell.h - lines of shell against a broker, as people and scripts run them. */
#ifndef POOLITE_TESTS_SHELL_H
#define POOLITE_TESTS_SHELL_H

#include "tests/support/poolited.h"

/** The broker that shell_set_up starts, with a table leads(id, title, score). */
extern struct poolited shell_broker;

/** What the last line wrote, to standard output and error. */
extern char shell_output[1 << 16];

/** For .init: the programs under test first in PATH, a broker, POOLITE_SOCKET set, its
 * folder the current one. */
void shell_set_up(void);
/** For .fini. */
void shell_tear_down(void);

/** Run a line of shell; its exit status. */
int shell_run(const char *line);
/** The same, with ${input} to read. */
int shell_run_with(const char *line, const char *input);

/** A line of shell succeeds and writes exactly this. */
#define EXPECT(line, text)             shell_expect(__FILE__, __LINE__, line, NULL, text)
#define EXPECT_WITH(line, input, text) shell_expect(__FILE__, __LINE__, line, input, text)
void shell_expect(
    const char *file, int at, const char *line, const char *input, const char *text);

/** A line of shell fails with this status, and what it writes has ${text} in it. */
#define EXPECT_FAILURE(line, status, text)                                               \
	shell_expect_failure(__FILE__, __LINE__, line, NULL, status, text)
#define EXPECT_FAILURE_WITH(line, input, status, text)                                   \
	shell_expect_failure(__FILE__, __LINE__, line, input, status, text)
void shell_expect_failure(const char *file, int at, const char *line, const char *input,
    int status, const char *text);

#endif
