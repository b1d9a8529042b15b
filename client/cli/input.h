/* input.h - a batch's rows from a stream: CSV (RFC 4180) or JSON lines.
 *
 * All rows come into memory, for a batch is all of them or none.
 */
#ifndef POOLITE_CLI_INPUT_H
#define POOLITE_CLI_INPUT_H

#include <stdio.h>

#include "client/cli/cli.h"

/** A piece of memory that texts are copied to. */
struct piece;

struct input {
	struct poolite_value *values; /* owns; rows times columns */
	size_t columns;               /* as the first row has them */
	size_t rows;
	size_t *lines; /* owns; where each row begins in the stream, from 1 */

	size_t count, room;   /* values in use, values there is room for */
	size_t lines_room;    /* rows there is room for in lines */
	struct piece *pieces; /* owns; what the values point into */
	size_t line;          /* being read, from 1: for errors */
	bool shows_progress;  /* standard error is a terminal */
	long long shown_ms;   /* when progress is to be shown next */
};

/**
 * Read all of ${stream}.
 *
 * CSV: a cell is a value as a word of the command line is (args.h), TEXT when
 * it is quoted.  settings->null_text stands for NULL where it is not quoted;
 * settings->has_header: the first line is none of the rows; with settings->by_name
 * it names the values below it.
 * JSON lines: a line is an array (by position) or an object (by name); all of
 * them have as many values, or the same keys, as the first.
 *
 * Returns EXIT_OK, or EXIT_FAILED after a complaint that names the line.
 * ${input} is for input_release either way.
 */
int input_read(struct input *input, const struct settings *settings, FILE *stream);

/** On a terminal: say that many rows are being saved, and take that away again. */
void input_show_saving(const struct input *input);
void input_show_nothing(const struct input *input);

/** Where ${stream} is a terminal: say that something is to be typed. */
void input_tell_of_terminal(FILE *stream);

/** Free it all. */
void input_release(struct input *input);

/* ---- for csv.c and jsonl.c ----------------------------------------------- */

/** Read the rows of one format. */
int csv_read(struct input *input, const struct settings *settings, FILE *stream);
int jsonl_read(struct input *input, FILE *stream);

/** Add one value of the current row.  EXIT_OK, or EXIT_FAILED after a complaint. */
int input_add(struct input *input, struct poolite_value value);

/** Copy ${len} bytes and a NUL to where they last as long as ${input}; NULL
 * after a complaint: no memory. */
char *input_copy(struct input *input, const char *bytes, size_t len);

/** The current row is whole; it began at ${line}. */
int input_end_row(struct input *input, size_t line);

#endif
