#include "tests/fuzz/session/program.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "proto/batch.h"
#include "proto/begin.h"
#include "proto/cancel.h"
#include "proto/cursor.h"
#include "proto/script.h"
#include "proto/statement.h"
#include "proto/transaction.h"

#define COUNT_OF(table) (sizeof(table) / sizeof(table)[0])
#define ARGS_MAX        4
#define ROWS_MAX        16

/* Texts, with how many arguments they take. */
static const struct {
	const char *sql;
	unsigned args;
} texts[] = {
    {"SELECT 1", 0},
    {"SELECT * FROM t WHERE id = ?", 1},
    {"SELECT id, a, b FROM t ORDER BY id", 0},
    {"SELECT a FROM t WHERE b > ? AND c < ?", 2},
    {"INSERT INTO t(a, b) VALUES(?, ?)", 2},
    {"INSERT INTO t(id, a, b, c) VALUES(?, ?, ?, ?)", 4},
    {"INSERT OR ROLLBACK INTO t(id, b) VALUES(?, ?)", 2},
    {"INSERT OR FAIL INTO t(b) SELECT b + ? FROM t", 1},
    {"INSERT OR REPLACE INTO t(id, b) VALUES(?, ?)", 2},
    {"INSERT OR IGNORE INTO t(id, b) VALUES(?, ?)", 2},
    {"INSERT INTO t(a) VALUES('rollback')", 0},
    {"INSERT INTO t(a, b) VALUES(?, ?) RETURNING id, a", 2},
    {"UPDATE t SET a = ? WHERE id = ?", 2},
    {"UPDATE t SET c = c + ?", 1},
    {"UPDATE t SET a = a || ? RETURNING *", 1},
    {"DELETE FROM t WHERE id = ?", 1},
    {"DELETE FROM t", 0},
    {"INSERT INTO parent VALUES(?)", 1},
    {"DELETE FROM parent WHERE id = ?", 1},
    {"INSERT INTO child VALUES(?, ?)", 2},
    {"UPDATE child SET parent = ?", 1},
    {"SELECT count(*) FROM t, t AS u, t AS v", 0},
    {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
	0},
    {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT ?) "
     "SELECT i, hex(randomblob(40)) FROM n",
	1},
    {"INSERT INTO log WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
     "SELECT i FROM n",
	0},
    {"SELECT zeroblob(?), printf('%*d', ?, 1)", 2},
    {"INSERT INTO log VALUES(zeroblob(20000))", 0},
    {"SELECT last_insert_rowid(), changes()", 0},
    {"SAVEPOINT s", 0},
    {"RELEASE s", 0},
    {"ROLLBACK TO s", 0},
    {"SAVEPOINT poolite", 0},
    {"BEGIN", 0},
    {"COMMIT", 0},
    {"ROLLBACK", 0},
    {"CREATE TABLE extra(x, y)", 0},
    {"DROP TABLE extra", 0},
    {"INSERT INTO extra VALUES(?, ?)", 2},
    {"SELECT * FROM extra", 0},
    {"CREATE VIEW seen AS SELECT a FROM t", 0},
    {"SELECT * FROM seen", 0},
    {"CREATE INDEX t_a ON t(a)", 0},
    {"ALTER TABLE extra ADD COLUMN z", 0},
    {"CREATE TEMP TABLE secret(x)", 0},
    {"ATTACH ':memory:' AS other", 0},
    {"VACUUM", 0},
    {"PRAGMA user_version", 0},
    {"PRAGMA user_version = 7", 0},
    {"PRAGMA foreign_keys = OFF", 0},
    {"PRAGMA foreign_key_check", 0},
    {"PRAGMA table_info(t)", 0},
    {"PRAGMA journal_mode = DELETE", 0},
    {"SELECT load_extension(?)", 1},
    {"EXPLAIN DELETE FROM t", 0},
    {"ANALYZE", 0},
    {"REINDEX", 0},
    {"SELECT :name, @name, $other", 2},
    {"SELECT ?2, ?1", 2},
    {"SELECT * FROM nowhere", 0},
    {"SELECT 1; SELECT 2", 0},
    {"-- nothing", 0},
    {"", 0},
    {"SELECT json_group_array(id) FROM t", 0},
    {"SELECT * FROM t LEFT JOIN child ON child.id = t.id", 0},
};

static const char *const scripts[] = {
    "INSERT INTO t(a) VALUES(1); INSERT INTO t(a) VALUES(2)",
    "INSERT INTO t(b) VALUES(1000); INSERT INTO t(b) VALUES(1000)",
    "CREATE TABLE extra(x, y); INSERT INTO extra VALUES(1, 2); DROP TABLE extra",
    "PRAGMA foreign_keys=OFF; DELETE FROM parent; PRAGMA foreign_keys=ON",
    "PRAGMA foreign_keys=OFF; INSERT INTO child VALUES(9, 9)",
    "PRAGMA foreign_keys=OFF; BEGIN TRANSACTION; CREATE TABLE extra(x); COMMIT;",
    "BEGIN; DELETE FROM t; COMMIT",
    "DELETE FROM t; ROLLBACK; DELETE FROM child",
    "SAVEPOINT a; DELETE FROM t; ROLLBACK TO a; RELEASE a",
    "INSERT OR ROLLBACK INTO t(id) VALUES(1)",
    "DELETE FROM t; SELECT * FROM",
    "; ; -- nothing\n ;",
    "CREATE TRIGGER tg AFTER INSERT ON log BEGIN DELETE FROM log; END; DROP TRIGGER tg",
};

static const char *const words[] = {"x", "42", "rollback", "\xc3\xa9t\xc3\xa9", ""};

bool program_next(struct fuzz_bytes *bytes, struct step *step)
{
	if (bytes->left == 0)
		return false;
	step->op = fuzz_byte(bytes) % STEP_COUNT;
	step->a = fuzz_byte(bytes);
	step->b = fuzz_byte(bytes);
	step->c = fuzz_byte(bytes);
	step->bytes = bytes->at;
	step->len = 0;
	if (step->op == STEP_SQL || step->op == STEP_RAW) {
		step->len = step->b < bytes->left ? step->b : bytes->left;
		bytes->at += step->len;
		bytes->left -= step->len;
	}
	return true;
}

/* The ${index}-th of the arguments that ${seed} stands for. */
static struct poolite_value argument(uint8_t seed, unsigned index)
{
	const char *word = words[(seed + index) % COUNT_OF(words)];

	switch ((seed >> 2 * index) & 15) {
	case 0: return poolite_null();
	case 1: return poolite_real(seed / 3.0);
	case 2: return poolite_text(word);
	case 3: return poolite_blob(word, strlen(word));
	case 4: return poolite_integer(INT64_MAX);
	case 5: return poolite_integer(INT64_MIN);
	case 6: return poolite_real(NAN);
	case 7: return poolite_integer(100000);
	case 8: return poolite_text_n("a\0b", 3);
	case 9: return poolite_text("\xff");
	default: return poolite_integer(seed % 40 + (int)index);
	}
}

/* As many as the text takes, mostly; by name when ${seed} says so. */
static unsigned arguments(
    unsigned text, uint8_t seed, struct poolite_value args[ARGS_MAX])
{
	static const char *const names[ARGS_MAX] = {"name", ":other", "@id", ""};
	unsigned count = texts[text].args;

	if (seed == 0xff)
		count = (count + 1) % ARGS_MAX;
	for (unsigned i = 0; i < count; i++) {
		args[i] = argument(seed, i);
		if ((seed & 0xf8) == 0xf0)
			args[i].name = names[i];
	}
	return count;
}

static struct poolite__options options_of(uint8_t seed)
{
	static const int64_t timeouts_ms[] = {0, 0, 0, 0, 0, 1, 20, 700};

	return (struct poolite__options){.timeout_ms = timeouts_ms[seed & 7]};
}

static void pack_statement(const struct step *step, enum poolite__method method,
    uint32_t msgid, struct poolite__buf *out)
{
	static const uint32_t page_rows[] = {0, 0, 1, 2, 7, 30, 1000, 1000000};
	unsigned text = step->a % COUNT_OF(texts);
	struct poolite__options options = options_of(step->c);
	struct poolite_value args[ARGS_MAX];
	unsigned count = arguments(text, step->b, args);

	if (method == POOLITE__QUERY)
		options.page_rows = page_rows[step->c >> 3 & 7];
	poolite__pack_statement(out, msgid, method, texts[text].sql,
	    strlen(texts[text].sql), args, count, &options);
}

static void pack_batch(const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	unsigned text = step->a % COUNT_OF(texts);
	struct poolite__options options = options_of(step->b >> 5);
	struct poolite_value values[ROWS_MAX * ARGS_MAX];
	unsigned rows = step->b % ROWS_MAX, columns = texts[text].args;

	for (unsigned i = 0; i < rows * columns; i++)
		values[i] = argument((uint8_t)(step->c + 11 * (i / 2)), i % 3);
	poolite__pack_batch(out, msgid, texts[text].sql, strlen(texts[text].sql), values,
	    columns, rows, &options);
}

static void pack_transaction(
    const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	struct poolite__statement statements[3];
	struct poolite_value args[3][ARGS_MAX];
	const uint8_t picks[] = {step->a, step->b, step->c};
	unsigned count = 1 + step->c % 3;

	for (unsigned i = 0; i < count; i++) {
		unsigned text = picks[i] % COUNT_OF(texts);

		statements[i] = (struct poolite__statement){
		    .sql = texts[text].sql,
		    .sql_len = strlen(texts[text].sql),
		    .args = args[i],
		    .args_count = arguments(text, (uint8_t)(picks[i] * 7 + i), args[i]),
		};
	}
	poolite__pack_transaction(out, msgid, statements, count, NULL);
}

static void pack_begin(const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	struct poolite__options options = options_of(step->a >> 2);

	options.is_read = step->a & 1;
	options.abort_on_error = step->a & 2;
	poolite__pack_begin(out, msgid, &options);
}

static void pack_script(const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	const char *sql = scripts[step->a % COUNT_OF(scripts)];
	struct poolite__options options = options_of(step->c);

	options.foreign_keys_off = step->c & 0x80;
	poolite__pack_script(out, msgid, sql, strlen(sql), &options);
}

static uint64_t cursor_of(const struct step *step, const struct peer *peer)
{
	uint64_t cursor = peer->cursors[step->a % PEER_CURSORS];

	return cursor ? cursor : step->a + 1u;
}

static void pack_cancel(const struct step *step, const struct peer *peer, uint32_t msgid,
    const struct peer *other, struct poolite__buf *out)
{
	uint32_t target = msgid - step->a % 8;

	if (step->b % 4 == 0)
		poolite__pack_cancel_notification(out, target);
	else if (step->b % 4 == 1)
		poolite__pack_cancel(out, msgid, target, 0, NULL);
	else if (step->b % 4 == 2)
		poolite__pack_cancel(out, msgid, target, other->session, other->key);
	else
		poolite__pack_cancel(
		    out, msgid, target, other->session + step->c, peer->key);
}

static void pack_bare(const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	enum poolite__method method = step->a % (POOLITE__METHOD_COUNT + 1);

	poolite__pack_bare_request(out, msgid, method); /* the last: "unknown" */
}

static void pack_sql(const struct step *step, uint32_t msgid, struct poolite__buf *out)
{
	const char *sql = (const char *)step->bytes;
	struct poolite__options options = options_of(step->c);

	if (step->a % 4 == 0)
		poolite__pack_script(out, msgid, sql, step->len, &options);
	else
		poolite__pack_statement(out, msgid,
		    step->a % 4 == 1 ? POOLITE__UPDATE : POOLITE__QUERY, sql, step->len,
		    NULL, 0, &options);
}

static void pack_ledger(uint32_t msgid, struct poolite__buf *out)
{
	static const char sql[] = "INSERT INTO ledger VALUES(?)";
	struct poolite_value number = poolite_integer(msgid);

	poolite__pack_statement(
	    out, msgid, POOLITE__UPDATE, sql, sizeof sql - 1, &number, 1, NULL);
}

void program_pack(const struct step *step, const struct peer *peer, uint32_t msgid,
    const struct peer *other, struct poolite__buf *out)
{
	struct poolite__options options = options_of(step->c);

	switch (step->op) {
	case STEP_QUERY: pack_statement(step, POOLITE__QUERY, msgid, out); break;
	case STEP_UPDATE: pack_statement(step, POOLITE__UPDATE, msgid, out); break;
	case STEP_BATCH: pack_batch(step, msgid, out); break;
	case STEP_TRANSACTION: pack_transaction(step, msgid, out); break;
	case STEP_SCRIPT: pack_script(step, msgid, out); break;
	case STEP_BEGIN: pack_begin(step, msgid, out); break;
	case STEP_COMMIT: poolite__pack_bare_request(out, msgid, POOLITE__COMMIT); break;
	case STEP_ROLLBACK:
		poolite__pack_bare_request(out, msgid, POOLITE__ROLLBACK);
		break;
	case STEP_FETCH:
		poolite__pack_fetch(
		    out, msgid, cursor_of(step, peer), step->b % 40, &options);
		break;
	case STEP_CLOSE: poolite__pack_close(out, msgid, cursor_of(step, peer)); break;
	case STEP_CANCEL: pack_cancel(step, peer, msgid, other, out); break;
	case STEP_BARE: pack_bare(step, msgid, out); break;
	case STEP_SQL: pack_sql(step, msgid, out); break;
	case STEP_LEDGER: pack_ledger(msgid, out); break;
	default: assert(!"no message");
	}
}
