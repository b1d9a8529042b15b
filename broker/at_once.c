#include "broker/at_once.h"

#include <stdio.h>
#include <string.h>
#include <utlist.h>

#include "broker/dispatch.h"
#include "broker/overdue.h"
#include "proto/answer.h"
#include "proto/cancel.h"
#include "proto/hello.h"

static void answer_hello(struct broker *broker, struct job *job)
{
	const struct settings *settings = &broker->settings;
	struct poolite__hello hello = {
	    .version = POOLITE_VERSION,
	    .protocol = POOLITE__PROTOCOL_VERSION,
	    .max_frame_bytes = (int64_t)settings->max_frame_bytes,
	    .max_values = settings->max_values,
	    .max_result_bytes = (int64_t)settings->max_result_bytes,
	    .max_inflight = settings->max_inflight,
	    .session = session_id(job->session),
	};

	snprintf(hello.sqlite, sizeof hello.sqlite, "%s", connection_sqlite_version());
	snprintf(hello.key, sizeof hello.key, "%s", session_key(job->session));
	poolite__pack_hello_result(&job->answer, &hello);
}

/* Ask every request with that msgid to stop; true when there was one. */
static bool cancel_request(struct broker *broker, struct session *session, uint32_t msgid,
    const struct job *except)
{
	struct client *client = session_data(session);
	bool was_there = false;
	struct job *job;

	if (!client)
		return false;
	DL_FOREACH2 (client->jobs, job, mate_next) {
		if (job == except || job->request.msgid != msgid)
			continue;
		atomic_store(&job->stop.reason, POOLITE_CANCELLED);
		was_there = true;
	}
	if (was_there)
		overdue_ask(broker);
	return was_there;
}

static struct session *find_session(struct broker *broker, uint64_t id)
{
	struct session *session = NULL;

	while ((session = session_next(&broker->sessions, session)))
		if (session_id(session) == id)
			return session;
	return NULL;
}

void at_once_cancel(struct broker *broker, struct session *from,
    const struct poolite__request *request, struct job *job)
{
	struct session *session = from;
	bool was_there = false;

	if (request->cancel_session) {
		session = find_session(broker, request->cancel_session);
		if (session &&
		    (session_peer(session).uid != session_peer(from).uid ||
			memcmp(session_key(session), request->cancel_key,
			    POOLITE__KEY_CHARS) != 0)) {
			if (job)
				poolite__fail(&job->failure, POOLITE_NOT_ALLOWED,
				    "the key is not that session's, or the session is another "
				    "user's");
			return;
		}
	}
	if (session)
		was_there = cancel_request(broker, session, request->cancel_msgid, job);
	if (job)
		poolite__pack_cancel_result(&job->answer, was_there);
}

static void pack_pong(struct poolite__buf *out)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, out);
	poolite__pack_cstr(&packer, "pong");
}

bool at_once_is(enum poolite__method method)
{
	return method == POOLITE__HELLO || method == POOLITE__PING ||
	    method == POOLITE__STATS || method == POOLITE__HEALTH ||
	    method == POOLITE__CANCEL;
}

bool at_once_answer(struct broker *broker, struct job *job)
{
	enum poolite__method method = job->request.method;

	if (!at_once_is(method))
		return false;
	if (job->failure.code == 0) {
		poolite__pack_answer(&job->answer, job->request.msgid);
		switch (method) {
		case POOLITE__HELLO: answer_hello(broker, job); break;
		case POOLITE__STATS: stats_pack(broker, &job->answer); break;
		case POOLITE__HEALTH: stats_pack_health(broker, &job->answer); break;
		case POOLITE__CANCEL:
			at_once_cancel(broker, job->session, &job->request, job);
			break;
		default: pack_pong(&job->answer); break;
		}
		if (!job->failure.code && job->answer.failed)
			poolite__fail(&job->failure, POOLITE_OVERLOADED,
			    "no memory for the answer (max_buffered_bytes, max_user_buffered_bytes)");
	}
	dispatch_answer(broker, job);
	return true;
}
