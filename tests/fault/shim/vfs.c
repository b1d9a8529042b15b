/* A VFS between SQLite and the operating system's: it counts operations, fails some, and
 * cuts the power.  Only the database, its WAL and its shared memory are meddled with. */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/fault/shim/control.h"
#include "tests/fault/shim/disk.h"
#include "tests/fault/shim/pause.h"

struct file {
	sqlite3_file base;
	sqlite3_file *real; /* behind this struct */
	struct disk
	    *disk; /* NULL: no power cut is planned, or a file that does not matter */
	bool is_watched; /* the database or its WAL */
};

static sqlite3_vfs *real_vfs;
/* Between a look at the counters and what follows from it; and around all disks. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static sqlite3_file *real_of(sqlite3_file *base)
{
	return ((struct file *)base)->real;
}

/* ---- faults --------------------------------------------------------------------- */

static bool has_marker(const struct control *control, const void *data, int len)
{
	size_t marker = strlen(control->marker);
	return data && marker && memmem(data, (size_t)len, control->marker, marker);
}

/* The code with which this operation has to fail, or SQLITE_OK. */
static int fault(struct file *file, enum fault_op op, const void *data, int len)
{
	struct control *control = shim_control();
	uint64_t number, at;

	if (!control || !file->is_watched)
		return SQLITE_OK;
	shim_pause();
	number = atomic_fetch_add(&control->ops[op], 1) + 1;
	at = control->fail_at;
	if (!has_marker(control, data, len) &&
	    (op != (enum fault_op)control->fail_op || at == 0 || number < at ||
		(number > at && !control->fail_for_ever)))
		return SQLITE_OK;
	atomic_fetch_add(&control->injected, 1);
	return control->fail_code;
}

/* The next change: the power goes with it?  Mutex held. */
static void cut_if_due(void)
{
	struct control *control = shim_control();
	struct disk_loss loss;

	if (atomic_fetch_add(&control->changes, 1) + 1 != control->cut_at)
		return;
	loss = disk_cut_all(control->seed);
	control->pending = loss.pending;
	control->dropped = loss.dropped;
	control->was_cut = true;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* ---- a file ---------------------------------------------------------------------- */

static int on_close(sqlite3_file *base)
{
	return real_of(base)->pMethods->xClose(real_of(base));
}

static int on_read(sqlite3_file *base, void *data, int len, sqlite3_int64 offset)
{
	int rc = fault((struct file *)base, FAULT_READ, NULL, 0);
	return rc ? rc : real_of(base)->pMethods->xRead(real_of(base), data, len, offset);
}

static int on_write(sqlite3_file *base, const void *data, int len, sqlite3_int64 offset)
{
	struct file *file = (struct file *)base;
	int rc = fault(file, FAULT_WRITE, data, len);

	if (rc)
		return rc;
	if (file->disk) {
		pthread_mutex_lock(&mutex);
		disk_write(file->disk, data, (size_t)len, offset);
		cut_if_due();
		pthread_mutex_unlock(&mutex);
	}
	return file->real->pMethods->xWrite(file->real, data, len, offset);
}

static int on_truncate(sqlite3_file *base, sqlite3_int64 size)
{
	struct file *file = (struct file *)base;
	int rc = fault(file, FAULT_TRUNCATE, NULL, 0);

	if (rc)
		return rc;
	if (file->disk) {
		pthread_mutex_lock(&mutex);
		disk_truncate(file->disk, size);
		cut_if_due();
		pthread_mutex_unlock(&mutex);
	}
	return file->real->pMethods->xTruncate(file->real, size);
}

static int on_sync(sqlite3_file *base, int flags)
{
	struct file *file = (struct file *)base;
	int rc = fault(file, FAULT_SYNC, NULL, 0);

	if (rc)
		return rc;
	if (!file->disk)
		return file->real->pMethods->xSync(file->real, flags);
	pthread_mutex_lock(&mutex);
	cut_if_due();
	disk_sync(file->disk);
	pthread_mutex_unlock(&mutex);
	return SQLITE_OK;
}

static int on_file_size(sqlite3_file *base, sqlite3_int64 *size)
{
	int rc = fault((struct file *)base, FAULT_FILE_SIZE, NULL, 0);
	return rc ? rc : real_of(base)->pMethods->xFileSize(real_of(base), size);
}

static int on_lock(sqlite3_file *base, int lock)
{
	return real_of(base)->pMethods->xLock(real_of(base), lock);
}

static int on_unlock(sqlite3_file *base, int lock)
{
	return real_of(base)->pMethods->xUnlock(real_of(base), lock);
}

static int on_check_reserved(sqlite3_file *base, int *result)
{
	return real_of(base)->pMethods->xCheckReservedLock(real_of(base), result);
}

static int on_control(sqlite3_file *base, int op, void *argument)
{
	return real_of(base)->pMethods->xFileControl(real_of(base), op, argument);
}

static int on_sector_size(sqlite3_file *base)
{
	return real_of(base)->pMethods->xSectorSize(real_of(base));
}

/* Nothing is promised about what a power cut leaves: no safe append, no power-safe overwrite. */
static int on_characteristics(sqlite3_file *base)
{
	struct file *file = (struct file *)base;
	return file->disk ? 0 : file->real->pMethods->xDeviceCharacteristics(file->real);
}

static int on_shm_map(
    sqlite3_file *base, int page, int size, int extend, void volatile **memory)
{
	int rc = fault((struct file *)base, FAULT_SHM_MAP, NULL, 0);

	*memory = NULL;
	return rc
	    ? rc
	    : real_of(base)->pMethods->xShmMap(real_of(base), page, size, extend, memory);
}

static int on_shm_lock(sqlite3_file *base, int offset, int count, int flags)
{
	int rc;

	shim_pause();
	rc = real_of(base)->pMethods->xShmLock(real_of(base), offset, count, flags);
	if (flags & SQLITE_SHM_UNLOCK)
		shim_unlocked(offset, count);
	return rc;
}

static void on_shm_barrier(sqlite3_file *base)
{
	real_of(base)->pMethods->xShmBarrier(real_of(base));
	shim_pause();
}

static int on_shm_unmap(sqlite3_file *base, int remove)
{
	return real_of(base)->pMethods->xShmUnmap(real_of(base), remove);
}

/* The broker has memory-mapped reads off: there never is a mapping.  But a checkpoint comes by
 * here between its look at the WAL's header and what it does by it. */
static int on_fetch(sqlite3_file *base, sqlite3_int64 offset, int len, void **data)
{
	(void)base;
	(void)offset;
	(void)len;
	*data = NULL;
	return SQLITE_OK;
}

static int on_unfetch(sqlite3_file *base, sqlite3_int64 offset, void *data)
{
	(void)base;
	(void)offset;
	(void)data;
	shim_pause();
	shim_looked();
	return SQLITE_OK;
}

static const sqlite3_io_methods methods = {
    .iVersion = 3,
    .xClose = on_close,
    .xRead = on_read,
    .xWrite = on_write,
    .xTruncate = on_truncate,
    .xSync = on_sync,
    .xFileSize = on_file_size,
    .xLock = on_lock,
    .xUnlock = on_unlock,
    .xCheckReservedLock = on_check_reserved,
    .xFileControl = on_control,
    .xSectorSize = on_sector_size,
    .xDeviceCharacteristics = on_characteristics,
    .xShmMap = on_shm_map,
    .xShmLock = on_shm_lock,
    .xShmBarrier = on_shm_barrier,
    .xShmUnmap = on_shm_unmap,
    .xFetch = on_fetch,
    .xUnfetch = on_unfetch,
};

/* ---- the VFS ------------------------------------------------------------------------ */

static int on_open(sqlite3_vfs *vfs, sqlite3_filename name, sqlite3_file *base, int flags,
    int *out_flags)
{
	struct file *file = (struct file *)base;
	const struct control *control = shim_control();
	int rc;

	(void)vfs;
	memset(file, 0, sizeof *file);
	file->real = (sqlite3_file *)(file + 1);
	file->is_watched = (flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)) != 0;
	if (control && control->cut_at && file->is_watched) {
		pthread_mutex_lock(&mutex);
		file->disk = disk_of(name);
		pthread_mutex_unlock(&mutex);
	}
	rc = real_vfs->xOpen(real_vfs, name, file->real, flags, out_flags);
	if (file->real->pMethods)
		file->base.pMethods = &methods;
	return rc;
}

static int on_delete(sqlite3_vfs *vfs, const char *name, int sync_folder)
{
	const struct control *control = shim_control();
	size_t len = strlen(name);

	(void)vfs;
	if (control && control->cut_at && len > 4 &&
	    strcmp(name + len - 4, "-wal") == 0) {
		pthread_mutex_lock(&mutex);
		disk_delete(disk_of(name), sync_folder);
		cut_if_due();
		pthread_mutex_unlock(&mutex);
	}
	return real_vfs->xDelete(real_vfs, name, sync_folder);
}

/* False when SQLite has no memory to begin with; the next open tries again. */
static bool install(void)
{
	static sqlite3_vfs vfs;

	real_vfs = sqlite3_vfs_find(NULL);
	if (!real_vfs)
		return false;
	vfs = *real_vfs;
	vfs.szOsFile = (int)sizeof(struct file) + real_vfs->szOsFile;
	vfs.zName = "faulty";
	vfs.xOpen = on_open;
	vfs.xDelete = on_delete;
	return sqlite3_vfs_register(&vfs, 1) == SQLITE_OK;
}

int __real_sqlite3_open_v2(
    const char *path, sqlite3 **db, int flags, const char *vfs_name);
int __wrap_sqlite3_open_v2(
    const char *path, sqlite3 **db, int flags, const char *vfs_name);

/* Not before the broker has configured SQLite: its first open brings the VFS in. */
int __wrap_sqlite3_open_v2(
    const char *path, sqlite3 **db, int flags, const char *vfs_name)
{
	static bool is_installed;
	int rc;

	pthread_mutex_lock(&mutex);
	if (!is_installed)
		is_installed = install();
	pthread_mutex_unlock(&mutex);
	rc = __real_sqlite3_open_v2(path, db, flags, vfs_name);
	shim_checkpoint_beside(path);
	return rc;
}
