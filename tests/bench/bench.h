/* bench.h - what the lines of the benchmark share: how long, against whom, and
 * sides that are measured in turns.
 */
#ifndef POOLITE_BENCH_BENCH_H
#define POOLITE_BENCH_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/bench/crew.h"
#include "tests/bench/load.h"
#include "tests/bench/report.h"
#include "tests/bench/site.h"

struct bench {
	const char *poolited; /* path of the program */
	const char *redis;    /* its socket; NULL: not there */
	const char *postgres; /* pgbouncer's socket; NULL: not there */
	const char *data;     /* folder for the plots' data; NULL: none */
	bool is_quick;
	size_t rounds;   /* of each line */
	int64_t side_ns; /* for each side in a round */
	struct report *report;
	bool is_wrong; /* an error, a wrong answer or a wrong sum: exit status 1 */
};

/* What one side came to in one round. */
struct figure {
	double rate; /* in time, a second */
	double p50_ns;
	double p99_ns;
	double max_ns;
};

/* One way to do a line's work: clients in this process, or a crew of processes. */
struct side {
	const char *name;  /* short: names the plots' data, too */
	struct load *load; /* owned; NULL: the crew */
	struct crew crew;
	uint64_t done; /* in all rounds */
	struct figure figures[ROUNDS_MAX];
	struct histogram latencies; /* of all rounds */
};

/** A side of ${clients} sockets with ${depth} requests in flight each; connects. */
void side_of_load(struct side *side, const char *name, const struct wire *wire,
    unsigned clients, unsigned depth);
/** A side of processes. */
void side_of_crew(struct side *side, const char *name, const struct way *way,
    const char *path, const char *sql, int processes);
/** Close its sockets. */
void side_close(struct side *side);

/**
 * Measure once and add it to the side; ${round} < 0 warms up and is not kept.
 * A failure is printed and makes bench->is_wrong.
 */
void side_measure(struct bench *bench, struct side *side, int round, int64_t duration_ns);
/** Warm up every side, then measure all of them in turns, bench->rounds times. */
void sides_measure(struct bench *bench, struct side *sides, size_t count);

/* Which of a side's figures is compared. */
enum metric { METRIC_RATE, METRIC_P50, METRIC_P99, METRIC_MAX };

/* What a line says about itself and its peer, and what it has to reach. */
struct claim {
	const char *line; /* the name for --only */
	const char *work;
	const char *peer;
	enum metric metric;
	enum ratio ratio;
	double at_least; /* 0: none */
	double at_most;
};

/** Compare two measured sides, and add that to the report. */
void sides_compare(const struct bench *bench, const struct side *ours,
    const struct side *theirs, struct claim claim);

/** Write the sides' latencies as the plot ${plot}'s data, one file a side. */
void sides_save_latencies(
    const struct bench *bench, const char *plot, const struct side *sides, size_t count);
/** Open ${plot}.${side} in the data folder, to append; NULL: no data is wanted. */
FILE *data_open(const struct bench *bench, const char *plot, const char *side);

#define POSTGRES_READ   "SELECT * FROM leads WHERE id = "
#define POSTGRES_UPDATE "UPDATE leads SET visits = visits + 1 WHERE id = "

/** Fill the peers that are there with the table; whether they took it. */
bool peers_fill(struct bench *bench);

/* One line of the benchmark; what it does is told by tests/bench/README.md. */
struct line {
	const char *name;
	const char *summary;
	void (*run)(struct bench *bench);
};

void line_read_1(struct bench *bench);
void line_read_32(struct bench *bench);
void line_read_flight(struct bench *bench);
void line_clients_1000(struct bench *bench);
void line_connect(struct bench *bench);
void line_beside(struct bench *bench);
void line_write_1(struct bench *bench);
void line_write_32(struct bench *bench);
void line_insert_32(struct bench *bench);
void line_write_flight(struct bench *bench);
void line_batch(struct bench *bench);
void line_scan(struct bench *bench);
void line_processes(struct bench *bench);
void line_curves(struct bench *bench);

#endif
