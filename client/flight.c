#include "client/flight.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_PLACES 64u

/* Stands in the place of a request that was removed before its answer came. */
static struct poolite__flight late;

void poolite__flights_init(struct poolite__flights *flights)
{
	memset(flights, 0, sizeof *flights);
}

static void free_flight(struct poolite__flight *flight)
{
	poolite__buf_release(&flight->bytes);
	free(flight);
}

void poolite__flights_release(struct poolite__flights *flights)
{
	struct poolite__flight *flight, *next;

	for (flight = flights->under_way.first; flight; flight = next) {
		next = flight->next;
		if (!flight->ticket)
			free_flight(flight); /* a notification has no place */
	}
	for (uint32_t i = 0; i < flights->places_count; i++)
		if (flights->places[i] && flights->places[i] != &late)
			free_flight(flights->places[i]);
	free(flights->places);
	poolite__flights_init(flights);
}

/* ---- lists --------------------------------------------------------------- */

static void append(struct poolite__flights_list *list, struct poolite__flight *flight)
{
	flight->list = list;
	flight->next = NULL;
	flight->previous = list->last;
	*(list->last ? &list->last->next : &list->first) = flight;
	list->last = flight;
}

static void unlink_flight(struct poolite__flight *flight)
{
	struct poolite__flights_list *list = flight->list;

	if (!list)
		return;
	*(flight->previous ? &flight->previous->next : &list->first) = flight->next;
	*(flight->next ? &flight->next->previous : &list->last) = flight->previous;
	flight->list = NULL;
}

/* ---- places -------------------------------------------------------------- */

uint32_t poolite__flight_msgid(const struct poolite__flight *flight)
{
	return (uint32_t)flight->ticket;
}

/* At most half of the places are taken, so that a free one is never far. */
static int make_places(struct poolite__flights *flights)
{
	uint32_t count = flights->places_count ? flights->places_count * 2 : FIRST_PLACES;
	struct poolite__flight **places;

	if (flights->taken < flights->places_count / 2)
		return 0;
	places = realloc(flights->places, count * sizeof(struct poolite__flight *));
	if (!places)
		return POOLITE_OVERLOADED;
	memset(places + flights->places_count, 0,
	    (count - flights->places_count) * sizeof(struct poolite__flight *));
	flights->places = places;
	flights->places_count = count;
	return 0;
}

static void take_place(struct poolite__flights *flights, struct poolite__flight *flight)
{
	uint32_t place = flights->next_place;

	while (flights->places[place & (flights->places_count - 1)])
		place++;
	place &= flights->places_count - 1;
	flights->next_place = place + 1;
	flights->places[place] = flight;
	flights->taken++;
	if (++flights->serial == 0)
		flights->serial = 1; /* no ticket is 0 */
	flight->ticket = (uint64_t)flights->serial << 32 | place;
}

static void free_place(struct poolite__flights *flights, uint32_t place)
{
	flights->places[place] = NULL;
	flights->taken--;
}

struct poolite__flight *poolite__flights_find(
    const struct poolite__flights *flights, uint64_t ticket)
{
	uint32_t place = (uint32_t)ticket;
	struct poolite__flight *flight =
	    place < flights->places_count ? flights->places[place] : NULL;

	return flight && ticket && flight->ticket == ticket ? flight : NULL;
}

/* ---- from stage to stage ------------------------------------------------- */

struct poolite__flight *poolite__flights_add_notification(
    struct poolite__flights *flights)
{
	struct poolite__flight *flight = calloc(1, sizeof *flight);

	if (!flight)
		return NULL;
	poolite__buf_init(&flight->bytes, SIZE_MAX / 4, NULL);
	append(&flights->under_way, flight);
	if (!flights->unsent)
		flights->unsent = flight;
	return flight;
}

struct poolite__flight *poolite__flights_add(struct poolite__flights *flights)
{
	struct poolite__flight *flight;

	if (make_places(flights))
		return NULL;
	flight = poolite__flights_add_notification(flights);
	if (flight)
		take_place(flights, flight);
	return flight;
}

struct poolite__flight *poolite__flights_answered(
    struct poolite__flights *flights, uint32_t msgid, bool *is_late)
{
	struct poolite__flight *flight =
	    msgid < flights->places_count ? flights->places[msgid] : NULL;

	*is_late = false;
	if (!flight)
		return NULL;
	if (flight == &late) {
		*is_late = true;
		free_place(flights, msgid);
		return NULL;
	}
	if (flight->stage == POOLITE__DONE) {
		*is_late = flight->answer_may_come;
		flight->answer_may_come = false;
	}
	return flight->stage == POOLITE__SENT ? flight : NULL;
}

void poolite__flights_sent(struct poolite__flights *flights)
{
	struct poolite__flight *flight = flights->unsent;

	assert(flight && flight->stage == POOLITE__QUEUED);
	flights->unsent = flight->next;
	flight->stage = POOLITE__SENT;
	poolite__buf_release(&flight->bytes);
	if (!flight->ticket)
		poolite__flights_end(flights, flight, POOLITE__ANSWERED, POOLITE__IO_OK);
}

void poolite__flights_end(struct poolite__flights *flights,
    struct poolite__flight *flight, enum poolite__ended ended, enum poolite__io io)
{
	assert(flight->stage != POOLITE__DONE);
	if (flights->unsent == flight)
		flights->unsent = flight->next;
	unlink_flight(flight);
	if (!flight->ticket) {
		free_flight(flight);
		return;
	}
	if (flight->stage == POOLITE__QUEUED)
		poolite__buf_release(&flight->bytes);
	flight->answer_may_come = ended == POOLITE__LOST && io == POOLITE__IO_TIMEOUT;
	flight->stage = POOLITE__DONE;
	flight->ended = ended;
	flight->io = io;
	append(&flights->done, flight);
}

struct poolite__flight *poolite__flights_tell(struct poolite__flights *flights)
{
	struct poolite__flight *flight = flights->done.first;

	if (flight)
		unlink_flight(flight);
	return flight;
}

void poolite__flights_remove(
    struct poolite__flights *flights, struct poolite__flight *flight)
{
	uint32_t place = poolite__flight_msgid(flight);

	assert(flight->ticket);
	if (flights->unsent == flight)
		flights->unsent = flight->next;
	unlink_flight(flight);
	if (flight->answer_may_come)
		flights->places[place] = &late;
	else
		free_place(flights, place);
	free_flight(flight);
}
