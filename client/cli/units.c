#include "client/cli/units.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

enum unit { PLAIN, MILLISECONDS, BYTES, SECONDS, AGO, MOMENT };

static bool ends_with(const char *key, const char *end)
{
	size_t len = strlen(key), end_len = strlen(end);

	return len >= end_len && strcmp(key + len - end_len, end) == 0;
}

/* What the number of that name counts. */
static enum unit unit_of(const char *key)
{
	static const struct {
		const char *key;
		enum unit unit;
	} known[] = {
	    {"connection_timeout", SECONDS},
	    {"uptime", SECONDS},
	    {"checkpoint_age", SECONDS},
	    {"since", AGO},
	    {"last_health_check", MOMENT},
	};

	for (size_t i = 0; i < sizeof known / sizeof *known; i++)
		if (strcmp(key, known[i].key) == 0)
			return known[i].unit;
	return ends_with(key, "_ms")  ? MILLISECONDS
	    : ends_with(key, "bytes") ? BYTES
				      : PLAIN;
}

int units_name_len(const char *key)
{
	size_t len = strlen(key);

	return (int)(ends_with(key, "_ms") ? len - strlen("_ms")
		: ends_with(key, "_bytes") ? len - strlen("_bytes")
					   : len);
}

/* At most ${digits} after the point, and what comes behind the number. */
static void format_real(char text[UNITS_SIZE], double real, int digits, const char *unit)
{
	int len = snprintf(text, UNITS_SIZE, "%.*f", digits, real);

	while (digits > 0 && text[len - 1] == '0')
		len--;
	if (text[len - 1] == '.')
		len--;
	snprintf(text + len, UNITS_SIZE - (size_t)len, "%s", unit);
}

/* "0.25 s", "2 min 5 s", "3 h 20 min", "12 d 7 h" */
static void format_seconds(char text[UNITS_SIZE], double seconds)
{
	static const struct {
		long long seconds, part;
		const char *unit, *part_unit;
	} steps[] = {
	    {86400, 3600, "d", "h"}, {3600, 60, "h", "min"}, {60, 1, "min", "s"}};

	for (size_t i = 0; i < sizeof steps / sizeof *steps; i++)
		if (seconds >= (double)steps[i].seconds && seconds < 1e15) {
			long long whole = (long long)seconds;

			snprintf(text, UNITS_SIZE, "%lld %s %lld %s",
			    whole / steps[i].seconds, steps[i].unit,
			    whole % steps[i].seconds / steps[i].part, steps[i].part_unit);
			return;
		}
	format_real(text, seconds, 3, " s");
}

/* "512 B", "1.4 KiB", "256 MiB" */
static void format_bytes(char text[UNITS_SIZE], double bytes)
{
	static const char *const units[] = {" B", " KiB", " MiB", " GiB", " TiB"};
	size_t unit = 0;

	while (bytes >= 1024 && unit < 4) {
		bytes /= 1024;
		unit++;
	}
	format_real(text, bytes, 1, units[unit]);
}

/* Seconds since 1970 as local time, and how long ago that was. */
static void format_moment(char text[UNITS_SIZE], double unix_seconds)
{
	time_t seconds = (time_t)unix_seconds;
	time_t now = time(NULL);
	char age[UNITS_SIZE];
	struct tm local;

	if (seconds <= 0 || !localtime_r(&seconds, &local)) {
		format_real(text, unix_seconds, 3, "");
		return;
	}
	strftime(text, 64, "%Y-%m-%d %H:%M:%S", &local);
	format_seconds(age, now > seconds ? (double)(now - seconds) : 0);
	snprintf(text + strlen(text), UNITS_SIZE / 2, " (%.60s ago)", age);
}

void units_format(char text[UNITS_SIZE], const char *key, const json_t *json)
{
	double number = json_number_value(json);

	switch (unit_of(key)) {
	case MILLISECONDS: snprintf(text, UNITS_SIZE, "%.3f ms", number); break;
	case BYTES: format_bytes(text, number); break;
	case SECONDS: format_seconds(text, number); break;
	case AGO:
		format_seconds(text, number);
		strcat(text, " ago");
		break;
	case MOMENT: format_moment(text, number); break;
	case PLAIN:
		if (json_is_integer(json))
			snprintf(text, UNITS_SIZE, "%lld",
			    (long long)json_integer_value(json));
		else
			format_real(text, number, 3, "");
	}
}
