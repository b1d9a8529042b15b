/* answer.h - the envelope of what a broker sends: [1, msgid, error, result],
 * and the one notification [2, "error", [[code, message, info]]].
 */
#ifndef POOLITE_PROTO_ANSWER_H
#define POOLITE_PROTO_ANSWER_H

#include "proto/failure.h"
#include "proto/request.h"

/** Append [1, ${msgid}, nil; exactly one value, the result, must follow. */
void poolite__pack_answer(struct poolite__buf *buf, uint32_t msgid);
/** A whole answer with result nil. */
void poolite__pack_nil_answer(struct poolite__buf *buf, uint32_t msgid);
/** A whole answer with an error. */
void poolite__pack_error_answer(
    struct poolite__buf *buf, uint32_t msgid, const struct poolite__failure *failure);
/** The whole notification that comes before the broker closes a session. */
void poolite__pack_error_notification(
    struct poolite__buf *buf, const struct poolite__failure *failure);

/* One message from the broker, read by a client. */
struct poolite__answer {
	bool is_notification;
	bool
	    is_closing; /* the notification "error": the broker closes; failure says why */
	uint32_t msgid;
	struct poolite__failure failure; /* code POOLITE_OK: there is a result */
	struct poolite__reader result;   /* at the result */
};

/** Read one scanned message.  0, or POOLITE_BAD_REQUEST: no message of a broker. */
int poolite__read_answer(const void *message, size_t len, struct poolite__answer *answer);

#endif
