/* The wall clock, which somebody sets while the broker runs; the steady one is left alone. */
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/shim/control.h"

#pragma GCC visibility push(default)

/* Over libc's, for the whole process. */
int clock_gettime(clockid_t clock, struct timespec *now)
{
	const struct control *control = shim_control();
	int rc = (int)syscall(SYS_clock_gettime, clock, now);

	if (rc == 0 && control && clock == CLOCK_REALTIME)
		now->tv_sec += control->clock_ahead_s;
	return rc;
}

#pragma GCC visibility pop
