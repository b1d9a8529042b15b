#include "client/handle.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/registry.h"
#include "client/verbs.h"

#define CONNECT_TIMEOUT_MS 5000
#define REQUEST_TIMEOUT_MS 90000
#define ANSWER_GRACE_MS    10000
#define MAX_IDLE           16

static enum poolite_outcome outcome_of(const struct poolite__failure *failure)
{
	if (failure->is_unknown)
		return POOLITE_DONE_UNKNOWN;
	return failure->rows_done > 0 ? POOLITE_DONE_PART : POOLITE_DONE_NO;
}

int poolite__report(struct poolite_error *error, const struct poolite__failure *failure)
{
	if (error) {
		memset(error, 0, sizeof *error);
		error->code = failure->code;
		error->sqlite = failure->sqlite;
		if (failure->code != POOLITE_OK) {
			error->outcome = outcome_of(failure);
			error->rows_done = failure->rows_done;
			snprintf(error->message, sizeof error->message, "%s",
			    failure->message);
		}
	}
	return failure->code;
}

const char *poolite_code_name(int code)
{
	return code == POOLITE_OK ? "OK" : poolite__code_name(code);
}

/* ---- open and close ------------------------------------------------------ */

static int or_default(int value, int fallback)
{
	return value == 0 ? fallback : value;
}

static int set_options(struct poolite_options *options,
    const struct poolite_options *given, struct poolite__failure *failure)
{
	if (given)
		*options = *given;
	if (options->connect_timeout_ms < 0 || options->request_timeout_ms < -1 ||
	    options->answer_grace_ms < 0 || options->max_idle < -1)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "struct poolite_options: a value is below its least");
	options->connect_timeout_ms =
	    or_default(options->connect_timeout_ms, CONNECT_TIMEOUT_MS);
	options->request_timeout_ms =
	    or_default(options->request_timeout_ms, REQUEST_TIMEOUT_MS);
	options->answer_grace_ms = or_default(options->answer_grace_ms, ANSWER_GRACE_MS);
	options->max_idle = or_default(options->max_idle, MAX_IDLE);
	return 0;
}

static int set_path(
    struct poolite *handle, const char *path, struct poolite__failure *failure)
{
	if (!path)
		path = secure_getenv("POOLITE_SOCKET");
	if (!path || !*path)
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "no socket: give its path, or set POOLITE_SOCKET");
	if (strlen(path) >= sizeof handle->path)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "a socket's path has at most %zu bytes, this one %zu: %s",
		    sizeof handle->path - 1, strlen(path), path);
	memcpy(handle->path, path, strlen(path) + 1);
	return 0;
}

static int make_handle(const char *path, const struct poolite_options *options,
    struct poolite **made, struct poolite__failure *failure)
{
	struct poolite *handle = calloc(1, sizeof *handle);

	if (!handle)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for a handle");
	if (set_path(handle, path, failure) ||
	    set_options(&handle->options, options, failure)) {
		free(handle);
		return failure->code;
	}
	pthread_mutex_init(&handle->lock, NULL);
	if (poolite__registry_add(handle, failure)) {
		pthread_mutex_destroy(&handle->lock);
		free(handle);
		return failure->code;
	}
	*made = handle;
	return 0;
}

int poolite_open(const char *socket_path, const struct poolite_options *options,
    struct poolite **handle, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	if (!handle) {
		poolite__fail(&failure, POOLITE_BAD_REQUEST, "no place for the handle");
		return poolite__report(error, &failure);
	}
	*handle = NULL;
	make_handle(socket_path, options, handle, &failure);
	return poolite__report(error, &failure);
}

static void free_handle(struct poolite *handle)
{
	poolite__registry_remove(handle);
	pthread_mutex_destroy(&handle->lock);
	free(handle);
}

/* ---- its sessions; all static functions here want the lock --------------- */

static void enlist(struct poolite__session **list, struct poolite__session *session)
{
	session->next = *list;
	session->link = list;
	if (session->next)
		session->next->link = &session->next;
	*list = session;
}

static void delist(struct poolite__session *session)
{
	assert(session->link);
	*session->link = session->next;
	if (session->next)
		session->next->link = session->link;
	session->next = NULL;
	session->link = NULL;
}

/* Gone, or on the list busy until no cancel looks at it any more. */
static void retire(struct poolite *handle, struct poolite__session *session)
{
	delist(session);
	if (session->pins == 0) {
		poolite__session_free(session);
		return;
	}
	session->is_retired = true;
	enlist(&handle->busy, session);
}

static void retire_all_idle(struct poolite *handle)
{
	while (handle->idle)
		retire(handle, handle->idle);
	handle->idle_count = 0;
}

/* Unlock, and free a closed handle that nobody uses any more. */
static void leave(struct poolite *handle)
{
	bool is_last = handle->is_closed && handle->users == 0;

	pthread_mutex_unlock(&handle->lock);
	if (is_last)
		free_handle(handle);
}

void poolite_close(struct poolite *handle)
{
	if (!handle)
		return;
	pthread_mutex_lock(&handle->lock);
	handle->is_closed = true;
	retire_all_idle(handle);
	leave(handle);
}

/* ---- borrowing ----------------------------------------------------------- */

static struct poolite__session *take_idle(struct poolite *handle)
{
	struct poolite__session *session;

	pthread_mutex_lock(&handle->lock);
	session = handle->idle;
	if (session) {
		delist(session);
		handle->idle_count--;
		enlist(&handle->busy, session);
		handle->users++;
		session->is_reused = true;
	}
	pthread_mutex_unlock(&handle->lock);
	return session;
}

/* A new session with its socket, not connected; listed before a fork can come. */
static struct poolite__session *make_session(
    struct poolite *handle, struct poolite__failure *failure)
{
	struct poolite__session *session = poolite__session_create();
	int error = ENOMEM;

	if (session) {
		pthread_mutex_lock(&handle->lock);
		session->fd =
		    socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		error = errno;
		if (session->fd >= 0) {
			enlist(&handle->busy, session);
			handle->users++;
		}
		pthread_mutex_unlock(&handle->lock);
		if (session->fd >= 0)
			return session;
		poolite__session_free(session);
	}
	poolite__fail(failure, POOLITE_OVERLOADED, "no socket to reach the broker: %s",
	    strerrordesc_np(error));
	return NULL;
}

int poolite__borrow(struct poolite *handle, int64_t deadline,
    struct poolite__session **session, struct poolite__failure *failure)
{
	while ((*session = take_idle(handle)) != NULL) {
		if (poolite__session_is_alive(*session))
			return 0;
		poolite__discard(handle, *session);
	}
	*session = make_session(handle, failure);
	if (!*session)
		return failure->code;
	if (poolite__session_connect(*session, handle->path, deadline, failure)) {
		poolite__discard(handle, *session);
		*session = NULL;
		return failure->code;
	}
	return 0;
}

void poolite__give_back(struct poolite *handle, struct poolite__session *session)
{
	pthread_mutex_lock(&handle->lock);
	handle->users--;
	/* What is still in it can only be the broker's good-bye. */
	if (handle->is_closed || poolite__session_has_rest(session) ||
	    handle->idle_count >= handle->options.max_idle) {
		retire(handle, session);
	} else {
		delist(session);
		enlist(&handle->idle, session);
		handle->idle_count++;
	}
	leave(handle);
}

void poolite__discard(struct poolite *handle, struct poolite__session *session)
{
	pthread_mutex_lock(&handle->lock);
	handle->users--;
	retire(handle, session);
	leave(handle);
}

/* ---- fork ---------------------------------------------------------------- */

void poolite__forget_sessions(struct poolite *handle)
{
	struct poolite__session *session;

	while ((session = handle->idle) != NULL) {
		delist(session);
		poolite__session_free(session);
	}
	handle->idle_count = 0;
	/* These belong to threads that are not here, or to transactions, which
	 * free theirs: only the descriptors are taken away. */
	while ((session = handle->busy) != NULL) {
		delist(session);
		close(session->fd);
		session->fd = -1;
	}
	handle->users = 0;
}

/* ---- cancel -------------------------------------------------------------- */

static void unpin(struct poolite__session *session)
{
	if (--session->pins == 0 && session->is_retired) {
		delist(session);
		poolite__session_free(session);
	}
}

/* Pin all busy sessions and list them; NULL: none, or no memory. */
static struct poolite__session **pin_busy(struct poolite *handle, size_t *count)
{
	struct poolite__session *session, **pinned;
	size_t busy = 0;

	*count = 0;
	for (session = handle->busy; session; session = session->next)
		busy++;
	pinned = malloc((busy + 1) * sizeof(struct poolite__session *));
	if (!pinned)
		return NULL;
	for (session = handle->busy; session; session = session->next) {
		if (session->is_retired)
			continue;
		session->pins++;
		pinned[(*count)++] = session;
	}
	return pinned;
}

static int cancel_all(struct poolite *handle, struct poolite__failure *failure)
{
	struct poolite__session **pinned;
	size_t count;

	if (!handle)
		return poolite__no_handle(failure);
	pthread_mutex_lock(&handle->lock);
	pinned = pin_busy(handle, &count);
	handle->users++;
	pthread_mutex_unlock(&handle->lock);

	for (size_t i = 0; i < count; i++)
		poolite__session_cancel(pinned[i]);

	pthread_mutex_lock(&handle->lock);
	for (size_t i = 0; i < count; i++)
		unpin(pinned[i]);
	handle->users--;
	leave(handle);
	if (!pinned)
		return poolite__fail(failure, POOLITE_OVERLOADED, "no memory to cancel");
	free(pinned);
	return 0;
}

int poolite_cancel(struct poolite *handle, struct poolite_error *error)
{
	struct poolite__failure failure = {.code = POOLITE_OK};

	cancel_all(handle, &failure);
	return poolite__report(error, &failure);
}
