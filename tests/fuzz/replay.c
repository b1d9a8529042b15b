/* replay.c - run a fuzz target over kept inputs, in the ordinary build.
 *
 *   replay_TARGET FILE|FOLDER ...
 *
 * Each input runs in a process of its own, so that one that is deadly does not hide the
 * others.  Ends with "N passed, N failed"; fails when there was none.
 */
#include "tests/fuzz/fuzz.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* One input takes milliseconds; a target that hangs is ended. */
#define INPUT_SECONDS 60

static unsigned passed, failed;

static void run_here(const char *path)
{
	static uint8_t bytes[1 << 20];
	FILE *file = fopen(path, "rb");
	uint8_t *copy;
	size_t len;

	if (!file) {
		perror(path);
		exit(EXIT_FAILURE);
	}
	len = fread(bytes, 1, sizeof bytes, file);
	fclose(file);
	alarm(INPUT_SECONDS);
	copy = fuzz_copy(bytes, len);
	LLVMFuzzerTestOneInput(copy, len);
	free(copy);
	exit(EXIT_SUCCESS); /* not _exit: what leaked is looked for */
}

static void run_file(const char *path)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0)
		run_here(path);
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		perror("replay");
	if (status == 0) {
		passed++;
		return;
	}
	failed++;
	printf("replay: %s: %s %d\n", path,
	    WIFSIGNALED(status) ? "ended by signal" : "exit status",
	    WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	fflush(stdout);
}

static int is_input(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static void run_folder(const char *path)
{
	struct dirent **entries;
	int count = scandir(path, &entries, is_input, alphasort);

	for (int i = 0; i < count; i++) {
		char name[4096];

		snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name);
		run_file(name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

int main(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		struct stat status;

		if (stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode))
			run_folder(argv[i]);
		else
			run_file(argv[i]);
	}
	printf("%u passed, %u failed\n", passed, failed);
	return passed > 0 && failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
