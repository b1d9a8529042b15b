#include "broker/people.h"
#include "broker/settings_table.h"

#include <assert.h>
#include <ctype.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* What getopt_long returns: the table's index behind one of these. */
enum {
	OPTION_SET = 0x1000,
	OPTION_CLEAR = 0x2000, /* --no-create */
	OPTION_HELP = 'h',
	OPTION_VERSION = 'V',
};

/* "max_connections" to "POOLITE_MAX_CONNECTIONS". */
static void variable_name(const struct setting *setting, char name[64])
{
	int len = snprintf(name, 64, "POOLITE_%s", setting->name);

	assert(len < 64);
	for (; *name != '\0'; name++)
		*name = (char)toupper((unsigned char)*name);
}

static void print_setting(const struct setting *setting)
{
	char flag[64], variable[64];
	bool is_bool = setting->kind == KIND_BOOL;

	variable_name(setting, variable);
	snprintf(flag, sizeof(flag), "--%s%s%s", setting->flag,
	    is_bool ? "[=on|off]" : " ", is_bool ? "" : setting->value);
	printf("  %-34s %s\n%37s", flag, setting->help, "");
	if (setting->initial != NULL)
		printf("default %s; ", setting->initial);
	else if (setting->is_required)
		printf("required; ");
	printf("$%s%s%s\n", variable, setting->alias != NULL ? " or $" : "",
	    setting->alias != NULL ? setting->alias : "");
}

static void print_help(void)
{
	puts(
	    "Usage: poolited --db FILE --socket PATH [FLAG ...]\n"
	    "\n"
	    "Serves one SQLite database to many processes through a Unix socket.\n"
	    "Runs in the foreground, logs to standard error, stops on SIGTERM or SIGINT: what\n"
	    "is under way has the grace to finish, which a second signal ends.\n"
	    "\n"
	    "Each setting is a flag, or else an environment variable, or else its default.\n"
	    "An empty variable counts as not given; a list of users must name somebody.\n"
	    "Times are seconds (30, 0.5); sizes are bytes, with K, M or G (8M).");
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		if (settings_table[i].group != NULL)
			printf("\n%s:\n", settings_table[i].group);
		print_setting(&settings_table[i]);
	}
	puts(
	    "\nOther:\n"
	    "  --no-create, --no-foreign-keys     the same as =off\n"
	    "  -h, --help                         this text\n"
	    "  -V, --version                      the version\n"
	    "\n"
	    "Examples:\n"
	    "  poolited --db leads.db --socket leads.sock\n"
	    "  poolited --db leads.db --socket leads.sock --stats-socket stats.sock --log-level debug\n"
	    "  POOLITE_DATABASE=leads.db POOLITE_SOCKET=leads.sock DB_POOL_MAX_CONNECTIONS=20 poolited\n"
	    "\n"
	    "Exit status: 0 stopped cleanly, 2 a setting is wrong, 74 the disk failed while\n"
	    "committing (start again to recover), 1 anything else; the log says what.");
}

/* What was given for a setting, and where. */
struct given {
	const char *text;  /* NULL: nothing, and there is no default */
	char variable[64]; /* the environment variable; "": flag or default */
};

/* The table as getopt_long wants it; ${options} has room for 2 a setting and 3. */
static void build_options(struct option *options)
{
	static char negations[SETTINGS_COUNT][48];
	size_t count = 0;

	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		bool is_bool = settings_table[i].kind == KIND_BOOL;

		options[count++] = (struct option){settings_table[i].flag,
		    is_bool ? optional_argument : required_argument, NULL,
		    OPTION_SET + (int)i};
		if (is_bool) {
			snprintf(negations[i], sizeof(negations[i]), "no-%s",
			    settings_table[i].flag);
			options[count++] = (struct option){
			    negations[i], no_argument, NULL, OPTION_CLEAR + (int)i};
		}
	}
	options[count++] = (struct option){"help", no_argument, NULL, OPTION_HELP};
	options[count++] = (struct option){"version", no_argument, NULL, OPTION_VERSION};
	options[count] = (struct option){NULL, 0, NULL, 0};
}

/* The flag, as typed, that getopt_long has just looked at. */
static const char *flag_typed(char **argv)
{
	return optarg != NULL && optarg == argv[optind - 1] ? argv[optind - 2]
							    : argv[optind - 1];
}

/* getopt_long takes "--max-cli" for --max-clients; a later flag would break who relies on it. */
static bool is_abbreviated(char **argv, const char *name)
{
	const char *typed = flag_typed(argv) + strlen("--");
	size_t len = strlen(name);

	return strncmp(typed, name, len) != 0 ||
	    (typed[len] != '\0' && typed[len] != '=');
}

static enum settings_outcome wrong_flag(int found, char **argv)
{
	const char *flag = flag_typed(argv);
	bool is_letter = optopt > 0 && optopt < 0x100 && strncmp(flag, "--", 2) != 0;

	if (is_letter) {
		fprintf(stderr, "poolited: there is no flag -%c; see poolited --help\n",
		    optopt);
	} else if (found == ':') {
		fprintf(stderr,
		    "poolited: the flag %s needs a value; see poolited --help\n", flag);
	} else {
		fprintf(
		    stderr, "poolited: there is no flag %s; see poolited --help\n", flag);
	}
	return SETTINGS_WRONG;
}

/* Note what the flags say in ${given}, one a setting. */
static enum settings_outcome read_flags(struct given *given, int argc, char **argv)
{
	struct option options[2 * SETTINGS_COUNT + 3];
	int found, index = 0;

	build_options(options);
	opterr = 0;
	optind = 0; /* glibc: start anew, also when called a second time */
	while ((found = getopt_long(argc, argv, ":hV", options, &index)) != -1) {
		if (found == OPTION_HELP) {
			print_help();
			return SETTINGS_DONE;
		} else if (found == OPTION_VERSION) {
			puts("poolited " POOLITE_VERSION);
			return SETTINGS_DONE;
		} else if (found < OPTION_SET ||
		    is_abbreviated(argv, options[index].name)) {
			return wrong_flag(found, argv);
		}
		given[found & 0xfff].text = (found & OPTION_CLEAR) != 0 ? "off"
		    : optarg != NULL                                    ? optarg
									: "on";
	}
	if (optind < argc) {
		fprintf(stderr,
		    "poolited: unexpected argument \"%s\"; see poolited --help\n",
		    argv[optind]);
		return SETTINGS_WRONG;
	}
	return SETTINGS_RUN;
}

/* A list of people: an empty one is refused, also where it comes from. */
static bool is_list(const struct setting *setting)
{
	return setting->kind == KIND_TEXT && strcmp(setting->value, "LIST") == 0;
}

/* Take ${variable} from the environment; empty counts as not set, but for lists. */
static bool read_variable(
    const struct setting *setting, struct given *given, const char *variable)
{
	const char *text = getenv(variable);

	if (text == NULL || (text[0] == '\0' && !is_list(setting)))
		return false;
	given->text = text;
	snprintf(given->variable, sizeof(given->variable), "%s", variable);
	return true;
}

static enum settings_outcome wrong_value(
    const struct setting *setting, const struct given *given)
{
	bool is_flag = given->variable[0] == '\0';
	char accepted[128];

	setting_describe(setting, accepted, sizeof(accepted));
	fprintf(stderr, "poolited: %s cannot be \"%s\" (from %s%s): it has to be %s\n",
	    setting->name, given->text,
	    is_flag ? "the flag --" : "the environment variable ",
	    is_flag ? setting->flag : given->variable, accepted);
	return SETTINGS_WRONG;
}

static enum settings_outcome missing(const struct setting *setting, const char *variable)
{
	fprintf(stderr,
	    "poolited: %s is not set: give --%s %s, or the environment variable %s\n",
	    setting->name, setting->flag, setting->value, variable);
	return SETTINGS_WRONG;
}

/* What no flag gave: from the environment, else the default.  Then parse. */
static enum settings_outcome take(
    const struct setting *setting, struct given *given, struct settings *settings)
{
	char variable[64];

	variable_name(setting, variable);
	if (given->text == NULL && !read_variable(setting, given, variable) &&
	    (setting->alias == NULL || !read_variable(setting, given, setting->alias)))
		given->text = setting->initial;
	if (given->text == NULL)
		return setting->is_required ? missing(setting, variable) : SETTINGS_RUN;
	return setting_parse(setting, given->text, settings)
	    ? SETTINGS_RUN
	    : wrong_value(setting, given);
}

/* ---- variables that are no setting ------------------------------------------- */

#define NAME_MAX_LEN 63
/* As many wrong letters still look like a slip. */
#define SLIPS_MAX 3

/* Letters to change, put in or leave out to make ${name} of ${typed}. */
static unsigned slips(const char *typed, const char *name)
{
	unsigned row[NAME_MAX_LEN + 1];
	size_t len = strlen(name);

	for (unsigned i = 0; i <= len; i++)
		row[i] = i;
	for (; *typed != '\0'; typed++) {
		unsigned diagonal = row[0]++;

		for (size_t i = 1; i <= len; i++) {
			unsigned changed = diagonal + (*typed != name[i - 1]);
			unsigned other = (row[i] < row[i - 1] ? row[i] : row[i - 1]) + 1;

			diagonal = row[i];
			row[i] = changed < other ? changed : other;
		}
	}
	return row[len];
}

/* The nearest known variable into ${nearest}; 0 slips: it is one. */
static unsigned find_nearest(const char *typed, char nearest[NAME_MAX_LEN + 1])
{
	unsigned fewest = UINT_MAX;

	for (size_t i = 0; i < SETTINGS_COUNT && fewest > 0; i++) {
		char name[NAME_MAX_LEN + 1];
		unsigned found;

		variable_name(&settings_table[i], name);
		found = slips(typed, name);
		if (found < fewest) {
			fewest = found;
			memcpy(nearest, name, sizeof(name));
		}
	}
	return fewest;
}

/* A variable that looks like a setting and is none; ${entry} is NAME=TEXT. */
static void warn_if_unknown(const char *entry)
{
	char nearest[NAME_MAX_LEN + 1];
	size_t len = strcspn(entry, "=");
	char typed[NAME_MAX_LEN + 1];
	unsigned fewest;

	if (strncmp(entry, "POOLITE_", strlen("POOLITE_")) != 0 || entry[len] == '\0' ||
	    entry[len + 1] == '\0')
		return;
	snprintf(typed, sizeof(typed), "%.*s", (int)len, entry);
	fewest = find_nearest(typed, nearest);
	if (fewest == 0)
		return;
	log_warning("the environment variable %s is no setting: it is ignored; %s%s%s",
	    typed, fewest <= SLIPS_MAX ? "did you mean " : "poolited --help lists them",
	    fewest <= SLIPS_MAX ? nearest : "", fewest <= SLIPS_MAX ? "?" : "");
}

static void warn_of_unknown(void)
{
	/* clearenv() leaves no list at all. */
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		warn_if_unknown(*entry);
}

/* Whether the users and groups are there; the broker looks them up again when it starts. */
static enum settings_outcome check_people(const struct settings *settings)
{
	struct people people;
	char error[256];

	if (people_init(&people, settings->allow, settings->read_only, settings->admin,
		error, sizeof error)) {
		fprintf(stderr, "poolited: %s\n", error);
		return SETTINGS_WRONG;
	}
	people_release(&people);
	return SETTINGS_RUN;
}

/* The same for the group of the sockets. */
static enum settings_outcome check_group(const struct settings *settings)
{
	const char *group = settings->socket_group;
	gid_t gid;

	if (group == NULL || people_find_group(group, &gid) == 0)
		return check_people(settings);
	fprintf(stderr, "poolited: socket_group: there is no group '%s'\n", group);
	return SETTINGS_WRONG;
}

/* What holds between settings. */
static enum settings_outcome check_together(const struct settings *settings)
{
	if (settings->stats_socket != NULL &&
	    strcmp(settings->stats_socket, settings->socket) == 0) {
		fprintf(stderr,
		    "poolited: stats_socket cannot be \"%s\": that is socket already\n",
		    settings->stats_socket);
	} else if (settings->max_buffered_bytes < settings->max_frame_bytes ||
	    settings->max_buffered_bytes < settings->max_result_bytes) {
		fprintf(stderr,
		    "poolited: max_buffered_bytes cannot be %" PRIu64
		    ": it has to be at least "
		    "max_frame_bytes (%" PRIu64 ") and max_result_bytes (%" PRIu64 ")\n",
		    settings->max_buffered_bytes, settings->max_frame_bytes,
		    settings->max_result_bytes);
	} else if (settings->max_user_buffered_bytes != 0 &&
	    (settings->max_user_buffered_bytes < settings->max_frame_bytes ||
		settings->max_user_buffered_bytes < settings->max_result_bytes)) {
		fprintf(stderr,
		    "poolited: max_user_buffered_bytes cannot be %" PRIu64
		    ": it has to be at least "
		    "max_frame_bytes (%" PRIu64 ") and max_result_bytes (%" PRIu64
		    "), or 0\n",
		    settings->max_user_buffered_bytes, settings->max_frame_bytes,
		    settings->max_result_bytes);
	} else {
		return check_group(settings);
	}
	return SETTINGS_WRONG;
}

/* Somebody asked for more places than are kept; the default is only what is usual. */
static void warn_if_cut(const struct given *given, const struct settings *settings)
{
	uint32_t most = settings->max_clients / SETTINGS_RESERVED_SHARE;
	size_t i = 0;

	while (settings_table[i].offset != offsetof(struct settings, reserved_clients))
		i++;
	if (given[i].text != settings_table[i].initial &&
	    settings->reserved_clients > most)
		log_warning(
		    "reserved_clients is %u, but %u places are kept: at most a tenth of "
		    "max_clients (%u)",
		    settings->reserved_clients, most, settings->max_clients);
}

enum settings_outcome settings_read(struct settings *settings, int argc, char **argv)
{
	struct given given[SETTINGS_COUNT] = {0};
	enum settings_outcome outcome = read_flags(given, argc, argv);

	memset(settings, 0, sizeof(*settings));
	for (size_t i = 0; i < SETTINGS_COUNT && outcome == SETTINGS_RUN; i++)
		outcome = take(&settings_table[i], &given[i], settings);
	if (outcome == SETTINGS_RUN)
		outcome = check_together(settings);
	/* Also when something is missing: this may be why. */
	if (outcome == SETTINGS_WRONG ||
	    (outcome == SETTINGS_RUN && settings->log_level >= LOG_LEVEL_WARNING))
		warn_of_unknown();
	if (outcome == SETTINGS_RUN && settings->log_level >= LOG_LEVEL_WARNING)
		warn_if_cut(given, settings);
	return outcome;
}
