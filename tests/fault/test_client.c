/* T22: the client library, when its broker dies at any step of any call, and when the
 * system's calls do less than they were asked for.
 */
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fault/calls.h"
#include "tests/fault/fault.h"
#include "tests/fault/faulty.h"
#include "tests/fault/proxy.h"
#include "tests/fault/shim-client/noise.h"
#include "tests/fault/trial.h"
#include "tests/support/check.h"
#include "tests/support/direct.h"
#include "tests/support/poolited.h"

/* Beyond its own timeouts a call may take this long, here, where all processors are busy. */
#define MARGIN_SECONDS 5
#define WORKERS        2

struct tally {
	_Atomic uint64_t next, trials, steps[STEPS];
	_Atomic uint64_t hung, died, leaked, not_allowed;
	_Atomic uint64_t overrun_us; /* the longest beyond a call's timeouts */
	_Atomic uint64_t noisy_calls, noisy_errors, kills; /* of the noisy clients */
	_Atomic bool has_story;
	char story[800];
	struct noise noise;
	struct calls_verdict verdicts[WORKERS + 2]; /* the last two: the noisy clients' */
};

/* One worker's broker, proxy and client. */
struct bench {
	const struct effort *effort;
	struct tally *tally;
	struct poolited broker;
	struct proxy proxy;
	struct call *calls; /* shared with clients; one per trial of this worker */
	uint64_t count;
};

/* ---- the client ---------------------------------------------------------------------- */

struct client_orders {
	struct proxy *proxy;
	struct poolite_options options;
	bool is_warm;
	int signals; /* a byte out: ready; a byte in: go */
	int64_t number;
	struct call *call;
	struct tally *tally;
};

static unsigned open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	unsigned count = 0;

	CHECK(folder, "/proc/self/fd");
	while (readdir(folder))
		count++;
	closedir(folder);
	return count;
}

static void play_client(unsigned index, void *context)
{
	struct client_orders *orders = context;
	struct poolite_error error;
	struct poolite *handle;
	unsigned before;
	char byte = 'r';

	(void)index;
	signal(SIGPIPE, SIG_DFL);
	proxy_shut(orders->proxy, false); /* its own copies */
	before = open_descriptors();
	CHECK(poolite_open(orders->proxy->path, &orders->options, &handle, NULL) == 0,
	    "poolite_open");
	if (orders->is_warm)
		CHECK(poolite_ping(handle, &error) == 0, "ping: %s", error.message);
	CHECK(write(orders->signals, &byte, 1) == 1, "cannot say ready");
	CHECK(read(orders->signals, &byte, 1) == 1, "no go");
	call_make(handle, orders->number, orders->call);
	poolite_close(handle);
	orders->tally->leaked += open_descriptors() - before;
}

/* ---- a trial's outcome ------------------------------------------------------------------ */

static void tell(struct bench *bench, const struct trial *trial, const struct call *call,
    const char *what, unsigned outcome)
{
	static const char *const outcomes[] = {"none", "ok", "no", "unknown"};

	bench->tally->not_allowed++;
	if (atomic_exchange(&bench->tally->has_story, true))
		return;
	snprintf(bench->tally->story, sizeof bench->tally->story,
	    "%s, step %d, ending %d, message %u, %s: %s %s (%s)",
	    call_kinds[trial->verb].name, trial->step + 1, trial->ending, trial->message,
	    trial->is_warm ? "warm" : "cold", what, outcomes[outcome],
	    call->error.message);
}

static void judge(struct bench *bench, const struct trial *trial)
{
	const struct call *call = &bench->calls[bench->count];
	const struct call_kind *kind = &call_kinds[trial->verb];

	for (unsigned i = 0; i < kind->writes; i++) {
		unsigned outcome = call->writes[i];
		int must = trial_must(trial, outcome);
		unsigned there =
		    calls_rows(bench->broker.database, (int64_t)bench->count, i);

		if (!(trial_may(trial, false) & 1U << outcome))
			tell(bench, trial, call, "a write was", outcome);
		if (must >= 0 && (there > 0) != must)
			tell(bench, trial, call,
			    must ? "what was committed is not there"
				 : "what was not sent, or not committed, is there",
			    outcome);
	}
	if (kind->reads && !(trial_may(trial, true) & 1U << call->read))
		tell(bench, trial, call, "a read was", call->read);
}

/* ---- a trial ---------------------------------------------------------------------------- */

static double timeouts(const struct poolite_options *options)
{
	return (options->connect_timeout_ms + options->request_timeout_ms +
		   options->answer_grace_ms) /
	    1000.0;
}

static struct poolite_options options_for(const struct trial *trial)
{
	struct poolite_options options = {.connect_timeout_ms = 20000,
	    .request_timeout_ms = 20000,
	    .answer_grace_ms = 5000};

	if (trial->ending == ENDING_AWAY)
		options.connect_timeout_ms = 50;
	if (trial->ending == ENDING_FROZEN) {
		options.connect_timeout_ms = options.request_timeout_ms = 150;
		options.answer_grace_ms = 50;
	}
	return options;
}

static void start_broker(struct bench *bench, const char *failpoint)
{
	if (failpoint)
		setenv("POOLITE_FAILPOINT", failpoint, 1);
	poolited_run(&bench->broker);
	unsetenv("POOLITE_FAILPOINT");
	proxy_listen(&bench->proxy);
}

/* The broker is dead, or is to be now; then the ending. */
static void strike(struct bench *bench, const struct trial *trial, bool is_dead)
{
	bench->tally->steps[trial->step]++;
	if (trial->ending == ENDING_FROZEN)
		return;
	if (is_dead)
		CHECK_EQ(poolited_wait(&bench->broker), 128 + SIGKILL);
	else
		poolited_kill(&bench->broker);
	proxy_shut(&bench->proxy, trial->dice & 1);
}

static void see_it_through(struct bench *bench, const struct trial *trial,
    struct client_orders *orders, int pidfd)
{
	double until = check_seconds() + timeouts(&orders->options) + MARGIN_SECONDS;
	bool is_struck = trial->step == STEP_BEFORE_CONNECT ||
	    (trial->step == STEP_CONNECTED && trial->is_warm);
	struct proxy_cut cut = {trial_place(trial), trial->message, trial->dice};
	enum proxy_event event;

	if (is_struck)
		strike(bench, trial, false);
	else if (trial_failpoint(trial) == NULL)
		proxy_arm(&bench->proxy, &cut);
	CHECK(write(orders->signals, "g", 1) == 1, "cannot say go");
	if (is_struck && trial->ending == ENDING_BACK)
		start_broker(bench, NULL);
	while ((event = proxy_run(&bench->proxy, pidfd, until)) == PROXY_CUT ||
	    event == PROXY_BROKER_GONE) {
		strike(bench, trial, event == PROXY_BROKER_GONE);
		if (trial->ending == ENDING_BACK)
			start_broker(bench, NULL);
		if (trial->ending == ENDING_FROZEN) {
			struct pollfd end = {.fd = pidfd, .events = POLLIN};
			double left = until - check_seconds();
			event = poll(&end, 1, (int)(left * 1000)) == 1 ? PROXY_OTHER
								       : PROXY_TIMEOUT;
			break;
		}
	}
	bench->tally->hung += event == PROXY_TIMEOUT;
}

static void note_overrun(struct tally *tally, double seconds)
{
	uint64_t us = seconds > 0 ? (uint64_t)(1e6 * seconds) : 0;
	uint64_t longest = tally->overrun_us;

	while (us > longest &&
	    !atomic_compare_exchange_weak(&tally->overrun_us, &longest, us))
		;
}

/* How the client ended: not at all (it is killed), by a signal, by a check of its own. */
static void end_client(struct bench *bench, pid_t pid, const struct call *call,
    const struct poolite_options *options)
{
	siginfo_t info = {0};
	int status;

	waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
	if (info.si_pid != pid)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	bench->tally->died += info.si_pid == pid && status != 0;
	note_overrun(bench->tally, call->seconds - timeouts(options));
}

static void run_trial(struct bench *bench, const struct trial *trial)
{
	int ends[2], pidfd;
	struct client_orders orders = {.proxy = &bench->proxy,
	    .options = options_for(trial),
	    .is_warm = trial->is_warm,
	    .number = (int64_t)bench->count,
	    .call = &bench->calls[bench->count],
	    .tally = bench->tally};
	pid_t pid;

	memset(orders.call, 0, sizeof *orders.call);
	orders.call->verb = trial->verb;
	start_broker(bench, trial_failpoint(trial));
	CHECK(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
	orders.signals = ends[1];
	pid = client_start(play_client, 0, &orders);
	close(ends[1]);
	orders.signals = ends[0];
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
	CHECK(proxy_run(&bench->proxy, ends[0], check_seconds() + PATIENCE_SECONDS) ==
		PROXY_OTHER,
	    "the client is not ready");
	see_it_through(bench, trial, &orders, pidfd);
	end_client(bench, pid, orders.call, &orders.options);
	close(pidfd);
	close(ends[0]);
	proxy_shut(&bench->proxy, true);
	if (bench->broker.pid && trial->ending == ENDING_FROZEN)
		CHECK_EQ(poolited_stop(&bench->broker), 0); /* what it got is done */
	else if (bench->broker.pid)
		poolited_kill(&bench->broker);
	judge(bench, trial);
	bench->tally->trials++;
	bench->count++;
}

#define TRIALS_QUICK ((uint64_t)TRIALS_ALL)
#define TRIALS_LONG  ((uint64_t)TRIALS_ALL * 60)

static void make_broker(struct poolited *broker)
{
	sqlite3 *db;

	poolited_make(broker, (const char *const[]){"--max-connections", "4", NULL});
	CHECK(sqlite3_open(broker->database, &db) == SQLITE_OK, "cannot make a database");
	direct_run(db, "PRAGMA journal_mode = WAL");
	direct_run(db, calls_schema);
	direct_close(db);
}

static void run_trials(unsigned index, void *context)
{
	struct bench *bench = context;
	struct chance chance = chance_of(bench->effort->seed, index);
	uint64_t trials = effort_amount(bench->effort, TRIALS_QUICK, TRIALS_LONG);
	struct trial trial;
	char path[80];
	uint64_t next;

	bench->calls = shared_memory((trials + 1) * sizeof *bench->calls);
	make_broker(&bench->broker);
	bench->broker.program = program_path("poolited-faulty");
	snprintf(path, sizeof path, "%s/proxy", bench->broker.folder);
	proxy_init(&bench->proxy, path, bench->broker.socket);
	while (effort_goes_on(bench->effort, bench->tally->next, trials)) {
		next = bench->tally->next++;
		if (trial_make(&trial, next, &chance))
			run_trial(bench, &trial);
	}
	calls_check(bench->calls, bench->count, bench->broker.database,
	    &bench->tally->verdicts[index]);
	direct_check(bench->broker.database);
}

/* ---- noise -------------------------------------------------------------------------------- */

#define NOISY_CLIENTS 4
#define NOISE_PERCENT 30

struct noisy_run {
	const struct effort *effort;
	struct tally *tally;
	struct poolited broker;
	struct call *calls; /* ${room} of each client */
	uint64_t room;
	bool may_fail; /* the broker is killed meanwhile */
	_Atomic bool *must_stop;
};

static const struct poolite_options noisy_options = {
    .connect_timeout_ms = 20000, .request_timeout_ms = 20000, .answer_grace_ms = 5000};

static void make_noisy_call(
    struct noisy_run *run, struct poolite *handle, uint64_t number, struct chance *chance)
{
	struct call *call = &run->calls[number];
	struct tally *tally = run->tally;

	call->verb = (enum call_verb)chance_below(chance, CALL_VERBS);
	call_make(handle, (int64_t)number, call);
	note_overrun(tally, call->seconds - timeouts(&noisy_options));
	tally->noisy_calls++;
	if (run->may_fail || call->error.code == POOLITE_OK)
		return;
	tally->noisy_errors++;
	if (!atomic_exchange(&tally->has_story, true))
		snprintf(tally->story, sizeof tally->story, "%s in noise: %s, %s",
		    call_kinds[call->verb].name, poolite_code_name(call->error.code),
		    call->error.message);
}

static void be_noisy(unsigned index, void *context)
{
	struct noisy_run *run = context;
	uint64_t seed = run->effort->seed + 100 * run->may_fail + index;
	struct chance chance = chance_of(seed, 1);
	struct poolite *handle;
	unsigned before;

	signal(SIGPIPE, SIG_DFL);
	before = open_descriptors();
	CHECK(poolite_open(run->broker.socket, &noisy_options, &handle, NULL) == 0,
	    "poolite_open");
	noise_begin(&run->tally->noise, seed, NOISE_PERCENT);
	for (uint64_t i = 0; i < run->room && !*run->must_stop &&
	     (run->may_fail || effort_goes_on(run->effort, i, run->room));
	     i++)
		make_noisy_call(run, handle, index * run->room + i, &chance);
	poolite_close(handle);
	noise_end();
	run->tally->leaked += open_descriptors() - before;
}

/* Kill the broker again and again until it is enough, then tell the clients. */
static void kill_under_noise(struct noisy_run *run)
{
	uint64_t kills = effort_amount(run->effort, 15, 1000);
	struct chance chance = chance_of(run->effort->seed, 22);

	while (effort_goes_on(run->effort, run->tally->kills, kills)) {
		usleep((useconds_t)(1e6 * chance_between(&chance, 0.02, 0.2)));
		poolited_kill(&run->broker);
		run->tally->kills++;
		poolited_run(&run->broker);
	}
	*run->must_stop = true;
}

static void run_noisy(struct noisy_run *run, struct calls_verdict *verdict)
{
	pid_t pids[NOISY_CLIENTS];
	int status;

	run->calls = shared_memory(NOISY_CLIENTS * run->room * sizeof *run->calls);
	run->must_stop = shared_memory(sizeof *run->must_stop);
	make_broker(&run->broker);
	poolited_run(&run->broker);
	for (unsigned i = 0; i < NOISY_CLIENTS; i++)
		pids[i] = client_start(be_noisy, i, run);
	if (run->may_fail)
		kill_under_noise(run);
	for (unsigned i = 0; i < NOISY_CLIENTS; i++) {
		waitpid(pids[i], &status, 0);
		run->tally->died += status != 0;
	}
	CHECK_EQ(poolited_stop(&run->broker), 0);
	calls_check(run->calls, NOISY_CLIENTS * run->room, run->broker.database, verdict);
	direct_check(run->broker.database);
}

/* ---- all of it ------------------------------------------------------------------------------ */

static void add(struct calls_verdict *sum, const struct calls_verdict *verdict)
{
	sum->ok += verdict->ok;
	sum->no += verdict->no;
	sum->unknown += verdict->unknown;
	sum->lost += verdict->lost;
	sum->ghosts += verdict->ghosts;
	sum->torn += verdict->torn;
	sum->twice += verdict->twice;
	sum->wrong += verdict->wrong;
}

static void report(const struct tally *tally)
{
	struct calls_verdict sum = {0};
	uint64_t rarest = UINT64_MAX;

	for (unsigned i = 0; i < WORKERS + 2; i++)
		add(&sum, &tally->verdicts[i]);
	for (unsigned i = 0; i < STEPS; i++)
		rarest = tally->steps[i] < rarest ? tally->steps[i] : rarest;
	report_amount("calls cut off", (double)tally->trials, TRIALS_ALL * 0.7,
	    TRIALS_ALL * 0.7 * 60);
	report_amount("at the rarest of the 8 steps", (double)rarest, 10, 1000);
	report_amount(
	    "calls in noise", (double)tally->noisy_calls, NOISY_CLIENTS * 150, 100000);
	report_amount("short counts", (double)tally->noise.shorts, 250, 50000);
	report_amount("EINTR", (double)tally->noise.interrupted, 500, 100000);
	report_amount("EAGAIN", (double)tally->noise.not_ready, 500, 100000);
	report_at_least("of these, connects", (double)tally->noise.connects, 1);
	report_amount("kills in noise", (double)tally->kills, 15, 1000);
	report_exactly("errors in noise without a kill", (double)tally->noisy_errors, 0);
	report_exactly(
	    "outcomes not allowed at their step", (double)tally->not_allowed, 0);
	calls_report(&sum);
	report_exactly("hung", (double)tally->hung, 0);
	report_exactly("clients that died, as of SIGPIPE", (double)tally->died, 0);
	report_exactly("descriptors leaked", (double)tally->leaked, 0);
	report_at_most("longest beyond its timeouts, ms",
	    (double)tally->overrun_us / 1000, MARGIN_SECONDS * 1000);
	report_note("     outcomes: ok %llu, no %llu, unknown %llu",
	    (unsigned long long)sum.ok, (unsigned long long)sum.no,
	    (unsigned long long)sum.unknown);
	if (tally->has_story)
		report_note("     first of what should not be: %s", tally->story);
}

void test_client(const struct effort *effort)
{
	struct tally *tally = shared_memory(sizeof *tally);
	static struct bench bench;
	static struct noisy_run run;
	struct effort part = *effort;
	double now = check_seconds();

	/* A sixth of the time for each run in noise, the rest for the trials. */
	run = (struct noisy_run){.effort = &part, .tally = tally};
	part.until = now + (effort->until - now) / 6;
	run.room = effort_amount(effort, 150, 100000 / NOISY_CLIENTS);
	run_noisy(&run, &tally->verdicts[WORKERS]);
	part.until = now + (effort->until - now) / 3;
	run.room = 100000;
	run.may_fail = true;
	run_noisy(&run, &tally->verdicts[WORKERS + 1]);
	bench.effort = effort;
	bench.tally = tally;
	workers_run(WORKERS, run_trials, &bench);
	report(tally);
}
