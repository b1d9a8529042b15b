/* begin.h - begin: [options?] -> {mode: "write" | "read"}.
 * Its counterparts commit and rollback have no params and the result nil.
 */
#ifndef POOLITE_PROTO_BEGIN_H
#define POOLITE_PROTO_BEGIN_H

#include "proto/request.h"

/** Client: a whole request. */
int poolite__pack_begin(
    struct poolite__buf *buf, uint32_t msgid, const struct poolite__options *options);
/** Broker: sets options. */
int poolite__read_begin(
    struct poolite__request *request, struct poolite__failure *failure);
/** Broker: the whole result. */
void poolite__pack_begin_result(struct poolite__buf *buf, bool is_read);

#endif
