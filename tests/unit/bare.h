/* bare.h - a database with its writer's connection, and jobs for it; no threads, no loop. */
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

#endif
