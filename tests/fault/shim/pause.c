#include "tests/fault/shim/pause.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <sqlite3.h>

#include "tests/fault/shim/control.h"

/* ---- pauses ------------------------------------------------------------------------ */

/* Each thread has its own chance: its place in the order of their first operations. */
static uint64_t below(uint64_t bound)
{
	static _Atomic uint64_t threads;
	static _Thread_local uint64_t state;
	uint64_t z;

	if (state == 0)
		state = shim_control()->seed +
		    (atomic_fetch_add(&threads, 1) + 1) * UINT64_C(0xd1342543de82ef95);
	z = state += UINT64_C(0x9e3779b97f4a7c15); /* splitmix64 */
	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return (z ^ (z >> 31)) % bound;
}

void shim_pause(void)
{
	struct control *control = shim_control();
	uint64_t before;

	if (!control || control->pause_one_in == 0)
		return;
	before = atomic_fetch_add(&control->vfs_calls, 1) + 1;
	if (below(control->pause_one_in) != 0)
		return;
	usleep((useconds_t)below(control->pause_us + 1));
	if (control->vfs_calls != before)
		atomic_fetch_add(&control->pauses, 1);
}

/* ---- checkpoints beside the writer's --------------------------------------------------- */

/*
 * The one order in which they do harm, each time: the writer has copied all of its WAL; the
 * other checkpoint looks at the WAL's header; the writer begins the WAL anew and commits;
 * only then the other one goes on, by what it saw.
 */
enum turn {
	TURN_WRITER,
	TURN_BESIDE, /* the writer has made a checkpoint, and waits */
};
static _Atomic int turn;
static _Atomic bool is_anyone_beside;
static _Thread_local bool is_beside;

#define CHECKPOINT_LOCK 1
#define POLL_US         20
/* Of the writer, in which the other one looks; and of that one, in which the writer commits. */
#define LOOK_POLLS 200
#define COMMIT_US  4000

int __real_sqlite3_open_v2(
    const char *path, sqlite3 **db, int flags, const char *vfs_name);

static void *make_checkpoints(void *path)
{
	struct control *control = shim_control();
	sqlite3 *db;

	is_beside = true;
	/* Without a first read it would not know that there is a WAL. */
	if (__real_sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
	    sqlite3_exec(db, "SELECT 1 FROM sqlite_schema", NULL, NULL, NULL) !=
		SQLITE_OK)
		abort();
	for (;;) {
		while (turn != TURN_BESIDE)
			usleep(POLL_US);
		if (sqlite3_wal_checkpoint_v2(
			db, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL) == SQLITE_OK)
			atomic_fetch_add(&control->beside, 1);
		turn = TURN_WRITER;
	}
}

void shim_checkpoint_beside(const char *path)
{
	struct control *control = shim_control();
	pthread_t thread;

	if (!control || !atomic_exchange(&control->checkpoints_beside, false))
		return;
	if (pthread_create(&thread, NULL, make_checkpoints, strdup(path)))
		abort();
	pthread_detach(thread);
	is_anyone_beside = true;
}

void shim_unlocked(int offset, int count)
{
	if (!is_anyone_beside || is_beside || offset > CHECKPOINT_LOCK ||
	    offset + count <= CHECKPOINT_LOCK)
		return;
	turn = TURN_BESIDE;
	for (int i = 0; turn == TURN_BESIDE && i < LOOK_POLLS; i++)
		usleep(POLL_US);
}

void shim_looked(void)
{
	if (!is_beside)
		return;
	turn = TURN_WRITER;
	usleep(COMMIT_US);
}
