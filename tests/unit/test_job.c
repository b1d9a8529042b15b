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

/* It was for what ran; what waits, on its way to the writer or to run again, is not late. */
Test(job, stop_for_the_wal_is_no_reason_not_to_start)
{
	for (int reason = STOP_READ_FOR_WAL; reason <= STOP_WRITE_FOR_WAL; reason++) {
		atomic_store(&jobs[0]->stop.reason, reason);
		cr_expect_not(job_is_late(jobs[0], 1));
		cr_expect_eq(stop_reason(&jobs[0]->stop, 1), 0);
	}
	atomic_store(&jobs[0]->stop.reason, POOLITE_CANCELLED);
	cr_expect(job_is_late(jobs[0], 1));
	cr_expect_eq((int)jobs[0]->failure.code, (int)POOLITE_CANCELLED);
}

/* What has just run, of a batch of six rows, brought it to ${rows}. */
static void run_up_to(struct job *job, uint32_t rows)
{
	job->request.list_count = 6;
	job->ahead.rows_done = rows;
	job->ahead.changes = 10 * rows;
}

Test(job, goes_on_until_its_last_chunk_is_committed)
{
	struct job *job = jobs[0];

	job_start(job, 100, 1000);
	run_up_to(job, 4);
	cr_assert_eq(job->chunks.rows_done, 0);
	cr_assert(job_goes_on(job, 200, 500));
	cr_assert_eq(job->chunks.rows_done, 4);
	cr_assert_eq(job->chunks.changes, 40);
	run_up_to(job, 6);
	cr_assert_not(job_goes_on(job, 300, 600));
	cr_assert_eq(job->chunks.rows_done, 6);
}

Test(job, that_is_no_batch_never_goes_on)
{
	cr_assert_not(job_goes_on(jobs[0], 200, 500));
	run_up_to(jobs[1], 6); /* all at once */
	cr_assert_not(job_goes_on(jobs[1], 200, 500));
}

Test(job, has_its_clocks_set_anew_for_each_chunk)
{
	struct job *job = jobs[0];

	job->wait_until_ns = 150;
	job->finish_by_ns = 5000;
	job_start(job, 100, 1000);
	run_up_to(job, 4);
	cr_assert(job_goes_on(job, 900, 950));
	cr_assert_not(job_is_late(job, 949));
	cr_assert(job_is_late(job, 950));
	cr_assert_eq(job->waits_since_ns, 900);
	job_start(job, 940, 1000);
	cr_assert_eq(job->started_ns, 100); /* that of the request */
	cr_assert_eq(stop_reason(&job->stop, 1939), 0);
	cr_assert_eq(stop_reason(&job->stop, 1940), POOLITE_QUERY_TIMEOUT);
	job_start(job, 4500, 1000);
	cr_assert_eq(stop_reason(&job->stop, 4999), 0);
	cr_assert_eq(stop_reason(&job->stop, 5000), POOLITE_QUERY_TIMEOUT);
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
