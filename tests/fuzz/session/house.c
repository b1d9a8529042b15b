#include "tests/fuzz/session/house.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/db/internal.h"
#include "broker/log.h"
#include "broker/net/internal.h"
#include "broker/transaction.h"
#include "proto/answer.h"
#include "proto/frame.h"
#include "proto/json.h"
#include "proto/script.h"
#include "proto/statement.h"

/* Of the loop, 20 us apart, until the writer is idle. */
#define TURNS_MAX 500000
/* A fresh broker and file now and then, so that nothing piles up unseen. */
#define SEQUENCES_MAX 5000

static const char first_schema[] =
    "CREATE TABLE t(id INTEGER PRIMARY KEY, a, b UNIQUE, c CHECK(c IS NULL OR c < 100));"
    "CREATE TABLE parent(id INTEGER PRIMARY KEY ON CONFLICT ROLLBACK);"
    "CREATE TABLE child(id INTEGER PRIMARY KEY, "
    "  parent REFERENCES parent(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED);"
    "CREATE TABLE log(what);"
    "CREATE TABLE ledger(k INTEGER PRIMARY KEY);"
    "CREATE TRIGGER rollback_it BEFORE INSERT ON t WHEN NEW.a = 'rollback' "
    "  BEGIN SELECT RAISE(ROLLBACK, 'rolled back by a trigger'); END;"
    "CREATE TRIGGER log_it AFTER UPDATE ON t BEGIN INSERT INTO log VALUES(NEW.a); END;";

static const char first_rows[] =
    "PRAGMA user_version=0;"
    "PRAGMA application_id=0;"
    "DELETE FROM t; DELETE FROM child; DELETE FROM parent; DELETE FROM log;"
    "DELETE FROM ledger;"
    "INSERT INTO t(id, a, b, c) WITH RECURSIVE n(i) AS "
    "  (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 30) "
    "  SELECT i, 'row ' || i, i * 7, i FROM n;"
    "INSERT INTO parent VALUES(1), (2), (3);"
    "INSERT INTO child VALUES(1, 1), (2, 1), (3, 2);";

/* What sequences make, unless they are inventive. */
static const char forget_more[] = "DROP TABLE IF EXISTS extra;"
				  "DROP VIEW IF EXISTS seen;"
				  "DROP INDEX IF EXISTS t_a;";

static const char schema_text[] =
    "SELECT group_concat(type || name || rootpage || coalesce(sql, ''), ';') "
    "FROM sqlite_schema";

/* ---- what holds between requests ------------------------------------------------- */

static struct house *checked; /* the one whose connections job_finish looks at */

static bool has_open_statement(sqlite3 *db)
{
	sqlite3_stmt *stmt = NULL;

	while ((stmt = sqlite3_next_stmt(db, stmt)))
		if (sqlite3_stmt_busy(stmt))
			return true;
	return false;
}

static void check_connection(struct connection *connection)
{
	assert(sqlite3_get_autocommit(connection->db));
	assert(!has_open_statement(connection->db));
	assert(connection_is_clean(connection));
	assert(!has_open_statement(connection->db));
	assert(!connection->watched && !connection->asked);
}

/* The health check runs on each connection's own thread: the place to look at it. */
void __real_job_finish(struct job *job);
void __wrap_job_finish(struct job *job);
void __wrap_job_finish(struct job *job)
{
	if (job->kind == JOB_CHECK)
		check_connection(job->reader ? job->reader->connection
					     : checked->broker->pool.writer->connection);
	__real_job_finish(job);
}

static void check_all_connections(struct house *house)
{
	struct pool *pool = &house->broker->pool;
	bool may_shrink = house->sequences % 64 == 0;

	if (!may_shrink)
		pool->last_check_ns = 0; /* none is unused, then */
	pool->next_check_ns = 0;
	pool_check_health(pool, clock_now(&house->broker->clock));
	assert(pool->checks > 0);
	while (house_turn(house), pool->checks > 0)
		house_wait(house, 50);
	check_connection(house->broker->fast.connection);
}

/* Until no connection has anything to do.  The writer answers first and lets go then,
 * which no event tells. */
static void settle(struct house *house)
{
	for (int turns = 0; house_turn(house), !pool_is_idle(&house->broker->pool);
	     turns++) {
		assert(turns < TURNS_MAX);
		usleep(20);
	}
}

void house_check(struct house *house)
{
	struct broker *broker = house->broker;

	settle(house);
	assert(broker->stage == BROKER_SERVING);
	assert(broker->sessions.count == 0 && broker->sessions.handles == 0);
	assert(!broker->sessions.all && !broker->sessions.watched);
	assert(!broker->transactions && !broker->cursors);
	assert(broker->pool.leased == 0 && broker->pool.waiting.count == 0 &&
	    broker->pool.waiting_begins.count == 0);
	assert(pool_active(&broker->pool) == 0);
	assert(atomic_load(&broker->budget.used) == 0);
	assert(!broker->users.by_uid);
	assert(!broker->fast.has_snapshot);
	assert(atomic_load(&broker->database.gate.reading) == 0);
	assert(!atomic_load(&broker->database.refuses_writes));
	assert(!atomic_load(&broker->database.must_stop));
	check_all_connections(house);
}

/* ---- turning ---------------------------------------------------------------------- */

void house_turn(struct house *house)
{
	uv_run(&house->broker->loop->uv, UV_RUN_NOWAIT);
	/* Answers go out before the loop would block, in its next turn. */
	uv_run(&house->broker->loop->uv, UV_RUN_NOWAIT);
}

bool house_wait(struct house *house, int ms)
{
	struct pollfd loop = {
	    .fd = uv_backend_fd(&house->broker->loop->uv), .events = POLLIN};

	return poll(&loop, 1, ms) > 0;
}

bool house_is_busy(struct house *house)
{
	struct pool *pool = &house->broker->pool;
	struct holder holder = writer_holder(pool->writer);
	struct transaction *transaction;

	for (unsigned i = 0; i < pool->count; i++)
		if (pool->readers[i]->running)
			return true;
	DL_FOREACH (house->broker->transactions, transaction)
		if (transaction->running && transaction->state != TRANSACTION_BEGINNING)
			return true;
	return !holder.in_transaction && (holder.is_held || writer_waiting(pool->writer));
}

void house_elapse(struct house *house, int ms)
{
	struct broker *broker = house->broker;

	house->has_elapsed = true;
	clock_advance(&broker->clock);
	broker->clock.raw_ns -= ms * CLOCK_NS_PER_MS;
	broker->loop_handler.on_tick(broker);
}

/* ---- sessions ---------------------------------------------------------------------- */

int house_connect(struct house *house)
{
	int sockets[2];

	assert(socketpair(
		   AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sockets) == 0);
	session_open(&house->broker->sessions, sockets[0]);
	return sockets[1];
}

char *house_ask(struct house *house, const char *method, const char *sql)
{
	static const struct poolite__limits no_limits = {
	    .frame_bytes_max = SIZE_MAX / 4, .values_max = UINT32_MAX};
	struct poolite__scan scan = {0};
	struct poolite__buf buf;
	struct poolite__answer answer;
	json_t *json;
	char *text = NULL;
	int fd = house_connect(house);

	poolite__buf_init(&buf, SIZE_MAX / 4, NULL);
	if (strcmp(method, "script") == 0)
		poolite__pack_script(&buf, 1, sql, strlen(sql), NULL);
	else
		poolite__pack_statement(
		    &buf, 1, POOLITE__QUERY, sql, strlen(sql), NULL, 0, NULL);
	assert(send(fd, buf.data, buf.len, MSG_NOSIGNAL) == (ssize_t)buf.len);
	poolite__buf_truncate(&buf, 0);
	while (poolite__scan_next(&scan, buf.data, buf.len, &no_limits) == 0) {
		ssize_t got;

		assert(poolite__buf_reserve(&buf, 4096) == 0);
		house_turn(house);
		got = recv(fd, buf.data + buf.len, 4096, 0);
		assert(got > 0 || (got < 0 && errno == EAGAIN));
		if (got > 0)
			buf.len += (size_t)got;
		else
			house_wait(house, 10);
	}
	assert(poolite__read_answer(buf.data, buf.len, &answer) == 0);
	if (answer.failure.code == POOLITE_OK) {
		json = poolite__json(&answer.result);
		text = json_dumps(json, JSON_ENCODE_ANY);
		json_decref(json);
	} else {
		/* A sequence may have left more than one write may touch (wal_limit). */
		assert(answer.failure.code == POOLITE_TOO_LARGE);
	}
	poolite__buf_release(&buf);
	close(fd);
	while (house_turn(house), house->broker->sessions.handles > 0)
		house_wait(house, 10);
	return text;
}

/* ---- coming and going ---------------------------------------------------------------- */

static void path_in(const struct house *house, const char *name, char path[256])
{
	snprintf(path, 256, "%s/%s", house->folder, name);
}

static void remove_files(const struct house *house)
{
	static const char *const names[] = {
	    "db", "db-wal", "db-shm", "db-poolite.lock", "s", "s.lock"};
	char path[256];

	for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
		path_in(house, names[i], path);
		unlink(path);
	}
}

static void stop(struct house *house)
{
	sigset_t signals;

	if (!house->broker)
		return;
	broker_stop(house->broker, 0);
	house->broker->loop_handler.on_tick(house->broker);
	broker_run(house->broker);
	broker_free(house->broker);
	house->broker = NULL;
	free(house->schema);
	house->schema = NULL;
	/* The loop's last act is to block them; this program lives on. */
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
}

static void start(struct house *house)
{
	char error[512];

	remove_files(house);
	house->broker = broker_create(&house->settings, error, sizeof error);
	if (!house->broker)
		fprintf(stderr, "house: %s\n", error);
	assert(house->broker);
	signal(SIGTERM, SIG_DFL);
	signal(SIGINT, SIG_DFL);
	free(house_ask(house, "script", first_schema));
	free(house_ask(house, "script", first_rows));
	house->schema = house_ask(house, "query", schema_text);
	settle(house);
	house->clean_seq = atomic_load(&house->broker->database.commit_seq);
	house->sequences = 0;
}

/* Undo what a sequence did to the database.  False: not like this. */
static bool tidy(struct house *house)
{
	char *schema, *rows;
	bool is_same;

	if (atomic_load(&house->broker->database.commit_seq) == house->clean_seq)
		return true;
	schema = house_ask(house, "query", schema_text);
	if (schema && strcmp(schema, house->schema) != 0) {
		free(schema);
		free(house_ask(house, "script", forget_more));
		schema = house_ask(house, "query", schema_text);
	}
	is_same = schema && strcmp(schema, house->schema) == 0;
	free(schema);
	if (!is_same)
		return false;
	rows = house_ask(house, "script", first_rows);
	free(rows);
	settle(house);
	house->clean_seq = atomic_load(&house->broker->database.commit_seq);
	return rows != NULL;
}

void house_ready(struct house *house)
{
	checked = house;
	if (house->broker && (house->sequences >= SEQUENCES_MAX || !tidy(house)))
		stop(house);
	if (!house->broker)
		start(house);
	house->sequences++;
	house->has_elapsed = false;
}

void house_init(struct house *house)
{
	const char *base = getenv("TMPDIR");
	static char database[256], socket_path[256];
	const char *argv[] = {"poolited", "--db", database, "--socket", socket_path,
	    "--allow-unsafe-place", "--max-connections", "4", "--cache", "256K",
	    "--checkpoint-pages", "20", "--wal-limit", "4M", "--max-clients", "16",
	    "--max-inflight", "8", "--max-frame-bytes", "64K", "--max-values", "4096",
	    "--max-result-bytes", "1M", "--max-buffered-bytes", "64M",
	    "--connection-timeout", "2", "--query-timeout", "1", "--transaction-timeout",
	    "4", "--transaction-idle-timeout", "1", "--write-timeout", "2", "--grace",
	    "0", "--health-check-interval", "1000000", "--log-level", "error", NULL};

	memset(house, 0, sizeof *house);
	if (!base)
		base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
	snprintf(house->folder, sizeof house->folder, "%s/poolite-fuzz-XXXXXX", base);
	assert(mkdtemp(house->folder));
	path_in(house, "db", database);
	path_in(house, "s", socket_path);
	assert(settings_read(&house->settings, sizeof argv / sizeof argv[0] - 1,
		   (char **)argv) == SETTINGS_RUN);
	log_set_level(house->settings.log_level);
	signal(SIGPIPE, SIG_IGN);
}

void house_release(struct house *house)
{
	stop(house);
	remove_files(house);
	rmdir(house->folder);
}
