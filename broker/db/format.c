/* format.c - functions.h's printf(): SQLite's own, one conversion at a time.
 *
 * Formatting is sqlite3_str_appendf's; what is done here is to walk through the format as
 * SQLite does, so that a character repeated by its precision is bounded.
 */
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "broker/db/functions.h"

/* Copies of a character that are appended at once. */
#define RUN_BYTES 1024

struct arguments {
	sqlite3_value **at;
	int left;
};

/* One conversion, between its percent sign and its letter. */
struct conversion {
	bool is_left;
	char flags[8]; /* without '-' */
	int width;
	int precision; /* -1: none */
	char letter;   /* '\0': the format ended before it */
};

static sqlite3_value *next_argument(struct arguments *arguments)
{
	if (arguments->left == 0)
		return NULL;
	arguments->left--;
	return *arguments->at++;
}

static sqlite3_int64 next_integer(struct arguments *arguments)
{
	sqlite3_value *value = next_argument(arguments);

	return value ? sqlite3_value_int64(value) : 0;
}

static double next_real(struct arguments *arguments)
{
	sqlite3_value *value = next_argument(arguments);

	return value ? sqlite3_value_double(value) : 0;
}

/* NULL for NULL, and behind the last one. */
static const char *next_text(struct arguments *arguments)
{
	sqlite3_value *value = next_argument(arguments);

	return value ? (const char *)sqlite3_value_text(value) : NULL;
}

/* ---- reading one ------------------------------------------------------------------------------ */

/* Digits at ${*at}, which then stands behind them; they wrap around as SQLite's do. */
static int read_digits(const char **at)
{
	unsigned number = 0;

	for (; **at >= '0' && **at <= '9'; ++*at)
		number = number * 10 + (unsigned)(**at - '0');
	return (int)(number & INT_MAX);
}

static void read_width(
    struct conversion *conversion, const char **at, struct arguments *arguments)
{
	if (**at != '*') {
		conversion->width = read_digits(at);
		return;
	}
	++*at;
	conversion->width = (int)next_integer(arguments);
	if (conversion->width < 0) {
		conversion->is_left = true;
		conversion->width =
		    conversion->width >= -INT_MAX ? -conversion->width : 0;
	}
}

static void read_precision(
    struct conversion *conversion, const char **at, struct arguments *arguments)
{
	++*at; /* the point */
	if (**at != '*') {
		conversion->precision = read_digits(at);
		return;
	}
	++*at;
	conversion->precision = (int)next_integer(arguments);
	if (conversion->precision < 0)
		conversion->precision =
		    conversion->precision >= -INT_MAX ? -conversion->precision : -1;
}

/* From behind the percent sign to behind the letter. */
static void read_conversion(
    struct conversion *conversion, const char **at, struct arguments *arguments)
{
	size_t count = 0;

	*conversion = (struct conversion){.precision = -1};
	for (; **at && strchr("-+ #!0,", **at); ++*at) {
		char *sign = strpbrk(conversion->flags, "+ ");
		if (**at == '-')
			conversion->is_left = true;
		else if (sign && (**at == '+' || **at == ' '))
			*sign = **at; /* the last one counts */
		else if (!strchr(conversion->flags, **at))
			conversion->flags[count++] = **at;
	}
	if (**at == '*' || (**at >= '1' && **at <= '9'))
		read_width(conversion, at, arguments);
	if (**at == '.')
		read_precision(conversion, at, arguments);
	for (int i = 0; i < 2 && **at == 'l'; i++)
		++*at;
	conversion->letter = **at;
	if (**at)
		++*at;
}

/* ---- writing one ------------------------------------------------------------------------------- */

/* ${conversion} as a format of its own, with ${letters} behind. */
static void write_format(
    char format[64], const struct conversion *conversion, const char *letters)
{
	int len = snprintf(
	    format, 64, "%%%s%s", conversion->is_left ? "-" : "", conversion->flags);

	if (conversion->width > 0)
		len += snprintf(format + len, 64 - (size_t)len, "%d", conversion->width);
	if (conversion->precision >= 0)
		len += snprintf(
		    format + len, 64 - (size_t)len, ".%d", conversion->precision);
	snprintf(format + len, 64 - (size_t)len, "%s", letters);
}

/* ${count} times ${len} bytes; ends as soon as that is too large. */
static void append_copies(sqlite3_str *out, const char *bytes, int len, int count)
{
	char run[RUN_BYTES];
	int copies = 0;

	while (copies < count && (copies + 1) * len <= RUN_BYTES)
		memcpy(run + (ptrdiff_t)copies++ * len, bytes, (size_t)len);
	for (; count > 0 && sqlite3_str_errcode(out) == SQLITE_OK; count -= copies) {
		if (copies > count)
			copies = count;
		sqlite3_str_append(out, run, copies * len);
	}
}

/* %c: a text's first character, as often as the precision says. */
static void append_character(
    sqlite3_str *out, const struct conversion *conversion, const char *text)
{
	char bytes[4] = "";
	int len = 1, copies = conversion->precision > 1 ? conversion->precision : 1;
	long long blanks = (long long)conversion->width - copies;

	if (text) {
		bytes[0] = *text;
		if ((*text & 0xc0) == 0xc0)
			for (; len < 4 && (text[len] & 0xc0) == 0x80; len++)
				bytes[len] = text[len];
	}
	if (blanks > 0 && !conversion->is_left)
		sqlite3_str_appendchar(out, (int)blanks, ' ');
	append_copies(out, bytes, len, copies);
	if (blanks > 0 && conversion->is_left)
		sqlite3_str_appendchar(out, (int)blanks, ' ');
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
/* False: SQLite knows no such conversion, or keeps it for itself; it stops there. */
static bool append_conversion(
    sqlite3_str *out, struct conversion *conversion, struct arguments *arguments)
{
	char letters[4] = {conversion->letter, '\0'}, format[64];
	const char *text;

	switch (conversion->letter) {
	case 'd':
	case 'i':
	case 'u':
	case 'o':
	case 'x':
	case 'X':
	case 'r':
		snprintf(letters, sizeof letters, "ll%c", conversion->letter);
		write_format(format, conversion, letters);
		sqlite3_str_appendf(out, format, next_integer(arguments));
		return true;
	case 'p':
		write_format(format, conversion, letters);
		sqlite3_str_appendf(
		    out, format, (void *)(intptr_t)next_integer(arguments));
		return true;
	case 'f':
	case 'e':
	case 'E':
	case 'g':
	case 'G':
		write_format(format, conversion, letters);
		sqlite3_str_appendf(out, format, next_real(arguments));
		return true;
	case 's':
	case 'z': /* whose text would be freed */
		write_format(format, conversion, "s");
		text = next_text(arguments);
		sqlite3_str_appendf(out, format, text ? text : "");
		return true;
	case 'q':
	case 'Q':
	case 'w':
		write_format(format, conversion, letters);
		sqlite3_str_appendf(out, format, next_text(arguments));
		return true;
	case 'c': append_character(out, conversion, next_text(arguments)); return true;
	case '%':
		write_format(format, conversion, letters);
		sqlite3_str_appendf(out, format);
		return true;
	case 'n': /* nothing, but that is appended */
		sqlite3_str_append(out, "", 0);
		return true;
	default: return false;
	}
}
#pragma GCC diagnostic pop

void functions_printf(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct arguments arguments = {argv + 1, argc - 1};
	const char *at = argc > 0 ? (const char *)sqlite3_value_text(argv[0]) : NULL;
	sqlite3_str *out;

	if (!at)
		return;
	out = sqlite3_str_new(sqlite3_context_db_handle(context));
	while (*at && sqlite3_str_errcode(out) == SQLITE_OK) {
		const char *percent = strchrnul(at, '%');
		struct conversion conversion;
		/* Nothing at all is NULL, but not when nothing is appended to it. */
		if (percent > at)
			sqlite3_str_append(out, at, (int)(percent - at));
		if (*percent == '\0')
			break;
		at = percent + 1;
		if (*at == '\0') {
			sqlite3_str_append(out, "%", 1);
			break;
		}
		read_conversion(&conversion, &at, &arguments);
		if (!append_conversion(out, &conversion, &arguments))
			break;
	}
	functions_result(context, out);
}
