#include "broker/db/internal.h"

#include <string.h>

#include "broker/db/limits.h"
#include "broker/db/pages.h"
#include "broker/log.h"

/* A ROLLBACK for which there is no memory is tried again. */
#define ROLLBACK_TRIES 3

/* ---- errors ------------------------------------------------------------- */

static enum poolite_code code_of(int rc)
{
	/* A virtual table or sqlite_sequence that makes no sense to SQLite: ordinary SQL gets
	 * there (external content, UPDATE sqlite_sequence), the file is sound. */
	if (rc == SQLITE_CORRUPT_VTAB || rc == SQLITE_CORRUPT_SEQUENCE)
		return POOLITE_SQL_ERROR;
	switch (rc & 0xff) {
	case SQLITE_CONSTRAINT: return POOLITE_CONSTRAINT;
	case SQLITE_FULL:
	case SQLITE_IOERR:
	case SQLITE_CANTOPEN: return POOLITE_STORAGE;
	case SQLITE_CORRUPT:
	case SQLITE_NOTADB: return POOLITE_CORRUPT;
	case SQLITE_BUSY: return POOLITE_BUSY;
	case SQLITE_NOMEM: return POOLITE_OVERLOADED;
	case SQLITE_TOOBIG: return POOLITE_TOO_LARGE;
	case SQLITE_READONLY: return POOLITE_READ_ONLY;
	case SQLITE_AUTH: return POOLITE_NOT_ALLOWED;
	case SQLITE_MISUSE: return POOLITE_INTERNAL;
	default: return POOLITE_SQL_ERROR;
	}
}

void connection_say_stopped(int reason, int rc, struct poolite__failure *failure)
{
	if (reason == 0)
		poolite__fail(failure, POOLITE_CANCELLED, "interrupted");
	else if (reason == POOLITE_QUERY_TIMEOUT)
		poolite__fail(failure, POOLITE_QUERY_TIMEOUT,
		    "stopped: its deadline passed while it ran (timeout_ms or query_timeout)");
	else if (reason == POOLITE_CANCELLED)
		poolite__fail(failure, POOLITE_CANCELLED, "cancelled while it ran");
	else if (reason == STOP_READ_FOR_WAL)
		poolite__fail(failure, POOLITE_OVERLOADED,
		    "stopped: it read for so long that the WAL came near its limit (wal_limit)");
	else if (reason == STOP_WRITE_FOR_WAL)
		poolite__fail(failure, POOLITE_TOO_LARGE,
		    "stopped: the write would have grown the WAL past its limit (wal_limit); "
		    "write less at a time");
	else
		poolite__fail(failure, (enum poolite_code)reason, "stopped: %s",
		    poolite__code_meaning(reason));
	failure->sqlite = rc;
}

/* What SQLite says does not tell whose limit it was. */
static void say_sqlites(
    struct connection *connection, int rc, struct poolite__failure *failure)
{
	bool has_message = (rc & 0xff) != SQLITE_IOERR &&
	    (rc & 0xff) != SQLITE_CANTOPEN && (rc & 0xff) != SQLITE_NOMEM;
	const char *message =
	    has_message ? sqlite3_errmsg(connection->db) : sqlite3_errstr(rc);
	const char *more = "";

	/* A program of more steps than it may have is out of memory, too. */
	if (connection->is_hardened && (rc & 0xff) == SQLITE_NOMEM)
		more = ", or too long a program (hardened)";
	else if (connection->is_hardened && limits_are_meant(message))
		more = " (hardened)";
	poolite__fail(failure, code_of(rc), "%s%s", message, more);
}

int connection_failure(
    struct connection *connection, int rc, struct poolite__failure *failure)
{
	int primary = rc & 0xff;
	int reason = connection_stop_reason(connection);

	if (primary == SQLITE_INTERRUPT)
		connection_say_stopped(reason, rc, failure);
	else if (connection->guard.is_refused)
		poolite__fail(failure, POOLITE_NOT_ALLOWED, "%s", connection->guard.why);
	else if (primary == SQLITE_BUSY)
		poolite__fail(failure, POOLITE_BUSY,
		    "a process outside the broker holds the database's lock; find it with "
		    "fuser or lsof, and let it use the broker too");
	else if (primary == SQLITE_FULL)
		poolite__fail(failure, POOLITE_STORAGE,
		    "the disk is full: free some space, and writing goes on (or the table has used "
		    "its last rowid)");
	else
		say_sqlites(connection, rc, failure);
	failure->sqlite = rc;
	return failure->code;
}

/* ---- the broker's own statements ---------------------------------------- */

int connection_run_own(struct connection *connection, enum own_statement which)
{
	sqlite3_stmt *stmt = connection->own[which];
	int rc;

	guard_reset(&connection->guard);
	connection->guard.is_own = true;
	do
		rc = sqlite3_step(stmt);
	while (rc == SQLITE_ROW);
	sqlite3_reset(stmt);
	connection->guard.is_own = false;
	return rc == SQLITE_DONE ? SQLITE_OK : rc; /* extended: SQLITE_OPEN_EXRESCODE */
}

/* The first column of the first row, or -1 with ${failure}. */
int64_t connection_own_number(struct connection *connection, enum own_statement which,
    struct poolite__failure *failure)
{
	sqlite3_stmt *stmt = connection->own[which];
	int64_t number = -1;
	int rc;

	guard_reset(&connection->guard);
	connection->guard.is_own = true;
	rc = sqlite3_step(stmt);
	if (rc == SQLITE_ROW)
		number = sqlite3_column_int64(stmt, 0);
	else if (rc == SQLITE_DONE)
		number = 0;
	else
		connection_failure(
		    connection, sqlite3_extended_errcode(connection->db), failure);
	sqlite3_reset(stmt);
	connection->guard.is_own = false;
	return number;
}

static int run_own(struct connection *connection, enum own_statement which,
    struct poolite__failure *failure)
{
	int rc = connection_run_own(connection, which);
	return rc == SQLITE_OK ? 0 : connection_failure(connection, rc, failure);
}

/* ---- changes of the schema ---------------------------------------------- */

void connection_begin_schema_change(struct connection *connection)
{
	if (!connection->schema_seq || connection->changes_schema)
		return;
	connection->changes_schema = true;
	atomic_fetch_or(connection->schema_seq, 1);
}

/* Committed or not: others' statements may be compiled anew from now on. */
void connection_end_schema_change(struct connection *connection)
{
	if (connection->changes_schema)
		atomic_fetch_add(connection->schema_seq, 1);
	connection->changes_schema = false;
}

bool connection_is_disk_full(const struct poolite__failure *failure)
{
	return (failure->sqlite & 0xff) == SQLITE_FULL;
}

const char *connection_sqlite_version(void)
{
	return sqlite3_libversion();
}

int connection_sqlite_version_number(void)
{
	return sqlite3_libversion_number();
}

/* ---- transactions ------------------------------------------------------- */

bool connection_in_transaction(const struct connection *connection)
{
	return !sqlite3_get_autocommit(connection->db);
}

int connection_begin_write(
    struct connection *connection, struct poolite__failure *failure)
{
	return run_own(connection, OWN_BEGIN_WRITE, failure);
}

int connection_begin_read(struct connection *connection, struct poolite__failure *failure)
{
	int rc = run_own(connection, OWN_BEGIN_READ, failure);

	if (rc)
		return rc;
	rc = run_own(connection, OWN_SNAPSHOT, failure);
	if (rc)
		connection_rollback(connection);
	return rc;
}

int connection_commit(struct connection *connection, struct poolite__failure *failure)
{
	int rc, primary;

	connection_end_pages(connection);
	connection_look_at_wal(connection);
	rc = connection_run_own(connection, OWN_COMMIT);
	primary = rc & 0xff;
	if (rc == SQLITE_OK) {
		connection_end_schema_change(connection);
		return 0;
	}
	connection_failure(connection, rc, failure);
	/* FULL is known to have left nothing; and while the transaction is open COMMIT has not
	 * begun: a foreign key or BUSY forbade it, or there was no memory to compile it. */
	if (primary == SQLITE_FULL || connection_in_transaction(connection)) {
		connection_rollback(connection);
		return failure->code;
	}
	poolite__fail(failure, POOLITE_OUTCOME_UNKNOWN,
	    "COMMIT failed (%s): whether the write is in the database is known after a restart",
	    sqlite3_errstr(rc));
	failure->sqlite = rc;
	return failure->code;
}

void connection_rollback(struct connection *connection)
{
	int rc = SQLITE_OK;

	connection_end_pages(connection);
	/* Compiled again, for a schema may have changed, it needs memory, and that may be
	 * short for a moment only. */
	for (int i = 0; connection_in_transaction(connection) && i < ROLLBACK_TRIES; i++)
		rc = connection_run_own(connection, OWN_ROLLBACK);
	if (!connection_in_transaction(connection)) {
		connection_end_schema_change(connection);
		return;
	}
	if ((rc & 0xff) == SQLITE_NOMEM)
		log_and_exit("no memory for a ROLLBACK");
	log_error("ROLLBACK failed: %s", sqlite3_errstr(rc));
	/* Only an open statement or a lost page cache could prevent it: our own bug. */
	abort();
}

int connection_savepoint(struct connection *connection, struct poolite__failure *failure)
{
	return run_own(connection, OWN_SAVEPOINT, failure);
}

int connection_release(struct connection *connection, struct poolite__failure *failure)
{
	return run_own(connection, OWN_RELEASE, failure);
}

int connection_undo(struct connection *connection, struct poolite__failure *failure)
{
	int rc = run_own(connection, OWN_UNDO, failure);
	return rc ? rc : run_own(connection, OWN_RELEASE, failure);
}

int connection_check_deferred(
    struct connection *connection, struct poolite__failure *failure)
{
	int current = 0, highest;

	sqlite3_db_status(
	    connection->db, SQLITE_DBSTATUS_DEFERRED_FKS, &current, &highest, 0);
	if (current == 0)
		return 0;
	poolite__fail(failure, POOLITE_CONSTRAINT, "FOREIGN KEY constraint failed");
	failure->sqlite = SQLITE_CONSTRAINT_FOREIGNKEY;
	return POOLITE_CONSTRAINT;
}

void connection_forget_counters(struct connection *connection)
{
	sqlite3_set_last_insert_rowid(connection->db, 0);
}

bool connection_set_foreign_keys(struct connection *connection, bool on)
{
	int is_on = -1; /* read back */

	sqlite3_db_config(
	    connection->db, SQLITE_DBCONFIG_ENABLE_FKEY, on ? 1 : 0, &is_on);
	return is_on == (on ? 1 : 0);
}

int64_t connection_foreign_key_violations(
    struct connection *connection, struct poolite__failure *failure)
{
	return connection_own_number(connection, OWN_FOREIGN_KEY_CHECK, failure);
}

bool connection_is_clean(struct connection *connection)
{
	struct poolite__failure failure;

	return !connection_in_transaction(connection) && !connection->pages &&
	    connection_own_number(connection, OWN_TEMP_SCHEMA, &failure) == 0 &&
	    sqlite3_db_name(connection->db, 2) == NULL;
}

int connection_check(struct connection *connection, struct poolite__failure *failure)
{
	return run_own(connection, OWN_SNAPSHOT, failure);
}
