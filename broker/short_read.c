#include "broker/short_read.h"

#include "broker/dispatch.h"
#include "broker/net/session.h"
#include "proto/answer.h"

/* A longer message has a text that is not remembered, or arguments that are worth a thread. */
#define MESSAGE_BYTES ((size_t)2 * ROUTES_TEXT_BYTES)

/* Whether ${message} is such a query; all of it is in ${request} then. */
static bool is_short_query(struct broker *broker, const struct client *client,
    const uint8_t *message, size_t len, struct poolite__request *request)
{
	bool has_msgid;

	return !client->transaction && !broker->is_past_grace && len <= MESSAGE_BYTES &&
	    poolite__read_request(message, len, request, &has_msgid, NULL) == 0 &&
	    !request->is_notification && request->method == POOLITE__QUERY &&
	    poolite__read_params(request, NULL) == 0 && request->options.page_rows == 0 &&
	    routes_is_short(&broker->routes, request->sql, request->sql_len) &&
	    users_check_request(&broker->users, client->user, NULL) == 0;
}

bool short_read_answer(struct session *session, const uint8_t *message, size_t len)
{
	struct broker *broker = session_context(session);
	const struct client *client = session_data(session);
	bool is_answered = false;
	struct job job;

	job_init(&job);
	routes_keep_up(&broker->routes, atomic_load(&broker->database.schema_seq));
	if (!is_short_query(broker, client, message, len, &job.request))
		return false;
	job.session = session;
	job.read_only = client->roles & PEOPLE_READ_ONLY;
	job.received_ns = clock_now(&broker->clock);
	job.answer = broker->short_answer;
	poolite__buf_truncate(&job.answer, 0);
	/* Errors, and what there is no memory for, take the long way: they are rare. */
	if (fast_run(&broker->fast, &job) != FAST_ANSWERED)
		routes_exceeded(&broker->routes, job.request.sql, job.request.sql_len);
	else
		is_answered = !job.failure.code && session_answer(session, &job.answer);
	if (is_answered)
		dispatch_count(broker, &job);
	broker->short_answer = job.answer;
	return is_answered;
}
