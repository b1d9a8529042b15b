/* ways.c - how one process can do an operation: see crew.h. */
#include "tests/bench/crew.h"

#include <inttypes.h>
#include <stdio.h>

#include "tests/bench/database.h"

/* Keep SQLite's reason. */
static bool direct_failed(struct client *client)
{
	snprintf(client->error.message, sizeof(client->error.message), "SQLite: %s",
	    client->db ? sqlite3_errmsg(client->db) : "cannot be opened");
	return false;
}

/* Prepare, run, finalize. */
static bool direct_once(struct client *client, int64_t number)
{
	sqlite3_stmt *statement = NULL;
	bool is_good = sqlite3_prepare_v2(
			   client->db, client->sql, -1, &statement, NULL) == SQLITE_OK &&
	    database_step(statement, number);

	if (!is_good)
		direct_failed(client);
	sqlite3_finalize(statement);
	return is_good;
}

static bool opened_run(struct client *client, int64_t number)
{
	client->db = database_open(client->path);
	bool is_good =
	    client->db != NULL ? direct_once(client, number) : direct_failed(client);

	sqlite3_close(client->db);
	return is_good;
}

static bool plain_run(struct client *client, int64_t number)
{
	bool is_good = sqlite3_open_v2(client->path, &client->db, SQLITE_OPEN_READWRITE,
			   NULL) == SQLITE_OK
	    ? direct_once(client, number)
	    : direct_failed(client);

	sqlite3_close(client->db);
	return is_good;
}

static bool prepared_open(struct client *client)
{
	client->db = database_open(client->path);
	return (client->db != NULL &&
		   sqlite3_prepare_v2(client->db, client->sql, -1, &client->statement,
		       NULL) == SQLITE_OK) ||
	    direct_failed(client);
}

static bool prepared_run(struct client *client, int64_t number)
{
	return database_step(client->statement, number) || direct_failed(client);
}

static void prepared_close(struct client *client)
{
	sqlite3_finalize(client->statement);
	sqlite3_close(client->db);
}

static bool poolite_way_open(struct client *client)
{
	return poolite_open(client->path, NULL, &client->handle, &client->error) == 0;
}

static bool wrong_row(struct client *client, int64_t number)
{
	snprintf(client->error.message, sizeof(client->error.message),
	    "Poolite: a wrong answer for %" PRId64, number);
	return false;
}

static bool poolite_way_read(struct client *client, int64_t number)
{
	struct poolite_result *result;
	int rows = 0;

	if (poolite_query(client->handle, client->sql,
		POOLITE_ARGS(poolite_integer(number)), &result, &client->error) != 0)
		return false;
	while (poolite_result_next(result) == 1) {
		rows += poolite_result_int64(result, 0) == number;
		for (size_t i = 0; i < poolite_result_columns(result); i++)
			(void)poolite_result_text(result, i);
	}
	poolite_result_free(result);
	return rows == 1 || wrong_row(client, number);
}

static bool poolite_way_run(struct client *client, int64_t number)
{
	struct poolite_changes changes;

	if (client->sql[0] == 'S')
		return poolite_way_read(client, number);
	if (poolite_update(client->handle, client->sql,
		POOLITE_ARGS(poolite_integer(number)), &changes, &client->error) != 0)
		return false;
	return changes.changes == 1 || wrong_row(client, number);
}

static void poolite_way_close(struct client *client)
{
	poolite_close(client->handle);
	client->handle = NULL;
}

static bool connect_run(struct client *client, int64_t number)
{
	bool is_good = poolite_way_open(client) && poolite_way_run(client, number);

	poolite_way_close(client);
	return is_good;
}

const struct way way_opened = {NULL, opened_run, NULL};
const struct way way_plain = {NULL, plain_run, NULL};
const struct way way_prepared = {prepared_open, prepared_run, prepared_close};
const struct way way_poolite = {poolite_way_open, poolite_way_run, poolite_way_close};
const struct way way_connect = {NULL, connect_run, NULL};
