/* wire.h - bytes for the tests of proto/: from hexadecimal, from JSON, from the
 * examples of PROTOCOL.md, and on memory that faults behind the last byte.
 */
#ifndef POOLITE_TESTS_WIRE_H
#define POOLITE_TESTS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/buffer.h"

/** Bytes of "94 00 01"; ${out} takes strlen(hex) / 2 at most.  Returns how many. */
size_t wire_unhex(const char *hex, uint8_t *out);

/** "9400ff" of bytes, to be freed. */
char *wire_hex(const void *bytes, size_t len);

/** Append ${json} as MessagePack.  ' may stand for ", and strings become str. */
void wire_pack_json(struct poolite__buf *buf, const char *json);

/* A copy of some bytes, the last of them just before a page nobody may touch. */
struct wire_guarded {
	uint8_t *bytes;
	void *pages;
	size_t size;
};

struct wire_guarded wire_guard(const void *bytes, size_t len);
void wire_unguard(struct wire_guarded *guarded);

/* One example of PROTOCOL.md. */
struct wire_example {
	bool is_client; /* sent by the client, else by the broker */
	int line;       /* of the document */
	char form[1024];
	uint8_t bytes[1024];
	size_t len;
};

#define WIRE_EXAMPLES_MAX 64

/** Read all of them.  Returns how many; 0 when the document cannot be read. */
size_t wire_examples(struct wire_example *examples);

#endif
