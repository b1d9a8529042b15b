/* script.h - script: [text of many statements, options?] -> {statements, changes}. */
#ifndef POOLITE_PROTO_SCRIPT_H
#define POOLITE_PROTO_SCRIPT_H

#include "proto/request.h"

/** Client: a whole request. */
int poolite__pack_script(struct poolite__buf *buf, uint32_t msgid, const char *sql,
    size_t sql_len, const struct poolite__options *options);
/** Broker: sets sql, options. */
int poolite__read_script(
    struct poolite__request *request, struct poolite__failure *failure);
/** Broker: the whole result. */
void poolite__pack_script_result(
    struct poolite__buf *buf, int64_t statements, int64_t changes);

#endif
