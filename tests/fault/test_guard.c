/* T10: SQL texts by chance against the guard, on the broker's own connections. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "broker/db/memory.h"
#include "broker/db/pages.h"
#include "broker/db/steady.h"
#include "tests/fault/guard_state.h"
#include "tests/support/check.h"
#include "tests/support/process.h"

/* Texts that one set of connections sees, between two looks at everything, and in a transaction. */
#define TEXTS_PER_HOUSE 800
#define TEXTS_PER_LOOK  8
#define TEXTS_TOGETHER  4

#define TEXT_TIME_NS (5000 * CLOCK_NS_PER_MS)
#define CACHE_BYTES  ((int64_t)1 << 20)
#define VALUE_BYTES  ((int64_t)1 << 20)
#define MEMORY_BYTES ((int64_t)256 << 20)
#define RESULT_BYTES ((size_t)4 << 20)
#define NOTES        8 /* of what was found, in full */
#define SECRET       "rosebud-of-another-client"

enum role { WRITER, READER, FAST, ROLES };

struct finds {
	uint64_t texts;
	uint64_t refused;     /* by the guard */
	uint64_t accepted;    /* texts that ran */
	uint64_t allowed;     /* that the list forbids */
	uint64_t turned_away; /* honest ones that failed */
	uint64_t changed;     /* connections */
	uint64_t leaked;      /* texts of another client in an answer or error */
	uint64_t ran;         /* PRAGMAs and so on that began to run */
	uint64_t files;
	unsigned notes;
};

struct house {
	struct connection *at[ROLES];
	struct chance chance;
	struct sql_names names;
	struct clock clock;
	struct stop stop;
	struct poolite__buf answer;
	struct finds finds;
	char pristine[2][ROLES][GUARD_STATE_BYTES],
	    flags[ROLES][GUARD_STATE_BYTES]; /* as they were at first */
	bool is_hardened;                    /* every fourth set of connections is */
	bool has_pristine[2];
	char recent[TEXTS_PER_LOOK][160]; /* the texts since everything was looked at */
	unsigned recents;
};

static struct house house;

/* ---- what was found ------------------------------------------------------------------------ */

static bool find(uint64_t *count, const char *what, const char *text)
{
	char shown[160];
	size_t len = 0;

	++*count;
	if (house.finds.notes++ >= NOTES)
		return false;
	for (; text[len] && len < sizeof shown - 1; len++)
		shown[len] = (char)(text[len] < ' ' ? ' ' : text[len]);
	shown[len] = '\0';
	report_note("T10  %s: %s", what, shown);
	return true;
}

/* The first line in which two states differ. */
static void show_difference(const char *was, const char *is)
{
	size_t at = 0, from;

	while (was[at] && was[at] == is[at])
		at++;
	for (from = at; from > 0 && was[from - 1] != '\n'; from--)
		continue;
	report_note("     was %.*s, is %.*s", (int)strcspn(was + from, "\n"), was + from,
	    (int)strcspn(is + from, "\n"), is + from);
}

/* ---- the connections ------------------------------------------------------------------------ */

static void open_connections(void)
{
	static const enum connection_role roles[ROLES] = {[WRITER] = CONNECTION_WRITER,
	    [READER] = CONNECTION_READER,
	    [FAST] = CONNECTION_FAST};

	for (int i = 0; i < ROLES; i++) {
		struct connection_options options = {
		    .path = "test.db",
		    .role = roles[i],
		    .synchronous = 1,
		    .foreign_keys = true,
		    .hardened = house.is_hardened,
		    .cache_bytes = CACHE_BYTES,
		    .value_bytes_max = VALUE_BYTES,
		    .clock = &house.clock,
		};
		struct poolite__failure failure;
		CHECK(connection_open(&options, &house.at[i], &failure) == 0, "%s",
		    failure.message);
		guard_state_watch(house.at[i], &house.finds.ran);
	}
}

static void furnish(void)
{
	static const char sql[] = "CREATE TABLE t (a INTEGER PRIMARY KEY, b, c);"
				  "INSERT INTO t VALUES (1, 'one', 1), (2, 'two', 2);"
				  "CREATE VIRTUAL TABLE f USING fts5(x);"
				  "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1);"
				  "CREATE TABLE s (a INTEGER PRIMARY KEY AUTOINCREMENT);"
				  "CREATE VIEW v1 AS SELECT a FROM t; ANALYZE;";
	struct connection *writer = house.at[WRITER];

	writer->guard.is_own = true;
	CHECK_EQ(sqlite3_exec(writer->db, sql, NULL, NULL, NULL), SQLITE_OK);
	writer->guard.is_own = false;
}

static void leave(void)
{
	connection_leave_wal(house.at[WRITER]); /* nothing of it is needed any more */
	for (int i = 0; i < ROLES; i++) {
		connection_rollback(house.at[i]);
		connection_close(house.at[i]);
		house.at[i] = NULL;
	}
	unlink("test.db");
	unlink("test.db-wal");
	unlink("test.db-shm");
}

/* So that a TEMP schema of their own, still empty, is there from the start. */
static void open_temp(struct connection *connection)
{
	connection->guard.is_own = true;
	CHECK_EQ(sqlite3_exec(connection->db, "BEGIN; CREATE TEMP TABLE x (a); ROLLBACK",
		     NULL, NULL, NULL),
	    SQLITE_OK);
	connection->guard.is_own = false;
}

/* A new database and new connections; they have to be as the first ones were. */
static void enter(void)
{
	char state[GUARD_STATE_BYTES];
	int fd = open("test.db", O_CREAT | O_EXCL | O_RDWR, 0600);

	CHECK(fd >= 0, "the database is there already");
	close(fd);
	open_connections();
	furnish();
	for (int i = 0; i < ROLES; i++) {
		open_temp(house.at[i]);
		guard_state_read(house.at[i], state);
		if (!house.has_pristine[house.is_hardened])
			strcpy(house.pristine[house.is_hardened][i], state);
		else if (strcmp(state, house.pristine[house.is_hardened][i]) != 0)
			find(&house.finds.changed,
			    "a new connection is not as the first was", "");
		guard_state_read_flags(house.at[i], house.flags[i]);
	}
	house.has_pristine[house.is_hardened] = true;
}

/* ---- looking -------------------------------------------------------------------------------- */

static void look_at_files(const char *folder)
{
	static const char *const ours[] = {
	    ".", "..", "test.db", "test.db-wal", "test.db-shm", "tmp"};
	DIR *dir = opendir(folder);
	struct dirent *entry;

	CHECK(dir, "no folder %s", folder);
	while ((entry = readdir(dir)) != NULL) {
		bool is_ours = false;
		for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
			is_ours |= strcmp(entry->d_name, ours[i]) == 0;
		if (!is_ours) {
			find(&house.finds.files, "a file", entry->d_name);
			unlinkat(dirfd(dir), entry->d_name, 0);
		}
	}
	closedir(dir);
}

/* Outside transactions: whether everything is as it was. */
static void look(void)
{
	char state[GUARD_STATE_BYTES];

	for (int i = 0; i < ROLES; i++) {
		guard_state_read(house.at[i], state);
		if (strcmp(state, house.pristine[house.is_hardened][i]) == 0)
			continue;
		find(
		    &house.finds.changed, "a connection changed, after one of these", "");
		show_difference(house.pristine[house.is_hardened][i], state);
		for (unsigned text = 0; text < house.recents; text++)
			report_note("     %s", house.recent[text]);
		leave();
		enter();
		break;
	}
	look_at_files(".");
	look_at_files("tmp");
	house.recents = 0;
}

static void look_at_flags(enum role role, const char *text)
{
	char state[GUARD_STATE_BYTES];

	guard_state_read_flags(house.at[role], state);
	if (strcmp(state, house.flags[role]) == 0)
		return;
	if (find(&house.finds.changed, "a connection changed at once", text))
		show_difference(house.flags[role], state);
	strcpy(house.flags[role], state);
}

/* ---- running -------------------------------------------------------------------------------- */

static int open_savepoint(struct connection *connection, struct poolite__failure *failure)
{
	return connection_savepoint(connection, failure);
}

static int run_whole_script(const struct sql_case *made, struct poolite__failure *failure)
{
	struct execute_script script = {.sql = made->text, .sql_len = made->len};

	return execute_script(house.at[WRITER], &script, failure);
}

/* How a text is sent. */
struct way {
	enum role role;
	enum place place;
	bool is_page;
	bool is_script;
};

static int run_statement(
    const struct way *way, const struct sql_case *made, struct poolite__failure *failure)
{
	struct connection *connection = house.at[way->role];
	struct execution execution = {
	    .sql = made->text,
	    .sql_len = made->len,
	    .where = way->place == PLACE_PLAIN ? EXECUTE_PLAIN
		: way->place == PLACE_SESSION  ? EXECUTE_SESSION
					       : EXECUTE_COMPOUND,
	    .result = way->place == PLACE_SEVERAL ? EXECUTE_EITHER : EXECUTE_ROWS,
	    .can_write = way->role == WRITER,
	    .before_write = way->role == WRITER ? open_savepoint : NULL,
	};
	int rc = way->is_page
	    ? pages_open(connection, 1, 1, &execution, &house.answer, failure)
	    : execute_statement(connection, &execution, &house.answer, failure);

	if (way->is_page && rc == 0 && connection_has_pages(connection))
		pages_close(connection, 1, failure);
	if (execution.has_savepoint && connection_in_transaction(connection)) {
		struct poolite__failure ignored;
		if (rc || connection_release(connection, &ignored))
			connection_undo(connection, &ignored);
	}
	if (rc == 0 && way->role != WRITER)
		connection_is_steady(connection, made->text, made->len);
	return rc;
}

static bool holds_secret(const struct poolite__failure *failure, int rc)
{
	return (house.answer.len > 0 &&
		   memmem(house.answer.data, house.answer.len, SECRET, strlen(SECRET))) ||
	    (rc < 0 && strstr(failure->message, SECRET));
}

static void judge(
    const struct sql_case *made, int rc, const struct poolite__failure *failure)
{
	struct finds *finds = &house.finds;

	finds->texts++;
	finds->accepted += rc == 0;
	finds->refused += rc == POOLITE_NOT_ALLOWED;
	if (made->verdict == VERDICT_REFUSE && rc == 0)
		find(&finds->allowed, "allowed", made->text);
	if (made->verdict == VERDICT_ACCEPT && rc != 0 &&
	    find(&finds->turned_away, "turned away", made->text))
		report_note("     %s", rc < 0 ? failure->message : "as if it wrote");
	if (holds_secret(failure, rc))
		find(&finds->leaked, "shows another client's text", made->text);
}

static void run(const struct way *way, const struct sql_case *made)
{
	struct connection *connection = house.at[way->role];
	struct poolite__failure failure = {0};
	uint64_t ran = house.finds.ran;
	int rc;

	snprintf(house.recent[house.recents++ % TEXTS_PER_LOOK], sizeof house.recent[0],
	    "%.150s", made->text);
	poolite__buf_truncate(&house.answer, 0);
	house.stop = (struct stop){
	    .deadline_ns = clock_after(clock_now(&house.clock), TEXT_TIME_NS)};
	if (way->role == FAST)
		connection_set_budget(connection, TEXT_TIME_NS);
	connection_watch(connection, &house.stop);
	rc = way->is_script ? run_whole_script(made, &failure)
			    : run_statement(way, made, &failure);
	connection_unwatch(connection);
	if (way->role == FAST)
		connection_set_budget(connection, 0);
	judge(made, rc, &failure);
	if (house.finds.ran != ran) {
		house.finds.ran--; /* counted when it began */
		find(&house.finds.ran, "ran what is not on the list", made->text);
	}
	look_at_flags(way->role, made->text);
	if (way->role != WRITER && way->place == PLACE_PLAIN &&
	    connection_in_transaction(connection)) {
		find(&house.finds.changed, "left a transaction open", made->text);
		connection_rollback(connection);
	}
}

/* Another client's text on each connection, kept in its cache. */
static void whisper(void)
{
	static const struct way ways[] = {{WRITER, PLACE_PLAIN, false, false},
	    {READER, PLACE_PLAIN, false, false}, {FAST, PLACE_PLAIN, false, false}};
	static const struct sql_case secret = {.text = "SELECT length('" SECRET "')",
	    .len = sizeof "SELECT length('" SECRET "')" - 1};
	struct poolite__failure failure;

	for (int i = 0; i < ROLES; i++) {
		poolite__buf_truncate(&house.answer, 0);
		CHECK_EQ(run_statement(&ways[i], &secret, &failure), 0);
	}
}

/* ---- ways of sending ------------------------------------------------------------------------- */

static void make(struct sql_case *made, enum place place)
{
	sql_case_make(made, &house.chance, &house.names, place);
}

static void send_reads(void)
{
	struct way way = {
	    chance_below(&house.chance, 2) ? READER : FAST, PLACE_PLAIN, false, false};
	static struct sql_case made;

	make(&made, PLACE_PLAIN);
	run(&way, &made);
}

/* Several in one transaction of a reader: cursors, and savepoints. */
static void send_reading_session(void)
{
	struct way way = {READER, PLACE_SESSION, false, false};
	static struct sql_case made;
	struct poolite__failure failure;

	CHECK(connection_begin_read(house.at[READER], &failure) == 0, "%s",
	    failure.message);
	for (uint64_t i = 1 + chance_below(&house.chance, TEXTS_TOGETHER); i > 0; i--) {
		way.is_page = chance_below(&house.chance, 2);
		make(&made, PLACE_SESSION);
		run(&way, &made);
	}
	connection_rollback(house.at[READER]);
}

/* Several in one transaction of the writer, kept or not. */
static void send_writes(enum place place)
{
	struct way way = {WRITER, place, false, false};
	struct connection *writer = house.at[WRITER];
	static struct sql_case made;
	struct poolite__failure failure;

	CHECK(connection_begin_write(writer, &failure) == 0, "%s", failure.message);
	for (uint64_t i = 1 + chance_below(&house.chance, TEXTS_TOGETHER); i > 0; i--) {
		connection_forget_counters(writer);
		way.is_page =
		    place == PLACE_SESSION && chance_below(&house.chance, 3) == 0;
		make(&made, place);
		run(&way, &made);
		if (!connection_in_transaction(writer))
			break; /* OR ROLLBACK: SQLite ended it */
	}
	if (connection_in_transaction(writer) && chance_below(&house.chance, 4) == 0)
		connection_commit(writer, &failure);
	connection_rollback(writer);
}

static void send_script(void)
{
	struct way way = {WRITER, PLACE_SEVERAL, false, true};
	struct connection *writer = house.at[WRITER];
	static struct sql_case made, part;
	struct poolite__failure failure;
	bool keys_off;

	made.len = 0;
	made.verdict = VERDICT_ACCEPT;
	for (uint64_t i = 1 + chance_below(&house.chance, TEXTS_TOGETHER); i > 0; i--) {
		make(&part, PLACE_SEVERAL);
		if (made.len + part.len + 3 > sizeof made.text)
			break;
		made.len += (size_t)snprintf(made.text + made.len,
		    sizeof made.text - made.len, "%s\n;", part.text);
		/* There it may mean something: at a script's beginning and end. */
		if (strcasestr(part.text, "foreign_keys"))
			part.verdict = VERDICT_ANY;
		/* One that must fail is enough; a torn one may swallow the next. */
		if (part.verdict == VERDICT_ANY && made.verdict != VERDICT_REFUSE)
			made.verdict = VERDICT_ANY;
		if (part.verdict == VERDICT_REFUSE && made.verdict == VERDICT_ACCEPT)
			made.verdict = VERDICT_REFUSE;
	}
	keys_off = execute_script_wants_keys_off(made.text, made.len);
	if (keys_off)
		CHECK(connection_set_foreign_keys(writer, false), "foreign keys stay on");
	CHECK(connection_begin_write(writer, &failure) == 0, "%s", failure.message);
	if (keys_off)
		guard_state_read_flags(writer, house.flags[WRITER]);
	run(&way, &made);
	connection_rollback(writer);
	if (keys_off) {
		CHECK(connection_set_foreign_keys(writer, true), "foreign keys stay off");
		guard_state_read_flags(writer, house.flags[WRITER]);
	}
}

static void send_some(void)
{
	switch (chance_below(&house.chance, 6)) {
	case 0: send_reading_session(); break;
	case 1: send_writes(PLACE_PLAIN); break;
	case 2: send_writes(PLACE_SEVERAL); break;
	case 3: send_writes(PLACE_SESSION); break;
	case 4: send_script(); break;
	default: send_reads(); break;
	}
}

/* ---- the test ---------------------------------------------------------------------------------- */

/* What the loop does for the broker's clock. */
static void *tick(void *context)
{
	const struct timespec pause = {0, CLOCK_TICK_MS * CLOCK_NS_PER_MS};

	for (;;) {
		clock_advance(context);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void prepare(const struct effort *effort)
{
	static char folder[FOLDER_SIZE];
	pthread_t ticker;

	folder_make(folder);
	CHECK(chdir(folder) == 0 && mkdir("tmp", 0700) == 0, "no folder to work in");
	setenv("SQLITE_TMPDIR", "tmp", 1);
	memory_install();
	memory_cap_thread(MEMORY_BYTES);
	clock_init(&house.clock);
	CHECK(pthread_create(&ticker, NULL, tick, &house.clock) == 0, "no thread");
	poolite__buf_init(&house.answer, RESULT_BYTES, NULL);
	guard_state_learn(&house.names);
	house.chance = chance_of(effort->seed, 10);
}

void test_guard(const struct effort *effort)
{
	uint64_t texts = effort_amount(effort, 20000, 2000000);
	struct finds *finds = &house.finds;
	uint64_t houses = 0;

	prepare(effort);
	while (effort_goes_on(effort, finds->texts, texts)) {
		uint64_t until = finds->texts + TEXTS_PER_HOUSE;
		house.is_hardened = houses % 4 == 3;
		enter();
		while (finds->texts < until) {
			whisper();
			while (house.recents < TEXTS_PER_LOOK - TEXTS_TOGETHER)
				send_some();
			look();
		}
		leave();
		houses++;
	}
	report_amount("texts", (double)finds->texts, 20000, 2000000);
	report_at_least(
	    "refused by the guard", (double)finds->refused, (double)(finds->texts / 3));
	report_at_least("ran", (double)finds->accepted, (double)(finds->texts / 10));
	report_exactly("allowed, though the list forbids it", (double)finds->allowed, 0);
	report_exactly("honest, but turned away", (double)finds->turned_away, 0);
	report_exactly(
	    "ran in passing, though the list forbids it", (double)finds->ran, 0);
	report_exactly("connections changed", (double)finds->changed, 0);
	report_exactly("files made", (double)finds->files, 0);
	report_exactly("answers with another client's text", (double)finds->leaked, 0);
}
