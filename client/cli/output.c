#include "client/cli/output.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/args.h"
#include "client/cli/document.h"
#include "client/cli/table.h"

enum output_format output_format(const struct settings *settings)
{
	if (settings->output != OUTPUT_AUTO)
		return settings->output;
	return isatty(STDOUT_FILENO) ? OUTPUT_TABLE : OUTPUT_TSV;
}

/* ---- pieces -------------------------------------------------------------- */

static void write_hex(const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		printf("%02x", bytes[i]);
}

/* Tab, newline and backslash escaped, so that a line is a row. */
static void write_tsv_text(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		switch (text[i]) {
		case '\t': fputs("\\t", stdout); break;
		case '\n': fputs("\\n", stdout); break;
		case '\r': fputs("\\r", stdout); break;
		case '\0': fputs("\\0", stdout); break;
		case '\\': fputs("\\\\", stdout); break;
		default: putchar(text[i]);
		}
	}
}

/* RFC 4180.  What a batch would read as a number or as NULL is quoted. */
static void write_csv_text(const char *text, size_t len, const char *null_text)
{
	bool is_null =
	    null_text && strlen(null_text) == len && memcmp(text, null_text, len) == 0;
	bool is_plain =
	    len > 0 && !is_null && value_of_word(text, len, false).type == POOLITE_TEXT;

	for (size_t i = 0; is_plain && i < len; i++)
		is_plain = !strchr(",\"\r\n", text[i]) && text[i] != '\0';
	if (is_plain) {
		fwrite(text, 1, len, stdout);
		return;
	}
	putchar('"');
	for (size_t i = 0; i < len; i++) {
		if (text[i] == '"')
			putchar('"');
		putchar(text[i]);
	}
	putchar('"');
}

static void write_json_text(const char *text, size_t len)
{
	putchar('"');
	for (size_t i = 0; i < len; i++) {
		unsigned char byte = (unsigned char)text[i];

		if (byte == '"' || byte == '\\')
			printf("\\%c", byte);
		else if (byte == '\n')
			fputs("\\n", stdout);
		else if (byte < 0x20 || byte == 0x7f)
			printf("\\u%04x", byte);
		else
			putchar(byte);
	}
	putchar('"');
}

/* As many digits as it takes to read the same number again. */
static void write_json_real(double real)
{
	char text[40];

	if (!isfinite(real)) {
		fputs("null", stdout);
		return;
	}
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof text, "%.*g", digits, real);
		if (strtod(text, NULL) == real)
			break;
	}
	fputs(text, stdout);
	if (!strpbrk(text, ".e"))
		fputs(".0", stdout);
}

/* ---- cells --------------------------------------------------------------- */

static void write_json_cell(struct poolite_result *result, size_t column)
{
	struct poolite_value value = poolite_result_value(result, column);

	switch (value.type) {
	case POOLITE_NULL: fputs("null", stdout); break;
	case POOLITE_INTEGER: printf("%" PRId64, value.as.integer); break;
	case POOLITE_REAL: write_json_real(value.as.real); break;
	case POOLITE_TEXT: write_json_text(value.as.data, value.len); break;
	case POOLITE_BLOB:
		putchar('"');
		write_hex(value.as.data, value.len);
		putchar('"');
		break;
	}
}

static void write_separated_cell(
    const struct settings *settings, struct poolite_result *result, size_t column)
{
	bool is_csv = settings->output == OUTPUT_CSV;
	struct poolite_value value = poolite_result_value(result, column);

	switch (value.type) {
	case POOLITE_NULL:
		fputs(settings->null_text ? settings->null_text
			: is_csv          ? ""
					  : "\\N",
		    stdout);
		break;
	case POOLITE_TEXT:
		if (is_csv)
			write_csv_text(value.as.data, value.len, settings->null_text);
		else
			write_tsv_text(value.as.data, value.len);
		break;
	case POOLITE_BLOB: write_hex(value.as.data, value.len); break;
	default: fputs(poolite_result_text(result, column), stdout);
	}
}

/* ---- whole results ------------------------------------------------------- */

static void write_separated_heading(
    const struct settings *settings, const struct poolite_result *result)
{
	bool is_csv = settings->output == OUTPUT_CSV;

	for (size_t i = 0; i < poolite_result_columns(result); i++) {
		const char *name = poolite_result_column_name(result, i);

		if (i > 0)
			putchar(is_csv ? ',' : '\t');
		if (is_csv)
			write_csv_text(name, strlen(name), NULL);
		else
			write_tsv_text(name, strlen(name));
	}
	fputs(is_csv ? "\r\n" : "\n", stdout);
}

static int write_separated(const struct settings *settings, struct rows *rows)
{
	bool is_csv = settings->output == OUTPUT_CSV;
	size_t columns = poolite_result_columns(rows->page);
	int rc;

	if (settings->has_header && columns > 0)
		write_separated_heading(settings, rows->page);
	while ((rc = rows_next(rows)) > 0) {
		for (size_t i = 0; i < columns; i++) {
			if (i > 0)
				putchar(is_csv ? ',' : '\t');
			write_separated_cell(settings, rows->page, i);
		}
		fputs(is_csv ? "\r\n" : "\n", stdout);
	}
	return rc;
}

static void write_json_heading(const struct poolite_result *result)
{
	fputs("{\"columns\": [", stdout);
	for (size_t i = 0; i < poolite_result_columns(result); i++) {
		const char *name = poolite_result_column_name(result, i);

		fputs(i > 0 ? ", " : "", stdout);
		write_json_text(name, strlen(name));
	}
	fputs("],\n \"rows\": [", stdout);
}

static int write_json(struct rows *rows)
{
	size_t columns = poolite_result_columns(rows->page);
	const char *separator = "\n";
	int rc;

	write_json_heading(rows->page);
	while ((rc = rows_next(rows)) > 0) {
		printf("%s  [", separator);
		for (size_t i = 0; i < columns; i++) {
			fputs(i > 0 ? ", " : "", stdout);
			write_json_cell(rows->page, i);
		}
		putchar(']');
		separator = ",\n";
	}
	if (rc == 0)
		printf("],\n \"changes\": %" PRId64 ", \"last_insert_id\": %" PRId64
		       "}\n",
		    rows->changes, rows->last_insert_id);
	else if (rows->error.code != POOLITE_OK)
		putchar('\n'); /* what is complained of begins a line */
	return rc;
}

int output_rows(const struct settings *settings, struct rows *rows)
{
	struct settings chosen = *settings;

	chosen.output = output_format(settings);
	switch (chosen.output) {
	case OUTPUT_TABLE: return table_write(settings, rows);
	case OUTPUT_JSON: return write_json(rows);
	default: return write_separated(&chosen, rows);
	}
}

/* ---- the rest ------------------------------------------------------------ */

static void write_figures_for_eyes(const struct figure *figures, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%-14s  %" PRId64 "\n", figures[i].name, figures[i].value);
}

static void write_figures_as_json(const struct figure *figures, size_t count)
{
	for (size_t i = 0; i < count; i++)
		printf("%s\"%s\": %" PRId64, i > 0 ? ", " : "{", figures[i].name,
		    figures[i].value);
	fputs("}\n", stdout);
}

static void write_figures_separated(const struct settings *settings,
    const struct figure *figures, size_t count, bool is_csv)
{
	for (size_t i = 0; settings->has_header && i < count; i++)
		printf("%s%s", i == 0 ? "" : is_csv ? "," : "\t", figures[i].name);
	if (settings->has_header)
		fputs(is_csv ? "\r\n" : "\n", stdout);
	for (size_t i = 0; i < count; i++)
		printf("%s%" PRId64, i == 0 ? "" : is_csv ? "," : "\t", figures[i].value);
	fputs(is_csv ? "\r\n" : "\n", stdout);
}

void output_figures(
    const struct settings *settings, const struct figure *figures, size_t count)
{
	switch (output_format(settings)) {
	case OUTPUT_TABLE: write_figures_for_eyes(figures, count); break;
	case OUTPUT_JSON: write_figures_as_json(figures, count); break;
	case OUTPUT_CSV: write_figures_separated(settings, figures, count, true); break;
	default: write_figures_separated(settings, figures, count, false);
	}
}

int output_document(
    const struct settings *settings, const struct poolite_document *document)
{
	return document_write(document, settings->output == OUTPUT_JSON);
}

/* Whoever read our output has gone, as head does; that is no news to anybody. */
static bool has_reader_gone(void)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};

	return poll(&out, 1, 0) == 1 && (out.revents & (POLLERR | POLLHUP));
}

int output_flush(bool is_of_change)
{
	int error;
	const char *why;

	if (fflush(stdout) == 0 && !ferror(stdout))
		return EXIT_OK;
	error = errno;
	clearerr(stdout);
	why = error == EPIPE || has_reader_gone() ? NULL : strerrordesc_np(error);
	if (is_of_change) {
		complain("the change was made, but its output cannot be written: %s",
		    why ? why : "nobody reads it");
		return EXIT_UNWRITTEN;
	}
	return why ? complain("cannot write the output: %s", why) : EXIT_FAILED;
}
