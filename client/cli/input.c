#include "client/cli/input.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PIECE_BYTES ((size_t)1 << 20)
/* Nothing is shown for input that is read sooner than this. */
#define QUIET_MS    1000
#define PROGRESS_MS 250
/* Saving fewer is over before anybody reads about it. */
#define MANY_ROWS 20000

struct piece {
	struct piece *next;
	size_t size, used;
	char bytes[];
};

static int no_memory(const struct input *input)
{
	return complain("line %zu: no memory for so much input", input->line);
}

char *input_copy(struct input *input, const char *bytes, size_t len)
{
	struct piece *piece = input->pieces;
	char *copy;

	if (!piece || piece->size - piece->used < len + 1) {
		size_t size = len + 1 > PIECE_BYTES ? len + 1 : PIECE_BYTES;

		piece = malloc(sizeof *piece + size);
		if (!piece) {
			no_memory(input);
			return NULL;
		}
		piece->next = input->pieces;
		piece->size = size;
		piece->used = 0;
		input->pieces = piece;
	}
	copy = piece->bytes + piece->used;
	if (len > 0)
		memcpy(copy, bytes, len);
	copy[len] = '\0';
	piece->used += len + 1;
	return copy;
}

int input_add(struct input *input, struct poolite_value value)
{
	if (input->count == input->room) {
		size_t room = input->room ? input->room * 2 : 1024;
		struct poolite_value *values =
		    reallocarray(input->values, room, sizeof *values);

		if (!values)
			return no_memory(input);
		input->values = values;
		input->room = room;
	}
	input->values[input->count++] = value;
	return EXIT_OK;
}

/* ---- progress ------------------------------------------------------------ */

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void show_progress(struct input *input)
{
	long long now;

	if (!input->shows_progress || input->rows % 256 != 0)
		return;
	now = now_ms();
	if (now < input->shown_ms)
		return;
	fprintf(stderr, "\r\033[K%zu rows read ", input->rows);
	input->shown_ms = now + PROGRESS_MS;
}

void input_show_saving(const struct input *input)
{
	if (input->shows_progress && input->rows >= MANY_ROWS)
		fprintf(stderr, "\r\033[K%zu rows read, saving them ", input->rows);
}

void input_show_nothing(const struct input *input)
{
	if (input->shows_progress)
		fputs("\r\033[K", stderr);
}

void input_tell_of_terminal(FILE *stream)
{
	if (isatty(fileno(stream)) && isatty(STDERR_FILENO))
		fputs("reading from the terminal; Ctrl-D on a line of its own ends it\n",
		    stderr);
}

/* ---- rows ---------------------------------------------------------------- */

static int note_line(struct input *input, size_t line)
{
	if (input->rows == input->lines_room) {
		size_t room = input->lines_room ? input->lines_room * 2 : 256;
		size_t *lines = reallocarray(input->lines, room, sizeof *lines);

		if (!lines)
			return no_memory(input);
		input->lines = lines;
		input->lines_room = room;
	}
	input->lines[input->rows] = line;
	return EXIT_OK;
}

int input_end_row(struct input *input, size_t line)
{
	size_t columns = input->count - input->rows * input->columns;

	if (input->rows == 0)
		columns = input->columns = input->count;
	if (columns != input->columns)
		return complain("line %zu: %zu value%s: expected %zu, as in line %zu",
		    line, columns, columns == 1 ? "" : "s", input->columns,
		    input->lines[0]);
	if (note_line(input, line))
		return EXIT_FAILED;
	input->rows++;
	show_progress(input);
	return EXIT_OK;
}

int input_read(struct input *input, const struct settings *settings, FILE *stream)
{
	int status;

	memset(input, 0, sizeof *input);
	input->line = 1;
	input->shows_progress = isatty(STDERR_FILENO);
	input->shown_ms = now_ms() + QUIET_MS;
	input_tell_of_terminal(stream);
	status = settings->input == INPUT_CSV ? csv_read(input, settings, stream)
					      : jsonl_read(input, stream);
	if (status == EXIT_OK && ferror(stream))
		status = complain("line %zu: the input cannot be read on: %s",
		    input->line, strerrordesc_np(errno));
	return status;
}

void input_release(struct input *input)
{
	struct piece *next;

	for (struct piece *piece = input->pieces; piece; piece = next) {
		next = piece->next;
		free(piece);
	}
	free(input->values);
	free(input->lines);
	memset(input, 0, sizeof *input);
}
