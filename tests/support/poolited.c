#include "tests/support/poolited.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/wire.h"

#define FLAGS_MAX (sizeof(((struct poolited *)0)->flags) / sizeof(char *))

void poolited_make(struct poolited *broker, const char *const *flags)
{
	size_t count = 0;

	memset(broker, 0, sizeof *broker);
	broker->log_fd = -1;
	folder_make(broker->folder);
	snprintf(broker->database, sizeof broker->database, "%s/test.db", broker->folder);
	snprintf(broker->socket, sizeof broker->socket, "%s/socket", broker->folder);
	snprintf(broker->stats_socket, sizeof broker->stats_socket, "%s/stats",
	    broker->folder);
	while (flags[count]) {
		CHECK(count < FLAGS_MAX - 1, "too many flags");
		broker->flags[count] = flags[count];
		count++;
	}
}

/* ---- the log --------------------------------------------------------------- */

/* Read what there is; false at its end. */
static bool read_log(struct poolited *broker, int timeout_ms)
{
	struct pollfd pollfd = {.fd = broker->log_fd, .events = POLLIN};
	size_t room = sizeof broker->log - broker->log_len - 1;
	ssize_t got;

	if (poll(&pollfd, 1, timeout_ms) <= 0)
		return true;
	CHECK(room > 0, "the broker's log is too long for this test");
	got = read(broker->log_fd, broker->log + broker->log_len, room);
	if (got <= 0)
		return false;
	broker->log_len += (size_t)got;
	broker->log[broker->log_len] = '\0';
	return true;
}

/* False when it ends before. */
static bool await_log(struct poolited *broker, const char *text)
{
	double until = check_seconds() + PATIENCE_SECONDS;

	while (!strstr(broker->log, text)) {
		if (!read_log(broker, 100))
			return false;
		CHECK(check_seconds() < until, "no \"%s\" in the broker's log:\n%s", text,
		    broker->log);
	}
	return true;
}

void poolited_await_log(struct poolited *broker, const char *text)
{
	CHECK(await_log(broker, text), "the broker ended without \"%s\":\n%s", text,
	    broker->log);
}

void poolited_forget_log(struct poolited *broker)
{
	struct pollfd pollfd = {.fd = broker->log_fd, .events = POLLIN};

	do {
		broker->log_len = 0;
		broker->log[0] = '\0';
	} while (poll(&pollfd, 1, 0) > 0 && read_log(broker, 0));
}

/* ---- start ----------------------------------------------------------------- */

static _Noreturn void become_poolited(struct poolited *broker, int log)
{
	const char *argv[FLAGS_MAX + 8] = {POOLITED, "--db", broker->database, "--socket",
	    broker->socket, "--stats-socket", broker->stats_socket};

	memcpy(argv + 7, broker->flags, sizeof broker->flags);
	dup2(log, STDOUT_FILENO);
	dup2(log, STDERR_FILENO);
	if (broker->prepare)
		broker->prepare(broker);
	execv(broker->program ? broker->program : POOLITED, (char *const *)argv);
	_exit(127);
}

bool poolited_try_run(struct poolited *broker)
{
	int ends[2];

	CHECK(pipe2(ends, O_CLOEXEC) == 0, "pipe2: %s", strerror(errno));
	fcntl(ends[1], F_SETPIPE_SZ, 1 << 20); /* nobody reads while a test runs */
	if (broker->log_fd >= 0)
		close(broker->log_fd);
	broker->log_fd = ends[0];
	broker->log_len = 0;
	broker->log[0] = '\0';
	broker->pid = process_fork();
	if (broker->pid == 0)
		become_poolited(broker, ends[1]);
	close(ends[1]);
	return await_log(broker, "ready");
}

void poolited_run(struct poolited *broker)
{
	CHECK(poolited_try_run(broker), "the broker ended before it was ready:\n%s",
	    broker->log);
}

int poolited_fails_to_start(const char *const *flags, char *output, size_t output_size)
{
	const char *argv[FLAGS_MAX] = {POOLITED};

	for (size_t i = 0; flags[i]; i++)
		argv[i + 1] = flags[i];
	return program_run(argv, NULL, output, output_size);
}

/* ---- stop ------------------------------------------------------------------ */

int poolited_wait(struct poolited *broker)
{
	int status = process_wait(broker->pid);

	broker->pid = 0;
	while (read_log(broker, -1))
		;
	return status;
}

int poolited_stop(struct poolited *broker)
{
	kill(broker->pid, SIGTERM);
	return poolited_wait(broker);
}

void poolited_kill(struct poolited *broker)
{
	kill(broker->pid, SIGKILL);
	CHECK_EQ(poolited_wait(broker), 128 + SIGKILL);
}

void poolited_end(struct poolited *broker)
{
	int status;

	if (check_has_failed()) {
		if (broker->pid)
			poolited_kill(broker);
		fprintf(stderr, "the broker's log:\n%s", broker->log);
		return;
	}
	if (!broker->pid)
		return;
	check_at_end();
	wire_free_all(); /* an open transaction would use up the grace */
	status = poolited_stop(broker);
	CHECK(status == 0, "the broker ended with status %d:\n%s", status, broker->log);
	direct_check(broker->database);
}

/* ---- what it takes --------------------------------------------------------- */

unsigned poolited_descriptors(const struct poolited *broker)
{
	unsigned count = 0;
	char path[64];
	DIR *folder;

	snprintf(path, sizeof path, "/proc/%d/fd", (int)broker->pid);
	folder = opendir(path);
	CHECK(folder, "%s: %s", path, strerror(errno));
	while (readdir(folder))
		count++;
	closedir(folder);
	return count - 2; /* "." and ".." */
}

void poolited_forget_peak(const struct poolited *broker)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/clear_refs", (int)broker->pid);
	file = fopen(path, "we");
	CHECK(file, "%s: %s", path, strerror(errno));
	fputs("5", file);
	CHECK(fclose(file) == 0, "%s: %s", path, strerror(errno));
}

/* A figure of /proc/PID/status, in KiB. */
static unsigned status_kib(const struct poolited *broker, const char *name)
{
	char path[64], line[128];
	size_t len = strlen(name);
	unsigned kib = 0;
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/status", (int)broker->pid);
	file = fopen(path, "re");
	CHECK(file, "%s: %s", path, strerror(errno));
	while (fgets(line, sizeof line, file))
		if (strncmp(line, name, len) == 0)
			sscanf(line + len, ": %u kB", &kib);
	fclose(file);
	CHECK(kib > 0, "%s has no %s", path, name);
	return kib;
}

unsigned poolited_peak_kib(const struct poolited *broker)
{
	return status_kib(broker, "VmHWM");
}

unsigned poolited_peak_mib(const struct poolited *broker)
{
	return poolited_peak_kib(broker) / 1024;
}

unsigned poolited_resident_kib(const struct poolited *broker)
{
	return status_kib(broker, "VmRSS");
}

double poolited_wal_mib(const struct poolited *broker)
{
	char path[80];
	struct stat st;

	snprintf(path, sizeof path, "%s-wal", broker->database);
	return stat(path, &st) == 0 ? (double)st.st_size / (1 << 20) : 0;
}

double poolited_cpu_seconds(const struct poolited *broker)
{
	unsigned long user, system;
	char path[40], text[1000];
	FILE *file;
	size_t len;

	snprintf(path, sizeof path, "/proc/%d/stat", (int)broker->pid);
	file = fopen(path, "re");
	CHECK(file, "%s: %s", path, strerror(errno));
	len = fread(text, 1, sizeof text - 1, file);
	text[len] = '\0';
	fclose(file);
	CHECK(sscanf(strrchr(text, ')'),
		  ") %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
		  &system) == 2,
	    "cannot read %s", path);
	return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}
