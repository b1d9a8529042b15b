/* table.h - rows aligned for a terminal.
 *
 * Numbers to the right, the rest to the left; what is not printable is written
 * as \n, \t, \xhh or \uhhhh, so that no value can steer the terminal.  TEXT that
 * looks like NULL or like a BLOB is quoted.
 */
#ifndef POOLITE_CLI_TABLE_H
#define POOLITE_CLI_TABLE_H

#include "client/cli/cli.h"

/**
 * Write all rows of ${result} with a heading and a count.  0, or a code.
 * Where OUTPUT_AUTO led here and the terminal is too narrow, a line per cell.
 */
int table_write(const struct settings *settings, struct poolite_result *result);

#endif
