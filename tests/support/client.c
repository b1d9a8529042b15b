#include "tests/support/client.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/check.h"

void client_open(
    struct poolite **db, const char *path, const struct poolite_options *options)
{
	struct poolite_error error;

	poolite_close(*db);
	CHECK(poolite_open(path, options, db, &error) == 0, "%s", error.message);
}

void client_open_hasty(
    struct poolite **db, const char *path, int request_ms, int grace_ms, int connect_ms)
{
	struct poolite_options options = {.request_timeout_ms = request_ms,
	    .answer_grace_ms = grace_ms,
	    .connect_timeout_ms = connect_ms};

	client_open(db, path, &options);
}

void client_check(const char *file, int line, int code, const struct poolite_error *error,
    int wanted, enum poolite_outcome outcome)
{
	if (code != wanted || error->code != (enum poolite_code)code ||
	    error->outcome != outcome || (error->message[0] == '\0') != (code == 0))
		check_failed(file, line, "%s (%s, outcome %d) instead of %s: %s",
		    poolite_code_name(code), poolite_code_name(error->code),
		    error->outcome, poolite_code_name(wanted), error->message);
}

int64_t client_number(struct poolite *db, const char *sql)
{
	struct poolite_result *result;
	struct poolite_error error;
	int64_t found;

	CHECK_OK(poolite_query(db, sql, POOLITE_NO_ARGS, &result, &error), &error);
	CHECK_EQ(poolite_result_next(result), 1);
	found = poolite_result_int64(result, 0);
	poolite_result_free(result);
	return found;
}

void client_await_sleep(const _Atomic pid_t *tid)
{
	char path[64], line[256];
	char state = 'R';

	while (atomic_load(tid) == 0)
		sched_yield();
	snprintf(path, sizeof path, "/proc/self/task/%d/stat", (int)atomic_load(tid));
	while (state != 'S') {
		FILE *file = fopen(path, "r");
		char *end =
		    file && fgets(line, sizeof line, file) ? strrchr(line, ')') : NULL;

		state = end ? end[2] : 'R';
		if (file)
			fclose(file);
		sched_yield();
	}
}
