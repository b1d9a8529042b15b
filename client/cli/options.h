/* options.h - the command line, read. */
#ifndef POOLITE_CLI_OPTIONS_H
#define POOLITE_CLI_OPTIONS_H

#include "client/cli/commands.h"

/* What main is to do. */
struct task {
	const struct command *command;
	struct settings settings;
	char **words; /* after the options; borrowed from argv */
	int count;
};

/** How far the reading came. */
enum options_outcome {
	OPTIONS_RUN,
	OPTIONS_DONE,  /* --help or --version was written */
	OPTIONS_WRONG, /* a sentence was written to stderr */
};

/**
 * Read argv: options, the command, its options, its words.  Options end where
 * the words begin, or at --, so that no argument can be taken for one.
 */
enum options_outcome options_read(struct task *task, int argc, char **argv);

#endif
