/* stats.h - what is counted, and the documents `stats` and `health`. */
#ifndef POOLITE_BROKER_STATS_H
#define POOLITE_BROKER_STATS_H

#include <sys/types.h>

#include "proto/request.h"

struct broker;

/* Latencies by powers of two with eight steps in each: within 6 % of the truth. */
#define STATS_BUCKETS (48 * 8)

struct stats_latency {
	uint64_t count;
	uint64_t max_us;
	uint64_t buckets[STATS_BUCKETS];
};

struct stats {
	uint64_t requests[POOLITE__METHOD_COUNT];
	uint64_t errors[POOLITE__METHOD_COUNT];
	uint64_t errors_by_code[32];                         /* index: -code */
	struct stats_latency latency[POOLITE__METHOD_COUNT]; /* received to answered */
	struct stats_latency wait; /* received to started, of what a connection ran */
	uint64_t notifications_ignored;
	uint64_t rerouted; /* texts that turned out to write */
	uint64_t expired;  /* transactions */
};

/** Count one answered request. */
void stats_count(struct stats *stats, enum poolite__method method, int code,
    int64_t waited_ns, int64_t took_ns);

/** The name of process ${pid}'s program; "?" when it is gone. */
void stats_command_of(pid_t pid, char *command, size_t size);

/** Append the `stats` document, a map. */
void stats_pack(struct broker *broker, struct poolite__buf *out);
/** Append the `health` document, a map.  Returns whether the broker is healthy. */
bool stats_pack_health(struct broker *broker, struct poolite__buf *out);

#endif
