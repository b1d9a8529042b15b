/* Starting: settings good and bad, files and sockets that are in the way, and who else
 * is there already.
 */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

static struct poolited broker;
static char output[8192];

static void set_up(void)
{
	poolited_make(&broker, (const char *const[]){NULL});
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_start, .init = set_up, .fini = tear_down, .timeout = 60);

/* A name in the broker's folder, for free(). */
static char *in_folder(const char *name)
{
	char *path = malloc(256);

	snprintf(path, 256, "%s/%s", broker.folder, name);
	return path;
}

/* poolited with this database and socket does not start; ${part} is in what it says. */
static void expect_no_start(
    int status, const char *database, const char *socket, const char *part)
{
	const char *flags[] = {"--db", database, "--socket", socket, NULL};

	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), status);
	CHECK_HAS(output, part);
}

/* ---- settings ------------------------------------------------------------------ */

/* A wrong flag, and what the sentence has to name. */
static const struct {
	const char *flag, *name;
} wrong[] = {
    {"--max-connections=3", "max_connections"},
    {"--max-connections=many", "max_connections"},
    {"--max-connections=-5", "max_connections"},
    {"--max-connections=", "max_connections"},
    {"--connection-timeout=0", "connection_timeout"},
    {"--connection-timeout=soon", "connection_timeout"},
    {"--health-check-interval=-1", "health_check_interval"},
    {"--socket-mode=rw", "socket_mode"},
    {"--socket-mode=1777", "socket_mode"},
    {"--synchronous=OFF", "synchronous"},
    {"--foreign-keys=perhaps", "foreign_keys"},
    {"--cache=8X", "cache"},
    {"--temp-store=nowhere", "temp_store"},
    {"--wal-limit=5", "wal_limit"},
    {"--checkpoint-pages=0", "checkpoint_pages"},
    {"--max-clients=0", "max_clients"},
    {"--max-inflight=0", "max_inflight"},
    {"--max-frame-bytes=1", "max_frame_bytes"},
    {"--max-result-bytes=999G", "max_result_bytes"},
    {"--max-buffered-bytes=1M", "max_buffered_bytes"},
    {"--log-level=loud", "log_level"},
    {"--query-timeout=1e9", "query_timeout"},
    {"--transaction-timeout=0", "transaction_timeout"},
    {"--transaction-idle-timeout=x", "transaction_idle_timeout"},
    {"--write-timeout=x", "write_timeout"},
    {"--grace=x", "grace"},
    {"--busy-timeout=x", "busy_timeout"},
    {"--no-such-flag", "--no-such-flag"},
    {"stray", "stray"},
};

Test(broker_start, bad_setting_stops_it_with_a_sentence_that_names_it)
{
	for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		const char *flags[] = {"--db", broker.database, "--socket", broker.socket,
		    wrong[i].flag, NULL};
		int status = poolited_fails_to_start(flags, output, sizeof output);
		CHECK(status == 2, "%s: status %d: %s", wrong[i].flag, status, output);
		CHECK_HAS(output, wrong[i].name);
		CHECK(access(broker.database, F_OK) != 0, "%s: a database was made",
		    wrong[i].flag);
	}
}

Test(broker_start, database_and_socket_have_to_be_given)
{
	const char *no_database[] = {"--socket", broker.socket, NULL};
	const char *no_socket[] = {"--db", broker.database, NULL};

	CHECK_EQ(poolited_fails_to_start(no_database, output, sizeof output), 2);
	CHECK_HAS(output, "database");
	CHECK_EQ(poolited_fails_to_start(no_socket, output, sizeof output), 2);
	CHECK_HAS(output, "socket");
}

Test(broker_start, help_and_version_are_told)
{
	CHECK_EQ(poolited_fails_to_start(
		     (const char *[]){"--help", NULL}, output, sizeof output),
	    0);
	CHECK_HAS(output, "--max-connections");
	CHECK_HAS(output, "DB_POOL_CONNECTION_TIMEOUT");
	CHECK_EQ(poolited_fails_to_start(
		     (const char *[]){"--version", NULL}, output, sizeof output),
	    0);
	CHECK_HAS(output, "poolited 0.");
}

Test(broker_start, settings_come_from_flags_before_the_environment)
{
	struct wire *a;

	setenv("DB_POOL_MAX_CONNECTIONS", "5", 1);
	setenv("POOLITE_MAX_CONNECTIONS", "6", 1);
	setenv("DB_POOL_CONNECTION_TIMEOUT", "7", 1);
	setenv("POOLITE_MAX_CLIENTS", "80", 1);
	setenv("POOLITE_LOG_LEVEL", "", 1);
	broker.flags[0] = "--max-clients=90";
	poolited_run(&broker);
	a = wire_open(&broker);
	CHECK_EQ(stat_of(a, "max_connections"), 6);
	CHECK_EQ(stat_of(a, "connection_timeout"), 7);
	CHECK_EQ(stat_of(a, "sessions.max"), 90);
}

Test(broker_start, bad_variable_is_named)
{
	setenv("DB_POOL_MAX_CONNECTIONS", "lots", 1);
	expect_no_start(2, broker.database, broker.socket, "DB_POOL_MAX_CONNECTIONS");
}

Test(broker_start, every_setting_can_be_given)
{
	static const char *const flags[] = {"--create=on", "--socket-mode", "0600",
	    "--synchronous", "EXTRA", "--no-foreign-keys", "--cache", "1M",
	    "--temp-store", "memory", "--busy-timeout", "1", "--checkpoint-pages", "100",
	    "--wal-limit", "64M", "--max-connections", "4", "--connection-timeout", "3.5",
	    "--max-values", "10000", "--log-level", "debug", NULL};
	struct stat st;
	struct wire *a;

	memcpy(broker.flags, flags, sizeof flags);
	poolited_run(&broker);
	a = wire_open(&broker);
	CHECK_EQ(stat_of(a, "max_connections"), 4);
	update(a, "CREATE TABLE t (x REFERENCES nowhere)");
	update(a, "INSERT INTO t VALUES (1)"); /* no foreign keys */
	update(a, "DROP TABLE t");
	CHECK_EQ(stat(broker.socket, &st), 0);
	CHECK_EQ(st.st_mode & 07777, 0600);
	poolited_await_log(&broker, "session 1: update");
}

Test(broker_start, log_tells_who_gets_in_and_how)
{
	char wanted[300];

	poolited_start(&broker, "--hardened", "--allow", "root,1", "--read-only", "@2");
	snprintf(wanted, sizeof wanted,
	    ", stats socket %s, hardened, allow root,1, read_only @2\n",
	    broker.stats_socket);
	poolited_await_log(&broker, wanted);
}

/* ---- the database's file --------------------------------------------------------- */

Test(broker_start, missing_database_is_made_or_missed)
{
	const char *flags[] = {
	    "--db", broker.database, "--socket", broker.socket, "--create=off", NULL};

	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), 1);
	CHECK_HAS(output, "create");
	CHECK(access(broker.database, F_OK) != 0, "it was made");
	poolited_run(&broker);
	CHECK_HAS(broker.log, "created the database");
}

Test(broker_start, hardened_one_checks_the_file_and_narrows_the_limits)
{
	struct wire *wire;

	poolited_start(&broker, "--hardened");
	CHECK_HAS(broker.log, "quick_check found the database sound");
	wire = wire_open(&broker);
	update(wire, "CREATE TABLE t (x)");
	update(wire, "INSERT INTO t VALUES (1)");
	expect_rows(wire, "[[1]]", "SELECT x FROM t");
	refused(wire, POOLITE_SQL_ERROR, "depth", "query",
	    "[`SELECT 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1`]");
	refused(wire, POOLITE_TOO_LARGE, NULL, "query", "[`SELECT zeroblob(1000001)`]");
}

/* SQLite's message names the limit, and neither who set it nor how it is set. */
Test(broker_start, hardened_one_says_that_its_limits_are_hardened_s)
{
	static const char *const texts[] = {
	    "SELECT 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1 + 1",
	    "SELECT zeroblob(1000001)",
	    "SELECT ?11",
	    "SELECT ?,?,?,?,?,?,?,?,?,?,?",
	    "SELECT max(1,2,3,4,5,6,7,8,9)",
	    "SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4",
	    "SELECT x LIKE '012345678901234567890123456789012345678901234567890' FROM t",
	    "CREATE TABLE j (x CHECK (json_valid(x)))",
	};
	struct wire *wire;

	poolited_start(&broker, "--hardened");
	wire = wire_open(&broker);
	update(wire, "CREATE TABLE t (x)");
	update(wire, "INSERT INTO t VALUES ('a')");
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		uint32_t msgid = wire_sql(wire, "query", "%s", texts[i]);
		const char *message = wire_receive(wire, msgid)->failure.message;
		CHECK(strstr(message, " (hardened)"), "%s: %s", texts[i], message);
	}
	poolited_end(&broker);
	poolited_start(&broker);
	wire = wire_open(&broker);
	refused(wire, POOLITE_SQL_ERROR, "between ?1 and ?250000", "query",
	    "[`SELECT ?250001`]");
	CHECK(!strstr(wire_receive(wire, wire_sql(wire, "query", "SELECT ?250001"))
			  ->failure.message,
		  "hardened"),
	    "it is not hardened");
}

Test(broker_start, hardened_one_names_the_way_out_for_a_schema_it_does_not_trust)
{
	const char *flags[] = {
	    "--db", broker.database, "--socket", broker.socket, "--hardened", NULL};
	sqlite3 *db;

	CHECK_EQ(sqlite3_open(broker.database, &db), SQLITE_OK);
	direct_run(db, "CREATE TABLE j (x CHECK (json_valid(x)))");
	direct_close(db);
	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), 1);
	CHECK_HAS(output,
	    "unsafe use of json_valid() (hardened); it need not be damaged: "
	    "without --hardened such a file is served");
	poolited_run(&broker);
}

static char *file_bytes(const char *path, size_t *len)
{
	FILE *file = fopen(path, "r");
	char *bytes;

	CHECK(file && fseek(file, 0, SEEK_END) == 0, "cannot read %s", path);
	*len = (size_t)ftell(file);
	bytes = malloc(*len);
	rewind(file);
	CHECK(bytes && fread(bytes, 1, *len, file) == *len, "cannot read %s", path);
	fclose(file);
	return bytes;
}

Test(broker_start, hardened_one_serves_no_damaged_file)
{
	const char *flags[] = {
	    "--db", broker.database, "--socket", broker.socket, "--hardened", NULL};
	size_t len, len_after;
	char *before, *after;
	sqlite3 *db;
	FILE *file;

	CHECK_EQ(sqlite3_open(broker.database, &db), SQLITE_OK);
	direct_run(db, "CREATE TABLE t (x); INSERT INTO t VALUES (1), (2), (3)");
	direct_close(db);
	file = fopen(broker.database, "r+");
	CHECK(file && fseek(file, 2 * 4096 - 12, SEEK_SET) == 0, "no file");
	fputs("UUUUUUUUUUUU", file); /* over the rows of t */
	fclose(file);
	before = file_bytes(broker.database, &len);
	CHECK_EQ(poolited_fails_to_start(flags, output, sizeof output), 1);
	CHECK_HAS(output, "quick_check");
	after = file_bytes(broker.database, &len_after);
	CHECK(len == len_after && memcmp(before, after, len) == 0,
	    "the file was written to before it was looked at");
	free(before);
	free(after);
	CHECK_EQ(unlink(broker.database), 0); /* for .fini, which would check it */
	poolited_run(&broker);
}

Test(broker_start, path_that_can_be_no_database_is_refused)
{
	expect_no_start(1, "/nonexistent/x.db", broker.socket,
	    "/nonexistent/x.db: No such file or directory (the folder has to be there)");
	expect_no_start(1, broker.folder, broker.socket, "not a regular file");
	CHECK(access(broker.socket, F_OK) != 0, "a socket was left behind");
}

Test(broker_start, database_with_a_rollback_journal_is_converted)
{
	sqlite3 *db;
	char *rows;

	CHECK_EQ(sqlite3_open(broker.database, &db), SQLITE_OK);
	direct_run(db,
	    "PRAGMA journal_mode = DELETE; CREATE TABLE t (x);"
	    "INSERT INTO t VALUES (1)");
	direct_close(db);
	poolited_run(&broker);
	CHECK_HAS(broker.log, "converted");
	expect_rows(wire_open(&broker), "[[1]]", "SELECT x FROM t");
	CHECK_EQ(poolited_stop(&broker), 0);
	db = direct_open(broker.database);
	rows = direct_rows(db, "PRAGMA journal_mode");
	CHECK_TEXT(rows, "[[`wal`]]");
	free(rows);
	direct_close(db);
}

/* ---- the socket's path -------------------------------------------------------------- */

static void expect_no_lock_file_of(const char *path)
{
	char lock[300];

	snprintf(lock, sizeof lock, "%s.lock", path);
	CHECK(access(lock, F_OK) != 0, "%s was left behind", lock);
	snprintf(lock, sizeof lock, "%s-poolite.lock", path);
	CHECK(access(lock, F_OK) != 0, "%s was left behind", lock);
}

/* What stands in the way is refused, and is there afterwards as before. */
static void expect_left_alone(const char *part)
{
	struct stat before, after;

	CHECK_EQ(lstat(broker.socket, &before), 0);
	expect_no_start(1, broker.database, broker.socket, part);
	CHECK_EQ(lstat(broker.socket, &after), 0);
	CHECK_EQ(before.st_ino, after.st_ino);
	CHECK_EQ(before.st_mode, after.st_mode);
	CHECK_EQ(before.st_mtime, after.st_mtime);
	expect_no_lock_file_of(broker.socket);
	expect_no_lock_file_of(broker.database);
}

Test(broker_start, file_in_the_socket_s_place_is_left_alone)
{
	CHECK(close(open(broker.socket, O_WRONLY | O_CREAT, 0600)) == 0, "open");
	expect_left_alone("no socket");
}

Test(broker_start, directory_in_the_socket_s_place_is_left_alone)
{
	CHECK_EQ(mkdir(broker.socket, 0700), 0);
	expect_left_alone("directory");
}

Test(broker_start, symbolic_link_in_the_socket_s_place_is_left_alone)
{
	char *target = in_folder("target");

	CHECK(close(open(target, O_WRONLY | O_CREAT, 0600)) == 0, "open");
	CHECK_EQ(symlink(target, broker.socket), 0);
	expect_left_alone("symbolic link");
	CHECK_EQ(access(target, F_OK), 0);
	free(target);
}

Test(broker_start, socket_path_that_is_too_long_is_refused)
{
	char path[109];

	memset(path, 'x', sizeof path - 1);
	path[0] = '/';
	path[sizeof path - 1] = '\0';
	expect_no_start(2, broker.database, path, "socket");
	path[90] = '\0';
	expect_no_start(1, broker.database, strcat(path, "/s"), "lock file");
}

Test(broker_start, stale_socket_of_a_killed_broker_is_taken_over)
{
	poolited_run(&broker);
	poolited_kill(&broker);
	CHECK_EQ(access(broker.socket, F_OK), 0);
	poolited_run(&broker);
	CHECK_HAS(broker.log, "stale socket");
	wire_sync(wire_open(&broker));
}

Test(broker_start, stale_socket_without_a_lock_is_taken_over)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	strcpy(address.sun_path, broker.socket);
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
	close(fd);
	poolited_run(&broker);
	wire_sync(wire_open(&broker));
}

Test(broker_start, stop_removes_the_socket_unless_it_is_another_s)
{
	poolited_run(&broker);
	CHECK_EQ(poolited_stop(&broker), 0);
	CHECK(access(broker.socket, F_OK) != 0, "the socket is still there");
	poolited_run(&broker);
	CHECK_EQ(unlink(broker.socket), 0);
	CHECK(close(open(broker.socket, O_WRONLY | O_CREAT, 0600)) == 0, "open");
	CHECK_EQ(poolited_stop(&broker), 0);
	CHECK_EQ(access(broker.socket, F_OK), 0);
}

Test(broker_start, file_that_is_no_database_is_left_alone)
{
	char *path = in_folder("first.c");
	FILE *file = fopen(path, "w");

	for (int i = 0; i < 100; i++)
		fputs("int main(void) { return 0; }\n", file);
	fclose(file);
	expect_no_start(1, path, broker.socket, "not a database");
	CHECK_EQ(access(path, F_OK), 0);
	expect_no_lock_file_of(path);
	expect_no_lock_file_of(broker.socket);
	free(path);
}

/* ---- two brokers ---------------------------------------------------------------------- */

Test(broker_start, second_broker_on_one_database_is_refused)
{
	char *socket = in_folder("second"), *link = in_folder("link.db"), pid[20];
	char *odd = in_folder("./test.db");

	poolited_run(&broker);
	snprintf(pid, sizeof pid, "pid %d", (int)broker.pid);
	expect_no_start(1, broker.database, socket, pid);
	expect_no_start(1, odd, socket, pid);
	CHECK_EQ(symlink(broker.database, link), 0);
	expect_no_start(1, link, socket, pid);
	CHECK(access(socket, F_OK) != 0, "a socket was left behind");
	update(wire_open(&broker), "CREATE TABLE t (x)");
	free(socket);
	free(link);
	free(odd);
}

/* Another broker may have opened, between our making the file and our asking for its
 * lock, what we have made. */
Test(broker_start, what_another_broker_has_locked_is_not_removed)
{
	char *path = in_folder("test.db-poolite.lock");
	int fd = open(path, O_RDWR | O_CREAT, 0600);

	CHECK_EQ(flock(fd, LOCK_EX | LOCK_NB), 0);
	expect_no_start(1, broker.database, broker.socket, "another broker");
	CHECK(access(broker.database, F_OK) == 0, "its database was removed");
	CHECK(access(path, F_OK) == 0, "its lock file was removed");
	close(fd);
	free(path);
}

/* Leave a lock only after somebody has looked for it: {inotify, its descriptor}. */
static void die_slowly(unsigned index, void *context)
{
	const int *fds = context;
	char event[sizeof(struct inotify_event) + 256];

	(void)index;
	CHECK(read(fds[0], event, sizeof event) > 0, "no event");
	process_pause(0.2);
	close(fds[1]);
}

/* kill -9, and at once a new one: the kernel has not taken the locks away yet. */
Test(broker_start, lock_of_a_dying_broker_is_waited_for)
{
	char lock[2][300];

	snprintf(lock[0], sizeof lock[0], "%s-poolite.lock", broker.database);
	snprintf(lock[1], sizeof lock[1], "%s.lock", broker.socket);
	for (int i = 0; i < 2; i++) {
		int fds[] = {inotify_init1(IN_CLOEXEC),
		    open(lock[i], O_RDWR | O_CREAT | O_CLOEXEC, 0600)};
		pid_t pid;

		CHECK_EQ(flock(fds[1], LOCK_EX | LOCK_NB), 0);
		CHECK(inotify_add_watch(fds[0], lock[i], IN_OPEN) >= 0, "no watch");
		pid = client_start(die_slowly, 0, fds);
		close(fds[0]);
		close(fds[1]);
		CHECK(poolited_try_run(&broker), "%s: %s", lock[i], broker.log);
		client_wait(pid);
		CHECK_EQ(poolited_stop(&broker), 0);
	}
}

Test(broker_start, second_broker_on_one_socket_is_refused)
{
	char *database = in_folder("second.db");
	struct wire *a;

	poolited_run(&broker);
	a = wire_open(&broker);
	expect_no_start(1, database, broker.socket, "another broker");
	CHECK(access(database, F_OK) != 0, "a database was left behind");
	expect_no_lock_file_of(database);
	wire_sync(a);
	wire_sync(wire_open(&broker));
	free(database);
}

Test(broker_start, failed_start_leaves_the_database_as_it_was)
{
	char *database = in_folder("second.db"), *rows;
	sqlite3 *db;

	close(open(database, O_WRONLY | O_CREAT, 0600));
	db = direct_open(database);
	direct_run(db, "CREATE TABLE t (x)");
	poolited_run(&broker);
	expect_no_start(1, database, broker.socket, "another broker");
	rows = direct_rows(db, "PRAGMA journal_mode");
	CHECK_TEXT(rows, "[[`delete`]]");
	direct_close(db);
	free(rows);
	free(database);
}

Test(broker_start, unsafe_place_is_refused_unless_it_is_allowed)
{
	char *link_path = in_folder("link");

	CHECK_EQ(chmod(broker.folder, 0777), 0);
	expect_no_start(1, broker.database, broker.socket, "everybody may write");
	CHECK(access(broker.database, F_OK) != 0, "a database was left behind");
	CHECK_EQ(chmod(broker.folder, 0700), 0);
	close(open(broker.database, O_WRONLY | O_CREAT, 0600));
	CHECK_EQ(link(broker.database, link_path), 0);
	expect_no_start(1, broker.database, broker.socket, "hard link");
	broker.flags[0] = "--allow-unsafe-place";
	poolited_run(&broker);
	update(wire_open(&broker), "CREATE TABLE t (x)");
	free(link_path);
}

Test(broker_start, lock_file_tells_pid_and_socket)
{
	char *path = in_folder("test.db-poolite.lock"), wanted[200], found[200];
	int fd;
	ssize_t len;

	poolited_run(&broker);
	snprintf(wanted, sizeof wanted, "%d\n%s\n", (int)broker.pid, broker.socket);
	fd = open(path, O_RDONLY);
	CHECK(fd >= 0, "no %s", path);
	len = read(fd, found, sizeof found - 1);
	found[len > 0 ? len : 0] = '\0';
	CHECK_TEXT(found, wanted);
	close(fd);
	free(path);
}
