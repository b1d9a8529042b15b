#include "broker/checkpoint.h"

#include <time.h>

#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/completion.h"

#define BACK_OFF_FIRST_NS (100 * CLOCK_NS_PER_MS)
#define BACK_OFF_MAX_NS   (10 * CLOCK_NS_PER_SEC)

/*
 * A full disk only puts the checkpoint off.  After a failed write or sync the
 * kernel may have dropped the pages, and a second sync would say it is fine:
 * never again on this WAL.
 */
static void judge(struct database *database, const struct poolite__failure *failure)
{
	if (failure->code == POOLITE_STORAGE && !connection_is_disk_full(failure))
		database_must_stop(database, "the disk failed in a checkpoint");
	else if (failure->code == POOLITE_CORRUPT)
		database_refuse_writes(database, POOLITE_CORRUPT, failure->message);
}

static int run(struct writer *writer, enum connection_checkpoint mode)
{
	struct writer_counters *counters = &writer->counters;
	struct poolite__failure failure;
	int64_t started_ns = clock_raw_ns(), took_ns;
	int rc;

	/* What is wrong with the file must not be carried further; opening it recovers. */
	if (atomic_load(&writer->database->refuses_writes))
		return POOLITE_STORAGE;
	FAILPOINT("checkpoint_before");
	rc = connection_checkpoint(writer->connection, mode, &failure);
	FAILPOINT("checkpoint_after");
	took_ns = clock_raw_ns() - started_ns;
	if (took_ns > atomic_load(&counters->longest_checkpoint_ns))
		atomic_store(&counters->longest_checkpoint_ns, took_ns);
	if (rc == 0) {
		atomic_fetch_add(&counters->checkpoints, 1);
		atomic_store(
		    &counters->last_checkpoint_ns, clock_now(writer->database->clock));
		if (mode == CHECKPOINT_TRUNCATE)
			atomic_fetch_add(&counters->truncations, 1);
	} else if (rc == POOLITE_BUSY) {
		atomic_fetch_add(&counters->checkpoints_incomplete, 1);
	} else {
		atomic_fetch_add(&counters->checkpoint_errors, 1);
		if (!writer->is_disk_full) /* once, not at every try */
			log_warning("checkpoint failed: %s", failure.message);
		judge(writer->database, &failure);
	}
	writer->is_disk_full =
	    rc != 0 && rc != POOLITE_BUSY && connection_is_disk_full(&failure);
	atomic_store(&counters->wal_bytes, connection_wal_bytes(writer->connection));
	return rc;
}

/* Until the reads that run now are through, or the gate opens by itself. */
static void wait_for_readers(struct gate *gate)
{
	const struct timespec pause = {.tv_nsec = 200000};
	int64_t until_ns = clock_raw_ns() + CHECKPOINT_GATE_NS;

	while (atomic_load(&gate->reading) > 0 && clock_raw_ns() < until_ns)
		nanosleep(&pause, NULL);
}

/* Hold new reads back and cut the file; put the next try off when that fails. */
static void truncate_at_gate(struct writer *writer)
{
	struct database *database = writer->database;
	int64_t now_ns = clock_now(database->clock);

	atomic_store(&database->gate.closed_until_ns,
	    now_ns + CHECKPOINT_GATE_NS + CLOCK_TICK_MS * CLOCK_NS_PER_MS);
	wait_for_readers(&database->gate);
	if (run(writer, CHECKPOINT_TRUNCATE) == 0) {
		writer->truncate_wait_ns = BACK_OFF_FIRST_NS;
	} else {
		writer->next_truncate_ns = now_ns + writer->truncate_wait_ns;
		writer->truncate_wait_ns *= 2;
		if (writer->truncate_wait_ns > BACK_OFF_MAX_NS)
			writer->truncate_wait_ns = BACK_OFF_MAX_NS;
	}
	atomic_store(&database->gate.closed_until_ns, 0);
	completion_wake(database->completion); /* reads wait in the loop's queues */
}

static int64_t gate_bytes(const struct writer *writer)
{
	int64_t half = writer->database->wal_bytes_max / 2;
	return half < CHECKPOINT_GATE_BYTES ? half : CHECKPOINT_GATE_BYTES;
}

static bool is_near_limit(const struct writer *writer)
{
	return atomic_load(&writer->counters.wal_bytes) >
	    writer->database->wal_bytes_max / 4 * 3;
}

/* Near the limit the loop is asked to end what pins the WAL, and no try is put off. */
static void shorten(struct writer *writer)
{
	struct database *database = writer->database;
	int64_t now_ns = clock_now(database->clock);
	int64_t wal_bytes = atomic_load(&writer->counters.wal_bytes);
	char has[LOG_BYTES_SIZE], most[LOG_BYTES_SIZE];

	if (wal_bytes > gate_bytes(writer) &&
	    (is_near_limit(writer) || now_ns >= writer->next_truncate_ns))
		truncate_at_gate(writer);
	if (is_near_limit(writer) && !writer->is_wal_pinned)
		log_warning(
		    "the WAL has %s of at most %s (wal_limit): the oldest reads are ended",
		    log_format_bytes(has, wal_bytes),
		    log_format_bytes(most, database->wal_bytes_max));
	writer->is_wal_pinned = is_near_limit(writer);
	atomic_store(&database->wal_pinned_ns, writer->is_wal_pinned ? now_ns : 0);
}

/* Whether the loop has ended a read for the last try's sake. */
static bool is_asked_again(const struct writer *writer)
{
	return writer->is_wal_pinned &&
	    atomic_load(&writer->database->wal_pinned_ns) == 0;
}

void checkpoint_after_commit(struct writer *writer)
{
	int pages = connection_wal_pages(writer->connection);
	int every = (int)writer->database->settings->checkpoint_pages;

	if (pages < writer->passive_at_pages && !is_asked_again(writer))
		return;
	/* What stayed incomplete is tried again after as many pages more. */
	writer->passive_at_pages =
	    run(writer, CHECKPOINT_PASSIVE) == 0 ? every : pages + every;
	shorten(writer);
}

bool checkpoint_when_idle(struct writer *writer)
{
	if (atomic_load(&writer->database->refuses_writes))
		return false;
	if (connection_wal_pages(writer->connection) == 0 &&
	    atomic_load(&writer->counters.wal_bytes) <= gate_bytes(writer))
		return false;
	if (run(writer, CHECKPOINT_PASSIVE) == 0)
		writer->passive_at_pages =
		    (int)writer->database->settings->checkpoint_pages;
	shorten(writer);
	return true;
}

bool checkpoint_has_room(struct writer *writer)
{
	int64_t limit = writer->database->wal_bytes_max;

	/* Where writes are refused, they are to be refused now. */
	if (atomic_load(&writer->database->refuses_writes))
		return true;
	atomic_store(
	    &writer->counters.wal_bytes, connection_wal_bytes(writer->connection));
	/* Near it a write of some size would be stopped for what others wrote before. */
	if (atomic_load(&writer->counters.wal_bytes) < limit &&
	    (!is_near_limit(writer) || writer->is_wal_pinned))
		return true;
	run(writer, CHECKPOINT_PASSIVE);
	shorten(writer);
	/* On a full disk waiting does not help: SQLite is to say so. */
	return writer->is_disk_full || atomic_load(&writer->counters.wal_bytes) < limit;
}

void checkpoint_at_stop(struct writer *writer)
{
	if (atomic_load(&writer->database->refuses_writes))
		connection_leave_wal(writer->connection);
	FAILPOINT("stop_before_checkpoint");
	run(writer, CHECKPOINT_TRUNCATE);
	FAILPOINT("stop_after_checkpoint");
}
