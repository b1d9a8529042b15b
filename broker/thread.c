#include "broker/thread.h"

#include <stddef.h>

void thread_signals_off(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, before);
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
