/* check.h for a program without a test framework: what fails says so and ends its process. */
#include "tests/support/check.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
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

void check_at_end(void)
{
	/* A failure ends the program here, wherever it is. */
}

void check_in_child(void)
{
}
