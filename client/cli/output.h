/* output.h - results on standard output.
 *
 * Whether it could be written is asked once, at the end (output_end).
 */
#ifndef POOLITE_CLI_OUTPUT_H
#define POOLITE_CLI_OUTPUT_H

#include "client/cli/cli.h"

/** A figure to write, as one of a row. */
struct figure {
	const char *name;
	int64_t value;
};

/** The format to use: settings->output, or what suits standard output. */
enum output_format output_format(const struct settings *settings);

/**
 * Write all rows.  0, or a code when a row makes no sense or memory is short.
 * BLOBs are hex, in a table x'hex'.  NULL is settings->null_text, else \N when
 * tab-separated, an unquoted nothing in CSV, and faint in a table.
 */
int output_result(const struct settings *settings, struct poolite_result *result);

/** Write ${count} figures as one row, in JSON as one object. */
void output_figures(
    const struct settings *settings, const struct figure *figures, size_t count);

/** Write a document (stats, health): text for eyes, or JSON.  0, or a code. */
int output_document(
    const struct settings *settings, const struct poolite_document *document);

/** Flush.  EXIT_OK, or EXIT_FAILED when anything was not written: after a complaint,
 * but silently when a pipe's reader has gone. */
int output_end(void);

#endif
