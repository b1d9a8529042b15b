#include "tests/support/check.h"

#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static bool is_child;
static bool has_failed;

_Noreturn void check_failed(const char *file, int line, const char *format, ...)
{
	const char *name = strrchr(file, '/');
	char text[4096];
	va_list args;

	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	has_failed = true;
	name = name ? name + 1 : file;
	if (is_child) {
		fprintf(
		    stderr, "client %d: %s:%d: %s\n", (int)getpid(), name, line, text);
		_exit(1);
	}
	cr_assert(0, "%s:%d: %s", name, line, text);
	abort(); /* not reached */
}

bool check_has_failed(void)
{
	return has_failed;
}

void check_in_child(void)
{
	is_child = true;
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
