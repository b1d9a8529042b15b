#include "tests/bench/measure.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define STEPS ((size_t)128) /* of each power of two */

int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Below 128 ns each has its own bucket; above, the seven bits after the first one count. */
static size_t bucket_of(uint64_t ns)
{
	if (ns < STEPS)
		return ns;
	size_t shift = 63u - (unsigned)__builtin_clzll(ns) - 7u;
	size_t bucket = (shift + 1) * STEPS + (ns >> shift) - STEPS;

	return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The middle of a bucket. */
static double bucket_ns(size_t bucket)
{
	if (bucket < STEPS)
		return (double)bucket;
	size_t shift = bucket / STEPS - 1;

	return ((double)(bucket % STEPS + STEPS) + 0.5) * (double)(UINT64_C(1) << shift);
}

void histogram_add(struct histogram *histogram, int64_t ns)
{
	histogram->count++;
	histogram->buckets[bucket_of(ns > 0 ? (uint64_t)ns : 0)]++;
	if (ns > histogram->max_ns)
		histogram->max_ns = ns;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
	into->count += from->count;
	if (from->max_ns > into->max_ns)
		into->max_ns = from->max_ns;
	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

double histogram_quantile(const struct histogram *histogram, double q)
{
	double rank = q * (double)histogram->count;
	uint64_t seen = 0;

	for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
		seen += histogram->buckets[i];
		if (seen != 0 && (double)seen >= rank) {
			double ns = bucket_ns(i);

			return ns < (double)histogram->max_ns ? ns
							      : (double)histogram->max_ns;
		}
	}
	return (double)histogram->max_ns;
}

double tally_rate(const struct tally *tally)
{
	return tally->elapsed_ns == 0
	    ? 0
	    : (double)tally->in_time * 1e9 / (double)tally->elapsed_ns;
}

void tally_fail(struct tally *tally, const char *format, ...)
{
	va_list arguments;

	tally->failed++;
	va_start(arguments, format);
	vsnprintf(tally->message, sizeof(tally->message), format, arguments);
	va_end(arguments);
}

void tally_add(
    struct tally *tally, int64_t started_ns, int64_t ended_ns, int64_t deadline_ns)
{
	tally->done++;
	if (ended_ns <= deadline_ns)
		tally->in_time++;
	histogram_add(&tally->latencies, ended_ns - started_ns);
}

static int compare_doubles(const void *left, const void *right)
{
	double a = *(const double *)left, b = *(const double *)right;

	return (a > b) - (a < b);
}

/* Between two values where the place falls between them. */
static double value_at(const double *sorted, size_t count, double q)
{
	double place = q * (double)(count - 1);
	size_t below = (size_t)place;
	size_t above = below + 1 < count ? below + 1 : below;

	return sorted[below] + (place - (double)below) * (sorted[above] - sorted[below]);
}

struct spread spread_of(const double *values, size_t count)
{
	double *sorted = malloc(count * sizeof(*sorted));
	struct spread spread = {0};

	if (sorted == NULL)
		abort();
	memcpy(sorted, values, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_doubles);
	spread.q1 = value_at(sorted, count, 0.25);
	spread.median = value_at(sorted, count, 0.5);
	spread.q3 = value_at(sorted, count, 0.75);
	free(sorted);
	return spread;
}
