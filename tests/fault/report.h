/* report.h - where a test's figures go: memory that it shares with the runner. */
#ifndef POOLITE_TESTS_FAULT_REPORT_H
#define POOLITE_TESTS_FAULT_REPORT_H

#include "tests/fault/fault.h"

#define REPORT_FIGURES 32

enum figure_verdict {
	FIGURE_REACHED,
	FIGURE_PART, /* not all of the long run, for the time was up */
	FIGURE_SHORT,
};

struct figure {
	char what[56];
	char relation[4];
	double measured, goal;
	enum figure_verdict verdict;
};

struct report {
	unsigned count;
	struct figure figures[REPORT_FIGURES];
	char notes[4096]; /* whole lines */
};

/** From now on figures go to ${shared} (borrowed for good). */
void report_to(struct report *shared, bool is_long);

#endif
