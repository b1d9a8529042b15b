/* group.h - group commit: many clients' writes made durable by one COMMIT.
 *
 *   BEGIN IMMEDIATE
 *     SAVEPOINT, member 1, RELEASE      on an error: ROLLBACK TO, RELEASE
 *     SAVEPOINT, member 2, RELEASE
 *     ...
 *   COMMIT, then every answer
 *
 * No member's error changes another's result.  Where a member has torn the
 * whole transaction down (OR ROLLBACK, some deadlines, NOMEM, FULL), it alone
 * gets the error and the others are run again.
 */
#ifndef POOLITE_BROKER_GROUP_H
#define POOLITE_BROKER_GROUP_H

#include "broker/writer.h"

/**
 * Commit ${members} (at most GROUP_MEMBERS_MAX) and settle them all (writer_settle), save
 * those for which no time was left.
 *
 * Returns how many, from the first on, were settled; the others were not begun.
 */
size_t group_commit(struct writer *writer, struct job **members, size_t count);

/** A script with foreign keys off, by itself.  Posts it. */
void group_run_keys_off(struct writer *writer, struct job *job);

#endif
