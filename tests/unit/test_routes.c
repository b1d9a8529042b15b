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

Test(routes, more_texts_than_slots_are_forgotten_and_never_confused)
{
	char sql[40];
	int known = 0;

	for (int i = 0; i < 4 * ROUTES_SLOTS; i++) {
		snprintf(sql, sizeof sql, "SELECT %d", i);
		learn(sql, i % 2 ? ROUTE_READ : ROUTE_WRITE);
		cr_assert_eq(find(sql), i % 2 ? ROUTE_READ : ROUTE_WRITE);
	}
	for (int i = 0; i < 4 * ROUTES_SLOTS; i++) {
		enum route route;
		snprintf(sql, sizeof sql, "SELECT %d", i);
		route = find(sql);
		cr_assert(route == ROUTE_UNKNOWN ||
		    route == (i % 2 ? ROUTE_READ : ROUTE_WRITE));
		known += route != ROUTE_UNKNOWN;
	}
	cr_assert(known > ROUTES_SLOTS / 2 && known <= ROUTES_SLOTS, "%d", known);
}
