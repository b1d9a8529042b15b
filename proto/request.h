/* request.h - every request, decoded: what a client can ask for.
 *
 * A decoded request owns nothing; it points into the message, which has to
 * outlive it.  Each method's own file (statement.h, batch.h ...) has both
 * halves of its params and of its result side by side; this one holds what
 * they share: the envelope [0, msgid, method, params], the table of methods
 * and the options.
 */
#ifndef POOLITE_PROTO_REQUEST_H
#define POOLITE_PROTO_REQUEST_H

#include "proto/value.h"

/* X(ENUM, name): every method.  Their numbers are internal, not on the wire. */
#define POOLITE__METHODS(X)                                                              \
	X(HELLO, "hello")                                                                \
	X(PING, "ping")                                                                  \
	X(QUERY, "query")                                                                \
	X(UPDATE, "update")                                                              \
	X(BATCH, "batch")                                                                \
	X(TRANSACTION, "transaction")                                                    \
	X(SCRIPT, "script")                                                              \
	X(BEGIN, "begin")                                                                \
	X(COMMIT, "commit")                                                              \
	X(ROLLBACK, "rollback")                                                          \
	X(FETCH, "fetch")                                                                \
	X(CLOSE, "close")                                                                \
	X(CANCEL, "cancel")                                                              \
	X(STATS, "stats")                                                                \
	X(HEALTH, "health")

enum poolite__method {
#define POOLITE__METHODS_ENUM(name, word) POOLITE__##name,
	POOLITE__METHODS(POOLITE__METHODS_ENUM)
#undef POOLITE__METHODS_ENUM
	    POOLITE__METHOD_COUNT,
	POOLITE__METHOD_UNKNOWN = POOLITE__METHOD_COUNT
};

/** "query" for POOLITE__QUERY; "unknown" outside the table. */
const char *poolite__method_name(enum poolite__method method);

/* What options may say.  Which method takes which: options_read's ${allowed}. */
enum poolite__option {
	POOLITE__OPTION_TIMEOUT_MS = 1 << 0,   /* all that run or wait */
	POOLITE__OPTION_MODE = 1 << 1,         /* begin: "write" or "read" */
	POOLITE__OPTION_ON_ERROR = 1 << 2,     /* begin: "continue" or "abort" */
	POOLITE__OPTION_FOREIGN_KEYS = 1 << 3, /* script: bool */
	POOLITE__OPTION_PAGE_ROWS = 1 << 4,    /* query: 1 to POOLITE__PAGE_ROWS_MAX */
	POOLITE__OPTION_CHUNK_ROWS = 1 << 5,   /* batch: 1 to POOLITE__CHUNK_ROWS_MAX */
};

struct poolite__options {
	int64_t timeout_ms;    /* 0: not given */
	bool is_read;          /* begin: mode "read" */
	bool abort_on_error;   /* begin: on_error "abort" */
	bool foreign_keys_off; /* script: foreign_keys false */
	uint32_t page_rows;    /* query, fetch's rows; 0: not given */
	uint32_t chunk_rows;   /* batch; 0: not given */
};

/**
 * Read options: a map, nil, or the end of the message.  A value of nil leaves
 * that option out.  0, or POOLITE_BAD_REQUEST (unknown here, twice, wrong type or range).
 */
int poolite__read_options(struct poolite__reader *reader, unsigned allowed,
    struct poolite__options *options, struct poolite__failure *failure);
/** Append options as a map (empty when nothing differs from the default, or NULL). */
int poolite__pack_options(
    struct poolite__buf *buf, const struct poolite__options *options);

/* One request or notification. */
struct poolite__request {
	bool is_notification; /* [2, method, params]: no msgid, never answered */
	uint32_t msgid;
	enum poolite__method method;
	const char *method_name; /* as sent, not NUL-terminated; for messages */
	size_t method_name_len;
	struct poolite__reader params; /* at the next parameter; reading moves it on */
	uint32_t params_count;         /* how many came */

	/* Set by the method's own poolite__read_*; which ones, its header says. */
	const char *sql; /* UTF-8 without NUL, not NUL-terminated */
	size_t sql_len;
	struct poolite__args args;   /* query, update */
	struct poolite__reader list; /* batch: rows; transaction: statements */
	uint32_t list_count;
	uint32_t cancel_msgid;   /* cancel: whose request */
	uint64_t cancel_session; /* cancel: 0 is this session */
	uint64_t cursor;         /* fetch, close */
	const char *cancel_key;  /* cancel: NULL, or POOLITE__KEY_CHARS characters */
	struct poolite__options options;
};

/**
 * Read the envelope of one scanned message.
 *
 * Returns 0 with everything above "Set by" filled in (an unknown method is
 * POOLITE__METHOD_UNKNOWN, for the caller to refuse), or
 *   POOLITE_BAD_REQUEST with ${failure}: the shape is wrong.  *${has_msgid} tells
 *   whether request->msgid could be read, so that the error can be answered; if
 *   not, the session has to end.
 */
int poolite__read_request(const void *message, size_t len,
    struct poolite__request *request, bool *has_msgid, struct poolite__failure *failure);

/**
 * Read the params by the method's own rules (calls the poolite__read_* of its
 * file).  0, POOLITE_UNKNOWN_METHOD, POOLITE_BAD_REQUEST or POOLITE_TOO_LARGE.
 */
int poolite__read_params(
    struct poolite__request *request, struct poolite__failure *failure);

/** Read SQL: a str, UTF-8, without NUL.  0 or POOLITE_BAD_REQUEST. */
int poolite__read_sql(struct poolite__reader *reader, const char **sql, size_t *sql_len,
    struct poolite__failure *failure);

/** Append [0, ${msgid}, method, and the header of ${params_count} params. */
void poolite__pack_request(struct poolite__buf *buf, uint32_t msgid,
    enum poolite__method method, uint32_t params_count);

/**
 * End a request packed from ${start} (buf->len before it) on: the buffer's failure if it
 * has one, else ${rc}; after an ${rc} that is not 0 the buffer is as it was.
 */
int poolite__pack_request_end(struct poolite__buf *buf, size_t start, int rc);

/** Whether options need to be sent; NULL are the defaults. */
bool poolite__has_options(const struct poolite__options *options);

/** A whole request without params: hello, ping, commit, rollback, stats, health. */
int poolite__pack_bare_request(
    struct poolite__buf *buf, uint32_t msgid, enum poolite__method method);

#endif
