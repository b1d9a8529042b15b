/* The scanner at every split point, on memory that faults behind the last byte. */
#include "proto/frame.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/wire.h"

static const struct poolite__limits defaults = {
    .frame_bytes_max = POOLITE__FRAME_BYTES_DEFAULT,
    .values_max = POOLITE__VALUES_DEFAULT,
};

/* What one scan says that is shown ${len} bytes, one more each time. */
static ssize_t scan_bytewise(
    const uint8_t *bytes, size_t len, const struct poolite__limits *limits, size_t *asked)
{
	struct poolite__scan scan = {0};
	ssize_t rc = 0;

	for (*asked = 0; rc == 0 && *asked <= len; ++*asked) {
		struct wire_guarded part = wire_guard(bytes, *asked);

		rc = poolite__scan_next(&scan, part.bytes, *asked, limits);
		wire_unguard(&part);
	}
	--*asked;
	return rc;
}

/* Show ${bytes} in two parts, split everywhere, and all byte by byte: it ends at ${len}. */
static void expect_whole(const uint8_t *bytes, size_t len, const char *what)
{
	size_t asked;

	for (size_t split = 0; split <= len; split++) {
		struct wire_guarded part = wire_guard(bytes, split);
		struct wire_guarded all = wire_guard(bytes, len);
		struct poolite__scan scan = {0};
		ssize_t first = poolite__scan_next(&scan, part.bytes, split, &defaults);

		cr_assert(eq(long, first, split < len ? 0 : (long)len),
		    "%s, split at %zu", what, split);
		if (split < len)
			cr_assert(
			    eq(long, poolite__scan_next(&scan, all.bytes, len, &defaults),
				(long)len),
			    "%s, split at %zu", what, split);
		wire_unguard(&part);
		wire_unguard(&all);
	}
	cr_assert(eq(long, scan_bytewise(bytes, len, &defaults, &asked), (long)len), "%s",
	    what);
	cr_assert(eq(sz, asked, len), "%s", what);
}

Test(frame, finds_the_end_of_each_kind_of_value)
{
	static const char *const values[] = {"00", "7f", "e0", "ff", "c0", "c2", "c3",
	    "80", "90", "a0", "a3 616263", "c4 02 0001", "c5 0002 0001",
	    "c6 00000002 0001", "c7 02 01 0001", "c8 0002 01 0001", "c9 00000002 01 0001",
	    "ca 3f800000", "cb 3ff0000000000000", "cc ff", "cd ffff", "ce ffffffff",
	    "cf ffffffffffffffff", "d0 80", "d1 8000", "d2 80000000",
	    "d3 8000000000000000", "d4 01 00", "d5 01 0000", "d6 01 00000000",
	    "d7 01 0000000000000000", "d8 01 00000000000000000000000000000000",
	    "d9 01 61", "da 0001 61", "db 00000001 61", "dc 0002 01 02",
	    "dd 00000002 01 02", "de 0001 01 02", "df 00000001 01 02", "dc 0000",
	    "dd 00000000", "de 0000", "df 00000000", "c4 00", "d9 00", "c7 00 01",
	    "91 91 91 90", "82 a1 61 93 01 02 03 a1 62 81 c0 c0", "93 90 80 a0"};

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		uint8_t bytes[64];
		size_t len = wire_unhex(values[i], bytes);

		expect_whole(bytes, len, values[i]);
	}
}

Test(frame, finds_the_end_of_every_example_of_the_protocol)
{
	static struct wire_example examples[WIRE_EXAMPLES_MAX];
	size_t count = wire_examples(examples);

	cr_assert(gt(sz, count, 30));
	for (size_t i = 0; i < count; i++)
		expect_whole(examples[i].bytes, examples[i].len, examples[i].form);
}

Test(frame, leaves_alone_what_follows)
{
	struct poolite__scan scan = {0};
	uint8_t bytes[8];
	size_t len = wire_unhex("92 01 a1 61 c1 c1", bytes);

	cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &defaults), 4));
}

Test(frame, leaves_alone_what_follows_a_last_element_that_is_empty)
{
	static const struct {
		const char *hex;
		long rc;
	} table[] = {{"91 90 01 01", 2}, {"92 01 80 01 01", 3}, {"91 91 90 01 01 01", 3}};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__scan scan = {0};
		uint8_t bytes[8];
		size_t len = wire_unhex(table[i].hex, bytes);

		cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &defaults),
			      table[i].rc),
		    "%s", table[i].hex);
	}
}

Test(frame, goes_on_saying_where_a_whole_message_ends)
{
	struct poolite__scan scan = {0};
	uint8_t bytes[8];
	size_t len = wire_unhex("92 01 a1 61 01 01 01", bytes);

	cr_assert(eq(long, poolite__scan_next(&scan, bytes, 4, &defaults), 4));
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, 4, &defaults), 4));
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &defaults), 4));
}

/* Refused as soon as ${at} bytes are there, and not before. */
struct hostile {
	const char *name;
	const char *hex;
	size_t at;
	int code;
};

static void expect_refused(
    const struct hostile *hostile, const uint8_t *bytes, size_t len)
{
	size_t asked;
	ssize_t rc = scan_bytewise(bytes, len, &defaults, &asked);

	cr_assert(eq(long, rc, hostile->code), "%s", hostile->name);
	cr_assert(eq(sz, asked, hostile->at), "%s", hostile->name);
}

Test(frame, refuses_hostile_bytes_on_the_header)
{
	static const struct hostile table[] = {
	    {"array of 4 G", "dd ffffffff", 5, POOLITE_TOO_LARGE},
	    {"array of 16 M", "dd 00ffffff", 5, POOLITE_TOO_LARGE},
	    {"map of 4 G pairs", "df ffffffff", 5, POOLITE_TOO_LARGE},
	    {"map of 2 M pairs and one", "df 001e8481", 5, POOLITE_TOO_LARGE},
	    {"bin of 4 GB", "c6 ffffffff", 5, POOLITE_TOO_LARGE},
	    {"str of 4 GB", "db ffffffff", 5, POOLITE_TOO_LARGE},
	    {"ext of 4 GB", "c9 ffffffff 01", 6, POOLITE_TOO_LARGE},
	    {"huge array inside", "94 00 01 dd ffffffff", 8, POOLITE_TOO_LARGE},
	    {"huge bin inside", "94 00 01 c6 ffffffff", 8, POOLITE_TOO_LARGE},
	    {"bin that would end behind the limit", "91 c6 00fffffb", 6,
		POOLITE_TOO_LARGE},
	    {"not MessagePack", "c1", 1, POOLITE_BAD_REQUEST},
	    {"not MessagePack inside", "93 00 a1 61 c1", 5, POOLITE_BAD_REQUEST},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t bytes[64];
		size_t len = wire_unhex(table[i].hex, bytes);

		expect_refused(&table[i], bytes, len);
	}
}

Test(frame, refuses_what_would_end_one_byte_behind_the_limit)
{
	struct poolite__limits limits = {.frame_bytes_max = 10, .values_max = 100};
	static const struct {
		const char *hex;
		long rc;
	} table[] = {
	    {"a9 616263646566676869", 10}, {"aa", POOLITE_TOO_LARGE},
	    {"c4 08 0000000000000000", 10}, {"c4 09", POOLITE_TOO_LARGE},
	    {"92 01 c4 06 000000000000", 10}, {"92 01 c4 07", POOLITE_TOO_LARGE},
	    {"99 01 01 01 01 01 01 01 01 01", 10},
	    {"9a", POOLITE_TOO_LARGE},    /* ten more values do not fit */
	    {"92 98", POOLITE_TOO_LARGE}, /* eight, and one after them */
	    {"92 97 01 01 01 01 01 01 01 01", 10}, {"84 01 01 01 01 01 01 01 01", 9},
	    {"85", POOLITE_TOO_LARGE},
	    {"92 cb 0000000000000000", 0}, /* full, and one is still to come */
	    {"92 cb 0000000000000000 01", POOLITE_TOO_LARGE},
	    {"93 01 cb",
		POOLITE_TOO_LARGE}, /* the last of its eight bytes does not fit */
	    {"92 92 92 92 92",
		POOLITE_TOO_LARGE}, /* five open levels and one more value */
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t bytes[64];
		size_t len = wire_unhex(table[i].hex, bytes);
		size_t asked;

		cr_assert(
		    eq(long, scan_bytewise(bytes, len, &limits, &asked), table[i].rc),
		    "%s", table[i].hex);
		cr_assert(eq(sz, asked, len), "%s", table[i].hex);
	}
}

Test(frame, takes_what_ends_at_the_limit_and_refuses_one_byte_more)
{
	static const struct {
		const char *hex;
		size_t limit;
		long rc;
	} table[] = {
	    {"c0", 1, 1},
	    {"91 90", 2, 2},
	    {"91 91", 2, POOLITE_TOO_LARGE},
	    /* what the body would end behind comes late in the message */
	    {"9f 0101010101010101010101010101 c4 03 000000", 20, 20},
	    {"9f 0101010101010101010101010101 c4 04", 20, POOLITE_TOO_LARGE},
	    {"9f 0101010101010101010101010101 c4 0a", 20, POOLITE_TOO_LARGE},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		struct poolite__limits limits = {
		    .frame_bytes_max = table[i].limit, .values_max = 100};
		uint8_t bytes[64];
		size_t len = wire_unhex(table[i].hex, bytes);
		size_t asked;

		cr_assert(
		    eq(long, scan_bytewise(bytes, len, &limits, &asked), table[i].rc),
		    "%s", table[i].hex);
		cr_assert(eq(sz, asked, len), "%s", table[i].hex);
	}
}

Test(frame, counts_values_as_headers_announce_them)
{
	struct poolite__limits limits = {.frame_bytes_max = 1000, .values_max = 6};
	static const struct {
		const char *hex;
		long rc;
	} table[] = {
	    {"95 01 01 01 01 01", 6},
	    {"96", POOLITE_TOO_LARGE},
	    {"92 01 93 01 01 01", 6},
	    {"92 01 94", POOLITE_TOO_LARGE},
	    {"82 01 01 01 01", 5},
	    {"83", POOLITE_TOO_LARGE},
	    {"93 90 80 91 01", 5},
	    {"93 92 01 01 91 01", POOLITE_TOO_LARGE},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		uint8_t bytes[64];
		size_t len = wire_unhex(table[i].hex, bytes);
		size_t asked;

		cr_assert(
		    eq(long, scan_bytewise(bytes, len, &limits, &asked), table[i].rc),
		    "%s", table[i].hex);
	}
}

Test(frame, is_bound_by_bytes_alone_when_values_are_not_limited)
{
	struct poolite__limits limits = {
	    .frame_bytes_max = SIZE_MAX / 2, .values_max = UINT32_MAX};
	struct poolite__scan scan = {0};
	uint8_t bytes[64];
	size_t len = wire_unhex("92 dd ffffffff dd ffffffff", bytes);

	cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &limits), 0));
}

/* ${levels} arrays of one element, each the only element of the one before. */
static ssize_t scan_nested(size_t levels, const char *innermost, size_t *asked)
{
	uint8_t *bytes = malloc(levels + 1);
	size_t len = levels - 1;
	ssize_t rc;

	memset(bytes, 0x91, levels);
	len += wire_unhex(innermost, bytes + len);
	rc = scan_bytewise(bytes, len, &defaults, asked);
	free(bytes);
	return rc;
}

Test(frame, takes_sixteen_levels_and_refuses_the_seventeenth)
{
	size_t asked;

	cr_assert(eq(long, scan_nested(16, "90", &asked), 16));
	cr_assert(eq(long, scan_nested(16, "80", &asked), 16));
	cr_assert(eq(long, scan_nested(17, "c0", &asked), 17));
	cr_assert(eq(long, scan_nested(17, "90", &asked), POOLITE_TOO_LARGE));
	cr_assert(eq(long, scan_nested(17, "80", &asked), POOLITE_TOO_LARGE));
	cr_assert(eq(long, scan_nested(17, "91", &asked), POOLITE_TOO_LARGE));
	cr_assert(eq(long, scan_nested(33, "91", &asked), POOLITE_TOO_LARGE));
	cr_assert(eq(sz, asked, 17));
	cr_assert(eq(long, scan_nested(10000, "91", &asked), POOLITE_TOO_LARGE));
	cr_assert(eq(sz, asked, 17));
}

Test(frame, comes_back_up_from_every_level)
{
	/* 16 deep, then a sibling at each level on the way up, and one more in depth. */
	uint8_t bytes[64];
	size_t len = wire_unhex("92 92 92 92 92 92 92 92 92 92 92 92 92 92 92 91 01"
				"90 01 01 01 01 01 01 01 01 01 01 01 01 01 91 91 91 01",
	    bytes);

	expect_whole(bytes, len, "up and down");
}

Test(frame, waits_for_what_nested_arrays_announce_without_taking_memory_for_it)
{
	uint8_t bytes[17 * 3];
	struct poolite__scan scan = {0};

	for (size_t i = 0; i < 17; i++)
		wire_unhex("dc ffff", bytes + 3 * i);
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, 48, &defaults), 0));
	cr_assert(
	    eq(long, poolite__scan_next(&scan, bytes, 51, &defaults), POOLITE_TOO_LARGE));
}

Test(frame, never_walks_the_same_bytes_again)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t len = 16 * page;
	uint8_t *bytes =
	    mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct poolite__scan scan = {0};

	cr_assert(ne(ptr, bytes, MAP_FAILED));
	/* One array32 with small integers up to the last byte. */
	memset(bytes, 0x01, len);
	bytes[0] = 0xdd;
	for (unsigned i = 0; i < 4; i++)
		bytes[1 + i] = (uint8_t)((len - 5) >> (24 - 8 * i));
	for (size_t seen = page; seen < len; seen += page) {
		cr_assert(eq(long, poolite__scan_next(&scan, bytes, seen, &defaults), 0));
		mprotect(bytes + seen - page, page, PROT_NONE);
	}
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &defaults), (long)len));
	munmap(bytes, len);
}

Test(frame, skips_a_body_that_has_not_come_yet)
{
	struct poolite__scan scan = {0};
	uint8_t bytes[16];

	wire_unhex("92 c4 08", bytes);
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, 3, &defaults), 0));
	cr_assert(eq(sz, scan.offset, 11));
	wire_unhex("92 c4 08 c1c1c1c1c1c1c1c1 01", bytes);
	for (size_t len = 4; len < 12; len++)
		cr_assert(eq(long, poolite__scan_next(&scan, bytes, len, &defaults), 0));
	cr_assert(eq(long, poolite__scan_next(&scan, bytes, 12, &defaults), 12));
}
