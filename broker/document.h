/* document.h - the stats socket's documents, made on the loop's thread.
 *
 * The stats server's thread posts a job that asks for a document and waits for
 * it; the loop makes it between two turns, from state that needs no lock.
 */
#ifndef POOLITE_BROKER_DOCUMENT_H
#define POOLITE_BROKER_DOCUMENT_H

#include "broker/http/stats_server.h"

/** The stats server's source (stats_source); ${context} is the struct broker. */
bool document_give(void *context, enum stats_document which,
    struct poolite__buf *document, bool *is_healthy);

#endif
