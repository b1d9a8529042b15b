/* session.h - one connection to the broker: connect, send, receive.
 *
 * Every wait ends at a deadline on the monotonic clock.  Nothing raises
 * SIGPIPE; descriptors are non-blocking and close-on-exec.
 */
#ifndef POOLITE_CLIENT_SESSION_H
#define POOLITE_CLIENT_SESSION_H

#include <pthread.h>
#include <sys/uio.h>

#include "proto/answer.h"
#include "proto/frame.h"

/** Now, in ms on the monotonic clock. */
int64_t poolite__now_ms(void);
/** ${ms} from now; -1: never (INT64_MAX). */
int64_t poolite__deadline(int ms);

struct poolite__session {
	/* The handle's, under its lock. */
	struct poolite__session *next;
	struct poolite__session **link; /* what points here; NULL: on no list */
	unsigned pins;                  /* poolite_cancel is looking at it */
	bool is_retired;                /* goes when the last pin does */

	/* The borrower's. */
	int fd;         /* owns; -1: none */
	bool is_reused; /* has carried a request before: may be stale */
	struct poolite__buf
	    in; /* what has arrived; the first ${taken} bytes are done with */
	size_t taken;
	struct poolite__scan scan; /* of the message behind them */

	/* Who sends: the borrower its request, then poolite_cancel. */
	pthread_mutex_t lock;
	uint32_t msgid;
	bool is_under_way; /* msgid is sent, or being sent, and not answered */
	bool is_sending;   /* its bytes are going out: a cancel has to wait */
	bool wants_cancel; /* ... and asks the borrower to send it */
};

/**
 * The rest of a request, packed while what came before is on its way: a long one is
 * neither held as a whole nor finished before its first byte is sent.
 */
struct poolite__rest {
	/**
	 * Append the next piece to ${buf}, which is empty; append nothing at the end.
	 * ${is_first}: begin anew, as for another attempt.  0, or the buffer's failure.
	 */
	int (*next)(void *context, bool is_first, struct poolite__buf *buf);
	void *context; /* borrowed */
};

/** How a send or a receive ended. */
enum poolite__io {
	POOLITE__IO_OK,
	POOLITE__IO_END, /* the broker closed, or is gone */
	POOLITE__IO_TIMEOUT,
	POOLITE__IO_NONSENSE,  /* what came is no MessagePack */
	POOLITE__IO_TOO_LARGE, /* a message above the limit */
	POOLITE__IO_NO_MEMORY,
	POOLITE__IO_AGAIN, /* not without waiting; never from what waits */
};

/** A session without a socket, or NULL: no memory. */
struct poolite__session *poolite__session_create(void);
/** Close its socket and free it.  NULL: nothing. */
void poolite__session_free(struct poolite__session *session);

/**
 * Connect session->fd, an unconnected socket, to ${path}; tried again while
 * there is no broker, until ${deadline}.  0, or NO_BROKER with the reason.
 */
int poolite__session_connect(struct poolite__session *session, const char *path,
    int64_t deadline, struct poolite__failure *failure);

/** Whether an idle session is still good: nothing has come, not even its end. */
bool poolite__session_is_alive(const struct poolite__session *session);

/**
 * Send a whole request, ${rest} (NULL: none) behind ${request}.  Anything but OK: the
 * broker cannot have got all of it, so it was not carried out, and the session is of no
 * more use.
 */
enum poolite__io poolite__session_send(struct poolite__session *session, uint32_t msgid,
    const struct poolite__buf *request, const struct poolite__rest *rest,
    int64_t deadline);

/** Write what the socket takes of ${parts}; OK: ${sent} bytes.  AGAIN, END or NO_MEMORY. */
enum poolite__io poolite__session_write(
    struct poolite__session *session, struct iovec *parts, int count, size_t *sent);

/** Wait for ${events} of poll.  OK also when the socket failed: the next call tells. */
enum poolite__io poolite__session_wait(
    const struct poolite__session *session, short events, int64_t deadline);

/** Read what is there, at most one piece.  OK: there was something. */
enum poolite__io poolite__session_read(struct poolite__session *session);

/** Whether a whole message has arrived, and its length.  OK, AGAIN, NONSENSE or TOO_LARGE. */
enum poolite__io poolite__session_message(
    struct poolite__session *session, const struct poolite__limits *limits, size_t *len);
/** Where it begins. */
const uint8_t *poolite__session_head(const struct poolite__session *session);
/** Be done with it. */
void poolite__session_skip(struct poolite__session *session, size_t len);
/** The same, and its bytes go to ${bytes}, which owns nothing before.  0 or OVERLOADED. */
int poolite__session_take(
    struct poolite__session *session, size_t len, struct poolite__buf *bytes);
/** Whether anything has arrived that is not done with. */
bool poolite__session_has_rest(const struct poolite__session *session);

/**
 * Wait until a whole message has arrived, and tell its length.  Anything but
 * OK: the session is of no more use.
 */
enum poolite__io poolite__session_receive(struct poolite__session *session,
    const struct poolite__limits *limits, int64_t deadline, size_t *len);

/** The request was answered: cancel it no more. */
void poolite__session_finish(struct poolite__session *session);

/** Send the notification cancel for what is under way, if anything is. */
void poolite__session_cancel(struct poolite__session *session);

#endif
