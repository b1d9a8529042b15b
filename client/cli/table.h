/* table.h - rows aligned for a terminal.
 *
 * Numbers to the right, the rest to the left; what is not printable is written
 * as \n, \t, \xhh or \uhhhh, so that no value can steer the terminal.  TEXT that
 * looks like NULL or like a BLOB is quoted.
 */
#ifndef POOLITE_CLI_TABLE_H
#define POOLITE_CLI_TABLE_H

#include "client/cli/cli.h"
#include "client/cli/rows.h"

/**
 * Write all rows with a heading and a count.  Widths are those of the first page; what
 * is wider further down is written in full.  0, or -1 as rows_next, then without a
 * count.  Where OUTPUT_AUTO led here and the terminal is too narrow for the first
 * page, a line per cell.
 */
int table_write(const struct settings *settings, struct rows *rows);

#endif
