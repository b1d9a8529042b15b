/* stats: counts by method and by code. */
#include <criterion/criterion.h>

#include "broker/stats.h"

static struct stats stats;

Test(stats, counts_requests_and_errors_of_each_method)
{
	stats_count(&stats, POOLITE__QUERY, 0, 10, 20);
	stats_count(&stats, POOLITE__QUERY, POOLITE_SQL_ERROR, 10, 20);
	stats_count(&stats, POOLITE__PING, 0, -1, 20);
	cr_assert_eq(stats.requests[POOLITE__QUERY], 2);
	cr_assert_eq(stats.errors[POOLITE__QUERY], 1);
	cr_assert_eq(stats.requests[POOLITE__PING], 1);
	cr_assert_eq(stats.errors[POOLITE__PING], 0);
	cr_assert_eq(stats.errors_by_code[-POOLITE_SQL_ERROR], 1);
	cr_assert_eq(stats.wait.count, 2);
}

Test(stats, counts_the_errors_of_unknown_methods)
{
	stats_count(&stats, POOLITE__METHOD_UNKNOWN, POOLITE_UNKNOWN_METHOD, -1, 0);
	cr_assert_eq(stats.errors_by_code[-POOLITE_UNKNOWN_METHOD], 1);
}

Test(stats, takes_any_latency)
{
	static const int64_t nanoseconds[] = {
	    -5, 0, 1, 999, 8000, INT64_C(1) << 40, INT64_MAX};
	uint64_t counted = 0;

	for (unsigned i = 0; i < sizeof nanoseconds / sizeof *nanoseconds; i++)
		stats_count(&stats, POOLITE__UPDATE, 0, nanoseconds[i], nanoseconds[i]);
	for (unsigned i = 0; i < STATS_BUCKETS; i++)
		counted += stats.latency[POOLITE__UPDATE].buckets[i];
	cr_assert_eq(counted, 7);
	cr_assert_eq(stats.latency[POOLITE__UPDATE].max_us, (uint64_t)(INT64_MAX / 1000));
}

Test(stats, longer_takes_a_later_bucket)
{
	unsigned last = 0;

	for (int64_t us = 1; us < INT64_C(1) << 40; us += us / 8 + 1) {
		unsigned bucket = 0;
		stats = (struct stats){0};
		stats_count(&stats, POOLITE__UPDATE, 0, -1, us * 1000);
		while (stats.latency[POOLITE__UPDATE].buckets[bucket] == 0)
			bucket++;
		cr_assert(bucket >= last && bucket - last <= 2, "%lld us", (long long)us);
		last = bucket;
	}
}
