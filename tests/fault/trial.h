/* trial.h - T22's trials: what is called, when its broker ends, and what may come of it. */
#ifndef POOLITE_TESTS_TRIAL_H
#define POOLITE_TESTS_TRIAL_H

#include "tests/fault/calls.h"
#include "tests/fault/fault.h"
#include "tests/fault/proxy.h"

/* The steps of a call, at which its broker is killed. */
enum step {
	STEP_BEFORE_CONNECT,
	STEP_CONNECTED,
	STEP_REQUEST_PART,
	STEP_REQUEST_SENT,
	STEP_EXECUTING,
	STEP_COMMITTED,
	STEP_ANSWER_PART,
	STEP_ANSWER_SENT,
	STEPS
};

/* What comes after it. */
enum ending {
	ENDING_AWAY,   /* no broker */
	ENDING_BACK,   /* another broker, at once */
	ENDING_FROZEN, /* it was not killed: it says nothing any more */
	ENDINGS
};

struct trial {
	enum call_verb verb;
	enum step step;
	enum ending ending;
	bool is_warm;     /* the handle has an idle connection */
	unsigned message; /* of the call's, at which it happens */
	uint64_t dice;
};

#define TRIALS_ALL (CALL_VERBS * STEPS * ENDINGS)

/** The ${index}-th of all there are, again and again; the rest is chance.  False: it makes no sense. */
bool trial_make(struct trial *trial, uint64_t index, struct chance *chance);

/** Where the broker kills itself, at the steps that only it can see; NULL: nowhere. */
const char *trial_failpoint(const struct trial *trial);
/** Where the proxy stops, at the others. */
enum proxy_place trial_place(const struct trial *trial);

enum { MAY_OK = 1 << CALL_OK, MAY_NO = 1 << CALL_NO, MAY_UNKNOWN = 1 << CALL_UNKNOWN };

/** The outcomes that a write, or the read, of the call may have. */
unsigned trial_may(const struct trial *trial, bool is_read);
/** What is to be in the database whatever the outcome: 1, all rows of a write; 0, none; or -1. */
int trial_must(const struct trial *trial, unsigned outcome);

#endif
