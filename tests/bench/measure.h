/* measure.h - the clock, latencies, and what several rounds come to. */
#ifndef POOLITE_BENCH_MEASURE_H
#define POOLITE_BENCH_MEASURE_H

#include <stddef.h>
#include <stdint.h>

/** Monotonic nanoseconds. */
int64_t now_ns(void);

/* Values up to 2^40 ns (18 minutes), 128 steps for each power of two. */
#define HISTOGRAM_BUCKETS ((size_t)35 * 128)

/* How often each latency occurred, in steps of at most 0.8 %.  Zero it to start. */
struct histogram {
	uint64_t count;
	int64_t max_ns; /* exact */
	uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_add(struct histogram *histogram, int64_t ns);
/** Add all of ${from}. */
void histogram_merge(struct histogram *into, const struct histogram *from);
/** The latency in ns that the share ${q} of all (0 .. 1) does not exceed; 0 when empty. */
double histogram_quantile(const struct histogram *histogram, double q);

/* What one side did in one round. */
struct tally {
	uint64_t done;      /* operations that went well */
	uint64_t in_time;   /* of these, the ones that ended before time was up */
	uint64_t failed;    /* errors and wrong answers */
	int64_t elapsed_ns; /* the time that was given, or taken where there was none */
	struct histogram latencies;
	char message[512]; /* of a failure */
};

/** Operations a second, of those that ended in time. */
double tally_rate(const struct tally *tally);
/** Count a failure and keep its printf-formatted message. */
void tally_fail(struct tally *tally, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/** One more operation that took from ${started_ns} to ${ended_ns}; time is up at ${deadline_ns}. */
void tally_add(
    struct tally *tally, int64_t started_ns, int64_t ended_ns, int64_t deadline_ns);

/* The middle of several figures, and between what half of them lie. */
struct spread {
	double q1;
	double median;
	double q3;
};

/** ${count} > 0; the values stay as they are. */
struct spread spread_of(const double *values, size_t count);

#endif
