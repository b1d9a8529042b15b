#include "broker/clock.h"

#include <time.h>

int64_t clock_raw_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * CLOCK_NS_PER_SEC + now.tv_nsec;
}

double clock_unix_seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_REALTIME, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void clock_init(struct clock *clock)
{
	clock->raw_ns = clock_raw_ns();
	atomic_init(&clock->now_ns, CLOCK_NS_PER_SEC);
}

int64_t clock_advance(struct clock *clock)
{
	int64_t raw_ns = clock_raw_ns();
	int64_t step_ns = raw_ns - clock->raw_ns;
	int64_t now_ns = clock_now(clock);

	clock->raw_ns = raw_ns;
	if (step_ns <= CLOCK_GAP_NS) {
		now_ns += step_ns;
		atomic_store_explicit(&clock->now_ns, now_ns, memory_order_relaxed);
	}
	return now_ns;
}

int64_t clock_after(int64_t from_ns, int64_t span_ns)
{
	int64_t sum_ns;

	if (__builtin_add_overflow(from_ns, span_ns, &sum_ns))
		return CLOCK_NEVER;
	return sum_ns;
}
