/* poolite_errors.h - the one table of Poolite's error codes.
 *
 * Broker, library, documentation and tests all take the codes from here.  A
 * code never changes its number or its meaning; new ones go at the end.
 * Installed beside poolite.h.
 */
#ifndef POOLITE_ERRORS_H
#define POOLITE_ERRORS_H

/* X(NAME, code, what it means) */
#define POOLITE_ERRORS(X)                                                                \
	X(BAD_REQUEST, -1, "the request makes no sense as it stands")                    \
	X(UNKNOWN_METHOD, -2, "the broker has no method of that name")                   \
	X(TOO_LARGE, -3, "a limit on sizes would be passed")                             \
	X(SQL_ERROR, -4, "SQLite cannot compile or run the statement")                   \
	X(CONSTRAINT, -5, "a constraint of the schema is violated")                      \
	X(NOT_ALLOWED, -6, "the guard does not let this statement through")              \
	X(READ_ONLY, -7, "a write where only reads are possible")                        \
	X(POOL_TIMEOUT, -8, "the deadline passed while waiting for a connection")        \
	X(QUERY_TIMEOUT, -9, "the deadline passed while the statement ran")              \
	X(CANCELLED, -10, "the request was cancelled")                                   \
	X(TRANSACTION_EXPIRED, -11, "the transaction was idle or open for too long")     \
	X(NO_TRANSACTION, -12, "commit or rollback without a transaction")               \
	X(OVERLOADED, -13, "a queue, the memory or the sessions are at their limit")     \
	X(STORAGE, -14, "the disk is full, failed, or the database file was moved")      \
	X(CORRUPT, -15, "the database file is damaged or is no database")                \
	X(BUSY, -16, "a process outside Poolite holds the database's lock")              \
	X(OUTCOME_UNKNOWN, -17, "whether the write is in the database cannot be told")   \
	X(SHUTTING_DOWN, -18, "the broker is stopping")                                  \
	X(INTERNAL, -19, "a fault of Poolite's own")                                     \
	X(NO_BROKER, -20, "no broker could be reached; nothing was sent")

/** Every code; 0 is success.  On the wire they are the same numbers. */
enum poolite_code {
	POOLITE_OK = 0,
#define POOLITE_ERRORS_ENUM(name, code, meaning) POOLITE_##name = (code),
	POOLITE_ERRORS(POOLITE_ERRORS_ENUM)
#undef POOLITE_ERRORS_ENUM
};

#endif
