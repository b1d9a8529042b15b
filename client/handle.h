/* handle.h - what stands behind a struct poolite: its sessions.
 *
 * A session is on the list idle or busy, or the last poolite_cancel that looks
 * at it frees it.  The lock is never held while anything waits, so that fork()
 * can take it.
 */
#ifndef POOLITE_CLIENT_HANDLE_H
#define POOLITE_CLIENT_HANDLE_H

#include <stdatomic.h>
#include <sys/un.h>

#include "client/poolite.h"
#include "client/session.h"
#include "proto/hello.h"

struct poolite {
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
	struct poolite_options options; /* complete: no zeros */
	_Atomic uint32_t next_msgid;

	struct poolite *next; /* the registry's */
	struct poolite **link;

	pthread_mutex_t lock;          /* for all below */
	struct poolite__session *idle; /* the warmest first */
	struct poolite__session *busy; /* borrowed, or pinned by a cancel */
	int idle_count;
	unsigned users;  /* borrowed sessions and running cancels: they come back */
	bool is_closed;  /* the last user frees it */
	bool has_limits; /* limits holds what a broker told */
	struct poolite__hello limits;
};

/** Fill the caller's ${error}, which may be NULL; returns the failure's code. */
int poolite__report(struct poolite_error *error, const struct poolite__failure *failure);

/**
 * Get a session for one call: an idle one that is alive, or a new one, for
 * which connecting is tried until ${deadline}.  Give it to poolite__give_back
 * or poolite__discard.  0, NO_BROKER or OVERLOADED.
 */
int poolite__borrow(struct poolite *handle, int64_t deadline,
    struct poolite__session **session, struct poolite__failure *failure);
/** Nothing is under way on it, and the broker holds no transaction for it. */
void poolite__give_back(struct poolite *handle, struct poolite__session *session);
/** Close it. */
void poolite__discard(struct poolite *handle, struct poolite__session *session);

/** With all locks held, in a child after fork: forget the parent's sessions. */
void poolite__forget_sessions(struct poolite *handle);

#endif
