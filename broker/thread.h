/* thread.h - the broker's threads and signals: these are for the loop's thread alone.
 *
 * A signal that a worker takes would interrupt its calls, and reach the loop only when
 * the worker's turn comes.
 */
#ifndef POOLITE_BROKER_THREAD_H
#define POOLITE_BROKER_THREAD_H

#include <pthread.h>
#include <signal.h>

/** The caller, and the threads that it starts from now on, get no signals but their own
 *  faults'; ${before} is for thread_signals_on, or NULL. */
void thread_signals_off(sigset_t *before);
void thread_signals_on(const sigset_t *before);

/** pthread_create, of a thread that gets no signals. */
int thread_start(pthread_t *thread, void *(*run)(void *), void *context);

#endif
