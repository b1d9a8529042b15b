#include "broker/db/memory.h"

#include <malloc.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

#include <sqlite3.h>

#include "broker/log.h"

/*
 * Small blocks that SQLite gave back are kept for its next request: a point read takes and
 * frees five, and Debian's build has no lookaside.  Kept blocks are not in the account;
 * they are at most KEPT_MAX of each size, 48 KiB for a thread in all.
 */
#define KEPT_BYTES 264 /* the largest that is kept, as malloc_usable_size has it */
#define KEPT_MAX   24
#define SIZE_STEP  16

#if defined(__SANITIZE_ADDRESS__)
#define IS_KEEPING 0 /* the sanitizer shall see each block's end */
#else
#define IS_KEEPING 1
#endif

struct kept {
	struct kept *next;
};

struct kept_list {
	struct kept *head; /* owns */
	unsigned count;
};

/* By usable size: [n] for n * SIZE_STEP + 8 bytes, as glibc's blocks are. */
static _Thread_local struct kept_list kept[KEPT_BYTES / SIZE_STEP + 1];
static _Thread_local bool is_registered; /* for free_kept at the thread's end */
static pthread_key_t at_thread_end;

/* What is freed on another thread than it came from makes one account too
 * large and one negative; that is a few kilobytes when a connection is opened. */
static _Thread_local int64_t used;
static _Thread_local int64_t cap;

static void free_kept(void *context)
{
	(void)context;
	for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
		while (kept[i].head) {
			struct kept *block = kept[i].head;
			kept[i].head = block->next;
			free(block);
		}
}

/* A kept block of at least ${bytes}, or NULL. */
static void *take_kept(int bytes)
{
	struct kept_list *list = &kept[(bytes + SIZE_STEP - 9) / SIZE_STEP];
	struct kept *block = list->head;

	if (!block)
		return NULL;
	list->head = block->next;
	list->count--;
	return block;
}

/* Keep a block of ${usable} bytes; false when it is to be freed. */
static bool keep(void *memory, size_t usable)
{
	struct kept_list *list = &kept[usable / SIZE_STEP];
	struct kept *block = memory;

	if (list->count == KEPT_MAX || usable % SIZE_STEP != 8)
		return false;
	if (!is_registered && pthread_setspecific(at_thread_end, kept))
		return false;
	is_registered = true;
	block->next = list->head;
	list->head = block;
	list->count++;
	return true;
}

static void *allocate(int bytes)
{
	void *memory = NULL;

	if (cap && used + bytes > cap)
		return NULL;
	if (IS_KEEPING && bytes > 8 && bytes <= KEPT_BYTES)
		memory = take_kept(bytes);
	if (!memory)
		memory = malloc((size_t)bytes);
	if (memory)
		used += (int64_t)malloc_usable_size(memory);
	return memory;
}

static void release(void *memory)
{
	size_t usable = malloc_usable_size(memory);

	used -= (int64_t)usable;
	if (!IS_KEEPING || usable > KEPT_BYTES || !keep(memory, usable))
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

	if (pthread_key_create(&at_thread_end, free_kept))
		abort(); /* there are 1024, and nobody else here takes any */
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
