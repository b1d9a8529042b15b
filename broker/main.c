/* poolited - the broker's program: settings, start, serve, stop. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "broker/broker.h"
#include "broker/log.h"

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

	broker = broker_create(&settings, error, sizeof error);
	if (!broker) {
		log_error("%s", error);
		return EXIT_FAILURE;
	}
	status = broker_run(broker);
	broker_free(broker);
	return status;
}
