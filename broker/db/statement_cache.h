/* statement_cache.h - compiled clients' statements, by their SQL text.
 *
 * Bounded, least recently used out first.  With each goes what the guard noted
 * when it was compiled, for a cached text is not asked about again.
 */
#ifndef POOLITE_BROKER_DB_STATEMENT_CACHE_H
#define POOLITE_BROKER_DB_STATEMENT_CACHE_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

/* Statements per connection, and the longest text that is kept: what is
 * longer is mostly generated and never comes again. */
#define STATEMENT_CACHE_ENTRIES 256
#define STATEMENT_CACHE_MEMORY                                                           \
	(64 << 10) /* bytes of one compiled statement: 16 MiB in all */
#define STATEMENT_CACHE_TEXT_BYTES ((size_t)16 << 10)

/* Bytes before the first row of its result, column names above all, that are kept with
 * a statement: 1 MiB in all. */
#define STATEMENT_CACHE_HEAD_BYTES ((size_t)4 << 10)

struct cached_statement;

struct statement_cache {
	struct cached_statement *by_text; /* owns; hash, in order of use: oldest first */
	unsigned count;
};

/* A compiled text in use. */
struct statement {
	sqlite3_stmt *stmt;
	unsigned facts;                 /* GUARD_* */
	struct cached_statement *entry; /* NULL: not cached */
};

/** The cached statement of ${sql}, most recently used from now on; false when there is none. */
bool statement_cache_find(struct statement_cache *cache, const char *sql, size_t len,
    struct statement *statement);
/** Keep ${statement} under ${sql} (copied) if it is short enough; the cache owns stmt then. */
void statement_cache_add(struct statement_cache *cache, const char *sql, size_t len,
    struct statement *statement);
/** The bytes that its results begin with, if they were kept and the text was not compiled
 *  anew since; else NULL. */
const void *statement_head(const struct statement *statement, size_t *len);
/** Keep them (copied), if it is cached and they are few. */
void statement_keep_head(const struct statement *statement, const void *head, size_t len);
/** Take it out of the cache: whoever calls keeps stmt, and finalises it. */
void statement_cache_detach(struct statement_cache *cache, struct statement *statement);
/** After use: reset and clear the bindings, or finalise what is not cached. */
void statement_done(struct statement *statement);
/** Finalise everything. */
void statement_cache_clear(struct statement_cache *cache);

#endif
