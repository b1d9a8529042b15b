/* routes: what is remembered of texts. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "broker/routes.h"

static struct routes routes;

static enum route find(const char *sql)
{
	return routes_find(&routes, sql, strlen(sql));
}

static void learn(const char *sql, enum route route)
{
	routes_learn(&routes, sql, strlen(sql), route);
}

Test(routes, unknown_text_has_none)
{
	cr_assert_eq(find("SELECT 1"), ROUTE_UNKNOWN);
	cr_assert_eq(find(""), ROUTE_UNKNOWN);
}

Test(routes, learned_text_has_its_own_until_it_changes)
{
	learn("SELECT 1", ROUTE_READ);
	learn("DELETE FROM t", ROUTE_WRITE);
	cr_assert_eq(find("SELECT 1"), ROUTE_READ);
	cr_assert_eq(find("DELETE FROM t"), ROUTE_WRITE);
	cr_assert_eq(find("SELECT 2"), ROUTE_UNKNOWN);
	learn("SELECT 1", ROUTE_WRITE);
	cr_assert_eq(find("SELECT 1"), ROUTE_WRITE);
}

Test(routes, length_counts)
{
	routes_learn(&routes, "SELECT 12", 8, ROUTE_READ);
	cr_assert_eq(find("SELECT 1"), ROUTE_READ);
	cr_assert_eq(find("SELECT 12"), ROUTE_UNKNOWN);
}

Test(routes, more_texts_than_entries_are_forgotten_oldest_first)
{
	char sql[40];

	for (int i = 0; i < 2 * ROUTES_ENTRIES; i++) {
		snprintf(sql, sizeof sql, "SELECT %d", i);
		learn(sql, i % 2 ? ROUTE_READ : ROUTE_WRITE);
	}
	for (int i = 0; i < 2 * ROUTES_ENTRIES; i++) {
		snprintf(sql, sizeof sql, "SELECT %d", i);
		cr_assert_eq(find(sql),
		    i < ROUTES_ENTRIES ? ROUTE_UNKNOWN
			: i % 2        ? ROUTE_READ
				       : ROUTE_WRITE);
	}
	cr_assert_eq(routes.count, ROUTES_ENTRIES);
	routes_clear(&routes);
	cr_assert_eq(find("SELECT 1"), ROUTE_UNKNOWN);
}

Test(routes, long_text_stays_unknown)
{
	static char sql[ROUTES_TEXT_BYTES + 1];

	memset(sql, ' ', sizeof sql);
	routes_learn(&routes, sql, sizeof sql, ROUTE_READ);
	cr_assert_eq(routes_find(&routes, sql, sizeof sql), ROUTE_UNKNOWN);
	routes_learn(&routes, sql, sizeof sql - 1, ROUTE_READ);
	cr_assert_eq(routes_find(&routes, sql, sizeof sql - 1), ROUTE_READ);
	routes_clear(&routes);
}

Test(routes, long_read_is_tried_again_now_and_then)
{
	learn("SELECT 1", ROUTE_LONG);
	for (int i = 0; i < ROUTES_RETRY; i++)
		cr_assert_eq(find("SELECT 1"), ROUTE_LONG);
	cr_assert_eq(find("SELECT 1"), ROUTE_READ, "due to be examined");
	cr_assert_eq(find("SELECT 1"), ROUTE_LONG, "once");
	routes_clear(&routes);
}

Test(routes, text_that_takes_too_long_is_long_when_it_does_so_again_and_again)
{
	bool is_long = false;

	/* Now and then: a busy machine's doing. */
	for (int i = 0; i < 100; i++) {
		learn("SELECT 1", ROUTE_SHORT);
		cr_assert_not(routes_exceeded(&routes, "SELECT 1", 8), "after %d", i);
		cr_assert_eq(find("SELECT 1"), ROUTE_READ);
		learn("SELECT 1", ROUTE_SHORT);
		for (int j = 0; j < 16; j++)
			find("SELECT 1");
	}
	/* Each time. */
	for (int i = 0; i < 3; i++) {
		cr_assert_not(is_long);
		learn("SELECT 1", ROUTE_SHORT);
		cr_assert_eq(find("SELECT 1"), ROUTE_SHORT);
		is_long = routes_exceeded(&routes, "SELECT 1", 8);
	}
	cr_assert(is_long);
	cr_assert_eq(find("SELECT 1"), ROUTE_LONG);
	routes_clear(&routes);
}
