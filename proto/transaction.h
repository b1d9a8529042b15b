/* transaction.h - the method transaction: [[[sql, args?], ...], options?] ->
 * {results: [...]}, one result as of query or update per statement.
 */
#ifndef POOLITE_PROTO_TRANSACTION_H
#define POOLITE_PROTO_TRANSACTION_H

#include "proto/request.h"

/* One statement of it. */
struct poolite__statement {
	const char *sql; /* when packed: NUL-terminated or not, sql_len counts */
	size_t sql_len;
	const struct poolite_value *args; /* client only */
	size_t args_count;                /* client only */
	struct poolite__args sent;        /* broker only */
};

/** Client: a whole request. */
int poolite__pack_transaction(struct poolite__buf *buf, uint32_t msgid,
    const struct poolite__statement *statements, size_t count,
    const struct poolite__options *options);
/** Broker: sets list (at the first statement), list_count, options. */
int poolite__read_transaction(
    struct poolite__request *request, struct poolite__failure *failure);
/** Broker: the next statement of a list; sets sql, sql_len and sent. */
int poolite__read_transaction_statement(struct poolite__reader *list,
    struct poolite__statement *statement, struct poolite__failure *failure);
/** Broker: {results: and the header of ${count} results, which follow. */
void poolite__pack_results(struct poolite__buf *buf, uint32_t count);
/** Client: read the same; ${count} results follow, each for poolite__read_result. */
int poolite__read_results(struct poolite__reader *reader, uint32_t *count);

#endif
