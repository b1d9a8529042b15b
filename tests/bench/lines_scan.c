/* lines_scan.c - a million rows in pages: see tests/bench/README.md. */
#include "tests/bench/bench.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "proto/answer.h"
#include "proto/cursor.h"
#include "proto/frame.h"
#include "proto/statement.h"
#include "tests/bench/database.h"

#define SCAN_ROWS 1000000
#define SCAN_TABLE                                                                       \
	"CREATE TABLE scan (id INTEGER PRIMARY KEY, title TEXT, description TEXT, "      \
	"link TEXT, source TEXT, visits INTEGER);"                                       \
	"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < "      \
	"1000000) INSERT INTO scan SELECT i, 'Lead ' || i, "                             \
	"'A company that may need what we make.', 'https://example.com/lead', 'serp', "  \
	"i % 100 FROM n"
#define SCAN       "SELECT * FROM scan"
#define PAGE_ROWS  2000
#define PAGE_BYTES ((size_t)2 << 20)
#define GROWTH_MAX (16 << 20)

/* What a side has read: it has to be all there is. */
struct seen {
	int64_t rows;
	int64_t ids;    /* their sum */
	int64_t visits; /* likewise */
	int64_t bytes;  /* of text */
};

/* ---- directly -------------------------------------------------------------------- */

/* Step through all, reading every column; whether SQLite was content. */
static bool scan_direct(sqlite3 *db, struct seen *seen)
{
	sqlite3_stmt *statement;
	int rc;

	if (sqlite3_prepare_v2(db, SCAN, -1, &statement, NULL) != SQLITE_OK)
		return false;
	int columns = sqlite3_column_count(statement);
	while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
		seen->rows++;
		seen->ids += sqlite3_column_int64(statement, 0);
		for (int i = 1; i < columns; i++) {
			if (sqlite3_column_type(statement, i) == SQLITE_INTEGER) {
				seen->visits += sqlite3_column_int64(statement, i);
			} else if (sqlite3_column_text(statement, i) != NULL) {
				seen->bytes += sqlite3_column_bytes(statement, i);
			}
		}
	}
	sqlite3_finalize(statement);
	return rc == SQLITE_DONE;
}

/* ---- through the broker ------------------------------------------------------------ */

/* A session that reads pages: while one is read, the next one is under way. */
struct pager {
	int fd;
	uint32_t msgid;
	struct poolite__buf request;
	uint8_t *input; /* PAGE_BYTES */
	size_t input_len;
	size_t answer_len; /* of the answer at the start of input; 0: none */
	char message[POOLITE__MESSAGE_BYTES];
};

static bool pager_failed(struct pager *pager, const char *why)
{
	snprintf(pager->message, sizeof(pager->message), "%s", why);
	return false;
}

static bool pager_send(struct pager *pager)
{
	bool is_sent = socket_send(pager->fd, pager->request.data, pager->request.len);

	poolite__buf_truncate(&pager->request, 0);
	return is_sent || pager_failed(pager, "sending");
}

/* Receive one answer, the whole of it. */
static bool pager_receive(struct pager *pager, struct poolite__result *result)
{
	static const struct poolite__limits limits = {PAGE_BYTES, UINT32_MAX};
	struct poolite__scan scan = {0};
	struct poolite__answer answer;
	ssize_t end;

	pager->input_len -= pager->answer_len;
	memmove(pager->input, pager->input + pager->answer_len, pager->input_len);
	pager->answer_len = 0;
	while ((end = poolite__scan_next(
		    &scan, pager->input, pager->input_len, &limits)) == 0) {
		ssize_t came = recv(pager->fd, pager->input + pager->input_len,
		    PAGE_BYTES - pager->input_len, 0);

		if (came <= 0)
			return pager_failed(pager, "no answer");
		pager->input_len += (size_t)came;
	}
	if (end < 0 || poolite__read_answer(pager->input, (size_t)end, &answer) != 0)
		return pager_failed(pager, "no answer of a broker");
	if (answer.is_notification || answer.failure.code != POOLITE_OK)
		return pager_failed(pager, answer.failure.message);
	pager->answer_len = (size_t)end;
	return poolite__read_result(&answer.result, result) == 0 ||
	    pager_failed(pager, "no result");
}

/* Read every value of a page. */
static bool read_page(struct poolite__result *result, struct seen *seen)
{
	struct poolite__reader *at = &result->rows;
	struct poolite_value value;
	uint32_t columns;

	for (uint32_t row = 0; row < result->rows_count; row++) {
		if (poolite__read_array(at, &columns) != 0)
			return false;
		for (uint32_t i = 0; i < columns; i++) {
			if (poolite__read_value(at, false, &value, NULL) != 0)
				return false;
			if (value.type == POOLITE_TEXT)
				seen->bytes += (int64_t)value.len;
			else if (i == 0)
				seen->ids += value.as.integer;
			else
				seen->visits += value.as.integer;
		}
	}
	seen->rows += result->rows_count;
	return true;
}

static bool scan_pages(struct pager *pager, struct seen *seen)
{
	struct poolite__options options = {.page_rows = PAGE_ROWS};
	struct poolite__result result;

	poolite__pack_statement(&pager->request, ++pager->msgid, POOLITE__QUERY, SCAN,
	    strlen(SCAN), NULL, 0, &options);
	if (!pager_send(pager))
		return false;
	do {
		if (!pager_receive(pager, &result))
			return false;
		if (result.cursor != 0) {
			poolite__pack_fetch(
			    &pager->request, ++pager->msgid, result.cursor, 0, NULL);
			if (!pager_send(pager))
				return false;
		}
		if (!read_page(&result, seen))
			return pager_failed(pager, "a row that is none");
	} while (result.cursor != 0);
	return true;
}

/* ---- rounds ------------------------------------------------------------------------- */

/* Rows a second; 0 and a line on standard error unless all of them were there. */
static double rate(const char *side, const char *message, const struct seen *seen,
    int64_t started_ns, bool is_good)
{
	static const int64_t ids = (int64_t)SCAN_ROWS * (SCAN_ROWS + 1) / 2;
	double took = (double)(now_ns() - started_ns);

	if (is_good && seen->rows == SCAN_ROWS && seen->ids == ids)
		return SCAN_ROWS * 1e9 / took;
	fprintf(stderr, "bench: scan: %s: %" PRId64 " rows: %s\n", side, seen->rows,
	    is_good ? "not what is there" : message);
	return 0;
}

static bool scan_round(
    struct comparison *row, size_t round, struct pager *pager, sqlite3 *db)
{
	struct seen ours = {0}, theirs = {0};
	int64_t started = now_ns();
	bool is_good = scan_pages(pager, &ours);

	row->ours[round] = rate("Poolite", pager->message, &ours, started, is_good);
	started = now_ns();
	is_good = scan_direct(db, &theirs);
	row->theirs[round] =
	    rate("SQLite", sqlite3_errmsg(db), &theirs, started, is_good);
	if (memcmp(&ours, &theirs, sizeof(ours)) != 0)
		fprintf(stderr, "bench: scan: the sides read different values\n");
	return row->ours[round] != 0 && row->theirs[round] != 0 &&
	    memcmp(&ours, &theirs, sizeof(ours)) == 0;
}

static void pager_open(struct pager *pager, const struct site *site)
{
	memset(pager, 0, sizeof(*pager));
	pager->fd = socket_open(site->socket, pager->message);
	pager->input = malloc(PAGE_BYTES);
	if (pager->fd < 0 || pager->input == NULL)
		die("scan", pager->message);
	poolite__buf_init(&pager->request, WIRE_ASK_MAX, NULL);
}

static void pager_close(struct pager *pager)
{
	poolite__buf_release(&pager->request);
	free(pager->input);
	close(pager->fd);
}

void line_scan(struct bench *bench)
{
	struct comparison row = {.line = "scan",
	    .work = "scan of 1,000,000 rows in pages",
	    .peer = "SQLite in-process, step loop",
	    .unit = UNIT_RATE,
	    .at_least = 0.4,
	    .rounds = bench->is_quick ? 2 : bench->rounds};
	struct comparison growth = {.line = "scan",
	    .work = "scan: growth of the broker's memory",
	    .peer = "its bound",
	    .unit = UNIT_BYTES,
	    .at_most = 1,
	    .rounds = 1,
	    .theirs = {GROWTH_MAX}};
	struct pager pager;
	struct site site;

	site_open(&site, bench->poolited, row.line, SCAN_TABLE);
	pager_open(&pager, &site);
	sqlite3 *db = database_open(site.direct);
	if (db == NULL)
		die(site.direct, "cannot be opened");
	int64_t before = site_peak_bytes(&site);
	bench->is_wrong |= !scan_round(&row, 0, &pager, db);
	for (size_t i = 0; i < row.rounds && !bench->is_wrong; i++)
		bench->is_wrong = !scan_round(&row, i, &pager, db);
	growth.ours[0] = (double)(site_peak_bytes(&site) - before);
	if (!bench->is_wrong) {
		report_add(bench->report, &row);
		report_add(bench->report, &growth);
	}
	sqlite3_close(db);
	pager_close(&pager);
	bench->is_wrong |= !site_close(&site);
}
