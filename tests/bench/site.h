/* site.h - where one line of the benchmark happens: two new files, a broker on one. */
#ifndef POOLITE_BENCH_SITE_H
#define POOLITE_BENCH_SITE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct site {
	char served[64]; /* the broker's database */
	char direct[64]; /* its twin, for SQLite itself */
	char socket[64];
	pid_t broker;
};

/**
 * Make both files (see database_create) in the current folder, and start the
 * broker; dies when it does not come up.
 *
 *   poolited  path of the program
 *   name      what the files are called
 */
void site_open(
    struct site *site, const char *poolited, const char *name, const char *more);

/**
 * Stop the broker, and remove the files.  Returns whether it stopped cleanly;
 * otherwise says so on standard error.
 */
bool site_close(struct site *site);

/** The most memory the broker ever had (VmHWM). */
int64_t site_peak_bytes(const struct site *site);

/**
 * Whether both files give these numbers for ${sql}; says on standard error when not.
 */
bool site_check(const struct site *site, const char *sql, int64_t served, int64_t direct);

#endif
