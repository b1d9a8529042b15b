/* clock.h - the broker's time: monotonic, published by the loop, without gaps.
 *
 * Deadlines are compared with it from every thread.  It advances when the
 * loop says so, at least every CLOCK_TICK_MS; when the whole process did not
 * run for more than a second (SIGSTOP, a suspended machine), that time does
 * not count, so that nothing expires for having been asleep.
 */
#ifndef POOLITE_BROKER_CLOCK_H
#define POOLITE_BROKER_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>

#define CLOCK_TICK_MS    50
#define CLOCK_GAP_NS     INT64_C(1000000000)
#define CLOCK_NS_PER_MS  INT64_C(1000000)
#define CLOCK_NS_PER_SEC INT64_C(1000000000)
/* A deadline that never comes. */
#define CLOCK_NEVER INT64_MAX

struct clock {
	_Atomic int64_t now_ns;
	int64_t raw_ns; /* CLOCK_MONOTONIC when it was last advanced; the loop's alone */
};

/** Start at 1 s, so that 0 is always in the past. */
void clock_init(struct clock *clock);

/** Loop thread: catch up with the machine.  Returns the new time. */
int64_t clock_advance(struct clock *clock);

/** Any thread: the published time. */
static inline int64_t clock_now(const struct clock *clock)
{
	return atomic_load_explicit(&clock->now_ns, memory_order_relaxed);
}

/** Nanoseconds of CLOCK_MONOTONIC, for measuring how long something took. */
int64_t clock_raw_ns(void);

/** Seconds since 1970, with fraction, for people and documents. */
double clock_unix_seconds(void);

/** ${from} + ${span}, CLOCK_NEVER when that overflows or ${span} is CLOCK_NEVER. */
int64_t clock_after(int64_t from_ns, int64_t span_ns);

#endif
