/* server.h - the listening socket, made safely, and its sessions.
 *
 * The socket is made here and not by libuv: the mode through umask, the path's
 * length checked, a stale socket removed only under SOCKET.lock and only when
 * it is a socket of our own user; the path is unlinked at the end only while
 * it still names the socket that was made.
 */
#ifndef POOLITE_BROKER_NET_SERVER_H
#define POOLITE_BROKER_NET_SERVER_H

#include "broker/lock_file.h"
#include "broker/net/session.h"

struct server;

/* A listening Unix socket with the lock file that protects its path. */
struct listener {
	int fd;                /* -1: none */
	struct lock_file lock; /* PATH.lock, for life */
	dev_t dev;             /* of the path when it was bound, to know it again */
	ino_t ino;
	char path[108]; /* as given */
};

/**
 * Lock ${path} and clear away a stale socket.  What is none is left alone, without a lock
 * file beside it.  Waits a second for a broker that may have been killed just now.
 *
 * Returns 0 with ${listener} set; else -1 with a sentence in ${error} (of
 * ${error_size} bytes) that names the path and the way out; nothing is left behind.
 */
int listener_lock(
    struct listener *listener, const char *path, char *error, size_t error_size);
/**
 * Bind and listen, after listener_lock.
 *
 *   mode   of the socket, at most 0777
 *   group  name or number that gets it, or NULL
 *
 * 0; or -1 as listener_lock, and the lock is gone too.
 */
int listener_open(struct listener *listener, unsigned mode, const char *group,
    char *error, size_t error_size);
/** Remove the path if it is still ours; go on listening for who is connecting already. */
void listener_unlink(struct listener *listener);
/** Remove the path if it is still ours, close, unlock.  fd -1: only the lock. */
void listener_close(struct listener *listener);
/** A start failed: as listener_close; the lock file goes too if listener_lock made it. */
void listener_undo(struct listener *listener);

/** Serve on ${listener}; both it and ${shared} are borrowed and outlive the
 *  server.  NULL: no memory. */
struct server *server_start(struct session_shared *shared, struct listener *listener);
/** Each tick: look again for newcomers that could not be accepted. */
void server_tick(struct server *server);
/** Take no more connections.  The handle's memory is freed by the loop. */
void server_close(struct server *server);

#endif
