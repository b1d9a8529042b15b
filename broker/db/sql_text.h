/* sql_text.h - just enough of SQL's lexical rules to know a statement by its
 * first tokens, as SQLite itself would: white space (a byte order mark too),
 * -- and C comments, leading semicolons, quoting, any case.  Pure.
 */
#ifndef POOLITE_BROKER_DB_SQL_TEXT_H
#define POOLITE_BROKER_DB_SQL_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Whether ${sql} holds nothing but white space, comments and semicolons. */
bool sql_text_is_blank(const char *sql, size_t len);

/** Whether the first statement is a VACUUM, also behind EXPLAIN or EXPLAIN QUERY PLAN. */
bool sql_text_is_vacuum(const char *sql, size_t len);

/** What the first word of a text says it does. */
enum sql_text_verb {
	SQL_VERB_OTHER,     /* also EXPLAIN of anything, and nothing at all */
	SQL_VERB_INSERT,    /* INSERT, REPLACE */
	SQL_VERB_CHANGE,    /* UPDATE, DELETE */
	SQL_VERB_WITH,      /* the words behind decide: ask SQLite */
	SQL_VERB_DDL,       /* CREATE, DROP, ALTER, REINDEX, ANALYZE */
	SQL_VERB_SAVEPOINT, /* SAVEPOINT, RELEASE, ROLLBACK */
};

/** The verb of the first statement of ${sql}. */
enum sql_text_verb sql_text_verb(const char *sql, size_t len);

/**
 * Whether the first statement, up to its first semicolon, calls one of
 * ${names} (lower case, NULL behind the last): the name in any case or
 * quoting, then an opening parenthesis.
 */
bool sql_text_calls(const char *sql, size_t len, const char *const *names);

/** How the first statement of a script is to be taken. */
enum sql_text_kind {
	SQL_TEXT_END,    /* nothing left */
	SQL_TEXT_BEGIN,  /* BEGIN [DEFERRED|IMMEDIATE|EXCLUSIVE] [TRANSACTION [name]] */
	SQL_TEXT_COMMIT, /* COMMIT or END [TRANSACTION [name]] */
	SQL_TEXT_FOREIGN_KEYS_OFF, /* PRAGMA foreign_keys = off|no|false|0, with = or ( ) */
	SQL_TEXT_FOREIGN_KEYS_ON, /* ... on|yes|true or 1 .. 255 */
	SQL_TEXT_OTHER, /* anything else, also any of the above spelt another way */
};

/**
 * Look at the first statement of ${sql}.
 *
 *   start  set to the offset of its first token (leading blanks, comments and semicolons skipped)
 *   end    for the four that are known: set to the offset behind their
 *          semicolon (or the text's end); for OTHER equal to ${start}
 */
enum sql_text_kind sql_text_kind(const char *sql, size_t len, size_t *start, size_t *end);

/** The line, from 1, that offset ${at} stands on. */
size_t sql_text_line(const char *sql, size_t len, size_t at);

#endif
