/* cli.h - the poolite command: what its parts share. */
#ifndef POOLITE_CLI_CLI_H
#define POOLITE_CLI_CLI_H

#include "client/poolite.h"

/** Exit statuses. */
enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,    /* an error of the broker's, of the input, of the output; also
			     * when a batch in chunks was done in part */
	EXIT_USAGE = 2,     /* nonsense on the command line */
	EXIT_NO_BROKER = 3, /* nothing was sent */
	EXIT_UNKNOWN = 4,   /* the outcome is unknown */
	EXIT_UNWRITTEN = 5, /* it was done, and what came of it cannot be written */
};

/** How results are written. */
enum output_format {
	OUTPUT_AUTO, /* a table on a terminal, else tab-separated */
	OUTPUT_TABLE,
	OUTPUT_TSV,
	OUTPUT_CSV,
	OUTPUT_JSON,
};

/** How a batch's rows come in. */
enum input_format { INPUT_NONE, INPUT_CSV, INPUT_JSONL };

/** The command line, read.  All strings are borrowed from it. */
struct settings {
	const char *socket; /* NULL: $POOLITE_SOCKET */
	struct poolite_options options;
	enum output_format output;
	enum input_format input;
	bool has_header; /* query: write one; batch: the input has one */
	bool by_name;    /* batch: the SQL names its parameters, the header the cells */
	int chunk_rows;  /* batch: rows of one transaction; 0: all */
	bool all_text;
	bool foreign_keys_off;
	const char *null_text; /* NULL: none given */
};

/** Write "poolite: ..." to stderr, control characters escaped.  Returns EXIT_FAILED. */
int complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Write "hint: ..." to stderr likewise. */
void hint(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** Write the error of a call on ${db} (NULL: there is none) and, where there is one, a hint;
 * returns the exit status. */
int complain_of(struct poolite *db, const struct poolite_error *error);

#endif
