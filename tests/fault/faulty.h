/* faulty.h - a broker with faults to order: poolited-faulty, its control, its ledger. */
#ifndef POOLITE_TESTS_FAULTY_H
#define POOLITE_TESTS_FAULTY_H

#include "tests/fault/control.h"
#include "tests/fault/ledger.h"
#include "tests/support/poolited.h"

struct faulty {
	struct poolited broker;
	struct control *control; /* owns; all zero: no fault */
	struct ledger *ledger;   /* borrowed */
};

/** Make the folder, the control and a database with the ledger's tables, on which nothing
 *  was done yet.  ${flags} end with NULL and are borrowed. */
void faulty_make(struct faulty *faulty, struct ledger *ledger, const char *const *flags);
/** Fork ${count} processes that play ${role}, and wait for as long as it takes; all must end well. */
void workers_run(unsigned count, client_role *role, void *context);

/** A fresh database, record and control for the next run, in the same folder. */
void faulty_renew(struct faulty *faulty);

/**
 * Start the broker, let the ledger's clients do their requests, and stop it, if it did not
 * end by itself.  Returns its exit status as process_wait.
 */
int faulty_run(struct faulty *faulty);
/** The same again on what the last run left, with the broker that injects nothing. */
int faulty_run_sound(struct faulty *faulty);

#endif
