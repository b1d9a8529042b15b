/* verbs.h - running a verb on a handle or inside a transaction, and waiting for
 * what it gives.
 */
#ifndef POOLITE_CLIENT_VERBS_H
#define POOLITE_CLIENT_VERBS_H

#include "client/transaction.h"
#include "client/verb.h"

/** Fail because there is no handle, and say where to look for the reason. */
int poolite__no_handle(struct poolite__failure *failure);

/** ${tx}'s handle; NULL for NULL. */
struct poolite *poolite__handle_of(const struct poolite_tx *tx);

/**
 * Check a verb, and whether ${handle} is there and ${tx} (NULL: none) usable;
 * set what ${into} points at to NULL and zero.
 */
int poolite__start(struct poolite *handle, const struct poolite_tx *tx,
    const struct poolite__verb *verb, const struct poolite__into *into,
    struct poolite__failure *failure);

/** Send a checked verb and take its answer. */
int poolite__run(struct poolite *handle, struct poolite_tx *tx,
    const struct poolite__verb *verb, const struct poolite__into *into,
    struct poolite__failure *failure);

/** An update of no arguments, inside ${tx}. */
int poolite__tx_simple(
    struct poolite_tx *tx, const char *sql, struct poolite__failure *failure);

#endif
