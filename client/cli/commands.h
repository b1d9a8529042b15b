/* commands.h - the commands of poolite. */
#ifndef POOLITE_CLI_COMMANDS_H
#define POOLITE_CLI_COMMANDS_H

#include "client/cli/cli.h"

/* What options a command takes, besides those all take, and how long it waits. */
enum takes {
	TAKES_OUTPUT = 1,   /* --json --csv --tsv --table */
	TAKES_HEADER = 2,   /* --header */
	TAKES_TEXT = 4,     /* --text */
	TAKES_INPUT = 8,    /* --format */
	TAKES_KEYS = 16,    /* --foreign-keys-off */
	TAKES_JSON = 32,    /* --json alone */
	TAKES_NULL = 64,    /* --null */
	IS_IMPATIENT = 128, /* asks whether a broker is there: a second to connect */
	IS_CHANGE = 256,    /* when it succeeds, something was done */
};

struct command {
	const char *name;
	const char *synopsis; /* after the options */
	const char *summary;  /* in a few words */
	const char *help;     /* what it does, and examples */
	unsigned takes;       /* enum takes */
	int least, most;      /* words after the options; most -1: any number */
	int (*run)(
	    struct poolite *db, const struct settings *settings, char **words, int count);
};

/** The command of that name, or NULL. */
const struct command *command_find(const char *name);

/** All of them, ended by one without a name. */
extern const struct command commands[];

#endif
