/* sql_grammar.h - SQL texts by chance, each with what has to become of it.
 *
 * What must be refused is known from how a text was made, by a list of its own that is written
 * after what the broker promises, not after the guard's code.
 */
#ifndef POOLITE_TESTS_SQL_GRAMMAR_H
#define POOLITE_TESTS_SQL_GRAMMAR_H

#include "tests/fault/fault.h"

/* What has to become of a text. */
enum verdict {
	VERDICT_REFUSE, /* it must fail, whoever refuses it */
	VERDICT_ACCEPT, /* honest: it must succeed */
	VERDICT_ANY,    /* either, as long as nothing stays behind */
};

/* Where a text stands. */
enum place {
	PLACE_PLAIN = 1,   /* a query or update by itself */
	PLACE_SESSION = 2, /* between begin and commit */
	PLACE_SEVERAL = 4, /* one of a transaction's or script's */
};

struct sql_case {
	char text[8192]; /* ends in a NUL */
	size_t len;
	enum verdict verdict;
};

/* Names that SQLite itself tells; read before guards are about.  Borrowed. */
struct sql_names {
	const char *const *pragmas;
	size_t pragmas_count;
	const char *const *modules;
	size_t modules_count;
};

/** The next text for ${place}. */
void sql_case_make(struct sql_case *made, struct chance *chance,
    const struct sql_names *names, enum place place);

/** Whether a client may use the PRAGMA ${name} (of ${len} bytes) at all, if only to read it. */
bool sql_pragma_is_listed(const char *name, size_t len);

#endif
