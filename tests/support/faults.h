/* faults.h - a poolited-faulty that a test gives its orders to. */
#ifndef POOLITE_TESTS_FAULTS_H
#define POOLITE_TESTS_FAULTS_H

#include "tests/fault/control.h"
#include "tests/support/poolited.h"

/**
 * As poolited_make, for the broker with faults to order; ${flags} are borrowed.  Returns its
 * control, all zero: no fault; it lives as long as the process.
 */
struct control *faults_make(struct poolited *broker, const char *const *flags);

#endif
