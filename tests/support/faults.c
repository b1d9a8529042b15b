#include "tests/support/faults.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support/check.h"

/* In the broker's process, before it. */
static void name_control(struct poolited *starting)
{
	char path[64];

	snprintf(path, sizeof path, "%s/control", starting->folder);
	setenv(FAULTS_VARIABLE, path, 1);
}

struct control *faults_make(struct poolited *broker, const char *const *flags)
{
	struct control *control;
	char path[64];
	int fd;

	poolited_make(broker, flags);
	broker->program = program_path("poolited-faulty");
	broker->prepare = name_control;
	snprintf(path, sizeof path, "%s/control", broker->folder);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, sizeof *control) == 0, "cannot make %s", path);
	control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(control != MAP_FAILED, "mmap");
	close(fd);
	return control;
}
