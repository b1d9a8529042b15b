/* pipeline.h - what stands behind a struct poolite_pipeline: one session, and
 * many requests under way on it.
 *
 * Nothing here waits, save poolite__pipeline_step.  When the socket ends,
 * is_broken is set, every request under way is DONE, and the descriptor stays
 * open until the pipeline is closed, for an event loop may still watch it.
 */
#ifndef POOLITE_CLIENT_PIPELINE_H
#define POOLITE_CLIENT_PIPELINE_H

#include "client/call.h"
#include "client/flight.h"
#include "client/verb.h"

struct poolite_pipeline {
	struct poolite *handle; /* borrowed; lives while the session is borrowed */
	struct poolite__session *session; /* borrowed from handle */
	unsigned generation;              /* the process it belongs to (registry.h) */
	struct poolite_pipeline_options options; /* complete: no zeros */
	struct poolite__limits request_limits;   /* what this broker takes */
	struct poolite__limits answer_limits;

	struct poolite__flights flights;
	size_t sent_of_first;            /* bytes of flights.unsent that have gone out */
	size_t unsent_bytes;             /* of all that are QUEUED */
	size_t left_bytes;               /* what the last write left of them */
	size_t held_bytes;               /* of answers that were not awaited */
	struct poolite__flight *awaited; /* its answer is taken in any case */

	bool cannot_write; /* the broker reads no more; its last words may still come */
	bool is_broken;
	enum poolite__io broken_by;
	struct poolite__failure farewell; /* the broker's, if it said one */
};

/** Pack a checked verb and queue it; writes when enough has gathered.  0 or a code. */
int poolite__pipeline_send(struct poolite_pipeline *pipeline,
    const struct poolite__verb *verb, uint64_t *ticket, struct poolite__failure *failure);

/** Cancel one: at once if none of it has gone out, else by asking the broker.  0 or
 *  OVERLOADED. */
int poolite__pipeline_cancel(struct poolite_pipeline *pipeline,
    struct poolite__flight *flight, struct poolite__failure *failure);

/** Write what the socket takes. */
void poolite__pipeline_write(struct poolite_pipeline *pipeline);
/** Read what is there, within reason. */
void poolite__pipeline_read(struct poolite_pipeline *pipeline);
/** Where a deadline has passed: read all that has come, and end what has no answer then. */
void poolite__pipeline_expire(struct poolite_pipeline *pipeline);
/** Wait for the socket or the next deadline, and do all of the above. */
void poolite__pipeline_step(struct poolite_pipeline *pipeline);

/** The events of poll that it waits for; 0: none. */
short poolite__pipeline_events(const struct poolite_pipeline *pipeline);
/** The next deadline on the monotonic clock; INT64_MAX: none. */
int64_t poolite__pipeline_deadline(const struct poolite_pipeline *pipeline);

/** Why nothing more can be sent; 0: it can. */
int poolite__pipeline_broken(
    const struct poolite_pipeline *pipeline, struct poolite__failure *failure);

/** How ${flight}, DONE without an answer, failed.  Returns the code. */
int poolite__pipeline_outcome(const struct poolite_pipeline *pipeline,
    const struct poolite__flight *flight, struct poolite__failure *failure);

#endif
