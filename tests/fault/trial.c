#include "tests/fault/trial.h"

#include <stddef.h>

static const enum proxy_place places[STEPS] = {
    [STEP_CONNECTED] = PROXY_CONNECTED,
    [STEP_REQUEST_PART] = PROXY_REQUEST_PART,
    [STEP_REQUEST_SENT] = PROXY_REQUEST_WHOLE,
    [STEP_EXECUTING] = PROXY_REQUEST_TAKEN,
    [STEP_COMMITTED] = PROXY_ANSWER_PART, /* of what commits nothing */
    [STEP_ANSWER_PART] = PROXY_ANSWER_PART,
    [STEP_ANSWER_SENT] = PROXY_ANSWER_WHOLE,
};

const char *trial_failpoint(const struct trial *trial)
{
	bool commits = call_kinds[trial->verb].writes > 0;

	if (trial->ending == ENDING_FROZEN || !commits)
		return NULL;
	if (trial->step == STEP_EXECUTING)
		return trial->verb == CALL_ROLLBACK ? "transaction_after_statement"
						    : "commit_before";
	if (trial->step == STEP_COMMITTED)
		return trial->verb == CALL_ROLLBACK ? "transaction_before_rollback"
						    : "commit_after";
	return NULL;
}

enum proxy_place trial_place(const struct trial *trial)
{
	return places[trial->step];
}

bool trial_make(struct trial *trial, uint64_t index, struct chance *chance)
{
	const struct call_kind *kind;

	trial->verb = (enum call_verb)(index % CALL_VERBS);
	trial->step = (enum step)(index / CALL_VERBS % STEPS);
	trial->ending = (enum ending)(index / CALL_VERBS / STEPS % ENDINGS);
	trial->is_warm = trial->step != STEP_BEFORE_CONNECT && chance_below(chance, 2);
	trial->dice = chance_below(chance, UINT32_MAX);
	kind = &call_kinds[trial->verb];
	trial->message = (unsigned)chance_below(chance, kind->messages);
	if (trial->step <= STEP_CONNECTED)
		trial->message = 0;
	else if (trial_failpoint(trial))
		trial->message = kind->messages - 1;
	/* Frozen it is where the stream can stand still, and has not passed on all of it. */
	return trial->ending != ENDING_FROZEN || trial->step == STEP_REQUEST_PART ||
	    trial->step == STEP_REQUEST_SENT || trial->step == STEP_ANSWER_PART;
}

/* ---- what may come out ------------------------------------------------------------------ */

/* Of a single request that is sent again when its answer is lost. */
static unsigned may_be_sent_again(const struct trial *trial)
{
	if (trial->step == STEP_ANSWER_SENT || trial->ending == ENDING_BACK)
		return MAY_OK;
	return MAY_NO;
}

/* Of a single request that is not. */
static unsigned may_be_sent_once(const struct trial *trial, bool is_large)
{
	unsigned not_sent = trial->ending == ENDING_BACK ? MAY_OK : MAY_NO;

	switch (trial->step) {
	case STEP_BEFORE_CONNECT: return not_sent;
	case STEP_CONNECTED: return trial->is_warm ? not_sent : not_sent | MAY_UNKNOWN;
	case STEP_REQUEST_PART: return is_large ? not_sent : MAY_UNKNOWN;
	case STEP_ANSWER_SENT: return MAY_OK;
	default: return MAY_UNKNOWN;
	}
}

static unsigned may_commit(const struct trial *trial)
{
	unsigned last = call_kinds[trial->verb].messages - 1;

	if (trial->message == last)
		return may_be_sent_once(trial, false);
	/* The commit may be on its way before the client hears of the end. */
	if (trial->message == last - 1 && trial->step == STEP_ANSWER_SENT)
		return MAY_NO | MAY_UNKNOWN;
	if (trial->message == 0 && trial->step != STEP_ANSWER_SENT)
		return may_be_sent_again(trial);
	return MAY_NO;
}

/* Page after page; only the first one is asked for again. */
static unsigned may_read_pages(const struct trial *trial)
{
	unsigned last = call_kinds[trial->verb].messages - 1;
	bool is_ok = trial->step == STEP_ANSWER_SENT
	    ? trial->message == last
	    : trial->message == 0 && trial->ending == ENDING_BACK;

	return is_ok ? MAY_OK : MAY_NO;
}

/* Its first message is hello; the others go out together. */
static unsigned may_pipeline(const struct trial *trial, bool is_read)
{
	if (trial->message == 0 && trial->step != STEP_ANSWER_SENT)
		return may_be_sent_again(trial);
	return MAY_OK | MAY_NO | (is_read ? 0 : MAY_UNKNOWN);
}

unsigned trial_may(const struct trial *trial, bool is_read)
{
	switch (trial->verb) {
	case CALL_QUERY: return may_be_sent_again(trial);
	case CALL_CURSOR: return may_read_pages(trial);
	case CALL_ROLLBACK: return MAY_NO;
	case CALL_COMMIT: return may_commit(trial);
	case CALL_PIPELINE: return may_pipeline(trial, is_read);
	default: return may_be_sent_once(trial, trial->verb == CALL_LARGE);
	}
}

int trial_must(const struct trial *trial, unsigned outcome)
{
	bool commits = call_kinds[trial->verb].writes == 1 &&
	    trial->verb != CALL_ROLLBACK &&
	    trial->message == call_kinds[trial->verb].messages - 1;

	if (!commits || outcome == CALL_OK || trial->ending == ENDING_FROZEN)
		return -1;
	if (trial->step <= STEP_REQUEST_PART || trial->step == STEP_EXECUTING)
		return 0;
	return trial->step >= STEP_COMMITTED ? 1 : -1;
}
