/* check.h's part that needs no test framework: what is compared, and the clock. */
#include "tests/support/check.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

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
