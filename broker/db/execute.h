/* execute.h - run clients' SQL on a connection, straight into an answer.
 *
 * Nothing here opens or ends a transaction or savepoint; whoever calls decides
 * what a failure undoes.  After a failure ask connection_in_transaction first.
 */
#ifndef POOLITE_BROKER_DB_EXECUTE_H
#define POOLITE_BROKER_DB_EXECUTE_H

#include "broker/db/connection.h"
#include "proto/statement.h"

/* Where a text stands decides what it may be. */
enum execute_where {
	EXECUTE_PLAIN, /* a query, update or batch by itself */
	EXECUTE_COMPOUND, /* one of several in a transaction or script: counters are its own */
	EXECUTE_SESSION, /* between a session's begin and commit: savepoints too */
};

/* What the caller takes. */
enum execute_result {
	EXECUTE_ROWS,    /* query: rows; a text without columns answers none */
	EXECUTE_CHANGES, /* update: a text that returns rows is BAD_REQUEST */
	EXECUTE_EITHER,  /* transaction: by what the text is */
	EXECUTE_NOTHING, /* script: rows are dropped */
};

struct execution {
	/* in */
	const char *sql; /* UTF-8, not NUL-terminated */
	size_t sql_len;
	struct poolite__args args;
	enum execute_where where;
	enum execute_result result;
	bool read_only; /* a text that writes is READ_ONLY */
	bool
	    can_write; /* this is the writer; else a text that writes is EXECUTE_ELSEWHERE */
	/* For a text that writes, or controls savepoints, called before it runs:
	 * NULL, or open the savepoint around it.  A code stops the execution. */
	int (*before_write)(
	    struct connection *connection, struct poolite__failure *failure);
	/* out */
	bool is_write;      /* the text writes */
	bool has_savepoint; /* before_write was called with success */
	int64_t changes;
	int64_t last_insert_id;
};

/* Returned instead of a code: the text writes, and this connection does not.
 * Nothing was done. */
#define EXECUTE_ELSEWHERE 1

/** Run one statement and append its result to ${out}.  0, EXECUTE_ELSEWHERE, or a code with
 *  ${failure}. */
int execute_statement(struct connection *connection, struct execution *execution,
    struct poolite__buf *out, struct poolite__failure *failure);

/* Which rows of a batch are to run. */
struct execute_rows {
	struct poolite__reader at; /* the first one; moved on behind the last */
	uint32_t before;           /* how many were before it, for errors */
	uint32_t count;            /* how many to run */
	uint32_t total;            /* of the whole batch, for errors */
};

/**
 * Run one text once for each of the argument lists ${rows}; sums
 * changes.  Appends nothing.  Same results as above.
 */
int execute_batch(struct connection *connection, struct execution *execution,
    struct execute_rows *rows, struct poolite__failure *failure);

/** Add to ${failure} which part of a request failed: "(row 3 of 9)". */
void execute_name_part(
    struct poolite__failure *failure, const char *what, uint32_t at, uint32_t count);

/* What is around the statements of a script. */
struct execute_script {
	/* in */
	const char *sql; /* NUL-terminated UTF-8 */
	size_t sql_len;  /* without the NUL */
	bool
	    in_session; /* between begin and commit: BEGIN and foreign_keys are refused */
	bool read_only;
	/* out */
	int64_t statements;
	int64_t changes;
};

/** Whether a script begins by switching foreign keys off: it has to run alone. */
bool execute_script_wants_keys_off(const char *sql, size_t len);

/** Run every statement, inside the caller's transaction.  0 or a code with ${failure},
 *  which names statement and line. */
int execute_script(struct connection *connection, struct execute_script *script,
    struct poolite__failure *failure);

#endif
