/* deadline.c - what stops a statement: deadlines, cancels, budgets, a full WAL. */
#include "broker/db/internal.h"

#include "broker/db/pages.h"

/* VM instructions between two looks at the clock: about 10 us. */
#define PROGRESS_STEPS 1000
/* On the fast one, where a step may be a function over FAST_VALUE_BYTES: about 1 us. */
#define PROGRESS_STEPS_FAST 32
/* On the writer, where a step may write a large value to the WAL. */
#define PROGRESS_STEPS_WRITER 100

static int count_spills(struct connection *connection)
{
	int spills = 0, highest;

	sqlite3_db_status(
	    connection->db, SQLITE_DBSTATUS_CACHE_SPILL, &spills, &highest, 0);
	return spills;
}

void connection_note_spills(struct connection *connection)
{
	if (connection->wal_bytes_max)
		connection->wal_spills = connection->noted_spills =
		    count_spills(connection);
}

bool connection_is_wal_full(struct connection *connection)
{
	return connection->wal_bytes_max &&
	    count_spills(connection) != connection->noted_spills &&
	    connection_wal_bytes(connection) > connection->wal_bytes_max;
}

/* A transaction reaches the WAL before its COMMIT only when the cache spills;
 * so only then is the file's size looked at. */
static bool is_wal_full(struct connection *connection)
{
	int spills;

	if (!connection->wal_bytes_max)
		return false;
	spills = count_spills(connection);
	if (spills == connection->wal_spills)
		return false;
	connection->wal_spills = spills;
	return connection_wal_bytes(connection) > connection->wal_bytes_max;
}

int connection_stop_reason(struct connection *connection)
{
	if (connection->asked && is_wal_full(connection))
		atomic_store(&connection->asked->reason, STOP_WRITE_FOR_WAL);
	return connection->asked
	    ? stop_reason(connection->asked, clock_now(connection->clock))
	    : 0;
}

static int on_progress(void *context)
{
	struct connection *connection = context;

	if (connection_stop_reason(connection) == 0)
		return 0;
	connection->was_interrupted = true;
	return 1;
}

static int64_t processor_ns(void)
{
	struct timespec used;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
	return (int64_t)used.tv_sec * CLOCK_NS_PER_SEC + used.tv_nsec;
}

/* Half of the budget by the clock, which costs nothing to look at; was it spent, the
 * other half by what this thread really ran, for it may have been others' turn. */
static int on_progress_fast(void *context)
{
	struct connection *connection = context;

	if (!connection->budget_ns || clock_raw_ns() <= connection->budget_until_ns)
		return 0;
	if (!connection->budget_processor_ns)
		connection->budget_processor_ns =
		    processor_ns() + connection->budget_ns / 2;
	return processor_ns() > connection->budget_processor_ns;
}

void connection_ask_in_progress(struct connection *connection, enum connection_role role)
{
	int steps = role == CONNECTION_FAST ? PROGRESS_STEPS_FAST
	    : role == CONNECTION_WRITER     ? PROGRESS_STEPS_WRITER
					    : PROGRESS_STEPS;

	sqlite3_progress_handler(connection->db, steps,
	    role == CONNECTION_FAST ? on_progress_fast : on_progress, connection);
}

void connection_set_budget(struct connection *connection, int64_t ns)
{
	connection->budget_ns = ns;
	connection->budget_until_ns = ns ? clock_raw_ns() + ns / 2 : 0;
	connection->budget_processor_ns = 0;
}

void connection_watch(struct connection *connection, struct stop *stop)
{
	pthread_mutex_lock(&connection->watch_mutex);
	connection->watched = stop;
	connection->was_interrupted = false;
	pthread_mutex_unlock(&connection->watch_mutex);
	connection->asked = stop;
}

void connection_unwatch(struct connection *connection)
{
	struct poolite__failure failure;

	pthread_mutex_lock(&connection->watch_mutex);
	connection->watched = NULL;
	pthread_mutex_unlock(&connection->watch_mutex);
	/* An interrupt stays in force while any statement is half-stepped, also when
	 * the one it was meant for had just ended: it would hit our own next. */
	if (connection->was_interrupted && connection->pages) {
		connection_say_stopped(
		    connection_stop_reason(connection), SQLITE_INTERRUPT, &failure);
		connection_fail_pages(connection, &failure);
	}
	connection->asked = NULL;
}

void connection_nudge(struct connection *connection)
{
	/* While the mutex is held the watched statement cannot end, so the
	 * interrupt cannot hit the next one. */
	pthread_mutex_lock(&connection->watch_mutex);
	if (connection->watched &&
	    stop_reason(connection->watched, clock_now(connection->clock))) {
		connection->was_interrupted = true;
		sqlite3_interrupt(connection->db);
	}
	pthread_mutex_unlock(&connection->watch_mutex);
}
