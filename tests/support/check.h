/* check.h - assertions that hold in a test and in the processes it forks.
 *
 * In the test's own process a failure is Criterion's; in a forked client it is
 * a line on standard error and exit status 1, which child_wait then reports.
 */
#ifndef POOLITE_TESTS_CHECK_H
#define POOLITE_TESTS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

/* Seconds that any single wait may take: only a failure waits that long. */
#define PATIENCE_SECONDS 40

/** The test failed; the message is printf-formatted. */
_Noreturn void check_failed(const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Whether a check has failed in this process. */
bool check_has_failed(void);

/** Called once in each forked client: from now on failures end it with status 1. */
void check_in_child(void);

/**
 * Called in a .fini before what is checked there: from now on a failure aborts.  Criterion
 * shows an assertion that fails in a .fini, and counts the test as passed all the same.
 */
void check_at_end(void);

/** Monotonic seconds. */
double check_seconds(void);

#define CHECK(condition, ...)                                                            \
	((condition) ? (void)0 : check_failed(__FILE__, __LINE__, __VA_ARGS__))

/** Two integers of any type. */
#define CHECK_EQ(found, wanted)                                                          \
	check_equal(__FILE__, __LINE__, #found, (int64_t)(found), (int64_t)(wanted))
void check_equal(
    const char *file, int line, const char *what, int64_t found, int64_t wanted);

/** Two strings. */
#define CHECK_TEXT(found, wanted) check_text(__FILE__, __LINE__, #found, found, wanted)
void check_text(
    const char *file, int line, const char *what, const char *found, const char *wanted);

/** ${part} is in ${text}. */
#define CHECK_HAS(text, part) check_has(__FILE__, __LINE__, text, part)
void check_has(const char *file, int line, const char *text, const char *part);

#endif
