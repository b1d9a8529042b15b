/* verbs.h - what the verbs share: query, update, ... on a handle or inside a
 * transaction.
 */
#ifndef POOLITE_CLIENT_VERBS_H
#define POOLITE_CLIENT_VERBS_H

#include "client/transaction.h"

/**
 * Whether a verb can start: there is a handle, a transaction, if given, is
 * still usable, and so are ${sql} (not NULL) and the arguments.  0 or a code.
 */
int poolite__check_verb(struct poolite *handle, const struct poolite_tx *tx,
    const char *sql, const struct poolite_value *args, size_t args_count,
    struct poolite__failure *failure);

/** What a verb may have done when no answer comes. */
enum poolite__effect poolite__effect_in(const struct poolite_tx *tx);

/** Fail because there is no handle, and say where to look for the reason. */
int poolite__no_handle(struct poolite__failure *failure);

/** ${tx}'s handle; NULL for NULL. */
struct poolite *poolite__handle_of(const struct poolite_tx *tx);

/** An update without its public wrapping. */
int poolite__update(struct poolite *handle, struct poolite_tx *tx, const char *sql,
    const struct poolite_value *args, size_t args_count, struct poolite_changes *changes,
    struct poolite__failure *failure);

/** Read the answer of an update, batch or script.  ${changes} is not NULL. */
int poolite__take_changes(struct poolite__call *call, struct poolite_changes *changes,
    struct poolite__failure *failure);

/**
 * The request was carried out, but making its result failed with ${rc}
 * (BAD_REQUEST: it makes no sense; OVERLOADED).  Fills ${failure}.
 */
int poolite__no_result(
    const struct poolite__call *call, int rc, struct poolite__failure *failure);

#endif
