/* probe.h - what listens on a socket that behaves as no broker does. */
#ifndef POOLITE_CLI_PROBE_H
#define POOLITE_CLI_PROBE_H

#include <stdbool.h>

/** Whether it answers as HTTP has it: the broker's stats socket, most likely.  Takes some
 * seconds at most. */
bool probe_speaks_http(const char *path);

#endif
