#include "client/cli/document.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/units.h"
#include "proto/json.h"

/* Nesting of a document, for the indentation. */
#define INDENT 2

/* A text from the broker, with nothing in it that could steer a terminal. */
static void write_text(const char *text, size_t len)
{
	for (const char *at = text; at < text + len; at++) {
		unsigned char byte = (unsigned char)*at;

		if (byte < 0x20 || byte == 0x7f)
			printf("\\x%02x", byte);
		else
			putchar(byte);
	}
}

/* ---- lines --------------------------------------------------------------- */

static void write_leaf(const char *key, const json_t *json)
{
	char text[UNITS_SIZE];

	switch (json_typeof(json)) {
	case JSON_STRING:
		write_text(json_string_value(json), json_string_length(json));
		break;
	case JSON_INTEGER:
	case JSON_REAL:
		units_format(text, key, json);
		fputs(text, stdout);
		break;
	case JSON_TRUE: fputs("yes", stdout); break;
	case JSON_FALSE: fputs("no", stdout); break;
	default: fputs("-", stdout);
	}
	putchar('\n');
}

/* Whether it fits on its name's line; what is empty does. */
static bool is_leaf(const json_t *json)
{
	return json_object_size(json) == 0 && json_array_size(json) == 0;
}

/* Whether it is a map of maps of numbers: rows and columns. */
static bool is_table(const json_t *json)
{
	size_t columns =
	    json_object_size(json_object_iter_value(json_object_iter((json_t *)json)));
	const char *key;
	json_t *row, *cell;

	json_object_foreach((json_t *)json, key, row)
	{
		if (json_object_size(row) != columns || columns == 0)
			return false;
		json_object_foreach(row, key, cell)
		{
			if (!json_is_number(cell))
				return false;
		}
	}
	return json_object_size(json) > 0;
}

/* How wide a table's column ${key} is; ${table} as for write_table. */
static int column_width(json_t *table, const char *key)
{
	int width = units_name_len(key);
	char text[UNITS_SIZE];
	const char *name;
	json_t *row;

	json_object_foreach(table, name, row)
	{
		int len;

		units_format(text, key, json_object_get(row, key));
		len = (int)strlen(text);
		width = len > width ? len : width;
	}
	return width;
}

/* Rows and columns behind their heading ${title}; columns are the first row's. */
static void write_table(const char *title, json_t *table, int margin)
{
	json_t *first = json_object_iter_value(json_object_iter(table));
	const char *name, *key;
	json_t *row, *cell;

	write_text(title, strlen(title));
	printf("%*s", margin - (int)strlen(title), "");
	json_object_foreach(first, key, cell)
	    printf("  %*.*s", column_width(table, key), units_name_len(key), key);
	putchar('\n');
	json_object_foreach(table, name, row)
	{
		printf("%*s%s%*s", INDENT, "", name, margin - INDENT - (int)strlen(name),
		    "");
		json_object_foreach(first, key, cell)
		{
			char text[UNITS_SIZE];

			units_format(text, key, json_object_get(row, key));
			printf("  %*s", column_width(table, key), text);
		}
		putchar('\n');
	}
}

/* The longest name, what is before it included. */
static int margin_of(json_t *object, int depth)
{
	const char *key;
	json_t *value;
	int margin = 0;

	json_object_foreach(object, key, value)
	{
		int len = depth * INDENT + units_name_len(key);
		int inside = json_is_object(value) ? margin_of(value, depth + 1) : 0;

		len = inside > len ? inside : len;
		margin = len > margin ? len : margin;
	}
	return margin;
}

static void write_value(const char *key, json_t *json, int depth, int margin);

static void write_array(const json_t *array, int depth, int margin)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		write_value("", json_array_get(array, i), depth, margin);
}

/* Lines first, then what has lines of its own.  Depth is bounded by the scanner. */
static void write_object(json_t *object, int depth, int margin)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		if (is_leaf(value))
			write_value(key, value, depth, margin);
	}
	json_object_foreach(object, key, value)
	{
		if (!is_leaf(value))
			write_value(key, value, depth, margin);
	}
}

static void write_value(const char *key, json_t *json, int depth, int margin)
{
	if (depth == 0 && is_table(json)) {
		write_table(key, json, margin);
		return;
	}
	printf("%*s", depth * INDENT, "");
	write_text(key, (size_t)units_name_len(key));
	if (is_leaf(json)) {
		printf("%*s", margin - depth * INDENT - units_name_len(key) + 2, "");
		write_leaf(key, json);
		return;
	}
	putchar('\n');
	if (json_is_object(json))
		write_object(json, depth + 1, margin);
	else
		write_array(json, depth + 1, margin);
}

int document_write(const struct poolite_document *document, bool as_json)
{
	struct poolite__reader at = poolite__reader_over(document->bytes, document->len);
	json_t *json = poolite__json(&at);
	int rc = 0;

	if (!json)
		return POOLITE_INTERNAL;
	if (!as_json)
		write_object(json, 0, margin_of(json, 0));
	else if (json_dumpf(json, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) &&
	    !ferror(stdout))
		rc = POOLITE_OVERLOADED;
	else
		putchar('\n');
	json_decref(json);
	return rc;
}
