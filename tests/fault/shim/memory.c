/* malloc and its like, refusing to order.  SQLite's memory comes through here too. */
#include <errno.h>
#include <stdlib.h>

#include "tests/fault/shim/control.h"

static bool refuses(size_t bytes)
{
	struct control *control = shim_control();
	uint64_t number, at;

	if (!control)
		return false;
	number = atomic_fetch_add(&control->allocations, 1) + 1;
	at = control->refuse_at;
	if (!(control->refuse_bytes && bytes >= control->refuse_bytes) &&
	    (at == 0 || number < at || (number > at && !control->refuse_for_ever)))
		return false;
	atomic_fetch_add(&control->injected, 1);
	errno = ENOMEM;
	return true;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
/* A sanitizer brings its own, and the linker puts these before it: for what the broker
 * calls, SQLite's memory included (broker/db/memory.c), but not for the libraries. */
#define OURS(name) __wrap_##name
#define REAL(name) __real_##name
#else
/* Over those of libc, for the whole process: libraries call these too. */
#define OURS(name) name
#define REAL(name) __libc_##name
#endif
#pragma GCC visibility push(default)

void *REAL(malloc)(size_t bytes);
void *REAL(calloc)(size_t count, size_t bytes);
void *REAL(realloc)(void *memory, size_t bytes);
void *OURS(malloc)(size_t bytes);
void *OURS(calloc)(size_t count, size_t bytes);
void *OURS(realloc)(void *memory, size_t bytes);

void *OURS(malloc)(size_t bytes)
{
	return refuses(bytes) ? NULL : REAL(malloc)(bytes);
}

void *OURS(calloc)(size_t count, size_t bytes)
{
	return refuses(count * bytes) ? NULL : REAL(calloc)(count, bytes);
}

void *OURS(realloc)(void *memory, size_t bytes)
{
	return refuses(bytes) ? NULL : REAL(realloc)(memory, bytes);
}

#pragma GCC visibility pop
