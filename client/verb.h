/* verb.h - what query, update, batch, transaction and script ask for, and what
 * their answers give: the same on a handle, inside a transaction, and in flight.
 */
#ifndef POOLITE_CLIENT_VERB_H
#define POOLITE_CLIENT_VERB_H

#include "client/poolite.h"
#include "client/reply.h"
#include "proto/request.h"

/** What to do; all of it borrowed. */
struct poolite__verb {
	enum poolite__method method;
	const char *sql;                    /* NULL for a transaction */
	const struct poolite_value *values; /* ${rows} times ${columns} */
	size_t columns;
	size_t rows;                                /* query, update, script: 1 */
	const struct poolite_statement *statements; /* a transaction's */
	size_t count;                               /* of them */
	unsigned flags;                             /* a script's */
	uint32_t page_rows;                         /* a query's; 0: all rows at once */
	int chunk_rows; /* a batch's; 0: all rows in one transaction */
};

/** Where the answer goes; what is NULL is not wanted. */
struct poolite__into {
	struct poolite_result **result;  /* of a query */
	struct poolite_changes *changes; /* of an update, batch, script */
	struct poolite_result **results; /* of a transaction, one per statement */
};

/** A query or an update. */
struct poolite__verb poolite__statement_verb(enum poolite__method method, const char *sql,
    const struct poolite_value *args, size_t args_count);
struct poolite__verb poolite__batch_verb(const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, int chunk_rows);
struct poolite__verb poolite__transaction_verb(
    const struct poolite_statement *statements, size_t count);
struct poolite__verb poolite__script_verb(const char *sql, unsigned flags);

/** Set what ${into} points at to NULL and zero; ${count} results. */
void poolite__clear(const struct poolite__into *into, size_t count);

/** Whether it makes sense, as far as that can be told without a broker.  0 or BAD_REQUEST. */
int poolite__verb_check(
    const struct poolite__verb *verb, struct poolite__failure *failure);

/** Append the whole request.  0 or a code, for poolite__check_packed. */
int poolite__verb_pack(const struct poolite__verb *verb, struct poolite__buf *buf,
    uint32_t msgid, int64_t timeout_ms);

/* A long batch, packed while it is sent: poolite__verb_pack for its beginning. */
struct poolite__long_batch {
	const struct poolite__verb *verb; /* borrowed */
	struct poolite__options options;
	size_t row;     /* the next one */
	bool has_ended; /* nothing is left */
};

/** Whether ${verb} is better sent so; its packing cannot fail but for want of memory. */
bool poolite__is_long_batch(const struct poolite__verb *verb);
/** Append what stands before its rows, and make ${batch} ready. */
int poolite__long_batch_start(struct poolite__long_batch *batch,
    const struct poolite__verb *verb, struct poolite__buf *buf, uint32_t msgid,
    int64_t timeout_ms);
/** ${context} is a struct poolite__long_batch: struct poolite__rest's next. */
int poolite__long_batch_next(void *context, bool is_first, struct poolite__buf *buf);

/** Say why packing failed with ${packed}; 0 for 0. */
int poolite__check_packed(int packed, struct poolite__failure *failure);

/** HARMLESS for a read, else WRITES. */
enum poolite__effect poolite__verb_effect(const struct poolite__verb *verb);

/**
 * Whether ${sql} can only read, whatever follows: its first word is SELECT or
 * VALUES.  (WITH may lead to an INSERT, and preparing a PRAGMA already runs it,
 * behind EXPLAIN too.)
 */
bool poolite__is_read(const char *sql);

/**
 * Make of an answer, which is no error, what is wanted of it; takes reply->bytes
 * where results need them.  ${count}: of a transaction's statements.
 */
int poolite__verb_take(enum poolite__method method, size_t count,
    struct poolite__reply *reply, const struct poolite__into *into,
    struct poolite__failure *failure);

#endif
