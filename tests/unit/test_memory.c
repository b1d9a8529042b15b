/* SQLite's memory: each thread's account, and small blocks kept for the next request. */
#include <criterion/criterion.h>
#include <malloc.h>
#include <pthread.h>
#include <sqlite3.h>

#include "broker/db/memory.h"

#define CAP    (1 << 20)
#define BLOCKS 2000

static void *blocks[BLOCKS];

static void set_up(void)
{
	memory_install();
	cr_assert_eq(sqlite3_initialize(), SQLITE_OK);
}

TestSuite(memory, .init = set_up);

static void take_all(int bytes)
{
	for (int i = 0; i < BLOCKS; i++) {
		blocks[i] = sqlite3_malloc(bytes);
		cr_assert_not_null(blocks[i]);
		memset(blocks[i], 0xa5, (size_t)bytes);
	}
}

static void give_all(void)
{
	for (int i = 0; i < BLOCKS; i++)
		sqlite3_free(blocks[i]);
}

Test(memory, who_passes_the_cap_gets_none_and_others_do)
{
	memory_cap_thread(CAP);
	cr_assert_null(sqlite3_malloc(CAP + 1));
	void *memory = sqlite3_malloc(CAP / 2 + 1);
	cr_assert_not_null(memory);
	cr_assert_null(sqlite3_malloc(CAP / 2 + 1));
	cr_assert_null(sqlite3_realloc(memory, CAP + 1));
	sqlite3_free(memory);
	memory_cap_thread(0);
	memory = sqlite3_malloc(CAP);
	cr_assert_not_null(memory);
	sqlite3_free(memory);
}

Test(memory, blocks_given_back_are_out_of_the_account_whatever_their_size)
{
	memory_cap_thread(CAP);
	for (int bytes = 1; bytes <= 400; bytes++) {
		take_all(bytes);
		give_all();
	}
	void *memory = sqlite3_malloc(CAP - 4096);
	cr_assert_not_null(memory);
	sqlite3_free(memory);
}

/* Blocks of all sizes at once, taken again from what was kept: nobody's bytes are another's. */
Test(memory, blocks_that_are_handed_out_do_not_overlap)
{
	unsigned char *held[300];

	for (int round = 0; round < 3; round++) {
		for (int i = 0; i < 300; i++) {
			held[i] = sqlite3_malloc(i + 1);
			memset(held[i], i, (size_t)i + 1);
		}
		for (int i = 0; i < 300; i++) {
			for (int at = 0; at <= i; at++)
				cr_assert_eq(held[i][at], (unsigned char)i);
			sqlite3_free(held[i]);
		}
	}
}

static void *use_memory(void *context)
{
	(void)context;
	take_all(100);
	give_all();
	return NULL;
}

static size_t bytes_in_use(void)
{
	return mallinfo2().uordblks;
}

Test(memory, thread_that_ends_leaves_none_behind)
{
	size_t before = bytes_in_use();

	for (int i = 0; i < 50; i++) {
		pthread_t thread;

		cr_assert_eq(pthread_create(&thread, NULL, use_memory, NULL), 0);
		pthread_join(thread, NULL);
	}
	cr_assert_lt(bytes_in_use(), before + 20000); /* one thread keeps 2,400 */
}
