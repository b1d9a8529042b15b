/* ledger.h's clients. */
#include "tests/fault/ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/fault.h"
#include "tests/support/check.h"
#include "tests/support/process.h"

/* Every so many acknowledged requests a client looks whether it sees the last one. */
#define LOOK_EVERY 8

#define INSERT "INSERT INTO ledger VALUES (?, ?, ?, ?)"

/* One client, in its own process. */
struct client {
	struct ledger *ledger;
	unsigned index;
	struct chance chance;
	struct poolite *handle;
	char payload[4096];
	uint64_t acks;
};

/* ---- the record -------------------------------------------------------------- */

struct ledger *ledger_create(const struct ledger_options *options)
{
	struct ledger *ledger = shared_memory(sizeof *ledger);

	CHECK(options->clients <= LEDGER_CLIENTS, "too many clients");
	CHECK(options->payload_bytes < 4096, "too large a payload");
	ledger->options = *options;
	return ledger;
}

void ledger_free(struct ledger *ledger)
{
	munmap(ledger, sizeof *ledger);
}

void ledger_clear(struct ledger *ledger)
{
	for (unsigned i = 0; i < LEDGER_CLIENTS; i++) {
		memset(
		    ledger->entries[i], 0, ledger->used[i] * sizeof(struct ledger_entry));
		ledger->used[i] = 0;
	}
}

void ledger_reset_counts(struct ledger *ledger)
{
	ledger->acks = ledger->unknowns = ledger->bystanders = ledger->wrong = 0;
	memset(ledger->codes, 0, sizeof ledger->codes);
}

/* The first thing that should not be: later ones are often its consequences. */
static void tell(
    struct ledger *ledger, const char *what, const struct poolite_error *error)
{
	if (atomic_exchange(&ledger->has_story, true))
		return;
	snprintf(ledger->story, sizeof ledger->story, "%s: %s%s%s", what,
	    error ? poolite_code_name(error->code) : "", error ? ", " : "",
	    error ? error->message : "");
}

static struct ledger_entry *intend_in_chunks(
    struct client *client, unsigned parts, unsigned chunk)
{
	struct ledger *ledger = client->ledger;
	uint32_t seq = ledger->used[client->index];
	struct ledger_entry *entry = &ledger->entries[client->index][seq];

	entry->parts = (uint8_t)parts;
	entry->chunk = (uint8_t)chunk;
	atomic_store(&entry->state, LEDGER_INTENDED);
	atomic_store(&ledger->used[client->index], seq + 1);
	return entry;
}

static struct ledger_entry *intend(struct client *client, unsigned parts)
{
	return intend_in_chunks(client, parts, 0);
}

static void note_ok(struct client *client, struct ledger_entry *entry)
{
	atomic_store(&entry->state, LEDGER_OK);
	atomic_fetch_add(&client->ledger->acks, 1);
	client->acks++;
}

/* Whether an error's rows_done can be: whole chunks, and not all of them. */
static bool is_some_chunks(
    const struct ledger_entry *entry, const struct poolite_error *error)
{
	if (!entry || !entry->chunk)
		return error->rows_done == 0;
	return error->rows_done >= 0 && error->rows_done < entry->parts &&
	    error->rows_done % entry->chunk == 0;
}

static void note_outcome(
    struct ledger *ledger, struct ledger_entry *entry, const struct poolite_error *error)
{
	static const enum ledger_state states[] = {
	    [POOLITE_DONE_NO] = LEDGER_NO,
	    [POOLITE_DONE_UNKNOWN] = LEDGER_UNKNOWN,
	    [POOLITE_DONE_PART] = LEDGER_PART,
	};
	_Atomic uint64_t *const counts[] = {
	    [POOLITE_DONE_NO] = &ledger->refusals,
	    [POOLITE_DONE_UNKNOWN] = &ledger->unknowns,
	    [POOLITE_DONE_PART] = &ledger->in_part,
	};

	atomic_fetch_add(counts[error->outcome], 1);
	if (!is_some_chunks(entry, error)) {
		atomic_fetch_add(&ledger->wrong, 1);
		tell(ledger, "rows_done are no whole chunks", error);
	}
	if (!entry)
		return;
	entry->done = (uint8_t)error->rows_done;
	atomic_store(&entry->state, states[error->outcome]);
}

static void note_error(struct client *client, struct ledger_entry *entry,
    const struct poolite_error *error, bool is_mistake)
{
	struct ledger *ledger = client->ledger;
	uint32_t bit = LEDGER_CODE(error->code);

	note_outcome(ledger, entry, error);
	atomic_fetch_add(&ledger->codes[-error->code], 1);
	if (!(is_mistake && error->code == POOLITE_CONSTRAINT) &&
	    !(ledger->options.tolerated & bit)) {
		atomic_fetch_add(&ledger->bystanders, 1);
		tell(ledger, "an error that nothing explains", error);
	}
}

static void note(struct client *client, struct ledger_entry *entry, int rc,
    const struct poolite_error *error)
{
	if (rc)
		note_error(client, entry, error, false);
	else
		note_ok(client, entry);
}

/* ---- requests ---------------------------------------------------------------- */

static int64_t seq_of(const struct client *client, const struct ledger_entry *entry)
{
	return entry - client->ledger->entries[client->index];
}

static void fill(const struct client *client, const struct ledger_entry *entry,
    unsigned part, struct poolite_value values[4])
{
	values[0] = poolite_integer(client->index);
	values[1] = poolite_integer(seq_of(client, entry));
	values[2] = poolite_integer(part);
	values[3] = poolite_blob(client->payload, client->ledger->options.payload_bytes);
}

static void insert_one(struct client *client)
{
	struct ledger_entry *entry = intend(client, 1);
	struct poolite_value values[4];
	struct poolite_error error;

	fill(client, entry, 0, values);
	note(client, entry,
	    poolite_update(client->handle, INSERT, values, 4, NULL, &error), &error);
}

/* The chunks of a batch: none for half of them. */
static unsigned chance_chunk(struct client *client, unsigned parts)
{
	if (chance_below(&client->chance, 2))
		return 0;
	return 1 + (unsigned)chance_below(&client->chance, parts);
}

static void insert_batch(struct client *client)
{
	unsigned parts = 2 + (unsigned)chance_below(&client->chance, LEDGER_PARTS - 1);
	unsigned chunk = chance_chunk(client, parts);
	struct ledger_entry *entry = intend_in_chunks(client, parts, chunk);
	struct poolite_value values[LEDGER_PARTS][4];
	struct poolite_error error;

	for (unsigned i = 0; i < parts; i++)
		fill(client, entry, i, values[i]);
	note(client, entry,
	    poolite_batch_in_chunks(
		client->handle, INSERT, values[0], 4, parts, (int)chunk, NULL, &error),
	    &error);
}

/* Several statements in one message. */
static void insert_together(struct client *client)
{
	struct ledger_entry *entry = intend(client, 3);
	struct poolite_statement statements[3];
	struct poolite_value values[3][4];
	struct poolite_error error;

	for (unsigned i = 0; i < 3; i++) {
		fill(client, entry, i, values[i]);
		statements[i] = (struct poolite_statement){INSERT, values[i], 4};
	}
	note(client, entry,
	    poolite_transaction(client->handle, statements, 3, NULL, &error), &error);
}

/* A transaction of several round trips, committed or given up. */
static void insert_in_transaction(struct client *client, bool gives_up)
{
	unsigned parts = 1 + (unsigned)chance_below(&client->chance, 3);
	struct ledger_entry *entry = intend(client, parts);
	struct poolite_value values[4];
	struct poolite_error error;
	struct poolite_tx *tx;
	int rc;

	rc = poolite_begin(client->handle, POOLITE_WRITE, &tx, &error);
	if (rc) {
		note_error(client, entry, &error, false);
		return;
	}
	for (unsigned i = 0; rc == 0 && i < parts; i++) {
		fill(client, entry, i, values);
		rc = poolite_tx_update(tx, INSERT, values, 4, NULL, &error);
	}
	if (rc == 0 && !gives_up) {
		note(client, entry, poolite_tx_commit(tx, &error), &error);
		return;
	}
	poolite_tx_rollback(tx, NULL);
	if (rc)
		note_error(client, entry, &error, false);
	else
		atomic_store(&entry->state, LEDGER_NO);
}

/* ---- mistakes: each must be refused, and leave nothing behind --------------------- */

/* Their client, seq and payload are the parameters. */
static const char *const mistakes[] = {
    /* tears its group's transaction down */
    "INSERT OR ROLLBACK INTO ledger SELECT ?1, ?2, column1, ?3 FROM (VALUES (0), (0))",
    /* leaves its first rows behind, but for a savepoint around it */
    "INSERT OR FAIL INTO ledger SELECT ?1, ?2, column1, ?3 FROM (VALUES (0), (1), (0))",
    "INSERT INTO ledger SELECT ?1, ?2, column1, ?3 FROM (VALUES (0), (1), (0))",
    /* found at COMMIT only, which then fails for all */
    "INSERT INTO ledger SELECT ?1 + 1000, ?2, 0, ?3",
};

static void make_mistake(struct client *client)
{
	size_t which = chance_below(&client->chance, sizeof mistakes / sizeof *mistakes);
	struct ledger_entry *entry = intend(client, 2);
	struct poolite_value values[4];
	struct poolite_error error;

	fill(client, entry, 0, values);
	values[2] = values[3];
	if (poolite_update(client->handle, mistakes[which], values, 3, NULL, &error)) {
		note_error(client, entry, &error, true);
		return;
	}
	note_ok(client, entry);
	atomic_fetch_add(&client->ledger->wrong, 1);
	tell(client->ledger, mistakes[which], NULL);
}

/* A batch one row of which is refused: with it goes its chunk, or all. */
static void make_batch_mistake(struct client *client)
{
	unsigned parts = 3 + (unsigned)chance_below(&client->chance, LEDGER_PARTS - 2);
	unsigned bad = 1 + (unsigned)chance_below(&client->chance, parts - 1);
	unsigned chunk = chance_chunk(client, parts);
	unsigned done = chunk ? bad / chunk * chunk : 0;
	struct ledger_entry *entry = intend_in_chunks(client, parts, chunk);
	struct poolite_value values[LEDGER_PARTS][4];
	struct poolite_error error;

	for (unsigned i = 0; i < parts; i++)
		fill(client, entry, i == bad ? 0 : i, values[i]);
	if (poolite_batch_in_chunks(client->handle, INSERT, values[0], 4, parts,
		(int)chunk, NULL, &error) == 0)
		note_ok(client, entry);
	else
		note_error(client, entry, &error, true);
	if (error.code == POOLITE_OK ||
	    (error.code == POOLITE_CONSTRAINT && error.rows_done != done)) {
		atomic_fetch_add(&client->ledger->wrong, 1);
		tell(client->ledger, "a batch with the same row twice", &error);
	}
}

/* ---- reads --------------------------------------------------------------------- */

/* A read sees every write answered before it was sent. */
static void look(struct client *client)
{
	struct ledger *ledger = client->ledger;
	uint32_t seq = ledger->used[client->index] - 1;
	struct poolite_result *result;
	struct poolite_error error;

	if (atomic_load(&ledger->entries[client->index][seq].state) != LEDGER_OK)
		return;
	if (poolite_query(client->handle,
		"SELECT 1 FROM ledger WHERE client = ? AND seq = ? LIMIT 1",
		POOLITE_ARGS(poolite_integer(client->index), poolite_integer(seq)),
		&result, &error)) {
		note_error(client, NULL, &error, false);
		return;
	}
	if (poolite_result_rows(result) != 1) {
		atomic_fetch_add(&ledger->wrong, 1);
		tell(ledger, "a read missed what had been answered", NULL);
	}
	poolite_result_free(result);
}

/* ---- a client -------------------------------------------------------------------- */

static void request(struct client *client)
{
	unsigned dice = (unsigned)chance_below(&client->chance, 100);

	if (client->ledger->options.skips_mistakes && dice >= 90)
		dice -= 90;
	if (dice < 50)
		insert_one(client);
	else if (dice < 65)
		insert_batch(client);
	else if (dice < 75)
		insert_together(client);
	else if (dice < 85)
		insert_in_transaction(client, false);
	else if (dice < 90)
		insert_in_transaction(client, true);
	else if (dice < 97)
		make_mistake(client);
	else
		make_batch_mistake(client);
	if (client->acks % LOOK_EVERY == 0)
		look(client);
}

static bool goes_on(const struct client *client)
{
	const struct ledger *ledger = client->ledger;
	uint32_t used = ledger->used[client->index];

	if (atomic_load(&ledger->must_stop) || used >= LEDGER_ENTRIES)
		return false;
	if (ledger->options.requests && used >= ledger->options.requests)
		return false;
	return !(ledger->options.ends_with_broker &&
	    atomic_load(&ledger->codes[-POOLITE_NO_BROKER]) > 0);
}

static void note_span(struct ledger *ledger, double seconds)
{
	int64_t us = (int64_t)(seconds * 1e6), longest = ledger->longest_us;

	while (us > longest &&
	    !atomic_compare_exchange_weak(&ledger->longest_us, &longest, us))
		;
}

static void play_client(unsigned index, void *context)
{
	struct ledger *ledger = context;
	struct client client = {.ledger = ledger,
	    .index = index,
	    .chance = chance_of(ledger->options.seed, index)};
	struct poolite_options options = {
	    .connect_timeout_ms = ledger->options.ends_with_broker ? 1 : 20000,
	    .request_timeout_ms = 30000,
	};

	memset(client.payload, 'p', sizeof client.payload);
	CHECK(poolite_open(ledger->socket, &options, &client.handle, NULL) == 0,
	    "poolite_open");
	while (goes_on(&client)) {
		double started = check_seconds();
		request(&client);
		note_span(ledger, check_seconds() - started);
		if (ledger->options.pause_us)
			usleep(ledger->options.pause_us);
	}
	poolite_close(client.handle);
}

/* ---- all of them ------------------------------------------------------------------ */

void ledger_start(struct ledger *ledger, const char *socket)
{
	snprintf(ledger->socket, sizeof ledger->socket, "%s", socket);
	atomic_store(&ledger->must_stop, false);
	for (unsigned i = 0; i < ledger->options.clients; i++)
		ledger->pids[i] = client_start(play_client, i, ledger);
}

void ledger_join(struct ledger *ledger)
{
	for (unsigned i = 0; i < ledger->options.clients; i++)
		client_wait(ledger->pids[i]);
}

void ledger_stop(struct ledger *ledger)
{
	atomic_store(&ledger->must_stop, true);
	ledger_join(ledger);
}

bool ledger_await_acks(
    struct ledger *ledger, uint64_t since, uint64_t acks, double seconds)
{
	double until = check_seconds() + seconds;

	while (atomic_load(&ledger->acks) < since + acks) {
		if (check_seconds() > until)
			return false;
		usleep(200);
	}
	return true;
}
