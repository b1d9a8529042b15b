/* check.h for a program without a test framework: what fails says so and ends its process. */
#include "tests/support/check.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool has_failed;

_Noreturn void check_failed(const char *file, int line, const char *format, ...)
{
	const char *name = strrchr(file, '/');
	va_list args;

	has_failed = true;
	fprintf(stderr, "torture: %s:%d: ", name ? name + 1 : file, line);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	_exit(1);
}

bool check_has_failed(void)
{
	return has_failed;
}

void check_in_child(void)
{
}

double check_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void check_equal(
    const char *file, int line, const char *what, int64_t found, int64_t wanted)
{
	if (found != wanted)
		check_failed(
		    file, line, "%s is %" PRId64 ", not %" PRId64, what, found, wanted);
}

void check_text(
    const char *file, int line, const char *what, const char *found, const char *wanted)
{
	if (strcmp(found, wanted) != 0)
		check_failed(file, line, "%s is\n  %s\nnot\n  %s", what, found, wanted);
}

void check_has(const char *file, int line, const char *text, const char *part)
{
	if (!strstr(text, part))
		check_failed(file, line, "no \"%s\" in \"%s\"", part, text);
}
