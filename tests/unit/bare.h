/* bare.h - a database with its writer's connection, and jobs for it; no loop. */
#ifndef POOLITE_TESTS_BARE_H
#define POOLITE_TESTS_BARE_H

#include "broker/database.h"
#include "broker/job.h"

struct bare {
	char folder[64];
	char path[96];
	struct settings settings;
	struct clock clock; /* stands still */
	struct poolite__budget budget;
	struct database database;
	struct connection *connection; /* owns; may be another by the end */
};

/* The so-many-th call from now on fails for lack of memory, and does nothing; 0: none. */
extern unsigned bare_failing_savepoint, bare_failing_release, bare_failing_undo;

/* How connection_check() fails from now on; code 0: as it does. */
extern struct poolite__failure bare_check_failure;

/* The machine's clock (clock_raw_ns) stands still at bare_raw_ns. */
extern bool bare_stops_raw_clock;
extern _Atomic int64_t bare_raw_ns;
/* Then: BEGIN IMMEDIATE takes longer than a group may. */
extern bool bare_begins_slowly;

/** With the tables t (id INTEGER PRIMARY KEY) and child (p REFERENCES t), both empty. */
void bare_open(struct bare *bare);
/** Every job has to be freed: what is still counted is a failure. */
void bare_close(struct bare *bare);

/** For a .fini, also without the rest: abort if something is still counted. */
void bare_no_job_is_left(const struct poolite__budget *budget);

/** One more connection, to be given back with database_disconnect. */
struct connection *bare_connect(struct bare *bare, enum connection_role role);

/** Carry out ${sql}, which returns no rows. */
void bare_sql(struct connection *connection, const char *sql);
/** How many rows ${table} holds. */
int bare_rows(struct connection *connection, const char *table);

/** The job of a message, which is released. */
struct job *bare_job(struct bare *bare, struct poolite__buf *message);
/** The job of one statement. */
struct job *bare_statement(
    struct bare *bare, enum poolite__method method, const char *sql);
/** The job of two statements as one. */
struct job *bare_transaction(struct bare *bare, const char *first, const char *second);

/** For tests with threads: from now on finished jobs go to bare_wait_finished(). */
void bare_collect_finished(void);
/** Called by the thread that finishes one, just before; NULL: nobody. */
extern void (*bare_before_finish)(void);
/** The next one that a thread has finished; waits for it. */
struct job *bare_wait_finished(void);

#endif
