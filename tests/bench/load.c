#include "tests/bench/load.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/bench/database.h"

#define DEPTH_MAX 64
#define INPUT     32768 /* bytes that one client's answers may take at once */
#define EVENTS    256
#define WAIT_MS   60000

/* A request that is out. */
struct slot {
	uint32_t row;
	int64_t sent_ns;
};

struct connection {
	int fd;
	unsigned oldest; /* the slot whose answer comes next, where they come in order */
	struct slot slots[DEPTH_MAX];
	uint8_t input[INPUT];
	size_t input_len;
};

struct load {
	const struct wire *wire;
	unsigned clients;
	unsigned depth;
	int epoll; /* -1: one client, which just blocks */
	uint32_t random;
	struct connection *connections;

	/* Of the run under way. */
	int64_t deadline_ns;
	uint64_t to_send;
	uint64_t out; /* requests without an answer */
	struct tally *tally;
};

struct load *load_open(const struct wire *wire, unsigned clients, unsigned depth)
{
	struct load *load = calloc(1, sizeof(*load));
	char message[256];

	assert(clients > 0 && depth > 0 && depth <= DEPTH_MAX);
	if (load == NULL ||
	    (load->connections = calloc(clients, sizeof(*load->connections))) == NULL)
		die("load", "no memory");
	load->wire = wire;
	load->clients = clients;
	load->depth = depth;
	load->random = 2463534242u;
	load->epoll = clients > 1 ? epoll_create1(EPOLL_CLOEXEC) : -1;
	for (unsigned i = 0; i < clients; i++) {
		struct connection *connection = &load->connections[i];
		struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};

		connection->fd = socket_open(wire->path, message);
		if (connection->fd < 0 ||
		    (wire->greet != NULL && !wire->greet(connection->fd, message)))
			die("load", message);
		if (clients > 1 &&
		    epoll_ctl(load->epoll, EPOLL_CTL_ADD, connection->fd, &event) != 0)
			die("epoll", strerror(errno));
	}
	return load;
}

void load_close(struct load *load)
{
	if (load == NULL)
		return;
	for (unsigned i = 0; i < load->clients; i++)
		close(load->connections[i].fd);
	if (load->epoll >= 0)
		close(load->epoll);
	free(load->connections);
	free(load);
}

static uint32_t random_row(struct load *load)
{
	load->random ^= load->random << 13;
	load->random ^= load->random >> 17;
	load->random ^= load->random << 5;
	return load->random % ROWS + 1;
}

/* Send one request for each of the ${count} slots, all in one write. */
static void send_slots(struct load *load, struct connection *connection,
    const uint32_t *slots, unsigned count)
{
	uint8_t output[DEPTH_MAX * WIRE_ASK_MAX];
	size_t len = 0;

	if (count > load->to_send)
		count = (unsigned)load->to_send;
	int64_t now = now_ns();
	if (count == 0 || now >= load->deadline_ns)
		return;
	for (unsigned i = 0; i < count; i++) {
		struct slot *slot = &connection->slots[slots[i]];

		slot->row = random_row(load);
		slot->sent_ns = now;
		len += load->wire->ask(load->wire, slots[i], slot->row, output + len);
	}
	load->to_send -= count;
	load->out += count;
	if (!socket_send(connection->fd, output, len))
		tally_fail(
		    load->tally, "%s: sending: %s", load->wire->path, strerror(errno));
}

/* Whether the reply is to something that was asked for; then *${slot} says to what. */
static bool is_expected(const struct load *load, struct connection *connection,
    const struct reply *reply, uint32_t *slot)
{
	*slot = reply->slot;
	if (reply->slot == IN_ORDER) {
		*slot = connection->oldest;
		connection->oldest = (connection->oldest + 1) % load->depth;
	}
	return *slot < load->depth && connection->slots[*slot].sent_ns != 0 &&
	    (reply->row == ANY_ROW || reply->row == connection->slots[*slot].row);
}

/* Take the answers that are whole; their slots are free for the next requests. */
static unsigned take_answers(
    struct load *load, struct connection *connection, uint32_t *slots)
{
	struct reply reply;
	int64_t now = now_ns();
	unsigned count = 0;
	size_t at = 0;

	while (at < connection->input_len) {
		ssize_t len = load->wire->answer(load->wire, connection->input + at,
		    connection->input_len - at, &reply);

		if (len == 0)
			break;
		if (len < 0) {
			tally_fail(load->tally, "%s", reply.message);
			return 0;
		}
		at += (size_t)len;
		if (count == load->depth ||
		    !is_expected(load, connection, &reply, &slots[count])) {
			tally_fail(
			    load->tally, "%s: an answer to no request", load->wire->path);
			return 0;
		}
		struct slot *slot = &connection->slots[slots[count++]];
		tally_add(load->tally, slot->sent_ns, now, load->deadline_ns);
		slot->sent_ns = 0;
		load->out--;
	}
	connection->input_len -= at;
	memmove(connection->input, connection->input + at, connection->input_len);
	return count;
}

/* Something can be read: answers lead to new requests. */
static void serve(struct load *load, struct connection *connection)
{
	uint32_t slots[DEPTH_MAX];
	ssize_t came = recv(connection->fd, connection->input + connection->input_len,
	    sizeof(connection->input) - connection->input_len, 0);

	if (came <= 0) {
		tally_fail(load->tally, "%s: %s", load->wire->path,
		    came == 0 ? "closed the connection" : strerror(errno));
		return;
	}
	connection->input_len += (size_t)came;
	unsigned count = take_answers(load, connection, slots);
	if (load->tally->failed == 0)
		send_slots(load, connection, slots, count);
}

static void serve_many(struct load *load)
{
	struct epoll_event events[EVENTS];
	int count = epoll_wait(load->epoll, events, EVENTS, WAIT_MS);

	if (count <= 0 && errno != EINTR)
		tally_fail(load->tally, "%s: no answer", load->wire->path);
	for (int i = 0; i < count && load->tally->failed == 0; i++)
		serve(load, events[i].data.ptr);
}

void load_run(
    struct load *load, int64_t duration_ns, uint64_t requests, struct tally *tally)
{
	uint32_t slots[DEPTH_MAX];
	int64_t started = now_ns();

	memset(tally, 0, sizeof(*tally));
	load->tally = tally;
	load->out = 0;
	load->to_send = requests != 0 ? requests : UINT64_MAX;
	load->deadline_ns = duration_ns != 0 ? started + duration_ns : INT64_MAX;
	for (unsigned i = 0; i < load->depth; i++)
		slots[i] = i;
	for (unsigned i = 0; i < load->clients && tally->failed == 0; i++) {
		load->connections[i].oldest = 0;
		send_slots(load, &load->connections[i], slots, load->depth);
	}
	while (load->out > 0 && tally->failed == 0) {
		if (load->epoll < 0)
			serve(load, load->connections);
		else
			serve_many(load);
	}
	tally->elapsed_ns = duration_ns != 0 ? duration_ns : now_ns() - started;
}
