/* fuzz.h - what the fuzz targets share.
 *
 * A target is one function, called with any bytes at all.  libFuzzer makes them up; in
 * the ordinary build replay.c reads them from the kept corpus.  What must hold is
 * asserted.
 */
#ifndef POOLITE_TESTS_FUZZ_H
#define POOLITE_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/** Run one input.  Returns 0, or -1: not worth keeping. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The next of an input's bytes, as operands; when they are used up: zeros. */
struct fuzz_bytes {
	const uint8_t *at;
	size_t left;
};

static inline uint8_t fuzz_byte(struct fuzz_bytes *bytes)
{
	if (bytes->left == 0)
		return 0;
	bytes->left--;
	return *bytes->at++;
}

/** A copy of ${len} bytes that ends where its memory ends, so that the sanitizer sees a
 *  read past it; for free(). */
uint8_t *fuzz_copy(const void *bytes, size_t len);

#endif
