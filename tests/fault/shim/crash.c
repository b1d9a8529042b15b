/* Where a broker that aborts or crashes was: its stack, in its log. */
#include <execinfo.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "tests/fault/shim/control.h"

#define FRAMES 32

static void say(const char *text)
{
	if (write(STDERR_FILENO, text, strlen(text)) < 0)
		_exit(127);
}

/* Whoever called abort() is the first that is not libc's. */
static bool is_from_libuv(void *const *frames, int count)
{
	char **names = backtrace_symbols(frames, count);
	bool is_libuv = false;

	for (int i = 1; names && i < count; i++) {
		if (strstr(names[i], "libc.so"))
			continue;
		if (i == 1 && strstr(names[i], "poolited"))
			continue; /* this handler */
		is_libuv = strstr(names[i], "libuv.so") != NULL;
		break;
	}
	return is_libuv;
}

static void on_crash(int signal_number)
{
	struct control *control = shim_control();
	void *frames[FRAMES];
	int count;

	if (control)
		control->refuse_at = control->refuse_bytes = 0;
	count = backtrace(frames, FRAMES);

	backtrace_symbols_fd(frames, count, STDERR_FILENO);
	if (signal_number == SIGABRT && is_from_libuv(frames, count))
		say("aborted by libuv\n");
	signal(signal_number, SIG_DFL);
	raise(signal_number);
}

__attribute__((constructor)) static void watch(void)
{
	void *frames[1];

	backtrace(frames, 1); /* loads what it needs, while there is memory */
	signal(SIGABRT, on_crash);
	signal(SIGSEGV, on_crash);
	signal(SIGBUS, on_crash);
}
