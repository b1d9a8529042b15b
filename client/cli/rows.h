/* rows.h - what a query gives, row by row, without ever holding all of it. */
#ifndef POOLITE_CLI_ROWS_H
#define POOLITE_CLI_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include "client/poolite.h"

struct rows {
	struct poolite *db;              /* borrowed */
	struct poolite_cursor *cursor;   /* owns */
	struct poolite_result *page;     /* borrowed from the cursor: for its columns, and
	                                  the getters at the current row; NULL: an error */
	size_t left;                     /* rows of the page behind the current one */
	int64_t changes, last_insert_id; /* of a statement that writes */
	int flushed;                     /* EXIT_OK, else as output_flush */
	struct poolite_error error;      /* why it ended before its end */
};

/**
 * Run a query, and get its first page.  0, or a code, which is rows->error's;
 * ${rows} is for rows_close either way.  SIGINT cancels this and every later
 * fetch (watch.h).
 */
int rows_open(struct rows *rows, struct poolite *db, const char *sql,
    const struct poolite_value *args, size_t args_count);

/**
 * Step to the next row.  Before a page is fetched, the output is flushed.
 *
 * Returns 1 with a row, 0 after the last one, or -1 when there is to be no more:
 * after an error (rows->error), a SIGINT, or when the output cannot be written.
 */
int rows_next(struct rows *rows);

/** Give up what was not read. */
void rows_close(struct rows *rows);

#endif
