/* peer.h - a client's end of one session: what was sent, what must come back. */
#ifndef POOLITE_TESTS_FUZZ_PEER_H
#define POOLITE_TESTS_FUZZ_PEER_H

#include "tests/fuzz/session/house.h"
#include "proto/buffer.h"
#include "proto/frame.h"

#define PEER_CURSORS 4

struct peer {
	struct house *house; /* borrowed */
	int fd;              /* owns; -1: not connected */
	bool is_half_closed; /* sends no more */
	bool saw_end;        /* everything has come that will */
	bool was_closed;     /* here, before everything came */
	bool is_deaf;        /* does not read for now */
	bool was_deaf;       /* the broker may have lost patience */
	int farewell;        /* the code of the broker's last notification; 0: none */
	struct poolite__buf sent; /* owns: all bytes, that is */
	struct poolite__buf out;  /* owns: not sent yet */
	struct poolite__buf in;   /* owns: a message that is not whole yet */
	struct poolite__scan scan;
	struct poolite__buf answers; /* owns: struct peer_answer, in order of arrival */
	uint64_t cursors[PEER_CURSORS]; /* told by results; 0: none */
	unsigned cursors_count;
	uint64_t session; /* told by hello; 0: not yet */
	char key[POOLITE__KEY_CHARS + 1];
};

struct peer_answer {
	uint32_t msgid;
	int code;
};

void peer_open(struct peer *peer, struct house *house);
/** Free everything; closed without a word if it still is open. */
void peer_release(struct peer *peer);

/** Send what is in peer->out, as far as there is somebody to take it. */
void peer_flush(struct peer *peer);
void peer_half_close(struct peer *peer);
/** Close at once; answers on their way are lost. */
void peer_close(struct peer *peer);
/** Read what has come.  False: nothing has. */
bool peer_read(struct peer *peer);
size_t peer_answers(const struct peer *peer);
/** The code of the answer to ${msgid}, or 1 when none came. */
int peer_code(const struct peer *peer, uint32_t msgid);

/** At the end of the stream: each request has one answer, or the broker said why not. */
void peer_check(const struct peer *peer);
/** Answers that are to come for what was sent until now. */
size_t peer_expected(const struct peer *peer);

#endif
