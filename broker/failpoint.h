/* failpoint.h - named points at which a test can have the broker killed.
 *
 * In the product they are nothing.  Only the program that the fault tests build
 * for themselves defines POOLITE_FAILPOINTS; there POOLITE_FAILPOINT=NAME:COUNT
 * kills it when it comes by NAME for the COUNT-th time.
 */
#ifndef POOLITE_BROKER_FAILPOINT_H
#define POOLITE_BROKER_FAILPOINT_H

#ifdef POOLITE_FAILPOINTS
/** The broker comes by ${name}.  Any thread. */
void failpoint(const char *name);

/* The section tells the test which points there are. */
#define FAILPOINT(name)                                                                  \
	do {                                                                             \
		static const char *const point                                           \
		    __attribute__((section("failpoints"), used)) = name;                 \
		failpoint(point);                                                        \
	} while (0)
#else
#define FAILPOINT(name) ((void)0)
#endif

#endif
