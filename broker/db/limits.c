#include "broker/db/limits.h"

#include <limits.h>
#include <string.h>

/* SQLite's own, as it was built: Debian's hurts nobody there. */
#define AS_BUILT INT_MAX

/*
 * A function's call, LIKE and one step of the machine heed no deadline, so what they work on
 * is bounded.  The last column is for hostile SQL: the values that SQLite's page "Defense
 * Against The Dark Arts" gives as high security; honest programs may have to be fitted to it.
 */
static const struct {
	int limit;
	int ordinary;
	int hardened;
} limits[] = {
    /* Text, blob or row.  Ordinarily the largest answer: options->value_bytes_max. */
    {SQLITE_LIMIT_LENGTH, AS_BUILT, CONNECTION_HARDENED_VALUE_BYTES},
    /* Ordinarily max_frame_bytes bounds it. */
    {SQLITE_LIMIT_SQL_LENGTH, AS_BUILT, 100000},
    /* 2,000; 1,000; 500: wide tables, long ORs and UNIONs are honest and cost what they say. */
    {SQLITE_LIMIT_COLUMN, AS_BUILT, 100},
    {SQLITE_LIMIT_EXPR_DEPTH, AS_BUILT, 10},
    {SQLITE_LIMIT_COMPOUND_SELECT, AS_BUILT, 3},
    /* 250 million steps of 24 bytes would be 6 GB for one program; a multi-row INSERT or IN
     * list of a million values has about two million. */
    {SQLITE_LIMIT_VDBE_OP, 10000000, 25000},
    {SQLITE_LIMIT_FUNCTION_ARG, AS_BUILT, 8},
    /* The broker serves one database; stops VACUUM INTO as well. */
    {SQLITE_LIMIT_ATTACHED, 0, 0},
    /* 50,000 as built.  LIKE costs text times pattern, in one step: longer than a URL it has
     * no honest use. */
    {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 2048, 50},
    /* 250,000 on Debian; each is 56 bytes at most when it is bound. */
    {SQLITE_LIMIT_VARIABLE_NUMBER, AS_BUILT, 10},
    {SQLITE_LIMIT_TRIGGER_DEPTH, AS_BUILT, 10},
    /* A connection is one thread, whose memory is counted: no helpers beside it. */
    {SQLITE_LIMIT_WORKER_THREADS, 0, 0},
};

/* Parts of what SQLite says of them. */
static const char *const messages[] = {
    "string or blob too big",
    "statement too long",
    "too many columns",
    "Expression tree is too large",
    "too many terms in compound SELECT",
    "too many arguments on function",
    "LIKE or GLOB pattern too complex",
    "too many SQL variables",
    "variable number must be between",
    "too many levels of trigger recursion",
    "unsafe use of",
};

bool limits_are_meant(const char *message)
{
	for (size_t i = 0; i < sizeof messages / sizeof *messages; i++)
		if (strstr(message, messages[i]))
			return true;
	return false;
}

static void lower(sqlite3 *db, int limit, int64_t value)
{
	if (value < sqlite3_limit(db, limit, -1))
		sqlite3_limit(db, limit, (int)value);
}

void limits_install(sqlite3 *db, const struct connection_options *options)
{
	for (size_t i = 0; i < sizeof limits / sizeof *limits; i++)
		lower(db, limits[i].limit,
		    options->hardened ? limits[i].hardened : limits[i].ordinary);
	lower(db, SQLITE_LIMIT_LENGTH, options->value_bytes_max);
	if (options->role == CONNECTION_FAST) {
		lower(db, SQLITE_LIMIT_LENGTH, FAST_VALUE_BYTES);
		lower(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, FAST_PATTERN_BYTES);
	}
}
