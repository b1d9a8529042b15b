#include "broker/db/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

#include <sqlite3.h>

#include "broker/log.h"

/* What is freed on another thread than it came from makes one account too
 * large and one negative; that is a few kilobytes when a connection is opened. */
static _Thread_local int64_t used;
static _Thread_local int64_t cap;

static void *allocate(int bytes)
{
	void *memory;

	if (cap && used + bytes > cap)
		return NULL;
	memory = malloc((size_t)bytes);
	if (memory)
		used += (int64_t)malloc_usable_size(memory);
	return memory;
}

static void release(void *memory)
{
	used -= (int64_t)malloc_usable_size(memory);
	free(memory);
}

static void *resize(void *memory, int bytes)
{
	int64_t before = (int64_t)malloc_usable_size(memory);
	void *resized;

	if (cap && bytes > before && used + bytes - before > cap)
		return NULL;
	resized = realloc(memory, (size_t)bytes);
	if (resized)
		used += (int64_t)malloc_usable_size(resized) - before;
	return resized;
}

static int size_of(void *memory)
{
	return (int)malloc_usable_size(memory);
}

static int round_up(int bytes)
{
	return (bytes + 7) & ~7;
}

static int start(void *context)
{
	(void)context;
	return SQLITE_OK;
}

static void stop(void *context)
{
	(void)context;
}

static void install(void)
{
	static sqlite3_mem_methods methods = {
	    allocate, release, resize, size_of, round_up, start, stop, NULL};

	/* SQLite's own account of the whole process would be one more lock per allocation. */
	if (sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
	    sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) != SQLITE_OK)
		log_warning("SQLite was in use already: its memory is not capped");
}

void memory_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

void memory_cap_thread(int64_t bytes)
{
	cap = bytes;
}
