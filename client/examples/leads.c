/* leads - LeadFinder's database code on libpoolite: one place for all its SQL. */
#include "client/examples/leads.h"

#include <stdlib.h>
#include <string.h>

#define COLUMNS "id, title, description, link, summary, source, created_at"
#define INSERT                                                                           \
	"INSERT INTO leads(title, description, link, summary, source) "                  \
	"VALUES (?, ?, ?, ?, ?)"

/* The five values of INSERT. */
static void set_values(struct poolite_value values[5], const struct lead *lead)
{
	values[0] = poolite_text(lead->title);
	values[1] = poolite_text(lead->description);
	values[2] = poolite_text(lead->link);
	values[3] = poolite_text(lead->summary);
	values[4] = poolite_text(lead->source);
}

int create_tables(struct poolite *db, struct poolite_error *error)
{
	return poolite_script(db,
	    "CREATE TABLE IF NOT EXISTS leads("
	    "  id INTEGER PRIMARY KEY,"
	    "  title TEXT NOT NULL, description TEXT, link TEXT, summary TEXT,"
	    "  source TEXT NOT NULL,"
	    "  created_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP);"
	    "CREATE INDEX IF NOT EXISTS leads_by_source ON leads(source, id);",
	    0, NULL, error);
}

int save_lead(
    struct poolite *db, const struct lead *lead, int64_t *id, struct poolite_error *error)
{
	struct poolite_value values[5];
	struct poolite_changes changes;

	set_values(values, lead);
	poolite_update(db, INSERT, values, 5, &changes, error);
	*id = changes.last_insert_id;
	return error->code;
}

int import_leads(struct poolite *db, const struct lead *leads, size_t count,
    int64_t *saved, struct poolite_error *error)
{
	struct poolite_value *values = calloc(count * 5 + 1, sizeof *values);
	struct poolite_changes changes = {0, 0, 0};

	if (!values)
		abort();
	for (size_t i = 0; i < count; i++)
		set_values(values + 5 * i, &leads[i]);
	poolite_batch(db, INSERT, values, 5, count, &changes, error);
	*saved = changes.changes;
	free(values);
	return error->code;
}

int get_all_leads(
    struct poolite *db, struct poolite_result **leads, struct poolite_error *error)
{
	return poolite_query(db, "SELECT " COLUMNS " FROM leads ORDER BY id",
	    POOLITE_NO_ARGS, leads, error);
}

int get_leads_by_source(struct poolite *db, const char *source, int64_t most,
    struct poolite_result **leads, struct poolite_error *error)
{
	return poolite_query(db,
	    "SELECT " COLUMNS " FROM leads WHERE source = ? ORDER BY id DESC LIMIT ?",
	    POOLITE_ARGS(poolite_text(source), poolite_integer(most)), leads, error);
}

int delete_lead(
    struct poolite *db, int64_t id, bool *was_there, struct poolite_error *error)
{
	struct poolite_changes changes;

	poolite_update(db, "DELETE FROM leads WHERE id = ?",
	    POOLITE_ARGS(poolite_integer(id)), &changes, error);
	*was_there = changes.changes > 0;
	return error->code;
}

int move_lead(struct poolite *db, int64_t from, const char *source, int64_t *moved,
    struct poolite_error *error)
{
	struct poolite_result *found = NULL, *now = NULL;
	struct poolite_tx *tx;
	int64_t id;

	*moved = 0;
	if (poolite_begin(db, POOLITE_WRITE, &tx, error))
		return error->code;
	if (poolite_tx_query(tx, "SELECT id FROM leads WHERE id >= ? ORDER BY id LIMIT 1",
		POOLITE_ARGS(poolite_integer(from)), &found, error))
		goto rollback;
	if (poolite_result_next(found) != 1)
		goto rollback; /* none yet */
	id = poolite_result_int64(found, 0);
	if (poolite_tx_update(tx, "UPDATE leads SET source = ? WHERE id = ?",
		POOLITE_ARGS(poolite_text(source), poolite_integer(id)), NULL, error))
		goto rollback;
	if (poolite_tx_query(tx, "SELECT source FROM leads WHERE id = ?",
		POOLITE_ARGS(poolite_integer(id)), &now, error))
		goto rollback;
	if (poolite_result_next(now) == 1 &&
	    strcmp(poolite_result_text(now, 0), source) == 0)
		*moved = id;
	poolite_tx_commit(tx, error);
	tx = NULL;
rollback:
	poolite_tx_rollback(tx, NULL); /* of NULL: nothing */
	poolite_result_free(found);
	poolite_result_free(now);
	return error->code;
}
