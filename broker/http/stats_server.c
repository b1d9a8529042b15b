#include "broker/http/stats_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <microhttpd.h>

#include "broker/log.h"
#include "broker/thread.h"
#include "proto/json.h"

/* Visitors at once.  More wait in the socket's backlog. */
#define VISITORS_MAX 32
/* A silent visitor goes after this. */
#define VISITOR_TIMEOUT_S 10
/* Far above any document; a bound all the same. */
#define DOCUMENT_BYTES_MAX ((size_t)1 << 20)

#define TYPE_JSON "application/json"
#define TYPE_TEXT "text/plain; charset=utf-8"

struct stats_server {
	struct MHD_Daemon *daemon; /* owns, with its thread and the socket */
	stats_source source;
	void *context; /* borrowed, the source's */
};

static const char index_text[] =
    "Poolite's stats socket.\n"
    "  GET /health   is the database usable, and the pool's numbers\n"
    "  GET /stats    every number the broker keeps\n";

/* Answer with a copy of ${body}.  HEAD gets the same without the body: libmicrohttpd sees to it. */
static enum MHD_Result send_body(struct MHD_Connection *connection, unsigned status,
    const char *type, const void *body, size_t len)
{
	struct MHD_Response *response =
	    MHD_create_response_from_buffer(len, (void *)body, MHD_RESPMEM_MUST_COPY);

	if (response == NULL)
		return MHD_NO; /* out of memory: the connection is closed */
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	enum MHD_Result result = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return result;
}

/* Appends to a struct poolite__buf. */
static int append_json(const char *text, size_t len, void *buf)
{
	return poolite__buf_append(buf, text, len) == 0 ? 0 : -1;
}

/* Answer with ${document}, whose reference is taken; NULL becomes a 500. */
static enum MHD_Result send_json(
    struct MHD_Connection *connection, unsigned status, json_t *document)
{
	struct poolite__buf body;
	enum MHD_Result result;

	poolite__buf_init(&body, DOCUMENT_BYTES_MAX, NULL);
	if (document != NULL &&
	    json_dump_callback(document, append_json, &body,
		JSON_INDENT(2) | JSON_REAL_PRECISION(15)) == 0 &&
	    poolite__buf_append(&body, "\n", 1) == 0) {
		result = send_body(connection, status, TYPE_JSON, body.data, body.len);
	} else {
		static const char sorry[] = "{\"error\": \"out of memory\"}\n";
		result = send_body(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, TYPE_JSON,
		    sorry, sizeof(sorry) - 1);
	}
	poolite__buf_release(&body);
	json_decref(document);
	return result;
}

/* Ask the broker for ${which} and send it on. */
static enum MHD_Result send_document(struct stats_server *server,
    struct MHD_Connection *connection, enum stats_document which)
{
	struct poolite__buf packed;
	json_t *document;
	bool is_healthy = true;
	unsigned status = MHD_HTTP_OK;

	poolite__buf_init(&packed, DOCUMENT_BYTES_MAX, NULL);
	if (server->source(server->context, which, &packed, &is_healthy)) {
		struct poolite__reader reader =
		    poolite__reader_over(packed.data, packed.len);
		document = poolite__json(&reader);
	} else {
		is_healthy = false;
		document = json_pack("{s:s, s:s}", "status", "unhealthy", "reason",
		    "the broker did not answer in time");
	}
	if (!is_healthy)
		status = MHD_HTTP_SERVICE_UNAVAILABLE;
	poolite__buf_release(&packed);
	return send_json(connection, status, document);
}

/*
 * libmicrohttpd's thread calls this for each request: when its head is there,
 * for each piece of its body, which is ignored, and at its end.  Answering at
 * the head would close the connection while a visitor still sends.
 */
static enum MHD_Result handle(void *context, struct MHD_Connection *connection,
    const char *url, const char *method, const char *version, const char *upload,
    size_t *upload_len, void **state)
{
	struct stats_server *server = context;

	(void)version;
	(void)upload;
	if (*state == NULL || *upload_len > 0) {
		*state = server;
		*upload_len = 0;
		return MHD_YES;
	}
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 &&
	    strcmp(method, MHD_HTTP_METHOD_HEAD) != 0) {
		return send_json(connection, MHD_HTTP_METHOD_NOT_ALLOWED,
		    json_pack("{s:s}", "error", "only GET and HEAD are served here"));
	}
	if (strcmp(url, "/health") == 0)
		return send_document(server, connection, STATS_DOCUMENT_HEALTH);
	if (strcmp(url, "/stats") == 0)
		return send_document(server, connection, STATS_DOCUMENT_STATS);
	if (strcmp(url, "/") == 0) {
		return send_body(connection, MHD_HTTP_OK, TYPE_TEXT, index_text,
		    sizeof(index_text) - 1);
	}
	return send_json(connection, MHD_HTTP_NOT_FOUND,
	    json_pack("{s:s}", "error", "there is nothing here; try /health or /stats"));
}

/* A visitor that goes away is no event for the operator: debug. */
static void log_visitor(void *context, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void log_visitor(void *context, const char *format, va_list args)
{
	char line[256];

	(void)context;
	vsnprintf(line, sizeof(line), format, args);
	log_debug("stats socket: %s", line);
}

struct stats_server *stats_server_start(
    int listen_fd, stats_source source, void *context, char *error, size_t error_size)
{
	struct MHD_OptionItem options[] = {
	    /* first: it hears about the others */
	    {MHD_OPTION_EXTERNAL_LOGGER, (intptr_t)log_visitor, NULL},
	    {MHD_OPTION_LISTEN_SOCKET, listen_fd, NULL},
	    {MHD_OPTION_CONNECTION_LIMIT, VISITORS_MAX, NULL},
	    {MHD_OPTION_CONNECTION_TIMEOUT, VISITOR_TIMEOUT_S, NULL},
	    {MHD_OPTION_END, 0, NULL},
	};
	struct stats_server *server = malloc(sizeof(*server));
	sigset_t signals;

	if (server == NULL) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	server->source = source;
	server->context = context;
	thread_signals_off(&signals);
	server->daemon =
	    MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_ERROR_LOG, 0, NULL,
		NULL, handle, server, MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	thread_signals_on(&signals);
	if (server->daemon == NULL) {
		snprintf(
		    error, error_size, "cannot start the stats socket's HTTP server");
		free(server);
		return NULL;
	}
	return server;
}

void stats_server_stop(struct stats_server *server)
{
	if (server == NULL)
		return;
	MHD_stop_daemon(server->daemon);
	free(server);
}
