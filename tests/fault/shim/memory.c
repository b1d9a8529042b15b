/* malloc and its like, refusing to order.  SQLite's memory comes through here too. */
#include <errno.h>
#include <stdlib.h>

#include "tests/fault/shim/control.h"

/* A sanitizer brings its own. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

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

/* Over those of libc, for the whole process: libraries call these too. */
#define EXPORTED __attribute__((visibility("default")))

void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t count, size_t bytes);
void *__libc_realloc(void *memory, size_t bytes);

EXPORTED void *malloc(size_t bytes)
{
	return refuses(bytes) ? NULL : __libc_malloc(bytes);
}

EXPORTED void *calloc(size_t count, size_t bytes)
{
	return refuses(count * bytes) ? NULL : __libc_calloc(count, bytes);
}

EXPORTED void *realloc(void *memory, size_t bytes)
{
	return refuses(bytes) ? NULL : __libc_realloc(memory, bytes);
}

#endif
