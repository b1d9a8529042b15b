/* poolite - the command. */
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/options.h"
#include "client/cli/output.h"
#include "client/cli/probe.h"
#include "client/cli/watch.h"
#include "client/handle.h"

/* One line, with nothing in it that could steer a terminal. */
static void write_line(const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)text[0];
		unsigned char next = (unsigned char)text[1];

		if (byte == '\n' || byte == '\t') {
			fputs(byte == '\n' ? "\\n" : "\\t", stderr);
		} else if (byte < 0x20 || byte == 0x7f) {
			fprintf(stderr, "\\x%02x", byte);
		} else if (byte == 0xc2 && next >= 0x80 && next < 0xa0) {
			fprintf(stderr, "\\u%04x", next);
			text++;
		} else {
			fputc(byte, stderr);
		}
	}
	fputc('\n', stderr);
}

static void write_formatted(const char *format, va_list args)
{
	char *text;

	if (vasprintf(&text, format, args) < 0) {
		write_line("no memory");
		return;
	}
	write_line(text);
	free(text);
}

int complain(const char *format, ...)
{
	va_list args;

	/* On a terminal, over a line of progress. */
	fputs(isatty(STDERR_FILENO) ? "\r\033[Kpoolite: " : "poolite: ", stderr);
	va_start(args, format);
	write_formatted(format, args);
	va_end(args);
	return EXIT_FAILED;
}

void hint(const char *format, ...)
{
	va_list args;

	fputs("hint: ", stderr);
	va_start(args, format);
	write_formatted(format, args);
	va_end(args);
}

/* What to do about an error; NULL: its message says it all. */
static const char *hint_for(const struct poolite_error *error)
{
	switch (error->code) {
	case POOLITE_POOL_TIMEOUT:
		return "--timeout SECONDS waits longer, up to the broker's connection_timeout";
	case POOLITE_QUERY_TIMEOUT:
		return "--timeout SECONDS gives it longer, up to the broker's query_timeout";
	case POOLITE_OUTCOME_UNKNOWN:
		return "look whether it was done before trying again; what only reads may "
		       "be asked again at once";
	case POOLITE_OVERLOADED: return "the broker is at a limit; try again later";
	case POOLITE_CORRUPT: return "PRAGMA integrity_check tells what is damaged";
	case POOLITE_BAD_REQUEST:
		return strstr(error->message, "not UTF-8")
		    ? "text is sent as UTF-8: iconv -f LATIN1 -t UTF-8 converts it; bytes "
		      "are written x'00ff' in the SQL"
		    : NULL;
	default: return NULL;
	}
}

/* An answer that makes no sense, or none: then it may be no broker that listens there. */
static bool is_odd(const struct poolite_error *error)
{
	return strncmp(error->message, "the broker ", strlen("the broker ")) == 0 &&
	    (error->code == POOLITE_NO_BROKER || error->code == POOLITE_INTERNAL ||
		error->code == POOLITE_QUERY_TIMEOUT ||
		error->code == POOLITE_OUTCOME_UNKNOWN);
}

int complain_of(struct poolite *db, const struct poolite_error *error)
{
	const char *advice = hint_for(error);

	if (db && is_odd(error) && probe_speaks_http(db->path)) {
		complain("%s is no socket for clients: it speaks HTTP, as the broker's "
			 "stats_socket does",
		    db->path);
		hint(
		    "--socket or POOLITE_SOCKET has to name what poolited has as --socket");
		return EXIT_NO_BROKER;
	}
	complain("%s: %s", poolite_code_name(error->code), error->message);
	if (advice)
		hint("%s", advice);
	switch (error->outcome) {
	case POOLITE_DONE_UNKNOWN: return EXIT_UNKNOWN;
	case POOLITE_DONE_PART: return EXIT_FAILED; /* a broker was there before */
	default: return error->code == POOLITE_NO_BROKER ? EXIT_NO_BROKER : EXIT_FAILED;
	}
}

static int perform(const struct task *task)
{
	struct poolite_error error;
	const char *socket = task->settings.socket;
	struct poolite *db;
	int status;

	if (!socket)
		socket = getenv("POOLITE_SOCKET");
	if (!socket || !*socket) {
		complain("no socket: give --socket PATH, or set POOLITE_SOCKET");
		return EXIT_USAGE;
	}
	if (poolite_open(socket, &task->settings.options, &db, &error))
		return complain_of(NULL, &error);
	status = task->command->run(db, &task->settings, task->words, task->count);
	poolite_close(db);
	return status;
}

/* A closed standard stream gives its number to the next descriptor, and what is
 * written to it would go to the broker: keep its place, as one that fails. */
static void keep_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0)
			(void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv)
{
	struct task task;
	int status = EXIT_OK;
	bool is_change = false;
	int written;

	keep_standard_streams();
	/* A reader of our output that goes away ends no request half-way. */
	signal(SIGPIPE, SIG_IGN);
	switch (options_read(&task, argc, argv)) {
	case OPTIONS_WRONG: return EXIT_USAGE;
	case OPTIONS_DONE: break;
	case OPTIONS_RUN:
		status = perform(&task);
		is_change = status == EXIT_OK && task.command->takes & IS_CHANGE;
		break;
	}
	written = output_flush(is_change);
	watch_deliver();
	return status != EXIT_OK ? status : written;
}
