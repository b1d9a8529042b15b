/* fault.h's figures, chance and spans. */
#include "tests/fault/report.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/check.h"

static struct report *report;
static bool is_long_run;

void report_to(struct report *shared, bool is_long)
{
	report = shared;
	is_long_run = is_long;
}

static void add(const char *what, double measured, const char *relation, double goal,
    enum figure_verdict verdict)
{
	struct figure *figure = &report->figures[report->count];

	CHECK(report->count < REPORT_FIGURES, "too many figures");
	snprintf(figure->what, sizeof figure->what, "%s", what);
	snprintf(figure->relation, sizeof figure->relation, "%s", relation);
	figure->measured = measured;
	figure->goal = goal;
	figure->verdict = verdict;
	report->count++;
}

void report_amount(const char *what, double measured, double quick, double long_run)
{
	if (measured < quick)
		add(what, measured, ">=", quick, FIGURE_SHORT);
	else if (!is_long_run)
		add(what, measured, ">=", quick, FIGURE_REACHED);
	else
		add(what, measured, ">=", long_run,
		    measured < long_run ? FIGURE_PART : FIGURE_REACHED);
}

void report_at_least(const char *what, double measured, double goal)
{
	add(what, measured, ">=", goal, measured >= goal ? FIGURE_REACHED : FIGURE_SHORT);
}

void report_at_most(const char *what, double measured, double goal)
{
	add(what, measured, "<=", goal, measured <= goal ? FIGURE_REACHED : FIGURE_SHORT);
}

void report_exactly(const char *what, double measured, double goal)
{
	add(what, measured, "=", goal, measured == goal ? FIGURE_REACHED : FIGURE_SHORT);
}

void report_note(const char *format, ...)
{
	size_t len = strlen(report->notes);
	va_list args;

	va_start(args, format);
	vsnprintf(report->notes + len, sizeof report->notes - len, format, args);
	va_end(args);
	len = strlen(report->notes);
	snprintf(report->notes + len, sizeof report->notes - len, "\n");
}

/* ---- effort -------------------------------------------------------------------- */

uint64_t effort_amount(const struct effort *effort, uint64_t quick, uint64_t long_run)
{
	return effort->is_long ? long_run : quick;
}

bool effort_goes_on(const struct effort *effort, uint64_t done, uint64_t amount)
{
	return done < amount && check_seconds() < effort->until;
}

/* ---- chance -------------------------------------------------------------------- */

uint64_t chance_below(struct chance *chance, uint64_t bound)
{
	uint64_t z = chance->state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % bound;
}

double chance_between(struct chance *chance, double low, double high)
{
	return low + (high - low) * (double)chance_below(chance, 1u << 30) / (1u << 30);
}

struct chance chance_of(uint64_t seed, uint64_t index)
{
	struct chance chance = {seed};

	chance.state += chance_below(&chance, UINT64_MAX) ^ (index * 0x9e37 + 1);
	return chance;
}

/* ---- spans --------------------------------------------------------------------- */

void spans_add(struct spans *spans, double seconds)
{
	if (spans->count == spans->room) {
		spans->room = spans->room ? 2 * spans->room : 256;
		spans->seconds =
		    realloc(spans->seconds, spans->room * sizeof *spans->seconds);
		CHECK(spans->seconds, "no memory");
	}
	spans->seconds[spans->count++] = seconds;
}

void spans_release(struct spans *spans)
{
	free(spans->seconds);
	*spans = (struct spans){0};
}

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a, right = *(const double *)b;
	return (left > right) - (left < right);
}

double spans_quantile_ms(struct spans *spans, double part)
{
	size_t at;

	if (spans->count == 0)
		return 0;
	qsort(spans->seconds, spans->count, sizeof *spans->seconds, compare);
	at = (size_t)((double)spans->count * part);
	if (at >= spans->count)
		at = spans->count - 1;
	return spans->seconds[at] * 1000;
}

/* ---- memory -------------------------------------------------------------------- */

void *shared_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	CHECK(memory != MAP_FAILED, "no memory to share");
	return memory;
}
