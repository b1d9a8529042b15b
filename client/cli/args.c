#include "client/cli/args.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/number.h"

static size_t skip_digits(const char *word, size_t len, size_t at)
{
	while (at < len && word[at] >= '0' && word[at] <= '9')
		at++;
	return at;
}

enum spelling { NO_NUMBER, WHOLE, WITH_POINT };

/* -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][-+]?[0-9]+)? */
static enum spelling spelling_of(const char *word, size_t len)
{
	size_t at = len > 0 && word[0] == '-' ? 1 : 0;
	size_t start = at;
	enum spelling spelling = WHOLE;

	at = skip_digits(word, len, at);
	if (at == start || (word[start] == '0' && at > start + 1))
		return NO_NUMBER;
	if (at < len && word[at] == '.') {
		start = ++at;
		at = skip_digits(word, len, at);
		if (at == start)
			return NO_NUMBER;
		spelling = WITH_POINT;
	}
	if (at < len && (word[at] == 'e' || word[at] == 'E')) {
		at++;
		if (at < len && (word[at] == '-' || word[at] == '+'))
			at++;
		start = at;
		at = skip_digits(word, len, at);
		if (at == start)
			return NO_NUMBER;
		spelling = WITH_POINT;
	}
	return at == len ? spelling : NO_NUMBER;
}

/* A whole number; TEXT when 64 bits do not hold it. */
static struct poolite_value value_of_integer(const char *word, size_t len)
{
	int64_t integer = poolite__text_to_int64(word, len);
	char text[POOLITE__NUMBER_BYTES];

	/* Written again, it is the same word unless it was cut to fit. */
	if (poolite__int64_to_text(text, integer) == len && memcmp(text, word, len) == 0)
		return poolite_integer(integer);
	return poolite_text_n(word, len);
}

struct poolite_value value_of_word(const char *word, size_t len, bool all_text)
{
	enum spelling spelling = all_text ? NO_NUMBER : spelling_of(word, len);
	double real;

	if (!all_text && len == 4 && memcmp(word, "null", 4) == 0)
		return poolite_null();
	if (spelling == WHOLE)
		return value_of_integer(word, len);
	if (spelling == WITH_POINT) {
		real = poolite__text_to_double(word, len);
		if (isfinite(real))
			return poolite_real(real);
	}
	return poolite_text_n(word, len);
}

struct poolite_value *values_of_words(char *const *words, int count, bool all_text)
{
	struct poolite_value *values = calloc((size_t)count + 1, sizeof *values);

	for (int i = 0; values && i < count; i++)
		values[i] = value_of_word(words[i], strlen(words[i]), all_text);
	return values;
}
