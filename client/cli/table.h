/* table.h - rows aligned for a terminal.
 *
 * Numbers to the right, the rest to the left; what is not printable is written
 * as \n, \t, \xhh or \uhhhh, so that no value can steer the terminal.
 */
#ifndef POOLITE_CLI_TABLE_H
#define POOLITE_CLI_TABLE_H

#include "client/cli/cli.h"

/** Write all rows of ${result} with a heading and a count.  0, or a code. */
int table_write(const struct settings *settings, struct poolite_result *result);

#endif
