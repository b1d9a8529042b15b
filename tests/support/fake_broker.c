#include "tests/support/fake_broker.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/begin.h"
#include "proto/cancel.h"
#include "proto/frame.h"
#include "proto/hello.h"
#include "proto/script.h"
#include "proto/statement.h"
#include "proto/transaction.h"

#define LIMIT ((size_t)64 << 20)

/* Roles have threads of their own, where Criterion's asserts do not work. */
static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "fake broker: %s\n", what);
	abort();
}

void fake_broker_init(struct fake_broker *broker)
{
	memset(broker, 0, sizeof *broker);
	broker->listen_fd = -1;
	snprintf(broker->directory, sizeof broker->directory, "/tmp/poolite-fake.XXXXXX");
	cr_assert_not_null(mkdtemp(broker->directory));
	snprintf(broker->path, sizeof broker->path, "%s/s", broker->directory);
}

static void *play(void *broker)
{
	((struct fake_broker *)broker)->role(broker);
	return NULL;
}

void fake_broker_start(struct fake_broker *broker, void (*role)(struct fake_broker *))
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};

	snprintf(address.sun_path, sizeof address.sun_path, "%s", broker->path);
	broker->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	cr_assert_geq(broker->listen_fd, 0);
	cr_assert_eq(
	    bind(broker->listen_fd, (struct sockaddr *)&address, sizeof address), 0);
	cr_assert_eq(listen(broker->listen_fd, 64), 0);
	broker->role = role;
	cr_assert_eq(pthread_create(&broker->thread, NULL, play, broker), 0);
}

void fake_broker_stop(struct fake_broker *broker)
{
	shutdown(broker->listen_fd, SHUT_RDWR);
	unlink(broker->path);
	pthread_join(broker->thread, NULL);
	close(broker->listen_fd);
	broker->listen_fd = -1;
}

void fake_broker_end(struct fake_broker *broker)
{
	if (broker->listen_fd >= 0)
		fake_broker_stop(broker);
	rmdir(broker->directory);
}

/* ---- for roles ----------------------------------------------------------- */

int fake_accept(struct fake_broker *broker)
{
	int fd = accept4(broker->listen_fd, NULL, NULL, SOCK_CLOEXEC);

	if (fd >= 0)
		atomic_fetch_add(&broker->connections, 1);
	return fd;
}

/* Read up to the end of one message, byte by byte: nothing of the next. */
static bool read_message(int fd, struct poolite__buf *buf)
{
	struct poolite__limits limits = {LIMIT, UINT32_MAX};
	struct poolite__scan scan = {0};

	for (;;) {
		ssize_t whole = 0;
		ssize_t got;
		/* A body that is announced, and one byte of it kept back, may come at once. */
		size_t want = scan.offset > buf->len + 1 ? scan.offset - buf->len - 1 : 1;

		poolite__buf_reserve(buf, want);
		got = recv(fd, buf->data + buf->len, want, 0);
		if (got <= 0)
			return false;
		buf->len += (size_t)got;
		whole = poolite__scan_next(&scan, buf->data, buf->len, &limits);
		must(whole >= 0, "the client sent no MessagePack");
		if (whole > 0)
			return true;
	}
}

static void count(struct fake_broker *broker, const struct fake_request *read)
{
	const struct poolite__request *request = &read->request;

	if (read->len > atomic_load(&broker->largest))
		atomic_store(&broker->largest, read->len);
	if (request->is_notification && request->method == POOLITE__CANCEL)
		atomic_fetch_add(&broker->cancels, 1);
	else
		atomic_fetch_add(&broker->requests, 1);
	if (request->method == POOLITE__BATCH)
		atomic_fetch_add(&broker->rows, (int)request->list_count);
}

bool fake_read(struct fake_broker *broker, int fd, struct fake_request *request)
{
	struct poolite__failure failure = {.code = POOLITE_OK};
	struct poolite__buf buf;
	bool has_msgid;

	memset(request, 0, sizeof *request);
	poolite__buf_init(&buf, LIMIT, NULL);
	/* The command asks HTTP's question where nothing answers as a broker does. */
	if (!read_message(fd, &buf) || buf.data[0] == 'G') {
		poolite__buf_release(&buf);
		return false;
	}
	request->bytes = buf.data;
	request->len = buf.len;
	must(poolite__read_request(
		 buf.data, buf.len, &request->request, &has_msgid, &failure) == 0,
	    failure.message);
	poolite__read_params(&request->request, &failure);
	count(broker, request);
	return true;
}

void fake_request_release(struct fake_request *request)
{
	free(request->bytes);
	request->bytes = NULL;
}

void fake_send(int fd, const void *bytes, size_t len)
{
	const char *at = bytes;

	while (len > 0) {
		ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);

		if (sent <= 0)
			return; /* the client is gone, as some tests want it */
		at += sent;
		len -= (size_t)sent;
	}
}

static void pack_one_row(struct poolite__buf *buf)
{
	struct poolite_value one = poolite_integer(1);
	struct poolite__rows rows;

	poolite__rows_open(&rows, buf, 1);
	poolite__rows_column(&rows, "one");
	poolite__rows_begin(&rows);
	poolite__rows_next(&rows);
	poolite__pack_value(buf, &one);
	poolite__rows_close(&rows);
}

static void pack_hello(struct poolite__buf *buf, const struct fake_broker *broker)
{
	struct poolite__hello hello = {
	    .version = "0",
	    .protocol = POOLITE__PROTOCOL_VERSION,
	    .sqlite = "0",
	    .max_frame_bytes = broker->max_frame_bytes,
	    .max_values = broker->max_values,
	    .max_result_bytes = (int64_t)POOLITE__RESULT_BYTES_DEFAULT,
	    .max_inflight = 1,
	};

	poolite__pack_hello_result(buf, &hello);
}

static void pack_pong(struct poolite__buf *buf)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	poolite__pack_cstr(&packer, "pong");
}

static void pack_stats(struct poolite__buf *buf)
{
	static const char *const names[] = {"pool_size", "max_connections",
	    "active_connections", "total_connections_created", "connection_timeout",
	    "last_health_check"};
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 7);
	poolite__pack_cstr(&packer, "a figure of a later broker");
	msgpack_pack_array(&packer, 0);
	for (int i = 0; i < 6; i++) {
		poolite__pack_cstr(&packer, names[i]);
		if (i < 4)
			msgpack_pack_int(&packer, i + 1);
		else
			msgpack_pack_double(&packer, i + 1.5);
	}
}

static void pack_health(struct poolite__buf *buf)
{
	msgpack_packer packer;

	poolite__packer_init(&packer, buf);
	msgpack_pack_map(&packer, 5);
	poolite__pack_cstr(&packer, "status");
	poolite__pack_cstr(&packer, "unhealthy");
	poolite__pack_cstr(&packer, "database");
	poolite__pack_cstr(&packer, "connected");
	poolite__pack_cstr(&packer, "database_pool");
	poolite__pack_cstr(&packer, "ready");
	poolite__pack_cstr(&packer, "reason");
	poolite__pack_cstr(&packer, "the disk is full");
	poolite__pack_cstr(&packer, "database_pool_stats");
	pack_stats(buf);
}

void fake_pack_answer(struct poolite__buf *buf, struct fake_broker *broker,
    const struct fake_request *request)
{
	const struct poolite__request *asked = &request->request;

	if (asked->method == POOLITE__COMMIT || asked->method == POOLITE__ROLLBACK) {
		poolite__pack_nil_answer(buf, asked->msgid);
		return;
	}
	poolite__pack_answer(buf, asked->msgid);
	switch (asked->method) {
	case POOLITE__HELLO: pack_hello(buf, broker); break;
	case POOLITE__PING: pack_pong(buf); break;
	case POOLITE__QUERY: pack_one_row(buf); break;
	case POOLITE__UPDATE: poolite__pack_changes(buf, 1, 7); break;
	case POOLITE__BATCH: poolite__pack_changes(buf, asked->list_count, 7); break;
	case POOLITE__TRANSACTION:
		poolite__pack_results(buf, asked->list_count);
		for (uint32_t i = 0; i < asked->list_count; i++)
			poolite__pack_changes(buf, i, 7);
		break;
	case POOLITE__SCRIPT: poolite__pack_script_result(buf, 3, 2); break;
	case POOLITE__BEGIN:
		poolite__pack_begin_result(buf, asked->options.is_read);
		break;
	case POOLITE__STATS: pack_stats(buf); break;
	case POOLITE__HEALTH: pack_health(buf); break;
	default: must(false, "the client asked for an unknown method");
	}
}

void fake_answer(struct fake_broker *broker, int fd, const struct fake_request *request)
{
	struct poolite__buf buf;

	if (request->request.is_notification)
		return;
	poolite__buf_init(&buf, LIMIT, NULL);
	fake_pack_answer(&buf, broker, request);
	fake_send(fd, buf.data, buf.len);
	poolite__buf_release(&buf);
}

void fake_refuse(int fd, uint32_t msgid, enum poolite_code code, const char *message)
{
	struct poolite__failure failure;
	struct poolite__buf buf;

	poolite__buf_init(&buf, LIMIT, NULL);
	poolite__fail(&failure, code, "%s", message);
	poolite__pack_error_answer(&buf, msgid, &failure);
	fake_send(fd, buf.data, buf.len);
	poolite__buf_release(&buf);
}

void fake_good_bye(int fd, enum poolite_code code, const char *message)
{
	struct poolite__failure failure;
	struct poolite__buf buf;

	poolite__buf_init(&buf, LIMIT, NULL);
	poolite__fail(&failure, code, "%s", message);
	poolite__pack_error_notification(&buf, &failure);
	fake_send(fd, buf.data, buf.len);
	poolite__buf_release(&buf);
}

struct served {
	struct fake_broker *broker;
	int fd;
};

static void *serve_one(void *context)
{
	struct served *served = context;
	struct fake_request request;

	while (fake_read(served->broker, served->fd, &request)) {
		fake_answer(served->broker, served->fd, &request);
		fake_request_release(&request);
	}
	close(served->fd);
	free(served);
	return NULL;
}

void fake_serve(struct fake_broker *broker)
{
	pthread_t threads[256];
	size_t count_threads = 0;
	int fd;

	while ((fd = fake_accept(broker)) >= 0) {
		struct served *served = malloc(sizeof *served);

		must(
		    count_threads < sizeof threads / sizeof *threads, "too many clients");
		served->broker = broker;
		served->fd = fd;
		pthread_create(&threads[count_threads++], NULL, serve_one, served);
	}
	while (count_threads > 0)
		pthread_join(threads[--count_threads], NULL);
}
