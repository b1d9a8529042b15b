#include "client/cli/watch.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client/handle.h"

#define CLEAR_LINE "\r\033[K"

/* So long nobody wonders. */
static const struct timespec quiet = {1, 0};
/* How often to look whether a broker has come; and to cancel once more, since a
 * cancel that came between two messages of a batch hit nothing. */
static const struct timespec again = {0, 100000000};

/* SIGINT, and SIGUSR1 by which watch_end ends the thread. */
static sigset_t watched_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	return set;
}

/* Whether the handle has got through to a broker. */
static bool is_connected(struct poolite *db)
{
	bool is_connected = false;

	pthread_mutex_lock(&db->lock);
	for (struct poolite__session *session = db->busy; session && !is_connected;
	     session = session->next) {
		struct sockaddr_un peer;
		socklen_t len = sizeof peer;

		is_connected =
		    getpeername(session->fd, (struct sockaddr *)&peer, &len) == 0;
	}
	pthread_mutex_unlock(&db->lock);
	return is_connected;
}

/* As if SIGINT had never been caught. */
static void end_program(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	kill(getpid(), SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void interrupt(struct watch *watch)
{
	if (watch->was_interrupted || !is_connected(watch->db))
		end_program();
	watch->was_interrupted = true;
	poolite_cancel(watch->db, NULL);
	if (watch->says_things)
		fputs(CLEAR_LINE "cancelling; Ctrl-C again leaves at once ", stderr);
	watch->is_shown = watch->says_things;
}

/* Say what is waited for, or take that away again.  When to look next; NULL: never. */
static const struct timespec *look_for_broker(struct watch *watch)
{
	bool is_waiting = !is_connected(watch->db);

	if (is_waiting && !watch->is_shown)
		fprintf(
		    stderr, CLEAR_LINE "waiting for a broker on %s ", watch->db->path);
	else if (!is_waiting && watch->is_shown)
		fputs(CLEAR_LINE, stderr);
	watch->is_shown = is_waiting;
	return is_waiting ? &again : NULL;
}

static void *watch_thread(void *context)
{
	struct watch *watch = context;
	const struct timespec *patience = watch->says_things ? &quiet : NULL;
	sigset_t set = watched_signals();
	int number;

	do {
		number = patience ? sigtimedwait(&set, NULL, patience)
				  : sigwaitinfo(&set, NULL);
		if (number == SIGINT) {
			interrupt(watch);
			patience = &again;
		} else if (number < 0 && errno == EAGAIN) {
			if (watch->was_interrupted)
				poolite_cancel(watch->db, NULL);
			else
				patience = look_for_broker(watch);
		}
	} while (number != SIGUSR1);
	if (watch->is_shown)
		fputs(CLEAR_LINE, stderr);
	return NULL;
}

void watch_begin(struct watch *watch, struct poolite *db)
{
	struct sigaction action;
	sigset_t set = watched_signals();

	memset(watch, 0, sizeof *watch);
	watch->db = db;
	watch->says_things = isatty(STDERR_FILENO);
	/* In the background of a shell script SIGINT is meant for others. */
	sigaction(SIGINT, NULL, &action);
	if (action.sa_handler == SIG_IGN)
		sigdelset(&set, SIGINT);
	pthread_sigmask(SIG_BLOCK, &set, &watch->before);
	watch->is_on = pthread_create(&watch->thread, NULL, watch_thread, watch) == 0;
	if (!watch->is_on)
		pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
}

/* The program goes on, and its status is the outcome's. */
static void take_back(void)
{
	static const struct timespec now = {0};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigtimedwait(&set, NULL, &now);
	fputs("poolite: the interrupt came too late: all of it was done\n", stderr);
}

void watch_end(struct watch *watch, bool is_done)
{
	if (!watch->is_on)
		return;
	pthread_kill(watch->thread, SIGUSR1);
	pthread_join(watch->thread, NULL);
	if (watch->was_interrupted && !is_done) {
		kill(getpid(), SIGINT);
		return;
	}
	if (watch->was_interrupted)
		take_back();
	pthread_sigmask(SIG_SETMASK, &watch->before, NULL);
}

void watch_deliver(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}
