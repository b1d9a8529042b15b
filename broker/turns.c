#include "broker/turns.h"

#include <utlist.h>

static struct lane *lane_of(struct turns *turns, const struct job *job)
{
	return job->lanes ? &job->lanes[turns->which] : &turns->nobody;
}

void turns_push(struct turns *turns, struct job *job)
{
	struct lane *lane = lane_of(turns, job);

	if (!lane->jobs.head)
		DL_APPEND(turns->first, lane);
	job_list_push(&lane->jobs, job);
	turns->count++;
}

void turns_push_front(struct turns *turns, struct job *job)
{
	struct lane *lane = lane_of(turns, job);

	if (lane->jobs.head)
		DL_DELETE(turns->first, lane);
	DL_PREPEND(turns->first, lane);
	job_list_push_front(&lane->jobs, job);
	turns->count++;
}

struct job *turns_peek(const struct turns *turns)
{
	return turns->first ? turns->first->jobs.head : NULL;
}

/* Out of its lane; the lane goes when it is empty, else it stays where it is. */
static void take_out(struct turns *turns, struct lane *lane, struct job *job)
{
	job_list_remove(&lane->jobs, job);
	turns->count--;
	if (!lane->jobs.head)
		DL_DELETE(turns->first, lane);
}

void turns_take(struct turns *turns, struct job *job)
{
	struct lane *lane = lane_of(turns, job);

	take_out(turns, lane, job);
	if (!lane->jobs.head)
		return;
	DL_DELETE(turns->first, lane);
	DL_APPEND(turns->first, lane);
}

struct job *turns_pop(struct turns *turns)
{
	struct job *job = turns_peek(turns);

	if (job)
		turns_take(turns, job);
	return job;
}

static void set_aside(struct turns *turns, struct lane *lane, struct job *job)
{
	take_out(turns, lane, job);
	job_list_push(&turns->aside, job);
	job->aside = turns;
	turns->count++;
}

static void take_from_aside(struct job *job)
{
	struct turns *turns = job->aside;

	job_list_remove(&turns->aside, job);
	job->aside = NULL;
	turns->count--;
}

struct job *turns_find(struct turns *turns, bool (*is_stuck)(const struct job *job),
    bool (*may)(const struct job *job))
{
	struct lane *lane, *next;
	struct job *job;

	DL_FOREACH_SAFE (turns->first, lane, next) {
		while ((job = lane->jobs.head) && is_stuck(job))
			set_aside(turns, lane, job);
		if (job && (!may || may(job)))
			return job;
	}
	return NULL;
}

void turns_bring_back(struct job *job)
{
	struct turns *turns = job->aside;
	struct lane *lane;

	if (!turns)
		return;
	take_from_aside(job);
	lane = lane_of(turns, job);
	if (!lane->jobs.head)
		DL_APPEND(turns->first, lane);
	job_list_push_front(&lane->jobs, job);
	turns->count++;
}

void turns_collect(struct turns *turns, bool (*is_late)(struct job *job, int64_t now_ns),
    int64_t now_ns, struct job_list *late)
{
	struct lane *lane, *next_lane;
	struct job *job, *next;

	DL_FOREACH_SAFE (turns->first, lane, next_lane)
		DL_FOREACH_SAFE (lane->jobs.head, job, next) {
			if (late->count == TURNS_LATE_MAX)
				return;
			if (!is_late(job, now_ns))
				continue;
			take_out(turns, lane, job);
			job_list_push(late, job);
		}
	DL_FOREACH_SAFE (turns->aside.head, job, next) {
		if (late->count == TURNS_LATE_MAX)
			return;
		if (!is_late(job, now_ns))
			continue;
		take_from_aside(job);
		job_list_push(late, job);
	}
}
