/* connection.h - one SQLite connection, the operations a pooled one has.
 *
 * It belongs to one thread for life; only connection_nudge may be called from
 * another.  The writer's connection is the only one that writes and makes
 * checkpoints.  Statements of the broker's own are kept apart from clients',
 * because the guard was not asked about them.
 */
#ifndef POOLITE_BROKER_DB_CONNECTION_H
#define POOLITE_BROKER_DB_CONNECTION_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/job.h"
#include "proto/failure.h"

struct connection;

/* Text, blob or row on the fast one, and LIKE patterns: bounds a single step. */
#define FAST_VALUE_BYTES   (64 << 10)
#define FAST_PATTERN_BYTES 64

/* Text, blob or row on hardened ones. */
#define CONNECTION_HARDENED_VALUE_BYTES 1000000

/* Only the writer's may write and make checkpoints; the others are opened
 * READONLY.  The fast one's steps are kept short: small values and patterns, no
 * waiting for locks, and connection_set_budget. */
enum connection_role { CONNECTION_WRITER, CONNECTION_READER, CONNECTION_FAST };

struct connection_options {
	const char *path; /* borrowed while open is called */
	enum connection_role role;
	int synchronous; /* 1 NORMAL, 2 FULL, 3 EXTRA */
	bool foreign_keys;
	bool temp_store_memory;
	bool
	    hardened; /* narrow limits, and neither schema nor pages of the file are trusted */
	bool
	    examine; /* look through the whole file before anything else is done with it */
	int64_t cache_bytes;
	int64_t value_bytes_max; /* of a text, blob or row: bounds one function call */
	int64_t wal_bytes_max; /* writer: a write that grows the WAL past it is stopped */
	/* Borrowed for life, or NULL.  Of the database, for its writer: odd while a change of
	 * the schema is not committed, a higher even number after each. */
	_Atomic uint64_t *schema_seq;
	int64_t busy_timeout_ns;   /* how long to wait for a foreign process's lock */
	const struct clock *clock; /* borrowed for life */
};

/**
 * Open, set up, and put the guard in place.  For the writer the file must
 * exist; it is converted to WAL when it is not (connection_was_converted).
 * Returns 0 with *${connection}, or a code with ${failure}.
 */
int connection_open(const struct connection_options *options,
    struct connection **connection, struct poolite__failure *failure);
/** NULL: nothing.  The writer's rolls an open transaction back first. */
void connection_close(struct connection *connection);

/** Writer: the file was not in WAL mode when it was opened. */
bool connection_was_converted(const struct connection *connection);
/** Whether a STORAGE failure is a full disk, after which all can go on. */
bool connection_is_disk_full(const struct poolite__failure *failure);
/** SQLite's version at run time, "3.40.1". */
const char *connection_sqlite_version(void);
/** SQLite's version as a number, 3040001. */
int connection_sqlite_version_number(void);

/* ---- transactions.  Each returns 0, or a code with ${failure}. ---- */

/** Whether a transaction is open.  Ask first after whatever failed: SQLite ends some by
 *  itself. */
bool connection_in_transaction(const struct connection *connection);
/** BEGIN IMMEDIATE. */
int connection_begin_write(
    struct connection *connection, struct poolite__failure *failure);
/** BEGIN, and take the snapshot (BEGIN alone takes none). */
int connection_begin_read(
    struct connection *connection, struct poolite__failure *failure);
/**
 * COMMIT.  When it fails, no transaction is open afterwards, and
 *   failure->is_unknown false  nothing was written (FULL, a foreign key, BUSY, or
 *                              it could not even begin);
 *   failure->is_unknown true   nobody can tell: OUTCOME_UNKNOWN.
 */
int connection_commit(struct connection *connection, struct poolite__failure *failure);
/** ROLLBACK if a transaction is open; afterwards none is, else the program ends. */
void connection_rollback(struct connection *connection);

/** Open the savepoint that makes what follows all or nothing. */
int connection_savepoint(struct connection *connection, struct poolite__failure *failure);
/** Keep what was done since. */
int connection_release(struct connection *connection, struct poolite__failure *failure);
/** Undo what was done since, and end the savepoint. */
int connection_undo(struct connection *connection, struct poolite__failure *failure);
/** CONSTRAINT when a deferred foreign key is violated now, else 0. */
int connection_check_deferred(
    struct connection *connection, struct poolite__failure *failure);

/** As a fresh connection's: last_insert_rowid() 0.  Before each member of a group. */
void connection_forget_counters(struct connection *connection);

/** Outside a transaction: foreign keys on or off, read back.  False when it did not take. */
bool connection_set_foreign_keys(struct connection *connection, bool on);
/** Rows that PRAGMA foreign_key_check finds, or -1 with ${failure}. */
int64_t connection_foreign_key_violations(
    struct connection *connection, struct poolite__failure *failure);

/** Whether a used connection is as it should be: no transaction, no temp schema, nothing
 *  attached. */
bool connection_is_clean(struct connection *connection);
/** A query that touches the file.  0, or a code with ${failure}. */
int connection_check(struct connection *connection, struct poolite__failure *failure);

/* ---- deadlines ---- */

/**
 * From now until connection_unwatch a client's statement runs under ${stop}:
 * it is interrupted when stop->reason is set or the deadline has passed.
 */
void connection_watch(struct connection *connection, struct stop *stop);
/** No interrupt reaches the connection afterwards. */
void connection_unwatch(struct connection *connection);
/**
 * Any thread: if the statement that runs now is due, interrupt it also where
 * SQLite asks nobody (one long step).
 */
void connection_nudge(struct connection *connection);

/** The fast one: from now on a statement is stopped when it ran for ${ns}, half of it at least
 *  of this thread's processor time; 0: no budget. */
void connection_set_budget(struct connection *connection, int64_t ns);

/* ---- writer only: the file and its WAL ---- */

/** Pages in the WAL after the last commit. */
int connection_wal_pages(const struct connection *connection);
/** Bytes of the WAL file. */
int64_t connection_wal_bytes(const struct connection *connection);
/** From now on what is written to the WAL before a COMMIT is the next member's. */
void connection_note_spills(struct connection *connection);
/** Whether that has grown the WAL past its limit. */
bool connection_is_wal_full(struct connection *connection);

enum connection_checkpoint { CHECKPOINT_PASSIVE, CHECKPOINT_TRUNCATE };
/**
 * Outside a transaction.  0 when every page was copied (and, with TRUNCATE, the file cut);
 * BUSY when readers are in the way; else a code with ${failure}.
 */
int connection_checkpoint(struct connection *connection, enum connection_checkpoint mode,
    struct poolite__failure *failure);

/** Closing makes no checkpoint: the WAL stays as it is, for whoever opens the file next. */
void connection_leave_wal(struct connection *connection);

struct connection_files;
/** Remember which files are open.  Once, after the first transaction, so that all three exist.
 *  0, or OVERLOADED with ${failure}. */
int connection_remember_files(
    struct connection *connection, struct poolite__failure *failure);
/** What it remembers is the caller's now, and its successor's next: it must have opened the
 *  same. */
struct connection_files *connection_take_files(struct connection *connection);
/** ${files} (taken) are what ${connection} must have open. */
void connection_give_files(struct connection *connection, struct connection_files *files);
/** NULL: nothing. */
void connection_free_files(struct connection_files *files);
/** Whether database, -wal and -shm are still those, and not cut off since; else STORAGE
 *  with ${failure}. */
int connection_check_files(
    struct connection *connection, struct poolite__failure *failure);
/** Whether a foreign process committed since this was asked last. */
bool connection_saw_foreign_commit(struct connection *connection);

#endif
