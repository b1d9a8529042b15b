/* log.h - lines to standard error: "2026-01-31T12:00:00.123Z info  message".
 *
 * Any thread.  One line is one write(2), so lines never mix.  SQL argument
 * values must never be given to it.
 */
#ifndef POOLITE_BROKER_LOG_H
#define POOLITE_BROKER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/* The one process-wide state: the level, atomic; info at the start. */
void log_set_level(enum log_level level);
/** "error", "warning", "info" or "debug" to a level; false for another word. */
bool log_level_parse(const char *word, enum log_level *level);
const char *log_level_name(enum log_level level);

/** Whether lines of ${level} are written, for what is costly to prepare. */
bool log_is_on(enum log_level level);

void log_error(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *format, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/**
 * For what the broker cannot go on without: an error's line, and the end of the
 * program at once, status 1.  As after kill -9, whoever starts next recovers.
 */
_Noreturn void log_and_exit(const char *format, ...)
    __attribute__((format(printf, 1, 2)));

/** Room for what log_format_bytes writes. */
#define LOG_BYTES_SIZE 32

/** ${bytes} for people, at most one digit behind the point: "512 KiB", "1.5 MiB", "4 GiB". */
const char *log_format_bytes(char text[LOG_BYTES_SIZE], int64_t bytes);

#endif
