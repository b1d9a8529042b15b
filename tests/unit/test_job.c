/* job: deadlines, reasons to stop, and lists. */
#include <criterion/criterion.h>

#include "broker/job.h"

static struct job *jobs[4];

static void set_up(void)
{
	for (int i = 0; i < 4; i++)
		jobs[i] = job_create("request", 7, NULL);
}

static void tear_down(void)
{
	for (int i = 0; i < 4; i++)
		job_free(jobs[i]);
}

TestSuite(job, .init = set_up, .fini = tear_down);

Test(job, owns_a_copy_of_its_message)
{
	char message[] = "request";
	struct job *job = job_create(message, sizeof message, NULL);

	message[0] = 'x';
	cr_assert_str_eq((const char *)job->message, "request");
	cr_assert_eq(job->message_len, sizeof message);
	job_free(job);
	job_free(NULL);
}

Test(job, is_counted_against_the_budget_until_it_is_freed)
{
	struct poolite__budget budget = {.max = sizeof(struct job) + 100};
	struct job *job = job_create("request", 7, &budget);

	cr_assert_not_null(job);
	cr_assert_eq(budget.used, sizeof(struct job) + 7);
	cr_assert_null(job_create("request", 7, &budget));
	job_free(job);
	cr_assert_eq(budget.used, 0);
}

Test(job, runs_until_the_nearer_of_two_deadlines)
{
	jobs[0]->finish_by_ns = 500;
	job_start(jobs[0], 100, 1000);
	cr_assert_eq(stop_reason(&jobs[0]->stop, 499), 0);
	cr_assert_eq(stop_reason(&jobs[0]->stop, 500), POOLITE_QUERY_TIMEOUT);
	job_start(jobs[1], 100, 1000);
	cr_assert_eq(stop_reason(&jobs[1]->stop, 1099), 0);
	cr_assert_eq(stop_reason(&jobs[1]->stop, 1100), POOLITE_QUERY_TIMEOUT);
	job_start(jobs[2], 100, CLOCK_NEVER);
	cr_assert_eq(stop_reason(&jobs[2]->stop, CLOCK_NEVER - 1), 0);
}

Test(job, waits_until_the_nearer_of_two_deadlines)
{
	jobs[0]->finish_by_ns = 500;
	jobs[0]->wait_until_ns = 300;
	cr_assert_not(job_is_late(jobs[0], 299));
	cr_assert(job_is_late(jobs[0], 300));
	cr_assert_eq(jobs[0]->failure.code, POOLITE_POOL_TIMEOUT);
	jobs[1]->finish_by_ns = 500;
	cr_assert_not(job_is_late(jobs[1], 499));
	cr_assert(job_is_late(jobs[1], 500));
	cr_assert_not(job_is_late(jobs[2], CLOCK_NEVER - 1));
}

Test(job, given_reason_comes_before_its_deadline)
{
	atomic_store(&jobs[0]->stop.reason, POOLITE_CANCELLED);
	job_start(jobs[0], 100, 100);
	cr_assert_eq(stop_reason(&jobs[0]->stop, 1000), POOLITE_CANCELLED);
	cr_assert(job_is_late(jobs[0], 0));
	cr_assert_eq(jobs[0]->failure.code, POOLITE_CANCELLED);
}

Test(job, abandoned_read_stops_and_abandoned_write_goes_on)
{
	atomic_store(&jobs[0]->stop.is_abandoned, true);
	cr_assert_eq(stop_reason(&jobs[0]->stop, 1), 0);
	atomic_store(&jobs[0]->stop.is_read, true);
	cr_assert_eq(stop_reason(&jobs[0]->stop, 1), POOLITE_CANCELLED);
}

Test(job, list_is_first_in_first_out)
{
	struct job_list list = {0};

	cr_assert_null(job_list_pop(&list));
	job_list_push(&list, jobs[1]);
	job_list_push(&list, jobs[2]);
	job_list_push_front(&list, jobs[0]);
	cr_assert_eq(list.count, 3);
	for (int i = 0; i < 3; i++)
		cr_assert_eq(job_list_pop(&list), jobs[i]);
	cr_assert_null(job_list_pop(&list));
	cr_assert_eq(list.count, 0);
}

Test(job, any_can_leave_a_list)
{
	for (int leaver = 0; leaver < 4; leaver++) {
		struct job_list list = {0};
		for (int i = 0; i < 4; i++)
			job_list_push(&list, jobs[i]);
		job_list_remove(&list, jobs[leaver]);
		for (int i = 0; i < 4; i++)
			if (i != leaver)
				cr_assert_eq(job_list_pop(&list), jobs[i]);
		cr_assert_null(list.head);
		cr_assert_null(list.tail);
	}
}
