#include "tests/bench/echo.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <uv.h>

#include "tests/bench/crew.h"
#include "tests/bench/database.h"

#define INPUT   65536
#define BACKLOG 128

struct echo {
	uv_loop_t loop;
	uv_pipe_t listener;
	size_t request_len;
	size_t answer_len;
};

struct session {
	uv_pipe_t pipe;
	uint8_t input[INPUT];
	size_t input_len;
};

/* An answer that did not go out at once. */
struct late_write {
	uv_write_t write;
	char bytes[];
};

static void on_closed(uv_handle_t *handle)
{
	free(handle->data);
}

static void on_written(uv_write_t *write, int status)
{
	(void)status;
	free(write->data);
}

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *buf)
{
	struct session *session = handle->data;

	(void)hint;
	*buf = uv_buf_init((char *)session->input + session->input_len,
	    (unsigned)(INPUT - session->input_len));
}

/* Write, now as far as it goes and the rest when it can. */
static void answer(struct session *session, const uint8_t *bytes, size_t len)
{
	uv_buf_t buf = uv_buf_init((char *)bytes, (unsigned)len);
	int written = uv_try_write((uv_stream_t *)&session->pipe, &buf, 1);
	size_t rest = written < 0 ? len : len - (size_t)written;

	if (rest == 0)
		return;
	struct late_write *late = malloc(sizeof(*late) + rest);
	if (late == NULL)
		abort();
	memcpy(late->bytes, bytes + len - rest, rest);
	late->write.data = late;
	buf = uv_buf_init(late->bytes, (unsigned)rest);
	if (uv_write(&late->write, (uv_stream_t *)&session->pipe, &buf, 1, on_written) !=
	    0)
		free(late);
}

static void on_read(uv_stream_t *stream, ssize_t came, const uv_buf_t *buf)
{
	struct session *session = stream->data;
	const struct echo *echo = stream->loop->data;
	uint8_t output[INPUT];
	size_t at = 0, len = 0;

	(void)buf;
	if (came < 0) {
		uv_close((uv_handle_t *)stream, on_closed);
		return;
	}
	session->input_len += (size_t)came;
	while (session->input_len - at >= echo->request_len) {
		size_t same = echo->request_len < echo->answer_len ? echo->request_len
								   : echo->answer_len;

		if (len + echo->answer_len > sizeof(output)) {
			answer(session, output, len);
			len = 0;
		}
		memset(output + len, 0, echo->answer_len);
		memcpy(output + len, session->input + at, same);
		len += echo->answer_len;
		at += echo->request_len;
	}
	if (len > 0)
		answer(session, output, len);
	session->input_len -= at;
	memmove(session->input, session->input + at, session->input_len);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct session *session = calloc(1, sizeof(*session));

	if (status != 0 || session == NULL)
		abort();
	uv_pipe_init(listener->loop, &session->pipe, 0);
	session->pipe.data = session;
	if (uv_accept(listener, (uv_stream_t *)&session->pipe) != 0 ||
	    uv_read_start((uv_stream_t *)&session->pipe, on_alloc, on_read) != 0)
		uv_close((uv_handle_t *)&session->pipe, on_closed);
}

_Noreturn static void serve(struct echo *echo, const char *path, int ready)
{
	if (uv_loop_init(&echo->loop) != 0 ||
	    uv_pipe_init(&echo->loop, &echo->listener, 0) != 0 ||
	    uv_pipe_bind(&echo->listener, path) != 0 ||
	    uv_listen((uv_stream_t *)&echo->listener, BACKLOG, on_connection) != 0)
		_exit(1);
	echo->loop.data = echo;
	if (write(ready, "", 1) != 1)
		_exit(1);
	uv_run(&echo->loop, UV_RUN_DEFAULT);
	_exit(0);
}

pid_t echo_start(const char *path, size_t request_len, size_t answer_len)
{
	struct echo echo = {.request_len = request_len, .answer_len = answer_len};
	int ready[2];
	char byte;

	unlink(path);
	if (pipe(ready) != 0)
		die("echo", "no pipe");
	pid_t pid = child_fork();
	if (pid == 0)
		serve(&echo, path, ready[1]);
	close(ready[1]);
	if (read(ready[0], &byte, 1) != 1)
		die("echo", "it does not start");
	close(ready[0]);
	return pid;
}

pid_t echo_like(struct wire *echo, const char *path, const struct wire *wire)
{
	char message[256];
	size_t answer_len = socket_call(wire, ROWS / 2, message);

	if (answer_len == 0)
		die("echo", message);
	wire_echo(echo, path, wire, answer_len);
	return echo_start(path, wire->request_len, answer_len);
}
