/* ledger.h's checker: the record against the database. */
#include "tests/fault/ledger.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"

const char ledger_schema[] =
    "CREATE TABLE ledger_client (id INTEGER PRIMARY KEY);"
    "CREATE TABLE ledger (client INTEGER NOT NULL REFERENCES ledger_client"
    "  DEFERRABLE INITIALLY DEFERRED, seq INTEGER NOT NULL, part INTEGER NOT NULL,"
    "  payload BLOB, UNIQUE (client, seq, part));"
    "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 15)"
    "  INSERT INTO ledger_client SELECT i FROM n;";

void ledger_make_database(const char *path)
{
	sqlite3 *db;

	CHECK(sqlite3_open(path, &db) == SQLITE_OK, "cannot make %s", path);
	direct_run(db, "PRAGMA journal_mode = WAL");
	direct_run(db, ledger_schema);
	direct_close(db);
}

/* What the clients had noted when the check began, and which parts are there. */
struct snapshot {
	uint32_t used[LEDGER_CLIENTS];
	uint8_t *states[LEDGER_CLIENTS]; /* owns */
	uint8_t *parts[LEDGER_CLIENTS];  /* owns; found in the database: a bit each */
};

static void take_snapshot(struct ledger *ledger, struct snapshot *snapshot)
{
	for (unsigned i = 0; i < LEDGER_CLIENTS; i++) {
		uint32_t used = atomic_load(&ledger->used[i]);
		snapshot->used[i] = used;
		snapshot->states[i] = malloc(used + 1);
		snapshot->parts[i] = calloc(used + 1, 1);
		CHECK(snapshot->states[i] && snapshot->parts[i], "no memory");
		for (uint32_t seq = 0; seq < used; seq++)
			snapshot->states[i][seq] =
			    atomic_load(&ledger->entries[i][seq].state);
	}
}

static void free_snapshot(struct snapshot *snapshot)
{
	for (unsigned i = 0; i < LEDGER_CLIENTS; i++) {
		free(snapshot->states[i]);
		free(snapshot->parts[i]);
	}
}

/* A damaged file may fail any query: then nothing of it counts as there. */
static void read_rows(
    sqlite3 *db, struct snapshot *snapshot, struct ledger_verdict *verdict)
{
	sqlite3_stmt *stmt = NULL;
	int rc = sqlite3_prepare_v2(
	    db, "SELECT client, seq, part FROM ledger", -1, &stmt, NULL);

	while (rc == SQLITE_OK && (rc = sqlite3_step(stmt)) == SQLITE_ROW) {
		int64_t client = sqlite3_column_int64(stmt, 0);
		int64_t seq = sqlite3_column_int64(stmt, 1);
		int64_t part = sqlite3_column_int64(stmt, 2);
		rc = SQLITE_OK;
		if (client < 0 || client >= LEDGER_CLIENTS || seq < 0 ||
		    seq >= snapshot->used[client] || part < 0 || part >= LEDGER_PARTS)
			verdict->ghosts++;
		else
			snapshot->parts[client][seq] |= (uint8_t)(1u << part);
	}
	sqlite3_finalize(stmt);
	if (rc != SQLITE_DONE) {
		report_note("the checker cannot read the rows: %s", sqlite3_errmsg(db));
		verdict->damaged++;
	}
}

/* Of how many parts there have to be, and may be, as far as is known. */
static unsigned least_parts(unsigned state, const struct ledger_entry *entry)
{
	switch (state) {
	case LEDGER_OK: return entry->parts;
	case LEDGER_PART:
	case LEDGER_UNKNOWN: return entry->done;
	default: return 0;
	}
}

static unsigned most_parts(unsigned state, const struct ledger_entry *entry)
{
	switch (state) {
	case LEDGER_NO: return 0;
	case LEDGER_PART: return entry->done;
	default: return entry->parts;
	}
}

/* Whether ${found} parts, bit by bit, are the first ones, in whole chunks. */
static bool is_whole(const struct ledger_entry *entry, unsigned found)
{
	unsigned count = (unsigned)__builtin_popcount(found);

	if (found & (found + 1))
		return false;
	return count == entry->parts ||
	    count % (entry->chunk ? entry->chunk : entry->parts) == 0;
}

static void judge(struct ledger_verdict *verdict, unsigned state,
    const struct ledger_entry *entry, unsigned found)
{
	unsigned count = (unsigned)__builtin_popcount(found);

	verdict->checked++;
	verdict->present += count > 0;
	verdict->unknown_there += count > 0 && entry->chunk == 0 &&
	    (state == LEDGER_UNKNOWN || state == LEDGER_INTENDED);
	if (count > 0 && most_parts(state, entry) == 0)
		verdict->ghosts++;
	else if (count == 0 && least_parts(state, entry) > 0)
		verdict->lost++;
	else if (!is_whole(entry, found))
		verdict->torn++;
	else if (count < least_parts(state, entry))
		verdict->lost++;
	else if (count > most_parts(state, entry))
		verdict->ghosts++;
}

/* The start of what it says, on one line. */
static void note_complaint(const char *sql, const char *found, const char *why)
{
	char line[160];

	snprintf(line, sizeof line, "%s", found);
	for (char *at = line; (at = strchr(at, '\n'));)
		*at = ' ';
	report_note("%s: %s%s", sql, line, why);
}

static void check_pragma(
    sqlite3 *db, const char *sql, const char *wanted, struct ledger_verdict *verdict)
{
	sqlite3_stmt *stmt = NULL;
	const char *found = "";
	int rc = sqlite3_prepare_v2(db, sql, -1, &stmt, NULL);

	if (rc == SQLITE_OK && sqlite3_step(stmt) == SQLITE_ROW)
		found = (const char *)sqlite3_column_text(stmt, 0);
	if (rc || !found || strcmp(found, wanted) != 0) {
		verdict->damaged++;
		note_complaint(sql, found ? found : "NULL", rc ? sqlite3_errmsg(db) : "");
	}
	sqlite3_finalize(stmt);
}

void ledger_check(struct ledger *ledger, const char *path, struct ledger_verdict *verdict)
{
	struct snapshot snapshot;
	sqlite3 *db;

	take_snapshot(ledger, &snapshot);
	db = direct_open(path);
	read_rows(db, &snapshot, verdict);
	for (unsigned i = 0; i < LEDGER_CLIENTS; i++) {
		for (uint32_t seq = 0; seq < snapshot.used[i]; seq++)
			judge(verdict, snapshot.states[i][seq], &ledger->entries[i][seq],
			    snapshot.parts[i][seq]);
	}
	check_pragma(db, "PRAGMA integrity_check", "ok", verdict);
	check_pragma(db, "PRAGMA foreign_key_check", "", verdict);
	direct_close(db);
	free_snapshot(&snapshot);
}

/* ---- on a copy -------------------------------------------------------------------- */

/* A file that is not there is not there in the copy either. */
static void copy_file(const char *from, const char *to, const char *suffix)
{
	char source[128], target[128];
	int in, out;

	snprintf(source, sizeof source, "%s%s", from, suffix);
	snprintf(target, sizeof target, "%s%s", to, suffix);
	unlink(target);
	in = open(source, O_RDONLY | O_CLOEXEC);
	if (in < 0)
		return;
	out = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	CHECK(out >= 0, "cannot copy to %s", target);
	while (sendfile(out, in, NULL, 1 << 30) > 0)
		;
	close(in);
	close(out);
}

void ledger_check_copy(
    struct ledger *ledger, const char *path, struct ledger_verdict *verdict)
{
	char copy[120];

	snprintf(copy, sizeof copy, "%s.copy", path);
	copy_file(path, copy, "");
	copy_file(path, copy, "-wal");
	ledger_check(ledger, copy, verdict);
	copy_file("", copy, "-shm"); /* that is: none */
	unlink(copy);
}

/* ---- what it says ------------------------------------------------------------------ */

static void report_codes(const struct ledger *ledger)
{
	char text[400] = "";
	size_t len = 0;

	for (int code = 1; code < 32; code++) {
		if (ledger->codes[code] && len < sizeof text)
			len += (size_t)snprintf(text + len, sizeof text - len,
			    "%s%s %llu", len ? ", " : "", poolite_code_name(-code),
			    (unsigned long long)ledger->codes[code]);
	}
	report_note("     errors: %s", len ? text : "none");
}

void ledger_sum_add(struct ledger_sum *sum, const struct ledger *ledger,
    const struct ledger_verdict *verdict)
{
	sum->acks += ledger->acks;
	sum->unknowns += ledger->unknowns;
	sum->bystanders += ledger->bystanders;
	sum->wrong += ledger->wrong;
	sum->lost += verdict->lost;
	sum->ghosts += verdict->ghosts;
	sum->torn += verdict->torn;
	sum->damaged += verdict->damaged;
}

void ledger_sum_report(const struct ledger_sum *sum)
{
	report_exactly("lost", (double)sum->lost, 0);
	report_exactly("ghost", (double)sum->ghosts, 0);
	report_exactly("torn", (double)sum->torn, 0);
	report_exactly("bystander", (double)sum->bystanders, 0);
	report_exactly("wrong answers", (double)sum->wrong, 0);
	report_exactly("integrity or foreign keys damaged", (double)sum->damaged, 0);
}

void ledger_report(const struct ledger *ledger, const struct ledger_verdict *verdict)
{
	struct ledger_sum sum = {0};

	ledger_sum_add(&sum, ledger, verdict);
	if (!ledger->options.skips_mistakes)
		report_at_least("batches done in part", (double)ledger->in_part, 1);
	ledger_sum_report(&sum);
	report_codes(ledger);
	if (ledger->has_story)
		report_note("     first of what should not be: %s", ledger->story);
}
