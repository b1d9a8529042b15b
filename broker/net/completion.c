#include "broker/net/completion.h"

#include <pthread.h>
#include <stdlib.h>

#include "broker/job.h"
#include "broker/net/internal.h"

struct completion {
	uv_async_t async;
	struct loop *loop;     /* borrowed */
	pthread_mutex_t mutex; /* guards jobs */
	struct job_list jobs;
};

/* uv_async_send coalesces: take everything there is. */
static void drain(uv_async_t *async)
{
	struct completion *completion = async->data;
	struct job_list jobs;
	struct job *job;

	pthread_mutex_lock(&completion->mutex);
	jobs = completion->jobs;
	completion->jobs = (struct job_list){0};
	pthread_mutex_unlock(&completion->mutex);

	completion->loop->handler->on_wake(completion->loop->handler->context);
	while ((job = job_list_pop(&jobs)))
		job->done(job);
}

struct completion *completion_create(struct loop *loop)
{
	struct completion *completion = calloc(1, sizeof *completion);

	if (!completion)
		return NULL;
	completion->loop = loop;
	pthread_mutex_init(&completion->mutex, NULL);
	if (uv_async_init(&loop->uv, &completion->async, drain)) {
		pthread_mutex_destroy(&completion->mutex);
		free(completion);
		return NULL;
	}
	completion->async.data = completion;
	return completion;
}

void completion_drain(struct completion *completion)
{
	drain(&completion->async);
}

static void closed(uv_handle_t *handle)
{
	struct completion *completion = handle->data;

	pthread_mutex_destroy(&completion->mutex);
	free(completion);
}

void completion_close(struct completion *completion)
{
	uv_close((uv_handle_t *)&completion->async, closed);
}

void completion_post(struct completion *completion, struct job *job)
{
	bool was_empty;

	pthread_mutex_lock(&completion->mutex);
	was_empty = completion->jobs.head == NULL;
	job_list_push(&completion->jobs, job);
	pthread_mutex_unlock(&completion->mutex);
	if (was_empty)
		uv_async_send(&completion->async);
}

void completion_wake(struct completion *completion)
{
	uv_async_send(&completion->async);
}
