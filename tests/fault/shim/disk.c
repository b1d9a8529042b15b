#include "tests/fault/shim/disk.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512
#define DISKS  16

/* A change since the last sync, in order. */
struct change {
	struct change *next;
	bool is_truncate;
	int64_t offset; /* of the write; or the size to cut to */
	size_t len;
	uint8_t data[];
};

struct disk {
	char *path;       /* owns */
	uint8_t *durable; /* owns; what is on the disk for certain */
	int64_t size;
	struct change *first, **last; /* owns */
	bool is_new;                  /* the name itself was never synced */
	bool is_deleted;              /* but perhaps not durably */
};

static struct disk disks[DISKS];
static uint64_t state; /* of chance */

static uint64_t below(uint64_t bound)
{
	uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % bound;
}

/* ---- one disk ------------------------------------------------------------------ */

static void forget_changes(struct disk *disk)
{
	while (disk->first) {
		struct change *change = disk->first;
		disk->first = change->next;
		free(change);
	}
	disk->last = &disk->first;
}

static void resize(uint8_t **image, int64_t *size, int64_t wanted)
{
	uint8_t *resized = realloc(*image, (size_t)wanted + 1);

	if (!resized)
		abort();
	if (wanted > *size)
		memset(resized + *size, 0, (size_t)(wanted - *size));
	*image = resized;
	*size = wanted;
}

/* Before any SQLite connection has the file open. */
static void load(struct disk *disk)
{
	int fd = open(disk->path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	disk->is_new = fd < 0;
	disk->size = 0;
	if (fd < 0)
		return;
	if (fstat(fd, &st))
		abort();
	resize(&disk->durable, &disk->size, st.st_size);
	if (read(fd, disk->durable, (size_t)st.st_size) != st.st_size)
		abort();
	close(fd);
}

struct disk *disk_of(const char *path)
{
	struct disk *disk = disks;

	while (disk < disks + DISKS && disk->path && strcmp(disk->path, path) != 0)
		disk++;
	if (disk == disks + DISKS)
		abort();
	if (!disk->path) {
		disk->path = strdup(path);
		disk->last = &disk->first;
		load(disk);
	} else if (disk->is_deleted) {
		forget_changes(disk);
		disk->size = 0;
		disk->is_new = true;
		disk->is_deleted = false;
	}
	return disk;
}

static struct change *add(struct disk *disk, size_t len)
{
	struct change *change = calloc(1, sizeof *change + len);

	if (!change)
		abort();
	change->len = len;
	*disk->last = change;
	disk->last = &change->next;
	return change;
}

void disk_write(struct disk *disk, const void *data, size_t len, int64_t offset)
{
	struct change *change = add(disk, len);

	change->offset = offset;
	memcpy(change->data, data, len);
}

void disk_truncate(struct disk *disk, int64_t size)
{
	struct change *change = add(disk, 0);

	change->is_truncate = true;
	change->offset = size;
}

static void apply(
    uint8_t **image, int64_t *size, const struct change *change, int64_t from, int64_t to)
{
	if (to > *size)
		resize(image, size, to);
	memcpy(
	    *image + from, change->data + (from - change->offset), (size_t)(to - from));
}

void disk_sync(struct disk *disk)
{
	for (struct change *change = disk->first; change; change = change->next) {
		if (change->is_truncate)
			resize(&disk->durable, &disk->size, change->offset);
		else
			apply(&disk->durable, &disk->size, change, change->offset,
			    change->offset + (int64_t)change->len);
	}
	forget_changes(disk);
	disk->is_new = false;
}

void disk_delete(struct disk *disk, bool is_synced)
{
	disk->is_deleted = true;
	if (is_synced) {
		forget_changes(disk);
		disk->size = 0;
		disk->is_new = true;
	}
}

/* ---- the power goes ------------------------------------------------------------- */

/* How much comes through: all, nothing, each write or not, each sector in some state. */
enum luck { LUCK_ALL, LUCK_NONE, LUCK_WRITES, LUCK_SECTORS, LUCK_KINDS };

/* Which of a sector's states is on the disk: the changes up to this one. */
static unsigned last_applied(enum luck luck, unsigned changes)
{
	if (luck == LUCK_ALL)
		return changes;
	if (luck == LUCK_NONE)
		return 0;
	return (unsigned)below(changes + 1);
}

/* Give each sector its state; ${upto} has one for each, as the number of changes seen. */
static void replay(struct disk *disk, enum luck luck, const unsigned *upto,
    uint8_t **image, int64_t *size)
{
	unsigned index = 0;

	for (struct change *change = disk->first; change; change = change->next) {
		int64_t end = change->offset + (int64_t)change->len;
		bool is_lucky = luck != LUCK_WRITES || below(2);
		index++;
		if (change->is_truncate) {
			if (luck != LUCK_NONE && (luck == LUCK_ALL || below(2)))
				resize(image, size, change->offset);
			continue;
		}
		for (int64_t at = change->offset; at < end;) {
			int64_t next = (at / SECTOR + 1) * SECTOR;
			if (next > end)
				next = end;
			if (luck == LUCK_WRITES ? is_lucky : index <= upto[at / SECTOR])
				apply(image, size, change, at, next);
			at = next;
		}
	}
}

static int64_t furthest(const struct disk *disk, unsigned *changes)
{
	int64_t end = disk->size;

	*changes = 0;
	for (struct change *change = disk->first; change; change = change->next) {
		int64_t reach = change->offset + (int64_t)change->len;
		end = reach > end ? reach : end;
		++*changes;
	}
	return end;
}

static void count_loss(const struct disk *disk, const uint8_t *image, int64_t size,
    int64_t end, struct disk_loss *loss)
{
	uint8_t *latest = calloc(1, (size_t)end + 1),
		*touched = calloc(1, (size_t)end / SECTOR + 1);
	int64_t reached = 0;

	if (!latest || !touched)
		abort();
	memcpy(latest, disk->durable, (size_t)disk->size);
	for (struct change *change = disk->first; change; change = change->next) {
		if (change->is_truncate)
			continue;
		apply(&latest, &end, change, change->offset,
		    change->offset + (int64_t)change->len);
		for (int64_t at = change->offset;
		     at < change->offset + (int64_t)change->len; at++)
			touched[at / SECTOR] = 1;
		reached = end;
	}
	for (int64_t at = 0; at < reached; at += SECTOR) {
		size_t len = (size_t)(reached - at < SECTOR ? reached - at : SECTOR);
		if (!touched[at / SECTOR])
			continue;
		loss->pending++;
		loss->dropped +=
		    at + (int64_t)len > size || memcmp(latest + at, image + at, len) != 0;
	}
	free(latest);
	free(touched);
}

/* Under the old name, but apart: whoever still reads the old file is not to see this. */
static void store(const struct disk *disk, const uint8_t *image, int64_t size)
{
	char *path;
	int fd;

	if (asprintf(&path, "%s.left", disk->path) < 0)
		abort();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, image, (size_t)size) != size || rename(path, disk->path))
		abort();
	close(fd);
	free(path);
}

static void cut(struct disk *disk, struct disk_loss *loss)
{
	enum luck luck = (enum luck)below(LUCK_KINDS);
	uint8_t *image = NULL;
	int64_t size = 0, end;
	unsigned changes, *upto;

	if (disk->is_deleted && below(2))
		return;
	if (disk->is_new && below(4) == 0) {
		unlink(disk->path);
		return;
	}
	end = furthest(disk, &changes);
	upto = calloc((size_t)end / SECTOR + 1, sizeof *upto);
	if (!upto)
		abort();
	for (int64_t sector = 0; sector <= end / SECTOR; sector++)
		upto[sector] = last_applied(luck, changes);
	resize(&image, &size, disk->size);
	memcpy(image, disk->durable, (size_t)size);
	replay(disk, luck, upto, &image, &size);
	/* The new length may have come through without what was to fill it. */
	if (size < end && below(2))
		resize(&image, &size, end);
	count_loss(disk, image, size, end, loss);
	store(disk, image, size);
	free(upto);
	free(image);
}

struct disk_loss disk_cut_all(uint64_t seed)
{
	struct disk_loss loss = {0};

	state = seed;
	for (struct disk *disk = disks; disk < disks + DISKS && disk->path; disk++)
		cut(disk, &loss);
	return loss;
}
