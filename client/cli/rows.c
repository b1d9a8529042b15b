#include "client/cli/rows.h"

#include <string.h>

#include "client/cli/output.h"
#include "client/cli/watch.h"

int rows_open(struct rows *rows, struct poolite *db, const char *sql,
    const struct poolite_value *args, size_t args_count)
{
	struct watch watch;

	memset(rows, 0, sizeof *rows);
	rows->db = db;
	watch_begin(&watch, db);
	poolite_cursor_open(db, sql, args, args_count, 0, &rows->cursor, &rows->error);
	watch_end(&watch, false);
	rows->page = poolite_cursor_page(rows->cursor);
	rows->left = poolite_result_rows(rows->page);
	rows->changes = poolite_result_changes(rows->page);
	rows->last_insert_id = poolite_result_last_insert_id(rows->page);
	return rows->error.code;
}

/* The first row of the next page.  Watched by itself: between pages nothing is under
 * way that could be cancelled, and a SIGINT ends the program even while whoever reads
 * our output takes nothing. */
static int next_page(struct rows *rows)
{
	struct watch watch;
	int rc;

	rows->flushed = output_flush(rows->changes > 0);
	if (rows->flushed != EXIT_OK)
		return -1;
	watch_begin(&watch, rows->db);
	rc = poolite_cursor_next(rows->cursor, NULL, &rows->error);
	watch_end(&watch, false);
	rows->page = poolite_cursor_page(rows->cursor);
	rows->left = poolite_result_rows(rows->page);
	return watch.was_interrupted ? -1 : rc;
}

int rows_next(struct rows *rows)
{
	int rc = rows->left > 0 ? poolite_cursor_next(rows->cursor, NULL, &rows->error)
				: next_page(rows);

	if (rc > 0)
		rows->left--;
	return rc < 0 ? -1 : rc;
}

void rows_close(struct rows *rows)
{
	poolite_cursor_close(rows->cursor);
}
