#include "broker/people.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the lists -------------------------------------------------------------- */

/* All digits: a number of its own, whether a name has it or not. */
static bool read_id(const char *text, unsigned *id)
{
	char *end;
	unsigned long value;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	/* The highest stands for "nobody in particular" in the kernel's calls. */
	if (*end || errno || value >= UINT32_MAX)
		return false;
	*id = (unsigned)value;
	return true;
}

static int add(unsigned **ids, size_t *count, unsigned id)
{
	unsigned *more = realloc(*ids, (*count + 1) * sizeof **ids);

	if (!more)
		return -1;
	more[(*count)++] = id;
	*ids = more;
	return 0;
}

static int add_user(struct people_list *list, const char *name)
{
	const struct passwd *entry = getpwnam(name);
	unsigned id;

	if (entry)
		id = entry->pw_uid;
	else if (!read_id(name, &id))
		return -1;
	return add(&list->uids, &list->uids_count, id);
}

int people_find_group(const char *name, gid_t *gid)
{
	const struct group *entry = getgrnam(name);

	if (entry)
		*gid = entry->gr_gid;
	return entry || read_id(name, gid) ? 0 : -1;
}

static int add_group(struct people_list *list, const char *name)
{
	gid_t gid;

	return people_find_group(name, &gid) ? -1
					     : add(&list->gids, &list->gids_count, gid);
}

static int read_list(struct people_list *list, const char *setting, const char *text,
    char *error, size_t error_size)
{
	char *copy = text ? strdup(text) : NULL, *rest = NULL;
	int rc = 0;

	list->is_set = text != NULL;
	if (text && !copy) {
		snprintf(error, error_size, "out of memory");
		return -1;
	}
	for (char *name = copy ? strtok_r(copy, ", ", &rest) : NULL; name && rc == 0;
	     name = strtok_r(NULL, ", ", &rest)) {
		bool is_group = *name == '@';
		rc = is_group ? add_group(list, name + 1) : add_user(list, name);
		if (rc)
			snprintf(error, error_size,
			    "%s: there is no %s '%s'; users by name or number, groups with an "
			    "@ before, between commas",
			    setting, is_group ? "group" : "user", name + is_group);
	}
	free(copy);
	if (rc == 0 && text && list->uids_count + list->gids_count == 0) {
		snprintf(error, error_size,
		    "%s cannot be \"%s\": it names nobody; leave it out, or name users and, "
		    "with an @ before, groups, between commas",
		    setting, text);
		rc = -1;
	}
	return rc;
}

int people_init(struct people *people, const char *allow, const char *read_only,
    const char *admin, char *error, size_t error_size)
{
	*people = (struct people){0};
	if (read_list(&people->allow, "allow", allow, error, error_size) == 0 &&
	    read_list(&people->read_only, "read_only", read_only, error, error_size) ==
		0 &&
	    read_list(&people->admin, "admin", admin, error, error_size) == 0)
		return 0;
	people_release(people);
	return -1;
}

static void release_list(struct people_list *list)
{
	free(list->uids);
	free(list->gids);
	*list = (struct people_list){0};
}

void people_release(struct people *people)
{
	release_list(&people->allow);
	release_list(&people->read_only);
	release_list(&people->admin);
}

/* ---- who is it --------------------------------------------------------------- */

static bool has_id(const unsigned *ids, size_t count, unsigned id)
{
	for (size_t i = 0; i < count; i++)
		if (ids[i] == id)
			return true;
	return false;
}

/* Whether one of the peer's supplementary groups is listed. */
static bool has_peer_group(const struct people_list *list, int fd)
{
	socklen_t size = 0;
	gid_t *groups;
	bool found = false;

	/* With too little room it fails with ERANGE, and says how much it needs. */
	if (list->gids_count == 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 ||
	    errno != ERANGE || !(groups = malloc(size)))
		return false;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &size) == 0)
		for (size_t i = 0; i < size / sizeof *groups && !found; i++)
			found = has_id(list->gids, list->gids_count, groups[i]);
	free(groups);
	return found;
}

static bool is_listed(const struct people_list *list, int fd, uid_t uid, gid_t gid)
{
	return has_id(list->uids, list->uids_count, uid) ||
	    has_id(list->gids, list->gids_count, gid) || has_peer_group(list, fd);
}

unsigned people_roles(const struct people *people, int fd, uid_t uid, gid_t gid)
{
	bool is_own = uid == 0 || uid == geteuid();
	unsigned roles = 0;

	if (people->admin.is_set ? is_listed(&people->admin, fd, uid, gid) : is_own)
		roles |= PEOPLE_ADMIN | PEOPLE_ALLOWED;
	if (!people->allow.is_set || is_listed(&people->allow, fd, uid, gid))
		roles |= PEOPLE_ALLOWED;
	if (is_listed(&people->read_only, fd, uid, gid))
		roles |= PEOPLE_READ_ONLY;
	return roles;
}
