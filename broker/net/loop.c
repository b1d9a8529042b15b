#include <assert.h>
#include <signal.h>
#include <stdlib.h>

#include "broker/clock.h"
#include "broker/net/internal.h"
#include "broker/thread.h"

static void tick(uv_timer_t *timer)
{
	struct loop *loop = timer->data;
	loop->handler->on_tick(loop->handler->context);
}

static void next_turn(uv_idle_t *handle)
{
	(void)handle;
}

static void prepare(uv_prepare_t *handle)
{
	struct loop *loop = handle->data;

	/* While an idle handle is active libuv polls, and does not block. */
	if (loop->handler->before_block(loop->handler->context))
		uv_idle_start(&loop->restless, next_turn);
	else
		uv_idle_stop(&loop->restless);
}

static void signalled(uv_signal_t *handle, int signal_number)
{
	struct loop *loop = handle->data;
	loop->handler->on_signal(loop->handler->context, signal_number);
}

struct loop *loop_create(const struct loop_handler *handler)
{
	struct loop *loop = calloc(1, sizeof *loop);

	if (!loop)
		return NULL;
	loop->handler = handler;
	if (uv_loop_init(&loop->uv)) {
		free(loop);
		return NULL;
	}
	/* After uv_loop_init these only fail for lack of descriptors, at start. */
	if (uv_timer_init(&loop->uv, &loop->tick) ||
	    uv_prepare_init(&loop->uv, &loop->prepare) ||
	    uv_idle_init(&loop->uv, &loop->restless) ||
	    uv_signal_init(&loop->uv, &loop->on_term) ||
	    uv_signal_init(&loop->uv, &loop->on_int))
		abort();
	loop->tick.data = loop->prepare.data = loop;
	loop->on_term.data = loop->on_int.data = loop;
	if (uv_timer_start(&loop->tick, tick, CLOCK_TICK_MS, CLOCK_TICK_MS) ||
	    uv_prepare_start(&loop->prepare, prepare) ||
	    uv_signal_start(&loop->on_term, signalled, SIGTERM) ||
	    uv_signal_start(&loop->on_int, signalled, SIGINT))
		abort();
	return loop;
}

void loop_run(struct loop *loop)
{
	uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_close(struct loop *loop)
{
	/* libuv gives a signal back its default action, which is to kill: one more SIGTERM
	 * would then take the exit status with it.  The other threads have ended. */
	thread_signals_off(NULL);
	uv_close((uv_handle_t *)&loop->tick, NULL);
	uv_close((uv_handle_t *)&loop->prepare, NULL);
	uv_close((uv_handle_t *)&loop->restless, NULL);
	uv_close((uv_handle_t *)&loop->on_term, NULL);
	uv_close((uv_handle_t *)&loop->on_int, NULL);
}

void loop_free(struct loop *loop)
{
	int rc;

	if (!loop)
		return;
	rc = uv_loop_close(&loop->uv);
	assert(
	    rc == 0); /* every handle was closed, or loop_run would not have returned */
	(void)rc;
	free(loop);
}
