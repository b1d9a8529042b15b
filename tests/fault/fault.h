/* fault.h - what the tests of tests/fault/ share: effort, figures, chance.
 *
 * Each test runs in a process of its own, for as much as its effort says, and
 * reports figures beside their goals.  A CHECK that fails ends the test.
 */
#ifndef POOLITE_TESTS_FAULT_H
#define POOLITE_TESTS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How much of a test is run. */
struct effort {
	bool is_long;
	double until; /* check_seconds(): begin nothing new after it */
	uint64_t seed;
};

struct fault_test {
	const char *id;   /* "T1" */
	const char *what; /* "kill -9" */
	double weight;    /* its share of a long run's time */
	void (*run)(const struct effort *effort);
};

/** How often to inject: the long run's number, or the quick one's. */
uint64_t effort_amount(const struct effort *effort, uint64_t quick, uint64_t long_run);
/** Whether to go on: ${done} of ${amount} are done, and the time is not up. */
bool effort_goes_on(const struct effort *effort, uint64_t done, uint64_t amount);

/* ---- figures; each is printed beside its goal and can fall short of it --------- */

/**
 * A load or a number of faults: below ${quick} it falls short; in a long run it is
 * held against ${long_run}, and is only part of it when the time was up before.
 */
void report_amount(const char *what, double measured, double quick, double long_run);
void report_at_least(const char *what, double measured, double goal);
void report_at_most(const char *what, double measured, double goal);
void report_exactly(const char *what, double measured, double goal);
/** A line for people, printed with the test's figures; printf-formatted. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- chance ------------------------------------------------------------------------ */

struct chance {
	uint64_t state;
};

/** The next number below ${bound}, which is not 0. */
uint64_t chance_below(struct chance *chance, uint64_t bound);
/** A number of ${low} to ${high}. */
double chance_between(struct chance *chance, double low, double high);
/** Another sequence for each ${index} of ${seed}. */
struct chance chance_of(uint64_t seed, uint64_t index);

/* ---- spans ------------------------------------------------------------------------- */

/* Measured spans, for their quantiles.  Zero it to start. */
struct spans {
	double *seconds; /* owns */
	size_t count, room;
};

void spans_add(struct spans *spans, double seconds);
void spans_release(struct spans *spans);
/** The span that ${part} (0 to 1) of them do not exceed, in ms; 0 without any. */
double spans_quantile_ms(struct spans *spans, double part);

/* ---- memory that forked processes share --------------------------------------------- */

/** Zeroed, shared with children; lives as long as the process. */
void *shared_memory(size_t bytes);

/* ---- the tests ----------------------------------------------------------------------- */

void test_kill(const struct effort *effort);
void test_terminate(const struct effort *effort);
void test_holders(const struct effort *effort);
void test_full_disk(const struct effort *effort);
void test_starvation(const struct effort *effort);
void test_rude_clients(const struct effort *effort);
void test_file_tricks(const struct effort *effort);
void test_descriptors(const struct effort *effort);
void test_no_memory(const struct effort *effort);
void test_guard(const struct effort *effort);
void test_soak(const struct effort *effort);
void test_order(const struct effort *effort);
void test_isolation(const struct effort *effort);
void test_failpoints(const struct effort *effort);
void test_io_faults(const struct effort *effort);
void test_threads(const struct effort *effort);
void test_client(const struct effort *effort);
void test_deadlines(const struct effort *effort);
void test_power_cut(const struct effort *effort);

#endif
