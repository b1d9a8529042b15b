/* routes.h - which texts write and which read, as their first run has shown.
 *
 * A hint by hash, bounded and never wrong in effect: a write that is sent to a
 * reader comes back untouched and goes to the writer; a read on the writer works.
 */
#ifndef POOLITE_BROKER_ROUTES_H
#define POOLITE_BROKER_ROUTES_H

#include <stddef.h>
#include <stdint.h>

#define ROUTES_SLOTS 4096

enum route { ROUTE_UNKNOWN, ROUTE_READ, ROUTE_WRITE };

/* Per slot the text's hash, its two lowest bits replaced by the route. */
struct routes {
	uint64_t slots[ROUTES_SLOTS];
};

static inline uint64_t routes_hash(const char *sql, size_t len)
{
	uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (uint8_t)sql[i]) * UINT64_C(1099511628211);
	return hash;
}

static inline enum route routes_find(
    const struct routes *routes, const char *sql, size_t len)
{
	uint64_t hash = routes_hash(sql, len);
	uint64_t slot = routes->slots[(hash >> 2) % ROUTES_SLOTS];

	return (slot ^ hash) >> 2 == 0 ? (enum route)(slot & 3) : ROUTE_UNKNOWN;
}

static inline void routes_learn(
    struct routes *routes, const char *sql, size_t len, enum route route)
{
	uint64_t hash = routes_hash(sql, len);

	routes->slots[(hash >> 2) % ROUTES_SLOTS] = (hash & ~UINT64_C(3)) | route;
}

#endif
