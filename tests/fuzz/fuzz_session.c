/* fuzz_session.c - whole sessions with a broker in this process.
 *
 *   steps of session/program.h ...
 *
 * What must hold: each request is answered once, or its session ended with a reason;
 * nothing fails but for what a client did; a write that was answered is there, a refused
 * one is not.  And in the end nothing is left: no session, transaction, cursor, open
 * statement, temporary schema, buffered byte.
 */
#include "tests/fuzz/session/program.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Nothing happened for so long: a wait is over, and at the end time is put forward. */
#define QUIET_MS 3
/* The same while a statement runs: it is a long one. */
#define BUSY_MS 45
/* So much, so often in one sequence: then it hangs. */
#define ELAPSE_MS   800
#define ELAPSES_MAX 100

/* A number written down outside transactions, under a msgid that equals it. */
struct entry {
	uint32_t msgid;
	unsigned peer;
};

struct sequence {
	struct house *house;
	struct peer peers[PROGRAM_PEERS];
	bool is_open[PROGRAM_PEERS];
	bool is_inside[PROGRAM_PEERS]; /* between begin and commit, as it was sent */
	unsigned current;
	uint32_t msgid;
	bool is_corked;
	bool is_wild; /* anything may have been done to the ledger */
	struct entry entries[PROGRAM_STEPS_MAX];
	unsigned entries_count;
};

static struct peer *current(struct sequence *sequence)
{
	unsigned i = sequence->current;

	if (!sequence->is_open[i]) {
		peer_open(&sequence->peers[i], sequence->house);
		sequence->is_open[i] = true;
	}
	return &sequence->peers[i];
}

static bool read_all(struct sequence *sequence)
{
	bool got_some = false;

	for (unsigned i = 0; i < PROGRAM_PEERS; i++)
		if (sequence->is_open[i])
			got_some |= peer_read(&sequence->peers[i]);
	return got_some;
}

/* Turn until something came, or nothing happened for ${ms}: then false. */
static bool advance(struct sequence *sequence, int ms)
{
	house_turn(sequence->house);
	return read_all(sequence) || house_wait(sequence->house, ms);
}

static void wait_for_answers(struct sequence *sequence, struct peer *peer)
{
	size_t wanted = peer_expected(peer);

	while (
	    !peer->saw_end && peer_answers(peer) < wanted && advance(sequence, QUIET_MS))
		;
}

/* Send what gathered, in two pieces. */
static void send_gathered(struct sequence *sequence, struct peer *peer, size_t first)
{
	struct poolite__buf rest;

	if (first >= peer->out.len) {
		peer_flush(peer);
		return;
	}
	poolite__buf_init(&rest, SIZE_MAX / 4, NULL);
	poolite__buf_append(&rest, peer->out.data + first, peer->out.len - first);
	poolite__buf_truncate(&peer->out, first);
	peer_flush(peer);
	house_turn(sequence->house);
	poolite__buf_append(&peer->out, rest.data, rest.len);
	poolite__buf_release(&rest);
	peer_flush(peer);
}

static void note(struct sequence *sequence, const struct step *step)
{
	bool *is_inside = &sequence->is_inside[sequence->current];

	if (step->op == STEP_BEGIN || (step->op == STEP_BARE))
		*is_inside = true; /* a bare one may be a begin */
	else if (step->op == STEP_COMMIT || step->op == STEP_ROLLBACK)
		*is_inside = false;
	else if (step->op == STEP_SQL)
		sequence->is_wild = true;
	else if (step->op == STEP_LEDGER && !*is_inside)
		sequence->entries[sequence->entries_count++] =
		    (struct entry){sequence->msgid, sequence->current};
}

static void send_message(struct sequence *sequence, const struct step *step)
{
	struct peer *peer = current(sequence);
	unsigned other = (sequence->current + 1) % PROGRAM_PEERS;

	if (!sequence->is_open[other])
		other = sequence->current;
	sequence->msgid++;
	note(sequence, step);
	program_pack(step, peer, sequence->msgid, &sequence->peers[other], &peer->out);
	if (!sequence->is_corked)
		peer_flush(peer);
}

static void hang_up(struct sequence *sequence)
{
	unsigned i = sequence->current;

	peer_close(current(sequence));
	peer_release(&sequence->peers[i]);
	sequence->is_open[i] = sequence->is_inside[i] = false;
	for (unsigned entry = 0; entry < sequence->entries_count; entry++)
		if (sequence->entries[entry].peer == i)
			sequence->entries[entry].msgid = 0; /* nobody knows */
}

static void do_step(struct sequence *sequence, const struct step *step)
{
	struct peer *peer;

	switch (step->op) {
	case STEP_PEER: sequence->current = step->a % PROGRAM_PEERS; return;
	case STEP_CORK: sequence->is_corked = !sequence->is_corked; return;
	case STEP_TURN:
		peer = current(sequence);
		peer->is_deaf = step->a & 1;
		peer->was_deaf |= peer->is_deaf;
		advance(sequence, 0);
		return;
	case STEP_ELAPSE: house_elapse(sequence->house, 3 * step->a); return;
	case STEP_HANG_UP: hang_up(sequence); return;
	default: break;
	}
	peer = current(sequence);
	switch (step->op) {
	case STEP_RAW:
		sequence->is_wild = true;
		poolite__buf_append(&peer->out, step->bytes, step->len);
		if (!sequence->is_corked)
			peer_flush(peer);
		break;
	case STEP_CUT:
		sequence->is_wild = true;
		if (peer->out.len > step->a)
			poolite__buf_truncate(&peer->out, step->a);
		peer_flush(peer);
		break;
	case STEP_SEND: send_gathered(sequence, peer, step->a); break;
	case STEP_WAIT:
		peer->is_deaf = false;
		peer_flush(peer);
		wait_for_answers(sequence, peer);
		break;
	case STEP_HALF_CLOSE:
		peer_flush(peer);
		peer_half_close(peer);
		break;
	default: send_message(sequence, step);
	}
}

/* Everybody sends no more, and reads to the end. */
static void end_all(struct sequence *sequence)
{
	struct house *house = sequence->house;
	unsigned elapses = 0;

	for (unsigned i = 0; i < PROGRAM_PEERS; i++)
		if (sequence->is_open[i]) {
			peer_flush(&sequence->peers[i]);
			peer_half_close(&sequence->peers[i]);
			sequence->peers[i].is_deaf = false;
		}
	while (house->broker->sessions.handles > 0) {
		if (advance(sequence, QUIET_MS) ||
		    (house_is_busy(house) && advance(sequence, BUSY_MS)))
			continue;
		assert(elapses++ < ELAPSES_MAX);
		house_elapse(house, ELAPSE_MS);
	}
	read_all(sequence);
}

/* What was written down is there, what was refused is not. */
static void check_ledger(struct sequence *sequence)
{
	char *ledger;

	if (sequence->entries_count == 0 || sequence->is_wild)
		return;
	ledger = house_ask(
	    sequence->house, "query", "SELECT ',' || group_concat(k) || ',' FROM ledger");
	for (unsigned i = 0; ledger && i < sequence->entries_count; i++) {
		struct entry *entry = &sequence->entries[i];
		char number[16];
		int code;

		if (entry->msgid == 0)
			continue;
		code = peer_code(&sequence->peers[entry->peer], entry->msgid);
		snprintf(number, sizeof number, ",%u,", entry->msgid);
		if (code == POOLITE_OK)
			assert(strstr(ledger, number));
		else if (code < 0) /* and not 1, if its client has missed it */
			assert(!strstr(ledger, number));
	}
	free(ledger);
}

static void run(struct house *house, const uint8_t *data, size_t size)
{
	struct fuzz_bytes bytes = {data, size};
	struct sequence sequence = {.house = house};
	struct step step;

	for (unsigned steps = 0; steps < PROGRAM_STEPS_MAX; steps++) {
		if (!program_next(&bytes, &step))
			break;
		do_step(&sequence, &step);
	}
	end_all(&sequence);
	check_ledger(&sequence);
	for (unsigned i = 0; i < PROGRAM_PEERS; i++) {
		if (!sequence.is_open[i])
			continue;
		peer_check(&sequence.peers[i]);
		peer_release(&sequence.peers[i]);
	}
}

static struct house house; /* libFuzzer calls with nothing but bytes */

static void release(void)
{
	house_release(&house);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_ready;

	if (!is_ready) {
		house_init(&house);
		atexit(release);
		is_ready = true;
	}
	house_ready(&house);
	run(&house, data, size);
	house_check(&house);
	return 0;
}
