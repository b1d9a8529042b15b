/* limits.h - what the broker takes in one message, as its hello tells. */
#ifndef POOLITE_CLIENT_LIMITS_H
#define POOLITE_CLIENT_LIMITS_H

#include "client/call.h"

/**
 * Read the answer to a hello; what it does not tell is the default.  The handle
 * remembers it.  0, the broker's error, or INTERNAL.
 */
int poolite__take_limits(struct poolite *handle, struct poolite__reply *reply,
    struct poolite__hello *limits, struct poolite__failure *failure);

/** What the handle remembers, else ask, inside ${tx} if that is not NULL.  0 or a code. */
int poolite__get_limits(struct poolite *handle, struct poolite_tx *tx,
    struct poolite__hello *limits, struct poolite__failure *failure);

#endif
