/* database.h - what every connection's thread knows of the one database.
 *
 * Made before the threads, gone after them.  Only what is atomic changes in
 * between.
 */
#ifndef POOLITE_BROKER_DATABASE_H
#define POOLITE_BROKER_DATABASE_H

#include <stdatomic.h>
#include <pthread.h>
#include <stdbool.h>

#include "broker/db/connection.h"
#include "broker/settings.h"

struct completion;

/*
 * The gate: readers that overlap without a pause keep every checkpoint from
 * completing.  The writer closes it for a few milliseconds; the loop then
 * leaves new reads in their queue.
 */
struct gate {
	_Atomic int64_t closed_until_ns; /* of the broker's clock; 0: open */
	_Atomic int reading;             /* plain reads that run now */
};

struct database {
	const char *path;                /* borrowed; the file's realpath */
	const struct settings *settings; /* borrowed */
	const struct clock *clock;       /* borrowed */
	struct completion *completion;   /* borrowed: where jobs go back to */
	struct poolite__budget *budget;  /* borrowed */
	_Atomic uint64_t
	    commit_seq; /* raised by every COMMIT before its answer is posted */
	_Atomic uint64_t
	    schema_seq; /* the writer's: odd while a transaction changes it */
	struct gate gate;
	pthread_mutex_t refusing;    /* guards the three below until the flag is set */
	_Atomic bool refuses_writes; /* set once, never cleared */
	char why[POOLITE__MESSAGE_BYTES]; /* then: the reason; written before the flag */
	enum poolite_code refusal;        /* then: STORAGE or CORRUPT */
	int64_t wal_bytes_max;  /* wal_limit, at most a quarter of the free disk */
	_Atomic bool must_stop; /* the broker has to: what the disk holds is not known */
	/* Near that limit the writer notes when it last tried in vain to cut the WAL; the
	 * loop ends a read that is older, and sets 0: try again. */
	_Atomic int64_t wal_pinned_ns;
	bool is_examined; /* hardened: the whole file, before anything else */
	_Atomic uint64_t connections_created;
	_Atomic int connections_open;
};

/** First thing on a connection's thread: cap the memory that its connection may take. */
void database_cap_thread(const struct database *database);
/** Open a connection of the database as its settings say. */
int database_connect(struct database *database, enum connection_role role,
    struct connection **connection, struct poolite__failure *failure);
/** Close it.  NULL: nothing. */
void database_disconnect(struct database *database, struct connection *connection);

/**
 * The writer's COMMIT, with what has to stand between it and the answers:
 * commit_seq is raised, and the files looked at.
 *
 * Returns 0, or a code with ${failure}.  When is_unknown is set, no more writes are
 * taken; when not even SQLite can tell, the broker stops (database_must_stop).
 */
int database_commit(struct database *database, struct connection *connection,
    struct poolite__failure *failure);

/** The disk failed under SQLite: take no more writes, and stop.  Any connection's thread. */
void database_must_stop(struct database *database, const char *why);

/** From now on no write is taken; the first reason stays.  Any connection's thread. */
void database_refuse_writes(
    struct database *database, enum poolite_code code, const char *why);
/** Whether writes are refused; then ${failure} says why. */
bool database_refuses_writes(struct database *database, struct poolite__failure *failure);

/** Whether the gate for new reads is open. */
bool gate_is_open(const struct gate *gate, int64_t now_ns);

#endif
