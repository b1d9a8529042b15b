/* units.h - the numbers of stats and health, as people read them: their names say
 * what they count.
 */
#ifndef POOLITE_CLI_UNITS_H
#define POOLITE_CLI_UNITS_H

#include <jansson.h>
#include <stdbool.h>

/** Room for any number: a double of 309 digits, and its unit. */
#define UNITS_SIZE 400

/**
 * Write the number ${json} of the name ${key}: "0.336 ms" for p50_ms, "1.4 KiB" for
 * buffered_bytes, "2 min 5 s" for uptime, a date for last_health_check; others as they are.
 */
void units_format(char text[UNITS_SIZE], const char *key, const json_t *json);

/** How many bytes of ${key} to show: without _ms or _bytes, for the number has its unit. */
int units_name_len(const char *key);

#endif
