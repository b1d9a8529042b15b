#include "client/pipeline.h"

#include <poll.h>
#include <sys/uio.h>

#include "proto/cancel.h"

/* Requests gather up to here before they are written. */
#define GATHER_BYTES ((size_t)16 << 10)
/* Requests in one write. */
#define PARTS 64
/* Pieces read in one go, lest an event loop's other sockets wait. */
#define PIECES 16

/* ---- the end ------------------------------------------------------------- */

static void break_down(struct poolite_pipeline *pipeline, enum poolite__io io)
{
	struct poolite__flights *flights = &pipeline->flights;
	struct poolite__flight *flight;

	pipeline->is_broken = true;
	pipeline->broken_by = io;
	while ((flight = flights->under_way.first) != NULL) {
		if (pipeline->farewell.code != POOLITE_OK)
			poolite__flights_end(flights, flight, POOLITE__DISMISSED, io);
		else if (flight->stage == POOLITE__SENT)
			poolite__flights_end(flights, flight, POOLITE__LOST, io);
		else
			poolite__flights_end(
			    flights, flight, POOLITE__NOT_SENT, POOLITE__IO_END);
	}
	pipeline->unsent_bytes = 0;
	pipeline->sent_of_first = 0;
}

int poolite__pipeline_broken(
    const struct poolite_pipeline *pipeline, struct poolite__failure *failure)
{
	if (!pipeline->is_broken)
		return 0;
	if (pipeline->farewell.code != POOLITE_OK)
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "the broker has closed the pipeline: %s", pipeline->farewell.message);
	return poolite__fail(failure, POOLITE_NO_BROKER,
	    "the pipeline's connection is lost, and nothing was sent: open another");
}

int poolite__pipeline_outcome(const struct poolite_pipeline *pipeline,
    const struct poolite__flight *flight, struct poolite__failure *failure)
{
	switch (flight->ended) {
	case POOLITE__LOST:
		return poolite__reply_lost(flight->effect, flight->io, failure);
	case POOLITE__NOT_SENT: return poolite__reply_not_sent(flight->io, failure);
	case POOLITE__DISMISSED: *failure = pipeline->farewell; return failure->code;
	case POOLITE__WITHDRAWN:
		return poolite__fail(
		    failure, POOLITE_CANCELLED, "cancelled before it was sent");
	default:
		poolite__fail(failure, POOLITE_OVERLOADED,
		    "its answer was thrown away: those not awaited yet take up max_bytes");
		failure->is_unknown = flight->effect == POOLITE__WRITES;
		return failure->code;
	}
}

/* ---- reading ------------------------------------------------------------- */

static bool has_room(const struct poolite_pipeline *pipeline, size_t len)
{
	return pipeline->held_bytes == 0 ||
	    (pipeline->held_bytes < pipeline->options.max_bytes &&
		len <= pipeline->options.max_bytes - pipeline->held_bytes);
}

/* The next ${len} bytes answer ${flight}. */
static void take_answer(
    struct poolite_pipeline *pipeline, struct poolite__flight *flight, size_t len)
{
	enum poolite__ended ended = POOLITE__ANSWERED;
	enum poolite__io io = POOLITE__IO_OK;

	/* Only who awaits another reads on although there is no room. */
	if (pipeline->awaited && flight != pipeline->awaited &&
	    !has_room(pipeline, len)) {
		ended = POOLITE__DROPPED;
		poolite__session_skip(pipeline->session, len);
	} else if (poolite__session_take(pipeline->session, len, &flight->bytes)) {
		ended = POOLITE__LOST;
		io = POOLITE__IO_NO_MEMORY;
		poolite__session_skip(pipeline->session, len);
	} else {
		pipeline->held_bytes += len;
	}
	poolite__flights_end(&pipeline->flights, flight, ended, io);
}

static void take_message(struct poolite_pipeline *pipeline, size_t len)
{
	struct poolite__session *session = pipeline->session;
	struct poolite__flight *flight;
	struct poolite__answer answer;
	bool is_late;

	if (poolite__read_answer(poolite__session_head(session), len, &answer) ||
	    (answer.is_closing && answer.failure.code == POOLITE_OK)) {
		break_down(pipeline, POOLITE__IO_NONSENSE);
		return;
	}
	if (answer.is_closing) {
		pipeline->farewell = answer.failure;
		break_down(pipeline, POOLITE__IO_END);
		return;
	}
	if (answer.is_notification) { /* one that a later broker sends */
		poolite__session_skip(session, len);
		return;
	}
	flight = poolite__flights_answered(&pipeline->flights, answer.msgid, &is_late);
	if (flight)
		take_answer(pipeline, flight, len);
	else if (is_late)
		poolite__session_skip(session, len);
	else
		break_down(pipeline, POOLITE__IO_NONSENSE);
}

static void take_messages(struct poolite_pipeline *pipeline)
{
	enum poolite__io io = POOLITE__IO_OK;

	while (!pipeline->is_broken) {
		size_t len;

		io = poolite__session_message(
		    pipeline->session, &pipeline->answer_limits, &len);
		if (io != POOLITE__IO_OK)
			break;
		take_message(pipeline, len);
	}
	if (io != POOLITE__IO_OK && io != POOLITE__IO_AGAIN)
		break_down(pipeline, io);
}

static bool may_read(const struct poolite_pipeline *pipeline)
{
	return !pipeline->is_broken &&
	    (pipeline->awaited || pipeline->held_bytes < pipeline->options.max_bytes);
}

/* False: there is no more to read now. */
static bool read_piece(struct poolite_pipeline *pipeline)
{
	enum poolite__io io = may_read(pipeline)
	    ? poolite__session_read(pipeline->session)
	    : POOLITE__IO_AGAIN;

	if (io == POOLITE__IO_OK)
		take_messages(pipeline);
	else if (io != POOLITE__IO_AGAIN)
		break_down(pipeline, io);
	return io == POOLITE__IO_OK;
}

void poolite__pipeline_read(struct poolite_pipeline *pipeline)
{
	for (int i = 0; i < PIECES && read_piece(pipeline); i++)
		;
}

/* ---- writing ------------------------------------------------------------- */

/* What has not gone out, from the first byte on. */
static int gather(const struct poolite_pipeline *pipeline, struct iovec *parts)
{
	size_t skip = pipeline->sent_of_first;
	int count = 0;

	for (struct poolite__flight *flight = pipeline->flights.unsent;
	     flight && count < PARTS; flight = flight->next) {
		parts[count].iov_base = flight->bytes.data + skip;
		parts[count++].iov_len = flight->bytes.len - skip;
		skip = 0;
	}
	return count;
}

static void count_sent(struct poolite_pipeline *pipeline, size_t sent)
{
	struct poolite__flights *flights = &pipeline->flights;

	pipeline->unsent_bytes -= sent;
	sent += pipeline->sent_of_first;
	while (flights->unsent && sent >= flights->unsent->bytes.len) {
		sent -= flights->unsent->bytes.len;
		poolite__flights_sent(flights);
	}
	pipeline->sent_of_first = sent;
}

void poolite__pipeline_write(struct poolite_pipeline *pipeline)
{
	while (
	    pipeline->flights.unsent && !pipeline->cannot_write && !pipeline->is_broken) {
		struct iovec parts[PARTS];
		size_t sent;
		enum poolite__io io = poolite__session_write(
		    pipeline->session, parts, gather(pipeline, parts), &sent);

		if (io == POOLITE__IO_OK)
			count_sent(pipeline, sent);
		else if (io == POOLITE__IO_END)
			pipeline->cannot_write = true; /* read on up to the end */
		else if (io != POOLITE__IO_AGAIN)
			break_down(pipeline, io);
		if (io == POOLITE__IO_AGAIN)
			break;
	}
	pipeline->left_bytes = pipeline->unsent_bytes;
}

/* ---- sending ------------------------------------------------------------- */

/* Write if enough has gathered.  A full socket may be one whose broker waits
 * for us to read. */
static void write_gathered(struct poolite_pipeline *pipeline)
{
	if (pipeline->unsent_bytes < pipeline->left_bytes + GATHER_BYTES)
		return;
	poolite__pipeline_write(pipeline);
	if (pipeline->flights.unsent)
		poolite__pipeline_read(pipeline);
}

static int check_room(struct poolite_pipeline *pipeline, struct poolite__failure *failure)
{
	if (pipeline->unsent_bytes >= pipeline->options.max_bytes) {
		poolite__pipeline_write(pipeline);
		poolite__pipeline_read(pipeline);
	}
	if (poolite__pipeline_broken(pipeline, failure))
		return failure->code;
	if (pipeline->unsent_bytes >= pipeline->options.max_bytes)
		return poolite__fail(failure, POOLITE_OVERLOADED,
		    "%zu bytes wait to be sent (max_bytes): await some of them first",
		    pipeline->unsent_bytes);
	if (pipeline->flights.taken >= (uint32_t)pipeline->options.max_requests)
		return poolite__fail(failure, POOLITE_OVERLOADED,
		    "%u requests are not awaited (max_requests): await some of them first",
		    pipeline->flights.taken);
	return 0;
}

/* A message above its limits would cost the whole session. */
static int check_size(const struct poolite_pipeline *pipeline,
    const struct poolite__buf *request, struct poolite__failure *failure)
{
	const struct poolite__limits *limits = &pipeline->request_limits;
	struct poolite__scan scan = {0};

	/* Each value takes a byte at least. */
	if (request->len <= limits->frame_bytes_max && request->len <= limits->values_max)
		return 0;
	if (poolite__scan_next(&scan, request->data, request->len, limits) > 0)
		return 0;
	return poolite__fail(failure, POOLITE_TOO_LARGE,
	    "the request, of %zu bytes, is larger than a message may be "
	    "(max_frame_bytes, max_values)",
	    request->len);
}

int poolite__pipeline_send(struct poolite_pipeline *pipeline,
    const struct poolite__verb *verb, uint64_t *ticket, struct poolite__failure *failure)
{
	struct poolite__flight *flight;
	int packed;

	if (check_room(pipeline, failure))
		return failure->code;
	flight = poolite__flights_add(&pipeline->flights);
	if (!flight)
		return poolite__check_packed(POOLITE_OVERLOADED, failure);
	packed = poolite__verb_pack(verb, &flight->bytes, poolite__flight_msgid(flight),
	    poolite__timeout_ms(pipeline->handle));
	if (poolite__check_packed(packed, failure) ||
	    check_size(pipeline, &flight->bytes, failure)) {
		poolite__flights_remove(&pipeline->flights, flight);
		return failure->code;
	}
	flight->method = verb->method;
	flight->count = verb->count;
	flight->effect = poolite__verb_effect(verb);
	flight->deadline = poolite__answer_deadline(pipeline->handle);
	pipeline->unsent_bytes += flight->bytes.len;
	*ticket = flight->ticket;
	write_gathered(pipeline);
	return 0;
}

/* Whether none of it has gone out. */
static bool is_untouched(
    const struct poolite_pipeline *pipeline, const struct poolite__flight *flight)
{
	return flight->stage == POOLITE__QUEUED &&
	    (flight != pipeline->flights.unsent || pipeline->sent_of_first == 0);
}

/* End one that is_untouched. */
static void withdraw(struct poolite_pipeline *pipeline, struct poolite__flight *flight,
    enum poolite__ended ended, enum poolite__io io)
{
	pipeline->unsent_bytes -= flight->bytes.len;
	poolite__flights_end(&pipeline->flights, flight, ended, io);
}

int poolite__pipeline_cancel(struct poolite_pipeline *pipeline,
    struct poolite__flight *flight, struct poolite__failure *failure)
{
	struct poolite__flight *notification;

	if (flight->stage == POOLITE__DONE)
		return 0;
	if (is_untouched(pipeline, flight)) {
		withdraw(pipeline, flight, POOLITE__WITHDRAWN, POOLITE__IO_OK);
		return 0;
	}
	notification = poolite__flights_add_notification(&pipeline->flights);
	if (!notification ||
	    poolite__pack_cancel_notification(
		&notification->bytes, poolite__flight_msgid(flight))) {
		if (notification)
			withdraw(
			    pipeline, notification, POOLITE__WITHDRAWN, POOLITE__IO_OK);
		return poolite__fail(failure, POOLITE_OVERLOADED, "no memory to cancel");
	}
	notification->deadline = flight->deadline;
	pipeline->unsent_bytes += notification->bytes.len;
	poolite__pipeline_write(pipeline);
	return 0;
}

/* ---- time ---------------------------------------------------------------- */

int64_t poolite__pipeline_deadline(const struct poolite_pipeline *pipeline)
{
	const struct poolite__flight *first = pipeline->flights.under_way.first;

	return first ? first->deadline : INT64_MAX;
}

static bool is_expired(const struct poolite_pipeline *pipeline)
{
	return poolite__pipeline_deadline(pipeline) <= poolite__now_ms();
}

void poolite__pipeline_expire(struct poolite_pipeline *pipeline)
{
	struct poolite__flights *flights = &pipeline->flights;

	/* An answer that has come is one, however late the program looks. */
	if (is_expired(pipeline))
		while (read_piece(pipeline))
			;
	while (is_expired(pipeline)) {
		struct poolite__flight *first = flights->under_way.first;

		if (first->stage == POOLITE__SENT)
			poolite__flights_end(
			    flights, first, POOLITE__LOST, POOLITE__IO_TIMEOUT);
		else if (is_untouched(pipeline, first))
			withdraw(pipeline, first, POOLITE__NOT_SENT, POOLITE__IO_TIMEOUT);
		else /* half of it went out; without the rest nothing may follow */
			break_down(pipeline, POOLITE__IO_TIMEOUT);
	}
}

short poolite__pipeline_events(const struct poolite_pipeline *pipeline)
{
	short events = may_read(pipeline) ? POLLIN : 0;

	if (!pipeline->is_broken && pipeline->flights.unsent && !pipeline->cannot_write)
		events |= POLLOUT;
	return events;
}

void poolite__pipeline_step(struct poolite_pipeline *pipeline)
{
	enum poolite__io io;

	poolite__pipeline_write(pipeline);
	if (pipeline->is_broken)
		return;
	io = poolite__session_wait(pipeline->session, poolite__pipeline_events(pipeline),
	    poolite__pipeline_deadline(pipeline));
	if (io == POOLITE__IO_OK)
		poolite__pipeline_read(pipeline);
	else if (io != POOLITE__IO_TIMEOUT)
		break_down(pipeline, io);
	poolite__pipeline_expire(pipeline);
}
