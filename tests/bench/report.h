/* report.h - what was measured, as a table for people and as JSON. */
#ifndef POOLITE_BENCH_REPORT_H
#define POOLITE_BENCH_REPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#define ROUNDS_MAX 32

enum unit {
	UNIT_RATE, /* operations a second */
	UNIT_TIME, /* nanoseconds for one */
	UNIT_BYTES,
};

/* How two figures become one. */
enum ratio {
	RATIO_OURS,   /* ours / theirs */
	RATIO_THEIRS, /* theirs / ours */
	RATIO_EXTRA,  /* (ours - theirs) / yardstick */
};

/* One row of the table: Poolite against one peer. */
struct comparison {
	const char *line; /* the name for --only */
	const char *work; /* for people */
	const char *peer;
	enum unit unit;
	enum ratio ratio;
	double at_least; /* goals for the ratio; 0: none */
	double at_most;
	size_t rounds; /* 1 .. ROUNDS_MAX */
	double ours[ROUNDS_MAX];
	double theirs[ROUNDS_MAX];
	double yardstick[ROUNDS_MAX]; /* RATIO_EXTRA: a bare echo */
};

struct report;

/** Never NULL; for report_free. */
struct report *report_create(bool is_quick);
void report_free(struct report *report);

/** Add a row; the strings are copied. */
void report_add(struct report *report, const struct comparison *comparison);
/** Add one point of a plot's line: ${clients} of ${side} in ${plot} had these rates. */
void report_add_point(struct report *report, const char *plot, const char *side,
    int clients, const double *rates, size_t rounds);

/** Print the table: work | Poolite | peer | ratio | spread | goal | reached? */
void report_print(const struct report *report, FILE *file);
/** Write everything as JSON; whether that went well. */
bool report_save(const struct report *report, const char *path);

#endif
