#include "tests/fault/shim/control.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static struct control *control;

/* Before main: allocations may be counted from the first one on. */
__attribute__((constructor)) static void map_control(void)
{
	const char *path = getenv(FAULTS_VARIABLE);
	int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
	void *memory;

	if (fd < 0)
		return;
	memory = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (memory != MAP_FAILED)
		control = memory;
}

struct control *shim_control(void)
{
	return control;
}
