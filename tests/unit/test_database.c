/* What stands between a COMMIT and its answers, and what ends the writing: the files
 * looked at, outcomes nobody knows, the first reason. */
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/db/internal.h"
#include "broker/net/completion.h"
#include "tests/unit/bare.h"

/* ---- what database.c calls, with a hand in between (the linker's --wrap) ------------- */

static bool is_ours;
static int commit_code; /* how COMMITs fail; 0: as they do */
static bool commit_is_unknown;
static unsigned wakes;
static void (*in_checkpoint)(void); /* happens when SQLite begins one */
static struct bare bare;

int __real_sqlite3_wal_checkpoint_v2(
    sqlite3 *db, const char *name, int mode, int *log, int *copied);
int __wrap_sqlite3_wal_checkpoint_v2(
    sqlite3 *db, const char *name, int mode, int *log, int *copied);

int __real_connection_commit(struct connection *on, struct poolite__failure *failure);
int __wrap_connection_commit(struct connection *on, struct poolite__failure *failure);
void __real_completion_wake(struct completion *completion);
void __wrap_completion_wake(struct completion *completion);

int __wrap_connection_commit(struct connection *on, struct poolite__failure *failure)
{
	if (!is_ours || commit_code == 0)
		return __real_connection_commit(on, failure);
	poolite__fail(failure, (enum poolite_code)commit_code, "as the test wants it");
	failure->is_unknown = commit_is_unknown;
	return commit_code;
}

int __wrap_sqlite3_wal_checkpoint_v2(
    sqlite3 *db, const char *name, int mode, int *log, int *copied)
{
	if (in_checkpoint)
		in_checkpoint();
	return __real_sqlite3_wal_checkpoint_v2(db, name, mode, log, copied);
}

void __wrap_completion_wake(struct completion *completion)
{
	if (is_ours)
		wakes++;
	else
		__real_completion_wake(completion);
}

static void set_up(void)
{
	is_ours = true;
	bare_open(&bare);
}

static void tear_down(void)
{
	connection_rollback(bare.connection);
	bare_close(&bare);
}

TestSuite(database, .init = set_up, .fini = tear_down, .timeout = 60);

/* A COMMIT of one row. */
static int commit_a_row(struct poolite__failure *failure)
{
	memset(failure, 0, sizeof *failure);
	cr_assert_eq(connection_begin_write(bare.connection, failure), 0);
	bare_sql(bare.connection, "INSERT INTO t DEFAULT VALUES");
	return database_commit(&bare.database, bare.connection, failure);
}

static bool refuses(enum poolite_code code, const char *part)
{
	struct poolite__failure failure = {0};

	return database_refuses_writes(&bare.database, &failure) &&
	    failure.code == code && strstr(failure.message, part);
}

static bool takes_writes(void)
{
	struct poolite__failure failure = {0};

	return !database_refuses_writes(&bare.database, &failure) && failure.code == 0;
}

/* ---- COMMITs --------------------------------------------------------------------------- */

Test(database, commit_is_counted_before_its_answer)
{
	struct poolite__failure failure;

	cr_expect_eq(commit_a_row(&failure), 0);
	cr_expect_eq(bare.database.commit_seq, 1);
	cr_expect(takes_writes());
	cr_expect_not(bare.database.must_stop);
}

Test(database, commit_that_was_refused_is_not_counted_and_ends_nothing)
{
	struct poolite__failure failure;

	commit_code = POOLITE_CONSTRAINT;
	cr_expect_eq(commit_a_row(&failure), POOLITE_CONSTRAINT);
	cr_expect_eq(bare.database.commit_seq, 0);
	cr_expect(takes_writes());
	cr_expect_not(bare.database.must_stop);
	cr_expect_eq(wakes, 0);
}

Test(database, commit_that_nobody_knows_of_stops_the_broker)
{
	struct poolite__failure failure;

	commit_code = POOLITE_OUTCOME_UNKNOWN;
	commit_is_unknown = true;
	cr_expect_eq(commit_a_row(&failure), POOLITE_OUTCOME_UNKNOWN);
	cr_expect(failure.is_unknown);
	cr_expect_eq(bare.database.commit_seq, 0);
	cr_expect(refuses(POOLITE_STORAGE, "unknown outcome; the broker stops"));
	cr_expect(bare.database.must_stop);
	cr_expect_eq(wakes, 1, "the loop has to hear of it");
}

Test(database, commit_that_fails_in_an_odd_way_is_unknown)
{
	struct poolite__failure failure = {0};

	/* There is no transaction: an error that says nothing about what was written. */
	cr_expect_eq(
	    connection_commit(bare.connection, &failure), POOLITE_OUTCOME_UNKNOWN);
	cr_expect(failure.is_unknown);
	cr_expect_eq(failure.sqlite, SQLITE_ERROR);
}

Test(database, first_reason_to_refuse_writes_stays)
{
	cr_expect(takes_writes());
	database_refuse_writes(&bare.database, POOLITE_CORRUPT, "the first");
	database_refuse_writes(&bare.database, POOLITE_STORAGE, "the second");
	cr_expect(refuses(POOLITE_CORRUPT, "the first"));
}

/* ---- the files ---------------------------------------------------------------------------- */

/* The three, and how the error calls them. */
static const struct {
	const char *suffix, *name;
} files[] = {
    {"", "the database file"}, {"-wal", "its -wal file"}, {"-shm", "its -shm file"}};

static char *path_of(int i, const char *more)
{
	static char paths[2][128];
	char *path = paths[*more != '\0'];

	snprintf(path, sizeof paths[0], "%s%s%s", bare.path, files[i].suffix, more);
	return path;
}

static void expect_files(int code, const char *part)
{
	struct poolite__failure failure = {0};

	cr_expect_eq(connection_check_files(bare.connection, &failure), code, "%s", part);
	cr_expect_not_null(strstr(failure.message, part), "%s", failure.message);
}

Test(database, file_that_is_gone_or_another_is_named)
{
	for (int i = 0; i < 3; i++) {
		expect_files(0, "");
		cr_assert_eq(rename(path_of(i, ""), path_of(i, ".away")), 0);
		expect_files(POOLITE_STORAGE, files[i].name);
		close(open(path_of(i, ""), O_CREAT | O_WRONLY, 0600));
		expect_files(POOLITE_STORAGE, files[i].name);
		cr_assert_eq(rename(path_of(i, ".away"), path_of(i, "")), 0);
	}
	expect_files(0, "");
	/* On another filesystem. */
	bare.connection->files->at[FILE_WAL].dev++;
	expect_files(POOLITE_STORAGE, "its -wal file");
	bare.connection->files->at[FILE_WAL].dev--;
}

Test(database, commit_into_a_file_that_was_moved_is_unknown_and_the_last)
{
	struct poolite__failure failure;

	cr_assert_eq(rename(path_of(1, ""), path_of(1, ".away")), 0);
	cr_expect_eq(commit_a_row(&failure), POOLITE_OUTCOME_UNKNOWN);
	cr_expect(failure.is_unknown);
	cr_expect_eq(failure.code, POOLITE_OUTCOME_UNKNOWN);
	cr_expect_eq(bare.database.commit_seq, 1, "others may see it");
	cr_expect(refuses(POOLITE_STORAGE, "its -wal file"));
	cr_expect_not(bare.database.must_stop);
	cr_assert_eq(rename(path_of(1, ".away"), path_of(1, "")), 0);
}

static void cut_the_database_off(void)
{
	cr_assert_eq(truncate(bare.path, 0), 0);
}

/* Our own checkpoint makes it as long again as it was, with holes. */
Test(database, file_that_is_cut_off_while_a_checkpoint_writes_is_noticed)
{
	struct poolite__failure failure;
	struct stat st;
	off_t bytes;

	bare_sql(bare.connection, "CREATE TABLE long (x)");
	bare_sql(bare.connection,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 10) "
	    "INSERT INTO long SELECT zeroblob(4000) FROM n");
	cr_expect_eq(
	    connection_checkpoint(bare.connection, CHECKPOINT_TRUNCATE, &failure), 0);
	cr_assert_eq(stat(bare.path, &st), 0);
	bytes = st.st_size;
	cr_assert_eq(commit_a_row(&failure), 0);
	in_checkpoint = cut_the_database_off;
	cr_expect_eq(connection_checkpoint(bare.connection, CHECKPOINT_PASSIVE, &failure),
	    POOLITE_CORRUPT);
	cr_expect_not_null(strstr(failure.message, "the database file was cut off"), "%s",
	    failure.message);
	cr_assert_eq(stat(bare.path, &st), 0);
	cr_expect_eq(st.st_size, bytes, "else its length would have told");
	in_checkpoint = NULL;
}

Test(database, remembered_files_go_with_the_writer_s_next_connection)
{
	struct connection_files *taken = connection_take_files(bare.connection);
	struct connection *next = bare_connect(&bare, CONNECTION_WRITER);
	struct poolite__failure failure;

	cr_expect_not_null(taken);
	cr_expect_null(bare.connection->files);
	cr_expect_eq(connection_wal_bytes(bare.connection), 0);
	connection_give_files(next, taken);
	cr_expect_eq(connection_check_files(next, &failure), 0);
	cr_expect_gt(connection_wal_bytes(next), 0);
	database_disconnect(&bare.database, next);
}

Test(database, only_commits_of_others_are_foreign)
{
	struct connection *other = bare_connect(&bare, CONNECTION_WRITER);

	bare_sql(bare.connection, "INSERT INTO t DEFAULT VALUES");
	cr_expect_not(connection_saw_foreign_commit(bare.connection));
	cr_expect_not(
	    connection_saw_foreign_commit(other), "nothing to compare with yet");
	bare_sql(other, "INSERT INTO t DEFAULT VALUES");
	cr_expect(connection_saw_foreign_commit(bare.connection));
	cr_expect_not(connection_saw_foreign_commit(bare.connection));
	cr_expect_not(connection_saw_foreign_commit(other));
	database_disconnect(&bare.database, other);
}
