#include "broker/db/execute.h"

#include <string.h>

#include "broker/db/internal.h"
#include "broker/db/sql_text.h"

bool execute_script_wants_keys_off(const char *sql, size_t len)
{
	size_t start, end;

	return sql_text_kind(sql, len, &start, &end) == SQL_TEXT_FOREIGN_KEYS_OFF;
}

/* How far into the shape [keys off] [BEGIN] statements [COMMIT] [keys on] a script is. */
enum script_stage { SCRIPT_HEAD, SCRIPT_BODY, SCRIPT_BODY_IN_BEGIN, SCRIPT_TAIL };

static int refuse_frame(
    enum sql_text_kind kind, bool in_session, struct poolite__failure *failure)
{
	if (kind == SQL_TEXT_FOREIGN_KEYS_OFF || kind == SQL_TEXT_FOREIGN_KEYS_ON)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "foreign keys can only be switched off at a script's beginning and on at its "
		    "end, and not inside a transaction");
	return poolite__fail(failure, POOLITE_NOT_ALLOWED, "%s",
	    in_session
		? "a transaction is open already; commit and rollback are methods"
		: "a script may have one BEGIN at its beginning and one COMMIT at its end; "
		  "it is one transaction either way");
}

/* BEGIN, COMMIT and foreign_keys: taken as what they mean, where they may stand. */
static int take_frame(enum script_stage *stage, enum sql_text_kind kind, bool in_session,
    struct poolite__failure *failure)
{
	if (in_session)
		return refuse_frame(kind, true, failure);
	if (kind == SQL_TEXT_FOREIGN_KEYS_OFF && *stage == SCRIPT_HEAD)
		return 0;
	if (kind == SQL_TEXT_FOREIGN_KEYS_ON && *stage != SCRIPT_BODY_IN_BEGIN)
		*stage = *stage == SCRIPT_HEAD ? SCRIPT_HEAD : SCRIPT_TAIL;
	else if (kind == SQL_TEXT_BEGIN && *stage == SCRIPT_HEAD)
		*stage = SCRIPT_BODY_IN_BEGIN;
	else if (kind == SQL_TEXT_COMMIT && *stage == SCRIPT_BODY_IN_BEGIN)
		*stage = SCRIPT_TAIL;
	else
		return refuse_frame(kind, false, failure);
	return 0;
}

static int run_script_statement(struct connection *connection,
    struct execute_script *script, const char *sql, size_t len, const char **tail,
    struct poolite__failure *failure)
{
	struct execution execution = {
	    .where = EXECUTE_COMPOUND,
	    .result = EXECUTE_NOTHING,
	    .read_only = script->read_only,
	    .can_write = true,
	};
	struct statement statement;
	int rc = execute_compile(
	    connection, sql, len, EXECUTE_COMPOUND, tail, &statement, failure);

	if (rc)
		return rc;
	rc = execute_admit(connection, &statement, &execution, failure);
	if (rc == 0)
		rc = execute_run(connection, &statement, &execution, NULL, failure);
	statement_done(&statement);
	script->statements += rc == 0;
	script->changes += execution.changes;
	return rc;
}

static int name_statement(
    const struct execute_script *script, size_t at, struct poolite__failure *failure)
{
	char message[POOLITE__MESSAGE_BYTES];
	int sqlite = failure->sqlite;

	memcpy(message, failure->message, sizeof message);
	poolite__fail(failure, failure->code, "line %zu, after %lld statement%s: %s",
	    sql_text_line(script->sql, script->sql_len, at),
	    (long long)script->statements, script->statements == 1 ? "" : "s", message);
	failure->sqlite = sqlite;
	return failure->code;
}

int execute_script(struct connection *connection, struct execute_script *script,
    struct poolite__failure *failure)
{
	const char *const end = script->sql + script->sql_len;
	const char *at = script->sql;
	enum script_stage stage = SCRIPT_HEAD;

	script->statements = script->changes = 0;
	if (sql_text_is_blank(at, script->sql_len))
		return poolite__fail(failure, POOLITE_BAD_REQUEST, "the script is empty");
	for (;;) {
		size_t first, past;
		enum sql_text_kind kind =
		    sql_text_kind(at, (size_t)(end - at), &first, &past);
		const char *next = at + past;
		int rc = 0;

		if (kind == SQL_TEXT_END)
			break;
		if (kind != SQL_TEXT_OTHER) {
			rc = take_frame(&stage, kind, script->in_session, failure);
		} else if (stage == SCRIPT_TAIL) {
			rc = poolite__fail(failure, POOLITE_NOT_ALLOWED,
			    "statements follow the script's COMMIT; a script is one transaction");
		} else {
			stage = stage == SCRIPT_HEAD ? SCRIPT_BODY : stage;
			rc = run_script_statement(connection, script, at + first,
			    (size_t)(end - at) - first, &next, failure);
		}
		if (rc)
			return name_statement(
			    script, (size_t)(at - script->sql) + first, failure);
		at = next;
	}
	if (stage == SCRIPT_BODY_IN_BEGIN)
		return poolite__fail(failure, POOLITE_BAD_REQUEST,
		    "the script begins with BEGIN, but does not end with COMMIT");
	return 0;
}
