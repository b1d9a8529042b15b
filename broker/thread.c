#include "broker/thread.h"

#include <stddef.h>

void thread_signals_off(sigset_t *before)
{
	/* What a thread brings upon itself, as a read behind the end of a mapped file, it gets:
	 * blocked, it would kill the process, and main.c could not say why. */
	static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
	sigset_t others;

	sigfillset(&others);
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		sigdelset(&others, own[i]);
	pthread_sigmask(SIG_SETMASK, &others, before);
}

void thread_signals_on(const sigset_t *before)
{
	pthread_sigmask(SIG_SETMASK, before, NULL);
}

int thread_start(pthread_t *thread, void *(*run)(void *), void *context)
{
	sigset_t before;
	int rc;

	thread_signals_off(&before);
	rc = pthread_create(thread, NULL, run, context);
	thread_signals_on(&before);
	return rc;
}
