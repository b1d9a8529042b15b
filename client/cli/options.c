#include "client/cli/options.h"

#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* The longest timeout: its milliseconds are an int. */
#define SECONDS_MAX (INT_MAX / 1000)
/* What poolite_batch_in_chunks takes. */
#define CHUNK_ROWS_MAX 1000000
/* How long to try for a broker: as the library does, or only to see whether one is there. */
#define CONNECT_TIMEOUT_MS   5000
#define IMPATIENT_TIMEOUT_MS 1000

enum {
	OPTION_SOCKET = 's',
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
	OPTION_TIMEOUT = 256,
	OPTION_CONNECT_TIMEOUT,
	OPTION_JSON,
	OPTION_CSV,
	OPTION_TSV,
	OPTION_TABLE,
	OPTION_HEADER,
	OPTION_NULL,
	OPTION_TEXT,
	OPTION_FORMAT,
	OPTION_KEYS_OFF,
	OPTION_CHUNK_ROWS,
};

static const struct option long_options[] = {
    {"socket", required_argument, NULL, OPTION_SOCKET},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"json", no_argument, NULL, OPTION_JSON},
    {"csv", no_argument, NULL, OPTION_CSV},
    {"tsv", no_argument, NULL, OPTION_TSV},
    {"table", no_argument, NULL, OPTION_TABLE},
    {"header", no_argument, NULL, OPTION_HEADER},
    {"null", required_argument, NULL, OPTION_NULL},
    {"text", no_argument, NULL, OPTION_TEXT},
    {"format", required_argument, NULL, OPTION_FORMAT},
    {"foreign-keys-off", no_argument, NULL, OPTION_KEYS_OFF},
    {"chunk-rows", required_argument, NULL, OPTION_CHUNK_ROWS},
    {NULL, 0, NULL, 0},
};

/* Which commands an option is for; 0: all. */
static unsigned wanted_by(int option)
{
	switch (option) {
	case OPTION_JSON: return TAKES_OUTPUT | TAKES_JSON;
	case OPTION_CSV:
	case OPTION_TSV:
	case OPTION_TABLE: return TAKES_OUTPUT;
	case OPTION_HEADER: return TAKES_HEADER;
	case OPTION_NULL: return TAKES_NULL;
	case OPTION_TEXT: return TAKES_TEXT;
	case OPTION_CHUNK_ROWS:
	case OPTION_FORMAT: return TAKES_INPUT;
	case OPTION_KEYS_OFF: return TAKES_KEYS;
	default: return 0;
	}
}

/* ---- help ---------------------------------------------------------------- */

static void write_help(void)
{
	puts("Usage: poolite [--socket PATH] COMMAND [OPTION ...] [ARGUMENT ...]\n"
	     "\n"
	     "SQLite through Poolite's broker, poolited.\n");
	for (const struct command *command = commands; command->name; command++)
		printf("  %-6s %-18s  %s\n", command->name, command->synopsis,
		    command->summary);
	puts(
	    "\n"
	    "  -s, --socket PATH          the broker's socket; default $POOLITE_SOCKET\n"
	    "      --timeout SECONDS      the deadline of a request, waiting included\n"
	    "      --connect-timeout S    how long to try for a broker; default 5;\n"
	    "                             for ping and health 1\n"
	    "  -h, --help                 this, or a command's own with examples\n"
	    "  -V, --version\n"
	    "\n"
	    "  export POOLITE_SOCKET=/run/poolite/leads.sock\n"
	    "  poolite script schema.sql\n"
	    "  poolite update 'INSERT INTO leads(title) VALUES (?)' 'A lead'\n"
	    "  poolite query 'SELECT * FROM leads WHERE id > ?' 10\n"
	    "\n"
	    "Exit status: 0 done; 1 failed; 2 wrong usage; 3 no broker, nothing was sent;\n"
	    "4 the outcome is unknown: look before trying again; 5 the change was made, and\n"
	    "only its output cannot be written.  Ctrl-C cancels the request.");
}

static void write_command_help(const struct command *command)
{
	printf("Usage: poolite %s [OPTION ...]%s%s\n\n%s\n", command->name,
	    *command->synopsis ? " " : "", command->synopsis, command->help);
	if (command->takes & TAKES_OUTPUT)
		puts("  --table, --tsv, --csv, --json   how to write");
	if (command->takes & TAKES_JSON)
		puts("  --json                          as JSON");
	if (command->takes & TAKES_INPUT)
		puts("  --format csv|jsonl              what the standard input is\n"
		     "  --header                        CSV: its first line is no row\n"
		     "  --null TEXT                     CSV: that, unquoted, is NULL\n"
		     "  --text                          CSV: all cells are TEXT\n"
		     "  --chunk-rows N                  commit after each N rows");
	else if (command->takes & TAKES_HEADER)
		puts("  --header                        write the names first");
	if (command->takes & TAKES_NULL && !(command->takes & TAKES_INPUT))
		puts("  --null TEXT                     what to write for NULL");
	if (command->takes & TAKES_TEXT && !(command->takes & TAKES_INPUT))
		puts("  --text                          all arguments are TEXT");
	if (command->takes & TAKES_KEYS)
		puts(
		    "  --foreign-keys-off              as PRAGMA foreign_keys=OFF would");
	puts("  --socket PATH, --timeout SECONDS, --connect-timeout SECONDS, --help");
}

/* ---- reading ------------------------------------------------------------- */

static bool read_seconds(const char *option, const char *text, int *ms)
{
	char *end;
	double seconds = strtod(text, &end);

	if (end == text || *end || !(seconds >= 0.001 && seconds <= SECONDS_MAX)) {
		complain("%s wants seconds, from 0.001 to %d, not %s", option,
		    SECONDS_MAX, text);
		return false;
	}
	*ms = (int)(seconds * 1000 + 0.5);
	return true;
}

static bool read_chunk_rows(const char *text, int *rows)
{
	size_t digits = strspn(text, "0123456789");
	unsigned long number = strtoul(text, NULL, 10); /* too large: ULONG_MAX */

	if (digits == 0 || text[digits] || number == 0 || number > CHUNK_ROWS_MAX) {
		complain("--chunk-rows wants a number of rows, from 1 to %d, not %s",
		    CHUNK_ROWS_MAX, text);
		return false;
	}
	*rows = (int)number;
	return true;
}

static bool read_format(const char *text, enum input_format *format)
{
	*format = strcmp(text, "csv") == 0 ? INPUT_CSV
	    : strcmp(text, "jsonl") == 0   ? INPUT_JSONL
					   : INPUT_NONE;
	if (*format == INPUT_NONE)
		complain("--format is csv or jsonl, not %s", text);
	return *format != INPUT_NONE;
}

/* Take one option into the settings. */
static bool take(struct settings *settings, int option, const char *value)
{
	switch (option) {
	case OPTION_SOCKET: settings->socket = value; return true;
	case OPTION_TIMEOUT:
		return read_seconds(
		    "--timeout", value, &settings->options.request_timeout_ms);
	case OPTION_CONNECT_TIMEOUT:
		return read_seconds(
		    "--connect-timeout", value, &settings->options.connect_timeout_ms);
	case OPTION_JSON: settings->output = OUTPUT_JSON; return true;
	case OPTION_CSV: settings->output = OUTPUT_CSV; return true;
	case OPTION_TSV: settings->output = OUTPUT_TSV; return true;
	case OPTION_TABLE: settings->output = OUTPUT_TABLE; return true;
	case OPTION_HEADER: settings->has_header = true; return true;
	case OPTION_NULL: settings->null_text = value; return true;
	case OPTION_TEXT: settings->all_text = true; return true;
	case OPTION_FORMAT: return read_format(value, &settings->input);
	case OPTION_KEYS_OFF: settings->foreign_keys_off = true; return true;
	case OPTION_CHUNK_ROWS: return read_chunk_rows(value, &settings->chunk_rows);
	default: return false;
	}
}

/* Where the options are explained. */
static enum options_outcome point_to_help(const struct command *command)
{
	if (command)
		hint("poolite %s --help lists the options", command->name);
	else
		hint("poolite --help lists options and commands");
	return OPTIONS_WRONG;
}

static const char *name_of_option(int option)
{
	for (const struct option *known = long_options; known->name; known++)
		if (known->val == option)
			return known->name;
	return NULL;
}

/* What has to come behind an option, as the help calls it. */
static const char *placeholder_of(int option)
{
	switch (option) {
	case OPTION_SOCKET: return "PATH";
	case OPTION_NULL: return "TEXT";
	case OPTION_FORMAT: return "csv or jsonl";
	case OPTION_CHUNK_ROWS: return "N";
	default: return "SECONDS";
	}
}

/* What getopt made nothing of; ${is_short_of}: what it wants is missing. */
static enum options_outcome complain_of_option(
    const struct command *command, const char *word, bool is_short_of)
{
	const char *subject = command ? command->name : "the command line";
	const char *name = name_of_option(optopt);

	if (is_short_of && name)
		complain("--%s: %s is missing", name, placeholder_of(optopt));
	else if (name)
		complain("--%s stands alone, without =", name);
	else if (optopt)
		complain("%s has no option -%c", subject, optopt);
	else
		complain("%s has no option %s", subject, word);
	return point_to_help(command);
}

/* Read options up to the first word.  ${command} NULL: those before it. */
static enum options_outcome read_some(
    struct task *task, const struct command *command, int argc, char **argv)
{
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:s:hV", long_options, NULL)) != -1) {
		unsigned wanted = wanted_by(option);

		if (option == '?' || option == ':')
			return complain_of_option(
			    command, argv[optind - 1], option == ':');
		if (option == OPTION_HELP) {
			if (command)
				write_command_help(command);
			else
				write_help();
			return OPTIONS_DONE;
		}
		if (option == OPTION_VERSION) {
			puts("poolite " POOLITE_VERSION);
			return OPTIONS_DONE;
		}
		if (wanted && !(command && (command->takes & wanted))) {
			if (command)
				complain("%s takes no --%s", command->name,
				    name_of_option(option));
			else
				complain("--%s goes after the command",
				    name_of_option(option));
			return point_to_help(command);
		}
		if (!take(&task->settings, option, optarg))
			return OPTIONS_WRONG;
	}
	return OPTIONS_RUN;
}

static enum options_outcome check_words(const struct task *task)
{
	const struct command *command = task->command;

	if (task->count >= command->least &&
	    (command->most < 0 || task->count <= command->most))
		return OPTIONS_RUN;
	if (task->count < command->least)
		complain("%s: %.*s is missing", command->name,
		    (int)strcspn(command->synopsis, " "), command->synopsis);
	else
		complain("%s: one word too many: %s%s", command->name,
		    task->words[command->most],
		    command->takes & TAKES_INPUT ? " (rows come from the standard input)"
						 : "");
	hint("usage: poolite %s [OPTION ...]%s%s", command->name,
	    *command->synopsis ? " " : "", command->synopsis);
	return OPTIONS_WRONG;
}

static enum options_outcome complain_of_command(const char *word)
{
	static const char *const verbs[] = {
	    "select", "insert", "delete", "replace", "create", "drop", "with", "pragma"};

	complain("no command \"%s\"; poolite --help lists them", word);
	for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
		if (strncasecmp(word, verbs[i], strlen(verbs[i])) == 0) {
			hint("SQL is one word behind query or update: poolite query "
			     "'SELECT 1'");
			break;
		}
	return OPTIONS_WRONG;
}

/* poolite help [COMMAND]: people type it. */
static enum options_outcome give_help(const char *name)
{
	const struct command *command = name ? command_find(name) : NULL;

	if (name && !command)
		return complain_of_command(name);
	if (command)
		write_command_help(command);
	else
		write_help();
	return OPTIONS_DONE;
}

enum options_outcome options_read(struct task *task, int argc, char **argv)
{
	enum options_outcome outcome;

	memset(task, 0, sizeof *task);
	outcome = read_some(task, NULL, argc, argv);
	if (outcome != OPTIONS_RUN)
		return outcome;
	argc -= optind;
	argv += optind;
	if (argc == 0) {
		complain("no command given; poolite --help lists them");
		return OPTIONS_WRONG;
	}
	if (strcmp(argv[0], "help") == 0)
		return give_help(argv[1]);
	task->command = command_find(argv[0]);
	if (!task->command)
		return complain_of_command(argv[0]);
	optind = 0; /* glibc: begin anew, with another argv */
	outcome = read_some(task, task->command, argc, argv);
	if (outcome != OPTIONS_RUN)
		return outcome;
	if (task->settings.options.connect_timeout_ms == 0)
		task->settings.options.connect_timeout_ms =
		    task->command->takes & IS_IMPATIENT ? IMPATIENT_TIMEOUT_MS
							: CONNECT_TIMEOUT_MS;
	if (task->command->takes & IS_IMPATIENT &&
	    task->settings.options.request_timeout_ms == 0) {
		task->settings.options.request_timeout_ms = IMPATIENT_TIMEOUT_MS;
		task->settings.options.answer_grace_ms = IMPATIENT_TIMEOUT_MS;
	}
	task->words = argv + optind;
	task->count = argc - optind;
	return check_words(task);
}
