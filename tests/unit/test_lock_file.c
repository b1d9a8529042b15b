/* The lock files: taken, waited for, removed only by who holds them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "broker/lock_file.h"

static char folder[64], path[96];
static struct lock_file first = {.fd = -1}, second = {.fd = -1};

static void set_up(void)
{
	strcpy(folder, "/tmp/poolite-lock-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/db.lock", folder);
}

static void tear_down(void)
{
	lock_file_release(&first);
	lock_file_release(&second);
	unlink(path);
	cr_assert_eq(rmdir(folder), 0);
}

TestSuite(lock_file, .init = set_up, .fini = tear_down, .timeout = 30);

static enum lock_file_outcome take(struct lock_file *lock, lock_file_patience *patience)
{
	return lock_file_take(lock, path, 0600, patience, NULL);
}

static bool never(void *context, int fd, int64_t waited_ns)
{
	(void)context;
	(void)fd;
	(void)waited_ns;
	return false;
}

/* As long as it takes the first to give up its start. */
static bool after_the_first_has_failed(void *context, int fd, int64_t waited_ns)
{
	(void)context;
	(void)fd;
	(void)waited_ns;
	lock_file_undo(&first, path);
	return true;
}

static bool exists(void)
{
	return access(path, F_OK) == 0;
}

Test(lock_file, one_has_it_at_a_time)
{
	cr_expect_eq(take(&first, never), LOCK_FILE_TAKEN);
	cr_expect_eq(take(&second, never), LOCK_FILE_HELD);
	cr_expect_eq(second.fd, -1);
	lock_file_release(&first);
	cr_expect_eq(take(&second, never), LOCK_FILE_TAKEN);
}

Test(lock_file, failed_start_removes_what_it_made_and_nothing_else)
{
	cr_expect_eq(take(&first, never), LOCK_FILE_TAKEN);
	cr_expect_eq(take(&second, never), LOCK_FILE_HELD);
	lock_file_undo(&second, path); /* not its own */
	cr_expect(exists());
	lock_file_release(&first);
	cr_expect(exists());
	cr_expect_eq(take(&first, never), LOCK_FILE_TAKEN);
	lock_file_undo(&first, path); /* it was there before */
	cr_expect(exists());
	cr_expect_eq(unlink(path), 0);
	cr_expect_eq(take(&first, never), LOCK_FILE_TAKEN);
	lock_file_undo(&first, path);
	cr_expect_not(exists());
}

/* Else whoever comes next would make, and lock, another file of that name. */
Test(lock_file, who_waited_for_one_that_was_removed_locks_the_next)
{
	struct stat held, named;

	cr_expect_eq(take(&first, never), LOCK_FILE_TAKEN);
	cr_expect_eq(take(&second, after_the_first_has_failed), LOCK_FILE_TAKEN);
	cr_assert_eq(fstat(second.fd, &held), 0);
	cr_assert_eq(stat(path, &named), 0);
	cr_expect_eq(held.st_ino, named.st_ino);
	cr_expect_eq(take(&first, never), LOCK_FILE_HELD);
}

Test(lock_file, symbolic_link_is_not_followed)
{
	cr_assert_eq(symlink("elsewhere", path), 0);
	cr_expect_eq(take(&first, never), LOCK_FILE_WRONG);
	cr_expect_eq(errno, ELOOP);
}
