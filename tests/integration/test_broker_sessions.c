/* Sessions: bytes, frames, limits, back-pressure.  Clients that go: test_broker_gone.c. */
#include <criterion/criterion.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/wire.h"

#define ENDLESS                                                                          \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "               \
	"SELECT count(*) FROM n"

/* A connection to the database may open its files after we counted. */
#define LATE_DESCRIPTORS 10

static struct poolited broker;
static struct wire *a, *b;

/* What an idle session may cost, and all hostile headers together; sanitizers need more for
 * themselves. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IDLE_SESSION_BYTES 16384
#define HOSTILE_KIB        16384
#else
#define IDLE_SESSION_BYTES 2048
#define HOSTILE_KIB        1024
#endif

static void start(const char *flag, const char *value)
{
	poolited_start(&broker, flag, value);
	a = wire_open(&broker);
	b = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_sessions, .fini = tear_down, .timeout = 60);

/* ---- frames -------------------------------------------------------------------- */

Test(broker_sessions, request_may_come_byte_by_byte)
{
	static const char request[] = "\x94\x00\x07\xa5query\x91\xa8SELECT 5";

	start(NULL, NULL);
	for (size_t i = 0; i < sizeof request - 1; i++)
		wire_send_bytes(a, request + i, 1);
	CHECK_HAS(expect_ok(a, 7), "[[5]]");
}

/* Bytes that end a session, and what it is told. */
static const struct {
	const char *bytes;
	size_t len;
	enum poolite_code code;
} breakers[] = {
#define BREAKER(bytes, code)                                                             \
	{                                                                                \
		bytes, sizeof(bytes) - 1, code                                           \
	}
    BREAKER("\xc1", POOLITE_BAD_REQUEST),
    BREAKER("\x94\x00\x09\xa4ping\xc1", POOLITE_BAD_REQUEST),
    BREAKER("\x05", POOLITE_BAD_REQUEST),
    BREAKER("\x90", POOLITE_BAD_REQUEST),
    BREAKER("\x80", POOLITE_BAD_REQUEST),
    BREAKER("\xa4ping", POOLITE_BAD_REQUEST),
    BREAKER("\x94\x00\xff\xa4ping\x90", POOLITE_BAD_REQUEST),
    BREAKER("\x94\x00\xa1x\xa4ping\x90", POOLITE_BAD_REQUEST),
    BREAKER(
	"\x94\x00\xcf\x00\x00\x00\x01\x00\x00\x00\x00\xa4ping\x90", POOLITE_BAD_REQUEST),
    BREAKER("\x94\x01\x09\xc0\xc0", POOLITE_BAD_REQUEST),
    BREAKER("\xdd\xff\xff\xff\xff", POOLITE_TOO_LARGE),
    BREAKER("\xdf\xff\xff\xff\xff", POOLITE_TOO_LARGE),
    BREAKER("\x94\x00\x09\xa5query\xdd\x00\xff\xff\xff", POOLITE_TOO_LARGE),
    BREAKER("\xc6\xff\xff\xff\xff", POOLITE_TOO_LARGE),
    BREAKER("\xdb\x01\x00\x00\x00", POOLITE_TOO_LARGE),
    BREAKER("\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91\x91",
	POOLITE_TOO_LARGE),
};

Test(broker_sessions, broken_frame_ends_the_session_after_what_came_before)
{
	unsigned count = sizeof breakers / sizeof breakers[0];

	start(NULL, NULL);
	for (unsigned i = 0; i < count; i++) {
		struct wire *wire = wire_open(&broker);
		uint32_t msgid;
		wire_cork(wire);
		msgid = wire_sql(wire, "update", "INSERT INTO t (x) VALUES (%u)", i);
		wire_send_bytes(wire, breakers[i].bytes, breakers[i].len);
		wire_sql(wire, "update", "INSERT INTO t (x) VALUES ('behind')");
		wire_uncork(wire);
		expect_ok(wire, msgid);
		expect_farewell(wire, breakers[i].code);
	}
	expect_rows(a, "[[16, 120]]", "SELECT count(*), sum(x) FROM t");
	CHECK_EQ(stat_of(a, "sessions.protocol_errors"), count);
	CHECK(poolited_peak_mib(&broker) < 200, "%u MiB for %u headers",
	    poolited_peak_mib(&broker), count);
}

/* Headers that announce as much as can be written, each alone and inside of a request. */
#define NESTED_4 "\xdc\xff\xff\xdc\xff\xff\xdc\xff\xff\xdc\xff\xff"
#define NESTED   NESTED_4 NESTED_4 NESTED_4 NESTED_4
static const struct {
	const char *bytes;
	size_t len;
	bool is_legal; /* so far: what is announced may still come, until write_timeout */
} hostile[] = {
#define HOSTILE(bytes, is_legal)                                                         \
	{                                                                                \
		bytes, sizeof(bytes) - 1, is_legal                                       \
	}
    HOSTILE("\xdd\xff\xff\xff\xff", false),
    HOSTILE("\xdf\xff\xff\xff\xff", false),
    HOSTILE("\x94\x00\x09\xa5query\x92\xa1x\xdd\xff\xff\xff\xff", false),
    HOSTILE("\x94\x00\x09\xa5query\x92\xa1x\xdf\xff\xff\xff\xff", false),
    HOSTILE(NESTED, true),
    HOSTILE(NESTED "\xdc\xff\xff", false),
};
#define HOSTILE_KINDS (sizeof hostile / sizeof hostile[0])

/* ${count} sessions that send each of them. */
static void be_hostile(unsigned count)
{
	struct wire *waiting[32];

	CHECK(count <= 32, "too many");
	for (size_t i = 0; i < HOSTILE_KINDS; i++) {
		for (unsigned j = 0; j < count; j++) {
			waiting[j] = wire_open(&broker);
			wire_send_bytes(waiting[j], hostile[i].bytes, hostile[i].len);
			if (!hostile[i].is_legal)
				expect_farewell(waiting[j], POOLITE_TOO_LARGE);
		}
		for (unsigned j = 0; hostile[i].is_legal && j < count; j++)
			expect_end(waiting[j]);
	}
}

Test(broker_sessions, what_headers_announce_takes_no_memory)
{
	enum { COUNT = 30 };
	unsigned before, peak;

	start("--write-timeout", "0.3");
	be_hostile(COUNT); /* what a session needs anyway */
	await_stat_is(a, "sessions.open", 2);
	before = poolited_resident_kib(&broker);
	poolited_forget_peak(&broker);
	be_hostile(COUNT);
	peak = poolited_peak_kib(&broker);
	CHECK(peak < before + HOSTILE_KIB, "%u KiB more", peak - before);
	CHECK_EQ(stat_of(a, "sessions.timed_out"), 2 * COUNT);
	CHECK_EQ(stat_of(a, "sessions.protocol_errors"), 2 * COUNT * HOSTILE_KINDS);
}

Test(broker_sessions, frame_over_its_limit_ends_the_session_on_its_header)
{
	start("--max-frame-bytes", "4096");
	wire_send_bytes(b, "\x94\x00\x01\xa5query\x91\xda\x10\x00", 13);
	expect_farewell(b, POOLITE_TOO_LARGE);
	b = wire_open(&broker);
	expect_number(b, 3, "SELECT 3 -- %02000d", 0);
}

Test(broker_sessions, values_over_their_limit_end_the_session_on_the_header)
{
	start("--max-values", "1000");
	wire_send_bytes(b,
	    "\x94\x00\x01\xa5"
	    "batch\x92\xa1x\xdc\x04\x00",
	    15);
	expect_farewell(b, POOLITE_TOO_LARGE);
	wire_sync(a);
}

Test(broker_sessions, megabytes_go_both_ways)
{
	static char text[(8 << 20) + 100];

	start(NULL, NULL);
	memcpy(text, "[`SELECT ?, length(?1)`, [`", 27);
	memset(text + 27, 'm', 8 << 20);
	memcpy(text + 27 + (8 << 20), "`]]", 4);
	CHECK_HAS(call(a, "query", "%s", text), "m`, 8388608]]");
}

Test(broker_sessions, msgids_may_repeat_and_use_their_range)
{
	start(NULL, NULL);
	wire_cork(a);
	wire_send_message(a, "[0, 4294967295, `query`, [`SELECT 1`]]");
	wire_send_message(a, "[0, 4294967295, `query`, [`SELECT 1`]]");
	wire_send_message(a, "[0, 4294967295, `query`, [`SELECT nothing`]]");
	wire_send_message(a, "[0, 0, `ping`, []]");
	wire_uncork(a);
	expect_ok(a, 0);
	for (int answers = 0; answers < 3; answers++)
		CHECK_EQ(wire_next(a)->msgid, 4294967295u);
}

Test(broker_sessions, notifications_execute_nothing_and_are_counted)
{
	start(NULL, NULL);
	wire_send_message(a, "[2, `update`, [`INSERT INTO t VALUES (1, 1)`]]");
	wire_send_message(a, "[2, x'757064617465', [`INSERT INTO t VALUES (1, 1)`]]");
	wire_send_message(a, "[2, `nvim_set_client_info`, [`x`, {}, `remote`]]");
	wire_send_message(a, "[2, `cancel`, [`nonsense`]]");
	expect_number(a, 0, "SELECT count(*) FROM t");
	CHECK_EQ(stat_of(a, "sessions.notifications_ignored"), 4);
}

Test(broker_sessions, quick_answers_overtake_slow_ones)
{
	uint32_t slow;

	start("--query-timeout", "0.5");
	slow = wire_sql(a, "query", ENDLESS);
	CHECK_EQ(wire_sql(a, "query", "SELECT 1"), slow + 1);
	CHECK_EQ(wire_next(a)->msgid, slow + 1);
	expect_error(a, slow, POOLITE_QUERY_TIMEOUT, NULL);
}

/* ---- limits -------------------------------------------------------------------- */

Test(broker_sessions, back_pressure_loses_nothing)
{
	uint32_t first;

	start("--max-inflight", "4");
	wire_cork(a);
	first = wire_bare(a, "ping");
	for (int i = 0; i < 1000; i++) {
		wire_sql(a, "query", "SELECT %d", i);
		wire_sql(a, "update", "INSERT INTO t (x) VALUES (%d)", i);
		wire_bare(a, "ping");
	}
	wire_uncork(a);
	for (uint32_t i = 0; i < 3001; i++)
		CHECK_EQ(expect_ok(a, first + i) != NULL, 1);
	expect_rows(a, "[[1000, 499500]]", "SELECT count(*), sum(x) FROM t");
}

Test(broker_sessions, no_more_requests_are_taken_than_max_inflight)
{
	uint32_t first, i;

	start("--max-inflight", "4");
	ask(a, "begin");
	wire_cork(b);
	first = wire_sql(b, "update", "INSERT INTO t (x) VALUES (0)");
	for (i = 1; i < 20; i++)
		wire_sql(b, "update", "INSERT INTO t (x) VALUES (%u)", i);
	wire_uncork(b);
	await_stat(a, "queues.writer", 4);
	wire_sync(wire_open(&broker));
	CHECK_EQ(stat_of(a, "queues.writer"), 4);
	ask(a, "commit");
	for (i = 0; i < 20; i++)
		expect_ok(b, first + i);
}

Test(broker_sessions, thousand_connections_are_served_at_once)
{
	enum { COUNT = 998 }; /* and a and b */
	static struct wire *wires[COUNT];
	static uint32_t ids[COUNT];
	struct rlimit limit;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	start(NULL, NULL);
	for (int i = 0; i < COUNT; i++)
		wires[i] = wire_open(&broker);
	for (int i = 0; i < COUNT; i++)
		ids[i] = wire_sql(wires[i], "update", "INSERT INTO t (x) VALUES (%d)", i);
	for (int i = 0; i < COUNT; i++)
		expect_ok(wires[i], ids[i]);
	CHECK_EQ(stat_of(a, "sessions.open"), 1000);
	for (int i = 0; i < COUNT; i++)
		ids[i] = wire_sql(wires[i], "query", "SELECT count(*) FROM t");
	for (int i = 0; i < COUNT; i++)
		CHECK_HAS(expect_ok(wires[i], ids[i]), "[[998]]");
	CHECK_EQ(stat_of(a, "sessions.refused"), 0);
}

/* A session that was used, in every way, and is idle now. */
static struct wire *use_and_leave_idle(void)
{
	struct wire *wire = wire_open(&broker);

	wire_bare(wire, "begin");
	wire_sql(wire, "query", "SELECT 1");
	ask(wire, "commit");
	return wire;
}

Test(broker_sessions, ten_thousand_idle_sessions_cost_two_kib_each)
{
	enum { WARM = 100, COUNT = 9898 }; /* and a and b */
	struct rlimit limit;
	unsigned before, grown;

	CHECK_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
	start("--max-clients", "10000");
	for (int i = 0; i < WARM; i++)
		use_and_leave_idle();
	before = poolited_resident_kib(&broker);
	for (int i = 0; i < COUNT; i++)
		use_and_leave_idle();
	grown = poolited_resident_kib(&broker) - before;
	CHECK_EQ(stat_of(a, "sessions.open"), 10000);
	CHECK(grown <= COUNT * (IDLE_SESSION_BYTES / 1024), "%u KiB for %d sessions",
	    grown, COUNT);
	expect_number(b, 0, "SELECT count(*) FROM t");
}

Test(broker_sessions, newcomer_without_a_place_is_told_overloaded)
{
	struct wire *newcomer;

	start("--max-clients", "2");
	newcomer = wire_open(&broker);
	expect_farewell(newcomer, POOLITE_OVERLOADED);
	wire_sync(a);
	wire_sync(b);
	wire_close(b);
	await_stat_is(a, "sessions.open", 1);
	wire_sync(wire_open(&broker));
	CHECK_EQ(stat_of(a, "sessions.refused"), 1);
}

enum { STORM = 1500 };

static void storm(unsigned index, void *context)
{
	(void)index;
	(void)context;
	for (int i = 0; i < STORM; i++) {
		struct wire *wire = wire_open(&broker);
		wire_send_bytes(wire, "\x94\x00\x01\xa4pi", (size_t)(i % 7));
		wire_close(wire);
	}
}

/* How many a second: T12 of tests/fault. */
Test(broker_sessions, storm_of_connections_leaves_nothing_behind)
{
	unsigned before, served = 0;
	pid_t pid;

	start(NULL, NULL);
	await_stat_is(a, "sessions.open", 2);
	before = poolited_descriptors(&broker);
	pid = client_start(storm, 0, NULL);
	await_stat(a, "sessions.accepted", 3);
	while (stat_of(a, "sessions.accepted") < STORM + 2) {
		expect_number(b, 0, "SELECT count(*) FROM t");
		served++;
	}
	client_wait(pid);
	CHECK(served > 1, "another client was not served meanwhile");
	CHECK_EQ(stat_of(a, "sessions.accepted"), STORM + 2);
	await_stat_is(a, "sessions.open", 2);
	CHECK(poolited_descriptors(&broker) < before + LATE_DESCRIPTORS, "%u are left",
	    poolited_descriptors(&broker) - before);
}

Test(broker_sessions, descriptors_that_are_sent_along_are_ignored)
{
	char control[CMSG_SPACE(sizeof(int))] = {0};
	struct iovec bytes = {(char[]){"\x94\x00\x09\xa4ping\x90"}, 9};
	struct msghdr message = {.msg_iov = &bytes,
	    .msg_iovlen = 1,
	    .msg_control = control,
	    .msg_controllen = sizeof control};
	struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
	unsigned before;

	start(NULL, NULL);
	wire_sync(b);
	before = poolited_descriptors(&broker);
	rights->cmsg_level = SOL_SOCKET;
	rights->cmsg_type = SCM_RIGHTS;
	rights->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(rights), &(int){STDIN_FILENO}, sizeof(int));
	for (int i = 0; i < 100; i++) {
		CHECK_EQ(sendmsg(wire_fd(b), &message, 0), 9);
		expect_ok(b, 9);
	}
	CHECK(poolited_descriptors(&broker) < before + LATE_DESCRIPTORS, "%u are left",
	    poolited_descriptors(&broker) - before);
}

/* ---- clients that are stuck ------------------------------------------------------ */

Test(broker_sessions, client_that_never_reads_is_closed_and_bounded)
{
	enum { COUNT = 2000 };
	struct pollfd pollfd;
	int64_t ran;

	start("--write-timeout", "0.5");
	wire_cork(b);
	for (int i = 0; i < COUNT; i++)
		wire_sql(b, "query", "SELECT zeroblob(262144)");
	wire_send_blindly(b);
	pollfd = (struct pollfd){.fd = wire_fd(b), .events = 0};
	CHECK(
	    poll(&pollfd, 1, PATIENCE_SECONDS * 1000) == 1 && (pollfd.revents & POLLHUP),
	    "it is not closed");
	CHECK_EQ(stat_of(a, "sessions.timed_out"), 1);
	ran = stat_of(a, "requests.query.count") - stat_of(a, "requests.query.errors");
	CHECK(ran < 100, "%lld queries were run for nothing", (long long)ran);
	CHECK(poolited_peak_mib(&broker) < 300, "%u MiB", poolited_peak_mib(&broker));
	await_stat_is(a, "sessions.open", 1);
}

Test(broker_sessions, half_a_message_does_not_keep_a_session_for_ever)
{
	start("--write-timeout", "0.3");
	wire_send_bytes(b, "\x94\x00\x01\xa4pi", 6);
	expect_end(b);
	wire_sync(a); /* idle between messages is no offence */
	CHECK_EQ(stat_of(a, "sessions.timed_out"), 1);
}

Test(broker_sessions, memory_for_all_sessions_has_an_end)
{
	enum { COUNT = 12 };
	static char params[400000];
	struct wire *wires[COUNT];
	uint32_t ids[COUNT];
	bool is_taken[COUNT];
	int served = 0;

	poolited_start(&broker, "--max-buffered-bytes", "2M", "--max-frame-bytes", "1M",
	    "--max-result-bytes", "1M");
	a = wire_open(&broker);
	update(a, "CREATE TABLE t (id INTEGER PRIMARY KEY, x)");
	strcpy(params, "[`INSERT INTO t (x) VALUES (?)`, [`");
	memset(params + strlen(params), 'x', 390000);
	strcat(params, "`]]");
	ask(a, "begin");
	for (int i = 0; i < COUNT;
	     i++) { /* taken: the pong comes first; else the reason */
		const struct reply *reply;
		wires[i] = wire_open(&broker);
		ids[i] = wire_send(wires[i], "update", "%s", params);
		wire_bare(wires[i], "ping");
		reply = wire_next(wires[i]);
		CHECK(reply, "neither pong nor a reason");
		is_taken[i] = reply->failure.code == POOLITE_OK;
		CHECK(is_taken[i] || reply->failure.code == POOLITE_OVERLOADED, "%s",
		    reply->failure.message);
	}
	ask(a, "commit");
	for (int i = 0; i < COUNT; i++) {
		if (is_taken[i])
			expect_ok(wires[i], ids[i]);
		served += is_taken[i];
	}
	CHECK(served > 0 && served < COUNT, "%d of %d fit into 2 MiB", served, COUNT);
	expect_number(a, served, "SELECT count(*) FROM t");
	call(wire_open(&broker), "update", "%s", params);
	await_stat_is(
	    a, "sessions.buffered_bytes", stat_of(a, "sessions.buffered_bytes"));
	CHECK(stat_of(a, "sessions.buffered_bytes") < 100000, "memory is not given back");
}
