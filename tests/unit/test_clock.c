/* clock: it advances, leaves out gaps, and its sums do not overflow. */
#include <criterion/criterion.h>

#include "broker/clock.h"

static struct clock clock_;

static void set_up(void)
{
	clock_init(&clock_);
}

TestSuite(clock, .init = set_up);

Test(clock, starts_after_zero)
{
	cr_assert_eq(clock_now(&clock_), CLOCK_NS_PER_SEC);
}

Test(clock, advances_by_what_has_passed)
{
	int64_t now_ns;

	clock_.raw_ns -= 300 * CLOCK_NS_PER_MS;
	now_ns = clock_advance(&clock_);
	cr_assert(now_ns >= CLOCK_NS_PER_SEC + 300 * CLOCK_NS_PER_MS);
	cr_assert_eq(clock_now(&clock_), now_ns);
	cr_assert(clock_advance(&clock_) >= now_ns);
}

Test(clock, leaves_out_a_gap_of_more_than_a_second)
{
	clock_.raw_ns -= 3600 * CLOCK_NS_PER_SEC;
	cr_assert_eq(clock_advance(&clock_), CLOCK_NS_PER_SEC);
	clock_.raw_ns -= 10 * CLOCK_NS_PER_MS;
	cr_assert(clock_advance(&clock_) >= CLOCK_NS_PER_SEC + 10 * CLOCK_NS_PER_MS);
	cr_assert(clock_now(&clock_) < 3 * CLOCK_NS_PER_SEC);
}

Test(clock, sums_end_at_never)
{
	cr_assert_eq(clock_after(5, 7), 12);
	cr_assert_eq(clock_after(5, CLOCK_NEVER), CLOCK_NEVER);
	cr_assert_eq(clock_after(CLOCK_NEVER, 5), CLOCK_NEVER);
	cr_assert_eq(clock_after(CLOCK_NEVER - 5, 5), CLOCK_NEVER);
}

Test(clock, tells_the_time_for_people_too)
{
	cr_assert(clock_unix_seconds() > 1.6e9);
	cr_assert(clock_raw_ns() <= clock_raw_ns());
}
