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

Test(turns, the_first_that_may_is_found_and_its_user_goes_behind)
{
	struct job *job;

	push(0, 1);
	push(0, 2);
	push(1, 4);
	job = turns_find(&turns, is_even);
	cr_assert_eq(job->request.msgid, 2);
	turns_take(&turns, job);
	job_free(job);
	expect_next(4);
	cr_expect_null(turns_find(&turns, is_even));
	expect_next(1);
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
	push(2, 4);
	turns_collect(&turns, is_odd_then, 7, &late);
	cr_expect_eq(late.count, 2);
	while ((job = job_list_pop(&late))) {
		cr_expect(!is_even(job));
		job_free(job);
	}
	expect_next(2);
	expect_next(4);
	expect_empty();
}
