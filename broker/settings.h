/* settings.h - everything an operator can set.
 *
 * Flag, else environment, else default.  One table in settings.c names each
 * setting once: its flag is the name with dashes (--db for database), its
 * variable POOLITE_ and the name in capitals; the three of LeadFinder's pool
 * keep DB_POOL_MAX_CONNECTIONS, DB_POOL_CONNECTION_TIMEOUT and
 * DB_POOL_HEALTH_CHECK_INTERVAL (the POOLITE_ one wins when both are set).
 */
#ifndef POOLITE_BROKER_SETTINGS_H
#define POOLITE_BROKER_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/log.h"

enum settings_synchronous {
	SYNCHRONOUS_NORMAL = 1,
	SYNCHRONOUS_FULL = 2,
	SYNCHRONOUS_EXTRA = 3
};

/* At most one place of max_clients in so many is kept for admins (reserved_clients). */
#define SETTINGS_RESERVED_SHARE 10

/* Strings are borrowed from argv or the environment; NULL where not given.
 * Times are nanoseconds, given in seconds with an optional fraction. */
struct settings {
	const char *database; /* required */
	const char *socket;   /* required */
	const char *stats_socket;
	bool create;
	bool allow_unsafe_place;
	unsigned socket_mode; /* 0660; given in octal, at most 0777 */
	const char *socket_group;
	enum settings_synchronous synchronous;
	bool foreign_keys;
	bool hardened;
	uint64_t cache_bytes;
	bool temp_store_memory;
	int64_t busy_timeout_ns;
	int64_t query_timeout_ns;
	int64_t transaction_timeout_ns;
	int64_t transaction_idle_timeout_ns;
	int64_t write_timeout_ns;
	int64_t grace_ns;
	int64_t connection_timeout_ns;
	int64_t health_check_interval_ns;
	uint32_t max_connections; /* >= 4 */
	uint32_t checkpoint_pages;
	uint64_t wal_limit_bytes;
	const char *allow; /* lists of people.h */
	const char *read_only;
	const char *admin;
	uint32_t reserved_clients;
	uint32_t max_clients;
	uint32_t max_user_clients;        /* 0: as many as everybody */
	uint32_t max_user_requests;       /* 0: no limit of their own */
	uint64_t max_user_buffered_bytes; /* 0: the same */
	uint32_t max_inflight;
	uint64_t max_frame_bytes;
	uint32_t max_values;
	uint64_t max_result_bytes;
	uint64_t max_buffered_bytes;
	enum log_level log_level;
};

enum settings_outcome {
	SETTINGS_RUN,   /* ${settings} is complete and sane */
	SETTINGS_DONE,  /* --help or --version was printed to stdout: exit 0 */
	SETTINGS_WRONG, /* a sentence naming the bad value went to stderr: exit 2 */
};

/**
 * Read flags and environment; see above.  A variable POOLITE_... that is no
 * setting is logged as a warning.  Called once, before any thread.
 */
enum settings_outcome settings_read(struct settings *settings, int argc, char **argv);

#endif
