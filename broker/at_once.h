/* at_once.h - the five requests that never wait: hello, ping, stats, health, cancel. */
#ifndef POOLITE_BROKER_AT_ONCE_H
#define POOLITE_BROKER_AT_ONCE_H

#include "broker/broker.h"

/** Whether ${method} is one of the five. */
bool at_once_is(enum poolite__method method);
/** True when ${job} (taken then) is one of the five: it is answered. */
bool at_once_answer(struct broker *broker, struct job *job);

/**
 * Carry out a cancel that ${from} sent.
 *
 *   job  the request to answer; NULL for a notification
 */
void at_once_cancel(struct broker *broker, struct session *from,
    const struct poolite__request *request, struct job *job);

#endif
