/* Buffers that grow up to a maximum, on a budget they share. */
#include "proto/buffer.h"

#include <pthread.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "proto/poolite_errors.h"
#include "tests/unit/wire.h"

#if defined(__SANITIZE_ADDRESS__)
/* malloc of more than there is returns NULL here, as it does without a sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}
#endif

Test(buffer, allocates_nothing_before_the_first_byte)
{
	struct poolite__budget budget = {.max = 1000};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, &budget);
	cr_assert(eq(ptr, buf.data, NULL));
	cr_assert(eq(sz, budget.used, 0));
	poolite__buf_release(&buf);
}

Test(buffer, keeps_what_is_appended_while_it_grows)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, 1 << 20, NULL);
	for (int i = 0; i < 100000; i++) {
		uint8_t byte = (uint8_t)(i * 7);

		cr_assert(eq(int, poolite__buf_append(&buf, &byte, 1), 0));
	}
	cr_assert(eq(sz, buf.len, 100000));
	for (int i = 0; i < 100000; i++)
		cr_assert(eq(u8, buf.data[i], (uint8_t)(i * 7)));
	poolite__buf_release(&buf);
}

Test(buffer, doubles_but_never_passes_its_maximum)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, 700, NULL);
	poolite__buf_append(&buf, "x", 1);
	cr_assert(eq(sz, buf.cap, 256));
	poolite__buf_reserve(&buf, 256);
	cr_assert(eq(sz, buf.cap, 512));
	poolite__buf_reserve(&buf, 512);
	cr_assert(eq(sz, buf.cap, 700));
	poolite__buf_release(&buf);
}

Test(buffer, is_too_large_one_byte_above_its_maximum)
{
	static const uint8_t bytes[300];
	struct poolite__buf buf;

	poolite__buf_init(&buf, 300, NULL);
	cr_assert(eq(int, poolite__buf_append(&buf, bytes, 300), 0));
	cr_assert(eq(int, poolite__buf_append(&buf, bytes, 0), 0));
	cr_assert(eq(int, poolite__buf_append(&buf, bytes, 1), POOLITE_TOO_LARGE));
	cr_assert(eq(sz, buf.len, 300));
	cr_assert(eq(int, poolite__buf_reserve(&buf, SIZE_MAX), POOLITE_TOO_LARGE));
	poolite__buf_release(&buf);
}

Test(buffer, stays_failed_until_it_is_truncated)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, 4, NULL);
	poolite__buf_append(&buf, "abc", 3);
	cr_assert(eq(int, poolite__buf_append(&buf, "de", 2), POOLITE_TOO_LARGE));
	cr_assert(eq(int, poolite__buf_append(&buf, "d", 1), POOLITE_TOO_LARGE));
	cr_assert(eq(sz, buf.len, 3));
	poolite__buf_truncate(&buf, 2);
	cr_assert(eq(int, poolite__buf_append(&buf, "xy", 2), 0));
	cr_assert(zero(int, memcmp(buf.data, "abxy", 4)));
	poolite__buf_release(&buf);
}

Test(buffer, takes_its_capacity_from_the_budget_and_gives_it_back)
{
	struct poolite__budget budget = {.max = 10000};
	struct poolite__buf one;
	struct poolite__buf two;

	poolite__buf_init(&one, 5000, &budget);
	poolite__buf_init(&two, 5000, &budget);
	poolite__buf_reserve(&one, 1000);
	poolite__buf_reserve(&two, 300);
	cr_assert(eq(sz, budget.used, one.cap + two.cap));
	poolite__buf_release(&one);
	cr_assert(eq(sz, budget.used, two.cap));
	poolite__buf_release(&two);
	cr_assert(eq(sz, budget.used, 0));
	cr_assert(eq(int, poolite__buf_append(&one, "usable again", 12), 0));
	poolite__buf_release(&one);
}

Test(buffer, is_overloaded_when_the_budget_is_used_up)
{
	struct poolite__budget budget = {.max = 1000};
	struct poolite__buf one;
	struct poolite__buf two;

	poolite__buf_init(&one, 5000, &budget);
	poolite__buf_init(&two, 5000, &budget);
	cr_assert(eq(int, poolite__buf_reserve(&one, 800), 0));
	cr_assert(eq(int, poolite__buf_reserve(&two, 201), POOLITE_OVERLOADED));
	cr_assert(eq(sz, budget.used, 800));
	poolite__buf_release(&one);
	poolite__buf_truncate(&two, 0);
	cr_assert(eq(int, poolite__buf_reserve(&two, 201), 0));
	poolite__buf_release(&two);
}

Test(buffer, takes_just_enough_where_twice_as_much_is_not_there)
{
	struct poolite__budget budget = {.max = 1000};
	struct poolite__buf buf;

	poolite__buf_init(&buf, 5000, &budget);
	cr_assert(eq(int, poolite__buf_reserve(&buf, 600), 0));
	buf.len = 600;
	cr_assert(eq(int, poolite__buf_reserve(&buf, 100), 0));
	cr_assert(eq(sz, buf.cap, 700));
	poolite__buf_release(&buf);
	cr_assert(eq(sz, budget.used, 0));
}

Test(buffer, is_overloaded_when_malloc_fails)
{
	struct poolite__budget budget = {.max = SIZE_MAX};
	struct poolite__buf buf;

	poolite__buf_init(&buf, SIZE_MAX, &budget);
	poolite__buf_append(&buf, "kept", 4);
	cr_assert(eq(int, poolite__buf_reserve(&buf, SIZE_MAX / 4), POOLITE_OVERLOADED));
	cr_assert(eq(sz, budget.used, buf.cap));
	cr_assert(zero(int, memcmp(buf.data, "kept", 4)));
	poolite__buf_release(&buf);
	cr_assert(eq(sz, budget.used, 0));
}

Test(buffer, drops_what_was_consumed)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, 100, NULL);
	poolite__buf_append(&buf, "abcdef", 6);
	poolite__buf_consume(&buf, 0);
	poolite__buf_consume(&buf, 2);
	cr_assert(eq(sz, buf.len, 4));
	cr_assert(zero(int, memcmp(buf.data, "cdef", 4)));
	poolite__buf_consume(&buf, 4);
	cr_assert(eq(sz, buf.len, 0));
	poolite__buf_release(&buf);
}

Test(buffer, patches_a_count_that_was_not_known)
{
	struct poolite__buf buf;
	size_t at;

	poolite__buf_init(&buf, 6, NULL);
	poolite__buf_append(&buf, "\x92", 1);
	at = poolite__pack_open_array(&buf);
	poolite__patch_array(&buf, at, 0x01020304);
	cr_assert(zero(int, memcmp(buf.data, "\x92\xdd\x01\x02\x03\x04", 6)));
	at = poolite__pack_open_array(&buf);
	poolite__patch_array(&buf, at, 9);
	cr_assert(eq(int, buf.failed, POOLITE_TOO_LARGE));
	cr_assert(eq(sz, buf.len, 6));
	poolite__buf_release(&buf);
}

enum { TURNS = 100000, BYTES = 3 };

static void *take_and_give(void *context)
{
	struct poolite__budget *budget = context;
	size_t taken = 0;

	for (int i = 0; i < TURNS; i++) {
		if (poolite__budget_take(budget, BYTES))
			continue;
		cr_assert(le(sz, atomic_load(&budget->used), budget->max));
		poolite__budget_give(budget, BYTES);
		taken++;
	}
	return (void *)taken;
}

Test(budget, holds_while_many_threads_draw_on_it)
{
	struct poolite__budget budget = {.max = 2 * BYTES + 1};
	pthread_t threads[4];
	size_t taken = 0;

	for (int i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, take_and_give, &budget);
	for (int i = 0; i < 4; i++) {
		void *result;

		pthread_join(threads[i], &result);
		taken += (size_t)result;
	}
	cr_assert(gt(sz, taken, 0));
	cr_assert(eq(sz, budget.used, 0));
}

Test(budget, refuses_sums_that_would_overflow)
{
	struct poolite__budget budget = {.max = 100};

	cr_assert(eq(int, poolite__budget_take(&budget, 60), 0));
	cr_assert(
	    eq(int, poolite__budget_take(&budget, SIZE_MAX - 10), POOLITE_OVERLOADED));
	cr_assert(eq(int, poolite__budget_take(&budget, 41), POOLITE_OVERLOADED));
	cr_assert(eq(int, poolite__budget_take(&budget, 40), 0));
	cr_assert(eq(int, poolite__budget_take(&budget, 1), POOLITE_OVERLOADED));
	cr_assert(eq(int, poolite__budget_take(&budget, 0), 0));
	poolite__budget_give(&budget, 100);
	cr_assert(eq(sz, budget.used, 0));
}
