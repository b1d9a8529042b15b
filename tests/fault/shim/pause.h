/* pause.h - other orders of what several connections do: some operations wait.
 *
 * And what no broker does, for a test that has to notice it: checkpoints on a
 * connection of their own, beside the writer's.
 */
#ifndef POOLITE_TESTS_SHIM_PAUSE_H
#define POOLITE_TESTS_SHIM_PAUSE_H

/** Before an operation on a file: wait, if chance will have it. */
void shim_pause(void);
/** A connection to the database at ${path} was opened: with the first one, if so ordered,
 *  begin to make PASSIVE checkpoints beside it, in a thread that goes with the process. */
void shim_checkpoint_beside(const char *path);
/** Locks of the shared memory, from ${offset} on, were given up: the checkpoint's among them? */
void shim_unlocked(int offset, int count);
/** A checkpoint has looked at the WAL's header, and has not yet acted by it. */
void shim_looked(void);

#endif
