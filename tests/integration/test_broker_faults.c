/* What happens to the file and the disk under a running broker: each fault becomes the
 * right error, nothing answered OK is lost, and nothing refused is there.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

static struct poolited broker;
static struct wire *a;

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	update(a, "INSERT INTO t (x) VALUES ('before')");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_faults, .fini = tear_down, .timeout = 100);

/* The path of a file beside the database, or the moved database. */
static const char *beside(const char *suffix)
{
	static char path[100];

	snprintf(path, sizeof path, "%s%s", broker.database, suffix);
	return path;
}

static void expect_unhealthy(void)
{
	CHECK_HAS(ask(a, "health"), "`status`: `unhealthy`, `reason`: `");
}

/* The next acknowledgement is not given, and no write after it is taken. */
static void expect_writes_refused_after_one_unknown(void)
{
	expect_error(a, wire_sql(a, "update", "INSERT INTO t (x) VALUES ('under')"),
	    POOLITE_OUTCOME_UNKNOWN, NULL);
	refused(a, POOLITE_STORAGE, NULL, "update", "[`INSERT INTO t (x) VALUES (2)`]");
	refused(a, POOLITE_STORAGE, NULL, "begin", "[]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	expect_unhealthy();
	CHECK(stat_of(a, "errors.OUTCOME_UNKNOWN") == 1, "more than one is unknown");
}

/* ---- the file moves --------------------------------------------------------- */

Test(broker_faults, moved_database_is_noticed_before_the_next_acknowledgement)
{
	start(NULL, NULL);
	CHECK_EQ(rename(broker.database, beside(".moved")), 0);
	expect_writes_refused_after_one_unknown();
	CHECK_EQ(poolited_stop(&broker), 0);
	CHECK_EQ(rename(beside(".moved"), broker.database), 0);
	poolited_run(&broker);
	expect_number(wire_open(&broker), 1, "SELECT count(*) FROM t WHERE x = 'before'");
}

Test(broker_faults, replaced_database_is_noticed_before_the_next_acknowledgement)
{
	sqlite3 *other;

	start(NULL, NULL);
	CHECK_EQ(sqlite3_open(beside(".other"), &other), SQLITE_OK);
	direct_run(other, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	direct_close(other);
	CHECK_EQ(rename(beside(".other"), broker.database), 0);
	expect_writes_refused_after_one_unknown();
	CHECK_EQ(poolited_stop(&broker), 0);
}

Test(broker_faults, deleted_wal_is_noticed_before_the_next_acknowledgement)
{
	start(NULL, NULL);
	CHECK_EQ(unlink(beside("-wal")), 0);
	expect_writes_refused_after_one_unknown();
	CHECK_EQ(poolited_stop(&broker), 0);
}

Test(broker_faults, commit_of_a_transaction_notices_a_moved_database_too)
{
	start(NULL, NULL);
	ask(a, "begin");
	update(a, "INSERT INTO t (x) VALUES ('under')");
	CHECK_EQ(rename(broker.database, beside(".moved")), 0);
	expect_error(a, wire_bare(a, "commit"), POOLITE_OUTCOME_UNKNOWN, NULL);
	refused(a, POOLITE_STORAGE, NULL, "update", "[`DELETE FROM t`]");
	expect_unhealthy();
	CHECK_EQ(poolited_stop(&broker), 0);
}

/* ---- it is cut off ---------------------------------------------------------- */

static void insert_many(unsigned rows)
{
	for (unsigned i = 0; i < rows; i++)
		update(a, "INSERT INTO t (x) VALUES (randomblob(3000))");
}

Test(broker_faults, database_that_was_cut_off_is_noticed_before_the_next_acknowledgement)
{
	const struct reply *reply;

	start("--checkpoint-pages", "10");
	insert_many(100);
	CHECK_EQ(truncate(broker.database, 8192), 0);
	reply =
	    wire_receive(a, wire_sql(a, "update", "INSERT INTO t (x) VALUES ('under')"));
	/* A checkpoint between the two has noticed it already, on a slow machine. */
	CHECK(reply->failure.code == POOLITE_OUTCOME_UNKNOWN ||
		reply->failure.code == POOLITE_CORRUPT,
	    "%s", poolite__code_name(reply->failure.code));
	reply =
	    wire_receive(a, wire_sql(a, "update", "INSERT INTO t (x) VALUES ('under')"));
	CHECK(reply->failure.code == POOLITE_STORAGE ||
		reply->failure.code == POOLITE_CORRUPT,
	    "%s", poolite__code_name(reply->failure.code));
	expect_unhealthy();
	poolited_kill(&broker);
}

Test(broker_faults, wal_that_was_cut_off_is_noticed_before_the_next_acknowledgement)
{
	const struct reply *reply;
	int64_t checkpoints;

	start("--checkpoint-pages", "100000");
	checkpoints = stat_of(a, "wal.checkpoints");
	insert_many(20);
	CHECK_EQ(truncate(beside("-wal"), 0), 0);
	reply =
	    wire_receive(a, wire_sql(a, "update", "INSERT INTO t (x) VALUES ('under')"));
	if (reply->failure.code == POOLITE_STORAGE)
		return; /* on a slow machine a checkpoint read it before: that is an end */
	CHECK_EQ(reply->failure.code, POOLITE_OUTCOME_UNKNOWN);
	if (stat_of(a, "wal.checkpoints") ==
	    checkpoints) /* else nothing was left in it */
		expect_unhealthy();
	refused(a, POOLITE_STORAGE, NULL, "update", "[`INSERT INTO t (x) VALUES (2)`]");
	poolited_kill(&broker);
}

Test(broker_faults, shm_that_was_cut_off_ends_it_and_a_restart_recovers)
{
	start(NULL, NULL);
	insert_many(20);
	CHECK_EQ(truncate(beside("-shm"), 0), 0);
	wire_sql(a, "update", "INSERT INTO t (x) VALUES ('under')");
	CHECK(!wire_next(a), "an answer");
	CHECK_EQ(poolited_wait(&broker), 74);
	CHECK_HAS(broker.log, "was cut off");
	poolited_run(&broker);
	a = wire_open(&broker);
	expect_rows(a, "[[`ok`]]", "PRAGMA integrity_check");
	CHECK(number(a, "SELECT count(*) FROM t") >= 21, "rows are lost");
}

/* What others may do is no damage, though files get shorter. */
Test(broker_faults, foreign_checkpoint_and_vacuum_are_no_cut)
{
	sqlite3 *foreign;

	start("--checkpoint-pages", "100000");
	insert_many(50);
	update(a, "DELETE FROM t WHERE id > 5");
	foreign = direct_open(broker.database);
	direct_run(foreign, "PRAGMA wal_checkpoint(TRUNCATE)");
	insert_many(3);
	direct_run(foreign, "VACUUM; PRAGMA wal_checkpoint(TRUNCATE)");
	insert_many(30);
	direct_run(foreign, "PRAGMA wal_checkpoint(TRUNCATE)");
	insert_many(1);
	CHECK_HAS(ask(a, "health"), "`status`: `healthy`");
	expect_number(a, 5 + 34, "SELECT count(*) FROM t");
	direct_close(foreign);
	CHECK_EQ(poolited_stop(&broker), 0);
}

/* ---- others have the lock ----------------------------------------------------- */

Test(broker_faults, foreign_writer_s_lock_is_busy_after_the_busy_timeout)
{
	sqlite3 *foreign;

	start("--busy-timeout", "0.2");
	foreign = direct_open(broker.database);
	direct_run(foreign, "BEGIN IMMEDIATE; INSERT INTO t (x) VALUES ('foreign')");
	refused(a, POOLITE_BUSY, NULL, "update", "[`INSERT INTO t (x) VALUES (2)`]");
	refused(
	    a, POOLITE_BUSY, NULL, "batch", "[`INSERT INTO t (x) VALUES (?)`, [[2]]]");
	refused(a, POOLITE_BUSY, NULL, "begin", "[]");
	CHECK_TEXT(ask(a, "rollback"), "null");
	expect_number(a, 1, "SELECT count(*) FROM t");
	direct_run(foreign, "COMMIT");
	update(a, "INSERT INTO t (x) VALUES ('after')");
	expect_number(a, 3, "SELECT count(*) FROM t");
	await_stat(a, "foreign_commits", 1);
	direct_close(foreign);
}

Test(broker_faults, write_waits_for_a_foreign_writer_that_ends_in_time)
{
	sqlite3 *foreign;
	uint32_t msgid;

	start(NULL, NULL);
	foreign = direct_open(broker.database);
	direct_run(foreign, "BEGIN IMMEDIATE");
	msgid = wire_sql(a, "update", "INSERT INTO t (x) VALUES ('patient')");
	expect_number(a, 1, "SELECT count(*) FROM t");
	direct_run(foreign, "COMMIT");
	expect_ok(a, msgid);
	direct_close(foreign);
}

/* ---- damage --------------------------------------------------------------------- */

/* Write ${len} bytes of rubbish into the stopped broker's file. */
static void damage(off_t offset, size_t len)
{
	char rubbish[4096];
	int fd = open(broker.database, O_WRONLY);

	memset(rubbish, 0xfe, sizeof rubbish);
	CHECK_EQ(pwrite(fd, rubbish, len, offset), len);
	close(fd);
}

Test(broker_faults, damaged_page_is_corrupt_and_ends_the_writing)
{
	start(NULL, NULL);
	update(a, "CREATE TABLE other (x)");
	CHECK_EQ(poolited_stop(&broker), 0);
	damage((direct_number(broker.database,
		    "SELECT rootpage FROM sqlite_schema WHERE name = 't'") -
		   1) *
		4096,
	    512);
	poolited_run(&broker);
	a = wire_open(&broker);
	refused(a, POOLITE_CORRUPT, NULL, "query", "[`SELECT * FROM t`]");
	refused(a, POOLITE_CORRUPT, NULL, "update", "[`INSERT INTO other VALUES (1)`]");
	expect_unhealthy();
	expect_number(a, 0, "SELECT count(*) FROM other");
	CHECK_EQ(poolited_stop(&broker), 0);
}

Test(broker_faults, write_that_meets_a_damaged_page_is_corrupt)
{
	start(NULL, NULL);
	update(a, "CREATE TABLE other (x)");
	CHECK_EQ(poolited_stop(&broker), 0);
	damage((direct_number(broker.database,
		    "SELECT rootpage FROM sqlite_schema WHERE name = 't'") -
		   1) *
		4096,
	    512);
	poolited_run(&broker);
	a = wire_open(&broker);
	refused(a, POOLITE_CORRUPT, NULL, "update", "[`INSERT INTO t (x) VALUES (1)`]");
	refused(a, POOLITE_CORRUPT, NULL, "update", "[`INSERT INTO other VALUES (1)`]");
	expect_unhealthy();
	CHECK_EQ(poolited_stop(&broker), 0);
}

Test(broker_faults, file_that_is_no_database_refuses_the_start)
{
	char output[1000];
	const char *flags[] = {"--db", broker.database, "--socket", broker.socket, NULL};

	start(NULL, NULL);
	CHECK_EQ(poolited_stop(&broker), 0);
	damage(0, 4096);
	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), 1);
	CHECK_HAS(output, "not a database");
}

/* ---- the disk ------------------------------------------------------------------- */

/* From here on what this process mounts is its own.  A folder that is no mount point, as the
 * root of a chroot, cannot be made so. */
static bool has_own_mounts(void)
{
	return unshare(CLONE_NEWNS) == 0 &&
	    mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
}

/* In the broker's child: 6 MiB of disk, most of it taken by a ballast. */
static void mount_small_disk(struct poolited *starting)
{
	char path[100];
	int fd;

	snprintf(path, sizeof path, "%s/disk", starting->folder);
	if (!has_own_mounts() || mount("poolite", path, "tmpfs", 0, "size=6m,mode=0700"))
		_exit(77);
	snprintf(path, sizeof path, "%s/disk/ballast", starting->folder);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	if (posix_fallocate(fd, 0, 5 << 20))
		_exit(77);
	close(fd);
}

static bool can_mount(void)
{
	pid_t pid = process_fork();

	if (pid == 0)
		_exit(has_own_mounts() ? 0 : 1);
	return process_wait(pid) == 0;
}

/* Insert until that is refused with ${code}; returns how many went well. */
static unsigned insert_until(enum poolite_code code)
{
	for (unsigned done = 0; done < 1000; done++) {
		const struct reply *reply = wire_receive(a,
		    wire_sql(a, "update", "INSERT INTO t (x) VALUES (zeroblob(10000))"));
		if (reply->failure.code == POOLITE_OK)
			continue;
		CHECK(reply->failure.code == code, "%s: %s",
		    poolite__code_name(reply->failure.code), reply->failure.message);
		CHECK_EQ(reply->failure.is_unknown, code == POOLITE_OUTCOME_UNKNOWN);
		return done;
	}
	check_failed(__FILE__, __LINE__, "the disk is never full");
}

Test(broker_faults, full_disk_refuses_writes_until_there_is_space_again)
{
	char path[100];
	unsigned done;

	if (!can_mount())
		cr_skip_test(
		    "needs the right to mount a tmpfs, and a root that is a mount");
	poolited_make(&broker, (const char *const[]){NULL});
	snprintf(path, sizeof path, "%s/disk", broker.folder);
	CHECK_EQ(mkdir(path, 0700), 0);
	snprintf(
	    broker.database, sizeof broker.database, "%s/disk/test.db", broker.folder);
	broker.prepare = mount_small_disk;
	poolited_run(&broker);
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	done = insert_until(POOLITE_STORAGE);
	refused(a, POOLITE_STORAGE, NULL, "batch",
	    "[`INSERT INTO t (x) VALUES (zeroblob(?))`, [[100000], [100000]]]");
	expect_number(a, done, "SELECT count(*) FROM t");
	expect_unhealthy();
	CHECK_HAS(ask(a, "health"), "disk is full");
	snprintf(path, sizeof path, "/proc/%d/%s/%s/disk/ballast", (int)broker.pid,
	    "root", broker.folder);
	CHECK(unlink(path) == 0, "%s: %s", path, strerror(errno));
	expect_number(a, done, "SELECT count(*) FROM t");
	expect_unhealthy(); /* a read does not tell */
	update(a, "INSERT INTO t (x) VALUES (zeroblob(10000))");
	expect_number(a, done + 1, "SELECT count(*) FROM t");
	CHECK_HAS(ask(a, "health"), "`status`: `healthy`");
	expect_rows(a, "[[`ok`]]", "PRAGMA integrity_check");
	CHECK_EQ(poolited_stop(&broker), 0); /* the disk goes with the broker */
}

Test(broker_faults, table_without_a_rowid_left_is_no_full_disk)
{
	start(NULL, NULL);
	update(a, "CREATE TABLE last (id INTEGER PRIMARY KEY AUTOINCREMENT, x)");
	update(a, "INSERT INTO last VALUES (9223372036854775807, 1)");
	refused(
	    a, POOLITE_STORAGE, "rowid", "update", "[`INSERT INTO last (x) VALUES (2)`]");
	CHECK_HAS(ask(a, "health"), "`status`: `healthy`");
}

static void limit_file_size(struct poolited *starting)
{
	struct rlimit limit = {512 << 10, 512 << 10};

	(void)starting;
	signal(SIGXFSZ, SIG_IGN); /* write(2) fails with EFBIG instead */
	setrlimit(RLIMIT_FSIZE, &limit);
}

Test(broker_faults, failing_commit_is_unknown_and_a_restart_recovers)
{
	unsigned done;
	int64_t found;

	poolited_make(&broker, (const char *const[]){NULL});
	broker.prepare = limit_file_size;
	poolited_run(&broker);
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	done = insert_until(POOLITE_OUTCOME_UNKNOWN);
	expect_end(a);
	CHECK_EQ(poolited_wait(&broker), 74);
	broker.prepare = NULL;
	poolited_run(&broker);
	found = number(wire_open(&broker), "SELECT count(*) FROM t");
	CHECK(found == done || found == done + 1, "%u were answered, %lld are there",
	    done, (long long)found);
}
