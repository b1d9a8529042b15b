#include "client/cli/commands.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/args.h"
#include "client/cli/input.h"
#include "client/cli/output.h"
#include "client/cli/rows.h"
#include "client/cli/watch.h"

/* ---- query and update ---------------------------------------------------- */

/* After an error with arguments that look like options, say where those go. */
static int complain_of_words(
    struct poolite *db, const struct poolite_error *error, char **words, int count)
{
	int status = complain_of(db, error);

	for (int i = 1; i < count && error->code == POOLITE_BAD_REQUEST; i++)
		if (strncmp(words[i], "--", 2) == 0) {
			hint("options go before the SQL; %s is an argument here",
			    words[i]);
			break;
		}
	if (error->code == POOLITE_NOT_ALLOWED && strstr(error->message, "BEGIN, COMMIT"))
		hint("poolite script runs several statements as one transaction");
	return status;
}

static int no_memory(void)
{
	return complain("no memory");
}

/* After an error in the middle of a result.  A broker that is gone then is a failure as
 * any other: something was sent, and has been read. */
static void complain_of_rest(struct poolite *db, const struct poolite_error *error)
{
	complain_of(db, error);
	hint("the output is not complete: only what came before is written");
	if (error->code == POOLITE_TRANSACTION_EXPIRED)
		hint("a result is read as fast as the output is taken: write it to a "
		     "file first");
}

static int run_query(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	struct poolite_value *args =
	    values_of_words(words + 1, count - 1, settings->all_text);
	struct rows rows;
	int status = EXIT_OK;

	if (!args)
		return no_memory();
	if (rows_open(&rows, db, words[0], args, (size_t)count - 1)) {
		status = complain_of_words(db, &rows.error, words, count);
	} else if (output_rows(settings, &rows)) {
		/* What was written comes before what is complained of. */
		status = rows.flushed ? rows.flushed : EXIT_FAILED;
		output_flush(false);
		if (rows.error.code != POOLITE_OK)
			complain_of_rest(db, &rows.error);
	} else {
		status = output_flush(rows.changes > 0);
	}
	rows_close(&rows);
	free(args);
	return status;
}

static void show_changes(
    const struct settings *settings, const struct poolite_changes *changes)
{
	struct figure figures[] = {
	    {"changes", changes->changes}, {"last_insert_id", changes->last_insert_id}};

	output_figures(settings, figures, 2);
}

static int run_update(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	struct poolite_value *args =
	    values_of_words(words + 1, count - 1, settings->all_text);
	struct poolite_changes changes;
	struct poolite_error error;
	struct watch watch;
	int status = EXIT_OK;

	if (!args)
		return no_memory();
	watch_begin(&watch, db);
	poolite_update(db, words[0], args, (size_t)count - 1, &changes, &error);
	watch_end(&watch, error.code == POOLITE_OK);
	if (error.code != POOLITE_OK)
		status = complain_of_words(db, &error, words, count);
	else
		show_changes(settings, &changes);
	free(args);
	return status;
}

/* ---- batch and script ---------------------------------------------------- */

/* After an error of a batch in chunks, say how far it came, and where to go on. */
static void tell_how_far(const struct poolite_error *error,
    const struct settings *settings, const struct input *input)
{
	const char *heading =
	    settings->has_header ? ", with the heading before it (--header)" : "";
	size_t done = (size_t)error->rows_done;

	if (done >= input->rows)
		return;
	if (error->outcome == POOLITE_DONE_PART)
		hint(
		    "the first %zu of %zu rows are in the database, and no others: go on "
		    "from line %zu of the input%s",
		    done, input->rows, input->lines[done], heading);
	else if (error->outcome == POOLITE_DONE_UNKNOWN && settings->chunk_rows > 0)
		hint(
		    "%zu of %zu rows are in the database for certain; those from line %zu "
		    "of the input on may be, in order, up to the end of a chunk",
		    done, input->rows, input->lines[done]);
}

/* After an error of a row, say where that is. */
static int complain_of_batch(struct poolite *db, const struct poolite_error *error,
    const struct settings *settings, const struct input *input)
{
	const char *place = strrchr(error->message, '(');
	int status = complain_of(db, error);
	size_t row, rows;

	if (place && sscanf(place, "(row %zu of %zu)", &row, &rows) == 2 && row > 0 &&
	    row <= rows && rows == input->rows)
		hint("row %zu is on line %zu of the input", row, input->lines[row - 1]);
	tell_how_far(error, settings, input);
	if (error->code == POOLITE_TOO_LARGE && strstr(error->message, "wal_limit"))
		hint(settings->chunk_rows > 0
			? "fewer rows to a chunk (--chunk-rows) need less of the WAL"
			: "--chunk-rows N commits after each N rows, and needs less of the WAL");
	return status;
}

/* The byte behind what begins at ${at} and holds no parameter: a quoted piece or a comment;
 * ${at} itself where nothing of the kind does. */
static const char *skip_quoted(const char *at)
{
	static const char opens[] = "'\"`[", closes[] = "'\"`]";
	const char *open = *at ? strchr(opens, *at) : NULL;
	const char *end;
	size_t close_len = 1;

	if (open) {
		end = strchr(at + 1, closes[open - opens]);
	} else if (at[0] == '-' && at[1] == '-') {
		end = strchr(at, '\n');
	} else if (at[0] == '/' && at[1] == '*') {
		end = strstr(at + 2, "*/");
		close_len = 2;
	} else {
		return at;
	}
	return end ? end + close_len : at + strlen(at);
}

/* Whether ${sql} has a parameter such as :title, @title or $title. */
static bool names_parameters(const char *sql)
{
	while (*sql) {
		const char *next = skip_quoted(sql);

		if (next == sql && strchr(":@$", *sql) &&
		    (isalnum((unsigned char)sql[1]) || sql[1] == '_' || sql[1] & 0x80))
			return true;
		sql = next > sql ? next : sql + 1;
	}
	return false;
}

/* What a batch's settings leave open; EXIT_OK, or EXIT_USAGE after a complaint. */
static int check_batch(struct settings *settings, const char *sql)
{
	if (settings->input == INPUT_NONE) {
		complain("batch wants --format csv or --format jsonl");
		return EXIT_USAGE;
	}
	settings->by_name = settings->input == INPUT_CSV && names_parameters(sql);
	if (settings->by_name && !settings->has_header) {
		complain(
		    "the SQL names its parameters: begin the CSV with a line of these "
		    "names and say --header, or write ? for each");
		return EXIT_USAGE;
	}
	return EXIT_OK;
}

static int run_batch(
    struct poolite *db, const struct settings *given, char **words, int count)
{
	struct settings settings = *given, output = *given;
	struct poolite_changes changes;
	struct poolite_error error;
	struct input input;
	struct watch watch;
	int status;

	(void)count;
	output.has_header = false; /* that was said of the input */
	status = check_batch(&settings, words[0]);
	if (status != EXIT_OK)
		return status;
	status = input_read(&input, &settings, stdin);
	if (status != EXIT_OK) {
		hint("nothing was sent: all of the input is read first");
	} else {
		input_show_saving(&input);
		watch_begin(&watch, db);
		poolite_batch_in_chunks(db, words[0], input.values, input.columns,
		    input.rows, settings.chunk_rows, &changes, &error);
		watch_end(&watch, error.code == POOLITE_OK);
		input_show_nothing(&input);
		if (error.code != POOLITE_OK)
			status = complain_of_batch(db, &error, &settings, &input);
		else
			show_changes(&output, &changes);
	}
	input_release(&input);
	return status;
}

/* The whole stream with a NUL at its end, for free(); NULL after a complaint. */
static char *read_text(FILE *stream, const char *name)
{
	size_t len = 0, room = 1 << 16;
	char *text = malloc(room);
	char *larger;

	while (text) {
		len += fread(text + len, 1, room - len - 1, stream);
		if (len < room - 1)
			break;
		room *= 2;
		larger = realloc(text, room);
		if (!larger)
			free(text);
		text = larger;
	}
	if (!text) {
		no_memory();
		return NULL;
	}
	text[len] = '\0';
	if (!ferror(stream) && strlen(text) == len)
		return text;
	if (ferror(stream))
		complain("cannot read %s: %s", name, strerrordesc_np(errno));
	else
		complain("%s is no SQL text: it has a NUL byte", name);
	free(text);
	return NULL;
}

static char *read_file(const char *name)
{
	FILE *file;
	char *text;

	if (strcmp(name, "-") == 0) {
		input_tell_of_terminal(stdin);
		return read_text(stdin, "the standard input");
	}
	file = fopen(name, "re");
	if (!file) {
		complain("cannot open \"%s\": %s", name, strerrordesc_np(errno));
		return NULL;
	}
	text = read_text(file, name);
	fclose(file);
	return text;
}

/* After an error of a script, say how else it can be done. */
static int complain_of_script(struct poolite *db, const struct poolite_error *error)
{
	int status = complain_of(db, error);

	if (error->code == POOLITE_TOO_LARGE)
		hint("a script is one message; to have all of a database, serve its file "
		     "(poolited --db FILE), or start the broker with a larger "
		     "--max-frame-bytes");
	else if (error->code == POOLITE_NOT_ALLOWED &&
	    strstr(error->message, "writable_schema"))
		hint("the dump of a virtual table; serve the database's file itself "
		     "(poolited --db FILE)");
	else if (error->code == POOLITE_NOT_ALLOWED &&
	    strstr(error->message, "BEGIN, COMMIT"))
		hint("a script is one transaction already: leave them out");
	return status;
}

static int run_script(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	unsigned flags = settings->foreign_keys_off ? POOLITE_FOREIGN_KEYS_OFF : 0;
	struct poolite_changes changes;
	struct poolite_error error;
	struct watch watch;
	int status = EXIT_OK;
	char *sql = read_file(words[0]);

	(void)count;
	if (!sql)
		return EXIT_FAILED;
	watch_begin(&watch, db);
	poolite_script(db, sql, flags, &changes, &error);
	watch_end(&watch, error.code == POOLITE_OK);
	if (error.code != POOLITE_OK) {
		status = complain_of_script(db, &error);
	} else {
		struct figure figures[] = {
		    {"statements", changes.statements}, {"changes", changes.changes}};

		output_figures(settings, figures, 2);
	}
	free(sql);
	return status;
}

/* ---- the broker itself --------------------------------------------------- */

static int run_ping(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	struct poolite_error error;
	struct watch watch;

	(void)words, (void)count;
	watch_begin(&watch, db);
	poolite_ping(db, &error);
	watch_end(&watch, false);
	if (error.code != POOLITE_OK)
		return complain_of(db, &error);
	puts(settings->output == OUTPUT_JSON ? "{\"answer\": \"pong\"}" : "pong");
	return EXIT_OK;
}

static int show_document(
    const struct settings *settings, struct poolite_document *document)
{
	int rc = output_document(settings, document);

	poolite_document_release(document);
	return rc ? complain("%s: the answer cannot be shown", poolite_code_name(rc))
		  : EXIT_OK;
}

static int run_stats(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	struct poolite_document document;
	struct poolite_error error;
	struct watch watch;

	(void)words, (void)count;
	watch_begin(&watch, db);
	poolite_stats(db, NULL, &document, &error);
	watch_end(&watch, false);
	if (error.code != POOLITE_OK)
		return complain_of(db, &error);
	return show_document(settings, &document);
}

static int run_health(
    struct poolite *db, const struct settings *settings, char **words, int count)
{
	struct poolite_document document;
	struct poolite_health health;
	struct poolite_error error;
	struct watch watch;
	int status;

	(void)words, (void)count;
	watch_begin(&watch, db);
	poolite_health(db, &health, &document, &error);
	watch_end(&watch, false);
	if (error.code != POOLITE_OK)
		return complain_of(db, &error);
	status = show_document(settings, &document);
	return health.is_healthy ? status : EXIT_FAILED;
}

/* ---- the table ----------------------------------------------------------- */

const struct command commands[] = {
    {"query", "SQL [ARGUMENT ...]", "run one statement, write its rows",
	"Runs one statement and writes its rows: a table on a terminal, else tab-separated.\n"
	"Each ARGUMENT is bound to a ? of the SQL, in order.  A number as JSON spells it is\n"
	"a number, null is NULL, anything else is TEXT: also 007, and a whole number that 64\n"
	"bits do not hold.  --text makes all TEXT.\n"
	"Table: control characters are \\n, \\t, \\xhh; a BLOB is x'hex'; TEXT that looks like\n"
	"one, or like NULL, is in quotes.  Rows too wide for the terminal become a line for\n"
	"each column; --table keeps them a table.\n"
	"Tab-separated: \\t \\n \\r \\0 \\\\ are escaped and NULL is \\N.\n"
	"CSV: NULL is an empty cell, empty TEXT is \"\"; batch --null '' reads it back so.\n"
	"JSON: infinity is null.  In these three a BLOB is hex, which reads back as TEXT, and in\n"
	"the first two infinity is Inf, which does too.\n"
	"Rows are fetched and written in pages, at most 1,000 rows or some 1 MB each, so a\n"
	"result may have any size.  A table takes its widths from the first page; a wider\n"
	"value further down is not cut, and out of line.  --timeout holds for each page, and\n"
	"all must be read within the broker's transaction_timeout.  After an error in the\n"
	"middle what was written stays, JSON without its end; the status is 1.\n"
	"\n"
	"  poolite query 'SELECT id, title FROM leads WHERE source = ?' serp\n"
	"  poolite query --csv --header 'SELECT * FROM leads' > leads.csv\n",
	TAKES_OUTPUT | TAKES_HEADER | TAKES_NULL | TAKES_TEXT, 1, -1, run_query},
    {"update", "SQL [ARGUMENT ...]", "run one statement, write what it changed",
	"Runs one statement that gives no rows; writes changes and last_insert_id.\n"
	"Arguments are those of query.\n"
	"\n"
	"  poolite update 'INSERT INTO leads(title, source) VALUES (?, ?)' 'A lead' serp\n",
	TAKES_OUTPUT | TAKES_HEADER | TAKES_TEXT | IS_CHANGE, 1, -1, run_update},
    {"batch", "SQL < ROWS", "run one statement for each row of a file",
	"Runs one statement for each row of the standard input, all of them or none; writes\n"
	"changes and last_insert_id.\n"
	"All of the input is read before anything is sent.\n"
	"--format csv: RFC 4180.  A cell is read as an argument of query is; in quotes it is\n"
	"TEXT, and an empty one too.  An empty line is no row, unless rows have one cell: then\n"
	"it is one with an empty TEXT.  What query --csv wrote wants --null ''; its BLOBs and\n"
	"infinities come in as TEXT.  --header: the first line is no row; where the SQL names\n"
	"its parameters (:title) it says which column is which, else they go by position.\n"
	"--format jsonl: a line is an array, or an object whose keys name the parameters.\n"
	"--chunk-rows N: a long batch keeps all other writers waiting.  With this it is not\n"
	"all or none: each N rows are committed by themselves, and others have their turn in\n"
	"between.  The first error ends it, with status 1; the rows of the chunks before stay,\n"
	"and it is said how many they are, and from which line of the input to go on.\n"
	"\n"
	"  poolite batch --format csv --header 'INSERT INTO leads(title, source) VALUES (?, ?)' "
	"< leads.csv\n"
	"  poolite batch --format jsonl 'INSERT INTO leads(title) VALUES (:title)' < leads.jsonl\n"
	"  poolite batch --format csv --chunk-rows 1000 'INSERT INTO words VALUES (?)' < words\n",
	TAKES_OUTPUT | TAKES_HEADER | TAKES_NULL | TAKES_TEXT | TAKES_INPUT | IS_CHANGE,
	1, 1, run_batch},
    {"script", "FILE", "run a file of statements as one transaction",
	"Runs the many statements of FILE (-: the standard input), all of them or none; writes\n"
	"statements and changes.  For schemas, dumps, migrations.  It is one message: at most\n"
	"the broker's --max-frame-bytes.  --foreign-keys-off: keys are off meanwhile, and\n"
	"checked at the end.\n"
	"\n"
	"  poolite script schema.sql\n"
	"  sqlite3 old.db .dump | poolite script -\n",
	TAKES_OUTPUT | TAKES_HEADER | TAKES_KEYS | IS_CHANGE, 1, 1, run_script},
    {"ping", "", "whether a broker answers",
	"Writes pong when a broker answers, as JSON {\"answer\": \"pong\"}.  Tries for a second.\n"
	"\n"
	"  poolite ping\n"
	"  poolite ping --connect-timeout 30 && poolite script schema.sql\n",
	TAKES_JSON | IS_IMPATIENT, 0, 0, run_ping},
    {"stats", "", "the pool, queues, waits, latencies",
	"Writes what the broker counts: the pool, queues, waits, latencies.\n\n"
	"  poolite stats --json\n",
	TAKES_JSON, 0, 0, run_stats},
    {"health", "", "how the broker is",
	"Writes how the broker is; the exit status is 1 when it is unhealthy.  Tries for a\n"
	"second to reach it.\n"
	"\n"
	"  poolite health\n",
	TAKES_JSON | IS_IMPATIENT, 0, 0, run_health},
    {NULL, NULL, NULL, NULL, 0, 0, 0, NULL},
};

const struct command *command_find(const char *name)
{
	for (const struct command *command = commands; command->name; command++)
		if (strcmp(command->name, name) == 0)
			return command;
	return NULL;
}
