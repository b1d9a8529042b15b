#include "broker/database.h"

#include <stdio.h>

#include "broker/db/memory.h"
#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/completion.h"

#define MEMORY_CAP_BASE ((int64_t)32 << 20)

/* Beside the page cache, a few of the largest values at once. */
static int64_t memory_cap(const struct settings *settings)
{
	int64_t value_bytes = (int64_t)settings->max_result_bytes;

	if (settings->hardened && value_bytes > CONNECTION_HARDENED_VALUE_BYTES)
		value_bytes = CONNECTION_HARDENED_VALUE_BYTES;
	return (int64_t)settings->cache_bytes + 4 * value_bytes + MEMORY_CAP_BASE;
}

void database_cap_thread(const struct database *database)
{
	memory_cap_thread(memory_cap(database->settings));
}

int database_connect(struct database *database, enum connection_role role,
    struct connection **connection, struct poolite__failure *failure)
{
	const struct settings *settings = database->settings;
	struct connection_options options = {
	    .path = database->path,
	    .role = role,
	    .synchronous = settings->synchronous,
	    .foreign_keys = settings->foreign_keys,
	    .temp_store_memory = settings->temp_store_memory,
	    .hardened = settings->hardened,
	    .examine = settings->hardened && !database->is_examined,
	    .wal_bytes_max = database->wal_bytes_max,
	    .value_bytes_max = (int64_t)settings->max_result_bytes,
	    .cache_bytes = (int64_t)settings->cache_bytes,
	    .schema_seq = role == CONNECTION_WRITER ? &database->schema_seq : NULL,
	    .busy_timeout_ns = settings->busy_timeout_ns,
	    .clock = database->clock,
	};
	int rc = connection_open(&options, connection, failure);

	if (rc)
		return rc;
	database->is_examined = true; /* by the writer: it is opened first */
	atomic_fetch_add(&database->connections_created, 1);
	atomic_fetch_add(&database->connections_open, 1);
	log_debug("connection opened, %s",
	    role == CONNECTION_WRITER       ? "the writer"
		: role == CONNECTION_READER ? "a reader"
					    : "the fast reader");
	return 0;
}

void database_disconnect(struct database *database, struct connection *connection)
{
	if (!connection)
		return;
	connection_close(connection);
	log_debug("connection closed");
	atomic_fetch_sub(&database->connections_open, 1);
}

int database_commit(struct database *database, struct connection *connection,
    struct poolite__failure *failure)
{
	int rc;

	FAILPOINT("commit_before");
	rc = connection_commit(connection, failure);
	FAILPOINT("commit_after");

	if (rc && failure->is_unknown)
		database_must_stop(database, "a COMMIT failed with an unknown outcome");
	if (rc)
		return rc;
	atomic_fetch_add(&database->commit_seq, 1);
	FAILPOINT("commit_before_files");
	if (connection_check_files(connection, failure) == 0)
		return 0;
	database_refuse_writes(database, POOLITE_STORAGE, failure->message);
	failure->code = POOLITE_OUTCOME_UNKNOWN;
	failure->is_unknown = true;
	return failure->code;
}

void database_must_stop(struct database *database, const char *why)
{
	char message[POOLITE__MESSAGE_BYTES];

	snprintf(message, sizeof message,
	    "%s; the broker stops, and starting it again recovers the database", why);
	database_refuse_writes(database, POOLITE_STORAGE, message);
	atomic_store(&database->must_stop, true);
	completion_wake(database->completion);
}

void database_refuse_writes(
    struct database *database, enum poolite_code code, const char *why)
{
	pthread_mutex_lock(&database->refusing);
	if (!atomic_load(&database->refuses_writes)) {
		snprintf(database->why, sizeof database->why, "%s", why);
		database->refusal = code;
		atomic_store(&database->refuses_writes, true);
		log_error("no more writes are taken: %s", why);
	}
	pthread_mutex_unlock(&database->refusing);
}

bool database_refuses_writes(struct database *database, struct poolite__failure *failure)
{
	if (!atomic_load(&database->refuses_writes))
		return false;
	poolite__fail(failure, database->refusal, "%s", database->why);
	return true;
}

bool gate_is_open(const struct gate *gate, int64_t now_ns)
{
	return now_ns >= atomic_load(&gate->closed_until_ns);
}
