#include "tests/fault/calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"

#define LARGE_BYTES ((size_t)1 << 20)

#define NUMBERS   2500 /* rows of the table to read */
#define PAGE_ROWS 1000

#define INSERT "INSERT INTO calls VALUES (?, ?, ?, ?)"

const struct call_kind call_kinds[CALL_VERBS] = {
    [CALL_QUERY] = {"query", 0, 0, 1, true},
    [CALL_RETURNING] = {"query that writes", 1, 2, 1, false},
    [CALL_UPDATE] = {"update", 1, 1, 1, false},
    [CALL_LARGE] = {"large update", 1, 1, 1, false},
    [CALL_BATCH] = {"batch", 1, 5, 1, false},
    [CALL_TRANSACTION] = {"transaction", 1, 3, 1, false},
    [CALL_SCRIPT] = {"script", 1, 4, 1, false},
    [CALL_COMMIT] = {"begin ... commit", 1, 3, 4, false},
    [CALL_ROLLBACK] = {"begin ... rollback", 1, 1, 3, false},
    [CALL_CURSOR] = {"cursor", 0, 0, 3, true},
    [CALL_PIPELINE] = {"pipeline", CALL_WRITES_MAX, 1, 2 + CALL_WRITES_MAX, true},
};

const char calls_schema[] =
    "CREATE TABLE calls (number INTEGER, write INTEGER, part INTEGER, payload);"
    "CREATE INDEX calls_number ON calls (number);"
    "CREATE TABLE numbers (i INTEGER PRIMARY KEY);"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)"
    "  INSERT INTO numbers SELECT i FROM n;";

/* ---- making them --------------------------------------------------------------- */

static void note(struct call *call, _Atomic uint8_t *outcome, int rc,
    const struct poolite_error *error)
{
	bool is_unknown = rc && error->outcome == POOLITE_DONE_UNKNOWN;

	atomic_store(outcome, !rc ? CALL_OK : is_unknown ? CALL_UNKNOWN : CALL_NO);
	if (rc && call->error.code == POOLITE_OK)
		call->error = *error;
}

static void fill(struct poolite_value values[4], int64_t number, unsigned write,
    unsigned part, const char *payload, size_t payload_bytes)
{
	values[0] = poolite_integer(number);
	values[1] = poolite_integer(write);
	values[2] = poolite_integer(part);
	values[3] = poolite_blob(payload, payload_bytes);
}

/* Takes the broker some ten milliseconds. */
static void query(struct poolite *handle, struct call *call)
{
	struct poolite_result *result;
	struct poolite_error error;
	int rc = poolite_query(handle,
	    "SELECT count(*) FROM numbers a, numbers b WHERE a.i <= 500 AND b.i <= ?",
	    POOLITE_ARGS(poolite_integer(400)), &result, &error);

	note(call, &call->read, rc, &error);
	if (rc == 0)
		call->is_wrong |= poolite_result_next(result) != 1 ||
		    poolite_result_int64(result, 0) != 500 * 400;
	poolite_result_free(result);
}

static void returning(struct poolite *handle, int64_t number, struct call *call)
{
	struct poolite_result *result;
	struct poolite_error error;
	int rc = poolite_query(handle,
	    "INSERT INTO calls VALUES (?1, 0, 0, NULL), (?1, 0, 1, NULL) RETURNING part",
	    POOLITE_ARGS(poolite_integer(number)), &result, &error);

	note(call, &call->writes[0], rc, &error);
	if (rc == 0)
		call->is_wrong |= poolite_result_rows(result) != 2;
	poolite_result_free(result);
}

static void update(
    struct poolite *handle, int64_t number, size_t payload_bytes, struct call *call)
{
	struct poolite_changes changes;
	struct poolite_value values[4];
	struct poolite_error error;
	char *payload = calloc(1, payload_bytes);
	int rc;

	fill(values, number, 0, 0, payload, payload_bytes);
	rc = poolite_update(handle, INSERT, values, 4, &changes, &error);
	note(call, &call->writes[0], rc, &error);
	call->is_wrong |= changes.changes != (rc ? 0 : 1);
	free(payload);
}

static void batch(struct poolite *handle, int64_t number, struct call *call)
{
	struct poolite_value values[5][4];
	struct poolite_changes changes;
	struct poolite_error error;
	int rc;

	for (unsigned i = 0; i < 5; i++)
		fill(values[i], number, 0, i, "", 0);
	rc = poolite_batch(handle, INSERT, values[0], 4, 5, &changes, &error);
	note(call, &call->writes[0], rc, &error);
	call->is_wrong |= changes.changes != (rc ? 0 : 5);
}

static void transaction(struct poolite *handle, int64_t number, struct call *call)
{
	struct poolite_statement statements[3];
	struct poolite_value values[3][4];
	struct poolite_error error;

	for (unsigned i = 0; i < 3; i++) {
		fill(values[i], number, 0, i, "", 0);
		statements[i] = (struct poolite_statement){INSERT, values[i], 4};
	}
	note(call, &call->writes[0],
	    poolite_transaction(handle, statements, 3, NULL, &error), &error);
}

static void script(struct poolite *handle, int64_t number, struct call *call)
{
	struct poolite_changes changes;
	struct poolite_error error;
	char text[400] = "";
	int rc;

	for (unsigned i = 0; i < 4; i++)
		snprintf(text + strlen(text), sizeof text - strlen(text),
		    "INSERT INTO calls VALUES (%lld, 0, %u, NULL);\n", (long long)number,
		    i);
	rc = poolite_script(handle, text, 0, &changes, &error);
	note(call, &call->writes[0], rc, &error);
	call->is_wrong |= changes.statements != (rc ? 0 : 4);
}

static void several_round_trips(
    struct poolite *handle, int64_t number, bool commits, struct call *call)
{
	struct poolite_value values[3][4];
	struct poolite_error error;
	struct poolite_tx *tx;
	int rc = poolite_begin(handle, POOLITE_WRITE, &tx, &error);

	for (unsigned i = 0; i < 3; i++)
		fill(values[i], number, 0, i, "", 0);
	if (rc == 0)
		rc = poolite_tx_update(tx, INSERT, values[0], 4, NULL, &error);
	if (rc == 0 && commits)
		rc = poolite_tx_batch(tx, INSERT, values[1], 4, 2, NULL, &error);
	if (rc == 0 && commits) {
		note(call, &call->writes[0], poolite_tx_commit(tx, &error), &error);
		return;
	}
	poolite_tx_rollback(tx, NULL);
	note(call, &call->writes[0], rc, &error);
	if (rc == 0)
		atomic_store(&call->writes[0], CALL_NO);
}

static void cursor(struct poolite *handle, struct call *call)
{
	struct poolite_cursor *rows;
	struct poolite_result *row;
	struct poolite_error error;
	int64_t count = 0;
	int rc = poolite_cursor_open(handle, "SELECT i FROM numbers ORDER BY i",
	    POOLITE_NO_ARGS, PAGE_ROWS, &rows, &error);

	if (rc == 0)
		while ((rc = poolite_cursor_next(rows, &row, &error)) > 0)
			call->is_wrong |= poolite_result_int64(row, 0) != ++count;
	note(call, &call->read, rc, &error);
	call->is_wrong |= rc == 0 && count != NUMBERS;
	poolite_cursor_close(rows);
}

static void await_all(struct poolite_pipeline *pipeline, const uint64_t *tickets,
    uint64_t question, struct call *call)
{
	struct poolite_result *result;
	struct poolite_error error;
	int rc;

	for (unsigned i = 0; i < CALL_WRITES_MAX; i++)
		if (tickets[i]) {
			rc = poolite_await(pipeline, tickets[i], NULL, NULL, &error);
			note(call, &call->writes[i], rc, &error);
		}
	if (!question)
		return;
	rc = poolite_await(pipeline, question, &result, NULL, &error);
	note(call, &call->read, rc, &error);
	if (rc == 0)
		call->is_wrong |= poolite_result_next(result) != 1 ||
		    poolite_result_int64(result, 0) != NUMBERS;
	poolite_result_free(result);
}

static void pipeline(struct poolite *handle, int64_t number, struct call *call)
{
	struct poolite_pipeline *opened;
	struct poolite_value values[4];
	struct poolite_error error;
	uint64_t tickets[CALL_WRITES_MAX] = {0}, question = 0;
	int rc = poolite_pipeline_open(handle, NULL, &opened, &error), sent = rc;

	for (unsigned i = 0; i < CALL_WRITES_MAX; i++) {
		fill(values, number, i, 0, "", 0);
		if (rc == 0)
			sent = poolite_send_update(
			    opened, INSERT, values, 4, &tickets[i], &error);
		if (sent)
			note(call, &call->writes[i], sent, &error);
	}
	if (rc == 0)
		sent = poolite_send_query(opened, "SELECT count(*) FROM numbers",
		    POOLITE_NO_ARGS, &question, &error);
	if (sent)
		note(call, &call->read, sent, &error);
	if (rc == 0)
		await_all(opened, tickets, question, call);
	poolite_pipeline_close(opened);
}

void call_make(struct poolite *handle, int64_t number, struct call *call)
{
	double started = check_seconds();

	switch (call->verb) {
	case CALL_QUERY: query(handle, call); break;
	case CALL_RETURNING: returning(handle, number, call); break;
	case CALL_UPDATE: update(handle, number, 20, call); break;
	case CALL_LARGE: update(handle, number, LARGE_BYTES, call); break;
	case CALL_BATCH: batch(handle, number, call); break;
	case CALL_TRANSACTION: transaction(handle, number, call); break;
	case CALL_SCRIPT: script(handle, number, call); break;
	case CALL_COMMIT: several_round_trips(handle, number, true, call); break;
	case CALL_ROLLBACK: several_round_trips(handle, number, false, call); break;
	case CALL_CURSOR: cursor(handle, call); break;
	case CALL_PIPELINE: pipeline(handle, number, call); break;
	default: CHECK(false, "no such verb");
	}
	call->seconds = check_seconds() - started;
}

/* ---- holding them against the database ------------------------------------------- */

static void count_outcome(struct calls_verdict *verdict, unsigned outcome)
{
	verdict->ok += outcome == CALL_OK;
	verdict->no += outcome == CALL_NO;
	verdict->unknown += outcome == CALL_UNKNOWN;
}

static void judge(
    struct calls_verdict *verdict, unsigned outcome, unsigned parts, unsigned found)
{
	count_outcome(verdict, outcome);
	if (found > parts)
		verdict->twice++;
	else if (found > 0 && outcome == CALL_NO)
		verdict->ghosts++;
	else if (found == 0 && outcome == CALL_OK)
		verdict->lost++;
	else if (found > 0 && found < parts)
		verdict->torn++;
}

static sqlite3_stmt *prepare_count(sqlite3 *db)
{
	sqlite3_stmt *count;

	CHECK(sqlite3_prepare_v2(db,
		  "SELECT count(*) FROM calls WHERE number = ? AND write = ?", -1, &count,
		  NULL) == SQLITE_OK,
	    "%s", sqlite3_errmsg(db));
	return count;
}

static unsigned count_rows(sqlite3_stmt *count, int64_t number, unsigned write)
{
	unsigned found;

	sqlite3_bind_int64(count, 1, number);
	sqlite3_bind_int64(count, 2, write);
	CHECK(sqlite3_step(count) == SQLITE_ROW, "cannot count the rows");
	found = (unsigned)sqlite3_column_int(count, 0);
	sqlite3_reset(count);
	return found;
}

void calls_check(const struct call *calls, uint64_t count, const char *path,
    struct calls_verdict *verdict)
{
	sqlite3 *db = direct_open(path);
	sqlite3_stmt *rows = prepare_count(db);

	for (uint64_t i = 0; i < count; i++) {
		const struct call_kind *kind = &call_kinds[calls[i].verb];

		for (unsigned j = 0; j < kind->writes; j++)
			judge(verdict, calls[i].writes[j], kind->parts,
			    count_rows(rows, (int64_t)i, j));
		if (kind->reads)
			count_outcome(verdict, calls[i].read);
		verdict->wrong += calls[i].is_wrong;
	}
	sqlite3_finalize(rows);
	direct_close(db);
}

void calls_report(const struct calls_verdict *verdict)
{
	report_exactly("lost", (double)verdict->lost, 0);
	report_exactly("ghost", (double)verdict->ghosts, 0);
	report_exactly("torn", (double)verdict->torn, 0);
	report_exactly("executed twice", (double)verdict->twice, 0);
	report_exactly("wrong answers", (double)verdict->wrong, 0);
}

unsigned calls_rows(const char *path, int64_t number, unsigned write)
{
	sqlite3 *db = direct_open(path);
	sqlite3_stmt *rows = prepare_count(db);
	unsigned found = count_rows(rows, number, write);

	sqlite3_finalize(rows);
	direct_close(db);
	return found;
}
