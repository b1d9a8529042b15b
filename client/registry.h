/* registry.h - the process's handles: what fork() has to know.
 *
 * Around a fork all handles are locked, so that a child finds them whole.  The
 * child closes the sockets it inherited, without a byte: each is shared with
 * the parent, who goes on using it.
 */
#ifndef POOLITE_CLIENT_REGISTRY_H
#define POOLITE_CLIENT_REGISTRY_H

#include "client/handle.h"

/** Enter a new handle; the first time, install the fork handlers.  0 or OVERLOADED. */
int poolite__registry_add(struct poolite *handle, struct poolite__failure *failure);
/** Take it out again. */
void poolite__registry_remove(struct poolite *handle);

/** How many forks lie between this process and the library's first use. */
unsigned poolite__generation(void);

#endif
