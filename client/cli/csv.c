/* CSV as RFC 4180 has it: cells between commas, quoted ones may hold commas,
 * line ends and doubled quotes; lines end with LF or CRLF.
 */
#include <stdlib.h>
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/input.h"
#include "proto/value.h"

/** What came after a cell. */
enum after { NEXT_CELL, NEXT_LINE, END_OF_INPUT };

struct csv {
	struct input *input; /* borrowed */
	const struct settings *settings;
	FILE *stream;
	const char **names; /* owns the array; by column, NULL: by position */
	size_t names_count;
	char *cell; /* owns; the cell being read */
	size_t len, room;
	bool is_quoted;
};

static int put(struct csv *csv, int byte)
{
	if (csv->len == csv->room) {
		size_t room = csv->room ? csv->room * 2 : 256;
		char *cell = realloc(csv->cell, room);

		if (!cell)
			return complain(
			    "line %zu: no memory for this cell", csv->input->line);
		csv->cell = cell;
		csv->room = room;
	}
	csv->cell[csv->len++] = (char)byte;
	return EXIT_OK;
}

/* Whether ${byte} ends a line; CRLF is one end. */
static bool ends_line(struct csv *csv, int byte)
{
	int next;

	if (byte == '\n')
		return true;
	if (byte != '\r')
		return false;
	next = getc_unlocked(csv->stream);
	if (next == '\n')
		return true;
	ungetc(next, csv->stream);
	return false;
}

/* The rest of a cell after its opening quote. */
static int read_quoted(struct csv *csv)
{
	size_t start = csv->input->line;

	csv->is_quoted = true;
	for (;;) {
		int byte = getc_unlocked(csv->stream);

		if (byte == EOF)
			return complain(
			    "line %zu: the quote opened here is not closed", start);
		if (byte == '"') {
			byte = getc_unlocked(csv->stream);
			if (byte != '"') {
				ungetc(byte, csv->stream);
				return EXIT_OK;
			}
		}
		if (byte == '\n')
			csv->input->line++;
		if (put(csv, byte))
			return EXIT_FAILED;
	}
}

static int read_cell(struct csv *csv, enum after *after)
{
	int byte = getc_unlocked(csv->stream);

	csv->len = 0;
	csv->is_quoted = false;
	if (byte == '"') {
		if (read_quoted(csv))
			return EXIT_FAILED;
		byte = getc_unlocked(csv->stream);
	}
	for (;; byte = getc_unlocked(csv->stream)) {
		*after = byte == ',' ? NEXT_CELL : byte == EOF ? END_OF_INPUT : NEXT_LINE;
		if (byte == ',' || byte == EOF || ends_line(csv, byte))
			return EXIT_OK;
		if (csv->is_quoted || byte == '"')
			return complain(
			    "line %zu: a quote in the middle of a cell (quote the "
			    "whole cell, and double the quotes inside it)",
			    csv->input->line);
		if (put(csv, byte))
			return EXIT_FAILED;
	}
}

/* A cell of the first line, as the name of its column. */
static int add_name(struct csv *csv)
{
	const char **more =
	    realloc(csv->names, (csv->names_count + 1) * sizeof *csv->names);
	const char *name = input_copy(csv->input, csv->cell, csv->len);

	if (more)
		csv->names = more;
	if (!more || !name)
		return complain("line %zu: no memory for its names", csv->input->line);
	csv->names[csv->names_count++] = name;
	return EXIT_OK;
}

/* The name of column ${at}, from 0; NULL: values go by position. */
static const char *name_of(const struct csv *csv, size_t at)
{
	return at < csv->names_count ? csv->names[at] : NULL;
}

/* The cell as a value of column ${at}. */
static int add_cell(struct csv *csv, size_t at)
{
	const char *null = csv->settings->null_text;
	struct poolite_value value;
	const char *copy;

	if (csv->settings->by_name && at >= csv->names_count)
		return complain("line %zu: more cells than the first line has names",
		    csv->input->line);
	if (!csv->is_quoted && null && strlen(null) == csv->len &&
	    memcmp(null, csv->cell ? csv->cell : "", csv->len) == 0)
		return input_add(
		    csv->input, poolite_named(name_of(csv, at), poolite_null()));
	if (!poolite__is_utf8(csv->cell, csv->len))
		return complain("line %zu: not UTF-8", csv->input->line);
	copy = input_copy(csv->input, csv->cell, csv->len);
	if (!copy)
		return EXIT_FAILED;
	value = value_of_word(copy, csv->len, csv->is_quoted || csv->settings->all_text);
	return input_add(csv->input, poolite_named(name_of(csv, at), value));
}

/* A cell of the first line is a name where names are wanted, and nothing else. */
static int take_cell(struct csv *csv, bool is_header, size_t at)
{
	if (!is_header)
		return add_cell(csv, at);
	return csv->settings->by_name ? add_name(csv) : EXIT_OK;
}

/* One line, or several when cells hold line ends. */
static int read_row(struct csv *csv, bool is_header, bool *at_end)
{
	struct input *input = csv->input;
	size_t line = input->line;
	enum after after = NEXT_CELL;

	for (size_t cells = 0; after == NEXT_CELL; cells++) {
		if (read_cell(csv, &after))
			return EXIT_FAILED;
		*at_end = after == END_OF_INPUT;
		/* An empty line is a row only where rows have one cell. */
		if (cells == 0 && after != NEXT_CELL && csv->len == 0 &&
		    !csv->is_quoted &&
		    (*at_end || (input->rows > 0 && input->columns != 1)))
			break;
		if (take_cell(csv, is_header, cells))
			return EXIT_FAILED;
		if (after != NEXT_CELL && !is_header && input_end_row(input, line))
			return EXIT_FAILED;
	}
	if (!*at_end)
		input->line++;
	return EXIT_OK;
}

/* Some programs begin UTF-8 with a mark.  glibc takes back what it just gave. */
static void skip_mark(FILE *stream)
{
	static const unsigned char mark[] = {0xef, 0xbb, 0xbf};
	int met = 0;
	int byte;

	while (met < 3 && (byte = getc(stream)) == mark[met])
		met++;
	if (met == 3)
		return;
	ungetc(byte, stream);
	while (met > 0)
		ungetc(mark[--met], stream);
}

int csv_read(struct input *input, const struct settings *settings, FILE *stream)
{
	struct csv csv = {.input = input, .settings = settings, .stream = stream};
	bool at_end = false;
	int status = EXIT_OK;

	skip_mark(stream);
	if (settings->has_header)
		status = read_row(&csv, true, &at_end);
	while (status == EXIT_OK && !at_end)
		status = read_row(&csv, false, &at_end);
	free(csv.cell);
	free(csv.names);
	return status;
}
