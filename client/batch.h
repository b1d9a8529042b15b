/* batch.h - how many rows of a batch one message takes.  Pure. */
#ifndef POOLITE_CLIENT_BATCH_H
#define POOLITE_CLIENT_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "proto/poolite_value.h"

/** What a message may still take. */
struct poolite__room {
	size_t bytes;
	uint64_t values; /* as the frame scanner counts them: containers, names, values */
};

/**
 * Count the rows, from ${values} on, that fit into ${room}, which is what is
 * left afterwards.  Rows have ${columns} values; there are ${rows}.
 */
size_t poolite__rows_that_fit(const struct poolite_value *values, size_t columns,
    size_t rows, struct poolite__room *room);

#endif
