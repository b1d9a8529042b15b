/* routes.h - where a text ran well: what its runs have shown.
 *
 * By the exact text, bounded, least recently used out first; the loop's alone.
 * Forgetting is harmless: a text that is not known goes to a reader, and comes
 * back from there untouched when it writes.
 */
#ifndef POOLITE_BROKER_ROUTES_H
#define POOLITE_BROKER_ROUTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Texts remembered, and the longest: 4 MiB at the most.  What is longer is
 * mostly generated, never comes again, and takes long to compile. */
#define ROUTES_ENTRIES    1024
#define ROUTES_TEXT_BYTES ((size_t)4096)

/* A long read is tried again on the loop after so many runs. */
#define ROUTES_RETRY 256

enum route {
	ROUTE_UNKNOWN,
	ROUTE_WRITE,
	ROUTE_READ,  /* not yet examined, or due again: the next run examines it */
	ROUTE_SHORT, /* a read that may run on the loop */
	ROUTE_LONG,  /* a read that may not */
};

struct route_entry;

struct routes {
	struct route_entry *by_text; /* owns; oldest first */
	unsigned count;
	uint64_t schema_seq; /* of the schema they hold for */
};

/** What is known of ${sql}; counts as a use of it. */
enum route routes_find(struct routes *routes, const char *sql, size_t len);
/** Whether it is known as ROUTE_SHORT; then it counts as a use of it. */
bool routes_is_short(struct routes *routes, const char *sql, size_t len);
/**
 * A SHORT one took too long: it is examined anew.  One that does so again and again
 * within some runs is LONG; once may have been the machine's doing.  Whether it is that.
 */
bool routes_exceeded(struct routes *routes, const char *sql, size_t len);
/** Remember. */
void routes_learn(struct routes *routes, const char *sql, size_t len, enum route route);
/** The schema is that of ${schema_seq}: forget what was found under another. */
void routes_keep_up(struct routes *routes, uint64_t schema_seq);
/** Forget everything. */
void routes_clear(struct routes *routes);

#endif
