/* flight.h - the requests of a pipeline: who they are, and how far each has come.
 *
 *	add --> QUEUED --> SENT --> DONE --> remove
 *	          |                  ^
 *	          +------------------+   lost, cancelled or expired
 *
 * Those on their way (QUEUED and SENT) stand in one list in the order they were
 * sent in, which is also that of their deadlines; those DONE in another, until
 * somebody has been told.  A request's msgid is its place in a table.  When a
 * request expires its answer may still come: its place stays taken until then.
 *
 * Memory only; pipeline.h moves the bytes.
 */
#ifndef POOLITE_CLIENT_FLIGHT_H
#define POOLITE_CLIENT_FLIGHT_H

#include "client/reply.h"
#include "proto/request.h"

enum poolite__stage {
	POOLITE__QUEUED, /* not all of it has gone out */
	POOLITE__SENT,
	POOLITE__DONE,
};

/** How a request came to be DONE. */
enum poolite__ended {
	POOLITE__ANSWERED,
	POOLITE__LOST, /* it went out whole; ${io} says what came instead of an answer */
	POOLITE__NOT_SENT,  /* it did not; ${io} says why */
	POOLITE__DISMISSED, /* the broker's good-bye was for it, too */
	POOLITE__WITHDRAWN, /* cancelled before any of it went out */
	POOLITE__DROPPED,   /* there was no room for the answer */
};

struct poolite__flight {
	struct poolite__flight *next, *previous; /* in its list */
	struct poolite__flights_list *list;      /* NULL: in none */
	uint64_t ticket; /* serial number << 32 | msgid; 0: a notification */
	enum poolite__stage stage;
	enum poolite__ended ended; /* when DONE */
	enum poolite__io io;
	bool answer_may_come; /* DONE without an answer, which may still come */
	enum poolite__method method;
	size_t count; /* a transaction's statements */
	enum poolite__effect effect;
	int64_t deadline;
	void *context;             /* the program's */
	struct poolite__buf bytes; /* owns; first the request's, then the answer's */
};

struct poolite__flights_list {
	struct poolite__flight *first, *last;
};

struct poolite__flights {
	struct poolite__flights_list under_way, done;
	struct poolite__flight *unsent;  /* the first in under_way that is QUEUED */
	struct poolite__flight **places; /* owns; by msgid */
	uint32_t places_count;           /* a power of two */
	uint32_t next_place;             /* where to look for a free one */
	uint32_t serial;
	uint32_t taken; /* places in use */
};

void poolite__flights_init(struct poolite__flights *flights);
/** Free all of them. */
void poolite__flights_release(struct poolite__flights *flights);

/** A new request, QUEUED, with an empty ${bytes}; its msgid is free.  NULL: no memory. */
struct poolite__flight *poolite__flights_add(struct poolite__flights *flights);
/** A notification: as a request, but nobody waits for it. */
struct poolite__flight *poolite__flights_add_notification(
    struct poolite__flights *flights);

uint32_t poolite__flight_msgid(const struct poolite__flight *flight);

/** The one with this ticket that was not removed yet; NULL: none. */
struct poolite__flight *poolite__flights_find(
    const struct poolite__flights *flights, uint64_t ticket);

/**
 * The one that an answer with ${msgid} is for.  NULL: nobody waits for it;
 * *${is_late} tells whether somebody did.
 */
struct poolite__flight *poolite__flights_answered(
    struct poolite__flights *flights, uint32_t msgid, bool *is_late);

/** unsent has gone out whole; a notification is freed. */
void poolite__flights_sent(struct poolite__flights *flights);

/** It is over; a notification is freed. */
void poolite__flights_end(struct poolite__flights *flights,
    struct poolite__flight *flight, enum poolite__ended ended, enum poolite__io io);

/** Take one out of the list of those DONE, which is not told then any more.  NULL: none. */
struct poolite__flight *poolite__flights_tell(struct poolite__flights *flights);

/** Free one. */
void poolite__flights_remove(
    struct poolite__flights *flights, struct poolite__flight *flight);

#endif
