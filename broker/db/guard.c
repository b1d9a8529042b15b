/* guard.c - the allow-list, as answers to SQLite's authorizer.
 *
 * What SQLite asks by itself while it runs honest statements has to pass too:
 * ALTER TABLE updates sqlite_temp_master, ADD COLUMN asks for quick_check,
 * FTS and R-tree for data_version and page_size.  Nearly all of that comes
 * without a sign that tells it from a client's own wish, so the lists below
 * hold what is harmless in either's hands.
 *
 * Functions are the exception, a deny-list: an application's built-in ones are
 * not ours to know, and SQLite marks those of ALTER TABLE as not callable by
 * anyone else.  Left out are those that change the process: load_extension,
 * fts3_tokenizer and icu_load_collation bring in foreign code or collations,
 * sqlite_log writes to our log.
 *
 * Tables: who asks for one whose name begins with sqlite_ must find it listed.
 * Such names cannot be a user's, and some (sqlite_stmt, sqlite_dbpage) are
 * windows into the process.  dbstat may be read: sizes of pages, no content.
 */
#include "broker/db/guard.h"

#include <string.h>

#include "broker/db/sql_text.h"

/* Our savepoints begin with it, so a client's may not. */
#define OWN_SAVEPOINT_PREFIX "poolite"

#define NAME_MAX_BYTES 80 /* of a client's name in an error's text */

static const char *const counters[] = {
    "last_insert_rowid", "changes", "total_changes", NULL};

static const char *const refused_functions[] = {
    "load_extension", "fts3_tokenizer", "icu_load_collation", "sqlite_log", NULL};

static const char *const allowed_modules[] = {"fts3", "fts4", "fts4aux", "fts3tokenize",
    "fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly", NULL};

static const char *const allowed_system_tables[] = {"sqlite_master", "sqlite_schema",
    "sqlite_temp_master", "sqlite_temp_schema", "sqlite_sequence", "sqlite_stat1",
    "sqlite_stat2", "sqlite_stat3", "sqlite_stat4", NULL};

/* As SQLite calls them when it asks about writing. */
static const char *const schema_tables[] = {"sqlite_master", "sqlite_temp_master", NULL};

/* What an argument to a PRAGMA does. */
enum pragma_argument {
	ARGUMENT_REFUSED, /* it would set something that is not the client's */
	ARGUMENT_ASKS,    /* which table, how many errors */
	ARGUMENT_SETS,    /* a value in the file that belongs to the application */
};

static const struct {
	const char *name;
	enum pragma_argument argument;
} allowed_pragmas[] = {
    {"application_id", ARGUMENT_SETS},
    {"collation_list", ARGUMENT_REFUSED},
    {"compile_options", ARGUMENT_REFUSED},
    {"data_version", ARGUMENT_REFUSED},
    {"foreign_key_check", ARGUMENT_ASKS},
    {"foreign_key_list", ARGUMENT_ASKS},
    {"freelist_count", ARGUMENT_REFUSED},
    {"function_list", ARGUMENT_REFUSED},
    {"index_info", ARGUMENT_ASKS},
    {"index_list", ARGUMENT_ASKS},
    {"index_xinfo", ARGUMENT_ASKS},
    {"integrity_check", ARGUMENT_ASKS},
    {"page_count", ARGUMENT_REFUSED},
    {"page_size", ARGUMENT_REFUSED},
    {"quick_check", ARGUMENT_ASKS},
    {"schema_version", ARGUMENT_REFUSED},
    {"table_info", ARGUMENT_ASKS},
    {"table_list", ARGUMENT_ASKS},
    {"table_xinfo", ARGUMENT_ASKS},
    {"user_version", ARGUMENT_SETS},
};

/* One question of SQLite's; which of a and b means what depends on the action. */
struct question {
	int action;
	const char *a;
	const char *b;
	const char *schema; /* "main", "temp", or NULL where it has none */
};

static bool is_listed(const char *name, const char *const *list)
{
	for (; name != NULL && *list != NULL; list++)
		if (sqlite3_stricmp(name, *list) == 0)
			return true;
	return false;
}

static bool begins_with(const char *name, const char *prefix)
{
	return name != NULL && sqlite3_strnicmp(name, prefix, (int)strlen(prefix)) == 0;
}

/* How many bytes the UTF-8 character at ${text} has, 0 if it is none. */
static size_t utf8_bytes(const char *text)
{
	unsigned char c = (unsigned char)*text;
	size_t bytes = c < 0x80 ? 1
	    : c < 0xc2          ? 0
	    : c < 0xe0          ? 2
	    : c < 0xf0          ? 3
	    : c < 0xf5          ? 4
				: 0;

	for (size_t i = 1; i < bytes; i++)
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 0;
	return bytes;
}

/* A name fit for one line of an error's text: whole characters, none that controls. */
static void printable_name(char out[NAME_MAX_BYTES + 1], const char *name)
{
	size_t used = 0;

	while (name != NULL && *name != '\0') {
		size_t bytes = utf8_bytes(name);
		bool is_fit = bytes > 1 || (bytes == 1 && *name >= ' ' && *name != 0x7f);

		if (used + (is_fit ? bytes : 1) > NAME_MAX_BYTES)
			break;
		if (is_fit)
			memcpy(out + used, name, bytes);
		else
			out[used] = '?';
		used += is_fit ? bytes : 1;
		name += bytes > 0 ? bytes : 1;
	}
	out[used] = '\0';
}

/* Refuse for the reason ${format}, in which one %s stands for ${name}; the first reason stays. */
__attribute__((format(printf, 2, 0))) static int refuse(
    struct guard *guard, const char *format, const char *name)
{
	char shown[NAME_MAX_BYTES + 1];

	if (!guard->is_refused) {
		printable_name(shown, name);
		sqlite3_snprintf(sizeof guard->why, guard->why, format, shown);
	}
	guard->is_refused = true;
	return SQLITE_DENY;
}

static int answer_pragma(struct guard *guard, const struct question *question)
{
	enum { COUNT = sizeof allowed_pragmas / sizeof allowed_pragmas[0] };
	bool is_temp = question->schema != NULL && strcmp(question->schema, "temp") == 0;
	size_t i = 0;

	while (i < COUNT && sqlite3_stricmp(question->a, allowed_pragmas[i].name) != 0)
		i++;
	if (i == COUNT && sqlite3_stricmp(question->a, "foreign_keys") == 0)
		return refuse(guard,
		    "PRAGMA %s is not allowed: foreign keys are the broker's setting, and a script "
		    "may begin with PRAGMA foreign_keys=OFF",
		    question->a);
	if (i == COUNT && sqlite3_stricmp(question->a, "writable_schema") == 0)
		return refuse(guard,
		    "PRAGMA %s is not allowed; in a .dump it comes with a virtual table: serve that "
		    "file itself, or create the table and insert its rows",
		    question->a);
	if (i == COUNT)
		return refuse(guard,
		    "PRAGMA %s is not allowed: clients share connections, so their settings are "
		    "the broker's",
		    question->a);
	if (question->b == NULL || allowed_pragmas[i].argument == ARGUMENT_ASKS)
		return SQLITE_OK;
	if (allowed_pragmas[i].argument == ARGUMENT_REFUSED)
		return refuse(guard,
		    "PRAGMA %s may be read, not set: leave its argument out",
		    question->a);
	if (is_temp)
		return refuse(guard,
		    "PRAGMA temp.%s may not be set: clients share connections; set it in main",
		    question->a);
	return SQLITE_OK;
}

/*
 * What a text beginning with WITH is, its first table action tells: triggers
 * act after it, a virtual table that is opened while compiling declares itself
 * by acts on the schema.
 */
static void note_with(struct guard *guard, const struct question *question)
{
	if (!guard->is_with || is_listed(question->a, schema_tables))
		return;
	guard->facts |= GUARD_CHANGES;
	if (question->action == SQLITE_INSERT)
		guard->facts |= GUARD_INSERTS;
	guard->is_with = false;
}

static int answer_table(struct guard *guard, const struct question *question)
{
	if (begins_with(question->a, "sqlite_") &&
	    !is_listed(question->a, allowed_system_tables))
		return refuse(guard,
		    "table %s is not allowed: it shows what belongs to the broker or to other clients",
		    question->a);
	if (question->action != SQLITE_READ)
		note_with(guard, question);
	return SQLITE_OK;
}

static int answer_function(struct guard *guard, const struct question *question)
{
	if (is_listed(question->b, refused_functions))
		return refuse(guard,
		    "function %s() is not allowed: it would change the broker's process",
		    question->b);
	if (guard->names_counters && is_listed(question->b, counters))
		guard->facts |= GUARD_COUNTERS;
	return SQLITE_OK;
}

/* Whether what is asked of the schema temp is only what ALTER TABLE and readers of schemas need. */
static bool is_harmless_in_temp(const struct question *question)
{
	return question->action == SQLITE_READ || question->action == SQLITE_PRAGMA ||
	    (question->action == SQLITE_UPDATE && is_listed(question->a, schema_tables));
}

/* The part of the list that holds for every action: one database, nothing in temp. */
static int answer_schema(struct guard *guard, const struct question *question)
{
	const char *schema =
	    question->action == SQLITE_ALTER_TABLE ? question->a : question->schema;

	if (schema == NULL || strcmp(schema, "main") == 0)
		return SQLITE_OK;
	if (strcmp(schema, "temp") != 0)
		return refuse(guard,
		    "schema %s is not allowed: the broker serves one database", schema);
	if (is_harmless_in_temp(question))
		return SQLITE_OK;
	return refuse(guard,
	    "TEMP tables, views, triggers and indexes are not allowed: clients share "
	    "connections; use an ordinary table or WITH",
	    NULL);
}

static int answer(struct guard *guard, const struct question *question)
{
	switch (question->action) {
	case SQLITE_SELECT:
	case SQLITE_RECURSIVE:
	case SQLITE_ALTER_TABLE:
	case SQLITE_ANALYZE:
	case SQLITE_REINDEX:
	case SQLITE_CREATE_INDEX:
	case SQLITE_CREATE_TABLE:
	case SQLITE_CREATE_TRIGGER:
	case SQLITE_CREATE_VIEW:
	case SQLITE_DROP_INDEX:
	case SQLITE_DROP_TABLE:
	case SQLITE_DROP_TRIGGER:
	case SQLITE_DROP_VIEW:
	case SQLITE_DROP_VTABLE: return SQLITE_OK;
	case SQLITE_READ:
	case SQLITE_INSERT:
	case SQLITE_UPDATE:
	case SQLITE_DELETE: return answer_table(guard, question);
	case SQLITE_FUNCTION: return answer_function(guard, question);
	case SQLITE_PRAGMA: return answer_pragma(guard, question);
	case SQLITE_CREATE_VTABLE:
		if (is_listed(question->b, allowed_modules))
			return SQLITE_OK;
		return refuse(guard,
		    "virtual tables of module %s are not allowed: fts3, fts4, fts5 and rtree are",
		    question->b);
	case SQLITE_SAVEPOINT:
		if (!begins_with(question->b, OWN_SAVEPOINT_PREFIX))
			return SQLITE_OK;
		return refuse(guard,
		    "savepoint %s is not allowed: names that begin with " OWN_SAVEPOINT_PREFIX
		    " are the broker's; choose another",
		    question->b);
	case SQLITE_TRANSACTION:
		return refuse(guard,
		    "BEGIN, COMMIT and ROLLBACK are methods: begin, commit, rollback",
		    NULL);
	case SQLITE_ATTACH:
	case SQLITE_DETACH:
		return refuse(guard,
		    "ATTACH and DETACH are not allowed: the broker serves one database",
		    NULL);
	default:
		return refuse(
		    guard, "this kind of statement is not on the broker's list", NULL);
	}
}

static int authorize(void *context, int action, const char *a, const char *b,
    const char *schema, const char *inner)
{
	struct guard *guard = context;
	const struct question question = {action, a, b, schema};
	int rc;

	(void)inner;
	if (guard->is_own)
		return SQLITE_OK;
	rc = answer_schema(guard, &question); /* refuses all that is TEMP, too */
	return rc != SQLITE_OK ? rc : answer(guard, &question);
}

void guard_reset(struct guard *guard)
{
	guard->facts = 0;
	guard->is_refused = false;
	guard->why[0] = '\0';
	guard->is_with = false;
	guard->names_counters = false;
}

bool guard_refuses_text(struct guard *guard, const char *sql, size_t len)
{
	guard_reset(guard);
	guard->names_counters = sql_text_calls(sql, len, counters);
	switch (sql_text_verb(sql, len)) {
	case SQL_VERB_INSERT: guard->facts = GUARD_INSERTS | GUARD_CHANGES; break;
	case SQL_VERB_CHANGE: guard->facts = GUARD_CHANGES; break;
	case SQL_VERB_WITH: guard->is_with = true; break;
	case SQL_VERB_DDL: guard->facts = GUARD_DDL; break;
	case SQL_VERB_SAVEPOINT: guard->facts = GUARD_SAVEPOINT; break;
	case SQL_VERB_OTHER: break;
	}
	if (sql_text_is_vacuum(sql, len))
		refuse(guard,
		    "VACUUM is not allowed: it needs the database to itself; run it while the "
		    "broker is stopped",
		    NULL);
	return guard->is_refused;
}

/* What stands in for the refused functions. */
static void fail_call(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	(void)argc;
	(void)argv;
	sqlite3_result_error(context, "this function is not allowed", -1);
}

/*
 * The authorizer is asked about the functions of views and triggers, but not
 * about those in a column's DEFAULT, nor, once the file is open, in CHECK
 * constraints, generated columns and indexes.  So the refused ones are not
 * there at all, in any number of arguments they come with.
 */
static int replace_refused_functions(sqlite3 *db)
{
	int rc = SQLITE_OK;

	for (size_t i = 0; refused_functions[i] != NULL; i++)
		for (int argc = 1; argc <= 3 && rc == SQLITE_OK; argc++)
			rc = sqlite3_create_function(db, refused_functions[i], argc,
			    SQLITE_UTF8, NULL, fail_call, NULL, NULL);
	return rc;
}

/*
 * TRUSTED_SCHEMA stays on unless the operator hardens.  Off, it refuses what honest files hold: on
 * SQLite 3.40 every trigger or view that uses an FTS or R-tree table, and JSON
 * in a CHECK (with which the whole file counts as malformed); on newer ones
 * still views with highlight() or snippet().  What it is to protect from, the
 * authorizer and the functions replaced above stop as well.
 */
int guard_install(struct guard *guard, sqlite3 *db, bool trusts_schema)
{
	const struct {
		int option;
		int value;
	} options[] = {
	    {SQLITE_DBCONFIG_DEFENSIVE, 1},
	    {SQLITE_DBCONFIG_TRUSTED_SCHEMA, trusts_schema},
	    {SQLITE_DBCONFIG_WRITABLE_SCHEMA, 0},
	    {SQLITE_DBCONFIG_ENABLE_FTS3_TOKENIZER, 0},
	};
	int rc = sqlite3_enable_load_extension(db, 0); /* the SQL function with it */

	memset(guard, 0, sizeof *guard);
	for (size_t i = 0; i < sizeof options / sizeof options[0] && rc == SQLITE_OK; i++)
		rc = sqlite3_db_config(
		    db, options[i].option, options[i].value, (int *)NULL);
	if (rc == SQLITE_OK)
		rc = replace_refused_functions(db);
	if (rc != SQLITE_OK)
		return rc;
	sqlite3_limit(db, SQLITE_LIMIT_ATTACHED, 0);
	return sqlite3_set_authorizer(db, authorize, guard);
}
