/* sides.c - sides that are measured in turns: see bench.h. */
#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>

#include "tests/bench/database.h"

#define POSTGRES_FILL                                                                    \
	"DROP TABLE IF EXISTS leads;"                                                    \
	"CREATE TABLE leads (id bigint PRIMARY KEY, title text NOT NULL, "               \
	"description text, link text, source text, visits bigint NOT NULL);"             \
	"CREATE INDEX leads_by_source ON leads (source);"                                \
	"INSERT INTO leads SELECT i, 'Lead ' || i, "                                     \
	"'A company that may need what we make.', 'https://example.com/lead', 'serp', "  \
	"0 FROM generate_series(1, 10000) i;"                                            \
	"ANALYZE leads"

void side_of_load(struct side *side, const char *name, const struct wire *wire,
    unsigned clients, unsigned depth)
{
	memset(side, 0, sizeof(*side));
	side->name = name;
	side->load = load_open(wire, clients, depth);
}

void side_of_crew(struct side *side, const char *name, const struct way *way,
    const char *path, const char *sql, int processes)
{
	memset(side, 0, sizeof(*side));
	side->name = name;
	side->crew = (struct crew){way, path, sql, processes};
}

void side_close(struct side *side)
{
	load_close(side->load);
	side->load = NULL;
}

static void keep(struct side *side, int round, const struct tally *tally)
{
	side->figures[round] = (struct figure){
	    .rate = tally_rate(tally),
	    .p50_ns = histogram_quantile(&tally->latencies, 0.5),
	    .p99_ns = histogram_quantile(&tally->latencies, 0.99),
	    .max_ns = (double)tally->latencies.max_ns,
	};
	histogram_merge(&side->latencies, &tally->latencies);
}

void side_measure(struct bench *bench, struct side *side, int round, int64_t duration_ns)
{
	struct tally tally;

	if (bench->is_wrong)
		return;
	if (side->load != NULL)
		load_run(side->load, duration_ns, 0, &tally);
	else
		crew_run(&side->crew, duration_ns, &tally);
	side->done += tally.done;
	if (tally.failed != 0 || tally.done == 0) {
		fprintf(stderr, "bench: %s: %s\n", side->name,
		    tally.failed ? tally.message : "did nothing at all");
		bench->is_wrong = true;
	}
	if (round >= 0)
		keep(side, round, &tally);
}

void sides_measure(struct bench *bench, struct side *sides, size_t count)
{
	for (size_t i = 0; i < count; i++)
		side_measure(bench, &sides[i], -1, bench->side_ns / 4);
	for (size_t round = 0; round < bench->rounds; round++)
		for (size_t i = 0; i < count; i++)
			side_measure(bench, &sides[(round + i) % count], (int)round,
			    bench->side_ns);
}

static double metric_of(const struct figure *figure, enum metric metric)
{
	switch (metric) {
	case METRIC_P50: return figure->p50_ns;
	case METRIC_P99: return figure->p99_ns;
	case METRIC_MAX: return figure->max_ns;
	case METRIC_RATE: break;
	}
	return figure->rate;
}

void sides_compare(const struct bench *bench, const struct side *ours,
    const struct side *theirs, struct claim claim)
{
	struct comparison comparison = {
	    .line = claim.line,
	    .work = claim.work,
	    .peer = claim.peer,
	    .unit = claim.metric == METRIC_RATE ? UNIT_RATE : UNIT_TIME,
	    .ratio = claim.ratio,
	    .at_least = claim.at_least,
	    .at_most = claim.at_most,
	    .rounds = bench->rounds,
	};

	for (size_t i = 0; i < bench->rounds; i++) {
		comparison.ours[i] = metric_of(&ours->figures[i], claim.metric);
		comparison.theirs[i] = metric_of(&theirs->figures[i], claim.metric);
	}
	report_add(bench->report, &comparison);
}

FILE *data_open(const struct bench *bench, const char *plot, const char *side)
{
	char path[512];

	if (bench->data == NULL)
		return NULL;
	snprintf(path, sizeof(path), "%s/%s.%s", bench->data, plot, side);
	FILE *file = fopen(path, "a");
	if (file == NULL)
		die(path, "cannot be written");
	return file;
}

/* Columns: share of all that took longer (1 .. 0.0001), microseconds. */
static void save_latencies(
    const struct bench *bench, const char *plot, const struct side *side)
{
	FILE *file = data_open(bench, plot, side->name);

	if (file == NULL)
		return;
	for (int step = 0; step <= 160; step++) {
		double longer = 1;
		for (int i = 0; i < step; i++)
			longer *= 0.9440608762859234; /* 40 steps for a factor of ten */
		/* What fewer than ten requests took is chance. */
		if (longer * (double)side->latencies.count < 10)
			break;
		fprintf(file, "%.6g\t%.3f\n", longer,
		    histogram_quantile(&side->latencies, 1 - longer) / 1e3);
	}
	fclose(file);
}

void sides_save_latencies(
    const struct bench *bench, const char *plot, const struct side *sides, size_t count)
{
	for (size_t i = 0; i < count; i++)
		save_latencies(bench, plot, &sides[i]);
}

bool peers_fill(struct bench *bench)
{
	char message[256];

	if (bench->redis != NULL && !redis_fill(bench->redis, ROWS, message)) {
		fprintf(stderr, "bench: %s\n", message);
		return false;
	}
	if (bench->postgres != NULL &&
	    !postgres_run(bench->postgres, POSTGRES_FILL, message)) {
		fprintf(stderr, "bench: %s\n", message);
		return false;
	}
	return true;
}
