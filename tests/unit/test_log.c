/* Log lines: one write each, with time and level; nothing steers a terminal. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <regex.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/log.h"

static FILE *file;
static char text[1 << 20];

/* From here on standard error goes to a file ... */
static void start_catching(void)
{
	file = tmpfile();
	dup2(fileno(file), STDERR_FILENO);
}

/* ... which is read here. */
static void read_caught(void)
{
	rewind(file);
	text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
}

TestSuite(log, .init = start_catching);

Test(log, line_has_time_level_and_message)
{
	regex_t pattern;

	log_info("served %d of %s", 3, "leads.db");
	read_caught();
	cr_assert_eq(
	    regcomp(&pattern,
		"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z "
		"info  served 3 of leads\\.db\n$",
		REG_EXTENDED),
	    0);
	cr_expect_eq(regexec(&pattern, text, 0, NULL, 0), 0, "%s", text);
	regfree(&pattern);
}

Test(log, level_is_info_at_the_start)
{
	log_debug("hidden");
	log_info("shown");
	read_caught();
	cr_expect_null(strstr(text, "hidden"));
	cr_expect_not_null(strstr(text, "shown"));
}

Test(log, writes_what_the_level_lets_through)
{
	static const char *const names[] = {"error", "warning", "info", "debug"};

	for (int level = LOG_LEVEL_ERROR; level <= LOG_LEVEL_DEBUG; level++) {
		log_set_level((enum log_level)level);
		cr_assert_eq(ftruncate(fileno(file), 0), 0);
		rewind(file);
		log_error("message-error");
		log_warning("message-warning");
		log_info("message-info");
		log_debug("message-debug");
		read_caught();
		for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
			char message[32];

			snprintf(message, sizeof(message), "message-%s", names[i]);
			cr_expect_eq(strstr(text, message) != NULL, i <= level,
			    "%s at level %s", message, names[level]);
			cr_expect_eq(log_is_on((enum log_level)i), i <= level);
		}
	}
}

Test(log, level_names_go_both_ways)
{
	enum log_level level;

	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		cr_assert(log_level_parse(log_level_name((enum log_level)i), &level));
		cr_expect_eq((int)level, i);
	}
	cr_expect_not(log_level_parse("", &level));
	cr_expect_not(log_level_parse("infos", &level));
}

Test(log, message_stays_one_line)
{
	log_info("a\nb\rc\033[31md\177");
	read_caught();
	cr_expect_not_null(strstr(text, "a b c [31md \n"), "%s", text);
	cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1);
}

Test(log, long_message_is_cut_and_says_so)
{
	char message[8192];

	memset(message, 'x', sizeof(message) - 1);
	message[sizeof(message) - 1] = '\0';
	log_info("%s", message);
	read_caught();
	cr_expect_gt(strlen(text), 1000);
	cr_expect_lt(strlen(text), 4096);
	cr_expect_str_eq(text + strlen(text) - 7, "xxx...\n");
}

Test(log, keeps_errno)
{
	errno = ENOSPC;
	log_info("still there");
	cr_expect_eq(errno, ENOSPC);
}

static void *write_lines(void *letter)
{
	for (int i = 0; i < 500; i++)
		log_info("%c%s%c", *(char *)letter, "................", *(char *)letter);
	return NULL;
}

Test(log, lines_of_many_threads_never_mix)
{
	char letters[] = "abcd";
	pthread_t threads[4];
	int lines = 0;

	for (int i = 0; i < 4; i++) {
		cr_assert_eq(
		    pthread_create(&threads[i], NULL, write_lines, &letters[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	read_caught();
	for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
		char first = '?', last = '!';

		cr_assert_eq(sscanf(line, "%*s info %c................%c", &first, &last),
		    2, "%s", line);
		cr_expect_eq(first, last, "%s", line);
		lines++;
	}
	cr_expect_eq(lines, 2000);
}

Test(log, sizes_are_for_people)
{
	static const struct {
		int64_t bytes;
		const char *text;
	} cases[] = {{0, "0 bytes"}, {1023, "1023 bytes"}, {65536, "64 KiB"},
	    {797696, "779 KiB"}, {1 << 20, "1 MiB"}, {2048000, "2 MiB"},
	    {11156992, "10.6 MiB"}, {INT64_C(4) << 30, "4 GiB"},
	    {INT64_C(9000) << 30, "9000 GiB"}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char found[LOG_BYTES_SIZE];

		cr_expect_str_eq(log_format_bytes(found, cases[i].bytes), cases[i].text);
	}
}
