/* The named points of broker/failpoint.h: come by one, and die. */
#include "broker/failpoint.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The linker's: where the section of all points begins and ends. */
extern const char *const __start_failpoints[], *const __stop_failpoints[];

static char wanted[64];
static _Atomic long left; /* times to come by before it is over */

/* POOLITE_FAILPOINT=NAME:COUNT, or "list": name all points, one per line. */
__attribute__((constructor)) static void read_order(void)
{
	const char *order = getenv("POOLITE_FAILPOINT");
	size_t len = order ? strcspn(order, ":") : 0;

	if (!order || len >= sizeof wanted)
		return;
	if (strcmp(order, "list") == 0) {
		for (const char *const *point = __start_failpoints;
		     point < __stop_failpoints; point++)
			puts(*point);
		exit(EXIT_SUCCESS);
	}
	memcpy(wanted, order, len);
	atomic_store(&left, order[len] ? strtol(order + len + 1, NULL, 10) : 1);
}

void failpoint(const char *name)
{
	if (strcmp(name, wanted) != 0 || atomic_fetch_sub(&left, 1) != 1)
		return;
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}
