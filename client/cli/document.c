#include "client/cli/document.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "proto/json.h"

/* Nesting of a document, for the indentation. */
#define INDENT 2

/* A text from the broker, with nothing in it that could steer a terminal. */
static void write_text(const char *text)
{
	for (; *text; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte < 0x20 || byte == 0x7f)
			printf("\\x%02x", byte);
		else
			putchar(byte);
	}
}

/* At most three digits after the point. */
static void write_real(double real)
{
	char text[400];
	size_t len = (size_t)snprintf(text, sizeof text, "%.3f", real);

	while (len > 0 && text[len - 1] == '0')
		len--;
	if (len > 0 && text[len - 1] == '.')
		len--;
	fwrite(text, 1, len, stdout);
}

/* Seconds since 1970 as local time; false: it is none. */
static bool write_time(const json_t *json)
{
	time_t seconds = (time_t)json_number_value(json);
	struct tm local;
	char text[64];

	if (!json_is_number(json) || seconds <= 0 || !localtime_r(&seconds, &local))
		return false;
	strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local);
	fputs(text, stdout);
	return true;
}

static void write_leaf(const char *name, const json_t *json)
{
	if (strcmp(name, "last_health_check") == 0 && write_time(json))
		return;
	switch (json_typeof(json)) {
	case JSON_STRING: write_text(json_string_value(json)); break;
	case JSON_INTEGER: printf("%lld", (long long)json_integer_value(json)); break;
	case JSON_REAL: write_real(json_real_value(json)); break;
	case JSON_TRUE: fputs("yes", stdout); break;
	case JSON_FALSE: fputs("no", stdout); break;
	default: fputs("-", stdout);
	}
}

/* Whether it fits on its name's line; what is empty does. */
static bool is_leaf(const json_t *json)
{
	return json_object_size(json) == 0 && json_array_size(json) == 0;
}

static void write_value(const json_t *json, int depth);

static void write_object(json_t *object, int depth)
{
	const char *key;
	json_t *value;
	int width = 0;

	json_object_foreach(object, key, value)
	{
		if (is_leaf(value) && (int)strlen(key) > width)
			width = (int)strlen(key);
	}
	json_object_foreach(object, key, value)
	{
		printf("%*s", depth * INDENT, "");
		write_text(key);
		if (is_leaf(value)) {
			printf("%*s", width - (int)strlen(key) + 2, "");
			write_leaf(key, value);
			putchar('\n');
		} else {
			putchar('\n');
			write_value(value, depth + 1);
		}
	}
}

static void write_array(const json_t *array, int depth)
{
	for (size_t i = 0; i < json_array_size(array); i++) {
		json_t *value = json_array_get(array, i);

		if (is_leaf(value)) {
			printf("%*s", depth * INDENT, "");
			write_leaf("", value);
			putchar('\n');
		} else {
			write_value(value, depth);
			if (i + 1 < json_array_size(array))
				putchar('\n');
		}
	}
}

/* Depth is bounded by the frame scanner. */
static void write_value(const json_t *json, int depth)
{
	if (json_is_object(json))
		write_object((json_t *)json, depth);
	else
		write_array(json, depth);
}

int document_write(const struct poolite_document *document, bool as_json)
{
	struct poolite__reader at = poolite__reader_over(document->bytes, document->len);
	json_t *json = poolite__json(&at);
	int rc = 0;

	if (!json)
		return POOLITE_INTERNAL;
	if (!as_json)
		write_value(json, 0);
	else if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) &&
	    !ferror(stdout))
		rc = POOLITE_OVERLOADED;
	else
		putchar('\n');
	json_decref(json);
	return rc;
}
