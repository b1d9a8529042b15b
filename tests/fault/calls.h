/* calls.h - every kind of call that libpoolite knows, made and written down.
 *
 * A call inserts rows under a number of its own, so that the database tells how often
 * each of its writes was carried out; what it reads it holds against what is there.
 */
#ifndef POOLITE_TESTS_CALLS_H
#define POOLITE_TESTS_CALLS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/poolite.h"

enum call_verb {
	CALL_QUERY,
	CALL_RETURNING, /* a query that writes */
	CALL_UPDATE,
	CALL_LARGE, /* an update larger than a socket's buffer */
	CALL_BATCH,
	CALL_TRANSACTION,
	CALL_SCRIPT,
	CALL_COMMIT,   /* begin ... commit */
	CALL_ROLLBACK, /* begin ... rollback */
	CALL_CURSOR,
	CALL_PIPELINE,
	CALL_VERBS
};

#define CALL_WRITES_MAX 6

struct call_kind {
	const char *name;
	unsigned writes;   /* each with an answer and an outcome of its own */
	unsigned parts;    /* rows of each */
	unsigned messages; /* requests on the wire */
	bool reads;        /* something, with an outcome of its own */
};
extern const struct call_kind call_kinds[CALL_VERBS];

enum call_outcome {
	CALL_NONE, /* not made; of one whose process ended: as unknown */
	CALL_OK,
	CALL_NO,
	CALL_UNKNOWN,
};

/* What became of a call.  In shared memory; zero it to start. */
struct call {
	enum call_verb verb;
	_Atomic uint8_t writes[CALL_WRITES_MAX];
	_Atomic uint8_t read;
	bool is_wrong; /* its answer says something else than what is so */
	double seconds;
	struct poolite_error error; /* the first one */
};

/** The tables, for sqlite3_exec. */
extern const char calls_schema[];

/** Make it; its rows have ${number}. */
void call_make(struct poolite *handle, int64_t number, struct call *call);

/* What the database holds of the calls' writes. */
struct calls_verdict {
	uint64_t ok, no, unknown; /* outcomes, reads included */
	uint64_t lost;            /* answered OK, but absent */
	uint64_t ghosts;          /* answered with outcome no, but present */
	uint64_t torn;            /* partly there */
	uint64_t twice;           /* more than once there */
	uint64_t wrong;           /* is_wrong */
};

/** Hold ${count} calls, the first of which has number 0, against the file at ${path}. */
void calls_check(const struct call *calls, uint64_t count, const char *path,
    struct calls_verdict *verdict);
/** Report lost, ghost, torn, twice and wrong, all of which have to be 0. */
void calls_report(const struct calls_verdict *verdict);
/** How many rows write ${write} of call ${number} has there. */
unsigned calls_rows(const char *path, int64_t number, unsigned write);

#endif
