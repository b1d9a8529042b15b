#include "broker/db/statement_cache.h"

#include <stdlib.h>
#include <string.h>

/* Lack of memory must not end the program: the entry is simply not kept. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct cached_statement {
	UT_hash_handle hh;
	sqlite3_stmt *stmt; /* owns */
	unsigned facts;
	void *head; /* owns; NULL: not kept */
	size_t head_len;
	int head_compiled; /* how often it had been compiled anew by then */
	size_t len;
	char text[];
};

static void evict(struct statement_cache *cache, struct cached_statement *entry)
{
	HASH_DEL(cache->by_text, entry);
	cache->count--;
	sqlite3_finalize(entry->stmt);
	free(entry->head);
	free(entry);
}

bool statement_cache_find(struct statement_cache *cache, const char *sql, size_t len,
    struct statement *statement)
{
	struct cached_statement *entry;

	HASH_FIND(hh, cache->by_text, sql, len, entry);
	if (!entry)
		return false;
	*statement = (struct statement){entry->stmt, entry->facts, entry};
	if (!entry->hh.next) /* it is the newest already */
		return true;
	/* uthash keeps the order of insertion: deleted and added again, it is the newest. */
	HASH_DEL(cache->by_text, entry);
	entry->hh = (UT_hash_handle){0};
	HASH_ADD_KEYPTR(hh, cache->by_text, entry->text, entry->len, entry);
	if (!entry->hh.tbl) { /* no memory for the table: hand it out as not cached */
		cache->count--;
		*statement = (struct statement){entry->stmt, entry->facts, NULL};
		free(entry->head);
		free(entry);
	}
	return true;
}

void statement_cache_add(struct statement_cache *cache, const char *sql, size_t len,
    struct statement *statement)
{
	struct cached_statement *entry;

	if (len > STATEMENT_CACHE_TEXT_BYTES ||
	    sqlite3_stmt_status(statement->stmt, SQLITE_STMTSTATUS_MEMUSED, 0) >
		STATEMENT_CACHE_MEMORY)
		return;
	entry = calloc(1, sizeof *entry + len);
	if (!entry)
		return;
	entry->stmt = statement->stmt;
	entry->facts = statement->facts;
	entry->len = len;
	memcpy(entry->text, sql, len);
	HASH_ADD_KEYPTR(hh, cache->by_text, entry->text, entry->len, entry);
	if (!entry->hh.tbl) {
		free(entry);
		return;
	}
	statement->entry = entry;
	if (++cache->count > STATEMENT_CACHE_ENTRIES)
		evict(cache, cache->by_text);
}

void statement_cache_detach(struct statement_cache *cache, struct statement *statement)
{
	if (!statement->entry)
		return;
	HASH_DEL(cache->by_text, statement->entry);
	cache->count--;
	free(statement->entry->head);
	free(statement->entry);
	statement->entry = NULL;
}

static int times_compiled_anew(const struct cached_statement *entry)
{
	return sqlite3_stmt_status(entry->stmt, SQLITE_STMTSTATUS_REPREPARE, 0);
}

const void *statement_head(const struct statement *statement, size_t *len)
{
	const struct cached_statement *entry = statement->entry;

	if (!entry || !entry->head || entry->head_compiled != times_compiled_anew(entry))
		return NULL;
	*len = entry->head_len;
	return entry->head;
}

void statement_keep_head(const struct statement *statement, const void *head, size_t len)
{
	struct cached_statement *entry = statement->entry;
	void *copy;

	if (!entry || len > STATEMENT_CACHE_HEAD_BYTES || !(copy = malloc(len)))
		return;
	memcpy(copy, head, len);
	free(entry->head);
	entry->head = copy;
	entry->head_len = len;
	entry->head_compiled = times_compiled_anew(entry);
}

void statement_done(struct statement *statement)
{
	if (!statement->entry) {
		sqlite3_finalize(statement->stmt);
	} else {
		sqlite3_reset(statement->stmt);
		sqlite3_clear_bindings(statement->stmt);
	}
	statement->stmt = NULL;
}

void statement_cache_clear(struct statement_cache *cache)
{
	while (cache->by_text)
		evict(cache, cache->by_text);
}
