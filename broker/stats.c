#include "broker/stats.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/overdue.h"
#include "broker/broker.h"
#include "broker/cursor.h"

/* ---- latencies -------------------------------------------------------------- */

/* Bucket of ${us}: below 8 one each, then eight steps per power of two. */
static unsigned bucket_of(uint64_t us)
{
	unsigned power, bucket;

	if (us < 8)
		return (unsigned)us;
	power = 63u - (unsigned)__builtin_clzll(us); /* 3 .. 63 */
	bucket = (power - 2) * 8 + (unsigned)((us >> (power - 3)) & 7);
	return bucket < STATS_BUCKETS ? bucket : STATS_BUCKETS - 1;
}

/* The middle of a bucket, in microseconds. */
static double bucket_us(unsigned bucket)
{
	unsigned power = bucket / 8 + 2;

	if (bucket < 8)
		return bucket;
	return (double)((uint64_t)1 << power) +
	    ((double)(bucket % 8) + 0.5) * (double)((uint64_t)1 << (power - 3));
}

static void count_latency(struct stats_latency *latency, int64_t ns)
{
	uint64_t us = ns > 0 ? (uint64_t)ns / 1000 : 0;

	latency->count++;
	latency->buckets[bucket_of(us)]++;
	if (us > latency->max_us)
		latency->max_us = us;
}

static double quantile_ms(const struct stats_latency *latency, double quantile)
{
	uint64_t rank = (uint64_t)(quantile * (double)latency->count), seen = 0;

	for (unsigned i = 0; i < STATS_BUCKETS; i++) {
		seen += latency->buckets[i];
		if (seen > rank && bucket_us(i) < (double)latency->max_us)
			return bucket_us(i) / 1000;
		if (seen > rank)
			break;
	}
	return (double)latency->max_us / 1000;
}

void stats_count(struct stats *stats, enum poolite__method method, int code,
    int64_t waited_ns, int64_t took_ns)
{
	if (code && -code < (int)(sizeof stats->errors_by_code / sizeof(uint64_t)))
		stats->errors_by_code[-code]++;
	if (waited_ns >= 0)
		count_latency(&stats->wait, waited_ns);
	if (method >= POOLITE__METHOD_COUNT)
		return;
	stats->requests[method]++;
	stats->errors[method] += code != 0;
	count_latency(&stats->latency[method], took_ns);
}

/* ---- a document is packed map by map ------------------------------------------ */

#define DOCUMENT_DEPTH 4

struct document {
	struct poolite__buf *buf;
	msgpack_packer packer;
	size_t at[DOCUMENT_DEPTH]; /* offset of each open map's header */
	unsigned count[DOCUMENT_DEPTH];
	unsigned depth;
};

static void open_map(struct document *document, const char *key)
{
	static const uint8_t header[3] = {0xde, 0, 0}; /* map16, patched when closed */

	if (key) {
		poolite__pack_cstr(&document->packer, key);
		document->count[document->depth - 1]++;
	}
	assert(document->depth < DOCUMENT_DEPTH);
	document->at[document->depth] = document->buf->len;
	document->count[document->depth++] = 0;
	poolite__buf_append(document->buf, header, sizeof header);
}

static void close_map(struct document *document)
{
	unsigned count = document->count[--document->depth];
	uint8_t *header;

	if (document->buf->failed)
		return;
	header = document->buf->data + document->at[document->depth];
	header[1] = (uint8_t)(count >> 8);
	header[2] = (uint8_t)count;
}

static void key(struct document *document, const char *name)
{
	poolite__pack_cstr(&document->packer, name);
	document->count[document->depth - 1]++;
}

static void put_int(struct document *document, const char *name, int64_t value)
{
	key(document, name);
	msgpack_pack_int64(&document->packer, value);
}

static void put_real(struct document *document, const char *name, double value)
{
	key(document, name);
	msgpack_pack_double(&document->packer, value);
}

static void put_text(struct document *document, const char *name, const char *value)
{
	key(document, name);
	if (value)
		poolite__pack_cstr(&document->packer, value);
	else
		msgpack_pack_nil(&document->packer);
}

/* Seconds: a whole number as such. */
static void put_seconds(struct document *document, const char *name, int64_t ns)
{
	if (ns % CLOCK_NS_PER_SEC == 0)
		put_int(document, name, ns / CLOCK_NS_PER_SEC);
	else
		put_real(document, name, (double)ns / 1e9);
}

static void put_latency(struct document *document, const struct stats_latency *latency)
{
	put_real(document, "p50_ms", quantile_ms(latency, 0.50));
	put_real(document, "p90_ms", quantile_ms(latency, 0.90));
	put_real(document, "p99_ms", quantile_ms(latency, 0.99));
	put_real(document, "max_ms", (double)latency->max_us / 1000);
}

/* ---- the parts of stats --------------------------------------------------------- */

static void put_pool_figures(struct broker *broker, struct document *document)
{
	struct database *database = &broker->database;
	int64_t open = atomic_load(&database->connections_open);
	int64_t active = pool_active(&broker->pool);

	/* A reader has its first job before its connection is open. */
	put_int(document, "pool_size", open);
	put_int(document, "max_connections", broker->settings.max_connections);
	put_int(document, "active_connections", active < open ? active : open);
	put_int(document, "total_connections_created",
	    (int64_t)atomic_load(&database->connections_created));
	put_seconds(
	    document, "connection_timeout", broker->settings.connection_timeout_ns);
	put_real(document, "last_health_check", broker->pool.last_check_unix);
}

static void put_sessions(struct broker *broker, struct document *document)
{
	const struct session_shared *sessions = &broker->sessions;

	open_map(document, "sessions");
	put_int(document, "open", (int64_t)sessions->count);
	put_int(document, "max", broker->settings.max_clients);
	put_int(document, "accepted", (int64_t)sessions->accepted);
	put_int(document, "refused", (int64_t)sessions->refused);
	put_int(document, "not_allowed", (int64_t)broker->users.not_allowed);
	put_int(document, "users", (int64_t)HASH_COUNT(broker->users.by_uid));
	put_int(document, "protocol_errors", (int64_t)sessions->protocol_errors);
	put_int(document, "timed_out", (int64_t)sessions->timed_out);
	put_int(document, "notifications_ignored",
	    (int64_t)broker->stats.notifications_ignored);
	put_int(document, "buffered_bytes", (int64_t)atomic_load(&broker->budget.used));
	put_int(document, "max_buffered_bytes", (int64_t)broker->budget.max);
	close_map(document);
}

/* Of those in transactions: what queries in pages have. */
static int cursors_with_a_reader(const struct broker *broker)
{
	const struct cursor *cursor;
	int count = 0;

	DL_FOREACH (broker->cursors, cursor)
		count += cursor->reader != NULL;
	return count;
}

static void put_queues(struct broker *broker, struct document *document)
{
	struct pool *pool = &broker->pool;

	open_map(document, "queues");
	put_int(document, "writer", (int64_t)writer_waiting(pool->writer));
	put_int(document, "reads", (int64_t)pool->waiting.count);
	put_int(document, "read_transactions", (int64_t)pool->waiting_begins.count);
	close_map(document);
	open_map(document, "readers");
	put_int(document, "open", pool->count);
	put_int(document, "max", pool->readers_max);
	put_int(document, "in_transactions", pool->leased);
	put_int(document, "in_transactions_max", pool->leased_max);
	put_int(document, "in_cursors", cursors_with_a_reader(broker));
	put_int(document, "replaced", (int64_t)pool->replaced);
	close_map(document);
	open_map(document, "fast_reader");
	put_int(document, "reads", (int64_t)broker->fast.reads);
	put_int(document, "exceeded", (int64_t)broker->fast.exceeded);
	put_int(document, "snapshots", (int64_t)broker->fast.snapshots);
	close_map(document);
}

static void put_requests(const struct stats *stats, struct document *document)
{
	open_map(document, "requests");
	for (enum poolite__method method = 0; method < POOLITE__METHOD_COUNT; method++) {
		if (stats->requests[method] == 0)
			continue;
		open_map(document, poolite__method_name(method));
		put_int(document, "count", (int64_t)stats->requests[method]);
		put_int(document, "errors", (int64_t)stats->errors[method]);
		put_latency(document, &stats->latency[method]);
		close_map(document);
	}
	close_map(document);
	open_map(document, "waits");
	put_int(document, "count", (int64_t)stats->wait.count);
	put_latency(document, &stats->wait);
	close_map(document);
	open_map(document, "errors");
	for (int code = 1; code < (int)(sizeof stats->errors_by_code / sizeof(uint64_t));
	     code++)
		if (stats->errors_by_code[code])
			put_int(document, poolite__code_name(-code),
			    (int64_t)stats->errors_by_code[code]);
	close_map(document);
}

static void put_writes(struct broker *broker, struct document *document)
{
	struct writer_counters *counters = &broker->pool.writer->counters;
	uint64_t groups = atomic_load(&counters->groups);
	uint64_t members = atomic_load(&counters->members);

	open_map(document, "groups");
	put_int(document, "committed", (int64_t)groups);
	put_int(document, "members", (int64_t)members);
	put_real(document, "mean_size", groups ? (double)members / (double)groups : 0);
	put_int(document, "largest", (int64_t)atomic_load(&counters->largest_group));
	put_int(document, "replays", (int64_t)atomic_load(&counters->group_replays));
	put_int(document, "chunks", (int64_t)atomic_load(&counters->chunks));
	close_map(document);
	open_map(document, "transactions");
	put_int(document, "begun", (int64_t)atomic_load(&counters->transactions));
	put_int(document, "expired", (int64_t)broker->stats.expired);
	close_map(document);
	put_int(document, "rerouted", (int64_t)broker->stats.rerouted);
	put_int(document, "foreign_commits",
	    (int64_t)atomic_load(&counters->foreign_commits));
}

static void put_wal(struct broker *broker, struct document *document)
{
	struct writer_counters *counters = &broker->pool.writer->counters;
	int64_t last_ns = atomic_load(&counters->last_checkpoint_ns);

	open_map(document, "wal");
	put_int(document, "bytes", atomic_load(&counters->wal_bytes));
	put_int(document, "checkpoints", (int64_t)atomic_load(&counters->checkpoints));
	put_int(document, "checkpoints_incomplete",
	    (int64_t)atomic_load(&counters->checkpoints_incomplete));
	put_int(document, "checkpoint_errors",
	    (int64_t)atomic_load(&counters->checkpoint_errors));
	put_int(document, "truncations", (int64_t)atomic_load(&counters->truncations));
	if (last_ns)
		put_real(document, "checkpoint_age",
		    (double)(clock_now(&broker->clock) - last_ns) / 1e9);
	else
		put_text(document, "checkpoint_age", NULL);
	put_real(document, "longest_checkpoint_ms",
	    (double)atomic_load(&counters->longest_checkpoint_ns) / 1e6);
	close_map(document);
}

void stats_command_of(pid_t pid, char *command, size_t size)
{
	char path[64];
	FILE *file;

	snprintf(path, sizeof path, "/proc/%d/comm", (int)pid);
	snprintf(command, size, "?");
	file = fopen(path, "re");
	if (!file)
		return;
	if (fgets(command, (int)size, file))
		command[strcspn(command, "\n")] = '\0';
	fclose(file);
}

/* Somebody who has a connection that others may want. */
static void put_owner(struct broker *broker, struct document *document, const char *name,
    const struct holder *holder, const char *in)
{
	char command[32];

	if (!holder->is_held) {
		put_text(document, name, NULL);
		return;
	}
	stats_command_of(holder->pid, command, sizeof command);
	open_map(document, name);
	put_int(document, "pid", holder->pid);
	put_int(document, "uid", (int64_t)holder->uid);
	put_text(document, "command", command);
	put_int(document, "session", (int64_t)holder->session);
	put_text(document, "in", in);
	put_real(document, "since",
	    (double)(clock_now(&broker->clock) - holder->since_ns) / 1e9);
	close_map(document);
}

static void put_holder(struct broker *broker, struct document *document)
{
	struct holder holder = writer_holder(broker->pool.writer);

	put_owner(broker, document, "holder", &holder,
	    holder.in_transaction ? "a transaction"
				  : poolite__method_name(holder.method));
}

static void put_oldest_read(struct broker *broker, struct document *document)
{
	struct oldest_read oldest = overdue_oldest_read(broker);
	struct holder holder = {
	    .is_held = oldest.session != NULL, .since_ns = oldest.since_ns};

	if (oldest.session) {
		struct session_peer peer = session_peer(oldest.session);
		holder.pid = peer.pid;
		holder.uid = peer.uid;
		holder.session = session_id(oldest.session);
	}
	put_owner(broker, document, "oldest_read", &holder, oldest.in);
}

static bool is_healthy(const struct broker *broker, const char **why)
{
	*why = "the broker is stopping";
	if (atomic_load(&broker->database.refuses_writes)) {
		*why = broker->database.why;
		return false;
	}
	if (broker->is_disk_full) {
		*why =
		    "the disk is full: writes fail until there is space, the next one tries";
		return false;
	}
	return broker->stage == BROKER_SERVING;
}

void stats_pack(struct broker *broker, struct poolite__buf *out)
{
	struct document document = {.buf = out};

	poolite__packer_init(&document.packer, out);
	open_map(&document, NULL);
	put_pool_figures(broker, &document);
	put_text(&document, "version", POOLITE_VERSION);
	put_text(&document, "sqlite", connection_sqlite_version());
	put_int(&document, "pid", getpid());
	put_real(&document, "uptime", clock_unix_seconds() - broker->started_unix);
	put_text(&document, "writes_refused",
	    atomic_load(&broker->database.refuses_writes) ? broker->database.why : NULL);
	put_sessions(broker, &document);
	put_queues(broker, &document);
	put_holder(broker, &document);
	put_oldest_read(broker, &document);
	put_requests(&broker->stats, &document);
	put_writes(broker, &document);
	put_wal(broker, &document);
	close_map(&document);
}

bool stats_pack_health(struct broker *broker, struct poolite__buf *out)
{
	struct document document = {.buf = out};
	const char *why;
	bool all_is_well = is_healthy(broker, &why);

	poolite__packer_init(&document.packer, out);
	open_map(&document, NULL);
	put_text(&document, "status", all_is_well ? "healthy" : "unhealthy");
	if (!all_is_well)
		put_text(&document, "reason", why);
	put_text(&document, "database", "connected");
	put_text(&document, "database_pool", "ready");
	open_map(&document, "database_pool_stats");
	put_pool_figures(broker, &document);
	close_map(&document);
	close_map(&document);
	return all_is_well;
}
