/* wal.c - connection.h's part for the writer alone: its file, WAL and checkpoints. */
#include "broker/db/internal.h"

#include <stdio.h>
#include <stdlib.h>

int connection_wal_pages(const struct connection *connection)
{
	return connection->wal_pages;
}

int64_t connection_wal_bytes(const struct connection *connection)
{
	struct stat st;

	if (!connection->files || stat(connection->files->at[FILE_WAL].path, &st))
		return 0;
	return st.st_size;
}

#define CUT_OFF                                                                          \
	"%s was cut off while the broker had it open; stop the broker, and restore the " \
	"database from a backup"

/* ---- sizes ------------------------------------------------------------------------- */

static int64_t size_of(const struct connection_file *file)
{
	struct stat st;

	return stat(file->path, &st) ? 0 : st.st_size;
}

static int count_pages_written(struct connection *connection)
{
	int pages = 0, highest;

	sqlite3_db_status(
	    connection->db, SQLITE_DBSTATUS_CACHE_WRITE, &pages, &highest, 0);
	return pages;
}

static void remember_sizes(struct connection *connection)
{
	struct connection_files *files = connection->files;

	if (!files)
		return;
	files->database_bytes = size_of(&files->at[FILE_DATABASE]);
	files->wal_bytes = size_of(&files->at[FILE_WAL]);
	files->pages_written = count_pages_written(connection);
	files->is_wal_short = files->is_committing = false;
}

void connection_look_at_wal(struct connection *connection)
{
	struct connection_files *files = connection->files;

	if (!files)
		return;
	files->is_committing = true;
	files->is_wal_short = size_of(&files->at[FILE_WAL]) < files->wal_bytes;
}

/*
 * A WAL that was cut off before our COMMIT, which then added to its old end: what was answered
 * before may be gone.  After a foreign checkpoint that cut it rightly we began anew, so that it
 * holds no more pages than were written since.  While we commit nobody may cut it.
 */
static bool is_wal_cut(struct connection *connection)
{
	const struct connection_files *files = connection->files;

	if (!files->is_committing)
		return false;
	if (!files->is_wal_short)
		return size_of(&files->at[FILE_WAL]) < files->wal_bytes;
	return connection->wal_pages >
	    count_pages_written(connection) - files->pages_written;
}

/* Shorter than it was, and than all its pages: no checkpoint did that. */
static bool is_database_cut(struct connection *connection)
{
	int64_t bytes = size_of(&connection->files->at[FILE_DATABASE]);
	struct poolite__failure failure;
	int64_t needed;

	if (bytes >= connection->files->database_bytes)
		return false;
	needed = connection_own_number(connection, OWN_DATABASE_BYTES, &failure);
	return needed < 0 || bytes < needed;
}

/*
 * The same in the midst of a checkpoint of ours, which makes the file as long again, with holes.
 * Before, there was room on the disk for all its bytes; now not even for those.
 */
static bool was_cut_meanwhile(
    const struct connection *connection, const struct stat *before)
{
	struct stat now;

	if (stat(connection->files->at[FILE_DATABASE].path, &now))
		return false;
	return (int64_t)before->st_blocks * 512 >= before->st_size &&
	    now.st_size >= before->st_size &&
	    (int64_t)now.st_blocks * 512 < before->st_size;
}

/* ---- checkpoints ------------------------------------------------------------------- */

int connection_checkpoint(struct connection *connection, enum connection_checkpoint mode,
    struct poolite__failure *failure)
{
	struct stat before = {0};
	int log_pages = 0, copied = 0;
	int rc;

	/* It would lengthen the file again, and nobody could tell any more. */
	if (connection->files && is_database_cut(connection))
		return poolite__fail(
		    failure, POOLITE_CORRUPT, CUT_OFF, "the database file");
	if (connection->files)
		stat(connection->files->at[FILE_DATABASE].path, &before);
	/* A checkpoint never waits: what is in its way is tried again later. */
	sqlite3_busy_timeout(connection->db, 0);
	rc = sqlite3_wal_checkpoint_v2(connection->db, "main",
	    mode == CHECKPOINT_PASSIVE ? SQLITE_CHECKPOINT_PASSIVE
				       : SQLITE_CHECKPOINT_TRUNCATE,
	    &log_pages, &copied);
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
		connection_failure(connection, rc, failure);
	sqlite3_busy_timeout(connection->db, connection->busy_timeout_ms);
	if (connection->files && was_cut_meanwhile(connection, &before))
		return poolite__fail(
		    failure, POOLITE_CORRUPT, CUT_OFF, "the database file");
	remember_sizes(connection);
	if (rc != SQLITE_OK && (rc & 0xff) != SQLITE_BUSY)
		return failure->code;
	if (rc != SQLITE_OK || copied < log_pages)
		return poolite__fail(failure, POOLITE_BUSY, "readers are in the way");
	connection->wal_pages = 0;
	return 0;
}

void connection_leave_wal(struct connection *connection)
{
	sqlite3_db_config(connection->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
}

static void look_up(struct connection_file *file)
{
	struct stat st;

	if (stat(file->path, &st))
		return; /* then connection_check_files finds nothing like it */
	file->dev = st.st_dev;
	file->ino = st.st_ino;
}

int connection_remember_files(
    struct connection *connection, struct poolite__failure *failure)
{
	static const char *const suffixes[FILE_COUNT] = {"", "-wal", "-shm"};
	const char *path = sqlite3_db_filename(connection->db, "main");

	connection->files = calloc(1, sizeof *connection->files);
	if (!connection->files)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	/* stat() only: an open() and close() of these files would drop SQLite's locks. */
	for (int i = 0; i < FILE_COUNT; i++) {
		struct connection_file *file = &connection->files->at[i];
		if (asprintf(&file->path, "%s%s", path, suffixes[i]) < 0) {
			file->path = NULL;
			return poolite__fail(
			    failure, POOLITE_OVERLOADED, "out of memory");
		}
		look_up(file);
	}
	remember_sizes(connection);
	return 0;
}

struct connection_files *connection_take_files(struct connection *connection)
{
	struct connection_files *files = connection->files;

	connection->files = NULL;
	return files;
}

void connection_give_files(struct connection *connection, struct connection_files *files)
{
	connection->files = files;
}

void connection_free_files(struct connection_files *files)
{
	for (int i = 0; files && i < FILE_COUNT; i++)
		free(files->at[i].path);
	free(files);
}

int connection_check_files(
    struct connection *connection, struct poolite__failure *failure)
{
	static const char *const names[FILE_COUNT] = {
	    "the database file", "its -wal file", "its -shm file"};

	for (int i = 0; i < FILE_COUNT; i++) {
		struct connection_file *file = &connection->files->at[i];
		struct stat st;
		if (stat(file->path, &st) == 0 && st.st_dev == file->dev &&
		    st.st_ino == file->ino)
			continue;
		return poolite__fail(failure, POOLITE_STORAGE,
		    "%s was moved, replaced or removed while the broker had it open; put it back "
		    "beside the other two of database, -wal and -shm, and start the broker again",
		    names[i]);
	}
	if (is_wal_cut(connection) || is_database_cut(connection))
		return poolite__fail(failure, POOLITE_STORAGE, CUT_OFF,
		    is_wal_cut(connection) ? names[FILE_WAL] : names[FILE_DATABASE]);
	remember_sizes(connection);
	return 0;
}

bool connection_saw_foreign_commit(struct connection *connection)
{
	struct poolite__failure failure;
	int64_t version = connection_own_number(connection, OWN_DATA_VERSION, &failure);
	bool is_foreign = connection->data_version && version > 0 &&
	    version != connection->data_version;

	if (version > 0)
		connection->data_version = version;
	if (is_foreign) /* it may have made the database smaller */
		remember_sizes(connection);
	return is_foreign;
}
