#include "broker/overdue.h"

#include <stdio.h>
#include <utlist.h>

#include "broker/dispatch.h"

/* ---- who has what the others wait for --------------------------------------------- */

static void name_writer(struct broker *broker, struct job *job)
{
	struct holder holder = writer_holder(broker->pool.writer);
	double waited = (double)(clock_now(&broker->clock) - job->waits_since_ns) / 1e9;
	char command[32];

	if (!holder.is_held &&
	    atomic_load(&broker->pool.writer->counters.wal_bytes) >=
		broker->database.wal_bytes_max) {
		poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
		    "waited %.1f s for the writer, which waits for the WAL to shrink: it is at its "
		    "limit (wal_limit), and an old read, perhaps of another process, pins it",
		    waited);
		return;
	}
	if (!holder.is_held) {
		poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
		    "waited %.1f s for the writer, behind other writes", waited);
		return;
	}
	stats_command_of(holder.pid, command, sizeof command);
	poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
	    "waited %.1f s for the writer; pid %d (%s, uid %u, session %llu) has had it for %.1f s, "
	    "with %s",
	    waited, (int)holder.pid, command, (unsigned)holder.uid,
	    (unsigned long long)holder.session,
	    (double)(clock_now(&broker->clock) - holder.since_ns) / 1e9,
	    holder.in_transaction ? "a transaction"
				  : poolite__method_name(holder.method));
}

struct oldest_read overdue_oldest_read(struct broker *broker)
{
	struct oldest_read oldest = {.since_ns = CLOCK_NEVER};
	const struct transaction *transaction;
	const struct cursor *cursor;

	for (unsigned i = 0; i < broker->pool.count; i++) {
		const struct job *running = broker->pool.readers[i]->running;
		if (running && running->session &&
		    running->handed_over_ns < oldest.since_ns)
			oldest = (struct oldest_read){running->session,
			    poolite__method_name(running->request.method),
			    running->handed_over_ns};
	}
	DL_FOREACH (broker->transactions, transaction)
		if (transaction_holds_snapshot(transaction) &&
		    transaction->opened_ns < oldest.since_ns)
			oldest = (struct oldest_read){transaction->session,
			    "a transaction", transaction->opened_ns};
	DL_FOREACH (broker->cursors, cursor)
		if (cursor->state == CURSOR_OPEN && cursor->opened_ns < oldest.since_ns)
			oldest = (struct oldest_read){
			    cursor->session, "a cursor", cursor->opened_ns};
	return oldest;
}

static void name_readers(struct broker *broker, struct job *job)
{
	const struct pool *pool = &broker->pool;
	struct oldest_read oldest = overdue_oldest_read(broker);
	pid_t pid = oldest.session ? session_peer(oldest.session).pid : 0;
	char command[32];

	stats_command_of(pid, command, sizeof command);
	poolite__fail(&job->failure, POOLITE_POOL_TIMEOUT,
	    "waited %.1f s for a reader; there are %u at most, read transactions and cursors have "
	    "%u of the %u they may, and pid %d (%s) has had one for longest",
	    (double)(clock_now(&broker->clock) - job->received_ns) / 1e9,
	    pool->readers_max, pool->leased, pool->leased_max, (int)pid, command);
}

void overdue_name_holder(struct broker *broker, struct job *job)
{
	if (job->failure.code != POOLITE_POOL_TIMEOUT)
		return;
	if (job->waits_for_reader)
		name_readers(broker, job);
	else
		name_writer(broker, job);
}

void overdue_ask(struct broker *broker)
{
	broker->is_overdue = true;
}

/* It walks all that waits: with a hundred thousand requests for milliseconds.  At most a tenth
 * of the loop's time goes into that. */
void overdue_answer_in_time(struct broker *broker)
{
	int64_t began_ns = clock_raw_ns();

	if (began_ns < broker->next_overdue_ns)
		return;
	overdue_answer(broker);
	broker->next_overdue_ns = began_ns + 10 * (clock_raw_ns() - began_ns);
}

void overdue_answer(struct broker *broker)
{
	struct job_list late = {0};
	struct job *job;

	broker->is_overdue = false;
	pool_collect_late(&broker->pool, clock_now(&broker->clock), &late);
	if (late.count == TURNS_LATE_MAX)
		broker->is_overdue = true; /* there may be more: next turn */
	/* Not answered from here: whoever called may stand in the middle of a session. */
	while ((job = job_list_pop(&late)))
		job_finish(job);
	pool_nudge(&broker->pool);
}

/* ---- leases ----------------------------------------------------------------------- */

bool overdue_lease(struct broker *broker, const struct reader *reader, int64_t now_ns,
    int64_t opened_ns, int64_t idle_since_ns, char why[OVERDUE_WHY_BYTES])
{
	const struct settings *settings = &broker->settings;

	if (now_ns - opened_ns >= settings->transaction_timeout_ns)
		snprintf(why, OVERDUE_WHY_BYTES,
		    "it was open for %.1f s (transaction_timeout)",
		    (double)(now_ns - opened_ns) / 1e9);
	else if (now_ns - idle_since_ns >= settings->transaction_idle_timeout_ns &&
	    pool_has_waiters(&broker->pool, reader))
		snprintf(why, OVERDUE_WHY_BYTES,
		    "it was idle for %.1f s while others waited (transaction_idle_timeout)",
		    (double)(now_ns - idle_since_ns) / 1e9);
	else
		return false;
	return true;
}

/* ---- for the sake of the WAL, or of a stop ---------------------------------------- */

static struct transaction *oldest_transaction(struct broker *broker, int64_t *oldest_ns)
{
	struct transaction *transaction, *oldest = NULL;

	DL_FOREACH (broker->transactions, transaction)
		if (transaction_holds_snapshot(transaction) &&
		    transaction->opened_ns < *oldest_ns) {
			oldest = transaction;
			*oldest_ns = transaction->opened_ns;
		}
	return oldest;
}

static struct cursor *oldest_cursor(struct broker *broker, int64_t *oldest_ns)
{
	struct cursor *cursor, *oldest = NULL;

	DL_FOREACH (broker->cursors, cursor)
		if (cursor->state == CURSOR_OPEN && cursor->opened_ns < *oldest_ns) {
			oldest = cursor;
			*oldest_ns = cursor->opened_ns;
		}
	return oldest;
}

static struct job *oldest_read(struct broker *broker, int64_t *oldest_ns)
{
	struct job *oldest = NULL;

	for (unsigned i = 0; i < broker->pool.count; i++) {
		struct job *job = broker->pool.readers[i]->running;
		if (job && job_is_read_outside(job) && job->handed_over_ns < *oldest_ns) {
			oldest = job;
			*oldest_ns = job->handed_over_ns;
		}
	}
	return oldest;
}

static void log_ended_for_wal(const struct session *session)
{
	struct session_peer peer = session_peer(session);
	char command[32];

	stats_command_of(peer.pid, command, sizeof command);
	log_warning(
	    "session %llu (pid %d, %s): its read is ended, for it keeps the WAL from shrinking",
	    (unsigned long long)session_id(session), (int)peer.pid, command);
}

bool overdue_end_oldest_read(struct broker *broker, int64_t before_ns)
{
	int64_t oldest_ns = before_ns;
	struct transaction *transaction = oldest_transaction(broker, &oldest_ns);
	struct cursor *cursor = oldest_cursor(broker, &oldest_ns);
	struct job *job = oldest_read(broker, &oldest_ns);

	if (oldest_ns == before_ns)
		return false;
	log_ended_for_wal(job ? job->session
		: cursor      ? cursor->session
			      : transaction->session);
	if (!job && cursor)
		job = cursor->running; /* its page, if one is being made */
	if (job)
		atomic_store(&job->stop.reason, STOP_READ_FOR_WAL);
	else if (cursor)
		cursor_kill(cursor, POOLITE_TRANSACTION_EXPIRED,
		    "its snapshot kept the WAL from shrinking (wal_limit)");
	else
		transaction_kill(transaction, POOLITE_TRANSACTION_EXPIRED,
		    "its snapshot kept the WAL from shrinking (wal_limit)");
	pool_nudge(&broker->pool);
	return true;
}

void overdue_end_all(struct broker *broker)
{
	struct session *session = NULL;
	struct transaction *transaction;
	struct cursor *cursor;

	/* Those that wait first: what a killed transaction gives back is for nobody. */
	while ((session = session_next(&broker->sessions, session))) {
		struct client *client = session_data(session);
		struct job *job;
		if (!client)
			continue;
		DL_FOREACH2 (client->jobs, job, mate_next) {
			int none = 0;
			atomic_compare_exchange_strong(
			    &job->stop.reason, &none, POOLITE_SHUTTING_DOWN);
		}
	}
	overdue_answer(broker);
	DL_FOREACH (broker->transactions, transaction)
		transaction_kill(
		    transaction, POOLITE_SHUTTING_DOWN, "the broker is stopping");
	DL_FOREACH (broker->cursors, cursor)
		cursor_kill(cursor, POOLITE_SHUTTING_DOWN, "the broker is stopping");
}
