#include "broker/users.h"

#include <stdlib.h>

int users_init(struct users *users, const struct settings *settings,
    struct poolite__budget *budget, char *error, size_t error_size)
{
	*users = (struct users){.settings = settings, .budget = budget};
	return people_init(&users->people, settings->allow, settings->read_only,
	    settings->admin, error, error_size);
}

void users_release(struct users *users)
{
	people_release(&users->people);
}

/* ---- those who come ------------------------------------------------------------ */

static struct user *find(struct users *users, uid_t uid)
{
	struct user *user;

	HASH_FIND(hh, users->by_uid, &uid, sizeof uid, user);
	return user;
}

static struct user *add(struct users *users, uid_t uid)
{
	struct user *user = calloc(1, sizeof *user);

	if (!user)
		return NULL;
	user->uid = uid;
	user->budget.max = users->settings->max_user_buffered_bytes
	    ? users->settings->max_user_buffered_bytes
	    : SIZE_MAX;
	user->budget.parent = users->budget;
	HASH_ADD(hh, users->by_uid, uid, sizeof user->uid, user);
	if (user->hh.tbl)
		return user;
	free(user);
	return NULL;
}

static int refuse(const struct users *users, const struct user *user, size_t sessions,
    unsigned roles, struct poolite__failure *failure)
{
	const struct settings *settings = users->settings;
	uint32_t reserved = settings->reserved_clients;

	if (reserved > settings->max_clients / SETTINGS_RESERVED_SHARE)
		reserved = settings->max_clients / SETTINGS_RESERVED_SHARE;
	if (roles & PEOPLE_ADMIN)
		reserved = 0;
	if (sessions + reserved >= settings->max_clients)
		return poolite__fail(failure, POOLITE_OVERLOADED,
		    "the broker serves %zu clients already (max_clients is %u%s); try again "
		    "later",
		    sessions, settings->max_clients,
		    reserved ? ", some of them kept for admins" : "");
	if (user && settings->max_user_clients &&
	    user->sessions >= settings->max_user_clients)
		return poolite__fail(failure, POOLITE_OVERLOADED,
		    "uid %u has %zu sessions already, as many as one user may "
		    "(max_user_clients)",
		    (unsigned)user->uid, user->sessions);
	return 0;
}

struct user *users_enter(struct users *users, int fd, uid_t uid, gid_t gid,
    size_t sessions, unsigned *roles, struct poolite__failure *failure)
{
	struct user *user = find(users, uid);

	*roles = people_roles(&users->people, fd, uid, gid);
	if (!(*roles & PEOPLE_ALLOWED)) {
		users->not_allowed++;
		poolite__fail(failure, POOLITE_NOT_ALLOWED,
		    "uid %u may not use this broker (its setting `allow`)",
		    (unsigned)uid);
		return NULL;
	}
	if (refuse(users, user, sessions, *roles, failure))
		return NULL;
	if (!user && !(user = add(users, uid))) {
		poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
		return NULL;
	}
	user->sessions++;
	return user;
}

void users_leave(struct users *users, struct user *user)
{
	if (!user || --user->sessions > 0)
		return;
	HASH_DEL(users->by_uid, user);
	free(user);
}

/* ---- what they ask -------------------------------------------------------------- */

int users_check_request(
    const struct users *users, const struct user *user, struct poolite__failure *failure)
{
	uint32_t most = users->settings->max_user_requests;

	if (most && user->requests >= most)
		return poolite__fail(failure, POOLITE_OVERLOADED,
		    "uid %u has %zu requests under way, as many as one user may "
		    "(max_user_requests)",
		    (unsigned)user->uid, user->requests);
	return 0;
}
