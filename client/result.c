#include "client/result.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "client/number.h"

struct poolite__bytes {
	atomic_uint references;
	struct poolite__buf buf; /* owns */
};

struct poolite_result {
	struct poolite__bytes *bytes; /* owns one reference */
	struct poolite__result at;    /* points into bytes */
	size_t columns;
	char **names; /* owns, with all names in one piece */

	struct poolite__reader next; /* at the next row */
	uint32_t left;               /* rows from there on */
	bool has_row;
	struct poolite_value *row; /* owns; ${columns} values, text points into bytes */

	/* Texts with a NUL, made when asked for; room for all of a row's. */
	char **texts; /* owns; per column, NULL: not made */
	char *room;   /* owns */
	size_t room_size, room_used;
};

/* ---- bytes --------------------------------------------------------------- */

struct poolite__bytes *poolite__bytes_take(struct poolite__buf *reply)
{
	struct poolite__bytes *bytes = malloc(sizeof *bytes);

	if (!bytes)
		return NULL;
	atomic_init(&bytes->references, 1);
	bytes->buf = *reply;
	poolite__buf_init(reply, 0, NULL);
	return bytes;
}

void poolite__bytes_drop(struct poolite__bytes *bytes)
{
	if (!bytes || atomic_fetch_sub(&bytes->references, 1) > 1)
		return;
	poolite__buf_release(&bytes->buf);
	free(bytes);
}

/* ---- making and freeing -------------------------------------------------- */

/* Copy the columns' names, each with a NUL. */
static int read_names(struct poolite_result *result)
{
	struct poolite__reader reader = result->at.columns;
	const char *name;
	size_t len, bytes = 0;
	char *to;

	for (size_t i = 0; i < result->columns; i++) {
		if (poolite__read_bytes(&reader, &name, &len))
			return POOLITE_BAD_REQUEST;
		bytes += len + 1;
	}
	result->names = malloc(result->columns * sizeof *result->names + bytes + 1);
	if (!result->names)
		return POOLITE_OVERLOADED;
	to = (char *)(result->names + result->columns);
	reader = result->at.columns;
	for (size_t i = 0; i < result->columns; i++) {
		poolite__read_bytes(&reader, &name, &len);
		result->names[i] = to;
		if (len > 0)
			memcpy(to, name, len);
		to[len] = '\0';
		to += len + 1;
	}
	return 0;
}

static int prepare_rows(struct poolite_result *result)
{
	int rc;

	result->columns = result->at.columns_count;
	rc = read_names(result);
	if (rc)
		return rc;
	result->row = calloc(result->columns + 1, sizeof *result->row);
	result->texts = calloc(result->columns + 1, sizeof *result->texts);
	if (!result->row || !result->texts)
		return POOLITE_OVERLOADED;
	poolite_result_rewind(result);
	return 0;
}

int poolite__result_create(struct poolite__bytes *bytes, struct poolite__reader *at,
    struct poolite_result **result)
{
	struct poolite_result *made = calloc(1, sizeof *made);
	int rc;

	*result = NULL;
	if (!made)
		return POOLITE_OVERLOADED;
	rc = poolite__read_result(at, &made->at);
	if (!rc && made->at.has_rows)
		rc = prepare_rows(made);
	if (rc) {
		poolite_result_free(made);
		return rc;
	}
	atomic_fetch_add(&bytes->references, 1);
	made->bytes = bytes;
	*result = made;
	return 0;
}

void poolite_result_free(struct poolite_result *result)
{
	if (!result)
		return;
	poolite__bytes_drop(result->bytes);
	free(result->names);
	free(result->row);
	free(result->texts);
	free(result->room);
	free(result);
}

/* ---- rows ---------------------------------------------------------------- */

static void forget_texts(struct poolite_result *result)
{
	if (result->room_used > 0)
		memset(result->texts, 0, result->columns * sizeof *result->texts);
	result->room_used = 0;
}

void poolite_result_rewind(struct poolite_result *result)
{
	if (!result || !result->at.has_rows)
		return;
	forget_texts(result);
	result->has_row = false;
	result->next = result->at.rows;
	result->left = result->at.rows_count;
}

/* Bytes the text of ${value} takes with its NUL. */
static size_t text_bytes(const struct poolite_value *value)
{
	switch (value->type) {
	case POOLITE_TEXT:
	case POOLITE_BLOB: return value->len + 1;
	case POOLITE_INTEGER:
	case POOLITE_REAL: return POOLITE__NUMBER_BYTES;
	default: return 0;
	}
}

/* Room for ${bytes} of text; what was there is lost. */
static int make_room(struct poolite_result *result, size_t bytes)
{
	if (bytes <= result->room_size)
		return 0;
	free(result->room);
	result->room_size = bytes < SIZE_MAX / 2 ? bytes + bytes / 4 : bytes;
	result->room = malloc(result->room_size);
	if (!result->room)
		result->room_size = 0;
	return result->room ? 0 : POOLITE_OVERLOADED;
}

static int decode_row(struct poolite_result *result)
{
	uint32_t count;
	size_t bytes = 0;

	if (poolite__read_array(&result->next, &count) || count != result->columns)
		return POOLITE_INTERNAL;
	for (size_t i = 0; i < result->columns; i++) {
		if (poolite__read_value(&result->next, false, &result->row[i], NULL))
			return POOLITE_INTERNAL;
		bytes += text_bytes(&result->row[i]);
	}
	return make_room(result, bytes);
}

int poolite_result_next(struct poolite_result *result)
{
	int rc;

	if (!result)
		return 0;
	forget_texts(result);
	result->has_row = false;
	if (result->left == 0)
		return 0;
	rc = decode_row(result);
	if (rc) {
		result->left = 0;
		return rc;
	}
	result->left--;
	result->has_row = true;
	return 1;
}

/* ---- about the whole result ---------------------------------------------- */

size_t poolite_result_rows(const struct poolite_result *result)
{
	return result ? result->at.rows_count : 0;
}

size_t poolite_result_columns(const struct poolite_result *result)
{
	return result ? result->columns : 0;
}

const char *poolite_result_column_name(const struct poolite_result *result, size_t column)
{
	return result && column < result->columns ? result->names[column] : NULL;
}

/* A-Z as a-z, whatever the locale: as SQL has it. */
static bool is_same_name(const char *a, const char *b)
{
	for (;; a++, b++) {
		int left = *a >= 'A' && *a <= 'Z' ? *a + 32 : *a;
		int right = *b >= 'A' && *b <= 'Z' ? *b + 32 : *b;

		if (left != right)
			return false;
		if (!left)
			return true;
	}
}

int poolite_result_column_index(const struct poolite_result *result, const char *name)
{
	for (size_t i = 0; result && name && i < result->columns; i++)
		if (is_same_name(result->names[i], name))
			return (int)i;
	return -1;
}

int64_t poolite_result_changes(const struct poolite_result *result)
{
	return result ? result->at.changes : 0;
}

int64_t poolite_result_last_insert_id(const struct poolite_result *result)
{
	return result ? result->at.last_insert_id : 0;
}

uint64_t poolite__result_cursor(const struct poolite_result *result)
{
	return result->at.cursor;
}

/* ---- about one cell ------------------------------------------------------ */

struct poolite_value poolite_result_value(
    const struct poolite_result *result, size_t column)
{
	if (!result || !result->has_row || column >= result->columns)
		return poolite_null();
	return result->row[column];
}

enum poolite_type poolite_result_type(const struct poolite_result *result, size_t column)
{
	return poolite_result_value(result, column).type;
}

bool poolite_result_is_null(const struct poolite_result *result, size_t column)
{
	return poolite_result_type(result, column) == POOLITE_NULL;
}

int64_t poolite_result_int64(const struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);

	switch (value.type) {
	case POOLITE_INTEGER: return value.as.integer;
	case POOLITE_REAL: return poolite__double_to_int64(value.as.real);
	case POOLITE_TEXT:
	case POOLITE_BLOB: return poolite__text_to_int64(value.as.data, value.len);
	default: return 0;
	}
}

double poolite_result_double(const struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);

	switch (value.type) {
	case POOLITE_INTEGER: return (double)value.as.integer;
	case POOLITE_REAL: return value.as.real;
	case POOLITE_TEXT:
	case POOLITE_BLOB: return poolite__text_to_double(value.as.data, value.len);
	default: return 0.0;
	}
}

const char *poolite_result_text(struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);
	char *text;
	size_t len = value.len;

	if (value.type == POOLITE_NULL)
		return NULL;
	if (result->texts[column])
		return result->texts[column];
	text = result->room + result->room_used;
	if (value.type == POOLITE_INTEGER)
		len = poolite__int64_to_text(text, value.as.integer);
	else if (value.type == POOLITE_REAL)
		len = poolite__double_to_text(text, value.as.real);
	else if (len > 0)
		memcpy(text, value.as.data, len);
	text[len] = '\0';
	/* Numbers leave some of their room unused; it is there for all of them. */
	result->room_used += len + 1;
	result->texts[column] = text;
	return text;
}

const void *poolite_result_blob(struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);

	if (value.type == POOLITE_TEXT || value.type == POOLITE_BLOB)
		return value.as.data;
	return poolite_result_text(result, column);
}

size_t poolite_result_bytes(struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);

	if (value.type == POOLITE_INTEGER || value.type == POOLITE_REAL)
		return strlen(poolite_result_text(result, column));
	return value.len;
}
