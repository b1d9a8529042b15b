#include "broker/routing.h"

#include "proto/transaction.h"

/* Longer transactions go to the writer unseen: the loop has others to serve. */
#define ROUTED_STATEMENTS_MAX 64

bool routing_is_read(enum route route)
{
	return route == ROUTE_READ || route == ROUTE_SHORT || route == ROUTE_LONG;
}

/* A transaction is a read when each of its texts is known to be one. */
static enum route transaction_route(struct routes *routes, const struct job *job)
{
	struct poolite__reader list = job->request.list;

	if (job->request.list_count > ROUTED_STATEMENTS_MAX)
		return ROUTE_WRITE;
	for (uint32_t i = 0; i < job->request.list_count; i++) {
		struct poolite__statement statement;
		if (poolite__read_transaction_statement(&list, &statement, NULL) ||
		    !routing_is_read(
			routes_find(routes, statement.sql, statement.sql_len)))
			return ROUTE_WRITE;
	}
	return ROUTE_LONG;
}

enum route routing_of(struct routes *routes, const struct job *job)
{
	switch (job->request.method) {
	case POOLITE__QUERY:
		return routes_find(routes, job->request.sql, job->request.sql_len);
	case POOLITE__TRANSACTION: return transaction_route(routes, job);
	default: return ROUTE_WRITE;
	}
}

static void learn_texts(struct routes *routes, const struct job *job)
{
	struct poolite__reader list = job->request.list;

	for (uint32_t i = 0; i < job->request.list_count; i++) {
		struct poolite__statement statement;
		if (poolite__read_transaction_statement(&list, &statement, NULL) == 0 &&
		    !routing_is_read(
			routes_find(routes, statement.sql, statement.sql_len)))
			routes_learn(
			    routes, statement.sql, statement.sql_len, ROUTE_READ);
	}
}

/* A view, for instance, may be another one since: then nobody knows what the text compiles to. */
static enum route examined_route(const struct routes *routes, const struct job *job)
{
	bool is_same_schema =
	    job->schema_seq == routes->schema_seq && job->schema_seq % 2 == 0;

	if (!job->is_short)
		return ROUTE_LONG;
	return is_same_schema ? ROUTE_SHORT : ROUTE_READ;
}

void routing_learn(struct routes *routes, const struct job *job)
{
	const struct poolite__request *request = &job->request;

	if (job->failure.code) {
		if (job->examine && job->failure.code == POOLITE_QUERY_TIMEOUT)
			routes_learn(routes, request->sql, request->sql_len, ROUTE_LONG);
		return;
	}
	if (request->method == POOLITE__TRANSACTION && !job->is_write &&
	    request->list_count <= ROUTED_STATEMENTS_MAX)
		learn_texts(routes, job);
	if (request->method != POOLITE__QUERY)
		return;
	if (job->is_write)
		routes_learn(routes, request->sql, request->sql_len, ROUTE_WRITE);
	else if (job->examine)
		routes_learn(
		    routes, request->sql, request->sql_len, examined_route(routes, job));
	else if (!job->is_read)
		routes_learn(routes, request->sql, request->sql_len, ROUTE_READ);
}
