#include "tests/fault/guard_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/check.h"

#define NAMES_MAX 128

static char *pragmas[NAMES_MAX], *modules[NAMES_MAX];
static size_t pragmas_count, modules_count;

static size_t learn(sqlite3 *db, const char *sql, char *list[NAMES_MAX])
{
	sqlite3_stmt *stmt;
	size_t count = 0;

	CHECK_EQ(sqlite3_prepare_v2(db, sql, -1, &stmt, NULL), SQLITE_OK);
	while (sqlite3_step(stmt) == SQLITE_ROW && count < NAMES_MAX)
		list[count++] = strdup((const char *)sqlite3_column_text(stmt, 0));
	sqlite3_finalize(stmt);
	return count;
}

void guard_state_learn(struct sql_names *names)
{
	sqlite3 *db;

	CHECK_EQ(sqlite3_open(":memory:", &db), SQLITE_OK);
	pragmas_count = learn(db, "SELECT name FROM pragma_pragma_list", pragmas);
	modules_count = learn(db,
	    "SELECT name FROM pragma_module_list WHERE name NOT LIKE 'pragma%'", modules);
	sqlite3_close(db);
	CHECK(pragmas_count > 50 && modules_count > 5, "SQLite tells too few names");
	*names = (struct sql_names){(const char *const *)pragmas, pragmas_count,
	    (const char *const *)modules, modules_count};
}

/* ---- one text of it all ------------------------------------------------------------------ */

struct state {
	char *text;
	size_t len;
};

static void add(struct state *state, const char *name, const char *value)
{
	int len = snprintf(state->text + state->len, GUARD_STATE_BYTES - state->len,
	    "%s=%s\n", name, value ? value : "NULL");

	CHECK(len > 0 && state->len + (size_t)len < GUARD_STATE_BYTES,
	    "a connection's state became too long");
	state->len += (size_t)len;
}

static void add_number(struct state *state, const char *name, long long number)
{
	char text[24];

	snprintf(text, sizeof text, "%lld", number);
	add(state, name, text);
}

/* The first column of every row. */
static void add_rows(struct state *state, sqlite3 *db, const char *sql)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc == SQLITE_OK)
		while ((rc = sqlite3_step(stmt)) == SQLITE_ROW)
			add(state, sql, (const char *)sqlite3_column_text(stmt, 0));
	if (rc != SQLITE_DONE && stmt)
		add(state, sql, sqlite3_errmsg(db));
	sqlite3_finalize(stmt);
}

/* Those that tell of the file, which honest texts change, or do something when asked. */
static bool tells_of_the_connection(const char *pragma)
{
	static const char *const others[] = {"incremental_vacuum", "optimize",
	    "shrink_memory", "wal_checkpoint", "database_list", "module_list",
	    "pragma_list"};

	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		if (strcmp(pragma, others[i]) == 0)
			return false;
	return !sql_pragma_is_listed(pragma, strlen(pragma));
}

static void add_flags(struct state *state, struct connection *connection)
{
	sqlite3 *db = connection->db;

	for (int option = SQLITE_DBCONFIG_ENABLE_FKEY;
	     option <= SQLITE_DBCONFIG_TRUSTED_SCHEMA; option++) {
		int value = -1;
		sqlite3_db_config(db, option, -1, &value);
		add_number(state, "flag", value);
	}
	for (int limit = 0; limit <= SQLITE_LIMIT_WORKER_THREADS; limit++)
		add_number(state, "limit", sqlite3_limit(db, limit, -1));
	for (int i = 0; i < 3; i++)
		add(state, "database", sqlite3_db_name(db, i));
	add_number(state, "hard heap limit", sqlite3_hard_heap_limit64(-1));
	add_number(state, "soft heap limit", sqlite3_soft_heap_limit64(-1));
	add(state, "temp folder", sqlite3_temp_directory);
	add(state, "data folder", sqlite3_data_directory);
}

static void add_statements(struct state *state, sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;
	int under_way = 0;

	while ((stmt = sqlite3_next_stmt(db, stmt)) != NULL)
		under_way += sqlite3_stmt_busy(stmt) != 0;
	add_number(state, "statements under way", under_way);
}

void guard_state_read_flags(struct connection *connection, char text[GUARD_STATE_BYTES])
{
	struct state state = {text, 0};

	add_flags(&state, connection);
}

void guard_state_read(struct connection *connection, char text[GUARD_STATE_BYTES])
{
	static const char *const others[] = {"PRAGMA temp.synchronous",
	    "PRAGMA temp.cache_size", "PRAGMA temp.user_version",
	    "PRAGMA temp.application_id", "PRAGMA temp.schema_version",
	    "PRAGMA temp.journal_mode", "SELECT 'a' LIKE 'A'", /* case_sensitive_like */
	    "SELECT name || ' ' || file FROM pragma_database_list",
	    "SELECT count(*) || ' ' || total(flags) FROM pragma_function_list",
	    "SELECT name FROM pragma_collation_list", "SELECT * FROM sqlite_temp_schema"};
	struct state state = {text, 0};
	char sql[128];

	guard_reset(&connection->guard);
	connection->guard.is_own = true;
	add_flags(&state, connection);
	add_statements(&state, connection->db);
	add_number(&state, "autocommit", sqlite3_get_autocommit(connection->db));
	for (size_t i = 0; i < pragmas_count; i++) {
		snprintf(sql, sizeof sql, "PRAGMA %s", pragmas[i]);
		if (tells_of_the_connection(pragmas[i]))
			add_rows(&state, connection->db, sql);
	}
	for (size_t i = 0; i < sizeof others / sizeof *others; i++)
		add_rows(&state, connection->db, others[i]);
	connection->guard.is_own = false;
}

/* ---- what runs ---------------------------------------------------------------------------- */

struct watch {
	struct connection *connection;
	uint64_t *count;
};

/*
 * Whether "PRAGMA ${rest}" is one that is not on the list, spelt as SQLite spells those it
 * makes by itself: for pragma_x() tables, for instance.  What a client spells in other ways
 * is judged by whoever made that text.
 */
static bool is_forbidden(const char *rest)
{
	static const char letters[] =
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
	const char *name = rest + strspn(rest, "\"'");
	size_t len = strspn(name, letters);

	if (strspn(name + len, "\"'.") > 0 && strchr(name + len, '.')) {
		name += len + strspn(name + len, "\"'.");
		len = strspn(name, letters);
	}
	return len > 0 && (name[len] == '\0' || strchr("=;(", name[len])) &&
	    !sql_pragma_is_listed(name, len);
}

static int on_run(unsigned kind, void *context, void *stmt, void *text)
{
	static const char *const verbs[] = {
	    "ATTACH ", "DETACH ", "VACUUM", "BEGIN", "COMMIT", "END", "ROLLBACK;"};
	struct watch *watch = context;
	const char *sql = text;

	(void)kind;
	(void)stmt;
	if (watch->connection->guard.is_own)
		return 0;
	if (strncmp(sql, "PRAGMA ", 7) == 0 && is_forbidden(sql + 7))
		++*watch->count;
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (strncmp(sql, verbs[i], strlen(verbs[i])) == 0)
			++*watch->count;
	return 0;
}

void guard_state_watch(struct connection *connection, uint64_t *count)
{
	static struct watch watches[8];
	static unsigned next;
	struct watch *watch = &watches[next++ % 8];

	*watch = (struct watch){connection, count};
	sqlite3_trace_v2(connection->db, SQLITE_TRACE_STMT, on_run, watch);
}
