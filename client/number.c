#include "client/number.h"

#include <inttypes.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t locale_once = PTHREAD_ONCE_INIT;
static locale_t c_locale; /* 0: no memory for it; then the process's own is used */

static void make_locale(void)
{
	c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static size_t skip_digits(const char *text, size_t len, size_t at)
{
	while (at < len && is_digit(text[at]))
		at++;
	return at;
}

static size_t skip_spaces(const char *text, size_t len)
{
	size_t at = 0;

	while (at < len && is_space(text[at]))
		at++;
	return at;
}

int64_t poolite__text_to_int64(const char *text, size_t len)
{
	size_t at = skip_spaces(text, len);
	bool is_negative = at < len && text[at] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + is_negative;
	uint64_t value = 0;

	if (at < len && (text[at] == '-' || text[at] == '+'))
		at++;
	for (; at < len && is_digit(text[at]); at++) {
		unsigned digit = (unsigned)(text[at] - '0');

		if (value > (limit - digit) / 10) {
			value = limit;
			break;
		}
		value = value * 10 + digit;
	}
	/* Negated as unsigned, for INT64_MIN's sake. */
	return (int64_t)(is_negative ? -value : value);
}

/* Where the number that begins at ${at} ends; ${at} when there is none. */
static size_t number_end(const char *text, size_t len, size_t at)
{
	size_t start = at, digits, end;

	if (at < len && (text[at] == '-' || text[at] == '+'))
		at++;
	digits = at;
	end = skip_digits(text, len, at);
	if (end < len && text[end] == '.') {
		size_t after = skip_digits(text, len, end + 1);

		if (after == digits + 1)
			return start; /* only a point */
		end = after;
	} else if (end == digits) {
		return start;
	}
	if (end < len && (text[end] == 'e' || text[end] == 'E')) {
		size_t exponent = end + 1;

		if (exponent < len && (text[exponent] == '-' || text[exponent] == '+'))
			exponent++;
		if (skip_digits(text, len, exponent) > exponent)
			end = skip_digits(text, len, exponent);
	}
	return end;
}

double poolite__text_to_double(const char *text, size_t len)
{
	size_t start = skip_spaces(text, len);
	size_t end = number_end(text, len, start);
	char small[128];
	char *copy = small;
	double real = 0.0;

	if (end <= start)
		return 0.0;
	if (end - start >= sizeof small)
		copy = strndup(text + start, end - start);
	else
		*(char *)mempcpy(copy, text + start, end - start) = '\0';
	if (!copy)
		return 0.0;
	pthread_once(&locale_once, make_locale);
	real = c_locale ? strtod_l(copy, NULL, c_locale) : strtod(copy, NULL);
	if (copy != small)
		free(copy);
	return real;
}

int64_t poolite__double_to_int64(double real)
{
	if (!(real > (double)INT64_MIN)) /* not a number, too */
		return isnan(real) ? 0 : INT64_MIN;
	if (real >= (double)INT64_MAX)
		return INT64_MAX;
	return (int64_t)real;
}

size_t poolite__int64_to_text(char text[POOLITE__NUMBER_BYTES], int64_t integer)
{
	return (size_t)snprintf(text, POOLITE__NUMBER_BYTES, "%" PRId64, integer);
}

static void print_digits(char text[POOLITE__NUMBER_BYTES], double real)
{
	locale_t before;

	pthread_once(&locale_once, make_locale);
	before = uselocale(c_locale);
	snprintf(text, POOLITE__NUMBER_BYTES, "%.15g", real);
	uselocale(before);
}

size_t poolite__double_to_text(char text[POOLITE__NUMBER_BYTES], double real)
{
	size_t len, point;

	if (isnan(real))
		return (size_t)snprintf(text, POOLITE__NUMBER_BYTES, "NaN");
	if (isinf(real))
		return (size_t)snprintf(
		    text, POOLITE__NUMBER_BYTES, real < 0 ? "-Inf" : "Inf");
	if (real == 0.0)
		return (size_t)snprintf(text, POOLITE__NUMBER_BYTES, "0.0");
	print_digits(text, real);
	len = strlen(text);
	if (!strchr(text, '.')) {
		point = strcspn(text, "e");
		memmove(text + point + 2, text + point, len - point + 1);
		memcpy(text + point, ".0", 2);
		len += 2;
	}
	return len;
}
