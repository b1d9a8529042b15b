/* result.h - results behind struct poolite_result: the answer's bytes, and one
 * row of them decoded at a time.
 */
#ifndef POOLITE_CLIENT_RESULT_H
#define POOLITE_CLIENT_RESULT_H

#include "client/poolite.h"
#include "proto/statement.h"

/** An answer's bytes, shared by the results in it. */
struct poolite__bytes;

/**
 * Take over the bytes of ${reply}, which is empty afterwards.  The caller
 * holds the first reference.  NULL: no memory, and ${reply} is as before.
 */
struct poolite__bytes *poolite__bytes_take(struct poolite__buf *reply);
/** Drop one reference.  NULL: nothing. */
void poolite__bytes_drop(struct poolite__bytes *bytes);

/**
 * Make a result of the one that ${at}, inside ${bytes}, has next; it takes a
 * reference of its own.  0, POOLITE_BAD_REQUEST (no result) or POOLITE_OVERLOADED.
 */
int poolite__result_create(struct poolite__bytes *bytes, struct poolite__reader *at,
    struct poolite_result **result);

/** The cursor that fetches the rows behind these; 0: there are none. */
uint64_t poolite__result_cursor(const struct poolite_result *result);

#endif
