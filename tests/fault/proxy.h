/* proxy.h - stands between a client and its broker, and sees where in a call they are. */
#ifndef POOLITE_TESTS_PROXY_H
#define POOLITE_TESTS_PROXY_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/buffer.h"

#define PROXY_PAIRS 8

/* A place in the stream between the two. */
enum proxy_place {
	PROXY_NOWHERE,
	PROXY_CONNECTED,     /* a connection is there, and no byte of it was read */
	PROXY_REQUEST_PART,  /* the broker has a part of the request */
	PROXY_REQUEST_WHOLE, /* all of it is on its way to the broker */
	PROXY_REQUEST_TAKEN, /* the broker has read all of it */
	PROXY_ANSWER_PART,   /* the client gets a part of the answer */
	PROXY_ANSWER_WHOLE,  /* all of it */
};

struct proxy_cut {
	enum proxy_place place;
	unsigned message; /* which request, or answer, from 0 on */
	uint64_t dice;    /* where in it */
};

/* One client's connection. */
struct proxy_pair {
	int client, broker;                  /* -1: none */
	struct poolite__buf request, answer; /* not passed on yet */
};

struct proxy {
	char path[108];          /* of its socket */
	const char *broker_path; /* borrowed */
	int listen_fd;
	struct proxy_pair pairs[PROXY_PAIRS];
	struct proxy_cut cut;
	unsigned requests, answers; /* passed on since proxy_arm */
};

enum proxy_event {
	PROXY_CUT,         /* the place is reached: nothing beyond it was passed on */
	PROXY_BROKER_GONE, /* it closed a connection */
	PROXY_OTHER,       /* ${other_fd} is readable */
	PROXY_TIMEOUT,
};

void proxy_init(struct proxy *proxy, const char *path, const char *broker_path);
/** Accept clients from now on. */
void proxy_listen(struct proxy *proxy);
/** Close all connections and refuse others, as a broker that dies; ${unlinks}: the path goes, too. */
void proxy_shut(struct proxy *proxy, bool unlinks);
/** Count messages from now on, and stop at this place. */
void proxy_arm(struct proxy *proxy, const struct proxy_cut *cut);
/** Pass bytes on until something happens; ${until} is of check_seconds(). */
enum proxy_event proxy_run(struct proxy *proxy, int other_fd, double until);

#endif
