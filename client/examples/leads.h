/* leads.h - the leads of an application, in a database that many processes share.
 *
 * Every function returns 0 or a code, and fills ${error} (poolite.h).  ${db} may be
 * one handle for all threads, as poolite_default gives it.
 */
#ifndef POOLITE_EXAMPLES_LEADS_H
#define POOLITE_EXAMPLES_LEADS_H

#include "client/poolite.h"

struct lead {
	const char *title, *description, *link, *summary, *source; /* NULL: SQL NULL */
};

/** Make the table and its index, unless they are there. */
int create_tables(struct poolite *db, struct poolite_error *error);

/** Save one; ${id} is the new one's. */
int save_lead(struct poolite *db, const struct lead *lead, int64_t *id,
    struct poolite_error *error);

/** Save many, all or none; ${saved} is how many. */
int import_leads(struct poolite *db, const struct lead *leads, size_t count,
    int64_t *saved, struct poolite_error *error);

/* Rows of id, title, description, link, summary, source, created_at, for
 * poolite_result_free: all of them, or the newest ${most} of one source. */
int get_all_leads(
    struct poolite *db, struct poolite_result **leads, struct poolite_error *error);
int get_leads_by_source(struct poolite *db, const char *source, int64_t most,
    struct poolite_result **leads, struct poolite_error *error);

/** ${was_there}: whether one was deleted. */
int delete_lead(
    struct poolite *db, int64_t id, bool *was_there, struct poolite_error *error);

/**
 * Give one lead another source, in a transaction of several round trips: find the
 * first from ${from} on, move it, look, commit.  ${moved} is its id, or 0: none yet.
 */
int move_lead(struct poolite *db, int64_t from, const char *source, int64_t *moved,
    struct poolite_error *error);

#endif
