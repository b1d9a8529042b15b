/* internal.h - what the files of db/ share; nobody else includes it. */
#ifndef POOLITE_BROKER_DB_INTERNAL_H
#define POOLITE_BROKER_DB_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include <sqlite3.h>

#include "broker/db/connection.h"
#include "broker/db/execute.h"
#include "broker/db/guard.h"
#include "broker/db/statement_cache.h"
#include "proto/value.h"

/* The broker's own statements, compiled once when the connection is opened. */
enum own_statement {
	OWN_BEGIN_WRITE,
	OWN_BEGIN_READ,
	OWN_SNAPSHOT, /* a read that takes the snapshot; the health check too */
	OWN_COMMIT,
	OWN_ROLLBACK,
	OWN_SAVEPOINT,
	OWN_RELEASE,
	OWN_UNDO,
	OWN_TEMP_SCHEMA,
	OWN_DATA_VERSION,
	OWN_FOREIGN_KEY_CHECK,
	OWN_DATABASE_BYTES,
	OWN_COUNT
};

/* Which of the three files are open: device and inode. */
struct connection_file {
	char *path; /* owns */
	dev_t dev;
	ino_t ino;
};
enum { FILE_DATABASE, FILE_WAL, FILE_SHM, FILE_COUNT };

struct connection_files {
	struct connection_file at[FILE_COUNT];
	/* Their sizes when they were looked at last, after a commit or checkpoint of ours: who
	 * finds one shorter has met somebody's truncate(2). */
	int64_t database_bytes, wal_bytes;
	int pages_written;  /* SQLite's count of pages written, then */
	bool is_committing; /* until the look after it */
	bool is_wal_short;  /* before that COMMIT */
};

/** Before a COMMIT: whether the WAL is shorter than we left it. */
void connection_look_at_wal(struct connection *connection);

struct connection {
	sqlite3 *db; /* owns */
	struct guard guard;
	struct statement_cache cache;
	sqlite3_stmt *own[OWN_COUNT]; /* owns */
	struct pages *pages;          /* owns; half-stepped, newest first */
	bool is_writer;
	bool is_hardened;
	bool was_converted;
	int busy_timeout_ms;
	int64_t budget_ns;           /* 0: none */
	int64_t budget_until_ns;     /* half of it, of CLOCK_MONOTONIC */
	int64_t budget_processor_ns; /* then: the end of the other half, of the thread's
					processor time; 0: not yet */
	const struct clock *clock;   /* borrowed */
	int wal_pages;
	_Atomic uint64_t
	    *schema_seq; /* borrowed, or NULL; odd since this one changes it */
	bool changes_schema;
	int64_t wal_bytes_max; /* 0: no limit */
	int wal_spills;        /* of the cache, when the WAL was looked at last */
	int noted_spills;      /* by connection_note_spills */
	int64_t data_version;
	struct connection_files *files; /* owns; the writer's, once remembered */

	pthread_mutex_t watch_mutex;  /* guards watched, against connection_nudge */
	struct stop *watched;         /* borrowed while a client's statement runs */
	_Atomic bool was_interrupted; /* since connection_watch; by nudge or progress */
	struct stop *asked; /* the same, for the progress handler on our own thread */
};

/** The reason the watched statement has to stop now, or 0. */
int connection_stop_reason(struct connection *connection);

/** SQLite is to ask now and then whether it has to stop. */
void connection_ask_in_progress(struct connection *connection, enum connection_role role);

/** The transaction is about to change the schema. */
void connection_begin_schema_change(struct connection *connection);
/** It has ended. */
void connection_end_schema_change(struct connection *connection);

/** Step one of the broker's own statements to its end.  SQLite's code. */
int connection_run_own(struct connection *connection, enum own_statement which);

/** The first column of its first row; 0 without a row, -1 with ${failure}. */
int64_t connection_own_number(struct connection *connection, enum own_statement which,
    struct poolite__failure *failure);

/**
 * Turn SQLite's error on ${connection}, met just now, into ${failure}: the
 * message is copied before anything else is called.  Returns failure->code.
 */
int connection_failure(
    struct connection *connection, int rc, struct poolite__failure *failure);

/** What a statement that was stopped for ${reason} (0: by nobody we know) is answered. */
void connection_say_stopped(int reason, int rc, struct poolite__failure *failure);

/* ---- execute.c's steps, for script.c and pages.c ---- */

/**
 * The statement of ${sql}, from the cache or compiled, past the guard, and fit
 * for ${where} it stands.  With
 * ${tail} the text goes on (and ends in a NUL) and the rest of it is the
 * caller's; without it, one statement must be all.
 */
int execute_compile(struct connection *connection, const char *sql, size_t len,
    enum execute_where where, const char **tail, struct statement *statement,
    struct poolite__failure *failure);
/** Everything that can be refused before arguments are bound; calls before_write. */
int execute_admit(struct connection *connection, struct statement *statement,
    struct execution *execution, struct poolite__failure *failure);
/**
 * Bind the arguments: as many as the statement has parameters.
 *
 *   lifetime  SQLITE_STATIC: the message outlives the run; SQLITE_TRANSIENT: copy
 */
int execute_bind(sqlite3_stmt *stmt, struct poolite__args args,
    sqlite3_destructor_type lifetime, struct poolite__failure *failure);
/** Bind and run to the end; the result goes to ${out}, NULL: nowhere. */
int execute_run(struct connection *connection, struct statement *statement,
    struct execution *execution, struct poolite__buf *out,
    struct poolite__failure *failure);
/** Column names, and the beginning of the rows; after the first step, which may compile anew. */
void execute_pack_head(sqlite3_stmt *stmt, int columns, struct poolite__rows *rows,
    struct poolite__buf *out);
/** The row a statement stands on. */
void execute_pack_row(sqlite3_stmt *stmt, int columns, struct poolite__rows *rows);
/** The failure that a buffer's ${code} means. */
int execute_fail_on_buffer(int code, struct poolite__failure *failure);

#endif
