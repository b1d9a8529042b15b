#include "broker/priority.h"

#include <sched.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The shortest slice there is.  From Linux 6.12 on a thread that wakes up does not
 * interrupt one whose slice is not over, unless its own is shorter; older kernels have no
 * such slices and ignore it.
 */
#define SLICE_NS UINT64_C(100000)

#define NICE_MAX 19

/* The kernel's struct sched_attr in its first version; glibc 2.36 has none. */
struct attributes {
	uint32_t size;
	uint32_t policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime_ns, deadline_ns, period_ns;
};

/* Other policies than the ordinary one were chosen by whoever started us. */
static void set(int more_nice)
{
	struct attributes attributes = {.size = sizeof attributes,
	    .policy = SCHED_OTHER,
	    .nice = getpriority(PRIO_PROCESS, 0) + more_nice,
	    .runtime_ns = SLICE_NS};

	if (sched_getscheduler(0) != SCHED_OTHER)
		return;
	if (attributes.nice > NICE_MAX)
		attributes.nice = NICE_MAX;
	syscall(SYS_sched_setattr, 0, &attributes, 0);
}

void priority_give_way(void)
{
	set(PRIORITY_READER_NICE);
}

void priority_wake_soon(void)
{
	set(0);
}
