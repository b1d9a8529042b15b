#include "tests/fuzz/fuzz.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

uint8_t *fuzz_copy(const void *bytes, size_t len)
{
	/* Of nothing, too: malloc(0) has no byte that may be read. */
	uint8_t *copy = malloc(len);

	assert(copy);
	if (len > 0)
		memcpy(copy, bytes, len);
	return copy;
}
