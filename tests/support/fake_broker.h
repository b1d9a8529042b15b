/* fake_broker.h - a broker that misbehaves on demand.
 *
 * A role, a function of the test's, plays the broker on a thread of its own:
 * it accepts, reads requests, and answers them or does something worse.  No
 * SQLite is behind it.
 */
#ifndef POOLITE_TESTS_FAKE_BROKER_H
#define POOLITE_TESTS_FAKE_BROKER_H

#include <pthread.h>
#include <stdatomic.h>

#include "proto/request.h"

struct fake_broker {
	char path[100]; /* of its socket */
	char directory[80];
	int listen_fd;
	pthread_t thread;
	void (*role)(struct fake_broker *broker);
	void *context;           /* the test's */
	atomic_int connections;  /* accepted so far */
	atomic_int requests;     /* read so far */
	atomic_int rows;         /* rows of batches read so far */
	atomic_size_t largest;   /* bytes of the longest request read so far */
	atomic_int cancels;      /* cancel notifications read so far */
	int64_t max_frame_bytes; /* what it answers to hello; 0: the defaults */
	int64_t max_values;
};

/** One message of the client's. */
struct fake_request {
	struct poolite__request request; /* its params are read, if they can be */
	uint8_t *bytes;                  /* owns what request points into */
	size_t len;
};

/** Make a folder for the socket and fill in the path; nobody listens yet. */
void fake_broker_init(struct fake_broker *broker);
/** Listen, and play ${role} on a thread. */
void fake_broker_start(struct fake_broker *broker, void (*role)(struct fake_broker *));
/** Stop listening, remove the socket and wait for the role to return. */
void fake_broker_stop(struct fake_broker *broker);
/** For .fini: stop it if it runs, and remove the folder. */
void fake_broker_end(struct fake_broker *broker);

/* ---- for roles ----------------------------------------------------------- */

/** The next connection, or -1 once the broker is stopped. */
int fake_accept(struct fake_broker *broker);
/** Read one whole message; false when the client has closed. */
bool fake_read(struct fake_broker *broker, int fd, struct fake_request *request);
void fake_request_release(struct fake_request *request);
/** Send all of it. */
void fake_send(int fd, const void *bytes, size_t len);
/** Pack the answer that suits the method: one row [1], or one change, or nil ... */
void fake_pack_answer(struct poolite__buf *buf, struct fake_broker *broker,
    const struct fake_request *request);
/** Send the same. */
void fake_answer(struct fake_broker *broker, int fd, const struct fake_request *request);
/** Answer with an error. */
void fake_refuse(int fd, uint32_t msgid, enum poolite_code code, const char *message);
/** Send the closing notification. */
void fake_good_bye(int fd, enum poolite_code code, const char *message);
/** Role: accept for ever, and answer every request of every connection. */
void fake_serve(struct fake_broker *broker);

#endif
