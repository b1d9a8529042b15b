/* What a test expects of a wire's answers: the second half of wire.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

const char *expect_ok(struct wire *wire, uint32_t msgid)
{
	const struct reply *reply = wire_receive(wire, msgid);

	CHECK(reply->failure.code == POOLITE_OK, "request %u was refused: %s: %s", msgid,
	    poolite__code_name(reply->failure.code), reply->failure.message);
	return reply->result;
}

void expect_result(struct wire *wire, uint32_t msgid, const char *result)
{
	CHECK_TEXT(expect_ok(wire, msgid), result);
}

static const struct reply *expect_failure(
    struct wire *wire, uint32_t msgid, enum poolite_code code, const char *part)
{
	const struct reply *reply = wire_receive(wire, msgid);

	CHECK(reply->failure.code != POOLITE_OK,
	    "request %u was not refused with %s but answered %s", msgid,
	    poolite__code_name(code), reply->result);
	CHECK(reply->failure.code == code, "request %u was refused with %s, not %s: %s",
	    msgid, poolite__code_name(reply->failure.code), poolite__code_name(code),
	    reply->failure.message);
	CHECK(reply->failure.is_unknown == (code == POOLITE_OUTCOME_UNKNOWN),
	    "done is wrong: %s", reply->failure.message);
	CHECK(reply->failure.message[0], "no message");
	CHECK(!strstr(reply->failure.message, "/tmp"), "a path in: %s",
	    reply->failure.message);
	if (part)
		CHECK_HAS(reply->failure.message, part);
	return reply;
}

const struct reply *expect_error(
    struct wire *wire, uint32_t msgid, enum poolite_code code, const char *part)
{
	const struct reply *reply = expect_failure(wire, msgid, code, part);

	CHECK_EQ(reply->failure.rows_done, 0);
	return reply;
}

void expect_part(struct wire *wire, uint32_t msgid, enum poolite_code code,
    int64_t rows_done, const char *part)
{
	CHECK_EQ(expect_failure(wire, msgid, code, part)->failure.rows_done, rows_done);
}

void expect_farewell(struct wire *wire, enum poolite_code code)
{
	const struct reply *reply;

	do
		reply = wire_next(wire);
	while (reply && !reply->is_notification);
	CHECK(reply, "the session ended without saying why");
	CHECK(reply->failure.code == code, "the session ends with %s, not %s: %s",
	    poolite__code_name(reply->failure.code), poolite__code_name(code),
	    reply->failure.message);
	CHECK(wire_next(wire) == NULL, "the notification is not the last message");
}

void expect_end(struct wire *wire)
{
	while (wire_next(wire))
		;
}

/* ---- whole round trips ------------------------------------------------------- */

static char *format(const char *text, va_list args)
{
	char *formatted;

	CHECK(vasprintf(&formatted, text, args) >= 0, "out of memory");
	return formatted;
}

#define FORMATTED(name, text)                                                            \
	va_list name##_args;                                                             \
	va_start(name##_args, text);                                                     \
	char *name = format(text, name##_args);                                          \
	va_end(name##_args)

const char *call(struct wire *wire, const char *method, const char *params, ...)
{
	FORMATTED(formatted, params);
	uint32_t msgid = wire_send(wire, method, "%s", formatted);
	free(formatted);
	return expect_ok(wire, msgid);
}

const char *run(struct wire *wire, const char *method, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	uint32_t msgid = wire_sql(wire, method, "%s", formatted);
	free(formatted);
	return expect_ok(wire, msgid);
}

const char *ask(struct wire *wire, const char *method)
{
	return expect_ok(wire, wire_bare(wire, method));
}

void update(struct wire *wire, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	run(wire, "update", "%s", formatted);
	free(formatted);
}

/* The rows of {`columns`: [...], `rows`: ROWS}, which is a query's whole result. */
static char *rows_of(struct wire *wire, const char *sql)
{
	static const char key[] = "`rows`: ";
	const char *result = run(wire, "query", "%s", sql);
	const char *rows = strstr(result, key);

	CHECK(rows, "no rows in %s", result);
	rows += sizeof key - 1;
	return strndup(rows, strlen(rows) - 1);
}

void expect_rows(struct wire *wire, const char *rows, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	char *found = rows_of(wire, formatted);
	CHECK(strcmp(found, rows) == 0, "%s\ngives %s\nnot   %s", formatted, found, rows);
	free(found);
	free(formatted);
}

static int64_t number_of(struct wire *wire, const char *sql)
{
	char *rows = rows_of(wire, sql);
	int64_t found;

	CHECK(strncmp(rows, "[[", 2) == 0, "%s gives %s", sql, rows);
	found = strtoll(rows + 2, NULL, 10);
	free(rows);
	return found;
}

int64_t number(struct wire *wire, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	int64_t found = number_of(wire, formatted);
	free(formatted);
	return found;
}

void expect_number(struct wire *wire, int64_t wanted, const char *sql, ...)
{
	FORMATTED(formatted, sql);
	int64_t found = number_of(wire, formatted);
	CHECK(found == wanted, "%s gives %lld, not %lld", formatted, (long long)found,
	    (long long)wanted);
	free(formatted);
}

void refused(struct wire *wire, enum poolite_code code, const char *part,
    const char *method, const char *params, ...)
{
	FORMATTED(formatted, params);
	expect_error(wire, wire_send(wire, method, "%s", formatted), code, part);
	free(formatted);
}

/* ---- stats ------------------------------------------------------------------- */

/* What follows ${key} in the map that ${at} begins with, its inner maps skipped; NULL: none. */
static const char *find_key(const char *at, const char *key, size_t key_len)
{
	for (int depth = 0; *at; at++) {
		depth += *at == '{';
		depth -= *at == '}';
		if (depth == 0)
			return NULL;
		if (depth == 1 && *at == '`' && strncmp(at + 1, key, key_len) == 0 &&
		    strncmp(at + 1 + key_len, "`: ", 3) == 0)
			return at + 1 + key_len + 3;
	}
	return NULL;
}

/* Where its value stands in what is answered; NULL: it is not there. */
static const char *find_stat(struct wire *wire, const char *name)
{
	const char *at = ask(wire, "stats");

	while (at && *name) {
		size_t len = strcspn(name, ".");
		at = find_key(at, name, len);
		name += len + (name[len] == '.');
	}
	return at;
}

int64_t stat_of(struct wire *wire, const char *name)
{
	const char *at = find_stat(wire, name);
	return at ? strtoll(at, NULL, 10) : 0;
}

double stat_real(struct wire *wire, const char *name)
{
	const char *at = find_stat(wire, name);
	return at ? strtod(at, NULL) : 0;
}

void await_stat(struct wire *wire, const char *name, int64_t at_least)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	int64_t found;

	while ((found = stat_of(wire, name)) < at_least)
		CHECK(check_seconds() < until, "%s stays at %lld, below %lld", name,
		    (long long)found, (long long)at_least);
}

void await_stat_is(struct wire *wire, const char *name, int64_t wanted)
{
	double until = check_seconds() + PATIENCE_SECONDS;
	int64_t found;

	while ((found = stat_of(wire, name)) != wanted)
		CHECK(check_seconds() < until, "%s stays at %lld, not %lld", name,
		    (long long)found, (long long)wanted);
}
