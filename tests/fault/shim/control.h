/* The broker's side of control.h: find the memory that the test shares. */
#ifndef POOLITE_TESTS_SHIM_CONTROL_H
#define POOLITE_TESTS_SHIM_CONTROL_H

#include "tests/fault/control.h"

/** The test's orders; NULL: none were given. */
struct control *shim_control(void);

#endif
