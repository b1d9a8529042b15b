/* output.h - results on standard output.
 *
 * Whether it could be written is asked by output_flush, between pages and at the end.
 */
#ifndef POOLITE_CLI_OUTPUT_H
#define POOLITE_CLI_OUTPUT_H

#include "client/cli/cli.h"
#include "client/cli/rows.h"

/** A figure to write, as one of a row. */
struct figure {
	const char *name;
	int64_t value;
};

/** The format to use: settings->output, or what suits standard output. */
enum output_format output_format(const struct settings *settings);

/**
 * Write all rows as they come.  0, or -1 when they stop before the end (rows.h), or
 * memory is short; what was written then does not look complete.
 * BLOBs are hex, in a table x'hex'.  NULL is settings->null_text, else \N when
 * tab-separated, an unquoted nothing in CSV, and faint in a table.
 */
int output_rows(const struct settings *settings, struct rows *rows);

/** Write ${count} figures as one row, in JSON as one object. */
void output_figures(
    const struct settings *settings, const struct figure *figures, size_t count);

/** Write a document (stats, health): text for eyes, or JSON.  0, or a code. */
int output_document(
    const struct settings *settings, const struct poolite_document *document);

/**
 * Flush.  EXIT_OK; or, when anything was not written, EXIT_FAILED after a complaint, but
 * silently when a pipe's reader has gone.  That is told once.
 *
 *   is_of_change  it is the output of a change that was made: then it is always said that
 *                 it was made, and EXIT_UNWRITTEN
 */
int output_flush(bool is_of_change);

#endif
