/* document.h - stats and health, for eyes or as JSON. */
#ifndef POOLITE_CLI_DOCUMENT_H
#define POOLITE_CLI_DOCUMENT_H

#include "client/poolite.h"

/** Write it: "name  value" lines, what is inside a map or list indented, or
 * JSON.  0, or POOLITE_OVERLOADED (no memory), POOLITE_INTERNAL (no sense). */
int document_write(const struct poolite_document *document, bool as_json);

#endif
