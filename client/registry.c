#include "client/registry.h"

#include <stdlib.h>

/* The library's only globals: a fork handler gets no argument. */
static struct {
	pthread_mutex_t lock;
	struct poolite *handles;
	struct poolite *shared; /* poolite_default's */
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

static atomic_uint generation;
static pthread_once_t handlers_once = PTHREAD_ONCE_INIT;
static int handlers_error;

static void before_fork(void)
{
	pthread_mutex_lock(&registry.lock);
	for (struct poolite *handle = registry.handles; handle; handle = handle->next)
		pthread_mutex_lock(&handle->lock);
}

static void after_fork_in_parent(void)
{
	for (struct poolite *handle = registry.handles; handle; handle = handle->next)
		pthread_mutex_unlock(&handle->lock);
	pthread_mutex_unlock(&registry.lock);
}

static void after_fork_in_child(void)
{
	atomic_fetch_add(&generation, 1);
	for (struct poolite *handle = registry.handles; handle; handle = handle->next) {
		poolite__forget_sessions(handle);
		pthread_mutex_init(&handle->lock, NULL);
	}
	pthread_mutex_init(&registry.lock, NULL);
}

static void install_handlers(void)
{
	handlers_error =
	    pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
}

int poolite__registry_add(struct poolite *handle, struct poolite__failure *failure)
{
	pthread_once(&handlers_once, install_handlers);
	if (handlers_error)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for fork handlers");
	pthread_mutex_lock(&registry.lock);
	handle->next = registry.handles;
	handle->link = &registry.handles;
	if (handle->next)
		handle->next->link = &handle->next;
	registry.handles = handle;
	pthread_mutex_unlock(&registry.lock);
	return 0;
}

void poolite__registry_remove(struct poolite *handle)
{
	pthread_mutex_lock(&registry.lock);
	*handle->link = handle->next;
	if (handle->next)
		handle->next->link = handle->link;
	pthread_mutex_unlock(&registry.lock);
}

unsigned poolite__generation(void)
{
	return atomic_load_explicit(&generation, memory_order_relaxed);
}

struct poolite *poolite_default(struct poolite_error *error)
{
	struct poolite__failure none = {.code = POOLITE_OK};
	struct poolite *handle, *extra;

	poolite__report(error, &none);
	pthread_mutex_lock(&registry.lock);
	handle = registry.shared;
	pthread_mutex_unlock(&registry.lock);
	if (handle || poolite_open(NULL, NULL, &extra, error))
		return handle;

	pthread_mutex_lock(&registry.lock);
	handle = registry.shared;
	if (!handle) {
		registry.shared = handle = extra;
		extra = NULL; /* else another thread was quicker */
	}
	pthread_mutex_unlock(&registry.lock);
	poolite_close(extra);
	return handle;
}

void poolite_close_default(void)
{
	struct poolite *handle;

	pthread_mutex_lock(&registry.lock);
	handle = registry.shared;
	registry.shared = NULL;
	pthread_mutex_unlock(&registry.lock);
	poolite_close(handle);
}
