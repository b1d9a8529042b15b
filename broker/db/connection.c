#include "broker/db/internal.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/db/functions.h"
#include "broker/db/limits.h"
#include "broker/db/pages.h"
#include "broker/log.h"

/* A ROLLBACK for which there is no memory is tried again. */
#define ROLLBACK_TRIES 3
/* VM instructions between two looks at the clock: about 10 us. */
#define PROGRESS_STEPS 1000
/* On the fast one, where a step may be a function over FAST_VALUE_BYTES: about 1 us. */
#define PROGRESS_STEPS_FAST 32
/* On the writer, where a step may write a large value to the WAL. */
#define PROGRESS_STEPS_WRITER 100

static const char *const own_texts[OWN_COUNT] = {
    [OWN_BEGIN_WRITE] = "BEGIN IMMEDIATE",
    [OWN_BEGIN_READ] = "BEGIN",
    [OWN_SNAPSHOT] = "SELECT count(*) FROM (SELECT 1 FROM sqlite_schema LIMIT 1)",
    [OWN_COMMIT] = "COMMIT",
    [OWN_ROLLBACK] = "ROLLBACK",
    [OWN_SAVEPOINT] = "SAVEPOINT poolite",
    [OWN_RELEASE] = "RELEASE poolite",
    [OWN_UNDO] = "ROLLBACK TO poolite",
    [OWN_TEMP_SCHEMA] = "SELECT 1 FROM sqlite_temp_schema LIMIT 1",
    [OWN_DATA_VERSION] = "PRAGMA data_version",
    [OWN_FOREIGN_KEY_CHECK] = "SELECT count(*) FROM pragma_foreign_key_check",
    [OWN_DATABASE_BYTES] =
	"SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
};

/* ---- deadlines ---------------------------------------------------------- */

/* A transaction reaches the WAL before its COMMIT only when the cache spills;
 * so only then is the file's size looked at. */
static bool is_wal_full(struct connection *connection)
{
	int spills = 0, highest;

	if (!connection->wal_bytes_max)
		return false;
	sqlite3_db_status(
	    connection->db, SQLITE_DBSTATUS_CACHE_SPILL, &spills, &highest, 0);
	if (spills == connection->wal_spills)
		return false;
	connection->wal_spills = spills;
	return connection_wal_bytes(connection) > connection->wal_bytes_max;
}

int connection_stop_reason(struct connection *connection)
{
	if (connection->asked && is_wal_full(connection))
		atomic_store(&connection->asked->reason, STOP_WRITE_FOR_WAL);
	return connection->asked
	    ? stop_reason(connection->asked, clock_now(connection->clock))
	    : 0;
}

static int on_progress(void *context)
{
	struct connection *connection = context;

	if (connection_stop_reason(connection) == 0)
		return 0;
	connection->was_interrupted = true;
	return 1;
}

static int64_t processor_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (int64_t)used.tv_sec * CLOCK_NS_PER_SEC + used.tv_nsec;
}

/* Half of the budget by the clock, which costs nothing to look at; was it spent, the
 * other half by what this thread really ran, for it may have been others' turn. */
static int on_progress_fast(void *context)
{
	struct connection *connection = context;

	if (!connection->budget_ns || clock_raw_ns() <= connection->budget_until_ns)
		return 0;
	if (!connection->budget_processor_ns)
		connection->budget_processor_ns =
		    processor_ns() + connection->budget_ns / 2;
	return processor_ns() > connection->budget_processor_ns;
}

void connection_set_budget(struct connection *connection, int64_t ns)
{
	connection->budget_ns = ns;
	connection->budget_until_ns = ns ? clock_raw_ns() + ns / 2 : 0;
	connection->budget_processor_ns = 0;
}

void connection_watch(struct connection *connection, struct stop *stop)
{
	pthread_mutex_lock(&connection->watch_mutex);
	connection->watched = stop;
	connection->was_interrupted = false;
	pthread_mutex_unlock(&connection->watch_mutex);
	connection->asked = stop;
}

void connection_unwatch(struct connection *connection)
{
	struct poolite__failure failure;

	pthread_mutex_lock(&connection->watch_mutex);
	connection->watched = NULL;
	pthread_mutex_unlock(&connection->watch_mutex);
	/* An interrupt stays in force while any statement is half-stepped, also when
	 * the one it was meant for had just ended: it would hit our own next. */
	if (connection->was_interrupted && connection->pages) {
		connection_say_stopped(
		    connection_stop_reason(connection), SQLITE_INTERRUPT, &failure);
		connection_fail_pages(connection, &failure);
	}
	connection->asked = NULL;
}

void connection_nudge(struct connection *connection)
{
	/* While the mutex is held the watched statement cannot end, so the
	 * interrupt cannot hit the next one. */
	pthread_mutex_lock(&connection->watch_mutex);
	if (connection->watched &&
	    stop_reason(connection->watched, clock_now(connection->clock))) {
		connection->was_interrupted = true;
		sqlite3_interrupt(connection->db);
	}
	pthread_mutex_unlock(&connection->watch_mutex);
}

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
		poolite__fail(failure, POOLITE_STORAGE, "the disk is full");
	else if (primary == SQLITE_IOERR || primary == SQLITE_CANTOPEN ||
	    primary == SQLITE_NOMEM)
		poolite__fail(failure, code_of(rc), "%s", sqlite3_errstr(rc));
	else
		poolite__fail(failure, code_of(rc), "%s", sqlite3_errmsg(connection->db));
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
	if (rc != SQLITE_DONE)
		rc = sqlite3_extended_errcode(connection->db);
	else
		rc = SQLITE_OK;
	sqlite3_reset(stmt);
	connection->guard.is_own = false;
	return rc;
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
static void end_schema_change(struct connection *connection)
{
	if (connection->changes_schema)
		atomic_fetch_add(connection->schema_seq, 1);
	connection->changes_schema = false;
}

/* ---- open and close ----------------------------------------------------- */

static int on_wal(void *context, sqlite3 *db, const char *name, int pages)
{
	struct connection *connection = context;

	(void)db;
	(void)name;
	connection->wal_pages = pages;
	return SQLITE_OK;
}

static int set_pragma(struct connection *connection, const char *name, long long value)
{
	char sql[96];

	snprintf(sql, sizeof sql, "PRAGMA %s=%lld", name, value);
	return sqlite3_exec(connection->db, sql, NULL, NULL, NULL);
}

/* Convert to WAL if it is not; SQLite answers with the mode that holds. */
static int enter_wal(struct connection *connection, struct poolite__failure *failure)
{
	sqlite3_stmt *stmt = NULL;
	char mode[16] = "";

	for (int pass = 0; pass < 2; pass++) {
		int rc = sqlite3_prepare_v2(connection->db,
		    pass ? "PRAGMA journal_mode=WAL" : "PRAGMA journal_mode", -1, &stmt,
		    NULL);
		if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
			snprintf(mode, sizeof mode, "%s",
			    (const char *)sqlite3_column_text(stmt, 0));
		if (rc == SQLITE_OK)
			rc = sqlite3_finalize(stmt);
		if (rc)
			return connection_failure(connection, rc, failure);
		if (strcmp(mode, "wal") == 0)
			return 0;
		connection->was_converted = pass == 0;
	}
	return poolite__fail(failure, POOLITE_STORAGE,
	    "the database cannot be put into WAL mode (it stays in '%s'); is its filesystem a "
	    "network one?",
	    mode);
}

static int to_ms(int64_t ns)
{
	return ns / CLOCK_NS_PER_MS < INT_MAX ? (int)(ns / CLOCK_NS_PER_MS) : INT_MAX;
}

static int set_up(struct connection *connection, const struct connection_options *options,
    struct poolite__failure *failure)
{
	sqlite3 *db = connection->db;
	int rc;

	sqlite3_extended_result_codes(db, 1);
	/* Before the schema is read, so that one which does not fit is noticed here and not
	 * when it is read again: the writer is opened first. */
	if (options->hardened && connection->is_writer) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		limits_install(db, options);
	}
	if (options->role != CONNECTION_FAST)
		connection->busy_timeout_ms = to_ms(options->busy_timeout_ns);
	sqlite3_busy_timeout(db, connection->busy_timeout_ms);
	if (connection->is_writer && (rc = enter_wal(connection, failure)))
		return rc;
	if ((rc = set_pragma(connection, "synchronous", options->synchronous)) ||
	    (rc = set_pragma(connection, "cache_size", -(options->cache_bytes / 1024))) ||
	    (rc = set_pragma(
		 connection, "temp_store", options->temp_store_memory ? 2 : 1)) ||
	    (rc = set_pragma(connection, "mmap_size", 0)) ||
	    (rc = set_pragma(connection, "cell_size_check", options->hardened)) ||
	    (rc = sqlite3_db_config(
		 db, SQLITE_DBCONFIG_ENABLE_FKEY, options->foreign_keys ? 1 : 0, NULL)) ||
	    (!connection->is_writer &&
		(rc = sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL))))
		return connection_failure(connection, rc, failure);
	sqlite3_wal_autocheckpoint(db, 0);
	sqlite3_wal_hook(db, on_wal, connection);
	for (int i = 0; i < OWN_COUNT; i++) {
		rc = sqlite3_prepare_v3(db, own_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &connection->own[i], NULL);
		if (rc)
			return connection_failure(connection, rc, failure);
	}
	rc = functions_install(db);
	if (rc == SQLITE_OK)
		rc = guard_install(&connection->guard, db, !options->hardened);
	if (rc)
		return connection_failure(connection, rc, failure);
	limits_install(db, options);
	if (options->role == CONNECTION_FAST) {
		sqlite3_progress_handler(
		    db, PROGRESS_STEPS_FAST, on_progress_fast, connection);
	} else {
		sqlite3_progress_handler(db,
		    connection->is_writer ? PROGRESS_STEPS_WRITER : PROGRESS_STEPS,
		    on_progress, connection);
	}
	return run_own(connection, OWN_SNAPSHOT, failure);
}

int connection_open(const struct connection_options *options, struct connection **result,
    struct poolite__failure *failure)
{
	struct connection *connection = calloc(1, sizeof *connection);
	int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE |
	    (options->role == CONNECTION_WRITER ? SQLITE_OPEN_READWRITE
						: SQLITE_OPEN_READONLY);
	int rc;

	*result = NULL;
	if (!connection)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	pthread_mutex_init(&connection->watch_mutex, NULL);
	connection->is_writer = options->role == CONNECTION_WRITER;
	connection->clock = options->clock;
	connection->schema_seq = options->schema_seq;
	connection->wal_bytes_max =
	    options->role == CONNECTION_WRITER ? options->wal_bytes_max : 0;
	rc = sqlite3_open_v2(options->path, &connection->db, flags, NULL);
	if (rc == SQLITE_OK)
		rc = set_up(connection, options, failure);
	else if (connection->db)
		rc = connection_failure(connection, rc, failure);
	else
		rc = poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	if (rc) {
		connection_close(connection);
		return rc;
	}
	*result = connection;
	return 0;
}

void connection_close(struct connection *connection)
{
	int rc;

	if (!connection)
		return;
	end_schema_change(connection);
	connection_end_pages(connection);
	statement_cache_clear(&connection->cache);
	for (int i = 0; i < OWN_COUNT; i++)
		sqlite3_finalize(connection->own[i]);
	rc = sqlite3_close(connection->db);
	assert(rc == SQLITE_OK); /* every statement was finalised */
	(void)rc;
	connection_free_files(connection->files);
	pthread_mutex_destroy(&connection->watch_mutex);
	free(connection);
}

bool connection_was_converted(const struct connection *connection)
{
	return connection->was_converted;
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
		end_schema_change(connection);
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
	for (int i = 0; i < ROLLBACK_TRIES; i++) {
		if (!connection_in_transaction(connection))
			break;
		rc = connection_run_own(connection, OWN_ROLLBACK);
	}
	if (!connection_in_transaction(connection)) {
		end_schema_change(connection);
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
	int is_on = -1;

	return sqlite3_db_config(connection->db, SQLITE_DBCONFIG_ENABLE_FKEY, on ? 1 : 0,
		   &is_on) == SQLITE_OK &&
	    is_on == (on ? 1 : 0);
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

int connection_quick_check(
    struct connection *connection, struct poolite__failure *failure)
{
	sqlite3_stmt *stmt = NULL;
	int rc;

	guard_reset(&connection->guard);
	connection->guard.is_own = true;
	rc = sqlite3_prepare_v2(connection->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);
	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = 0;
	if (rc)
		connection_failure(connection, rc, failure);
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		rc = poolite__fail(failure, POOLITE_CORRUPT, "quick_check: %s",
		    (const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	connection->guard.is_own = false;
	return rc ? failure->code : 0;
}

int connection_check(struct connection *connection, struct poolite__failure *failure)
{
	return run_own(connection, OWN_SNAPSHOT, failure);
}
