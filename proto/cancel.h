/* cancel.h - cancel: [msgid, session?, key?] -> true if it was waiting or running.
 *
 * Also taken as a notification [2, "cancel", [msgid]], without an answer.
 */
#ifndef POOLITE_PROTO_CANCEL_H
#define POOLITE_PROTO_CANCEL_H

#include "proto/request.h"

/** Client: the notification, for the session it is sent on. */
int poolite__pack_cancel_notification(struct poolite__buf *buf, uint32_t target_msgid);
/** Client: a request; ${session} 0 and ${key} NULL mean this session. */
int poolite__pack_cancel(struct poolite__buf *buf, uint32_t msgid, uint32_t target_msgid,
    uint64_t session, const char *key);
/** Broker: sets cancel_msgid, cancel_session, cancel_key. */
int poolite__read_cancel(
    struct poolite__request *request, struct poolite__failure *failure);
/** Broker: the whole result. */
void poolite__pack_cancel_result(struct poolite__buf *buf, bool was_there);
/** Client: read it. */
int poolite__read_cancel_result(struct poolite__reader *reader, bool *was_there);

#endif
