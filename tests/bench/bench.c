/* bench.c - the benchmark's program; scripts/bench runs it.  See tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "tests/bench/database.h"

#define ONLY_MAX 32

static const struct line lines[] = {
    {"read-1", "point read, 1 client at a time", line_read_1},
    {"read-32", "point reads, 32 clients in one process", line_read_32},
    {"read-flight", "point reads, 8 sessions with 16 in flight", line_read_flight},
    {"write-32", "durable updates, 32 clients", line_write_32},
    {"write-flight", "durable updates, 8 sessions with 16 in flight", line_write_flight},
    {"write-1", "durable update, 1 client", line_write_1},
    {"insert-32", "durable inserts, 32 clients", line_insert_32},
    {"batch", "batch of 100,000 rows", line_batch},
    {"scan", "scan of 1,000,000 rows in pages", line_scan},
    {"connect", "connect and first read", line_connect},
    {"clients-1000", "1,000 active clients", line_clients_1000},
    {"beside", "point reads beside long reads", line_beside},
    {"processes", "1, 8, 32 processes, with and without a broker", line_processes},
    {"curves", "throughput against the number of clients, for the plots", line_curves},
};
#define LINES (sizeof(lines) / sizeof(*lines))

struct choice {
	const char *only[ONLY_MAX]; /* NULL: the end */
	size_t only_count;
	const char *json;
	bool is_list;
};

static void usage(FILE *file)
{
	fputs(
	    "Usage: bench --poolited PROGRAM [--quick] [--only LINE]... [--json FILE]\n"
	    "             [--data FOLDER] [--redis SOCKET] [--postgres SOCKET]\n"
	    "       bench --list\n"
	    "\n"
	    "Measures in the current folder, which has to be on a real disk, and prints a\n"
	    "table.  scripts/bench prepares all that.  Exit status 1 after a wrong answer.\n",
	    file);
}

static const struct line *find_line(const char *name)
{
	for (size_t i = 0; i < LINES; i++)
		if (strcmp(lines[i].name, name) == 0)
			return &lines[i];
	return NULL;
}

static void choose(struct choice *choice, const char *name)
{
	if (find_line(name) == NULL || choice->only_count == ONLY_MAX - 1) {
		fprintf(stderr, "bench: no line \"%s\"; see --list\n", name);
		exit(2);
	}
	choice->only[choice->only_count++] = name;
}

static void read_options(
    int argc, char **argv, struct bench *bench, struct choice *choice)
{
	static const struct option options[] = {{"poolited", 1, NULL, 'p'},
	    {"quick", 0, NULL, 'q'}, {"only", 1, NULL, 'o'}, {"json", 1, NULL, 'j'},
	    {"data", 1, NULL, 'd'}, {"redis", 1, NULL, 'r'}, {"postgres", 1, NULL, 'g'},
	    {"list", 0, NULL, 'l'}, {"help", 0, NULL, 'h'}, {0}};
	int letter;

	while ((letter = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (letter) {
		case 'p': bench->poolited = optarg; break;
		case 'q': bench->is_quick = true; break;
		case 'o': choose(choice, optarg); break;
		case 'j': choice->json = optarg; break;
		case 'd': bench->data = optarg; break;
		case 'r': bench->redis = optarg; break;
		case 'g': bench->postgres = optarg; break;
		case 'l': choice->is_list = true; break;
		case 'h': usage(stdout); exit(0);
		default: usage(stderr); exit(2);
		}
	}
	if (optind < argc || (bench->poolited == NULL && !choice->is_list)) {
		usage(stderr);
		exit(2);
	}
}

static bool is_chosen(const struct choice *choice, const char *name)
{
	for (size_t i = 0; i < choice->only_count; i++)
		if (strcmp(choice->only[i], name) == 0)
			return true;
	return choice->only_count == 0;
}

static void run_lines(struct bench *bench, const struct choice *choice)
{
	int64_t started = now_ns();

	for (size_t i = 0; i < LINES && !bench->is_wrong; i++) {
		if (!is_chosen(choice, lines[i].name))
			continue;
		fprintf(stderr, "bench: %5.1f s  %s: %s\n",
		    (double)(now_ns() - started) / 1e9, lines[i].name, lines[i].summary);
		lines[i].run(bench);
	}
	fprintf(stderr, "bench: %5.1f s  done\n", (double)(now_ns() - started) / 1e9);
}

/* 1,000 clients need as many descriptors. */
static void raise_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	struct bench bench = {0};
	struct choice choice = {0};

	read_options(argc, argv, &bench, &choice);
	if (choice.is_list) {
		for (size_t i = 0; i < LINES; i++)
			printf("%-13s %s\n", lines[i].name, lines[i].summary);
		return 0;
	}
	signal(SIGPIPE, SIG_IGN);
	raise_descriptors();
	bench.rounds = bench.is_quick ? 3 : 7;
	bench.side_ns = bench.is_quick ? 250000000 : 1000000000;
	bench.report = report_create(bench.is_quick);
	bench.is_wrong = !peers_fill(&bench);
	if (!bench.is_wrong)
		run_lines(&bench, &choice);
	report_print(bench.report, stdout);
	if (choice.json != NULL && !report_save(bench.report, choice.json))
		die(choice.json, "cannot be written");
	report_free(bench.report);
	if (bench.is_wrong)
		fputs("bench: something was wrong, see above\n", stderr);
	return bench.is_wrong ? 1 : 0;
}
