/* JSON lines: one array or object a line. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/input.h"

static int add_string(struct input *input, const json_t *json, const char *name)
{
	size_t len = json_string_length(json);
	char *copy = input_copy(input, json_string_value(json), len);

	if (!copy)
		return EXIT_FAILED;
	return input_add(input, poolite_named(name, poolite_text_n(copy, len)));
}

/* One value; ${name} NULL: by position. */
static int add_value(struct input *input, const json_t *json, const char *name)
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
	default:
		return complain("line %zu: a list or object inside a row is no SQL value",
		    input->line);
	}
}

static int add_array(struct input *input, const json_t *array)
{
	for (size_t i = 0; i < json_array_size(array); i++)
		if (add_value(input, json_array_get(array, i), NULL))
			return EXIT_FAILED;
	return EXIT_OK;
}

static int add_object(struct input *input, json_t *object)
{
	const char *key;
	json_t *value;

	json_object_foreach(object, key, value)
	{
		const char *name = input_copy(input, key, strlen(key));

		if (!name || add_value(input, value, name))
			return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int add_line(struct input *input, const char *line, size_t len)
{
	json_error_t error;
	json_t *json =
	    json_loadb(line, len, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
	int status;

	if (!json)
		return complain("line %zu: %s", input->line, error.text);
	status = json_is_array(json) ? add_array(input, json) : add_object(input, json);
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
