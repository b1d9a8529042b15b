/* crew.h - several processes that do the same operation over and over.
 *
 * All of them get ready first and are let go together.
 */
#ifndef POOLITE_BENCH_CREW_H
#define POOLITE_BENCH_CREW_H

#include <stdbool.h>
#include <sys/types.h>

#include <sqlite3.h>

#include "client/poolite.h"
#include "tests/bench/measure.h"

#define CREW_MAX 128

/* One process's means to reach a database. */
struct client {
	const char *path; /* database file, or the broker's socket */
	const char *sql;  /* one argument: the row's number, or text made of it */
	sqlite3 *db;      /* direct ways */
	sqlite3_stmt *statement;
	struct poolite *handle;     /* Poolite */
	struct poolite_error error; /* of the last failure; message is never empty then */
};

/* One way to do an operation.  Functions return whether it went well. */
struct way {
	bool (*open)(struct client *client); /* before the clock starts; NULL: nothing */
	bool (*run)(struct client *client, int64_t number);
	void (*close)(struct client *client); /* NULL: nothing */
};

extern const struct way way_opened;   /* SQLite, opened for each operation, PRAGMAs */
extern const struct way way_plain;    /* the same without any PRAGMA */
extern const struct way way_prepared; /* SQLite, one connection, one statement */
extern const struct way way_poolite;  /* libpoolite, one handle */
extern const struct way way_connect;  /* libpoolite, a handle for each operation */

/* What a crew does. */
struct crew {
	const struct way *way;
	const char *path;
	const char *sql;
	int processes; /* 1 .. CREW_MAX */
};

/**
 * Fork the processes, let them work for ${duration_ns}, and wait for them.
 * ${tally} gets the sum; a process that died is a failure in it.
 */
void crew_run(const struct crew *crew, int64_t duration_ns, struct tally *tally);

/** Fork; the child is killed when this process ends, or dies.  0 in the child. */
pid_t child_fork(void);
/** Kill a child and wait for it. */
void child_kill(pid_t pid);
/** ${size} zeroed bytes that forked processes share, for munmap; or die. */
void *shared_memory(size_t size);

#endif
