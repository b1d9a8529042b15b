#include "client/cli/table.h"

#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

#include "proto/utf8.h"
#include "proto/value.h"

/* A cell wider than this many columns does not widen its column. */
#define WIDTH_MAX 1000

struct table {
	struct rows *rows; /* borrowed */
	size_t columns;
	int *widths;      /* owns */
	const char *null; /* how NULL looks */
	bool has_faint;   /* NULL is written faint */
	size_t written;   /* rows so far */
};

/* wcwidth wants a locale that knows UTF-8. */
static void use_utf8(void)
{
	setlocale(LC_CTYPE, "");
	if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0)
		setlocale(LC_CTYPE, "C.UTF-8");
}

static uint32_t decode(const uint8_t *at, size_t len)
{
	static const uint8_t masks[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
	uint32_t code = at[0] & masks[len];

	for (size_t i = 1; i < len; i++)
		code = code << 6 | (at[i] & 0x3f);
	return code;
}

/* One character as text, with its width.  What cannot be shown is escaped. */
static int show_character(const uint8_t *at, size_t len, char shown[16])
{
	uint32_t code = decode(at, len);
	int width = wcwidth((wchar_t)code);

	/* What turns the direction of writing around hides more than it shows. */
	if (width >= 0 && code != 0 && !(code >= 0x202a && code <= 0x202e) &&
	    !(code >= 0x2066 && code <= 0x2069)) {
		memcpy(shown, at, len);
		shown[len] = '\0';
		return width;
	}
	if (code == '\n' || code == '\t')
		return snprintf(shown, 16, code == '\n' ? "\\n" : "\\t");
	return snprintf(shown, 16, code < 0x80 ? "\\x%02x" : "\\u%04x", code);
}

/* Write ${len} bytes of text to ${to} (NULL: only measure); returns the width. */
static int show_text(FILE *to, const char *text, size_t len)
{
	int width = 0;

	for (size_t at = 0; at < len;) {
		const uint8_t *byte = (const uint8_t *)text + at;
		size_t sequence = poolite__utf8_len(byte, len - at);
		char shown[16];

		if (sequence > 0)
			width += show_character(byte, sequence, shown);
		else
			width += snprintf(shown, sizeof shown, "\\x%02x", *byte);
		if (to)
			fputs(shown, to);
		at += sequence > 0 ? sequence : 1;
	}
	return width;
}

static int show_blob(FILE *to, const uint8_t *bytes, size_t len)
{
	if (to) {
		fputs("x'", to);
		for (size_t i = 0; i < len; i++)
			fprintf(to, "%02x", bytes[i]);
		fputc('\'', to);
	}
	return len < WIDTH_MAX ? (int)len * 2 + 3 : WIDTH_MAX;
}

static int show_null(FILE *to, const struct table *table)
{
	if (!to)
		return show_text(NULL, table->null, strlen(table->null));
	if (table->has_faint)
		fputs("\033[2m", to);
	show_text(to, table->null, strlen(table->null));
	if (table->has_faint)
		fputs("\033[0m", to);
	return 0;
}

/* Whether TEXT could be taken for something else: for NULL, for a BLOB, for TEXT
 * that is quoted because of this. */
static bool wants_quotes(const struct table *table, const char *text, size_t len)
{
	if (len == strlen(table->null) && memcmp(text, table->null, len) == 0)
		return true;
	if (len > 0 && text[0] == 'x') {
		text++;
		len--;
	}
	return len >= 2 && text[0] == '\'' && text[len - 1] == '\'';
}

static int show_value(FILE *to, const struct table *table, size_t column)
{
	const char *text = poolite_result_text(table->rows->page, column);
	size_t len = poolite_result_bytes(table->rows->page, column);
	int width;

	if (poolite_result_type(table->rows->page, column) != POOLITE_TEXT ||
	    !wants_quotes(table, text, len))
		return show_text(to, text, len);
	if (to)
		fputc('\'', to);
	width = show_text(to, text, len);
	if (to)
		fputc('\'', to);
	return width + 2;
}

/* One cell of the current row; returns its width when only measured. */
static int show_cell(FILE *to, const struct table *table, size_t column)
{
	struct poolite_value value = poolite_result_value(table->rows->page, column);

	switch (value.type) {
	case POOLITE_NULL: return show_null(to, table);
	case POOLITE_BLOB: return show_blob(to, value.as.data, value.len);
	default: return show_value(to, table, column);
	}
}

static const char *name_of(const struct table *table, size_t column)
{
	return poolite_result_column_name(table->rows->page, column);
}

/* The names, and the page that is there; a row that makes no sense is met again when
 * it is written. */
static void measure(struct table *table)
{
	struct poolite_result *page = table->rows->page;

	for (size_t i = 0; i < table->columns; i++)
		table->widths[i] =
		    show_text(NULL, name_of(table, i), strlen(name_of(table, i)));
	while (poolite_result_next(page) > 0)
		for (size_t i = 0; i < table->columns; i++) {
			int width = show_cell(NULL, table, i);

			if (width > table->widths[i])
				table->widths[i] = width < WIDTH_MAX ? width : WIDTH_MAX;
		}
	poolite_result_rewind(page);
}

static void pad(int width)
{
	if (width > 0)
		printf("%*s", width, "");
}

static void write_heading(const struct table *table)
{
	for (size_t i = 0; i < table->columns; i++) {
		bool is_last = i + 1 == table->columns;
		int width =
		    show_text(stdout, name_of(table, i), strlen(name_of(table, i)));

		pad(is_last ? 0 : table->widths[i] - width + 2);
	}
	putchar('\n');
	for (size_t i = 0; i < table->columns; i++) {
		for (int n = 0; n < table->widths[i]; n++)
			putchar('-');
		pad(i + 1 == table->columns ? 0 : 2);
	}
	putchar('\n');
}

static void write_row(const struct table *table)
{
	for (size_t i = 0; i < table->columns; i++) {
		enum poolite_type type = poolite_result_type(table->rows->page, i);
		bool is_number = type == POOLITE_INTEGER || type == POOLITE_REAL;
		int space = table->widths[i] - show_cell(NULL, table, i);

		space = space > 0 ? space : 0;
		if (is_number)
			pad(space);
		show_cell(stdout, table, i);
		if (i + 1 == table->columns)
			break;
		pad((is_number ? 0 : space) + 2);
	}
	putchar('\n');
}

static int write_rows(struct table *table)
{
	int rc;

	write_heading(table);
	while ((rc = rows_next(table->rows)) > 0) {
		write_row(table);
		table->written++;
	}
	return rc;
}

/* ---- records ------------------------------------------------------------- */

/* Columns of the terminal that standard output is; 0: it is none, or nobody knows. */
static int terminal_width(void)
{
	struct winsize size;

	return ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

/* Whether lines would be broken in two. */
static bool is_too_wide(const struct table *table)
{
	int room = terminal_width();
	long width = -2;

	for (size_t i = 0; i < table->columns; i++)
		width += table->widths[i] + 2;
	return room > 0 && width > room;
}

/* A line for each cell instead: nothing is cut, and names stay beside values. */
static int write_records(struct table *table)
{
	int margin = 0;
	int rc;

	for (size_t i = 0; i < table->columns; i++) {
		const char *name = name_of(table, i);
		int width = show_text(NULL, name, strlen(name));

		margin = width > margin ? width : margin;
	}
	while ((rc = rows_next(table->rows)) > 0) {
		printf("-- row %zu\n", ++table->written);
		for (size_t i = 0; i < table->columns; i++) {
			const char *name = name_of(table, i);

			pad(margin - show_text(stdout, name, strlen(name)) + 2);
			show_cell(stdout, table, i);
			putchar('\n');
		}
	}
	return rc;
}

/* ---- both ---------------------------------------------------------------- */

static void write_count(size_t rows)
{
	printf("(%zu row%s)\n", rows, rows == 1 ? "" : "s");
}

int table_write(const struct settings *settings, struct rows *rows)
{
	struct table table = {
	    .rows = rows,
	    .columns = poolite_result_columns(rows->page),
	    .null = settings->null_text ? settings->null_text : "NULL",
	    .has_faint = isatty(STDOUT_FILENO) && !getenv("NO_COLOR"),
	};
	int rc;

	if (table.columns == 0) {
		long long changes = rows->changes;

		printf("(%lld row%s changed)\n", changes, changes == 1 ? "" : "s");
		return 0;
	}
	table.widths = calloc(table.columns, sizeof *table.widths);
	if (!table.widths) {
		complain("no memory");
		return -1;
	}
	use_utf8();
	measure(&table);
	rc = settings->output == OUTPUT_AUTO && is_too_wide(&table)
	    ? write_records(&table)
	    : write_rows(&table);
	if (rc == 0)
		write_count(table.written);
	free(table.widths);
	return rc;
}
