/* test_outbox.c - answers that wait are written in order, shared and freed exactly. */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "broker/net/outbox.h"

static void push(struct outbox *outbox, struct poolite__budget *budget, const char *text)
{
	struct poolite__buf buf;

	poolite__buf_init(&buf, SIZE_MAX, budget);
	cr_assert_eq(poolite__buf_append(&buf, text, strlen(text)), 0);
	cr_assert(outbox_push(outbox, &buf));
	cr_assert_eq(buf.len, 0, "the bytes were taken");
}

static void push_big(struct outbox *outbox, struct poolite__budget *budget, char letter)
{
	static char text[20001];

	memset(text, letter, sizeof text - 1);
	push(outbox, budget, text);
}

Test(outbox, small_answers_share_a_buffer)
{
	struct poolite__budget budget = {.max = SIZE_MAX};
	struct outbox outbox = {0};
	uv_buf_t bufs[OUTBOX_WRITE_BUFS];
	size_t bytes;

	push(&outbox, &budget, "one");
	push(&outbox, &budget, "two");
	cr_assert_eq(outbox_gather(&outbox, bufs, &bytes), 1);
	cr_assert_eq(bytes, 6);
	cr_assert_eq(memcmp(bufs[0].base, "onetwo", 6), 0);
	outbox_drop(&outbox);
	cr_assert_eq(atomic_load(&budget.used), 0);
}

Test(outbox, goes_on_where_a_write_stopped)
{
	struct poolite__budget budget = {.max = SIZE_MAX};
	struct outbox outbox = {0};
	uv_buf_t bufs[OUTBOX_WRITE_BUFS];
	size_t bytes;

	push_big(&outbox, &budget, 'a');
	push_big(&outbox, &budget, 'b');
	outbox_written(&outbox, 20005);
	cr_assert_eq(outbox_gather(&outbox, bufs, &bytes), 1);
	cr_assert_eq(bytes, 19995);
	cr_assert_eq(outbox.bytes, 19995);
	cr_assert_eq(bufs[0].base[0], 'b');
	outbox_written(&outbox, bytes);
	cr_assert_null(outbox.head);
	cr_assert_eq(outbox.bytes, 0);
	cr_assert_eq(atomic_load(&budget.used), 0);
}

Test(outbox, what_is_lent_stays_when_the_rest_is_dropped)
{
	struct poolite__budget budget = {.max = SIZE_MAX};
	struct outbox outbox = {0};
	uv_buf_t bufs[OUTBOX_WRITE_BUFS];
	size_t bytes;

	push_big(&outbox, &budget, 'a');
	outbox_written(&outbox, 1);
	outbox_lend(&outbox, outbox_gather(&outbox, bufs, &bytes));
	push(&outbox, &budget, "not into what libuv points at");
	cr_assert_eq(outbox.count, 2);
	outbox_drop(&outbox);
	cr_assert_eq(bufs[0].base[0], 'a');
	cr_assert_eq(outbox.count, 1);
	cr_assert_eq(outbox.bytes, 19999);
	outbox_take_back(&outbox);
	cr_assert_null(outbox.head);
	cr_assert_eq(outbox.bytes, 0);
	cr_assert_eq(atomic_load(&budget.used), 0);
}
