/* test_place.c - where a database may not lie. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "broker/place.h"

static char folder[64], path[96], error[512];
static unsigned filesystem; /* what statfs says; 0: the truth */

/* The linker sends place.c's call here (--wrap). */
int __real_statfs(const char *name, struct statfs *fs);
int __wrap_statfs(const char *name, struct statfs *fs);
int __wrap_statfs(const char *name, struct statfs *fs)
{
	int rc = __real_statfs(name, fs);

	if (filesystem)
		fs->f_type = (__typeof__(fs->f_type))filesystem;
	return rc;
}

static void set_up(void)
{
	strcpy(folder, "/tmp/poolite-place-XXXXXX");
	cr_assert_not_null(mkdtemp(folder));
	snprintf(path, sizeof path, "%s/db", folder);
	fclose(fopen(path, "w"));
	filesystem = 0;
}

static void tear_down(void)
{
	char command[96];

	snprintf(command, sizeof command, "rm -r %s", folder);
	cr_assert_eq(system(command), 0);
}

TestSuite(place, .init = set_up, .fini = tear_down);

Test(place, ordinary_file_in_a_folder_of_one_s_own_is_fine)
{
	cr_expect_eq(place_check(path, error, sizeof error), 0, "%s", error);
	cr_expect_eq(chmod(folder, 0775), 0);
	cr_expect_eq(place_check(path, error, sizeof error), 0, "%s", error);
}

Test(place, file_with_a_second_name_is_refused)
{
	char other[96];

	snprintf(other, sizeof other, "%s/other", folder);
	cr_assert_eq(link(path, other), 0);
	cr_expect_eq(place_check(path, error, sizeof error), -1);
	cr_expect_not_null(strstr(error, "hard link"), "%s", error);
	cr_expect_not_null(
	    strstr(error,
		"; remove the others, put the database elsewhere, or start with "
		"--allow-unsafe-place"),
	    "%s", error);
}

Test(place, folder_that_everybody_writes_is_refused_sticky_or_not)
{
	cr_assert_eq(chmod(folder, 0777), 0);
	cr_expect_eq(place_check(path, error, sizeof error), -1);
	cr_expect_not_null(strstr(error, folder), "%s", error);
	cr_expect_not_null(
	    strstr(error, "; take that away (chmod o-w), put"), "%s", error);
	cr_assert_eq(chmod(folder, 01777), 0);
	cr_expect_eq(place_check(path, error, sizeof error), -1);
}

Test(place, network_filesystems_are_refused_by_name)
{
	static const struct {
		unsigned magic;
		const char *name;
	} cases[] = {{0x6969, "NFS"}, {0xff534d42, "CIFS"}, {0x65735546, "FUSE"}};

	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		filesystem = cases[i].magic;
		cr_expect_eq(place_check(path, error, sizeof error), -1);
		cr_expect_not_null(strstr(error, cases[i].name), "%s", error);
	}
}

Test(place, file_that_is_gone_is_an_error)
{
	cr_assert_eq(unlink(path), 0);
	cr_expect_eq(place_check(path, error, sizeof error), -1);
	fclose(fopen(path, "w"));
}
