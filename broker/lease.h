/* lease.h - one request of a session that has a connection to itself.
 *
 * Runs on the connection's thread, writer or reader.
 */
#ifndef POOLITE_BROKER_LEASE_H
#define POOLITE_BROKER_LEASE_H

#include "broker/work.h"

/** Begin job's transaction (its mode is the request's).  job->failure, or the answer. */
void lease_begin(
    struct database *database, struct connection *connection, struct job *job);

/**
 * One request between begin and commit, those two included, or the broker's
 * own JOB_ROLLBACK.  Fills in answer or failure; job->has_ended tells that the
 * transaction is over, by whatever cause.
 */
void lease_run(struct database *database, struct connection *connection, struct job *job,
    bool is_writer);

/**
 * One request of a cursor outside a transaction, on a reader: its query, a fetch
 * or its close.  job->has_ended tells that nothing is left of it.
 */
void lease_page(
    struct database *database, struct connection *connection, struct job *job);

#endif
