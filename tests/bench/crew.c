#include "tests/bench/crew.h"

#include <assert.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/bench/database.h"

pid_t child_fork(void)
{
	pid_t parent = getpid();
	pid_t child = fork();

	if (child < 0)
		die("fork", strerror(errno));
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
	}
	return child;
}

void child_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void *shared_memory(size_t size)
{
	void *memory =
	    mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		die("mmap", strerror(errno));
	return memory;
}

/* What the processes share.  Time is up for all of them at once: who comes late does less. */
struct shared {
	int64_t deadline_ns; /* set before the gate is closed */
	struct tally tallies[];
};

/* Work until time is up. */
static void work(
    const struct way *way, struct client *client, int64_t deadline, struct tally *tally)
{
	uint32_t number = (uint32_t)getpid();
	int64_t now = now_ns();

	while (now < deadline && tally->failed == 0) {
		int64_t started = now;

		number = number * 1664525u + 1013904223u;
		bool is_good = way->run(client, number / 7 % ROWS + 1);
		now = now_ns();
		if (is_good)
			tally_add(tally, started, now, deadline);
		else
			tally_fail(tally, "%s", client->error.message);
	}
}

/* One process: get ready, wait until ${gate} is closed, work. */
_Noreturn static void play(const struct crew *crew, int gate, int ready,
    const struct shared *shared, struct tally *tally)
{
	struct client client = {.path = crew->path, .sql = crew->sql};
	bool is_open = crew->way->open == NULL || crew->way->open(&client);
	char byte = 0;
	ssize_t told = write(ready, &byte, 1);
	ssize_t opened = read(gate, &byte, 1); /* 0: closed */

	assert(told == 1 && opened == 0);
	if (is_open)
		work(crew->way, &client, shared->deadline_ns, tally);
	else
		tally_fail(tally, "%s", client.error.message);
	if (is_open && crew->way->close != NULL)
		crew->way->close(&client);
	_exit(0);
}

/* Wait for the processes and sum up. */
static void gather(
    const pid_t *processes, int count, const struct tally *tallies, struct tally *sum)
{
	for (int i = 0; i < count; i++) {
		int status;

		waitpid(processes[i], &status, 0);
		sum->done += tallies[i].done;
		sum->in_time += tallies[i].in_time;
		histogram_merge(&sum->latencies, &tallies[i].latencies);
		if (tallies[i].failed != 0)
			tally_fail(sum, "%s", tallies[i].message);
		if (status != 0)
			tally_fail(sum, "a process died");
	}
}

void crew_run(const struct crew *crew, int64_t duration_ns, struct tally *tally)
{
	size_t size =
	    sizeof(struct shared) + (size_t)crew->processes * sizeof(struct tally);
	struct shared *shared = shared_memory(size);
	pid_t processes[CREW_MAX];
	int gate[2], ready[2];
	char byte;

	assert(crew->processes > 0 && crew->processes <= CREW_MAX);
	if (pipe(gate) != 0 || pipe(ready) != 0)
		die("pipe", strerror(errno));
	for (int i = 0; i < crew->processes; i++) {
		processes[i] = child_fork();
		if (processes[i] == 0) {
			close(gate[1]);
			play(crew, gate[0], ready[1], shared, &shared->tallies[i]);
		}
	}
	close(ready[1]); /* a child that dies early is an end of file, not a wait */
	for (int i = 0; i < crew->processes; i++)
		if (read(ready[0], &byte, 1) != 1)
			break;
	close(ready[0]);
	close(gate[0]);
	shared->deadline_ns = now_ns() + duration_ns;
	close(gate[1]);
	memset(tally, 0, sizeof(*tally));
	tally->elapsed_ns = duration_ns;
	gather(processes, crew->processes, shared->tallies, tally);
	munmap(shared, size);
}
