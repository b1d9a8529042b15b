#include "tests/bench/site.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/poolite.h"
#include "tests/bench/crew.h"
#include "tests/bench/database.h"

static pid_t start_broker(const char *program, const struct site *site)
{
	struct poolite_error error;
	struct poolite *handle;
	pid_t broker = child_fork();

	if (broker == 0) {
		execl(program, program, "--db", site->served, "--socket", site->socket,
		    "--log-level", "warning", "--max-clients", "1200", (char *)NULL);
		perror(program);
		_exit(1);
	}
	if (poolite_open(site->socket, NULL, &handle, &error) != 0 ||
	    poolite_ping(handle, &error) != 0)
		die(program, error.message);
	poolite_close(handle);
	return broker;
}

void site_open(
    struct site *site, const char *poolited, const char *name, const char *more)
{
	snprintf(site->served, sizeof(site->served), "%s.db", name);
	snprintf(site->direct, sizeof(site->direct), "%s-direct.db", name);
	snprintf(site->socket, sizeof(site->socket), "%s.sock", name);
	database_create(site->served, more);
	database_create(site->direct, more);
	site->broker = start_broker(poolited, site);
}

bool site_close(struct site *site)
{
	char lock[80];
	int status = 0;

	kill(site->broker, SIGTERM);
	bool is_clean = waitpid(site->broker, &status, 0) == site->broker && status == 0;
	if (!is_clean)
		fprintf(
		    stderr, "bench: poolited did not stop cleanly, status %d\n", status);
	database_remove(site->served);
	database_remove(site->direct);
	unlink(site->socket);
	snprintf(lock, sizeof(lock), "%s.lock", site->socket);
	unlink(lock);
	return is_clean;
}

int64_t site_peak_bytes(const struct site *site)
{
	char path[64], line[256];
	int64_t peak = 0;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)site->broker);
	FILE *file = fopen(path, "r");
	if (file == NULL)
		die(path, "cannot be read");
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, "VmHWM:", 6) == 0)
			peak = strtoll(line + 6, NULL, 10) * 1024;
	fclose(file);
	return peak;
}

static bool check_one(const char *path, const char *sql, int64_t wanted)
{
	int64_t found = database_number(path, sql);

	if (found != wanted)
		fprintf(stderr,
		    "bench: %s: %s is %" PRId64 ", but %" PRId64 " were answered\n", path,
		    sql, found, wanted);
	return found == wanted;
}

bool site_check(const struct site *site, const char *sql, int64_t served, int64_t direct)
{
	bool is_served = check_one(site->served, sql, served);

	return check_one(site->direct, sql, direct) && is_served;
}
