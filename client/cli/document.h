/* document.h - stats and health, for eyes or as JSON. */
#ifndef POOLITE_CLI_DOCUMENT_H
#define POOLITE_CLI_DOCUMENT_H

#include "client/poolite.h"

/** Write it.  For eyes: "name  value" lines with units, maps inside indented behind
 * them, maps of maps of numbers as a table.  Or JSON, names and numbers as they came.
 * 0, or POOLITE_OVERLOADED (no memory), POOLITE_INTERNAL (no sense). */
int document_write(const struct poolite_document *document, bool as_json);

#endif
