/* hello.h - hello: [] -> {server, version, protocol, sqlite, features, limits, session, key}.
 *
 * Nobody has to send it; it tells what this broker can do and holds clients to.
 */
#ifndef POOLITE_PROTO_HELLO_H
#define POOLITE_PROTO_HELLO_H

#include "proto/request.h"

#define POOLITE__PROTOCOL_VERSION 1

struct poolite__hello {
	char version[32]; /* the broker's, "0.1.0" */
	int64_t protocol; /* POOLITE__PROTOCOL_VERSION */
	char sqlite[32];  /* SQLite's version at run time */
	/* limits */
	int64_t max_frame_bytes;
	int64_t max_values;
	int64_t max_result_bytes;
	int64_t max_inflight;
	/* this session, for cancel from another one of the same user */
	uint64_t session;
	char key[POOLITE__KEY_CHARS + 1];
};

/** Broker: the whole result; the features of this version are added here. */
void poolite__pack_hello_result(
    struct poolite__buf *buf, const struct poolite__hello *hello);
/** Client: read it; what is not told stays 0 or "". */
int poolite__read_hello_result(
    struct poolite__reader *reader, struct poolite__hello *hello);

#endif
