#include "tests/fault/faulty.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/support/check.h"

#define FAULTY (program_path("poolited-faulty"))

static void control_path(const struct poolited *broker, char path[64])
{
	snprintf(path, 64, "%s/control", broker->folder);
}

/* In the broker's process, before it. */
static void name_control(struct poolited *starting)
{
	char path[64];

	control_path(starting, path);
	setenv(FAULTS_VARIABLE, path, 1);
	/* A sanitizer's end must not look like one of the broker's own. */
	setenv("ASAN_OPTIONS", "exitcode=99:allocator_may_return_null=1", 1);
	setenv("UBSAN_OPTIONS", "exitcode=99:print_stacktrace=1", 1);
}

static struct control *make_control(const struct poolited *broker)
{
	char path[64];
	void *memory;
	int fd;

	control_path(broker, path);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, sizeof(struct control)) == 0, "%s: %s", path,
	    strerror(errno));
	memory =
	    mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	close(fd);
	return memory;
}

void faulty_make(struct faulty *faulty, struct ledger *ledger, const char *const *flags)
{
	poolited_make(&faulty->broker, flags);
	faulty->broker.program = FAULTY;
	faulty->broker.prepare = name_control;
	faulty->control = make_control(&faulty->broker);
	faulty->ledger = ledger;
	faulty_renew(faulty);
}

void workers_run(unsigned count, client_role *role, void *context)
{
	pid_t pids[16];
	int status;

	CHECK(count <= 16, "too many workers");
	for (unsigned i = 0; i < count; i++)
		pids[i] = client_start(role, i, context);
	for (unsigned i = 0; i < count; i++) {
		CHECK(waitpid(pids[i], &status, 0) == pids[i] && status == 0,
		    "a worker ended with wait status %d; its line says why", status);
	}
}

void faulty_renew(struct faulty *faulty)
{
	static const char *const suffixes[] = {"", "-wal", "-shm"};
	char path[80];

	for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
		snprintf(path, sizeof path, "%s%s", faulty->broker.database, suffixes[i]);
		unlink(path);
	}
	memset(faulty->control, 0, sizeof *faulty->control);
	ledger_clear(faulty->ledger);
	ledger_make_database(faulty->broker.database);
}

int faulty_run(struct faulty *faulty)
{
	if (!poolited_try_run(&faulty->broker))
		return poolited_wait(&faulty->broker);
	ledger_start(faulty->ledger, faulty->broker.socket);
	ledger_join(faulty->ledger);
	return poolited_stop(&faulty->broker);
}

int faulty_run_sound(struct faulty *faulty)
{
	int status;

	faulty->broker.program = NULL;
	status = faulty_run(faulty);
	faulty->broker.program = FAULTY;
	return status;
}
