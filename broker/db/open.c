/* open.c - a connection is opened, set up and closed. */
#include <assert.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/db/functions.h"
#include "broker/db/internal.h"
#include "broker/db/limits.h"
#include "broker/db/pages.h"
#include "broker/log.h"

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

/* The first statement on a file that is not trusted, before SQLite has written to it. */
static int examine(struct connection *connection, struct poolite__failure *failure)
{
	int64_t started_ns = clock_raw_ns();
	sqlite3_stmt *stmt = NULL;
	int rc =
	    sqlite3_prepare_v2(connection->db, "PRAGMA quick_check(1)", -1, &stmt, NULL);

	if (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW)
		rc = 0;
	if (rc)
		rc = connection_failure(connection, rc, failure);
	else if (strcmp((const char *)sqlite3_column_text(stmt, 0), "ok") != 0)
		rc = poolite__fail(failure, POOLITE_CORRUPT, "quick_check: %s",
		    (const char *)sqlite3_column_text(stmt, 0));
	else
		log_info("hardened: quick_check found the database sound, in %.1f s",
		    (double)(clock_raw_ns() - started_ns) / CLOCK_NS_PER_SEC);
	sqlite3_finalize(stmt);
	return rc;
}

/* Before the schema is read, so that one which does not fit is noticed here and not when it
 * is read again: the writer is opened first. */
static int set_trust(struct connection *connection,
    const struct connection_options *options, struct poolite__failure *failure)
{
	sqlite3 *db = connection->db;
	int rc;

	if (options->hardened && connection->is_writer) {
		sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
		limits_install(db, options);
	}
	if ((rc = set_pragma(connection, "cell_size_check", options->hardened)) ||
	    (rc = set_pragma(connection, "mmap_size", 0)) || (rc = functions_install(db)))
		return connection_failure(connection, rc, failure);
	return options->examine ? examine(connection, failure) : 0;
}

static int set_pragmas(
    struct connection *connection, const struct connection_options *options)
{
	sqlite3 *db = connection->db;
	int rc;

	if ((rc = set_pragma(connection, "synchronous", options->synchronous)) ||
	    (rc = set_pragma(connection, "cache_size", -(options->cache_bytes / 1024))) ||
	    (rc = set_pragma(
		 connection, "temp_store", options->temp_store_memory ? 2 : 1)) ||
	    (rc = sqlite3_db_config(
		 db, SQLITE_DBCONFIG_ENABLE_FKEY, options->foreign_keys ? 1 : 0, NULL)))
		return rc;
	return connection->is_writer
	    ? SQLITE_OK
	    : sqlite3_db_config(db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static int set_up(struct connection *connection, const struct connection_options *options,
    struct poolite__failure *failure)
{
	sqlite3 *db = connection->db;
	int rc;

	sqlite3_extended_result_codes(db, 1);
	if (options->role != CONNECTION_FAST)
		connection->busy_timeout_ms = to_ms(options->busy_timeout_ns);
	sqlite3_busy_timeout(db, connection->busy_timeout_ms);
	if ((rc = set_trust(connection, options, failure)) ||
	    (connection->is_writer && (rc = enter_wal(connection, failure))))
		return rc;
	if ((rc = set_pragmas(connection, options)))
		return connection_failure(connection, rc, failure);
	sqlite3_wal_autocheckpoint(db, 0);
	sqlite3_wal_hook(db, on_wal, connection);
	for (int i = 0; i < OWN_COUNT; i++) {
		rc = sqlite3_prepare_v3(db, own_texts[i], -1, SQLITE_PREPARE_PERSISTENT,
		    &connection->own[i], NULL);
		if (rc)
			return connection_failure(connection, rc, failure);
	}
	if ((rc = guard_install(&connection->guard, db, !options->hardened)))
		return connection_failure(connection, rc, failure);
	limits_install(db, options);
	connection_ask_in_progress(connection, options->role);
	return connection_check(connection, failure);
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
	connection->is_hardened = options->hardened;
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
	connection_end_schema_change(connection);
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
