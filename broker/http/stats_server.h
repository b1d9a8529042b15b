/* stats_server.h - the stats socket: GET /health and GET /stats as JSON.
 *
 * Its own thread (libmicrohttpd's); a slow or silent visitor costs the broker
 * nothing.  Documents come from the broker through a callback.
 */
#ifndef POOLITE_BROKER_HTTP_STATS_SERVER_H
#define POOLITE_BROKER_HTTP_STATS_SERVER_H

#include <stdbool.h>

#include "proto/buffer.h"

enum stats_document { STATS_DOCUMENT_STATS, STATS_DOCUMENT_HEALTH };

/**
 * Give one document as a MessagePack map.  Called on the server's thread; may
 * wait, but for a second at most.
 *
 *   document    an initialised, empty buffer to append to
 *   is_healthy  set for HEALTH: false makes the HTTP status 503
 *
 * Returns false when the broker did not answer in time (HTTP 503).
 */
typedef bool (*stats_source)(void *context, enum stats_document which,
    struct poolite__buf *document, bool *is_healthy);

struct stats_server;

/**
 * Serve on ${listen_fd}, a listening Unix socket that the server takes over.
 * Returns NULL with the reason in ${error} (of ${error_size} bytes).
 */
struct stats_server *stats_server_start(
    int listen_fd, stats_source source, void *context, char *error, size_t error_size);

/** Stop and free; waits for its thread.  The socket's path is the caller's to remove.
 *  NULL: nothing. */
void stats_server_stop(struct stats_server *server);

#endif
