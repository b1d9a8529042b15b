#include "broker/broker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#include <utlist.h>

#include "broker/db/memory.h"
#include "broker/dispatch.h"
#include "broker/document.h"
#include "broker/failpoint.h"
#include "broker/log.h"
#include "broker/net/completion.h"
#include "broker/overdue.h"
#include "broker/priority.h"

/* Descriptors beyond the clients': three files per connection, locks, sockets,
 * libuv's own, the stats socket's visitors. */
#define RESERVED_DESCRIPTORS(connections) (64 + 4 * (connections))
/* How long to wait for a predecessor that is stopping: its grace, and then some. */
#define SUCCESSION_NS (60 * CLOCK_NS_PER_SEC)
/* Even on a disk that is nearly full: a few groups must fit. */
#define WAL_LIMIT_MIN ((int64_t)1 << 20)
/* Further time after the grace for what was refused to be sent. */
#define LAST_WORDS_NS CLOCK_NS_PER_SEC
/* Between two tries to cut the WAL near its limit while none of our reads pins it. */
#define WAL_RETRY_NS CLOCK_NS_PER_SEC
/* Further time after the grace for a statement to heed its interrupt. */
#define STUCK_NS (5 * CLOCK_NS_PER_SEC)

/* ---- the loop's calls --------------------------------------------------------- */

static bool before_block(void *context)
{
	struct broker *broker = context;
	bool must_go_on = session_settle_all(&broker->sessions);

	if (broker->is_overdue)
		overdue_answer_in_time(broker);
	fast_end_turn(&broker->fast);
	return must_go_on;
}

static void stop_if_must(struct broker *broker)
{
	if (broker->stage == BROKER_SERVING && atomic_load(&broker->database.must_stop))
		broker_stop(broker, BROKER_EXIT_UNKNOWN);
}

static void on_wake(void *context)
{
	struct broker *broker = context;

	clock_advance(&broker->clock);
	stop_if_must(broker);
	if (broker->pool.writer)
		pool_pump(&broker->pool); /* the gate may have opened */
}

/* Threads first: until they are gone, they may post to the completion queue. */
static void close_loop(struct broker *broker)
{
	completion_drain(broker->completion); /* the stats socket may have asked last */
	if (broker->fast.database)
		fast_close(&broker->fast);
	if (broker->pool.readers)
		pool_stop(&broker->pool);
	completion_close(broker->completion);
	loop_close(broker->loop);
}

static void close_all(struct broker *broker)
{
	broker->stage = BROKER_CLOSING;
	server_close(broker->server);
	stats_server_stop(broker->stats_server);
	broker->stats_server = NULL;
	close_loop(broker);
}

/* Whoever is in no transaction and reads no pages has sent all that will be taken. */
static void drain_sessions(struct broker *broker)
{
	struct session *session = NULL;

	while ((session = session_next(&broker->sessions, session))) {
		struct client *client = session_data(session);
		if (!client || !dispatch_has_round_trips(client))
			session_drain(session);
	}
}

static void end_sessions(struct broker *broker)
{
	struct session *next;

	overdue_end_all(broker);
	if (clock_now(&broker->clock) <
	    clock_after(broker->grace_until_ns, LAST_WORDS_NS))
		return;
	for (struct session *session = session_next(&broker->sessions, NULL); session;
	     session = next) {
		next = session_next(&broker->sessions, session);
		session_abandon(session);
	}
}

/* A single step of SQLite that nothing interrupts must not keep a stop waiting:
 * what was answered is safe, as after kill -9. */
static void leave_if_stuck(struct broker *broker, int64_t now_ns)
{
	if (now_ns < clock_after(broker->grace_until_ns, STUCK_NS))
		return;
	log_error("a statement cannot be interrupted: ending without it");
	_exit(broker->exit_status ? broker->exit_status : EXIT_FAILURE);
}

static void drain(struct broker *broker, int64_t now_ns)
{
	drain_sessions(broker);
	if (now_ns >= broker->grace_until_ns) {
		if (!broker->is_past_grace)
			log_info("grace is over: what is left is refused or rolled back");
		broker->is_past_grace = true;
		end_sessions(broker);
		leave_if_stuck(broker, now_ns);
	}
	if (broker->sessions.handles == 0 && pool_is_idle(&broker->pool))
		close_all(broker);
}

/* One read at a time, and one that stood in the way: the next try shows whether it takes
 * more.  What was ended has until the next tick to be gone. */
static void relieve_wal(struct broker *broker, int64_t now_ns)
{
	int64_t failed_ns = atomic_load(&broker->database.wal_pinned_ns);

	if (failed_ns && !broker->ended_for_wal) {
		broker->ended_for_wal = overdue_end_oldest_read(broker, failed_ns);
		/* Nothing of ours, or nothing any more: after a while the next try says. */
		if (broker->ended_for_wal || now_ns - failed_ns < WAL_RETRY_NS)
			return;
	}
	if (failed_ns)
		atomic_store(&broker->database.wal_pinned_ns, 0);
	broker->ended_for_wal = false;
}

static void on_tick(void *context)
{
	struct broker *broker = context;
	int64_t now_ns = clock_advance(&broker->clock);
	struct transaction *transaction, *next;
	struct cursor *cursor, *next_cursor;

	stop_if_must(broker);
	if (broker->stage != BROKER_CLOSING)
		server_tick(broker->server);
	session_watch_all(&broker->sessions);
	DL_FOREACH_SAFE (broker->transactions, transaction, next)
		transaction_tick(transaction, now_ns);
	DL_FOREACH_SAFE (broker->cursors, cursor, next_cursor)
		cursor_tick(cursor, now_ns);
	overdue_answer_in_time(broker);
	relieve_wal(broker, now_ns);
	pool_pump(&broker->pool);
	if (broker->stage == BROKER_SERVING)
		pool_check_health(&broker->pool, now_ns);
	else if (broker->stage == BROKER_DRAINING)
		drain(broker, now_ns);
}

void broker_stop(struct broker *broker, int status)
{
	int64_t now_ns = clock_now(&broker->clock);

	if (status)
		broker->exit_status = status;
	else if (broker->stage != BROKER_SERVING)
		broker->grace_until_ns = now_ns; /* asked again: cut it short */
	if (broker->stage != BROKER_SERVING)
		return;
	broker->stage = BROKER_DRAINING;
	broker->grace_until_ns = clock_after(now_ns, broker->settings.grace_ns);
	/* The path goes first: from now on a client finds no broker, and retries
	 * until the next one is there.  Who is in the backlog is still served. */
	FAILPOINT("stop_before_unlink");
	listener_unlink(&broker->listener);
	database_file_mark_stopping(&broker->file);
}

static void on_signal(void *context, int signal_number)
{
	struct broker *broker = context;

	broker_stop(broker, 0);
	/* Who reads this may start the next broker: the files say by now that it shall wait. */
	log_info("%s: stopping, at most %.0f s for what is under way",
	    strsignal(signal_number), (double)broker->settings.grace_ns / 1e9);
}

static void on_checked(struct job *job)
{
	struct broker *broker = job->owner;

	if (job->failure.code)
		log_warning("health check: %s", job->failure.message);
	pool_return(&broker->pool, job);
	job_free(job);
	pool_pump(&broker->pool);
}

/* ---- start ---------------------------------------------------------------------- */

/* As many descriptors as the machine allows, and no more clients than fit. */
static void fit_descriptors(struct broker *broker)
{
	struct settings *settings = &broker->settings;
	rlim_t reserve = RESERVED_DESCRIPTORS(settings->max_connections);
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY ||
	    limit.rlim_cur >= settings->max_clients + reserve)
		return;
	log_warning(
	    "the descriptor limit of %llu allows %llu clients, not %u (max_clients)",
	    (unsigned long long)limit.rlim_cur,
	    (unsigned long long)(limit.rlim_cur > reserve + 1 ? limit.rlim_cur - reserve
							      : 1),
	    settings->max_clients);
	settings->max_clients =
	    limit.rlim_cur > reserve + 1 ? (uint32_t)(limit.rlim_cur - reserve) : 1;
}

static void prepare_sessions(struct broker *broker)
{
	broker->session_handler = (struct session_handler){
	    .on_connect = dispatch_session_opened,
	    .on_message = dispatch_message,
	    .on_has_room = dispatch_session_has_room,
	    .on_end = dispatch_session_ended,
	    .on_gone = dispatch_session_gone,
	    .on_free = dispatch_session_freed,
	    .context = broker,
	};
	broker->sessions = (struct session_shared){
	    .loop = broker->loop,
	    .clock = &broker->clock,
	    .handler = &broker->session_handler,
	    .limits = {.frame_bytes_max = broker->settings.max_frame_bytes,
		.values_max = broker->settings.max_values},
	    .inflight_max = broker->settings.max_inflight,
	    .write_timeout_ns = broker->settings.write_timeout_ns,
	};
}

static int start_loop(struct broker *broker, char *error, size_t error_size)
{
	broker->loop_handler = (struct loop_handler){
	    .on_tick = on_tick,
	    .before_block = before_block,
	    .on_wake = on_wake,
	    .on_signal = on_signal,
	    .context = broker,
	};
	broker->loop = loop_create(&broker->loop_handler);
	if (broker->loop)
		broker->completion = completion_create(broker->loop);
	if (broker->completion)
		return 0;
	snprintf(
	    error, error_size, "cannot start the event loop: no memory or descriptors");
	if (broker->loop) {
		loop_close(broker->loop);
		loop_run(broker->loop); /* until its handles are closed */
	}
	return -1;
}

/* wal_limit, but never more than a quarter of the free disk. */
static int64_t wal_bytes_max(struct broker *broker)
{
	int64_t limit = (int64_t)broker->settings.wal_limit_bytes, quarter;
	char text[LOG_BYTES_SIZE];
	struct statvfs disk;

	if (statvfs(broker->file.path, &disk))
		return limit;
	quarter = (int64_t)(disk.f_bavail / 4 * disk.f_frsize);
	if (quarter >= limit)
		return limit;
	if (quarter < WAL_LIMIT_MIN)
		quarter = WAL_LIMIT_MIN;
	log_info("the WAL may grow to %s, a quarter of the free disk",
	    log_format_bytes(text, quarter));
	return quarter;
}

/* Everything that another broker may hold, before SQLite opens, and converts, the file. */
static int take_locks(struct broker *broker, char *error, size_t error_size)
{
	const struct settings *settings = &broker->settings;

	if (database_file_open(
		&broker->file, settings, SUCCESSION_NS, error, error_size) ||
	    listener_lock(&broker->listener, settings->socket, error, error_size))
		return -1;
	return settings->stats_socket ? listener_lock(&broker->stats_listener,
					    settings->stats_socket, error, error_size)
				      : 0;
}

/* "malformed database schema" is SQLite's word also for one that it does not trust. */
static int cannot_open(const struct settings *settings,
    const struct poolite__failure *failure, char *error, size_t error_size)
{
	bool is_for_hardened =
	    settings->hardened && strstr(failure->message, "(hardened)") != NULL;

	snprintf(error, error_size, "cannot open the database %s: %s%s",
	    settings->database, failure->message,
	    is_for_hardened ? "; it need not be damaged: without --hardened such a file "
			      "is served"
			    : "");
	return -1;
}

static int start_database(struct broker *broker, char *error, size_t error_size)
{
	const struct settings *settings = &broker->settings;
	struct poolite__failure failure;

	broker->database = (struct database){
	    .path = broker->file.path,
	    .settings = settings,
	    .clock = &broker->clock,
	    .completion = broker->completion,
	    .budget = &broker->budget,
	    .wal_bytes_max = wal_bytes_max(broker),
	    .refusing = PTHREAD_MUTEX_INITIALIZER,
	};
	database_cap_thread(&broker->database); /* the fast reader is this thread's */
	if (pool_start(&broker->pool, &broker->database, on_checked, broker, &failure) ||
	    fast_open(&broker->fast, &broker->database, &failure))
		return cannot_open(settings, &failure, error, error_size);
	if (broker->file.was_created)
		log_info("created the database %s", broker->file.path);
	else if (connection_was_converted(broker->pool.writer->connection))
		log_info("converted the database %s to WAL mode", broker->file.path);
	return 0;
}

static int start_sockets(struct broker *broker, char *error, size_t error_size)
{
	const struct settings *settings = &broker->settings;

	if (listener_open(&broker->listener, settings->socket_mode,
		settings->socket_group, error, error_size))
		return -1;
	if (settings->stats_socket) {
		if (listener_open(&broker->stats_listener, settings->socket_mode,
			settings->socket_group, error, error_size))
			return -1;
		broker->stats_server = stats_server_start(
		    broker->stats_listener.fd, document_give, broker, error, error_size);
		if (!broker->stats_server)
			return -1;
		broker->stats_listener.fd = -1; /* the server's now */
	}
	broker->server = server_start(&broker->sessions, &broker->listener);
	if (broker->server)
		return 0;
	snprintf(error, error_size, "cannot serve: no memory or descriptors");
	return -1;
}

struct broker *broker_create(
    const struct settings *settings, char *error, size_t error_size)
{
	struct broker *broker = calloc(1, sizeof *broker);

	if (!broker) {
		snprintf(error, error_size, "out of memory");
		return NULL;
	}
	broker->settings = *settings;
	broker->budget.max = settings->max_buffered_bytes;
	poolite__buf_init(&broker->short_answer, SIZE_MAX, NULL);
	broker->file.lock.fd = -1;
	broker->listener.fd = broker->listener.lock.fd = -1;
	broker->stats_listener.fd = broker->stats_listener.lock.fd = -1;
	broker->started_unix = clock_unix_seconds();
	memory_install();
	clock_init(&broker->clock);
	fit_descriptors(broker);
	/* The database first: a client that connects is served. */
	if (users_init(&broker->users, &broker->settings, &broker->budget, error,
		error_size) == 0 &&
	    start_loop(broker, error, error_size) == 0) {
		prepare_sessions(broker);
		if (take_locks(broker, error, error_size) == 0 &&
		    start_database(broker, error, error_size) == 0 &&
		    start_sockets(broker, error, error_size) == 0)
			return broker;
		if (broker->server)
			server_close(broker->server);
		stats_server_stop(broker->stats_server);
		broker->stats_server = NULL;
		close_loop(broker);
		loop_run(broker->loop);
		listener_undo(&broker->stats_listener);
		listener_undo(&broker->listener);
		database_file_undo(&broker->file);
	}
	broker_free(broker);
	return NULL;
}

/* What decides who gets in and how is worth a look in each log. */
static void log_ready(const struct broker *broker)
{
	const struct settings *settings = &broker->settings;
	const struct {
		const char *name, *value;
	} parts[] = {
	    {", stats socket ", settings->stats_socket},
	    {", hardened", settings->hardened ? "" : NULL},
	    {", allow ", settings->allow},
	    {", read_only ", settings->read_only},
	    {", admin ", settings->admin},
	};
	char more[1024] = "";
	size_t len = 0;

	for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
		if (parts[i].value && len < sizeof more)
			len += (size_t)snprintf(more + len, sizeof more - len, "%s%s",
			    parts[i].name, parts[i].value);
	log_info("ready: database %s, socket %s, pid %d, SQLite %s%s", broker->file.path,
	    broker->listener.path, (int)getpid(), connection_sqlite_version(), more);
}

int broker_run(struct broker *broker)
{
	log_ready(broker);
	priority_wake_soon();
	loop_run(broker->loop);
	log_info("stopped");
	return broker->exit_status;
}

void broker_free(struct broker *broker)
{
	if (!broker)
		return;
	routes_clear(&broker->routes);
	poolite__buf_release(&broker->short_answer);
	users_release(&broker->users);
	loop_free(broker->loop);
	listener_close(&broker->stats_listener);
	listener_close(&broker->listener);
	database_file_close(&broker->file);
	free(broker);
}
