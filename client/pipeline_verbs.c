/* The public calls on a pipeline. */
#include <limits.h>
#include <stdlib.h>

#include "client/limits.h"
#include "client/pipeline.h"
#include "client/registry.h"
#include "client/verbs.h"

#define MAX_REQUESTS 65536
#define MAX_BYTES    ((size_t)64 << 20)

static const struct poolite__failure no_failure = {.code = POOLITE_OK};

/* ---- open and close ------------------------------------------------------ */

static int set_options(struct poolite_pipeline_options *options,
    const struct poolite_pipeline_options *given, struct poolite__failure *failure)
{
	if (given)
		*options = *given;
	if (options->max_requests < 0 || options->max_requests > INT_MAX / 4)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "struct poolite_pipeline_options: max_requests is out of range");
	if (options->max_requests == 0)
		options->max_requests = MAX_REQUESTS;
	if (options->max_bytes == 0)
		options->max_bytes = MAX_BYTES;
	return 0;
}

/* Connect, and learn what this broker takes. */
static int connect_pipeline(
    struct poolite_pipeline *pipeline, struct poolite__failure *failure)
{
	struct poolite *handle = pipeline->handle;
	struct poolite__hello hello = {0};
	struct poolite__call call;
	int packed;

	poolite__call_init(&call, handle, POOLITE__HARMLESS);
	call.deadline = poolite__deadline(handle->options.connect_timeout_ms);
	packed = poolite__pack_bare_request(&call.request, call.msgid, POOLITE__HELLO);
	if (poolite__call_any(&call, handle, packed, &pipeline->session, failure) == 0 &&
	    poolite__take_limits(handle, &call.reply, &hello, failure))
		poolite__discard(handle, pipeline->session);
	poolite__call_release(&call);
	if (failure->code != POOLITE_OK)
		return failure->code;
	pipeline->request_limits.frame_bytes_max = (size_t)hello.max_frame_bytes;
	pipeline->request_limits.values_max =
	    hello.max_values < UINT32_MAX ? (uint32_t)hello.max_values : UINT32_MAX;
	pipeline->answer_limits = poolite__answer_limits(handle);
	return 0;
}

static int open_pipeline(struct poolite *handle,
    const struct poolite_pipeline_options *options, struct poolite_pipeline **opened,
    struct poolite__failure *failure)
{
	struct poolite_pipeline *pipeline;

	if (!opened)
		return poolite__fail(
		    failure, POOLITE_BAD_REQUEST, "no place for the pipeline");
	*opened = NULL;
	if (!handle)
		return poolite__no_handle(failure);
	pipeline = calloc(1, sizeof *pipeline);
	if (!pipeline)
		return poolite__fail(
		    failure, POOLITE_OVERLOADED, "no memory for a pipeline");
	pipeline->handle = handle;
	pipeline->generation = poolite__generation();
	poolite__flights_init(&pipeline->flights);
	if (set_options(&pipeline->options, options, failure) ||
	    connect_pipeline(pipeline, failure)) {
		free(pipeline);
		return failure->code;
	}
	*opened = pipeline;
	return 0;
}

int poolite_pipeline_open(struct poolite *handle,
    const struct poolite_pipeline_options *options, struct poolite_pipeline **pipeline,
    struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	open_pipeline(handle, options, pipeline, &failure);
	return poolite__report(error, &failure);
}

static bool is_ours(const struct poolite_pipeline *pipeline)
{
	return pipeline && pipeline->generation == poolite__generation();
}

/* Nothing has to go out, and nothing to come. */
static bool is_idle(const struct poolite_pipeline *pipeline)
{
	return !pipeline->is_broken && !pipeline->cannot_write &&
	    !pipeline->flights.under_way.first && pipeline->flights.taken == 0;
}

void poolite_pipeline_close(struct poolite_pipeline *pipeline)
{
	if (!pipeline)
		return;
	if (!is_ours(pipeline))
		poolite__session_free(pipeline->session); /* the fork took its socket */
	else if (is_idle(pipeline))
		poolite__give_back(pipeline->handle, pipeline->session);
	else
		poolite__discard(pipeline->handle, pipeline->session);
	poolite__flights_release(&pipeline->flights);
	free(pipeline);
}

/* ---- sending ------------------------------------------------------------- */

static int check(
    const struct poolite_pipeline *pipeline, struct poolite__failure *failure)
{
	if (!pipeline)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "no pipeline: poolite_pipeline_open told why");
	if (!is_ours(pipeline))
		return poolite__fail(failure, POOLITE_NO_BROKER,
		    "the pipeline was opened before a fork, in the parent process");
	return 0;
}

static int send_verb(struct poolite_pipeline *pipeline, const struct poolite__verb *verb,
    uint64_t *ticket, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;

	if (ticket)
		*ticket = 0;
	else
		poolite__fail(&failure, POOLITE_BAD_REQUEST, "no place for the ticket");
	if (ticket && check(pipeline, &failure) == 0 &&
	    poolite__verb_check(verb, &failure) == 0)
		poolite__pipeline_send(pipeline, verb, ticket, &failure);
	return poolite__report(error, &failure);
}

int poolite_send_query(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *args, size_t args_count, uint64_t *ticket,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__QUERY, sql, args, args_count);

	return send_verb(pipeline, &verb, ticket, error);
}

int poolite_send_update(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *args, size_t args_count, uint64_t *ticket,
    struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__statement_verb(POOLITE__UPDATE, sql, args, args_count);

	return send_verb(pipeline, &verb, ticket, error);
}

int poolite_send_batch(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, uint64_t *ticket,
    struct poolite_error *error)
{
	return poolite_send_batch_in_chunks(
	    pipeline, sql, values, columns, rows, 0, ticket, error);
}

int poolite_send_batch_in_chunks(struct poolite_pipeline *pipeline, const char *sql,
    const struct poolite_value *values, size_t columns, size_t rows, int chunk_rows,
    uint64_t *ticket, struct poolite_error *error)
{
	struct poolite__verb verb =
	    poolite__batch_verb(sql, values, columns, rows, chunk_rows);

	return send_verb(pipeline, &verb, ticket, error);
}

int poolite_send_transaction(struct poolite_pipeline *pipeline,
    const struct poolite_statement *statements, size_t count, uint64_t *ticket,
    struct poolite_error *error)
{
	struct poolite__verb verb = poolite__transaction_verb(statements, count);

	return send_verb(pipeline, &verb, ticket, error);
}

int poolite_send_script(struct poolite_pipeline *pipeline, const char *sql,
    unsigned flags, uint64_t *ticket, struct poolite_error *error)
{
	struct poolite__verb verb = poolite__script_verb(sql, flags);

	return send_verb(pipeline, &verb, ticket, error);
}

/* ---- awaiting ------------------------------------------------------------ */

/* NULL: ${failure} says why. */
static struct poolite__flight *find(const struct poolite_pipeline *pipeline,
    uint64_t ticket, struct poolite__failure *failure)
{
	struct poolite__flight *flight;

	if (check(pipeline, failure))
		return NULL;
	flight = poolite__flights_find(&pipeline->flights, ticket);
	if (!flight)
		poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "no such ticket: it was awaited before, or is another pipeline's");
	return flight;
}

/* Take what ${flight}, which is DONE, gave. */
static int take(struct poolite_pipeline *pipeline, struct poolite__flight *flight,
    const struct poolite__into *into, struct poolite__failure *failure)
{
	struct poolite__reply reply = {.effect = flight->effect, .bytes = flight->bytes};

	if (flight->ended != POOLITE__ANSWERED)
		return poolite__pipeline_outcome(pipeline, flight, failure);
	pipeline->held_bytes -= reply.bytes.len;
	poolite__buf_init(&flight->bytes, 0, NULL);
	poolite__read_answer(reply.bytes.data, reply.bytes.len, &reply.answer);
	if (poolite__reply_outcome(&reply, failure) == 0)
		poolite__verb_take(flight->method, flight->count, &reply, into, failure);
	poolite__buf_release(&reply.bytes);
	return failure->code;
}

static int await(struct poolite_pipeline *pipeline, struct poolite__flight *flight,
    const struct poolite__into *into, struct poolite__failure *failure)
{
	pipeline->awaited = flight;
	while (flight->stage != POOLITE__DONE)
		poolite__pipeline_step(pipeline);
	pipeline->awaited = NULL;
	take(pipeline, flight, into, failure);
	poolite__flights_remove(&pipeline->flights, flight);
	return failure->code;
}

int poolite_await(struct poolite_pipeline *pipeline, uint64_t ticket,
    struct poolite_result **result, struct poolite_changes *changes,
    struct poolite_error *error)
{
	struct poolite__into into = {.result = result, .changes = changes};
	struct poolite__failure failure = no_failure;
	struct poolite__flight *flight;

	poolite__clear(&into, 0);
	flight = find(pipeline, ticket, &failure);
	if (flight)
		await(pipeline, flight, &into, &failure);
	return poolite__report(error, &failure);
}

int poolite_await_results(struct poolite_pipeline *pipeline, uint64_t ticket,
    struct poolite_result **results, size_t count, struct poolite_error *error)
{
	struct poolite__into into = {.results = results};
	struct poolite__failure failure = no_failure;
	struct poolite__flight *flight;

	poolite__clear(&into, count);
	flight = find(pipeline, ticket, &failure);
	if (flight && (flight->method != POOLITE__TRANSACTION || flight->count != count))
		poolite__fail(&failure, POOLITE_BAD_REQUEST,
		    "the ticket is not that of a transaction of %zu statements", count);
	else if (flight)
		await(pipeline, flight, &into, &failure);
	return poolite__report(error, &failure);
}

int poolite_cancel_sent(
    struct poolite_pipeline *pipeline, uint64_t ticket, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;
	struct poolite__flight *flight = find(pipeline, ticket, &failure);

	if (flight)
		poolite__pipeline_cancel(pipeline, flight, &failure);
	return poolite__report(error, &failure);
}

/* ---- event loops --------------------------------------------------------- */

int poolite_pipeline_fd(const struct poolite_pipeline *pipeline)
{
	return is_ours(pipeline) ? pipeline->session->fd : -1;
}

short poolite_pipeline_wants(const struct poolite_pipeline *pipeline)
{
	return is_ours(pipeline) ? poolite__pipeline_events(pipeline) : 0;
}

int poolite_pipeline_timeout_ms(const struct poolite_pipeline *pipeline)
{
	int64_t deadline, left;

	if (!is_ours(pipeline))
		return -1;
	if (pipeline->flights.done.first)
		return 0;
	deadline = poolite__pipeline_deadline(pipeline);
	if (deadline == INT64_MAX)
		return -1;
	left = deadline - poolite__now_ms();
	return left < 0 ? 0 : left < INT_MAX ? (int)left : INT_MAX;
}

void poolite_pipeline_on_readable(struct poolite_pipeline *pipeline)
{
	if (is_ours(pipeline))
		poolite__pipeline_read(pipeline);
}

void poolite_pipeline_on_writable(struct poolite_pipeline *pipeline)
{
	if (is_ours(pipeline))
		poolite__pipeline_write(pipeline);
}

uint64_t poolite_pipeline_next(struct poolite_pipeline *pipeline, void **context)
{
	struct poolite__flight *flight = NULL;

	if (is_ours(pipeline)) {
		poolite__pipeline_expire(pipeline);
		flight = poolite__flights_tell(&pipeline->flights);
	}
	if (context)
		*context = flight ? flight->context : NULL;
	return flight ? flight->ticket : 0;
}

int poolite_pipeline_attach(struct poolite_pipeline *pipeline, uint64_t ticket,
    void *context, struct poolite_error *error)
{
	struct poolite__failure failure = no_failure;
	struct poolite__flight *flight = find(pipeline, ticket, &failure);

	if (flight)
		flight->context = context;
	return poolite__report(error, &failure);
}
