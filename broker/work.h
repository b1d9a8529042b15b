/* work.h - carry out one request on a connection: what its method means.
 *
 * Shared by the three that run requests: a reader (plain reads), the group
 * (members) and a lease (between begin and commit).
 */
#ifndef POOLITE_BROKER_WORK_H
#define POOLITE_BROKER_WORK_H

#include "broker/database.h"
#include "broker/db/execute.h"

/* Where the request stands. */
struct work_place {
	bool in_session; /* between begin and commit */
	bool can_write;  /* on the writer */
	/* Savepoints are opened here, before the first write, and not by the caller. */
	bool opens_savepoint;
};

/**
 * Run job's request (query, update, batch, transaction, script, fetch or close)
 * under its deadline, and leave the whole answer in job->answer.
 *
 *   has_savepoint  set to whether a savepoint was opened (opens_savepoint) and is
 *                  still the caller's to release or undo
 *
 * Returns 0, EXECUTE_ELSEWHERE, or a code with job->failure and an empty answer.
 * Sets job->is_write.
 */
int work_run(struct database *database, struct connection *connection, struct job *job,
    const struct work_place *place, bool *has_savepoint);

/**
 * Run job's query on the fast reader: at most ${result_bytes} of answer and
 * ${budget_ns} of time.  0, or a code with job->failure and an empty answer.
 */
int work_run_short(struct connection *connection, struct job *job, size_t result_bytes,
    int64_t budget_ns);

/** A script that needs foreign keys off: by its option, or by its first statement. */
bool work_wants_keys_off(const struct job *job);

#endif
