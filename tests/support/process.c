#include "tests/support/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

#include "tests/support/check.h"
#include "tests/support/wire.h"

/* Of this process when it made its first folder: those of the runner. */
static unsigned threads_at_first;

static unsigned count_threads(void)
{
	struct stat tasks;

	CHECK(stat("/proc/self/task", &tasks) == 0, "no /proc");
	return (unsigned)tasks.st_nlink - 2; /* "." and ".." */
}

/* ---- folders --------------------------------------------------------------- */

/* Wait until nobody holds the other end of ${fd}, that is for the test's end. */
static _Noreturn void keep(int fd, const char *folder)
{
	char byte;

	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	while (read(fd, &byte, 1) < 0 && errno == EINTR)
		;
	execlp("rm", "rm", "-rf", folder, (char *)NULL);
	_exit(127);
}

void folder_make(char folder[FOLDER_SIZE])
{
	int ends[2];
	pid_t pid;

	if (!threads_at_first)
		threads_at_first = count_threads();
	snprintf(folder, FOLDER_SIZE, "/tmp/poolite-XXXXXX");
	CHECK(mkdtemp(folder), "mkdtemp: %s", strerror(errno));
	CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	pid = fork();
	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		setsid();
		dup2(ends[0], 3);
		close_range(4, ~0U, 0);
		keep(3, folder);
	}
	close(ends[0]); /* the other one stays open until this process ends */
}

/* ---- processes ------------------------------------------------------------- */

pid_t process_fork(void)
{
	pid_t parent = getpid();
	pid_t pid = fork();

	CHECK(pid >= 0, "fork: %s", strerror(errno));
	if (pid == 0) {
		check_in_child();
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Ignored where the tests were started in a script's background. */
		signal(SIGINT, SIG_DFL);
		if (getppid() != parent)
			_exit(1);
	}
	return pid;
}

int process_wait(pid_t pid)
{
	struct pollfd pollfd = {
	    .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	int status;

	CHECK(pollfd.fd >= 0, "pidfd_open: %s", strerror(errno));
	CHECK(poll(&pollfd, 1, PATIENCE_SECONDS * 1000) == 1, "process %d does not end",
	    (int)pid);
	close(pollfd.fd);
	CHECK(waitpid(pid, &status, 0) == pid, "waitpid: %s", strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void process_pause(double seconds)
{
	poll(NULL, 0, (int)(seconds * 1000));
}

static _Noreturn void become(const char *const *argv, int input, int output)
{
	dup2(input, STDIN_FILENO);
	dup2(output, STDOUT_FILENO);
	dup2(output, STDERR_FILENO);
	execvp(argv[0], (char *const *)argv);
	fprintf(stderr, "cannot execute %s: %s\n", argv[0], strerror(errno));
	_exit(127);
}

/* A file that holds ${input}, to be read. */
static FILE *input_file(const char *input)
{
	FILE *file = tmpfile();

	CHECK(file, "tmpfile: %s", strerror(errno));
	if (input)
		fputs(input, file);
	rewind(file);
	return file;
}

const char *program_path(const char *name)
{
	static char *paths[8];
	const char *folder = getenv("PROGRAMS");
	size_t i = 0;

	while (i < 8 && paths[i] && strcmp(strrchr(paths[i], '/') + 1, name) != 0)
		i++;
	CHECK(i < 8, "too many programs");
	if (!paths[i] && folder) {
		CHECK(asprintf(&paths[i], "%s/%s", folder, name) > 0, "no memory");
		if (access(paths[i], X_OK) == 0)
			return paths[i];
		free(paths[i]);
		paths[i] = NULL;
	}
	if (!paths[i])
		CHECK(asprintf(&paths[i], "%s/%s", BIN_DIR, name) > 0, "no memory");
	return paths[i];
}

int program_run(
    const char *const *argv, const char *input, char *output, size_t output_size)
{
	FILE *in = input_file(input);
	int ends[2];
	size_t len = 0;
	ssize_t got;
	pid_t pid;

	CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	pid = process_fork();
	if (pid == 0)
		become(argv, fileno(in), ends[1]);
	close(ends[1]);
	while ((got = read(ends[0], output + len, output_size - len - 1)) > 0)
		len += (size_t)got;
	output[len] = '\0';
	close(ends[0]);
	fclose(in);
	return process_wait(pid);
}

/* ---- clients --------------------------------------------------------------- */

/*
 * _exit looks for none.  A client that became another user could not write its report; and
 * what threads that the test began had would seem lost in a child, where they are no more.
 */
static void look_for_leaks(bool had_threads, uid_t owner)
{
#ifdef __SANITIZE_ADDRESS__
	if (!had_threads && geteuid() == owner)
		__lsan_do_leak_check(); /* does not return when there are any */
#endif
	(void)had_threads;
	(void)owner;
}

pid_t client_start(client_role *role, unsigned index, void *context)
{
	bool had_threads = count_threads() > threads_at_first;
	uid_t owner = geteuid();
	pid_t pid;

	fflush(NULL);
	pid = process_fork();
	if (pid == 0) {
		wire_free_all();
		role(index, context);
		look_for_leaks(had_threads, owner);
		_exit(0);
	}
	return pid;
}

void client_wait(pid_t pid)
{
	int status = process_wait(pid);

	CHECK(status == 0, "a client ended with status %d; its line says why", status);
}

void clients_run(unsigned count, client_role *role, void *context)
{
	pid_t pids[256];

	CHECK(count <= 256, "too many clients");
	for (unsigned i = 0; i < count; i++)
		pids[i] = client_start(role, i, context);
	for (unsigned i = 0; i < count; i++)
		client_wait(pids[i]);
}
