/* poolited - the broker's program: settings, start, serve, stop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "broker/broker.h"
#include "broker/log.h"

/* SQLite maps the -shm file; when somebody cuts that off, a look at it is a SIGBUS.  Nothing
 * that was answered is lost: a restart makes the file anew from the WAL. */
static void on_bus_error(int signal_number)
{
	static const char line[] =
	    "error: a mapped file was cut off, database-shm most likely; starting the broker "
	    "again recovers\n";

	(void)signal_number;
	if (write(STDERR_FILENO, line, sizeof line - 1) < 0)
		_exit(EXIT_FAILURE);
	_exit(BROKER_EXIT_UNKNOWN);
}

int main(int argc, char **argv)
{
	struct settings settings;
	struct broker *broker;
	char error[512];
	int status;

	switch (settings_read(&settings, argc, argv)) {
	case SETTINGS_DONE: return EXIT_SUCCESS;
	case SETTINGS_WRONG: return 2;
	case SETTINGS_RUN: break;
	}
	log_set_level(settings.log_level);
	signal(SIGPIPE, SIG_IGN); /* a client that hangs up is an error of write(2) */
	signal(SIGBUS, on_bus_error);

	broker = broker_create(&settings, error, sizeof error);
	if (!broker) {
		log_error("%s", error);
		return EXIT_FAILURE;
	}
	status = broker_run(broker);
	broker_free(broker);
	return status;
}
