/* What the broker does when the machine has no memory for it: never silence, never a crash.
 *
 * These brokers are poolited-faulty, whose malloc refuses to order.
 */
#ifndef __SANITIZE_ADDRESS__ /* which brings a malloc of its own */

#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/check.h"
#include "tests/support/faults.h"
#include "tests/support/wire.h"

/* Allocations from the arming on, among which the refusals begin. */
#define OFFSETS 12

static struct poolited broker;
static struct control *control;

static void set_up(void)
{
	control = faults_make(&broker, (const char *const[]){NULL});
}

static void tear_down(void)
{
	poolited_end(&broker);
}

TestSuite(broker_memory, .init = set_up, .fini = tear_down, .timeout = 60);

static void refuse_from(uint64_t offset)
{
	control->refuse_for_ever = true;
	control->refuse_at = control->allocations + offset;
}

static void refuse_once(uint64_t offset)
{
	control->refuse_for_ever = false;
	control->refuse_at = control->allocations + offset;
}

static void refuse_nothing(void)
{
	control->refuse_at = 0;
}

/* Where it cannot go on without memory it ends, and says so; never by a signal. */
static void run_again_if_ended(void)
{
	siginfo_t ended = {0};

	CHECK_EQ(waitid(P_PID, (id_t)broker.pid, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
	if (ended.si_pid == 0)
		return;
	CHECK_EQ(poolited_wait(&broker), EXIT_FAILURE);
	poolited_run(&broker);
}

/* Answered or ended, but not left waiting. */
static void expect_answer_or_end(struct wire *wire, uint32_t msgid)
{
	const struct reply *reply;

	do
		reply = wire_next(wire);
	while (reply && !reply->is_notification && reply->msgid != msgid);
}

Test(broker_memory, request_for_whose_answer_there_is_none_ends_its_session)
{
	struct wire *other;

	poolited_run(&broker);
	other = wire_open(&broker);
	update(other, "CREATE TABLE t (x)");
	for (uint64_t offset = 1; offset <= OFFSETS; offset++) {
		struct wire *wire = wire_open(&broker);
		update(wire, "INSERT INTO t VALUES (1)");
		refuse_from(offset);
		expect_answer_or_end(
		    wire, wire_sql(wire, "update", "INSERT INTO t VALUES (2)"));
		refuse_nothing();
		wire_close(wire);
	}
	update(other, "INSERT INTO t VALUES (3)");
	CHECK(control->injected >= OFFSETS / 2, "hardly anything was refused");
}

Test(broker_memory, begin_for_whose_answer_there_is_none_ends_its_session)
{
	poolited_run(&broker);
	for (uint64_t offset = 1; offset <= OFFSETS; offset++) {
		struct wire *wire = wire_open(&broker);
		ask(wire, "begin"); /* compiles what the end of one needs */
		ask(wire, "rollback");
		refuse_from(offset);
		expect_answer_or_end(wire, wire_bare(wire, "begin"));
		wire_close(wire);
		process_pause(0.05); /* for the rollback, or the end */
		refuse_nothing();
		run_again_if_ended();
	}
	/* The writer is free again. */
	update(wire_open(&broker), "CREATE TABLE t (x)");
	CHECK(control->injected >= OFFSETS / 2, "hardly anything was refused");
}

/* A broker's first COMMIT is compiled anew, and that needs memory. */
static enum poolite_code commit_first_without(struct wire *wire, uint64_t offset)
{
	const struct reply *reply;
	uint32_t msgid;

	number(wire, "SELECT count(*) FROM t"); /* the reader has come up */
	ask(wire, "begin");
	update(wire, "INSERT INTO t VALUES (%d)", (int)offset);
	refuse_once(offset);
	msgid = wire_bare(wire, "commit");
	while ((reply = wire_next(wire)) &&
	    (reply->is_notification || reply->msgid != msgid))
		;
	refuse_nothing();
	if (!reply)
		return POOLITE_NO_BROKER;
	CHECK(!reply->failure.is_unknown, "unknown, though it never began");
	return reply->failure.code;
}

Test(broker_memory, commit_that_cannot_begin_without_it_is_a_rollback)
{
	unsigned refused = 0;

	for (uint64_t offset = 1; offset <= OFFSETS; offset++) {
		enum poolite_code code;
		struct wire *wire;
		poolited_run(&broker);
		if (offset == 1) {
			update(wire_open(&broker), "CREATE TABLE t (x)");
			CHECK_EQ(poolited_stop(&broker), 0);
			poolited_run(&broker);
		}
		code = commit_first_without(wire_open(&broker), offset);
		refused += code == POOLITE_OVERLOADED;
		wire = wire_open(&broker);
		if (code != POOLITE_NO_BROKER) /* else there was none for the answer */
			expect_number(wire, code == POOLITE_OK,
			    "SELECT count(*) FROM t WHERE x = %d", (int)offset);
		update(wire, "INSERT INTO t VALUES (-1)"); /* the writer is free again */
		wire_free_all();
		CHECK_EQ(poolited_stop(&broker), 0);
	}
	CHECK(refused >= 2, "only %u commits were refused for it", refused);
}

Test(broker_memory, client_for_whom_there_is_none_is_turned_away)
{
	poolited_run(&broker);
	/* A user's first session, each time: there is an entry to be made for the user. */
	for (uint64_t offset = 1; offset <= OFFSETS; offset++) {
		struct wire *wire;
		refuse_from(offset);
		wire = wire_open(&broker);
		expect_answer_or_end(wire, wire_bare(wire, "ping"));
		wire_close(wire);
		refuse_nothing();
		process_pause(0.02); /* the broker sees it go */
	}
	CHECK_TEXT(ask(wire_open(&broker), "ping"), "`pong`");
	CHECK(control->injected >= OFFSETS / 2, "hardly anything was refused");
}

Test(broker_memory, start_without_it_says_so)
{
	unsigned refused = 0;

	for (uint64_t n = 1; n < 1000; n += 11) {
		int status;
		control->allocations = 0;
		control->refuse_for_ever = true;
		control->refuse_at = n;
		if (poolited_try_run(&broker))
			break;
		status = poolited_wait(&broker);
		refuse_nothing();
		refused++;
		/* libuv knows no other way than abort() in a few places. */
		CHECK(status == EXIT_FAILURE ||
			strstr(broker.log, "aborted by libuv") != NULL,
		    "without allocation %d: status %d\n%s", (int)n, status, broker.log);
	}
	refuse_nothing();
	if (broker.pid)
		poolited_kill(&broker);
	CHECK(refused >= 20, "only %u starts failed", refused);
}

#endif
