/* users.h - what each user (uid) has of the broker now, and may have at most.
 *
 * All sessions of one uid share one struct user; it is made with the first of
 * them and freed with the last.  Loop thread; the budget is for any thread.
 */
#ifndef POOLITE_BROKER_USERS_H
#define POOLITE_BROKER_USERS_H

#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#include "broker/net/session.h"
#include "broker/people.h"
#include "broker/settings.h"
#include "broker/turns.h"
#include "proto/buffer.h"
#include "proto/failure.h"

struct user {
	uid_t uid;
	size_t sessions;
	size_t requests;                 /* waiting or running, of all its sessions */
	struct lane lanes[TURNS_QUEUES]; /* its jobs in the queues */
	struct session_share share;      /* of the loop's time */
	struct poolite__budget budget;   /* of its bytes; the broker's is its parent */
	UT_hash_handle hh;
};

struct users {
	const struct settings *settings; /* borrowed */
	struct poolite__budget *budget;  /* borrowed: everybody's together */
	struct people people;
	struct user *by_uid;  /* owns */
	uint64_t not_allowed; /* turned away for who they were */
};

/** The people of ${settings}; see people_init.  0, or -1 with a sentence in ${error}. */
int users_init(struct users *users, const struct settings *settings,
    struct poolite__budget *budget, char *error, size_t error_size);
/** After the last session is gone. */
void users_release(struct users *users);

/**
 * A newcomer on ${fd}: the user whose session it is now, for users_leave.
 *
 *   sessions  how many everybody has now
 *   roles     set to its PEOPLE_ bits
 *
 * NULL, with NOT_ALLOWED or OVERLOADED in ${failure}.
 */
struct user *users_enter(struct users *users, int fd, uid_t uid, gid_t gid,
    size_t sessions, unsigned *roles, struct poolite__failure *failure);
/** One of its sessions is gone.  NULL: nothing. */
void users_leave(struct users *users, struct user *user);

/** Whether ${user} may have another request under way: 0, or OVERLOADED with ${failure}. */
int users_check_request(
    const struct users *users, const struct user *user, struct poolite__failure *failure);

#endif
