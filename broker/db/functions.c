#include "broker/db/functions.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/* ---- where one text is in another --------------------------------------------------------- */

/* UTF-8 bytes that do not begin a character. */
static bool continues(unsigned char byte)
{
	return (byte & 0xc0) == 0x80;
}

/*
 * Where ${needle} begins in ${text}, or NULL.  In text it may begin at a character only; the
 * first byte is taken for one, whatever it is, as SQLite does.
 */
static const unsigned char *find(const unsigned char *text, size_t text_len,
    const unsigned char *needle, size_t needle_len, bool is_text)
{
	if (is_text && continues(*needle))
		return needle_len <= text_len && memcmp(text, needle, needle_len) == 0
		    ? text
		    : NULL;
	return memmem(text, text_len, needle, needle_len);
}

/* The number of ${at} in ${text}, from 1: in characters, or in bytes. */
static sqlite3_int64 number_of(
    const unsigned char *text, const unsigned char *at, bool is_text)
{
	sqlite3_int64 number = 1;

	if (!is_text)
		return 1 + (at - text);
	for (const unsigned char *byte = text + 1; byte <= at; byte++)
		number += !continues(*byte);
	return number;
}

static void find_in(sqlite3_context *context, sqlite3_value *haystack,
    sqlite3_value *needle, bool is_text)
{
	const unsigned char *text =
	    is_text ? sqlite3_value_text(haystack) : sqlite3_value_blob(haystack);
	const unsigned char *sought =
	    is_text ? sqlite3_value_text(needle) : sqlite3_value_blob(needle);
	size_t text_len = (size_t)sqlite3_value_bytes(haystack);
	size_t sought_len = (size_t)sqlite3_value_bytes(needle);
	const unsigned char *at;

	if (sought_len == 0) {
		sqlite3_result_int(context, 1);
	} else if (!sought || (!text && text_len > 0)) {
		sqlite3_result_error_nomem(context);
	} else {
		at = text_len > 0 ? find(text, text_len, sought, sought_len, is_text)
				  : NULL;
		sqlite3_result_int64(context, at ? number_of(text, at, is_text) : 0);
	}
}

static void bounded_instr(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	int haystack_type = sqlite3_value_type(argv[0]);
	int needle_type = sqlite3_value_type(argv[1]);
	bool is_mixed = (haystack_type == SQLITE_BLOB) != (needle_type == SQLITE_BLOB);
	sqlite3_value *haystack, *needle;

	(void)argc;
	if (haystack_type == SQLITE_NULL || needle_type == SQLITE_NULL)
		return;
	if (!is_mixed) {
		find_in(context, argv[0], argv[1], haystack_type != SQLITE_BLOB);
		return;
	}
	/* Copies, for a BLOB read as text would stay text. */
	haystack = sqlite3_value_dup(argv[0]);
	needle = sqlite3_value_dup(argv[1]);
	if (haystack && needle)
		find_in(context, haystack, needle, true);
	else
		sqlite3_result_error_nomem(context);
	sqlite3_value_free(haystack);
	sqlite3_value_free(needle);
}

/* ---- one text for another ------------------------------------------------------------------ */

struct piece {
	const char *text;
	size_t len;
};

void functions_result(sqlite3_context *context, sqlite3_str *out)
{
	int rc = sqlite3_str_errcode(out);
	int len = sqlite3_str_length(out);
	char *text = sqlite3_str_finish(out);

	if (rc == SQLITE_TOOBIG)
		sqlite3_result_error_toobig(context);
	else if (rc != SQLITE_OK)
		sqlite3_result_error_nomem(context);
	else
		sqlite3_result_text(context, text, len, sqlite3_free);
	if (rc != SQLITE_OK)
		sqlite3_free(text);
}

/* Where ${pattern}, not empty, begins in ${text}; NULL: nowhere. */
static const char *first_in(struct piece text, struct piece pattern)
{
	if (pattern.len == 1) /* the most common, and several times as fast */
		return memchr(text.text, pattern.text[0], text.len);
	return memmem(text.text, text.len, pattern.text, pattern.len);
}

static struct piece behind(struct piece text, const char *match, struct piece pattern)
{
	const char *rest = match + pattern.len;

	return (struct piece){rest, text.len - (size_t)(rest - text.text)};
}

/* How long ${text} will be; a length bounds the other two, so that nothing overflows. */
static int64_t length_replaced(
    struct piece text, struct piece pattern, struct piece other)
{
	int64_t len = (int64_t)text.len;
	const char *at;

	while ((at = first_in(text, pattern)) != NULL) {
		len += (int64_t)other.len - (int64_t)pattern.len;
		text = behind(text, at, pattern);
	}
	return len;
}

/* Measured first: what is too large takes no memory, and all else is allocated once. */
static void replace_all(
    sqlite3_context *context, struct piece text, struct piece pattern, struct piece other)
{
	int64_t len = length_replaced(text, pattern, other);
	char *result, *end;
	const char *at;

	if (len >
	    sqlite3_limit(sqlite3_context_db_handle(context), SQLITE_LIMIT_LENGTH, -1)) {
		sqlite3_result_error_toobig(context);
		return;
	}
	result = end = sqlite3_malloc64((uint64_t)len + 1);
	if (!result) {
		sqlite3_result_error_nomem(context);
		return;
	}
	while ((at = first_in(text, pattern)) != NULL) {
		end = mempcpy(end, text.text, (size_t)(at - text.text));
		end = mempcpy(end, other.text, other.len);
		text = behind(text, at, pattern);
	}
	end = mempcpy(end, text.text, text.len);
	*end = '\0';
	sqlite3_result_text(context, result, (int)len, sqlite3_free);
}

static void bounded_replace(sqlite3_context *context, int argc, sqlite3_value **argv)
{
	struct piece pieces[3];

	(void)argc;
	for (int i = 0; i < 3; i++) {
		pieces[i].text = (const char *)sqlite3_value_text(argv[i]);
		pieces[i].len = (size_t)sqlite3_value_bytes(argv[i]);
		if (!pieces[i].text)
			return; /* NULL */
		if (i == 1 && pieces[i].text[0] == '\0') {
			sqlite3_result_value(context, argv[0]);
			return;
		}
	}
	replace_all(context, pieces[0], pieces[1], pieces[2]);
}

/* ---- putting them in their place ------------------------------------------------------------- */

int functions_install(sqlite3 *db)
{
	static const struct {
		const char *name;
		int argc;
		void (*call)(sqlite3_context *, int, sqlite3_value **);
	} functions[] = {
	    {"printf", -1, functions_printf},
	    {"format", -1, functions_printf},
	    {"instr", 2, bounded_instr},
	    {"replace", 3, bounded_replace},
	};
	int rc = SQLITE_OK;

	for (size_t i = 0; i < sizeof functions / sizeof *functions && rc == SQLITE_OK;
	     i++)
		rc = sqlite3_create_function(db, functions[i].name, functions[i].argc,
		    SQLITE_UTF8 | SQLITE_DETERMINISTIC | SQLITE_INNOCUOUS, NULL,
		    functions[i].call, NULL, NULL);
	return rc;
}
