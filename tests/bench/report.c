#include "tests/bench/report.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>
#include <sqlite3.h>

#include "tests/bench/database.h"
#include "tests/bench/measure.h"

#define CELL 64

static const char *const ratio_kinds[] = {
    [RATIO_OURS] = "Poolite / peer",
    [RATIO_THEIRS] = "peer / Poolite",
    [RATIO_EXTRA] = "(Poolite - peer) / echo",
};

static const char *const units[] = {
    [UNIT_RATE] = "1/s",
    [UNIT_TIME] = "ns",
    [UNIT_BYTES] = "bytes",
};

/* The document is the report: the table is printed from it. */
struct report {
	json_t *document; /* owns */
	json_t *rows;     /* borrowed from it */
	json_t *plots;    /* borrowed from it */
};

static json_t *need(json_t *json)
{
	if (json == NULL)
		die("report", "no memory");
	return json;
}

static void set(json_t *object, const char *key, json_t *value)
{
	if (json_object_set_new(object, key, need(value)) != 0)
		die("report", "no memory");
}

/* The processor's name as Linux tells it. */
static json_t *processor(void)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[256] = "";
	const char *name = "unknown";

	while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon != NULL) {
			colon[strcspn(colon, "\n")] = '\0';
			name = colon + 2;
			break;
		}
	}
	json_t *json = json_string(name);
	if (file != NULL)
		fclose(file);
	return json;
}

static json_t *machine(void)
{
	json_t *json = need(json_object());
	struct utsname names;

	uname(&names);
	set(json, "processors", json_integer(sysconf(_SC_NPROCESSORS_ONLN)));
	set(json, "processor", processor());
	set(json, "kernel", json_string(names.release));
	set(json, "sqlite", json_string(sqlite3_libversion()));
	return json;
}

struct report *report_create(bool is_quick)
{
	struct report *report = calloc(1, sizeof(*report));
	char started[32];
	time_t now = time(NULL);
	struct tm utc;

	if (report == NULL)
		die("report", "no memory");
	strftime(started, sizeof(started), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
	report->document = need(json_object());
	report->rows = need(json_array());
	report->plots = need(json_object());
	set(report->document, "poolite", json_string(POOLITE_VERSION));
	set(report->document, "started", json_string(started));
	set(report->document, "quick", json_boolean(is_quick));
	set(report->document, "machine", machine());
	set(report->document, "comparisons", report->rows);
	set(report->document, "throughput", report->plots);
	return report;
}

void report_free(struct report *report)
{
	json_decref(report->document);
	free(report);
}

/* Every round's figure, their median and quartiles. */
static json_t *figures(const double *values, size_t count)
{
	struct spread spread = spread_of(values, count);
	json_t *json = need(json_object());
	json_t *rounds = need(json_array());

	set(json, "median", json_real(spread.median));
	set(json, "q1", json_real(spread.q1));
	set(json, "q3", json_real(spread.q3));
	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(rounds, need(json_real(values[i]))) != 0)
			die("report", "no memory");
	set(json, "rounds", rounds);
	return json;
}

/* Infinite where the peer's figure is 0, which JSON cannot say: a large number is. */
static double divide(double above, double below)
{
	return below > 0 ? above / below : above > 0 ? 1e9 : 0;
}

static double ratio_of(const struct comparison *comparison, size_t round)
{
	double ours = comparison->ours[round], theirs = comparison->theirs[round];

	switch (comparison->ratio) {
	case RATIO_THEIRS: return divide(theirs, ours);
	case RATIO_EXTRA: return (ours - theirs) / comparison->yardstick[round];
	case RATIO_OURS: break;
	}
	return divide(ours, theirs);
}

void report_add(struct report *report, const struct comparison *comparison)
{
	double ratios[ROUNDS_MAX];
	json_t *row = need(json_object());
	size_t rounds = comparison->rounds;

	assert(rounds > 0 && rounds <= ROUNDS_MAX);
	for (size_t i = 0; i < rounds; i++)
		ratios[i] = ratio_of(comparison, i);
	double median = spread_of(ratios, rounds).median;
	bool has_goal = comparison->at_least != 0 || comparison->at_most != 0;

	set(row, "line", json_string(comparison->line));
	set(row, "work", json_string(comparison->work));
	set(row, "unit", json_string(units[comparison->unit]));
	set(row, "poolite", figures(comparison->ours, rounds));
	set(row, "peer_name", json_string(comparison->peer));
	set(row, "peer", figures(comparison->theirs, rounds));
	if (comparison->ratio == RATIO_EXTRA)
		set(row, "echo", figures(comparison->yardstick, rounds));
	set(row, "ratio_is", json_string(ratio_kinds[comparison->ratio]));
	set(row, "ratio", figures(ratios, rounds));
	if (comparison->at_least != 0)
		set(row, "goal_at_least", json_real(comparison->at_least));
	if (comparison->at_most != 0)
		set(row, "goal_at_most", json_real(comparison->at_most));
	if (has_goal)
		set(row, "reached",
		    json_boolean(comparison->at_least != 0
			    ? median >= comparison->at_least
			    : median <= comparison->at_most));
	if (json_array_append_new(report->rows, row) != 0)
		die("report", "no memory");
}

void report_add_point(struct report *report, const char *plot, const char *side,
    int clients, const double *rates, size_t rounds)
{
	json_t *sides = json_object_get(report->plots, plot);
	json_t *point = figures(rates, rounds);

	if (sides == NULL) {
		sides = need(json_object());
		set(report->plots, plot, sides);
	}
	json_t *points = json_object_get(sides, side);
	if (points == NULL) {
		points = need(json_array());
		set(sides, side, points);
	}
	set(point, "clients", json_integer(clients));
	if (json_array_append_new(points, point) != 0)
		die("report", "no memory");
}

/* ---- the table ----------------------------------------------------------------- */

static const char *text_of(const json_t *row, const char *key)
{
	return json_string_value(json_object_get(row, key));
}

static double figure_of(const json_t *row, const char *key, const char *which)
{
	return json_real_value(json_object_get(json_object_get(row, key), which));
}

/* "121,900/s", "27.3 us", "3.4 ms", "5.0 MiB". */
static void write_figure(char cell[CELL], const char *unit, double figure)
{
	if (strcmp(unit, units[UNIT_BYTES]) == 0) {
		snprintf(cell, CELL, "%.1f MiB", figure / (1 << 20));
	} else if (strcmp(unit, units[UNIT_TIME]) == 0) {
		if (figure >= 1e9)
			snprintf(cell, CELL, "%.2f s", figure / 1e9);
		else if (figure >= 1e6)
			snprintf(cell, CELL, "%.1f ms", figure / 1e6);
		else
			snprintf(cell, CELL, "%.1f us", figure / 1e3);
	} else if (figure >= 1e6) {
		snprintf(cell, CELL, "%ld,%03ld,%03ld/s", (long)figure / 1000000,
		    (long)figure / 1000 % 1000, (long)figure % 1000);
	} else if (figure >= 1e3) {
		snprintf(
		    cell, CELL, "%ld,%03ld/s", (long)figure / 1000, (long)figure % 1000);
	} else {
		snprintf(cell, CELL, "%.0f/s", figure);
	}
}

static void write_goal(const json_t *row, char cell[CELL], const char **reached)
{
	const json_t *least = json_object_get(row, "goal_at_least");
	const json_t *most = json_object_get(row, "goal_at_most");

	snprintf(cell, CELL, "-");
	*reached = "-";
	if (least == NULL && most == NULL)
		return;
	if (least != NULL)
		snprintf(cell, CELL, ">= %.1f", json_real_value(least));
	else
		snprintf(cell, CELL, "<= %.1f", json_real_value(most));
	*reached = json_is_true(json_object_get(row, "reached")) ? "yes" : "NO";
}

/* "2.31 x", "31.0 x less", "1.3 echoes". */
static void write_ratio(const json_t *row, char cell[CELL])
{
	const char *kind = text_of(row, "ratio_is");
	double ratio = figure_of(row, "ratio", "median");

	snprintf(cell, CELL, "%.2f %s", ratio,
	    strcmp(kind, ratio_kinds[RATIO_OURS]) == 0         ? "x"
		: strcmp(kind, ratio_kinds[RATIO_THEIRS]) == 0 ? "x less"
							       : "echoes");
}

static void print_row(const json_t *row, FILE *file)
{
	char ours[CELL], theirs[CELL], ratio[CELL], spread[CELL], goal[CELL];
	const char *unit = text_of(row, "unit"), *reached;

	write_figure(ours, unit, figure_of(row, "poolite", "median"));
	write_figure(theirs, unit, figure_of(row, "peer", "median"));
	write_ratio(row, ratio);
	snprintf(spread, sizeof(spread), "%.2f .. %.2f", figure_of(row, "ratio", "q1"),
	    figure_of(row, "ratio", "q3"));
	write_goal(row, goal, &reached);
	fprintf(file, "%-41s %11s  %-27s %11s  %12s  %-16s  %-7s  %s\n",
	    text_of(row, "work"), ours, text_of(row, "peer_name"), theirs, ratio, spread,
	    goal, reached);
}

void report_print(const struct report *report, FILE *file)
{
	size_t index;
	json_t *row;

	fprintf(file, "%-41s %11s  %-27s %11s  %12s  %-16s  %-7s  %s\n", "work",
	    "Poolite", "peer", "", "ratio", "spread", "goal", "reached?");
	json_array_foreach(report->rows, index, row) print_row(row, file);
	fprintf(file,
	    "\nx: Poolite / peer.  x less: peer / Poolite.  echoes: what Poolite adds, in "
	    "bare echoes.\nFigures are medians of rounds; spread is between the quartiles "
	    "of the rounds' ratios.\n");
}

bool report_save(const struct report *report, const char *path)
{
	return json_dump_file(
		   report->document, path, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) == 0;
}
