/* client.h - handles of libpoolite, for suites that test it. */
#ifndef POOLITE_TESTS_CLIENT_H
#define POOLITE_TESTS_CLIENT_H

#include <stdatomic.h>
#include <sys/types.h>

#include "client/poolite.h"

/** Open ${db} on ${path}; what it was before, if not NULL, is closed. */
void client_open(
    struct poolite **db, const char *path, const struct poolite_options *options);
/** The same with these options, in ms; 0: the default. */
void client_open_hasty(
    struct poolite **db, const char *path, int request_ms, int grace_ms, int connect_ms);

/** ${code} is ${wanted}, ${error} says the same, with ${outcome}, and a message if it failed. */
#define CHECK_ERROR(code, error, wanted, outcome)                                        \
	client_check(__FILE__, __LINE__, code, error, wanted, outcome)
void client_check(const char *file, int line, int code, const struct poolite_error *error,
    int wanted, enum poolite_outcome outcome);
/** It succeeded. */
#define CHECK_OK(code, error) CHECK_ERROR(code, error, POOLITE_OK, POOLITE_DONE_NO)

/** The one number that ${sql} gives. */
int64_t client_number(struct poolite *db, const char *sql);

/** Until the thread whose id appears in ${tid} waits in the kernel. */
void client_await_sleep(const _Atomic pid_t *tid);

#endif
