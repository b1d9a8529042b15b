/* utf8.h - one UTF-8 sequence: well formed or not. */
#ifndef POOLITE_PROTO_UTF8_H
#define POOLITE_PROTO_UTF8_H

#include <stddef.h>
#include <stdint.h>

/**
 * Length (1 .. 4) of the well-formed sequence that ${left} > 0 bytes begin with, or 0:
 * cut off, overlong, a surrogate, above U+10FFFF, or no first byte.
 */
static inline size_t poolite__utf8_len(const uint8_t *at, size_t left)
{
	uint8_t first = at[0];
	uint8_t low =
	    0x80; /* bounds of the second byte: they exclude all that is ill-formed */
	uint8_t high = 0xbf;
	size_t len;

	if (first < 0x80)
		return 1;
	if (first < 0xc2 || first > 0xf4)
		return 0;
	len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (left < len || at[1] < low || at[1] > high)
		return 0;
	for (size_t i = 2; i < len; i++)
		if ((at[i] & 0xc0) != 0x80)
			return 0;
	return len;
}

#endif
