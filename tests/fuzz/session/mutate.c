/* mutate.c - libFuzzer's mutations of programs: of whole steps, where its own are of bytes. */
#include "tests/fuzz/session/program.h"

#include <string.h>

#define STEP_BYTES_MAX (4 + 255)

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t size_max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
    const uint8_t *other, size_t other_size, uint8_t *out, size_t out_size_max,
    unsigned int seed);

static unsigned next_random(unsigned *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 16 & 0x7fff;
}

/* Where the steps begin, with the end behind them; returns how many there are. */
static unsigned find_steps(
    const uint8_t *data, size_t size, size_t starts[PROGRAM_STEPS_MAX + 1])
{
	struct fuzz_bytes bytes = {data, size};
	struct step step;
	unsigned count = 0;

	starts[0] = 0;
	while (count < PROGRAM_STEPS_MAX && program_next(&bytes, &step))
		starts[++count] = (size_t)(bytes.at - data);
	return count;
}

/* Put ${len} bytes in at ${at}.  The new size; the same when they do not fit. */
static size_t insert(uint8_t *data, size_t size, size_t size_max, size_t at,
    const uint8_t *bytes, size_t len)
{
	if (size + len > size_max)
		return size;
	memmove(data + at + len, data + at, size - at);
	memcpy(data + at, bytes, len);
	return size + len;
}

static size_t insert_step(
    uint8_t *data, size_t size, size_t size_max, size_t at, unsigned *seed)
{
	/* Those that are needed to get anywhere come more often. */
	static const uint8_t usual[] = {STEP_QUERY, STEP_UPDATE, STEP_BEGIN, STEP_COMMIT,
	    STEP_WAIT, STEP_PEER, STEP_FETCH, STEP_LEDGER};
	uint8_t step[4];

	step[0] = next_random(seed) % 2 ? usual[next_random(seed) % sizeof usual]
					: (uint8_t)(next_random(seed) % STEP_COUNT);
	for (unsigned i = 1; i < sizeof step; i++)
		step[i] = (uint8_t)next_random(seed);
	if (step[0] == STEP_SQL || step[0] == STEP_RAW)
		step[2] = 0;
	return insert(data, size, size_max, at, step, sizeof step);
}

size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t size_max, unsigned int seed)
{
	size_t starts[PROGRAM_STEPS_MAX + 1];
	unsigned count = find_steps(data, size, starts);
	uint8_t copy[STEP_BYTES_MAX];
	unsigned which;
	size_t len;

	if (count == 0)
		return insert_step(data, 0, size_max, 0, &seed);
	which = next_random(&seed) % count;
	len = starts[which + 1] - starts[which];
	switch (next_random(&seed) % 8) {
	case 0:
	case 1: /* a new one */
		return insert_step(data, size, size_max, starts[which], &seed);
	case 2: /* one less */
		memmove(data + starts[which], data + starts[which + 1],
		    size - starts[which + 1]);
		return size - len;
	case 3: /* once more, elsewhere */
		memcpy(copy, data + starts[which], len);
		return insert(data, size, size_max,
		    starts[next_random(&seed) % (count + 1)], copy, len);
	case 4: /* another operand */
		if (len < 4)
			return LLVMFuzzerMutate(data, size, size_max);
		data[starts[which] + 1 + next_random(&seed) % 3] =
		    (uint8_t)next_random(&seed);
		return size;
	case 5: /* the bytes behind it */
		if (len > 4) {
			uint8_t *bytes = data + starts[which] + 4;

			LLVMFuzzerMutate(bytes, len - 4, len - 4);
			return size;
		}
		return insert_step(data, size, size_max, starts[which + 1], &seed);
	default: return LLVMFuzzerMutate(data, size, size_max);
	}
}

/* The first steps of one, the last of the other. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *one, size_t one_size,
    const uint8_t *other, size_t other_size, uint8_t *out, size_t out_size_max,
    unsigned int seed)
{
	size_t starts[PROGRAM_STEPS_MAX + 1];
	size_t head = starts[0] = 0, tail;
	unsigned count = find_steps(one, one_size, starts);

	head = starts[next_random(&seed) % (count + 1)];
	count = find_steps(other, other_size, starts);
	tail = starts[next_random(&seed) % (count + 1)];
	if (head > out_size_max)
		head = 0;
	if (other_size - tail > out_size_max - head)
		tail = other_size;
	memcpy(out, one, head);
	memcpy(out + head, other + tail, other_size - tail);
	return head + other_size - tail;
}
