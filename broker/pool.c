#include "broker/pool.h"

#include <assert.h>
#include <stdlib.h>

#include "broker/log.h"
#include "broker/net/session.h"

static struct reader *add_reader(struct pool *pool)
{
	struct reader *reader;

	if (pool->count == pool->readers_max)
		return NULL;
	reader = reader_start(pool->database, ++pool->next_number);
	if (!reader) {
		log_warning("cannot start another reader: out of memory or threads");
		return NULL;
	}
	pool->readers[pool->count++] = reader;
	return reader;
}

static void remove_reader(struct pool *pool, struct reader *reader)
{
	unsigned at = 0;

	while (pool->readers[at] != reader)
		at++;
	pool->readers[at] = pool->readers[--pool->count];
	reader_stop(reader);
}

static struct reader *find_idle(struct pool *pool)
{
	for (unsigned i = 0; i < pool->count; i++)
		if (pool->readers[i]->state == READER_IDLE)
			return pool->readers[i];
	return add_reader(pool);
}

/* Readers that are idle or may be started. */
static unsigned available(const struct pool *pool)
{
	unsigned idle = pool->readers_max - pool->count;

	for (unsigned i = 0; i < pool->count; i++)
		idle += pool->readers[i]->state == READER_IDLE;
	return idle;
}

static void hand_over(struct reader *reader, enum reader_state state, struct job *job)
{
	reader->state = state;
	reader->running = job;
	job->handed_over_ns = clock_now(reader->database->clock);
	reader_submit(reader, job);
}

int pool_start(struct pool *pool, struct database *database,
    void (*on_checked)(struct job *), void *owner, struct poolite__failure *failure)
{
	int64_t now_ns = clock_now(database->clock);
	int rc;

	*pool = (struct pool){
	    .database = database,
	    .readers_max = database->settings->max_connections - 2,
	    .waiting = {.which = TURNS_READS},
	    .waiting_begins = {.which = TURNS_BEGINS},
	    .on_checked = on_checked,
	    .owner = owner,
	    .last_check_ns = now_ns,
	    .last_check_unix = clock_unix_seconds(),
	    .next_check_ns =
		clock_after(now_ns, database->settings->health_check_interval_ns),
	};
	pool->leased_max = pool->readers_max / 2;
	pool->readers = calloc(pool->readers_max, sizeof(struct reader *));
	if (!pool->readers)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	rc = writer_start(database, &pool->writer, failure);
	if (rc == 0 && !add_reader(pool))
		rc = poolite__fail(failure, POOLITE_OVERLOADED, "cannot start a thread");
	return rc;
}

void pool_stop(struct pool *pool)
{
	assert(pool->waiting.count + pool->waiting_begins.count == 0);
	while (pool->count > 0)
		remove_reader(pool, pool->readers[0]);
	free(pool->readers);
	writer_stop(pool->writer); /* last, so that its checkpoint is complete */
	*pool = (struct pool){0};
}

void pool_submit_read(struct pool *pool, struct job *job)
{
	job->waits_for_reader = true;
	turns_push(&pool->waiting, job);
	pool_pump(pool);
}

void pool_submit_begin_read(struct pool *pool, struct job *job)
{
	job->waits_for_reader = true;
	turns_push(&pool->waiting_begins, job);
	pool_pump(pool);
}

void pool_submit_leased(struct pool *pool, struct reader *reader, struct job *job)
{
	if (!reader) {
		writer_submit_leased(pool->writer, job);
		return;
	}
	assert(reader->state == READER_LEASED && !reader->running);
	hand_over(reader, READER_LEASED, job);
}

struct job *pool_submit_rollback(struct pool *pool, struct reader *reader,
    struct session *session, void (*done)(struct job *), void *owner)
{
	struct job *job =
	    job_create(NULL, 0, NULL); /* never refused for the budget's sake */

	/* A lease that cannot be ended would hold its connection for ever. */
	if (!job)
		log_and_exit("no memory to roll a transaction back");
	job->kind = JOB_ROLLBACK;
	job->session = session;
	job->home = pool->database->completion;
	job->done = done;
	job->owner = owner;
	job->in_transaction = true;
	session_begin_request(session, 0);
	pool_submit_leased(pool, reader, job);
	return job;
}

void pool_return(struct pool *pool, struct job *job)
{
	struct reader *reader = job->reader;
	bool stays_leased;

	if (job->kind == JOB_CHECK)
		pool->checks--;
	if (!reader)
		return;
	assert(reader->running == job);
	reader->running = NULL;
	if (job->kind != JOB_CHECK) /* a check is no use: unused readers are closed */
		reader->last_used_ns = clock_now(pool->database->clock);
	reader->is_broken |= job->breaks_reader;
	/* A begin that failed has no transaction, nor a first page that failed a cursor;
	 * neither has one that ended. */
	stays_leased = reader->state == READER_LEASED && !job->has_ended &&
	    (job->in_transaction || job->failure.code == 0);
	if (stays_leased)
		return;
	if (reader->state == READER_LEASED)
		pool->leased--;
	else if (job->lanes)
		job->lanes[TURNS_READS].running--;
	reader->state = READER_IDLE;
	if (!reader->is_broken)
		return;
	pool->replaced++;
	log_info("reader %u: its connection is replaced", reader->number);
	remove_reader(pool, reader);
	if (pool->count == 0)
		add_reader(pool);
}

/* A slow client's job waits until its session takes answers: pool_readmit. */
static bool is_stuck(const struct job *job)
{
	return session_is_full(job->session);
}

/* The last reader is not for those who have the others: another user, who comes later,
 * would wait for the end of some query of theirs. */
static bool may_have_the_last(const struct job *job)
{
	return job->lanes[TURNS_READS].running == 0 || !session_has_rivals(job->session);
}

/* The next plain read. */
static struct job *next_read(struct pool *pool)
{
	bool is_last = pool->readers_max > 2 && available(pool) == 1;

	return turns_find(&pool->waiting, is_stuck, is_last ? may_have_the_last : NULL);
}

void pool_readmit(struct job *job)
{
	turns_bring_back(job);
}

void pool_pump(struct pool *pool)
{
	struct reader *reader;
	struct job *job;

	while (pool->leased < pool->leased_max &&
	    (job = turns_find(&pool->waiting_begins, is_stuck, NULL)) &&
	    (reader = find_idle(pool))) {
		pool->leased++;
		turns_take(&pool->waiting_begins, job);
		hand_over(reader, READER_LEASED, job);
	}
	if (!gate_is_open(&pool->database->gate, clock_now(pool->database->clock)))
		return;
	while ((job = next_read(pool)) && (reader = find_idle(pool))) {
		turns_take(&pool->waiting, job);
		job->lanes[TURNS_READS].running++;
		hand_over(reader, READER_BUSY, job);
	}
}

void pool_collect_late(struct pool *pool, int64_t now_ns, struct job_list *late)
{
	turns_collect(&pool->waiting, job_is_late, now_ns, late);
	turns_collect(&pool->waiting_begins, job_is_late, now_ns, late);
	writer_collect_late(pool->writer, now_ns, late);
}

void pool_nudge(struct pool *pool)
{
	writer_nudge(pool->writer);
	for (unsigned i = 0; i < pool->count; i++)
		if (pool->readers[i]->running)
			reader_nudge(pool->readers[i]);
}

static struct job *check_job(struct pool *pool)
{
	struct job *job = job_create(NULL, 0, pool->database->budget);

	if (!job)
		return NULL; /* no memory: the next check will do */
	job->kind = JOB_CHECK;
	job->home = pool->database->completion;
	job->done = pool->on_checked;
	job->owner = pool->owner;
	pool->checks++;
	return job;
}

void pool_check_health(struct pool *pool, int64_t now_ns)
{
	struct job *job;

	if (now_ns < pool->next_check_ns)
		return;
	for (unsigned i = pool->count; i-- > 0;) {
		struct reader *reader = pool->readers[i];
		if (reader->state != READER_IDLE)
			continue;
		if (pool->count > 1 && reader->last_used_ns < pool->last_check_ns) {
			remove_reader(
			    pool, reader); /* moves a later one, seen already, here */
			continue;
		}
		if ((job = check_job(pool)))
			hand_over(reader, READER_BUSY, job);
	}
	/* A writer at work is a healthy one, and a check must not look like a waiting client. */
	if (!writer_holder(pool->writer).is_held && (job = check_job(pool)))
		writer_submit(pool->writer, job);
	pool->last_check_ns = now_ns;
	pool->last_check_unix = clock_unix_seconds();
	pool->next_check_ns =
	    clock_after(now_ns, pool->database->settings->health_check_interval_ns);
}

bool pool_has_waiters(struct pool *pool, const struct reader *reader)
{
	if (!reader)
		return writer_waiting(pool->writer) > 0;
	return turns_ready(&pool->waiting) + turns_ready(&pool->waiting_begins) > 0;
}

bool pool_is_idle(struct pool *pool)
{
	for (unsigned i = 0; i < pool->count; i++)
		if (pool->readers[i]->running)
			return false;
	return pool->checks == 0 && !writer_holder(pool->writer).is_held &&
	    writer_waiting(pool->writer) == 0;
}

unsigned pool_active(struct pool *pool)
{
	unsigned active = writer_holder(pool->writer).is_held;

	for (unsigned i = 0; i < pool->count; i++)
		active += pool->readers[i]->state != READER_IDLE;
	return active;
}
