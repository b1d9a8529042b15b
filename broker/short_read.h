/* short_read.h - a request that is a short read, answered as it is handed up.
 *
 * Most requests are that, and cost little more than their way through the broker.  So
 * they take none: no job, no copy of the message, no memory of their own.
 */
#ifndef POOLITE_BROKER_SHORT_READ_H
#define POOLITE_BROKER_SHORT_READ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct session;

/**
 * Answer ${message} (borrowed) if it is a query outside a transaction whose text is known
 * to be short, and proves so once more.  False: nothing was done, dispatch_message has to
 * see to it.
 */
bool short_read_answer(struct session *session, const uint8_t *message, size_t len);

#endif
