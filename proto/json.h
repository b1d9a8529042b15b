/* json.h - a MessagePack value as JSON (jansson), for what people read: the
 * stats socket's documents and the command's --json.  Not part of libpoolite.
 */
#ifndef POOLITE_PROTO_JSON_H
#define POOLITE_PROTO_JSON_H

#include <jansson.h>

#include "proto/reader.h"

/**
 * Read one value and turn it into JSON.  str becomes a string (bytes that are
 * no UTF-8 become U+FFFD), bin lower-case hex, a float JSON has no number for
 * (NaN, infinities) null; a map's keys become strings.
 *
 * Returns a new reference, or NULL: no whole value, or out of memory.
 */
json_t *poolite__json(struct poolite__reader *reader);

#endif
