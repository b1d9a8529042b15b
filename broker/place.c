#include "broker/place.h"

#include <errno.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* As statfs(2) tells them; linux/magic.h knows only some. */
static const struct {
	unsigned long magic;
	const char *name;
} remote[] = {
    {0x6969, "NFS"},
    {0x517b, "SMB"},
    {0xff534d42, "CIFS"},
    {0xfe534d42, "SMB2"},
    {0x65735546, "FUSE"},
    {0x01021997, "9P"},
    {0x5346414f, "AFS"},
    {0x00c36400, "Ceph"},
    {0x01161970, "GFS2"},
    {0x7461636f, "OCFS2"},
    {0x0bd00bd0, "Lustre"},
    {0x47504653, "GPFS"},
};

#define WAY_OUT                                                                          \
	"put the database elsewhere, or start with --allow-unsafe-place=on if you know " \
	"better"

static const char *remote_name(const char *path)
{
	struct statfs fs;

	if (statfs(path, &fs))
		return NULL;
	for (size_t i = 0; i < sizeof remote / sizeof *remote; i++)
		if ((unsigned long)(unsigned)fs.f_type == remote[i].magic)
			return remote[i].name;
	return NULL;
}

int place_check(const char *path, char *error, size_t error_size)
{
	const char *filesystem = remote_name(path);
	char *copy = strdup(path);
	const char *folder = copy ? dirname(copy) : "";
	struct stat file, place;
	int rc = -1;

	if (!copy || stat(path, &file) || stat(folder, &place))
		snprintf(
		    error, error_size, "cannot look at %s: %s", path, strerror(errno));
	else if (filesystem)
		snprintf(error, error_size,
		    "%s lies on %s, a filesystem on which SQLite's locks and shared memory "
		    "cannot be relied on; " WAY_OUT,
		    path, filesystem);
	else if (file.st_nlink > 1)
		snprintf(error, error_size,
		    "%s has %lu names (hard links): whoever opened it by another one would "
		    "write into another -wal; remove the others, " WAY_OUT,
		    path, (unsigned long)file.st_nlink);
	else if (place.st_mode & S_IWOTH)
		snprintf(error, error_size,
		    "everybody may write into the folder %s, and a -wal laid there would be "
		    "read as part of the database%s" WAY_OUT,
		    folder,
		    place.st_mode & S_ISVTX ? "; " : "; take that away (chmod o-w), ");
	else
		rc = 0;
	free(copy);
	return rc;
}
