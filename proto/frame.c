#include "proto/frame.h"

#include "proto/head.h"

/* Values announced and not yet walked.  Each takes a byte at least. */
static uint64_t still_open(const struct poolite__scan *scan)
{
	uint64_t open = 0;

	for (unsigned level = 0; level < scan->depth; level++)
		open += scan->open[level];
	return open;
}

/* Enter a container: 1, or POOLITE_TOO_LARGE for what its header announces. */
static int enter(
    struct poolite__scan *scan, uint64_t children, const struct poolite__limits *limits)
{
	if (scan->depth == POOLITE__DEPTH_MAX)
		return POOLITE_TOO_LARGE;
	scan->values += children;
	if (limits->values_max != UINT32_MAX && scan->values > limits->values_max)
		return POOLITE_TOO_LARGE;
	if (still_open(scan) + children > limits->frame_bytes_max - scan->offset)
		return POOLITE_TOO_LARGE;
	if (children > 0)
		scan->open[scan->depth++] = children;
	return 1;
}

/* Walk over one value's header, and its body if it has one: 1, 0 when the
 * header is not whole, or an error. */
static int step(struct poolite__scan *scan, const uint8_t *buf, size_t len,
    const struct poolite__limits *limits)
{
	struct poolite__head head;
	bool is_whole = poolite__head_read(buf + scan->offset, len - scan->offset, &head);

	if (head.kind == POOLITE__END)
		return POOLITE_BAD_REQUEST;
	if (head.len > limits->frame_bytes_max - scan->offset)
		return POOLITE_TOO_LARGE;
	if (!is_whole)
		return 0;
	if (scan->values == 0)
		scan->values = 1;
	scan->offset += head.len;
	if (scan->depth > 0)
		scan->open[scan->depth - 1]--;
	if (poolite__head_is_container(&head))
		return enter(scan, poolite__head_children(&head), limits);
	if (head.count > limits->frame_bytes_max - scan->offset)
		return POOLITE_TOO_LARGE;
	scan->offset += head.count;
	return 1;
}

/* How many of the next ${count} bytes are values by themselves. */
static size_t count_single(const uint8_t *at, size_t count)
{
	size_t single = 0;

	while (single < count && poolite__head_is_all(at[single]))
		single++;
	return single;
}

/* Step over the plain values that the innermost container still has, as far as they came
 * and raise no question: most of a message is that. */
static void step_over_plain(struct poolite__scan *scan, const uint8_t *buf, size_t len,
    const struct poolite__limits *limits)
{
	size_t end = len < limits->frame_bytes_max ? len : limits->frame_bytes_max;
	uint64_t left = scan->open[scan->depth - 1];
	size_t at = scan->offset;
	struct poolite__head head;

	while (left > 0 && at < end) {
		size_t single = count_single(buf + at, left < end - at ? left : end - at);

		left -= single;
		at += single;
		if (left == 0 || at == end)
			break;
		if (!poolite__head_read(buf + at, end - at, &head) ||
		    head.kind == POOLITE__END || poolite__head_is_container(&head) ||
		    head.count > end - at - head.len)
			break;
		at += head.len + head.count;
		left--;
	}
	scan->offset = at;
	scan->open[scan->depth - 1] = left;
}

ssize_t poolite__scan_next(struct poolite__scan *scan, const uint8_t *buf, size_t len,
    const struct poolite__limits *limits)
{
	for (;;) {
		if (scan->depth > 0 && scan->offset < len)
			step_over_plain(scan, buf, len, limits);
		/* A level stays until its last value is whole, so that depth counts
		 * what nests, even as the last element. */
		while (scan->depth > 0 && scan->open[scan->depth - 1] == 0)
			scan->depth--;
		if (scan->values > 0 && scan->depth == 0)
			return scan->offset <= len ? (ssize_t)scan->offset : 0;
		if (scan->offset >= len)
			return 0;

		int walked = step(scan, buf, len, limits);
		if (walked <= 0)
			return walked;
	}
}
