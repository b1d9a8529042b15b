/* ledger.h - clients that write down what they intend and what came of it, and
 * the checker that holds the database against that.
 *
 * Each client is a process with libpoolite.  Every request has a number of its
 * own, (client, seq), and inserts one row or several parts under it.  The intent
 * is noted in shared memory before sending, the outcome after; so the record
 * outlives whoever is killed.  Some requests are mistakes that must be refused.
 */
#ifndef POOLITE_TESTS_LEDGER_H
#define POOLITE_TESTS_LEDGER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "client/poolite.h"

#define LEDGER_CLIENTS 16
#define LEDGER_ENTRIES (1 << 17) /* requests of one client */
#define LEDGER_PARTS   8         /* of one request, at most */

/* What is known of a request. */
enum ledger_state {
	LEDGER_NONE,
	LEDGER_INTENDED, /* its client has not come back: as unknown */
	LEDGER_OK,
	LEDGER_NO,
	LEDGER_UNKNOWN,
	LEDGER_PART, /* of a batch in chunks: its first ones are done */
};

struct ledger_entry {
	_Atomic uint8_t state;
	uint8_t parts;
	uint8_t chunk; /* parts of a chunk; 0: all of them or none */
	uint8_t done;  /* parts that are in, as the error said */
};

/* How the clients behave. */
struct ledger_options {
	unsigned clients;
	uint64_t seed;
	uint32_t tolerated; /* errors that the fault may cause: LEDGER_CODE(...) | ... */
	unsigned requests;  /* of each client; 0: until they are stopped */
	unsigned pause_us;  /* between two requests */
	unsigned payload_bytes; /* of each row */
	bool ends_with_broker;  /* a client that finds no broker ends */
	bool skips_mistakes;
};

/** The bit of an error's code in ledger_options.tolerated. */
#define LEDGER_CODE(code) (UINT32_C(1) << -(code))

struct ledger {
	struct ledger_options options;
	char socket[108];
	pid_t pids[LEDGER_CLIENTS];
	_Atomic bool must_stop;
	/* counted by the clients */
	_Atomic uint64_t acks;     /* requests answered OK */
	_Atomic uint64_t refusals; /* errors with outcome no, mistakes included */
	_Atomic uint64_t unknowns; /* errors with outcome unknown */
	_Atomic uint64_t in_part;  /* errors with outcome part */
	_Atomic uint64_t
	    bystanders; /* errors that neither the request nor the fault explains */
	_Atomic uint64_t
	    wrong; /* a mistake was accepted; a read missed what was answered */
	_Atomic uint64_t codes[32]; /* errors by their negated code */
	_Atomic int64_t longest_us; /* one request */
	_Atomic bool has_story;
	char story[640]; /* the first of bystanders and wrong, for people */
	_Atomic uint32_t used[LEDGER_CLIENTS];
	struct ledger_entry entries[LEDGER_CLIENTS][LEDGER_ENTRIES];
};

/* What the checker found. */
struct ledger_verdict {
	uint64_t checked; /* requests held against the database */
	uint64_t present; /* of them, in the database */
	uint64_t lost;    /* answered OK or as done in part, but absent */
	uint64_t ghosts;  /* answered as not done, but present; or intended by nobody */
	uint64_t
	    torn; /* partly there; in chunks: not in the first ones, as a whole each */
	uint64_t damaged;       /* integrity_check or foreign_key_check complained */
	uint64_t unknown_there; /* of unknown outcome, made by one COMMIT, and present */
};

/** The tables that the clients write to, for a script or sqlite3_exec. */
extern const char ledger_schema[];

/** Shared memory for a record; options are copied.  Lives until ledger_free. */
struct ledger *ledger_create(const struct ledger_options *options);
void ledger_free(struct ledger *ledger);
/** Begin anew, for a fresh database.  No client may run. */
void ledger_clear(struct ledger *ledger);
/** Count the outcomes from 0 on: acks, unknowns, bystanders, wrong and codes. */
void ledger_reset_counts(struct ledger *ledger);

/** Make the database at ${path} with its tables, before any broker runs. */
void ledger_make_database(const char *path);

/** Fork the clients. */
void ledger_start(struct ledger *ledger, const char *socket);
/** Ask them to end, and wait; each must end well. */
void ledger_stop(struct ledger *ledger);
/** Wait until they end by themselves. */
void ledger_join(struct ledger *ledger);
/** Wait until ${acks} more are answered OK than ${since}; false when ${seconds} pass before. */
bool ledger_await_acks(
    struct ledger *ledger, uint64_t since, uint64_t acks, double seconds);

/**
 * Hold the record against the database at ${path}, opened with SQLite itself, and add to
 * ${verdict}.  No broker may have it open (see ledger_check_copy).  Clients may run: what
 * they had noted before is checked.
 */
void ledger_check(
    struct ledger *ledger, const char *path, struct ledger_verdict *verdict);
/** The same on a copy of database and WAL, so that the broker finds them as they are. */
void ledger_check_copy(
    struct ledger *ledger, const char *path, struct ledger_verdict *verdict);

/** Report the sum of the two, batches done in part, and the errors by their codes. */
void ledger_report(const struct ledger *ledger, const struct ledger_verdict *verdict);

/* ---- of many runs ---------------------------------------------------------------- */

/* What they come to together.  Zero it to start; processes may share it. */
struct ledger_sum {
	_Atomic uint64_t acks, unknowns, bystanders, wrong;
	_Atomic uint64_t lost, ghosts, torn, damaged;
};

/** Add a run since ledger_reset_counts, and its verdict. */
void ledger_sum_add(struct ledger_sum *sum, const struct ledger *ledger,
    const struct ledger_verdict *verdict);
/** Report lost, ghost, torn, bystander, wrong and damaged, all of which have to be 0. */
void ledger_sum_report(const struct ledger_sum *sum);

#endif
