#include "tests/fault/rude.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/support/check.h"

#define FRAME_PIECE ((size_t)256 << 10)

/* What a step may return in place of the seconds to the next one. */
#define OVER   0.
#define CLOSED (-1.) /* by the broker */

/* One client: it does its one thing at its times, and begins anew when that is over. */
struct lout {
	int fd;         /* -1: not connected */
	unsigned steps; /* done since it connected */
	double due;
};

static int connect_rudely(struct rude *rude)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof address.sun_path, "%s", rude->socket);
	if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address)) {
		rude->not_served++;
		close(fd);
		return -1;
	}
	return fd;
}

/* Whatever comes back is not looked at; what is not taken is not sent.  False when
 * the broker has closed it. */
static bool send_rudely(const struct lout *lout, const void *bytes, size_t len)
{
	return send(lout->fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0 ||
	    errno == EAGAIN;
}

static bool send_query(const struct lout *lout, const char *sql, unsigned times)
{
	uint8_t bytes[300];
	size_t len = strlen(sql);

	memcpy(bytes, "\x94\x00\x01\xa5query\x91\xda", 11);
	bytes[11] = (uint8_t)(len >> 8);
	bytes[12] = (uint8_t)len;
	memcpy(bytes + 13, sql, len);
	for (unsigned i = 0; i < times; i++)
		if (!send_rudely(lout, bytes, 13 + len))
			return false;
	return true;
}

/* ---- what they do: a step each ---------------------------------------------------- */

/* Asks and asks, and never reads, until it is closed. */
static double never_read(struct lout *lout)
{
	return send_query(lout, "SELECT hex(randomblob(20000))", 50) ? 0.02 : CLOSED;
}

/* The same, and gone at once. */
static double ask_and_go(struct lout *lout)
{
	return lout->steps == 1 ? never_read(lout) : OVER;
}

/* Part of a message, and then nothing, until it is closed. */
static double send_half(struct lout *lout)
{
	if (lout->steps == 1)
		send_rudely(lout, "\x94\x00\x01\xa5que", 7);
	return recv(lout->fd, &(char){0}, 1, MSG_DONTWAIT) < 0 ? 0.1 : CLOSED;
}

/* A byte at a time. */
static double send_slowly(struct lout *lout)
{
	static const char ping[] = "\x94\x00\x02\xa4ping\x90";

	return send_rudely(lout, ping + (lout->steps - 1) % (sizeof ping - 1), 1)
	    ? 0.01
	    : CLOSED;
}

static double send_rubbish(struct lout *lout)
{
	if (lout->steps > 1)
		return OVER;
	send_rudely(lout, "\xdd\xff\xff\xff\xff\xc1\xc1\xc1", 8);
	return 0.002;
}

/* Nearly all of a large message, of as many values as it can hold. */
static double send_much(struct lout *lout)
{
	static const uint8_t nils[FRAME_PIECE] = {[0 ... FRAME_PIECE - 1] = 0xc0};

	if (lout->steps == 1)
		send_rudely(
		    lout, "\x94\x00\x01\xa5query\x92\xa1x\xdd\x00\x3d\x00\x00", 16);
	if (lout->steps > 20)
		return OVER;
	return send_rudely(lout, nils, sizeof nils) ? 0.005 : CLOSED;
}

/* Never ends by itself. */
static double bomb(struct lout *lout)
{
	if (lout->steps > 1)
		return OVER;
	send_query(lout,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	    "SELECT count(*) FROM n",
	    1);
	return 0.3;
}

/* One value, and many rows, that are more than an answer may hold. */
static double ask_for_too_much(struct lout *lout)
{
	if (lout->steps > 1)
		return OVER;
	send_query(lout, "SELECT zeroblob(1000000000)", 1);
	send_query(lout,
	    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
	    "SELECT i, hex(zeroblob(500)) FROM n",
	    1);
	return 0.1;
}

/* Connects, and nothing else. */
static double storm(struct lout *lout)
{
	return lout->steps == 1 ? 0.0025 : OVER;
}

static double (*const acts[])(struct lout *lout) = {never_read, send_half, send_slowly,
    send_rubbish, storm, bomb, ask_for_too_much, send_much, ask_and_go, never_read};

static void act(struct rude *rude, unsigned index, struct lout *lout, double now)
{
	double pause = OVER;

	if (lout->fd < 0) {
		lout->fd = connect_rudely(rude);
		lout->steps = 0;
	}
	if (lout->fd >= 0) {
		lout->steps++;
		pause = acts[index % (sizeof acts / sizeof *acts)](lout);
		rude->acts++;
	}
	if (lout->fd >= 0 && pause <= 0) {
		rude->closed += pause < 0;
		close(lout->fd);
		lout->fd = -1;
	}
	lout->due = now + (pause > 0 ? pause : 0.001);
}

void rude_run(unsigned index, void *context)
{
	struct rude *rude = context;
	struct lout louts[RUDE_CLIENTS];

	(void)index;
	CHECK(setresgid(rude->uid, rude->uid, rude->uid) == 0 &&
		setresuid(rude->uid, rude->uid, rude->uid) == 0,
	    "setresuid: %s", strerror(errno));
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* another user's processes lose it */
	for (unsigned i = 0; i < RUDE_CLIENTS; i++)
		louts[i] = (struct lout){.fd = -1};
	while (!rude->must_stop) {
		double now = check_seconds();
		for (unsigned i = 0; i < RUDE_CLIENTS; i++)
			if (now >= louts[i].due)
				act(rude, i, &louts[i], now);
		usleep(500);
	}
}
