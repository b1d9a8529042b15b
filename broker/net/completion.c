#include "broker/net/completion.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/job.h"
#include "broker/net/internal.h"

/*
 * The loop is woken by an eventfd of our own.  uv_async_send would do it in three steps, and
 * the loop spins until the sender has done the last one; but the second wakes the loop, which
 * may well take the processor from a sender that is nicer.  It spun for milliseconds then.
 */
struct completion {
	uv_poll_t poll;
	int fd;
	struct loop *loop;     /* borrowed */
	pthread_mutex_t mutex; /* guards jobs */
	struct job_list jobs;
	struct job_list taken; /* the loop's: not done yet */
};

/* Jobs done in one turn: a few hundred microseconds.  The others' requests come between. */
#define JOBS_PER_TURN 128

/* Do ${jobs_max} of those that were posted by now; false when more are left. */
static bool do_some(struct completion *completion, unsigned jobs_max)
{
	struct job *job;

	pthread_mutex_lock(&completion->mutex);
	while ((job = job_list_pop(&completion->jobs)))
		job_list_push(&completion->taken, job);
	pthread_mutex_unlock(&completion->mutex);

	completion->loop->handler->on_wake(completion->loop->handler->context);
	while (jobs_max-- > 0 && (job = job_list_pop(&completion->taken)))
		job->done(job);
	return !completion->taken.head;
}

void completion_drain(struct completion *completion)
{
	while (!do_some(completion, JOBS_PER_TURN))
		;
}

/* However often it was woken: read first, then take what there is. */
static void on_wake(uv_poll_t *poll, int status, int events)
{
	struct completion *completion = poll->data;
	uint64_t times;

	(void)status;
	(void)events;
	if (read(completion->fd, &times, sizeof times) == sizeof times &&
	    !do_some(completion, JOBS_PER_TURN))
		completion_wake(completion);
}

struct completion *completion_create(struct loop *loop)
{
	struct completion *completion = calloc(1, sizeof *completion);

	if (!completion)
		return NULL;
	completion->loop = loop;
	pthread_mutex_init(&completion->mutex, NULL);
	completion->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (completion->fd < 0 ||
	    uv_poll_init(&loop->uv, &completion->poll, completion->fd)) {
		if (completion->fd >= 0)
			close(completion->fd);
		pthread_mutex_destroy(&completion->mutex);
		free(completion);
		return NULL;
	}
	completion->poll.data = completion;
	uv_poll_start(&completion->poll, UV_READABLE, on_wake);
	return completion;
}

static void closed(uv_handle_t *handle)
{
	struct completion *completion = handle->data;

	close(completion->fd);
	pthread_mutex_destroy(&completion->mutex);
	free(completion);
}

void completion_close(struct completion *completion)
{
	uv_poll_stop(&completion->poll);
	uv_close((uv_handle_t *)&completion->poll, closed);
}

void completion_wake(struct completion *completion)
{
	static const uint64_t once = 1;
	ssize_t written = write(completion->fd, &once, sizeof once);

	(void)written; /* it can only be too much already: then the loop is awake */
}

void completion_post(struct completion *completion, struct job *job)
{
	bool was_empty;

	pthread_mutex_lock(&completion->mutex);
	was_empty = completion->jobs.head == NULL;
	job_list_push(&completion->jobs, job);
	pthread_mutex_unlock(&completion->mutex);
	if (was_empty)
		completion_wake(completion);
}
