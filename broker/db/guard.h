/* guard.h - what a client's SQL may do: SQLite's authorizer with an allow-list.
 *
 * One guard per connection, on that connection's thread.  SQLite asks it while
 * a text is compiled, and for some things (pragma_x() tables, ALTER TABLE)
 * only while it runs, so it stays installed for life.  What is not on the list
 * is refused.  Besides yes and no it notes facts about the text compiled last;
 * the statement cache keeps them, because a cached text is not asked again.
 */
#ifndef POOLITE_BROKER_DB_GUARD_H
#define POOLITE_BROKER_DB_GUARD_H

#include <stdbool.h>
#include <stddef.h>

#include <sqlite3.h>

/* Facts about one text. */
enum guard_fact {
	GUARD_INSERTS = 1 << 0, /* the text itself is an INSERT or REPLACE */
	GUARD_CHANGES = 1 << 1, /* the text itself is INSERT, REPLACE, UPDATE or DELETE */
	GUARD_DDL = 1 << 2,     /* CREATE, DROP, ALTER, REINDEX, ANALYZE */
	GUARD_SAVEPOINT =
	    1 << 3, /* SAVEPOINT, RELEASE or ROLLBACK TO: only inside begin .. commit */
	GUARD_COUNTERS =
	    1 << 4, /* the text itself (no trigger, no view) names last_insert_rowid(),
	                             changes() or total_changes(): not in a plain request */
};

struct guard {
	bool is_own;     /* the broker's own statement is compiled or run: let all pass */
	unsigned facts;  /* of the text compiled last, GUARD_* */
	bool is_refused; /* something was denied since guard_reset */
	char why[256];   /* then: what, and what to do instead; whole UTF-8 */

	/* Private: what the text itself says, for the questions SQLite asks later. */
	bool is_with;        /* begins with WITH: the first table action tells its kind */
	bool names_counters; /* calls last_insert_rowid(), changes() or total_changes() */
};

/**
 * Make ${db} safe for clients' SQL: authorizer, DEFENSIVE on, no extensions, no
 * attached files.  Everything a connection needs to be
 * set up with has to be done before.
 *
 *   guard  borrowed for as long as ${db} is open; zeroed here.
 *   trusts_schema  whether views, triggers, CHECK and the like may use all functions and
 *                  virtual tables, as honest files expect; else only what SQLite calls innocuous
 *
 * Returns SQLITE_OK or SQLite's code.
 */
int guard_install(struct guard *guard, sqlite3 *db, bool trusts_schema);

/** Before each statement is run: forget facts and refusals. */
void guard_reset(struct guard *guard);

/**
 * Look at a client's text just before it is compiled, always: begins with a
 * guard_reset, notes the facts that only the text's own words tell, and
 * refuses what the authorizer never sees: VACUUM, known by its first token
 * (behind EXPLAIN too).  No guard_reset between this, sqlite3_prepare_v3 and
 * reading guard->facts.  Cost: linear in the first statement's length.
 *
 *   sql, len  borrowed for the call; only the first statement is looked at.
 *
 * True with guard->is_refused and why set: do not compile it.
 *
 * After any error of prepare or step ask guard->is_refused, whatever the code:
 * a refusal inside FTS5 or ALTER TABLE comes back as SQLITE_ERROR.  When a
 * statement succeeded, is_refused means nothing.
 */
bool guard_refuses_text(struct guard *guard, const char *sql, size_t len);

#endif
