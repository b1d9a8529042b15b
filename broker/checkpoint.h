/* checkpoint.h - keep the WAL short, on the writer's own connection.
 *
 * A PASSIVE checkpoint copies what no reader still needs; readers that overlap
 * keep it from ever completing.  When the WAL has grown past
 * CHECKPOINT_GATE_BYTES all the same, new reads are held at the gate for a
 * moment and the file is cut.  At three quarters of wal_limit the loop is asked
 * to end the oldest reads; at wal_limit the running write is stopped, and the
 * others wait.
 */
#ifndef POOLITE_BROKER_CHECKPOINT_H
#define POOLITE_BROKER_CHECKPOINT_H

#include "broker/writer.h"

#define CHECKPOINT_GATE_BYTES ((int64_t)16 << 20)
/* How long new reads wait at the gate at most. */
#define CHECKPOINT_GATE_NS (20 * CLOCK_NS_PER_MS)
/* The writer has had nothing to do for so long: the time is good. */
#define CHECKPOINT_IDLE_NS (100 * CLOCK_NS_PER_MS)

/** After each group: a checkpoint when the WAL is long enough. */
void checkpoint_after_commit(struct writer *writer);
/** Nothing waits: copy whatever is there.  False when there is nothing left to do. */
bool checkpoint_when_idle(struct writer *writer);
/** Before writes are taken: whether the WAL is below its limit; tries to get it there. */
bool checkpoint_has_room(struct writer *writer);
/** The last one, at the end: no reader is left. */
void checkpoint_at_stop(struct writer *writer);

#endif
