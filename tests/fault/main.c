/* torture - the fault tests: run them, and print each figure beside its goal. */
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/report.h"
#include "tests/support/check.h"
#include "tests/support/process.h"

/* A quick test that takes longer hangs; a long one gets that much beyond its time. */
#define HANG_SECONDS 240

static const struct fault_test tests[] = {
    {"T1", "the broker is killed", 24, test_kill},
    {"T2", "the broker is killed at named points", 10, test_failpoints},
    {"T3", "the power goes", 30, test_power_cut},
    {"T4", "operations on files fail", 6, test_io_faults},
    {"T5", "allocations are refused", 16, test_no_memory},
    {"T6", "connections act in other orders", 12, test_order},
    {"T7", "members of a group make mistakes", 16, test_isolation},
    {"T10", "SQL by chance against the guard", 6, test_guard},
    {"T11", "fifty rude clients beside an honest one", 10, test_rude_clients},
    {"T12", "descriptors run out", 1, test_descriptors},
    {"T13", "the disk is full", 5, test_full_disk},
    {"T14", "files are meddled with", 16, test_file_tricks},
    {"T15", "holders of transactions die", 12, test_holders},
    {"T16", "readers starve the checkpoints", 10, test_starvation},
    {"T17", "SIGTERM under load", 6, test_terminate},
    {"T18", "threads share a handle, cancel and fork", 5, test_threads},
    {"T19", "all at once, for a while", 10, test_soak},
    {"T22", "calls of the client library are cut off", 10, test_client},
    {"T24", "statements end at their deadlines", 3, test_deadlines},
};
#define TESTS (sizeof tests / sizeof *tests)

static void usage(FILE *out)
{
	fputs(
	    "Usage: torture [--quick | --minutes N] [--only T1,T3] [--seed N] [--list]\n",
	    out);
}

static bool is_wanted(const char *only, const char *id)
{
	size_t len = strlen(id);

	if (!only)
		return true;
	for (const char *at = only; (at = strstr(at, id)); at += len) {
		bool begins = at == only || at[-1] == ',';
		if (begins && (at[len] == '\0' || at[len] == ','))
			return true;
	}
	return false;
}

/* 12345 as "12,345"; fractions with three digits in all. */
static void write_number(char text[32], double number)
{
	char digits[32];
	size_t len, out = 0;

	if (number != (double)(long long)number) {
		snprintf(text, 32, number < 10 ? "%.2f" : "%.1f", number);
		return;
	}
	len = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)number);
	for (size_t i = 0; i < len; i++) {
		if (i > 0 && (len - i) % 3 == 0 && digits[i - 1] != '-')
			text[out++] = ',';
		text[out++] = digits[i];
	}
	text[out] = '\0';
}

static void print_figure(const char *id, const struct figure *figure)
{
	static const char *const verdicts[] = {"ok", "part", "SHORT"};
	char measured[32], goal[32];

	write_number(measured, figure->measured);
	write_number(goal, figure->goal);
	printf("%-5s%-52s%10s  %2s %9s  %s\n", id, figure->what, measured,
	    figure->relation, goal, verdicts[figure->verdict]);
}

/* Wait ${seconds} for the end of ${pid}: then true with its exit status, or 128 and its signal. */
static bool process_ends(pid_t pid, int seconds, int *status)
{
	struct pollfd end = {
	    .fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
	bool has_ended = poll(&end, 1, seconds * 1000) == 1;

	close(end.fd);
	if (!has_ended)
		return false;
	waitpid(pid, status, 0);
	*status = WIFEXITED(*status) ? WEXITSTATUS(*status) : 128 + WTERMSIG(*status);
	return true;
}

/* Run it in a process of its own; false when a figure falls short, or it did not end well. */
static bool run(const struct fault_test *test, const struct effort *effort)
{
	struct report *report = shared_memory(sizeof *report);
	double started = check_seconds(), hangs_at;
	bool is_good = true, has_hung = false;
	int status;
	pid_t pid;

	printf("%s: %s\n", test->id, test->what);
	fflush(NULL);
	pid = process_fork();
	if (pid == 0) {
		report_to(report, effort->is_long);
		test->run(effort);
		_exit(0);
	}
	hangs_at = (effort->is_long ? effort->until : started) + HANG_SECONDS;
	while (!process_ends(pid, 1, &status)) {
		has_hung = check_seconds() > hangs_at;
		if (has_hung)
			kill(pid, SIGKILL);
	}
	for (unsigned i = 0; i < report->count; i++) {
		print_figure(test->id, &report->figures[i]);
		is_good &= report->figures[i].verdict != FIGURE_SHORT;
	}
	fputs(report->notes, stdout);
	if (status || report->count == 0)
		printf("%-5s%s (status %d)  SHORT\n", test->id,
		    has_hung ? "it hung" : "it did not end well", status);
	printf("%-5s%.0f s\n\n", test->id, check_seconds() - started);
	return is_good && status == 0 && report->count > 0;
}

/* What the tests from ${first} on weigh. */
static double weight_from(size_t first, const char *only)
{
	double sum = 0;

	for (size_t i = first; i < TESTS; i++)
		sum += is_wanted(only, tests[i].id) ? tests[i].weight : 0;
	return sum;
}

static int run_all(struct effort effort, const char *only, double minutes)
{
	double ends = check_seconds() + 60 * minutes;
	unsigned passed = 0, failed = 0;

	for (size_t i = 0; i < TESTS; i++) {
		double now = check_seconds();
		if (!is_wanted(only, tests[i].id))
			continue;
		/* What earlier ones left over is shared by those that follow. */
		effort.until = now + HANG_SECONDS;
		if (effort.is_long)
			effort.until =
			    now + (ends - now) * tests[i].weight / weight_from(i, only);
		if (run(&tests[i], &effort))
			passed++;
		else
			failed++;
	}
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"quick", no_argument, NULL, 'q'},
	    {"minutes", required_argument, NULL, 'm'},
	    {"only", required_argument, NULL, 'o'},
	    {"seed", required_argument, NULL, 's'}, {"list", no_argument, NULL, 'l'},
	    {"help", no_argument, NULL, 'h'}, {0}};
	struct effort effort = {.is_long = true, .seed = (uint64_t)time(NULL)};
	const char *only = NULL;
	double minutes = 60;
	int option;

	while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
		switch (option) {
		case 'q': effort.is_long = false; break;
		case 'm': minutes = strtod(optarg, NULL); break;
		case 'o': only = optarg; break;
		case 's': effort.seed = strtoull(optarg, NULL, 10); break;
		case 'l':
			for (size_t i = 0; i < TESTS; i++)
				printf("%-5s%s\n", tests[i].id, tests[i].what);
			return 0;
		case 'h': usage(stdout); return 0;
		default: usage(stderr); return 2;
		}
	}
	if (optind < argc || minutes <= 0) {
		usage(stderr);
		return 2;
	}
	printf("torture: seed %llu\n\n", (unsigned long long)effort.seed);
	return run_all(effort, only, minutes);
}
