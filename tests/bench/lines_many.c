/* lines_many.c - many processes, and plots' data: see tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <string.h>

#include "tests/bench/database.h"
#include "tests/bench/echo.h"

/* ---- processes with libpoolite, as an application has them ------------------------ */

static void compare_processes(struct bench *bench, struct site *site, const char *kind,
    const char *sql, int processes)
{
	char work[64];
	struct side sides[3];

	snprintf(work, sizeof(work), "%s, %d process%s", kind, processes,
	    processes == 1 ? "" : "es");
	side_of_crew(&sides[0], "poolite", &way_poolite, site->socket, sql, processes);
	side_of_crew(&sides[1], "opened", &way_opened, site->direct, sql, processes);
	side_of_crew(&sides[2], "prepared", &way_prepared, site->direct, sql, processes);
	sides_measure(bench, sides, 3);
	struct claim claim = {
	    "processes", work, "SQLite, opened each time", METRIC_RATE, RATIO_OURS, 0, 0};
	sides_compare(bench, &sides[0], &sides[1], claim);
	claim.peer = "SQLite, prepared";
	sides_compare(bench, &sides[0], &sides[2], claim);
	if (sql[0] == 'I' && !bench->is_wrong)
		bench->is_wrong = !site_check(site, "SELECT count(*) - 10000 FROM leads",
		    (int64_t)sides[0].done, (int64_t)(sides[1].done + sides[2].done));
}

void line_processes(struct bench *bench)
{
	static const int counts[] = {1, 8, 32};
	struct bench fewer = *bench;
	struct site site;

	fewer.rounds = bench->is_quick ? 1 : 3; /* six times three sides */
	for (size_t i = 0; i < 3 && !fewer.is_wrong; i++) {
		site_open(&site, bench->poolited, "processes", NULL);
		compare_processes(&fewer, &site, "point reads", SQL_READ, counts[i]);
		compare_processes(&fewer, &site, "inserts", SQL_INSERT, counts[i]);
		fewer.is_wrong |= !site_close(&site);
	}
	bench->is_wrong = fewer.is_wrong;
}

/* ---- throughput against the number of clients --------------------------------------- */

#define CURVE_SIDES 6

/* What one curve's sides are made of. */
struct curve {
	const char *plot;
	const char *sql;
	struct wire wires[CURVE_SIDES]; /* those with sockets; names beside them */
	const char *names[CURVE_SIDES];
	size_t wires_count;
};

static void add_wire(struct curve *curve, const char *name, const struct wire *wire)
{
	curve->names[curve->wires_count] = name;
	curve->wires[curve->wires_count++] = *wire;
}

/* Columns: clients; operations a second: median, quartiles. */
static void save_point(const struct bench *bench, const char *plot, const char *side,
    int clients, struct spread rates)
{
	FILE *file = data_open(bench, plot, side);

	if (file == NULL)
		return;
	if (rates.median > 0) /* nothing in time has no place on a logarithmic axis */
		fprintf(file, "%d\t%.1f\t%.1f\t%.1f\n", clients, rates.median, rates.q1,
		    rates.q3);
	fclose(file);
}

/* Measure all sides with ${clients} clients, and keep the rates. */
static void measure_point(
    struct bench *bench, const struct curve *curve, const struct site *site, int clients)
{
	struct side sides[CURVE_SIDES];
	double rates[ROUNDS_MAX];
	size_t count = curve->wires_count;

	for (size_t i = 0; i < count; i++)
		side_of_load(
		    &sides[i], curve->names[i], &curve->wires[i], (unsigned)clients, 1);
	side_of_crew(&sides[count++], "prepared", &way_prepared, site->direct, curve->sql,
	    clients);
	side_of_crew(
	    &sides[count++], "opened", &way_opened, site->direct, curve->sql, clients);
	sides_measure(bench, sides, count);
	for (size_t i = 0; i < count; i++) {
		for (size_t round = 0; round < bench->rounds; round++)
			rates[round] = sides[i].figures[round].rate;
		report_add_point(bench->report, curve->plot, sides[i].name, clients,
		    rates, bench->rounds);
		save_point(bench, curve->plot, sides[i].name, clients,
		    spread_of(rates, bench->rounds));
		side_close(&sides[i]);
	}
}

static void measure_curve(
    struct bench *bench, const struct curve *curve, const struct site *site)
{
	static const int every[] = {1, 2, 4, 8, 16, 32, 64, 128, 0};
	static const int some[] = {1, 8, 32, 0};

	for (const int *clients = bench->is_quick ? some : every;
	     *clients != 0 && !bench->is_wrong; clients++) {
		fprintf(stderr, "bench:   %s, %d client%s\n", curve->plot, *clients,
		    *clients == 1 ? "" : "s");
		measure_point(bench, curve, site, *clients);
	}
}

static void read_curve(struct bench *bench)
{
	struct curve curve = {.plot = "throughput-read", .sql = SQL_READ};
	struct wire wire, peer;
	struct site site;

	site_open(&site, bench->poolited, "curve-read", NULL);
	wire_poolite(&wire, site.socket, POOLITE__QUERY, SQL_READ);
	add_wire(&curve, "poolite", &wire);
	pid_t server = echo_like(&peer, "echo.sock", &wire);
	add_wire(&curve, "echo", &peer);
	if (bench->redis != NULL) {
		wire_redis(&peer, bench->redis);
		add_wire(&curve, "redis", &peer);
	}
	if (bench->postgres != NULL) {
		wire_postgres(&peer, bench->postgres, POSTGRES_READ);
		add_wire(&curve, "postgres", &peer);
	}
	measure_curve(bench, &curve, &site);
	child_kill(server);
	bench->is_wrong |= !site_close(&site);
}

static void write_curve(struct bench *bench)
{
	struct curve curve = {.plot = "throughput-write", .sql = SQL_UPDATE};
	struct wire wire;
	struct site site;

	site_open(&site, bench->poolited, "curve-write", NULL);
	wire_poolite(&wire, site.socket, POOLITE__UPDATE, SQL_UPDATE);
	add_wire(&curve, "poolite", &wire);
	if (bench->postgres != NULL) {
		wire_postgres(&wire, bench->postgres, POSTGRES_UPDATE);
		add_wire(&curve, "postgres", &wire);
	}
	measure_curve(bench, &curve, &site);
	bench->is_wrong |= !site_close(&site);
}

void line_curves(struct bench *bench)
{
	struct bench shorter = *bench;

	shorter.rounds = bench->is_quick ? 1 : 3;
	shorter.side_ns = bench->is_quick ? 150000000 : 500000000;
	read_curve(&shorter);
	write_curve(&shorter);
	bench->is_wrong = shorter.is_wrong;
}
