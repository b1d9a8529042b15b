/* Settings: flag, else environment, else default; bad ones get a sentence. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/settings_table.h"

#define SECOND       INT64_C(1000000000)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct settings settings;

/* What the last read() printed, both streams. */
static char printed[16384];

/* settings_read with the words of ${line} as flags, its output in ${printed}. */
static enum settings_outcome read_line(const char *line)
{
	char words[512], *argv[32] = {(char *)"poolited"};
	int argc = 1, out = dup(STDOUT_FILENO), err = dup(STDERR_FILENO);
	FILE *file = tmpfile();

	cr_assert_lt(snprintf(words, sizeof(words), "%s", line), (int)sizeof(words));
	for (char *word = strtok(words, " "); word != NULL; word = strtok(NULL, " "))
		argv[argc++] = word;
	fflush(stdout);
	dup2(fileno(file), STDOUT_FILENO);
	dup2(fileno(file), STDERR_FILENO);
	enum settings_outcome outcome = settings_read(&settings, argc, argv);
	fflush(stdout);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	rewind(file);
	printed[fread(printed, 1, sizeof(printed) - 1, file)] = '\0';
	fclose(file);
	close(out);
	close(err);
	return outcome;
}

/* The same with the two that are required. */
static enum settings_outcome read_more(const char *line)
{
	char whole[512];

	snprintf(whole, sizeof(whole), "--db a.db --socket a.sock %s", line);
	return read_line(whole);
}

static void assert_printed(const char *part)
{
	cr_assert_not_null(strstr(printed, part), "\"%s\" is not in: %s", part, printed);
}

static void start_clean(void)
{
	clearenv();
}

TestSuite(settings, .init = start_clean);

Test(settings, defaults_are_the_documented_ones)
{
	cr_assert_eq(read_more(""), SETTINGS_RUN, "%s", printed);
	cr_assert_str_empty(printed);
	cr_expect_str_eq(settings.database, "a.db");
	cr_expect_str_eq(settings.socket, "a.sock");
	cr_expect_null(settings.stats_socket);
	cr_expect(settings.create);
	cr_expect_eq(settings.socket_mode, 0660);
	cr_expect_null(settings.socket_group);
	cr_expect_eq(settings.synchronous, SYNCHRONOUS_FULL);
	cr_expect(settings.foreign_keys);
	cr_expect_eq(settings.cache_bytes, 8 << 20);
	cr_expect_not(settings.temp_store_memory);
	cr_expect_eq(settings.busy_timeout_ns, 5 * SECOND);
	cr_expect_eq(settings.query_timeout_ns, 60 * SECOND);
	cr_expect_eq(settings.transaction_timeout_ns, 60 * SECOND);
	cr_expect_eq(settings.transaction_idle_timeout_ns, 10 * SECOND);
	cr_expect_eq(settings.write_timeout_ns, 30 * SECOND);
	cr_expect_eq(settings.grace_ns, 10 * SECOND);
	cr_expect_eq(settings.connection_timeout_ns, 30 * SECOND);
	cr_expect_eq(settings.health_check_interval_ns, 300 * SECOND);
	cr_expect_eq(settings.max_connections, 10);
	cr_expect_eq(settings.checkpoint_pages, 1000);
	cr_expect_eq(settings.wal_limit_bytes, UINT64_C(4) << 30);
	cr_expect_eq(settings.max_clients, 1000);
	cr_expect_eq(settings.max_inflight, 128);
	cr_expect_eq(settings.max_frame_bytes, 16 << 20);
	cr_expect_eq(settings.max_values, 4000000);
	cr_expect_eq(settings.max_result_bytes, 64 << 20);
	cr_expect_eq(settings.max_buffered_bytes, 256 << 20);
	cr_expect_eq(settings.log_level, LOG_LEVEL_INFO);
}

Test(settings, warns_of_more_reserved_places_than_are_kept)
{
	cr_assert_eq(read_more("--reserved-clients 5 --max-clients 10"), SETTINGS_RUN);
	assert_printed("warn");
	assert_printed("reserved_clients is 5, but 1 places are kept");
	cr_assert_eq(read_more("--reserved-clients 5 --max-clients 50"), SETTINGS_RUN);
	cr_expect_str_empty(printed);
	cr_assert_eq(read_more("--max-clients 10"), SETTINGS_RUN); /* not asked for */
	cr_expect_str_empty(printed);
}

Test(settings, takes_a_value_behind_a_space_or_an_equals_sign)
{
	cr_assert_eq(read_more("--max-clients 7 --max-inflight=9"), SETTINGS_RUN);
	cr_expect_eq(settings.max_clients, 7);
	cr_expect_eq(settings.max_inflight, 9);
}

Test(settings, last_flag_wins)
{
	cr_assert_eq(read_more("--max-clients 7 --max-clients 8"), SETTINGS_RUN);
	cr_expect_eq(settings.max_clients, 8);
}

Test(settings, environment_stands_in_for_a_flag)
{
	setenv("POOLITE_DATABASE", "env.db", 1);
	setenv("POOLITE_SOCKET", "env.sock", 1);
	setenv("POOLITE_FOREIGN_KEYS", "off", 1);
	cr_assert_eq(read_line(""), SETTINGS_RUN, "%s", printed);
	cr_expect_str_eq(settings.database, "env.db");
	cr_expect_str_eq(settings.socket, "env.sock");
	cr_expect_not(settings.foreign_keys);
}

Test(settings, flag_wins_over_environment)
{
	setenv("POOLITE_MAX_CLIENTS", "20", 1);
	cr_assert_eq(read_more("--max-clients 30"), SETTINGS_RUN);
	cr_expect_eq(settings.max_clients, 30);
}

Test(settings, flag_hides_a_bad_variable)
{
	setenv("POOLITE_MAX_CLIENTS", "many", 1);
	cr_assert_eq(read_more("--max-clients 30"), SETTINGS_RUN, "%s", printed);
}

Test(settings, empty_variable_counts_as_not_set)
{
	setenv("POOLITE_MAX_CONNECTIONS", "", 1);
	setenv("DB_POOL_MAX_CONNECTIONS", "12", 1);
	setenv("POOLITE_STATS_SOCKET", "", 1);
	cr_assert_eq(read_more(""), SETTINGS_RUN, "%s", printed);
	cr_expect_eq(settings.max_connections, 12);
	cr_expect_null(settings.stats_socket);
}

Test(settings, takes_the_three_variables_of_an_in_process_pool)
{
	setenv("DB_POOL_MAX_CONNECTIONS", "20", 1);
	setenv("DB_POOL_CONNECTION_TIMEOUT", "0.25", 1);
	setenv("DB_POOL_HEALTH_CHECK_INTERVAL", "60", 1);
	cr_assert_eq(read_more(""), SETTINGS_RUN, "%s", printed);
	cr_expect_eq(settings.max_connections, 20);
	cr_expect_eq(settings.connection_timeout_ns, SECOND / 4);
	cr_expect_eq(settings.health_check_interval_ns, 60 * SECOND);
}

Test(settings, own_variable_wins_over_the_old_one)
{
	setenv("DB_POOL_MAX_CONNECTIONS", "20", 1);
	setenv("POOLITE_MAX_CONNECTIONS", "30", 1);
	cr_assert_eq(read_more(""), SETTINGS_RUN, "%s", printed);
	cr_expect_eq(settings.max_connections, 30);
}

Test(settings, warns_of_a_variable_that_is_no_setting)
{
	setenv("POOLITE_MAX_CONECTIONS", "2", 1);
	setenv("POOLITE_COLOUR_OF_THE_SKY", "blue", 1);
	setenv("POOLITE_", "x", 1);
	setenv("POOLITE_SOKET", "", 1);
	setenv("POOLITE_SOCKET", "env.sock", 1);
	cr_assert_eq(read_more(""), SETTINGS_RUN, "%s", printed);
	assert_printed(
	    "warning the environment variable POOLITE_MAX_CONECTIONS is no setting: "
	    "it is ignored; did you mean POOLITE_MAX_CONNECTIONS?\n");
	assert_printed("POOLITE_COLOUR_OF_THE_SKY is no setting: it is ignored; "
		       "poolited --help lists them\n");
	assert_printed("variable POOLITE_ is no setting");
	cr_expect_null(strstr(printed, "POOLITE_SO"), "%s", printed);
	read_more("--log-level error");
	cr_expect_str_empty(printed);
	read_more("--help");
	cr_expect_null(strstr(printed, "no setting"), "%s", printed);
}

Test(settings, a_misspelt_variable_is_named_when_its_setting_is_missing)
{
	setenv("POOLITE_SOKET", "a.sock", 1);
	cr_assert_eq(read_line("--db a.db"), SETTINGS_WRONG);
	assert_printed("socket is not set");
	assert_printed("did you mean POOLITE_SOCKET?");
}

Test(settings, booleans_take_words_and_a_bare_flag_and_no)
{
	static const struct {
		const char *line;
		bool create;
	} cases[] = {
	    {"--create", true},
	    {"--create=on", true},
	    {"--create=YES", true},
	    {"--create=1", true},
	    {"--create=true", true},
	    {"--no-create", false},
	    {"--create=off", false},
	    {"--create=no", false},
	    {"--create=False", false},
	    {"--create=0", false},
	    {"--no-create --create", true},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_assert_eq(read_more(cases[i].line), SETTINGS_RUN, "%s", printed);
		cr_expect_eq(settings.create, cases[i].create, "%s", cases[i].line);
	}
}

Test(settings, sizes_take_units)
{
	static const struct {
		const char *text;
		uint64_t bytes;
	} cases[] = {
	    {"65536", 65536},
	    {"64K", 65536},
	    {"64k", 65536},
	    {"8M", 8 << 20},
	    {"1G", 1 << 30},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char line[64];

		snprintf(line, sizeof(line), "--cache %s", cases[i].text);
		cr_assert_eq(read_more(line), SETTINGS_RUN, "%s", printed);
		cr_expect_eq(settings.cache_bytes, cases[i].bytes, "%s", cases[i].text);
	}
}

Test(settings, times_take_fractions)
{
	static const struct {
		const char *text;
		int64_t ns;
	} cases[] = {
	    {"30", 30 * SECOND},
	    {"0.5", SECOND / 2},
	    {"1.25", SECOND + SECOND / 4},
	    {"0.001", SECOND / 1000},
	    {"2.0000000019", 2 * SECOND + 1},
	    {"31536000", 31536000 * SECOND},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char line[64];

		snprintf(line, sizeof(line), "--query-timeout %s", cases[i].text);
		cr_assert_eq(read_more(line), SETTINGS_RUN, "%s", printed);
		cr_expect_eq(settings.query_timeout_ns, cases[i].ns, "%s", cases[i].text);
	}
}

Test(settings, words_take_any_case)
{
	cr_assert_eq(
	    read_more("--synchronous normal --temp-store MEMORY --log-level debug "
		      "--socket-mode 600"),
	    SETTINGS_RUN, "%s", printed);
	cr_expect_eq(settings.synchronous, SYNCHRONOUS_NORMAL);
	cr_expect(settings.temp_store_memory);
	cr_expect_eq(settings.log_level, LOG_LEVEL_DEBUG);
	cr_expect_eq(settings.socket_mode, 0600);
	cr_assert_eq(read_more("--synchronous EXTRA"), SETTINGS_RUN);
	cr_expect_eq(settings.synchronous, SYNCHRONOUS_EXTRA);
}

/* Each with the setting's name and the bad value in the sentence. */
Test(settings, refuses_bad_values_by_name)
{
	static const struct {
		const char *flag, *value, *name;
	} cases[] = {
	    {"max-connections", "3", "max_connections"},
	    {"max-connections", "1025", "max_connections"},
	    {"max-connections", "-4", "max_connections"},
	    {"max-connections", "+4", "max_connections"},
	    {"max-connections", "0x10", "max_connections"},
	    {"max-connections", "10x", "max_connections"},
	    {"max-connections", "4294967300", "max_connections"},
	    {"max-connections", "99999999999999999999", "max_connections"},
	    {"max-clients", "0", "max_clients"},
	    {"max-clients", "many", "max_clients"},
	    {"cache", "8MB", "cache"},
	    {"cache", "8T", "cache"},
	    {"cache", "M", "cache"},
	    {"cache", "1.5M", "cache"},
	    {"cache", "1", "cache"},
	    {"cache", "17179869185G", "cache"},
	    {"query-timeout", "0", "query_timeout"},
	    {"query-timeout", "0.0001", "query_timeout"},
	    {"query-timeout", "5s", "query_timeout"},
	    {"query-timeout", "5.", "query_timeout"},
	    {"query-timeout", ".5", "query_timeout"},
	    {"query-timeout", "1e3", "query_timeout"},
	    {"query-timeout", "inf", "query_timeout"},
	    {"query-timeout", "31536000.1", "query_timeout"},
	    {"query-timeout", "18446744074", "query_timeout"},
	    {"socket-mode", "0999", "socket_mode"},
	    {"socket-mode", "1777", "socket_mode"},
	    {"socket-mode", "rw", "socket_mode"},
	    {"synchronous", "2", "synchronous"},
	    {"temp-store", "ram", "temp_store"},
	    {"log-level", "loud", "log_level"},
	    {"create", "maybe", "create"},
	    {"db", ":memory:", "database"},
	    {"db", "file:a.db?mode=ro", "database"},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		char line[128], sentence[128];

		snprintf(line, sizeof(line), "--%s=%s", cases[i].flag, cases[i].value);
		cr_assert_eq(read_more(line), SETTINGS_WRONG, "%s", line);
		snprintf(sentence, sizeof(sentence),
		    "poolited: %s cannot be \"%s\" (from the flag --%s): it has to be ",
		    cases[i].name, cases[i].value, cases[i].flag);
		assert_printed(sentence);
		cr_expect_eq(strchr(printed, '\n'), printed + strlen(printed) - 1,
		    "one line: %s", printed);
	}
}

Test(settings, says_what_a_database_is)
{
	cr_assert_eq(read_more("--db :memory:"), SETTINGS_WRONG);
	assert_printed(
	    "the path of a file, of 1 to 4000 bytes, and neither :memory: nor a "
	    "URI (file:...)");
	cr_assert_eq(read_more("--db ./file:x"), SETTINGS_RUN, "%s", printed);
}

Test(settings, says_why_synchronous_off_is_refused)
{
	cr_assert_eq(read_more("--synchronous OFF"), SETTINGS_WRONG);
	assert_printed("power cut");
}

Test(settings, bad_variable_is_named)
{
	setenv("DB_POOL_MAX_CONNECTIONS", "three", 1);
	cr_assert_eq(read_more(""), SETTINGS_WRONG);
	assert_printed("max_connections cannot be \"three\"");
	assert_printed("the environment variable DB_POOL_MAX_CONNECTIONS");
	assert_printed("a whole number from 4 to 1024");
}

Test(settings, refuses_a_socket_path_that_no_address_holds)
{
	char line[256] = "--socket ";
	size_t start = strlen(line);

	memset(line + start, 'a', 107);
	line[start + 107] = '\0';
	cr_assert_eq(read_more(line), SETTINGS_RUN, "%s", printed);
	line[start + 107] = 'a';
	cr_assert_eq(read_more(line), SETTINGS_WRONG);
	assert_printed("107 bytes");
}

Test(settings, database_and_socket_are_required)
{
	cr_assert_eq(read_line("--socket a.sock"), SETTINGS_WRONG);
	assert_printed("database is not set: give --db FILE");
	assert_printed("POOLITE_DATABASE");
	cr_assert_eq(read_line("--db a.db"), SETTINGS_WRONG);
	assert_printed("socket is not set: give --socket PATH");
}

Test(settings, refuses_flags_it_does_not_know)
{
	static const struct {
		const char *line, *sentence;
	} cases[] = {
	    {"--nonsense", "no flag --nonsense"},
	    {"--nonsense=3", "no flag --nonsense=3"},
	    {"--max-cli 3", "no flag --max-cli"}, /* an abbreviation */
	    {"--max-cli=3", "no flag --max-cli"},
	    {"--no-create=off", "no flag --no-create=off"},
	    {"--no-cache", "no flag --no-cache"},
	    {"-x", "no flag -x"},
	    {"--max-clients", "--max-clients needs a value"},
	    {"stray", "unexpected argument \"stray\""},
	    {"--create off", "unexpected argument \"off\""},
	    {"-- --create", "unexpected argument \"--create\""},
	};

	for (size_t i = 0; i < COUNT(cases); i++) {
		cr_assert_eq(
		    read_more(cases[i].line), SETTINGS_WRONG, "%s", cases[i].line);
		assert_printed(cases[i].sentence);
	}
}

Test(settings, refuses_what_contradicts_itself)
{
	cr_assert_eq(read_more("--stats-socket a.sock"), SETTINGS_WRONG);
	assert_printed("stats_socket cannot be \"a.sock\"");
	cr_assert_eq(read_more("--max-buffered-bytes 32M"), SETTINGS_WRONG);
	assert_printed("max_buffered_bytes");
	cr_assert_eq(read_more("--max-buffered-bytes 64M"), SETTINGS_RUN);
}

Test(settings, help_names_each_setting_with_default_and_variable)
{
	cr_assert_eq(read_line("--help"), SETTINGS_DONE);
	for (size_t i = 0; i < SETTINGS_COUNT; i++) {
		char part[64];

		snprintf(part, sizeof(part), "  --%s", settings_table[i].flag);
		assert_printed(part);
		if (settings_table[i].initial != NULL) {
			snprintf(
			    part, sizeof(part), "default %s;", settings_table[i].initial);
			assert_printed(part);
		}
	}
	assert_printed("$POOLITE_MAX_CONNECTIONS or $DB_POOL_MAX_CONNECTIONS");
	assert_printed("Examples:");
}

Test(settings, version_needs_no_other_flag)
{
	cr_assert_eq(read_line("--version"), SETTINGS_DONE);
	assert_printed("poolited " POOLITE_VERSION);
}
