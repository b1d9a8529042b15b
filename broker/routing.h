/* routing.h - which connection a request outside transactions goes to; loop thread. */
#ifndef POOLITE_BROKER_ROUTING_H
#define POOLITE_BROKER_ROUTING_H

#include "broker/job.h"
#include "broker/routes.h"

/** Where ${job} should run, by what is known of its texts. */
enum route routing_of(struct routes *routes, const struct job *job);
/** Whether such a text is known to read only. */
bool routing_is_read(enum route route);
/** Remember what the run of ${job} has shown about its texts. */
void routing_learn(struct routes *routes, const struct job *job);

#endif
