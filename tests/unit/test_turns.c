/* test_turns.c - users take turns; each user's jobs keep their order. */
#include <criterion/criterion.h>

#include "broker/turns.h"

static struct lane users[3][TURNS_QUEUES];
static struct turns turns;

/* Job ${number} of ${user}; -1: nobody's. */
static struct job *job_of(int user, unsigned number)
{
	struct job *job = job_create(NULL, 0, NULL);

	job->lanes = user < 0 ? NULL : users[user];
	job->request.msgid = number;
	return job;
}

static void push(int user, unsigned number)
{
	turns_push(&turns, job_of(user, number));
}

static void expect_next(unsigned number)
{
	struct job *job = turns_pop(&turns);

	cr_assert_not_null(job);
	cr_expect_eq(
	    job->request.msgid, number, "%u instead of %u", job->request.msgid, number);
	job_free(job);
}

static void expect_empty(void)
{
	cr_expect_eq(turns.count, 0);
	cr_expect_null(turns_pop(&turns));
	cr_expect_null(turns.first);
}

Test(turns, one_user_s_jobs_are_a_plain_queue)
{
	for (unsigned i = 0; i < 5; i++)
		push(0, i);
	for (unsigned i = 0; i < 5; i++)
		expect_next(i);
	expect_empty();
}

Test(turns, who_queues_many_delays_another_by_one)
{
	for (unsigned i = 0; i < 4; i++)
		push(0, i);
	push(1, 10);
	push(1, 11);
	push(-1, 20);
	expect_next(0);
	expect_next(10);
	expect_next(20);
	expect_next(1);
	expect_next(11);
	expect_next(2);
	push(1, 12);
	expect_next(3);
	expect_next(12);
	expect_empty();
}

Test(turns, what_is_given_back_comes_first_again)
{
	struct job *taken[4];

	push(0, 0);
	push(0, 1);
	push(1, 10);
	push(1, 11);
	for (int i = 0; i < 4; i++)
		taken[i] = turns_pop(&turns);
	for (int i = 4; i-- > 1;)
		turns_push_front(&turns, taken[i]);
	job_free(taken[0]);
	expect_next(10);
	expect_next(1);
	expect_next(11);
	expect_empty();
}

static bool is_even(const struct job *job)
{
	return job->request.msgid % 2 == 0;
}

static bool is_odd(const struct job *job)
{
	return !is_even(job);
}

static bool is_of_user_1(const struct job *job)
{
	return job->lanes == users[1];
}

static struct job *find(bool (*may)(const struct job *))
{
	return turns_find(&turns, is_odd, may);
}

Test(turns, the_first_that_is_not_stuck_is_found_and_its_user_goes_behind)
{
	struct job *job;

	push(0, 1);
	push(0, 2);
	push(0, 6);
	push(1, 4);
	job = find(NULL);
	cr_assert_eq(job->request.msgid, 2);
	turns_take(&turns, job);
	job_free(job);
	cr_expect_eq(turns.count, 3);
	expect_next(4);
	expect_next(6);
	cr_expect_null(find(NULL));
	cr_expect_eq(turns.count, 1);
	cr_expect_eq(turns_ready(&turns), 0);
	turns_bring_back(turns.aside.head);
	expect_next(1);
	expect_empty();
}

Test(turns, who_may_not_have_a_turn_is_passed_over)
{
	push(0, 2);
	push(1, 4);
	cr_expect_eq(find(is_of_user_1)->request.msgid, 4);
	expect_next(2);
	expect_next(4);
	cr_expect_null(find(is_of_user_1));
	expect_empty();
}

Test(turns, what_was_stuck_comes_back_before_its_user_s_others_and_behind_other_users)
{
	struct job *first, *second;

	push(0, 1);
	push(0, 3);
	push(0, 2);
	push(1, 4);
	cr_assert_eq(find(NULL)->request.msgid, 2);
	first = turns.aside.head;
	second = first->next;
	turns_bring_back(second);
	turns_bring_back(first);
	turns_bring_back(first); /* it is back */
	expect_next(1);
	expect_next(4);
	cr_assert_eq(find(NULL)->request.msgid, 2);
	expect_next(2);
	push(1, 6);
	turns_bring_back(second); /* its user's only one now: behind user 1 */
	expect_next(6);
	expect_next(3);
	expect_empty();
}

static bool is_odd_then(struct job *job, int64_t now_ns)
{
	return now_ns == 7 && !is_even(job);
}

Test(turns, the_late_are_collected_from_all_users)
{
	struct job_list late = {0};
	struct job *job;

	push(0, 1);
	push(0, 2);
	push(1, 3);
	push(2, 5);
	push(2, 4);
	cr_assert_eq(find(NULL)->request.msgid, 2); /* 1 is set aside */
	turns_collect(&turns, is_odd_then, 7, &late);
	cr_expect_eq(late.count, 3);
	cr_expect_null(turns.aside.head);
	while ((job = job_list_pop(&late))) {
		cr_expect(!is_even(job));
		job_free(job);
	}
	expect_next(2);
	expect_next(4);
	expect_empty();
}

static bool is_any(struct job *job, int64_t now_ns)
{
	(void)job;
	(void)now_ns;
	return true;
}

Test(turns, no_more_late_ones_are_collected_than_can_be_answered_at_once)
{
	struct job_list late = {0};
	unsigned count = 0;

	for (unsigned i = 0; i < TURNS_LATE_MAX + 3; i++)
		push(0, 2 * i);
	turns_collect(&turns, is_any, 0, &late);
	cr_expect_eq(late.count, TURNS_LATE_MAX);
	cr_expect_eq(turns.count, 3);
	while (late.head)
		job_free(job_list_pop(&late));
	turns_collect(&turns, is_any, 0, &late);
	for (; late.head; count++)
		job_free(job_list_pop(&late));
	cr_expect_eq(count, 3);
	expect_empty();
}
