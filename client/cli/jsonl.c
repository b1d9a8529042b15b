/* JSON lines: one array or object a line.  The first one says what all rows are:
 * an array of so many values, or an object with these keys.
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/input.h"

/* As many keys as an error names. */
#define KEYS_NAMED 8

static const char *type_name(const json_t *json)
{
	switch (json_typeof(json)) {
	case JSON_OBJECT: return "an object";
	case JSON_ARRAY: return "an array";
	case JSON_STRING: return "a string";
	case JSON_INTEGER:
	case JSON_REAL: return "a number";
	case JSON_NULL: return "null";
	default: return "true or false";
	}
}

/* ---- values -------------------------------------------------------------- */

static int add_string(struct input *input, const json_t *json, const char *name)
{
	size_t len = json_string_length(json);
	char *copy = input_copy(input, json_string_value(json), len);

	if (!copy)
		return EXIT_FAILED;
	return input_add(input, poolite_named(name, poolite_text_n(copy, len)));
}

/* A list or an object is no value; where it stands is its key or its number. */
static int complain_of_value(
    const struct input *input, const json_t *json, const char *name, size_t position)
{
	const char *type = type_name(json);

	if (name)
		return complain("line %zu: the value of \"%s\" is %s: expected a string, "
				"a number, true, false or null",
		    input->line, name, type);
	return complain(
	    "line %zu: value %zu is %s: expected a string, a number, true, false or null",
	    input->line, position, type);
}

/* One value; ${name} NULL: the one at ${position}, from 1. */
static int add_value(
    struct input *input, const json_t *json, const char *name, size_t position)
{
	switch (json_typeof(json)) {
	case JSON_STRING: return add_string(input, json, name);
	case JSON_INTEGER:
		return input_add(input,
		    poolite_named(name, poolite_integer(json_integer_value(json))));
	case JSON_REAL:
		return input_add(
		    input, poolite_named(name, poolite_real(json_real_value(json))));
	case JSON_TRUE:
	case JSON_FALSE:
		return input_add(
		    input, poolite_named(name, poolite_integer(json_is_true(json))));
	case JSON_NULL: return input_add(input, poolite_named(name, poolite_null()));
	default: return complain_of_value(input, json, name, position);
	}
}

static int add_array(struct input *input, const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (add_value(input, json_array_get(array, i), NULL, i + 1))
			return EXIT_FAILED;
	return EXIT_OK;
}

/* ---- keys ---------------------------------------------------------------- */

/* The first row's keys, for an error; for free(), NULL: no memory. */
static char *list_keys(const struct input *input)
{
	size_t size = 0;
	char *text = NULL;
	FILE *list = open_memstream(&text, &size);

	if (!list)
		return NULL;
	for (size_t i = 0; i < input->columns && i < KEYS_NAMED; i++)
		fprintf(list, "%s\"%s\"", i > 0 ? ", " : "", input->values[i].name);
	if (input->columns > KEYS_NAMED)
		fprintf(list, " and %zu more", input->columns - KEYS_NAMED);
	if (fclose(list)) {
		free(text);
		return NULL;
	}
	return text;
}

static int complain_of_key(const struct input *input, const char *key, const char *what)
{
	char *keys = list_keys(input);

	complain("line %zu: the key \"%s\" %s: expected %s, as in line %zu", input->line,
	    key, what, keys && *keys ? keys : "no keys", input->lines[0]);
	free(keys);
	return EXIT_FAILED;
}

/* The first row's copy of ${key}; NULL: it has none.  ${at}: where it is likely. */
static const char *known_key(const struct input *input, const char *key, size_t at)
{
	if (at < input->columns && strcmp(input->values[at].name, key) == 0)
		return input->values[at].name;
	for (size_t i = 0; i < input->columns; i++)
		if (strcmp(input->values[i].name, key) == 0)
			return input->values[i].name;
	return NULL;
}

static int check_none_missing(const struct input *input, const json_t *object)
{
	for (size_t i = 0; i < input->columns; i++)
		if (!json_object_get(object, input->values[i].name))
			return complain_of_key(
			    input, input->values[i].name, "is missing");
	return EXIT_OK;
}

static int add_object(struct input *input, json_t *object)
{
	size_t at = 0;
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const char *name = input->rows > 0 ? known_key(input, key, at)
						   : input_copy(input, key, strlen(key));

		if (!name && input->rows > 0)
			return complain_of_key(input, key, "is unknown");
		if (!name || add_value(input, value, name, ++at))
			return EXIT_FAILED;
	}
	/* Keys are known and never twice: too few is all that is left. */
	return input->rows > 0 && at < input->columns ? check_none_missing(input, object)
						      : EXIT_OK;
}

/* ---- lines --------------------------------------------------------------- */

/* An array or object, and the same as in the first row. */
static int check_type(const struct input *input, const json_t *json)
{
	bool was_object;

	if (!json_is_array(json) && !json_is_object(json))
		return complain("line %zu: %s: expected a row, as in [\"a\", 1] or "
				"{\"title\": \"a\", \"score\": 1}",
		    input->line, type_name(json));
	if (input->rows == 0 || input->columns == 0)
		return EXIT_OK;
	was_object = input->values[0].name != NULL;
	if (was_object != json_is_object(json))
		return complain("line %zu: %s: expected %s, as in line %zu", input->line,
		    type_name(json), was_object ? "an object" : "an array",
		    input->lines[0]);
	return EXIT_OK;
}

/* To jansson a line is a whole file. */
static int complain_of_syntax(const struct input *input, const char *text)
{
	static const char file[] = "end of file";
	const char *end = strstr(text, file);

	if (!end)
		return complain("line %zu: %s", input->line, text);
	return complain("line %zu: %.*sthe end of the line%s", input->line,
	    (int)(end - text), text, end + strlen(file));
}

static int add_line(struct input *input, const char *line, size_t len)
{
	json_error_t error;
	json_t *json = json_loadb(
	    line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY, &error);
	int status;

	if (!json)
		return complain_of_syntax(input, error.text);
	status = check_type(input, json);
	if (status == EXIT_OK)
		status = json_is_array(json) ? add_array(input, json)
					     : add_object(input, json);
	json_decref(json);
	return status == EXIT_OK ? input_end_row(input, input->line) : status;
}

static bool is_blank(const char *line, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!memchr(" \t\r\n", line[i], 4))
			return false;
	return true;
}

int jsonl_read(struct input *input, FILE *stream)
{
	char *line = NULL;
	size_t room = 0;
	ssize_t len;
	int status = EXIT_OK;

	while (status == EXIT_OK && (len = getline(&line, &room, stream)) >= 0) {
		if (!is_blank(line, (size_t)len))
			status = add_line(input, line, (size_t)len);
		if (status == EXIT_OK)
			input->line++;
	}
	free(line);
	return status;
}
