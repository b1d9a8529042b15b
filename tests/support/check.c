#include "tests/support/check.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool is_child;
static bool is_at_end;
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
	if (is_at_end) {
		fprintf(stderr, "%s:%d, behind the test: %s\n", name, line, text);
		abort();
	}
	cr_assert(0, "%s:%d: %s", name, line, text);
	abort(); /* not reached */
}

bool check_has_failed(void)
{
	return has_failed;
}

void check_at_end(void)
{
	is_at_end = true;
}

void check_in_child(void)
{
	is_child = true;
}
