/* people.h - who may connect, who may only read, who is an admin.
 *
 * Who is at the other end of a socket the kernel says (SO_PEERCRED, and
 * SO_PEERGROUPS for the groups).  The settings `allow`, `read_only` and `admin`
 * list users by name or number, and groups with an @ before: alice,1001,@staff.
 * Names are looked up once, at start.
 */
#ifndef POOLITE_BROKER_PEOPLE_H
#define POOLITE_BROKER_PEOPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What somebody may do, as bits. */
enum people_role {
	PEOPLE_ALLOWED = 1 << 0,   /* to connect at all */
	PEOPLE_READ_ONLY = 1 << 1, /* no write, and no write transaction */
	PEOPLE_ADMIN =
	    1 << 2, /* allowed, and has a place when the others have taken theirs */
};

struct people_list {
	uid_t *uids; /* owns */
	gid_t *gids; /* owns */
	size_t uids_count, gids_count;
	bool is_set; /* the setting was given, and names somebody */
};

struct people {
	struct people_list allow;
	struct people_list read_only;
	struct people_list admin;
};

/**
 * Look up the three lists; NULL where a setting was not given: everybody is
 * allowed, nobody only reads, admins are root and the broker's own user.
 * A list that names nobody is refused: from a variable that is not set it would open the
 * broker, or close it, without anybody meaning it.
 * 0, or -1 with a sentence in ${error} that names the entry nobody knows.
 */
int people_init(struct people *people, const char *allow, const char *read_only,
    const char *admin, char *error, size_t error_size);
void people_release(struct people *people);

/** The number of the group ${name}, which may be a number itself.  0, or -1: there is none. */
int people_find_group(const char *name, gid_t *gid);

/**
 * The roles of who is at the other end of ${fd}, a connected Unix socket.
 *
 *   uid, gid  as SO_PEERCRED says
 */
unsigned people_roles(const struct people *people, int fd, uid_t uid, gid_t gid);

#endif
