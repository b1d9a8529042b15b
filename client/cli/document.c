#include "client/cli/document.h"

#include <stdio.h>
#include <string.h>

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

static void write_leaf(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_STRING: write_text(json_string_value(json)); break;
	case JSON_INTEGER: printf("%lld", (long long)json_integer_value(json)); break;
	case JSON_REAL: printf("%.15g", json_real_value(json)); break;
	case JSON_TRUE: fputs("yes", stdout); break;
	case JSON_FALSE: fputs("no", stdout); break;
	default: fputs("-", stdout);
	}
}

static bool is_leaf(const json_t *json)
{
	return !json_is_object(json) && !json_is_array(json);
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
			write_leaf(value);
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
			write_leaf(value);
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
	else if (json_dumpf(json, stdout, JSON_INDENT(2)) && !ferror(stdout))
		rc = POOLITE_OVERLOADED;
	else
		putchar('\n');
	json_decref(json);
	return rc;
}
