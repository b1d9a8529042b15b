/* transaction.h - a transaction over several round trips, behind struct poolite_tx. */
#ifndef POOLITE_CLIENT_TRANSACTION_H
#define POOLITE_CLIENT_TRANSACTION_H

#include "client/call.h"

struct poolite_tx {
	struct poolite *handle; /* borrowed; lives while the session is borrowed */
	struct poolite__session *session; /* borrowed from handle; NULL: lost */
	struct poolite__failure lost;     /* why */
	unsigned generation;              /* the process it belongs to (registry.h) */
	bool is_read;
};

/** poolite_begin and its ends, for this library's own use. */
int poolite__begin(struct poolite *handle, unsigned flags, struct poolite_tx **tx,
    struct poolite__failure *failure);
int poolite__commit(struct poolite_tx *tx, struct poolite__failure *failure);
int poolite__rollback(struct poolite_tx *tx, struct poolite__failure *failure);

/** Whether it can still be used: by this process, and at all.  0 or why not. */
int poolite__tx_check(const struct poolite_tx *tx, struct poolite__failure *failure);

/** Run one request inside ${tx}; as poolite__call_run. */
int poolite__tx_run(struct poolite_tx *tx, struct poolite__call *call, int packed,
    struct poolite__failure *failure);

#endif
