#include "broker/job.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/net/completion.h"

void job_init(struct job *job)
{
	memset(job, 0, sizeof *job);
	job->wait_until_ns = CLOCK_NEVER;
	job->finish_by_ns = CLOCK_NEVER;
	atomic_init(&job->stop.deadline_ns, CLOCK_NEVER);
	atomic_init(&job->stop.reason, 0);
}

struct job *job_create(const void *message, size_t len, struct poolite__budget *budget)
{
	struct job *job;

	if (budget && poolite__budget_take(budget, sizeof *job + len))
		return NULL;
	job = malloc(sizeof *job + len);
	if (!job) {
		if (budget)
			poolite__budget_give(budget, sizeof *job + len);
		return NULL;
	}
	job_init(job);
	if (len)
		memcpy(job->message, message, len);
	job->message_len = len;
	job->budget = budget;
	poolite__buf_init(&job->answer, SIZE_MAX, budget);
	return job;
}

void job_free(struct job *job)
{
	if (!job)
		return;
	poolite__buf_release(&job->answer);
	if (job->budget)
		poolite__budget_give(job->budget, sizeof *job + job->message_len);
	free(job);
}

void job_finish(struct job *job)
{
	completion_post(job->home, job);
}

void job_start(struct job *job, int64_t now_ns, int64_t query_timeout_ns)
{
	int64_t deadline_ns = clock_after(now_ns, query_timeout_ns);

	if (job->chunks.rows_done == 0)
		job->started_ns = now_ns;
	if (job->finish_by_ns < deadline_ns)
		deadline_ns = job->finish_by_ns;
	atomic_store(&job->stop.deadline_ns, deadline_ns);
}

bool job_goes_on(struct job *job, int64_t now_ns, int64_t wait_until_ns)
{
	if (job->ahead.rows_done == 0) /* none, or without rows */
		return false;
	job->chunks = job->ahead;
	if (job->chunks.rows_done == job->request.list_count)
		return false;
	job->waits_since_ns = now_ns;
	job->wait_until_ns = wait_until_ns;
	return true;
}

bool job_is_late(struct job *job, int64_t now_ns)
{
	int reason = atomic_load(&job->stop.reason);

	/* A stop_for_wal was for what ran, on a reader or in a group that is run again. */
	if (reason > 0) {
		atomic_compare_exchange_strong(&job->stop.reason, &reason, 0);
		reason = atomic_load(&job->stop.reason);
	}
	if (reason) {
		poolite__fail(&job->failure, (enum poolite_code)reason, "%s",
		    reason == POOLITE_CANCELLED ? "cancelled while it waited"
						: poolite__code_meaning(reason));
		return true;
	}
	if (now_ns < job->wait_until_ns && now_ns < job->finish_by_ns)
		return false;
	poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
	    "waited %.1f s for a connection",
	    (double)(now_ns - job->waits_since_ns) / 1e9);
	return true;
}

bool job_is_late_in_session(struct job *job, int64_t now_ns)
{
	if (!job_is_late(job, now_ns))
		return false;
	if (job->failure.code == POOLITE_POOL_TIMEOUT)
		poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
		    "waited %.1f s behind this session's own requests",
		    (double)(now_ns - job->received_ns) / 1e9);
	return true;
}

void job_list_push(struct job_list *list, struct job *job)
{
	job->next = NULL;
	job->prev = list->tail;
	if (list->tail)
		list->tail->next = job;
	else
		list->head = job;
	list->tail = job;
	list->count++;
}

void job_list_push_front(struct job_list *list, struct job *job)
{
	job->prev = NULL;
	job->next = list->head;
	if (list->head)
		list->head->prev = job;
	else
		list->tail = job;
	list->head = job;
	list->count++;
}

void job_list_remove(struct job_list *list, struct job *job)
{
	assert(list->count > 0);
	if (job->prev)
		job->prev->next = job->next;
	else
		list->head = job->next;
	if (job->next)
		job->next->prev = job->prev;
	else
		list->tail = job->prev;
	job->next = job->prev = NULL;
	list->count--;
}

struct job *job_list_pop(struct job_list *list)
{
	struct job *job = list->head;

	if (job)
		job_list_remove(list, job);
	return job;
}
