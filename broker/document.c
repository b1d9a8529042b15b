#include "broker/document.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "broker/broker.h"

/* One visitor waits for the loop; whoever is last frees it. */
struct document_request {
	struct broker *broker; /* borrowed */
	enum stats_document which;
	pthread_mutex_t mutex; /* guards the rest */
	pthread_cond_t done;
	bool is_done;
	bool is_forsaken; /* the visitor has left: the loop frees it */
	bool is_healthy;
	struct poolite__buf document; /* owns */
};

static void free_request(struct document_request *request)
{
	poolite__buf_release(&request->document);
	pthread_mutex_destroy(&request->mutex);
	pthread_cond_destroy(&request->done);
	free(request);
}

/* On the loop's thread. */
static void make_document(struct job *job)
{
	struct document_request *request = job->owner;
	bool is_forsaken;

	request->is_healthy = true;
	if (request->which == STATS_DOCUMENT_HEALTH)
		request->is_healthy =
		    stats_pack_health(request->broker, &request->document);
	else
		stats_pack(request->broker, &request->document);
	job_free(job);
	pthread_mutex_lock(&request->mutex);
	request->is_done = true;
	is_forsaken = request->is_forsaken;
	pthread_cond_signal(&request->done);
	pthread_mutex_unlock(&request->mutex);
	if (is_forsaken)
		free_request(request);
}

static struct document_request *ask_for_document(
    struct broker *broker, enum stats_document which)
{
	struct document_request *request = calloc(1, sizeof *request);
	struct job *job = job_create(NULL, 0, NULL);

	if (!request || !job) {
		free(request);
		job_free(job);
		return NULL;
	}
	request->broker = broker;
	request->which = which;
	pthread_mutex_init(&request->mutex, NULL);
	pthread_cond_init(&request->done, NULL);
	poolite__buf_init(&request->document, SIZE_MAX, NULL);
	job->kind = JOB_DOCUMENT;
	job->home = broker->completion;
	job->done = make_document;
	job->owner = request;
	job_finish(job);
	return request;
}

bool document_give(void *context, enum stats_document which,
    struct poolite__buf *document, bool *is_healthy)
{
	struct document_request *request = ask_for_document(context, which);
	struct timespec until;
	bool is_done;

	if (!request)
		return false;
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 1;
	pthread_mutex_lock(&request->mutex);
	while (!request->is_done &&
	    pthread_cond_timedwait(&request->done, &request->mutex, &until) == 0)
		;
	is_done = request->is_done;
	request->is_forsaken = !is_done;
	pthread_mutex_unlock(&request->mutex);
	if (!is_done)
		return false;
	*is_healthy = request->is_healthy;
	is_done = poolite__buf_append(
		      document, request->document.data, request->document.len) == 0;
	free_request(request);
	return is_done;
}
