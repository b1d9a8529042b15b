#include "broker/net/server.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/internal.h"
#include "broker/people.h"

#define LISTEN_BACKLOG 1024

/* ".lock" behind a socket's path. */
#define LOCK_NAME_SIZE (sizeof(((struct listener *)0)->path) + 8)

/* Newcomers taken in one turn; others' requests come between. */
#define ACCEPTS_PER_TURN 8

struct server {
	uv_poll_t poll;
	struct session_shared *shared; /* borrowed */
	int listen_fd;  /* borrowed from the listener, which outlives the server */
	int reserve_fd; /* one descriptor for the day when there is none */
	bool warned;
};

/* ---- the socket's path -------------------------------------------------- */

static void lock_name(const struct listener *listener, char *name, size_t size)
{
	snprintf(name, size, "%s.lock", listener->path);
}

static int take_lock(struct listener *listener, char *error, size_t error_size)
{
	char name[LOCK_NAME_SIZE];

	lock_name(listener, name, sizeof name);
	switch (lock_file_take(&listener->lock, name, 0600, NULL, NULL)) {
	case LOCK_FILE_TAKEN: return 0;
	case LOCK_FILE_HELD:
		snprintf(error, error_size,
		    "another broker serves on %s (it holds %s); stop that one or choose another "
		    "--socket",
		    listener->path, name);
		return -1;
	case LOCK_FILE_WRONG: break;
	}
	snprintf(error, error_size, "cannot make the socket %s: its lock file %s: %s%s",
	    listener->path, name, strerror(errno),
	    errno == ENOENT ? " (the folder has to be there)" : "");
	return -1;
}

/* What a path may not be; NULL: there is nothing, or a socket of our own user. */
static const char *wrong_kind(const struct stat *st)
{
	if (S_ISLNK(st->st_mode))
		return "a symbolic link";
	if (S_ISDIR(st->st_mode))
		return "a directory";
	if (!S_ISSOCK(st->st_mode))
		return "a file that is no socket";
	return st->st_uid == geteuid() ? NULL : "a socket of another user";
}

/* 0: there is nothing; 1: a socket that may be removed, under the lock; -1: what it is is
 * left alone. */
static int look_at_path(const struct listener *listener, char *error, size_t error_size)
{
	struct stat st;
	const char *what;

	if (lstat(listener->path, &st)) {
		if (errno == ENOENT)
			return 0;
		snprintf(error, error_size, "cannot look at %s: %s", listener->path,
		    strerror(errno));
		return -1;
	}
	what = wrong_kind(&st);
	if (!what)
		return 1;
	snprintf(error, error_size,
	    "%s is %s; it was left alone, choose another --socket or remove it",
	    listener->path, what);
	return -1;
}

/* Only a socket of our own user, and only under the lock: nobody serves on it. */
static int clear_stale(const struct listener *listener, char *error, size_t error_size)
{
	int found = look_at_path(listener, error, error_size);

	if (found <= 0)
		return found;
	FAILPOINT("takeover_before_unlink");
	if (unlink(listener->path)) {
		snprintf(error, error_size, "cannot remove the stale socket %s: %s",
		    listener->path, strerror(errno));
		return -1;
	}
	log_info("removed the stale socket %s", listener->path);
	return 0;
}

static int give_to_group(
    const struct listener *listener, const char *group, char *error, size_t error_size)
{
	gid_t gid;

	if (people_find_group(group, &gid)) {
		snprintf(
		    error, error_size, "there is no group '%s' (socket_group)", group);
		return -1;
	}
	if (lchown(listener->path, (uid_t)-1, gid)) {
		snprintf(error, error_size, "cannot give %s to group '%s': %s",
		    listener->path, group, strerror(errno));
		return -1;
	}
	return 0;
}

static int bind_and_listen(struct listener *listener, unsigned mode, const char *group,
    char *error, size_t error_size)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct stat st;
	mode_t old_mask;
	int rc;

	memcpy(address.sun_path, listener->path, strlen(listener->path));
	listener->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (listener->fd < 0) {
		snprintf(error, error_size, "cannot make a socket: %s", strerror(errno));
		return -1;
	}
	FAILPOINT("takeover_before_bind");
	/* With a group of its own the mode must not hold before the group is set. */
	old_mask = umask((group ? 0177u : ~mode) & 0777u);
	rc = bind(listener->fd, (struct sockaddr *)&address, sizeof address);
	umask(old_mask);
	if (rc) {
		snprintf(error, error_size, "cannot bind %s: %s", listener->path,
		    strerror(errno));
		return -1;
	}
	if (stat(listener->path, &st) == 0) {
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	if (group &&
	    (give_to_group(listener, group, error, error_size) ||
		chmod(listener->path, mode))) {
		if (!*error)
			snprintf(error, error_size, "cannot set the mode of %s: %s",
			    listener->path, strerror(errno));
		return -1;
	}
	FAILPOINT("takeover_before_listen");
	if (listen(listener->fd, LISTEN_BACKLOG)) {
		snprintf(error, error_size, "cannot listen on %s: %s", listener->path,
		    strerror(errno));
		return -1;
	}
	return 0;
}

int listener_lock(
    struct listener *listener, const char *path, char *error, size_t error_size)
{
	*listener = (struct listener){.fd = -1, .lock.fd = -1};
	*error = '\0';
	if (*path == '\0' || strlen(path) >= sizeof listener->path) {
		snprintf(error, error_size,
		    "the socket's path '%s' has %zu bytes; the system takes 1 to %zu",
		    path, strlen(path), sizeof listener->path - 1);
		return -1;
	}
	strcpy(listener->path, path);
	/* The first look is only to leave no lock file beside what is no socket. */
	if (look_at_path(listener, error, error_size) < 0 ||
	    take_lock(listener, error, error_size))
		return -1;
	if (clear_stale(listener, error, error_size) == 0)
		return 0;
	listener_undo(listener);
	return -1;
}

int listener_open(struct listener *listener, unsigned mode, const char *group,
    char *error, size_t error_size)
{
	if (bind_and_listen(listener, mode, group, error, error_size) == 0)
		return 0;
	listener_undo(listener);
	return -1;
}

void listener_unlink(struct listener *listener)
{
	struct stat st;

	if (listener->ino && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path);
	listener->ino = 0;
}

static void close_socket(struct listener *listener)
{
	listener_unlink(listener);
	if (listener->fd >= 0)
		close(listener->fd);
	listener->fd = -1;
}

void listener_close(struct listener *listener)
{
	close_socket(listener);
	lock_file_release(&listener->lock);
}

void listener_undo(struct listener *listener)
{
	char name[LOCK_NAME_SIZE];

	close_socket(listener);
	lock_name(listener, name, sizeof name);
	lock_file_undo(&listener->lock, name);
}

/* ---- accepting ---------------------------------------------------------- */

static void open_reserve(struct server *server)
{
	server->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* No descriptor left: use the one kept in reserve to turn one newcomer away.  False when
 * that one is gone too. */
static bool turn_away(struct server *server)
{
	int fd = -1;

	if (server->reserve_fd >= 0) {
		close(server->reserve_fd);
		fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
		open_reserve(server);
	}
	if (fd < 0)
		return false;
	close(fd);
	server->shared->refused++;
	return true;
}

static void on_connection(uv_poll_t *poll, int status, int events)
{
	struct server *server = poll->data;

	(void)events;
	if (status < 0)
		return;
	for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
		int fd =
		    accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
		int error = errno;
		if (fd >= 0) {
			session_open(server->shared, fd);
			continue;
		}
		if (error == EAGAIN || error == ECONNABORTED || error == EINTR ||
		    ((error == EMFILE || error == ENFILE) && turn_away(server)))
			return;
		/* The socket stays readable: to look again at once would be to spin. */
		if (!server->warned)
			log_warning("cannot accept clients: %s", strerror(error));
		server->warned = true;
		uv_poll_stop(&server->poll);
		return;
	}
}

void server_tick(struct server *server)
{
	if (uv_is_active((uv_handle_t *)&server->poll))
		return;
	if (server->reserve_fd < 0)
		open_reserve(server);
	uv_poll_start(&server->poll, UV_READABLE, on_connection);
}

struct server *server_start(struct session_shared *shared, struct listener *listener)
{
	struct server *server = calloc(1, sizeof *server);

	if (!server)
		return NULL;
	server->shared = shared;
	server->listen_fd = listener->fd;
	open_reserve(server);
	if (uv_poll_init(&shared->loop->uv, &server->poll, listener->fd)) {
		free(server);
		return NULL;
	}
	server->poll.data = server;
	uv_poll_start(&server->poll, UV_READABLE, on_connection);
	return server;
}

static void closed(uv_handle_t *handle)
{
	struct server *server = handle->data;

	if (server->reserve_fd >= 0)
		close(server->reserve_fd);
	free(server);
}

void server_close(struct server *server)
{
	uv_poll_stop(&server->poll);
	uv_close((uv_handle_t *)&server->poll, closed);
}
