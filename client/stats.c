/* ping, stats and health: about the broker itself. */
#include <stdlib.h>
#include <string.h>

#include "client/verbs.h"

static const struct poolite__failure no_failure = {.code = POOLITE_OK};

/* ---- reading documents --------------------------------------------------- */

/* A number of either kind, or what it was before. */
static void read_number(struct poolite__reader *value, double *number)
{
	int64_t integer;

	if (poolite__read_int64(value, &integer) == 0)
		*number = (double)integer;
	else
		poolite__read_double(value, number);
}

static void read_figure(const char *key, size_t len, struct poolite__reader value,
    struct poolite_stats *stats)
{
	if (poolite__is_word(key, len, "pool_size"))
		poolite__read_int64(&value, &stats->pool_size);
	else if (poolite__is_word(key, len, "max_connections"))
		poolite__read_int64(&value, &stats->max_connections);
	else if (poolite__is_word(key, len, "active_connections"))
		poolite__read_int64(&value, &stats->active_connections);
	else if (poolite__is_word(key, len, "total_connections_created"))
		poolite__read_int64(&value, &stats->total_connections_created);
	else if (poolite__is_word(key, len, "connection_timeout"))
		read_number(&value, &stats->connection_timeout);
	else if (poolite__is_word(key, len, "last_health_check"))
		read_number(&value, &stats->last_health_check);
}

/* The six figures, wherever they stand in the map; ${told}: struct poolite_stats. */
static int read_stats(struct poolite__reader at, void *told)
{
	struct poolite_stats *stats = told;
	uint32_t pairs;
	const char *key;
	size_t len;

	if (poolite__read_map(&at, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		if (poolite__read_bytes(&at, &key, &len))
			return POOLITE_BAD_REQUEST;
		read_figure(key, len, at, stats);
		if (poolite__skip(&at))
			return POOLITE_BAD_REQUEST;
	}
	return 0;
}

/* A text, cut to what there is room for. */
static void read_text(struct poolite__reader value, char *text, size_t size)
{
	const char *data;
	size_t len;

	if (poolite__read_bytes(&value, &data, &len))
		return;
	len = len < size ? len : size - 1;
	memcpy(text, data, len);
	text[len] = '\0';
}

static int read_health_entry(const char *key, size_t len, struct poolite__reader value,
    struct poolite_health *health)
{
	if (poolite__is_word(key, len, "status"))
		read_text(value, health->status, sizeof health->status);
	else if (poolite__is_word(key, len, "database"))
		read_text(value, health->database, sizeof health->database);
	else if (poolite__is_word(key, len, "database_pool"))
		read_text(value, health->database_pool, sizeof health->database_pool);
	else if (poolite__is_word(key, len, "reason"))
		read_text(value, health->reason, sizeof health->reason);
	else if (poolite__is_word(key, len, "database_pool_stats"))
		return read_stats(value, &health->pool);
	return 0;
}

/* ${told}: struct poolite_health. */
static int read_health(struct poolite__reader at, void *told)
{
	struct poolite_health *health = told;
	uint32_t pairs;
	const char *key;
	size_t len;

	if (poolite__read_map(&at, &pairs))
		return POOLITE_BAD_REQUEST;
	while (pairs-- > 0) {
		if (poolite__read_bytes(&at, &key, &len) ||
		    read_health_entry(key, len, at, health) || poolite__skip(&at))
			return POOLITE_BAD_REQUEST;
	}
	health->is_healthy = strcmp(health->status, "healthy") == 0;
	return 0;
}

/* ---- asking -------------------------------------------------------------- */

/* Send a bare request; the answer stays in ${call}, for poolite__call_release. */
static int ask(struct poolite *handle, enum poolite__method method,
    struct poolite__call *call, struct poolite__failure *failure)
{
	int packed;

	poolite__call_init(call, handle, POOLITE__HARMLESS);
	if (!handle)
		return poolite__no_handle(failure);
	packed = poolite__pack_bare_request(&call->request, call->msgid, method);
	return poolite__call_run(call, handle, NULL, packed, failure);
}

/* Copy the answer's result for the caller, who may not want it. */
static int copy_document(const struct poolite__call *call,
    struct poolite_document *document, struct poolite__failure *failure)
{
	struct poolite__reader at = call->reply.answer.result;
	size_t len = (size_t)(at.end - at.at);

	if (!document)
		return 0;
	document->bytes = malloc(len);
	if (!document->bytes)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for the document");
	memcpy(document->bytes, at.at, len);
	document->len = len;
	return 0;
}

void poolite_document_release(struct poolite_document *document)
{
	if (!document)
		return;
	free(document->bytes);
	memset(document, 0, sizeof *document);
}

int poolite_ping(struct poolite *handle, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;
	struct poolite__call call;

	ask(handle, POOLITE__PING, &call, &failure);
	poolite__call_release(&call);
	return poolite__report(error, &failure);
}

/* Ask for a document, let ${read} make ${told} of it, and copy it. */
static int ask_document(struct poolite *handle, enum poolite__method method,
    int (*read)(struct poolite__reader at, void *told), void *told,
    struct poolite_document *document, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;
	struct poolite__call call;

	if (document)
		memset(document, 0, sizeof *document);
	if (ask(handle, method, &call, &failure) == 0) {
		if (read(call.reply.answer.result, told))
			poolite__reply_nonsense(call.reply.effect, &failure);
		else
			copy_document(&call, document, &failure);
	}
	poolite__call_release(&call);
	return poolite__report(error, &failure);
}

int poolite_stats(struct poolite *handle, struct poolite_stats *stats,
    struct poolite_document *document, struct poolite_error *error)
{
	struct poolite_stats told = {0};
	int code =
	    ask_document(handle, POOLITE__STATS, read_stats, &told, document, error);

	if (stats)
		*stats = told;
	return code;
}

int poolite_health(struct poolite *handle, struct poolite_health *health,
    struct poolite_document *document, struct poolite_error *error)
{
	struct poolite_health told = {0};
	int code =
	    ask_document(handle, POOLITE__HEALTH, read_health, &told, document, error);

	if (health)
		*health = told;
	return code;
}
