#include "broker/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A longer line is cut: it has to fit on a stack and into one write. */
#define LINE_BYTES 2048

static _Atomic int current_level = LOG_LEVEL_INFO;

static const char *const level_names[] = {
    [LOG_LEVEL_ERROR] = "error",
    [LOG_LEVEL_WARNING] = "warning",
    [LOG_LEVEL_INFO] = "info",
    [LOG_LEVEL_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&current_level, (int)level, memory_order_relaxed);
}

bool log_level_parse(const char *word, enum log_level *level)
{
	for (int i = LOG_LEVEL_ERROR; i <= LOG_LEVEL_DEBUG; i++) {
		if (strcmp(word, level_names[i]) == 0) {
			*level = (enum log_level)i;
			return true;
		}
	}
	return false;
}

const char *log_level_name(enum log_level level)
{
	return level_names[level];
}

bool log_is_on(enum log_level level)
{
	return (int)level <= atomic_load_explicit(&current_level, memory_order_relaxed);
}

/* Write the time and the level; returns the bytes used. */
static size_t write_prefix(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	size_t len = strftime(line, size, "%Y-%m-%dT%H:%M:%S", &utc);
	int more = snprintf(line + len, size - len, ".%03ldZ %-5s ",
	    now.tv_nsec / 1000000, level_names[level]);
	return len + (size_t)more;
}

/* A client's text may be part of a line: it must not end the line, nor steer a terminal. */
static void replace_controls(char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
			text[i] = ' ';
}

static void write_line(enum log_level level, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void write_line(enum log_level level, const char *format, va_list args)
{
	int saved_errno = errno;
	char line[LINE_BYTES];
	size_t start = write_prefix(line, sizeof(line), level);
	size_t room = sizeof(line) - start;
	int wanted = vsnprintf(line + start, room, format, args);
	size_t len = wanted < 0 ? 0 : (size_t)wanted;

	if (len >= room) {
		len = room - 1;
		memcpy(line + start + len - 3, "...", 3);
	}
	replace_controls(line + start, len);
	line[start + len] = '\n';
	/* Nobody is left to tell when this fails. */
	ssize_t written = write(STDERR_FILENO, line, start + len + 1);
	(void)written;
	errno = saved_errno;
}

/* All four are the same but for the level; variable arguments cannot be passed on. */
#define DEFINE_LOG(name, level)                                                          \
	void name(const char *format, ...)                                               \
	{                                                                                \
		va_list args;                                                            \
                                                                                         \
		if (!log_is_on(level))                                                   \
			return;                                                          \
		va_start(args, format);                                                  \
		write_line(level, format, args);                                         \
		va_end(args);                                                            \
	}

DEFINE_LOG(log_error, LOG_LEVEL_ERROR)
DEFINE_LOG(log_warning, LOG_LEVEL_WARNING)
DEFINE_LOG(log_info, LOG_LEVEL_INFO)
DEFINE_LOG(log_debug, LOG_LEVEL_DEBUG)

void log_and_exit(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	write_line(LOG_LEVEL_ERROR, format, args);
	va_end(args);
	_exit(EXIT_FAILURE);
}

const char *log_format_bytes(char text[LOG_BYTES_SIZE], int64_t bytes)
{
	static const char *const units[] = {"bytes", "KiB", "MiB", "GiB"};
	double number = (double)bytes;
	size_t unit = 0;
	char *zero;

	while (number >= 1024 && unit < 3) {
		number /= 1024;
		unit++;
	}
	snprintf(text, LOG_BYTES_SIZE, "%.1f %s", number, units[unit]);
	zero = strstr(text, ".0 ");
	if (zero)
		memmove(zero, zero + 2, strlen(zero + 2) + 1);
	return text;
}
