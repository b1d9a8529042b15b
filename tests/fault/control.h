/* control.h - what a test and a faulty broker share: which fault comes when.
 *
 * A file, mapped by both.  The test arms faults, also while the broker runs, and
 * reads what came of them; the parts under shim/ obey.  $FAULTY_CONTROL names it.
 */
#ifndef POOLITE_TESTS_FAULT_CONTROL_H
#define POOLITE_TESTS_FAULT_CONTROL_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FAULTS_VARIABLE "FAULTY_CONTROL"

/* Operations on files that can fail. */
enum fault_op {
	FAULT_READ,
	FAULT_WRITE,
	FAULT_SYNC,
	FAULT_TRUNCATE,
	FAULT_FILE_SIZE,
	FAULT_SHM_MAP,
	FAULT_OPS
};

struct control {
	/* counted by the broker */
	_Atomic uint64_t ops[FAULT_OPS];
	_Atomic uint64_t changes;  /* writes, syncs, truncates and deletes together */
	_Atomic uint64_t injected; /* operations and allocations that were made to fail */
	_Atomic uint64_t pending;  /* sectors not synced when the power went */
	_Atomic uint64_t dropped;  /* of those, not on the disk in their last state */
	_Atomic bool was_cut;
	_Atomic uint64_t allocations;

	/* the power: it goes at this change, counted from the broker's start; 0: never */
	_Atomic uint64_t cut_at;
	_Atomic uint64_t seed;

	/* one operation: fails when ops[fail_op] reaches fail_at (0: never), or from then on */
	_Atomic int fail_op;
	_Atomic uint64_t fail_at;
	_Atomic bool fail_for_ever;
	_Atomic int fail_code; /* SQLite's */

	/* writes that hold these bytes fail with fail_code; empty: none do */
	char marker[16];

	/* memory: the allocation of that number (0: none), or all from then on, is refused;
	 * and those of at least so many bytes (0: none) */
	_Atomic uint64_t refuse_at;
	_Atomic bool refuse_for_ever;
	_Atomic uint64_t refuse_bytes;

	/* the wall clock is that much ahead, or behind */
	_Atomic int64_t clock_ahead_s;

	/* threads: one operation in so many (0: none) waits, for up to so long, and the other
	 * connections act meanwhile; chance is seed's */
	_Atomic uint64_t pause_one_in;
	_Atomic uint64_t pause_us;
	_Atomic uint64_t pauses;    /* counted: waits in which another thread acted */
	_Atomic uint64_t vfs_calls; /* counted, of all threads */
	_Atomic bool checkpoints_beside; /* what no broker does: on another connection */
	_Atomic uint64_t beside;         /* counted: those checkpoints */
};

#endif
