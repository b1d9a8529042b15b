/* disk.h - what of a file would be on the disk if the power went now.
 *
 * A file's durable state is kept apart from what was written since its last
 * sync.  When the power goes, each sector of 512 bytes comes to stand at any of
 * its states since then: so writes are dropped, reordered and torn.  A later
 * state is never overwritten by an earlier one; that no disk does.
 */
#ifndef POOLITE_TESTS_SHIM_DISK_H
#define POOLITE_TESTS_SHIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct disk;

/** The disk of the file at ${path} (copied), the same one at every call; now it holds what the
 *  file holds.  All functions: one thread at a time. */
struct disk *disk_of(const char *path);

void disk_write(struct disk *disk, const void *data, size_t len, int64_t offset);
void disk_truncate(struct disk *disk, int64_t size);
/** All that was written is durable. */
void disk_sync(struct disk *disk);
/** The name goes, durably or not. */
void disk_delete(struct disk *disk, bool is_synced);

/** What the power left. */
struct disk_loss {
	uint64_t pending; /* sectors not synced */
	uint64_t dropped; /* of those, not in their last state */
};

/** The power is gone: write into every file what chance left of it. */
struct disk_loss disk_cut_all(uint64_t seed);

#endif
