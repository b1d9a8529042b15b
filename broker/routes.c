#include "broker/routes.h"

#include <stdlib.h>
#include <string.h>

/* Lack of memory must not end the program: the text stays unknown. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

/* Three within some sixteen runs are too many. */
#define STRIKE      16
#define STRIKES_MAX (2 * STRIKE)

struct route_entry {
	UT_hash_handle hh;
	enum route route;
	unsigned runs; /* LONG: since it was examined */
	unsigned
	    strikes; /* STRIKE for each time that it took too long; goes down with each run */
	size_t len;
	char text[];
};

static void forget(struct routes *routes, struct route_entry *entry)
{
	HASH_DEL(routes->by_text, entry);
	routes->count--;
	free(entry);
}

static struct route_entry *find(struct routes *routes, const char *sql, size_t len)
{
	struct route_entry *entry;

	HASH_FIND(hh, routes->by_text, sql, len, entry);
	return entry;
}

/* A use of a SHORT one makes up for a strike, in time. */
static void count_use(struct route_entry *entry)
{
	if (entry->route == ROUTE_SHORT && entry->strikes > 0)
		entry->strikes--;
}

enum route routes_find(struct routes *routes, const char *sql, size_t len)
{
	struct route_entry *entry =
	    len > ROUTES_TEXT_BYTES ? NULL : find(routes, sql, len);

	if (!entry)
		return ROUTE_UNKNOWN;
	if (entry->route == ROUTE_LONG && ++entry->runs > ROUTES_RETRY) {
		entry->runs = 0;
		return ROUTE_READ;
	}
	count_use(entry);
	return entry->route;
}

bool routes_is_short(struct routes *routes, const char *sql, size_t len)
{
	struct route_entry *entry =
	    len > ROUTES_TEXT_BYTES ? NULL : find(routes, sql, len);

	if (!entry || entry->route != ROUTE_SHORT)
		return false;
	count_use(entry);
	return true;
}

bool routes_exceeded(struct routes *routes, const char *sql, size_t len)
{
	struct route_entry *entry = find(routes, sql, len);

	if (!entry)
		return false;
	entry->strikes += STRIKE;
	if (entry->strikes <= STRIKES_MAX) {
		entry->route = ROUTE_READ;
		return false;
	}
	entry->strikes = 0;
	entry->runs = 0;
	entry->route = ROUTE_LONG;
	return true;
}

void routes_learn(struct routes *routes, const char *sql, size_t len, enum route route)
{
	struct route_entry *entry =
	    len > ROUTES_TEXT_BYTES ? NULL : find(routes, sql, len);

	if (entry) {
		entry->route = route;
		return;
	}
	if (len > ROUTES_TEXT_BYTES || !(entry = calloc(1, sizeof *entry + len)))
		return;
	entry->route = route;
	entry->len = len;
	memcpy(entry->text, sql, len);
	HASH_ADD_KEYPTR(hh, routes->by_text, entry->text, entry->len, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return;
	}
	/* The oldest known goes, used or not: what is in use is learnt again at once. */
	if (++routes->count > ROUTES_ENTRIES)
		forget(routes, routes->by_text);
}

void routes_keep_up(struct routes *routes, uint64_t schema_seq)
{
	if (routes->schema_seq == schema_seq)
		return;
	routes_clear(routes);
	routes->schema_seq = schema_seq;
}

void routes_clear(struct routes *routes)
{
	while (routes->by_text)
		forget(routes, routes->by_text);
}
