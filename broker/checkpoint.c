#include "broker/checkpoint.h"

#include <time.h>

#include "broker/log.h"
#include "broker/net/completion.h"

#define BACK_OFF_FIRST_NS (100 * CLOCK_NS_PER_MS)
#define BACK_OFF_MAX_NS   (10 * CLOCK_NS_PER_SEC)

static int run(struct writer *writer, enum connection_checkpoint mode)
{
	struct writer_counters *counters = &writer->counters;
	struct poolite__failure failure;
	int64_t started_ns = clock_raw_ns(), took_ns;
	int rc = connection_checkpoint(writer->connection, mode, &failure);

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
		log_warning("checkpoint failed: %s", failure.message);
	}
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

	if (now_ns < writer->next_truncate_ns)
		return;
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

void checkpoint_after_commit(struct writer *writer)
{
	int64_t wal_bytes;

	if (connection_wal_pages(writer->connection) <
	    (int)writer->database->settings->checkpoint_pages)
		return;
	run(writer, CHECKPOINT_PASSIVE);
	wal_bytes = atomic_load(&writer->counters.wal_bytes);
	if (wal_bytes > CHECKPOINT_GATE_BYTES)
		truncate_at_gate(writer);
}

bool checkpoint_when_idle(struct writer *writer)
{
	if (connection_wal_pages(writer->connection) == 0)
		return false;
	run(writer, CHECKPOINT_PASSIVE);
	if (atomic_load(&writer->counters.wal_bytes) > CHECKPOINT_GATE_BYTES)
		truncate_at_gate(writer);
	return true;
}

void checkpoint_at_stop(struct writer *writer)
{
	run(writer, CHECKPOINT_TRUNCATE);
}
