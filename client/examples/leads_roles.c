/* The program leads: runs leads.c in roles, one a process, and counts what it did.
 * scripts/demo starts many of them at once.
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/examples/leads.h"

/* What a role did, for the line at its end. */
struct tally {
	long long requests, rows, errors;
};

/* Count one call, and say the first few errors. */
static bool succeeded(struct tally *tally, const struct poolite_error *error)
{
	tally->requests++;
	if (error->code == POOLITE_OK)
		return true;
	if (tally->errors++ < 10)
		fprintf(stderr, "leads: %s: %s\n", poolite_code_name(error->code),
		    error->message);
	return false;
}

static void wrong(struct tally *tally, const char *what)
{
	tally->errors++;
	fprintf(stderr, "leads: %s\n", what);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* "200" is so many rounds, "5s" so many seconds. */
struct work {
	long long rounds;
	double end;
};

static struct work work_of(const char *word)
{
	struct work work = {0, 0};
	char *end;
	double number = strtod(word, &end);

	if (strcmp(end, "s") == 0)
		work.end = now() + number;
	else
		work.rounds = (long long)number;
	return work;
}

static bool goes_on(const struct work *work, long long round)
{
	return work->end > 0 ? now() < work->end : round < work->rounds;
}

#define BATCH  40
#define SINGLE 10

static void role_setup(struct poolite *db, char **words, struct tally *tally)
{
	struct poolite_error error;

	(void)words;
	create_tables(db, &error);
	succeeded(tally, &error);
}

/* NAME COUNT: save COUNT leads of source NAME, ten by themselves, then a batch. */
static void role_crawl(struct poolite *db, char **words, struct tally *tally)
{
	struct lead lead = {"A lead", "Found by a crawler", "https://example.org/lead",
	    "Worth a call", words[0]};
	struct lead many[BATCH];
	struct poolite_error error;
	long long left = strtoll(words[1], NULL, 10);

	for (int i = 0; i < BATCH; i++)
		many[i] = lead;
	while (left > 0) {
		int64_t id = 0, saved = 0;
		size_t size;

		for (int i = 0; i < SINGLE && left > 0; i++, left--) {
			save_lead(db, &lead, &id, &error);
			if (succeeded(tally, &error))
				tally->rows++;
			if (error.code == POOLITE_OK && id <= 0)
				wrong(tally, "a saved lead has no id");
		}
		size = left < BATCH ? (size_t)left : BATCH;
		if (size == 0)
			break;
		import_leads(db, many, size, &saved, &error);
		if (succeeded(tally, &error))
			tally->rows += saved;
		left -= (long long)size;
	}
}

/* Look at every row of a list. */
static void check_leads(
    struct poolite_result *leads, const char *source, struct tally *tally)
{
	int64_t before = 0;

	while (poolite_result_next(leads) > 0) {
		int64_t id = poolite_result_int64(leads, 0);
		const char *title = poolite_result_text(leads, 1);

		if (id == before || !title || poolite_result_is_null(leads, 6))
			wrong(tally, "a lead is not whole");
		if (source && strcmp(poolite_result_text(leads, 5), source) != 0)
			wrong(tally, "a lead of another source");
		before = id;
		tally->rows++;
	}
}

/* COUNT or SECONDSs: filter by source, and now and then list all. */
static void role_read(struct poolite *db, char **words, struct tally *tally)
{
	struct work work = work_of(words[0]);
	struct poolite_result *leads;
	struct poolite_error error;

	for (long long round = 0; goes_on(&work, round); round++) {
		char name[32];
		const char *source = round % 100 == 99 ? NULL : name;

		snprintf(name, sizeof name, "crawler-%d", (int)(round % 4) + 1);
		if (source)
			get_leads_by_source(db, source, 50, &leads, &error);
		else
			get_all_leads(db, &leads, &error);
		if (succeeded(tally, &error))
			check_leads(leads, source, tally);
		poolite_result_free(leads);
	}
}

/* COUNT: move so many leads, waiting for the first ones to be there. */
static void role_move(struct poolite *db, char **words, struct tally *tally)
{
	static const struct timespec moment = {0, 5000000};
	struct work work = work_of(words[0]);
	struct poolite_error error;
	double patience = now() + 30;
	int64_t last = 0;

	for (long long round = 0; goes_on(&work, round);) {
		int64_t moved;

		move_lead(db, last + 1, "moved", &moved, &error);
		tally->requests += 4; /* begin, select, update, check; and commit: */
		if (!succeeded(tally, &error) || moved > 0)
			round++;
		if (moved > 0) {
			tally->rows++;
			last = moved;
		} else if (last > 0) {
			last = 0; /* past the newest: from the oldest on again */
		} else if (error.code == POOLITE_OK && now() > patience) {
			wrong(tally, "no lead to move in 30 seconds");
			return;
		} else {
			nanosleep(&moment, NULL);
		}
	}
}

/* COUNT: ask for the pool's figures and its health. */
static void role_stats(struct poolite *db, char **words, struct tally *tally)
{
	struct work work = work_of(words[0]);
	struct poolite_health health;
	struct poolite_stats stats;
	struct poolite_error error;

	for (long long round = 0; goes_on(&work, round); round++) {
		poolite_stats(db, &stats, NULL, &error);
		if (succeeded(tally, &error) &&
		    (stats.pool_size > stats.max_connections ||
			stats.active_connections > stats.pool_size ||
			stats.total_connections_created < 1))
			wrong(tally, "the pool's figures contradict each other");
		poolite_health(db, &health, NULL, &error);
		if (succeeded(tally, &error) && !health.is_healthy)
			wrong(tally, health.reason);
	}
}

/* A file as text; NULL when it cannot be read. */
static char *read_file(const char *name)
{
	FILE *file = strcmp(name, "-") == 0 ? stdin : fopen(name, "re");
	char *text = NULL;
	size_t room = 0;

	if (!file)
		return NULL;
	if (getdelim(&text, &room, '\0', file) < 0) {
		free(text);
		text = ferror(file) ? NULL : strdup("");
	}
	if (file != stdin)
		fclose(file);
	return text;
}

/* FILE: title, description, link, summary, source between tabs, one lead a line. */
static void role_import(struct poolite *db, char **words, struct tally *tally)
{
	char *text = read_file(words[0]);
	char *rest = text;
	struct lead *leads = NULL;
	struct poolite_error error;
	size_t count = 0;
	int64_t saved = 0;

	if (!text) {
		wrong(tally, "the file to import cannot be read");
		return;
	}
	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line;) {
		if (count % 1024 == 0)
			leads = reallocarray(leads, count + 1024, sizeof *leads);
		if (!leads)
			abort();
		leads[count].title = strsep(&line, "\t");
		leads[count].description =
		    strsep(&line, "\t"); /* NULL when it is missing */
		leads[count].link = strsep(&line, "\t");
		leads[count].summary = strsep(&line, "\t");
		leads[count++].source = strsep(&line, "\t");
	}
	import_leads(db, leads, count, &saved, &error);
	if (succeeded(tally, &error))
		tally->rows = saved;
	free(leads);
	free(text);
}

/* [SOURCE]: write them. */
static void role_list(struct poolite *db, char **words, struct tally *tally)
{
	struct poolite_result *leads;
	struct poolite_error error;

	if (words[0])
		get_leads_by_source(db, words[0], INT64_MAX, &leads, &error);
	else
		get_all_leads(db, &leads, &error);
	if (succeeded(tally, &error))
		while (poolite_result_next(leads) > 0) {
			printf("%s\t%s\t%s\n", poolite_result_text(leads, 0),
			    poolite_result_text(leads, 5), poolite_result_text(leads, 1));
			tally->rows++;
		}
	poolite_result_free(leads);
}

/* ID: delete it; rows=0 when there was none. */
static void role_delete(struct poolite *db, char **words, struct tally *tally)
{
	struct poolite_error error;
	bool was_there;

	delete_lead(db, strtoll(words[0], NULL, 10), &was_there, &error);
	if (succeeded(tally, &error) && was_there)
		tally->rows++;
}

/* ---- the program --------------------------------------------------------- */

static const struct role {
	const char *name;
	int least, most; /* words after it */
	void (*run)(struct poolite *db, char **words, struct tally *tally);
} roles[] = {
    {"setup", 0, 0, role_setup},
    {"crawl", 2, 2, role_crawl},
    {"read", 1, 1, role_read},
    {"move", 1, 1, role_move},
    {"stats", 1, 1, role_stats},
    {"import", 1, 1, role_import},
    {"list", 0, 1, role_list},
    {"delete", 1, 1, role_delete},
    {NULL, 0, 0, NULL},
};

static const char usage[] =
    "Usage: leads [--socket PATH] ROLE\n"
    "\n"
    "  setup             create the table leads\n"
    "  crawl NAME COUNT  save COUNT leads of source NAME, one by one and in batches\n"
    "  read ROUNDS       list and filter\n"
    "  move ROUNDS       move leads between sources, in transactions\n"
    "  stats ROUNDS      ask for the pool's figures and its health\n"
    "  import FILE       save the leads of a file: five cells between tabs (-: stdin)\n"
    "  list [SOURCE]     write all leads, or a source's\n"
    "  delete ID         delete one\n"
    "\n"
    "ROUNDS is a number, or seconds as in 5s.  The socket is $POOLITE_SOCKET by default.\n"
    "The last line says role=ROLE requests=N rows=N errors=N; the exit status is 1 after\n"
    "an error.";

static int run(const char *socket, const struct role *role, char **words)
{
	struct tally tally = {0, 0, 0};
	struct poolite_error error;
	struct poolite *db;

	if (poolite_open(socket, NULL, &db, &error)) {
		fprintf(stderr, "leads: %s\n", error.message);
		return 1;
	}
	role->run(db, words, &tally);
	poolite_close(db);
	printf("role=%s requests=%lld rows=%lld errors=%lld\n", role->name,
	    tally.requests, tally.rows, tally.errors);
	return fflush(stdout) != 0 || tally.errors > 0;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"socket", required_argument, NULL, 's'},
	    {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
	const char *socket = NULL;
	int option;

	while ((option = getopt_long(argc, argv, "+s:h", options, NULL)) != -1) {
		if (option == 'h')
			return puts(usage) < 0;
		if (option != 's')
			return 2;
		socket = optarg;
	}
	for (const struct role *role = roles; role->name && optind < argc; role++) {
		int words = argc - optind - 1;

		if (strcmp(role->name, argv[optind]) == 0 && words >= role->least &&
		    words <= role->most)
			return run(socket, role, argv + optind + 1);
	}
	fprintf(stderr, "%s\n", usage);
	return 2;
}
