#include <stdlib.h>
#include <string.h>

#include "broker/db/internal.h"

static int bind_value(sqlite3_stmt *stmt, int index, const struct poolite_value *value,
    sqlite3_destructor_type lifetime)
{
	static const char empty[] = "";
	const void *data = value->as.data;

	switch (value->type) {
	case POOLITE_INTEGER: return sqlite3_bind_int64(stmt, index, value->as.integer);
	case POOLITE_REAL: return sqlite3_bind_double(stmt, index, value->as.real);
	case POOLITE_TEXT:
		return sqlite3_bind_text64(
		    stmt, index, data ? data : empty, value->len, lifetime, SQLITE_UTF8);
	case POOLITE_BLOB:
		if (value->len == 0)
			return sqlite3_bind_zeroblob(stmt, index, 0);
		return sqlite3_bind_blob64(stmt, index, data, value->len, lifetime);
	case POOLITE_NULL: break;
	}
	return sqlite3_bind_null(stmt, index);
}

/* The parameter that ${name} means, with or without its prefix; 0: none. */
static int find_parameter(sqlite3_stmt *stmt, const char *name, size_t len)
{
	static const char prefixes[] = ":@$";
	char full[256];
	int index = 0;

	if (len == 0 || len > sizeof full - 2 || memchr(name, '\0', len))
		return 0;
	memcpy(full + 1, name, len);
	full[len + 1] = '\0';
	if (strchr(prefixes, name[0]))
		return sqlite3_bind_parameter_index(stmt, full + 1);
	for (const char *prefix = prefixes; *prefix && !index; prefix++) {
		full[0] = *prefix;
		index = sqlite3_bind_parameter_index(stmt, full);
	}
	return index;
}

static int refuse_unbound(sqlite3_stmt *stmt, const uint8_t *bound, int wanted,
    struct poolite__failure *failure)
{
	for (int i = 1; i <= wanted; i++) {
		const char *name = sqlite3_bind_parameter_name(stmt, i);
		if (bound[i])
			continue;
		if (!name || name[0] == '?')
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "parameter %d has no name, but the arguments are a map; send an array",
			    i);
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "no argument for the parameter %.100s", name);
	}
	return 0;
}

static int bind_named(sqlite3_stmt *stmt, struct poolite__args args, uint8_t *bound,
    sqlite3_destructor_type lifetime, struct poolite__failure *failure)
{
	struct poolite_value value;
	const char *name;
	size_t len;
	int rc;

	while ((rc = poolite__args_next(&args, &name, &len, &value, failure)) == 1) {
		int index = find_parameter(stmt, name, len);
		int shown = len > 100 ? 100 : (int)len;
		if (!index)
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "the statement has no parameter '%.*s'", shown, name);
		if (bound[index])
			return poolite__fail(failure, POOLITE_BAD_REQUEST,
			    "the argument '%.*s' is there twice", shown, name);
		bound[index] = 1;
		if (bind_value(stmt, index, &value, lifetime) != SQLITE_OK)
			return poolite__fail(failure, POOLITE_TOO_LARGE,
			    "the argument '%.*s' is larger than SQLite takes", shown,
			    name);
	}
	return rc;
}

static int bind_by_name(sqlite3_stmt *stmt, struct poolite__args args,
    sqlite3_destructor_type lifetime, struct poolite__failure *failure)
{
	int wanted = sqlite3_bind_parameter_count(stmt);
	uint8_t *bound = calloc(1, (size_t)wanted + 1);
	int rc;

	if (!bound)
		return poolite__fail(failure, POOLITE_OVERLOADED, "out of memory");
	rc = bind_named(stmt, args, bound, lifetime, failure);
	if (rc == 0)
		rc = refuse_unbound(stmt, bound, wanted, failure);
	free(bound);
	return rc;
}

int execute_bind(sqlite3_stmt *stmt, struct poolite__args args,
    sqlite3_destructor_type lifetime, struct poolite__failure *failure)
{
	uint32_t wanted = (uint32_t)sqlite3_bind_parameter_count(stmt);
	struct poolite_value value;
	const char *name;
	size_t len;
	int index = 0, rc;

	if (args.is_named && (args.count > 0 || wanted > 0))
		return bind_by_name(stmt, args, lifetime, failure);
	if (args.count != wanted)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the statement has %u parameter%s, but %u argument%s came", wanted,
		    wanted == 1 ? "" : "s", args.count, args.count == 1 ? "" : "s");
	while ((rc = poolite__args_next(&args, &name, &len, &value, failure)) == 1) {
		if (bind_value(stmt, ++index, &value, lifetime) != SQLITE_OK)
			return poolite__fail(failure, POOLITE_TOO_LARGE,
			    "argument %d is larger than SQLite takes", index);
	}
	return rc;
}
