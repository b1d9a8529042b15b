/* broker.h - the broker: owns everything, and knows how it starts and stops.
 *
 *   SERVING ── SIGTERM, SIGINT, an unknown outcome ──► DRAINING ──► CLOSING ──► loop ends
 *
 * SERVING   takes clients and requests
 * DRAINING  takes no new client's bytes; finishes what had arrived, within `grace`; then
 *           what is left is refused or rolled back
 * CLOSING   no session is left; connections and handles are closed
 */
#ifndef POOLITE_BROKER_BROKER_H
#define POOLITE_BROKER_BROKER_H

#include "broker/database.h"
#include "broker/fast.h"
#include "broker/files.h"
#include "broker/http/stats_server.h"
#include "broker/net/loop.h"
#include "broker/net/server.h"
#include "broker/pool.h"
#include "broker/routes.h"
#include "broker/settings.h"
#include "broker/stats.h"
#include "broker/users.h"

struct cursor;
struct transaction;

enum broker_stage { BROKER_SERVING, BROKER_DRAINING, BROKER_CLOSING };

struct broker {
	struct settings settings;
	enum broker_stage stage;
	bool is_past_grace;
	bool is_overdue;         /* overdue_ask was called, and not answered yet */
	int64_t next_overdue_ns; /* of CLOCK_MONOTONIC: not before */
	int64_t grace_until_ns;
	int exit_status;
	double started_unix;

	struct clock clock;
	struct poolite__budget budget;
	bool is_disk_full;  /* so the last write found it that wrote anything */
	bool ended_for_wal; /* a read; the writer is to look what it did for the WAL */
	struct users users;
	struct loop *loop;             /* owns */
	struct completion *completion; /* owns */
	struct database_file file;     /* owns its lock */
	struct database database;
	struct pool pool;
	struct fast fast;
	struct routes routes;
	struct poolite__buf short_answer; /* scratch: short_read.c packs into it */
	struct stats stats;

	struct loop_handler loop_handler;
	struct session_handler session_handler;
	struct session_shared sessions;
	struct listener listener;
	struct server *server;             /* owns */
	struct listener stats_listener;    /* fd -1: none */
	struct stats_server *stats_server; /* owns; NULL: none */
	struct transaction
	    *transactions;      /* borrowed: those of sessions that ever began one */
	struct cursor *cursors; /* borrowed: those outside transactions */
	uint64_t last_cursor;   /* the newest cursor's number */
};

/**
 * Everything up to the first client: files, locks, connections, sockets.
 *
 *   error  gets a sentence that names the culprit and the way out
 *
 * NULL when it cannot start; nothing is left behind then.
 */
struct broker *broker_create(
    const struct settings *settings, char *error, size_t error_size);

/** Serve until stopped.  Returns the process's exit status: 0, or 74 after an unknown outcome. */
int broker_run(struct broker *broker);

/** After broker_run, or a failed start.  NULL: nothing. */
void broker_free(struct broker *broker);

/** Loop thread: stop cleanly, within the grace.  A second call with ${status} 0 cuts the
 *  grace short; any other is the exit status. */
void broker_stop(struct broker *broker, int status);

/** Exit status after a COMMIT whose outcome nobody knows (EX_IOERR). */
#define BROKER_EXIT_UNKNOWN 74

#endif
