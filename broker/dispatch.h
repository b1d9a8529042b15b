/* dispatch.h - from a message to where it runs, and from there to its answer. */
#ifndef POOLITE_BROKER_DISPATCH_H
#define POOLITE_BROKER_DISPATCH_H

#include "broker/broker.h"
#include "broker/cursor.h"
#include "broker/transaction.h"

/* What the broker keeps per session. */
struct client {
	struct user *user; /* borrowed; counts this session */
	unsigned roles;    /* PEOPLE_ bits */
	struct job *jobs;  /* borrowed: its requests under way, by mate_next */
	struct transaction *transaction; /* owns; NULL until its first begin */
	struct cursor *cursors; /* owns; those outside a transaction, by mate_next */
};

/** session_handler.on_message: one whole message of ${session}. */
void dispatch_message(struct session *session, const uint8_t *message, size_t len);
/** session_handler.on_connect. */
int dispatch_session_opened(
    struct session *session, int fd, struct poolite__failure *failure);
/** session_handler.on_has_room, on_end, on_gone, on_free. */
void dispatch_session_has_room(struct session *session);
void dispatch_session_ended(struct session *session);
void dispatch_session_gone(struct session *session);
void dispatch_session_freed(struct session *session);

/** Whether it is in a transaction, or has a cursor that is not over. */
bool dispatch_has_round_trips(const struct client *client);

/** Run ${job} outside any transaction (taken). */
void dispatch_plain(struct broker *broker, struct job *job);
/** A reader found that ${job} (taken) writes, and did nothing: to the writer with it. */
void dispatch_reroute(struct broker *broker, struct job *job);
/** Queue ${job}, a begin, for the writer or a reader; its `done` is set. */
void dispatch_begin(struct broker *broker, struct job *job);

/** Count one answered request, and log it. */
void dispatch_count(struct broker *broker, const struct job *job);
/** Send job's answer, or its failure as one; count it; free it. */
void dispatch_answer(struct broker *broker, struct job *job);
/** The same with this error. */
void dispatch_refuse(
    struct broker *broker, struct job *job, const struct poolite__failure *failure);

#endif
