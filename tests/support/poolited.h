/* poolited.h - a real poolited in a folder of its own. */
#ifndef POOLITE_TESTS_POOLITED_H
#define POOLITE_TESTS_POOLITED_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/process.h"

struct poolited {
	char folder[FOLDER_SIZE];
	char database[64];
	char socket[64];
	char stats_socket[64];
	pid_t pid;           /* 0: none runs */
	const char *program; /* borrowed; NULL: POOLITED */
	const char *flags[32];
	void (*prepare)(
	    struct poolited *broker); /* in the child, before poolited; NULL */
	int log_fd;
	char log[1 << 16]; /* what it wrote since it was started last */
	size_t log_len;
};

/** Make the folder and the names; nothing runs yet.  ${flags} end with NULL and are borrowed. */
void poolited_make(struct poolited *broker, const char *const *flags);
/** Start poolited and wait until it is ready; also after poolited_stop and poolited_kill. */
void poolited_run(struct poolited *broker);

/** The same for one that may end before it is ready: false then, see poolited_wait. */
bool poolited_try_run(struct poolited *broker);

/** Both: poolited_start(&broker, "--max-clients", "2"). */
#define poolited_start(broker, ...)                                                      \
	(poolited_make(broker, (const char *const[]){NULL, ##__VA_ARGS__, NULL} + 1),    \
	    poolited_run(broker))

/** SIGTERM.  Returns as process_wait. */
int poolited_stop(struct poolited *broker);
/** Wait for it to end by itself. */
int poolited_wait(struct poolited *broker);
/** SIGKILL. */
void poolited_kill(struct poolited *broker);
/** Wait until its log holds ${text}. */
void poolited_await_log(struct poolited *broker, const char *text);
/** Throw away what it has logged by now, of which a long test has no use: there is room for little. */
void poolited_forget_log(struct poolited *broker);

/**
 * For .fini: stop it if it runs, which has to be clean, and check that the file is
 * whole.  After a failure show the log instead.
 */
void poolited_end(struct poolited *broker);

/** Its open descriptors. */
unsigned poolited_descriptors(const struct poolited *broker);
/** The most memory it ever had, or had since poolited_forget_peak. */
unsigned poolited_peak_kib(const struct poolited *broker);
unsigned poolited_peak_mib(const struct poolited *broker);
/** The memory it has now, in KiB. */
unsigned poolited_resident_kib(const struct poolited *broker);
/** The size of its database's -wal now, in MiB; 0 without one. */
double poolited_wal_mib(const struct poolited *broker);
/** Seconds of processor that it has used. */
double poolited_cpu_seconds(const struct poolited *broker);
/** Count its peak anew, from what it has now. */
void poolited_forget_peak(const struct poolited *broker);

/** Try to start poolited with these flags, which has to fail; see program_run. */
int poolited_fails_to_start(const char *const *flags, char *output, size_t output_size);

#endif
