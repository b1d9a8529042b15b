#include "broker/settings_table.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SECOND_NS         UINT64_C(1000000000)
#define MILLISECOND_NS    UINT64_C(1000000)
#define YEAR_NS           (UINT64_C(365) * 24 * 3600 * SECOND_NS)
#define KIB               (UINT64_C(1) << 10)
#define MIB               (UINT64_C(1) << 20)
#define GIB               (UINT64_C(1) << 30)
#define SOCKET_PATH_MAX   107  /* sun_path holds 108 bytes, one of them the NUL */
#define DATABASE_PATH_MAX 4000 /* PATH_MAX, and room for "-poolite.lock" */

#define FIELD(name) offsetof(struct settings, name)

/* clang-format off */
const struct setting settings_table[] = {
	{"Where", "database", "db", KIND_TEXT, FIELD(database), true, NULL, 1, DATABASE_PATH_MAX, NULL, "FILE",
	    "the database; one broker per file"},
	{NULL, "socket", "socket", KIND_TEXT, FIELD(socket), true, NULL, 1, SOCKET_PATH_MAX, NULL, "PATH",
	    "Unix socket for clients"},
	{NULL, "stats_socket", "stats-socket", KIND_TEXT, FIELD(stats_socket), false, NULL, 1, SOCKET_PATH_MAX, NULL, "PATH",
	    "Unix socket for HTTP: /health and /stats"},
	{NULL, "create", "create", KIND_BOOL, FIELD(create), false, "on", 0, 0, NULL, NULL,
	    "make the database file if it is not there"},
	{NULL, "allow_unsafe_place", "allow-unsafe-place", KIND_BOOL, FIELD(allow_unsafe_place), false, "off", 0, 0, NULL, NULL,
	    "serve also a hard link, a network filesystem, a world-writable folder"},
	{NULL, "socket_mode", "socket-mode", KIND_MODE, FIELD(socket_mode), false, "0660", 0, 0777, NULL, "MODE",
	    "permissions of both sockets, octal"},
	{NULL, "socket_group", "socket-group", KIND_TEXT, FIELD(socket_group), false, NULL, 1, 255, NULL, "GROUP",
	    "group of both sockets, name or number"},

	{"SQLite", "synchronous", "synchronous", KIND_SYNCHRONOUS, FIELD(synchronous), false, "FULL", 0, 0, NULL, "WORD",
	    "FULL: what was answered OK survives a power cut; NORMAL, EXTRA"},
	{NULL, "foreign_keys", "foreign-keys", KIND_BOOL, FIELD(foreign_keys), false, "on", 0, 0, NULL, NULL,
	    "enforce foreign keys"},
	{NULL, "hardened", "hardened", KIND_BOOL, FIELD(hardened), false, "off", 0, 0, NULL, NULL,
	    "for hostile SQL and files: narrow limits, schema not trusted, file checked"},
	{NULL, "cache", "cache", KIND_SIZE, FIELD(cache_bytes), false, "8M", 64 * KIB, 64 * GIB, NULL, "SIZE",
	    "page cache of each connection"},
	{NULL, "temp_store", "temp-store", KIND_TEMP_STORE, FIELD(temp_store_memory), false, "file", 0, 0, NULL, "WORD",
	    "where big sorts go: file or memory"},
	{NULL, "busy_timeout", "busy-timeout", KIND_TIME, FIELD(busy_timeout_ns), false, "5", 0, YEAR_NS, NULL, "SECONDS",
	    "wait for a lock that a foreign process holds"},
	{NULL, "checkpoint_pages", "checkpoint-pages", KIND_COUNT, FIELD(checkpoint_pages), false, "1000", 1, 1000000, NULL, "N",
	    "pages in the WAL that call for a checkpoint"},
	{NULL, "wal_limit", "wal-limit", KIND_SIZE, FIELD(wal_limit_bytes), false, "4G", MIB, 1024 * GIB, NULL, "SIZE",
	    "largest WAL, and one write's `cache` above it; never over a quarter of the free disk"},

	{"Pool", "max_connections", "max-connections", KIND_COUNT, FIELD(max_connections), false, "10", 4, 1024,
	    "DB_POOL_MAX_CONNECTIONS", "N", "most SQLite connections: writer, fast reader, readers"},
	{NULL, "connection_timeout", "connection-timeout", KIND_TIME, FIELD(connection_timeout_ns), false, "30", MILLISECOND_NS, YEAR_NS,
	    "DB_POOL_CONNECTION_TIMEOUT", "SECONDS", "longest wait for a connection"},
	{NULL, "health_check_interval", "health-check-interval", KIND_TIME, FIELD(health_check_interval_ns), false, "300", 10 * MILLISECOND_NS, YEAR_NS,
	    "DB_POOL_HEALTH_CHECK_INTERVAL", "SECONDS", "how often idle connections are checked"},

	{"Time", "query_timeout", "query-timeout", KIND_TIME, FIELD(query_timeout_ns), false, "60", MILLISECOND_NS, YEAR_NS, NULL, "SECONDS",
	    "longest run of one request"},
	{NULL, "transaction_timeout", "transaction-timeout", KIND_TIME, FIELD(transaction_timeout_ns), false, "60", MILLISECOND_NS, YEAR_NS, NULL, "SECONDS",
	    "longest life of a transaction from begin to commit"},
	{NULL, "transaction_idle_timeout", "transaction-idle-timeout", KIND_TIME, FIELD(transaction_idle_timeout_ns), false, "10", MILLISECOND_NS, YEAR_NS, NULL, "SECONDS",
	    "longest silence in a transaction while others wait"},
	{NULL, "write_timeout", "write-timeout", KIND_TIME, FIELD(write_timeout_ns), false, "30", MILLISECOND_NS, YEAR_NS, NULL, "SECONDS",
	    "longest wait for a client that does not read its answers"},
	{NULL, "grace", "grace", KIND_TIME, FIELD(grace_ns), false, "10", 0, YEAR_NS, NULL, "SECONDS",
	    "when stopping: time to finish what was accepted"},

	{"People", "allow", "allow", KIND_TEXT, FIELD(allow), false, NULL, 0, 4000, NULL, "LIST",
	    "who may connect, beside admins: alice,1001,@group; not given: who the socket lets in"},
	{NULL, "read_only", "read-only", KIND_TEXT, FIELD(read_only), false, NULL, 0, 4000, NULL, "LIST",
	    "who may only read"},
	{NULL, "admin", "admin", KIND_TEXT, FIELD(admin), false, NULL, 0, 4000, NULL, "LIST",
	    "who may always connect, places are kept for them; not given: root and the broker's user"},
	{NULL, "reserved_clients", "reserved-clients", KIND_COUNT, FIELD(reserved_clients), false, "3", 0, 1000, NULL, "N",
	    "places kept for admins, at most a tenth of max_clients"},
	{NULL, "max_user_clients", "max-user-clients", KIND_COUNT, FIELD(max_user_clients), false, "0", 0, 100000, NULL, "N",
	    "sessions of one user at once; 0: as many as there are"},
	{NULL, "max_user_requests", "max-user-requests", KIND_COUNT, FIELD(max_user_requests), false, "0", 0, 10000000, NULL, "N",
	    "requests of one user under way at once; 0: no limit of their own"},
	{NULL, "max_user_buffered_bytes", "max-user-buffered-bytes", KIND_SIZE, FIELD(max_user_buffered_bytes), false, "0", 0, 1024 * GIB, NULL, "SIZE",
	    "requests and answers of one user in memory; 0: no limit of their own"},

	{"Limits", "max_clients", "max-clients", KIND_COUNT, FIELD(max_clients), false, "1000", 1, 100000, NULL, "N",
	    "sessions at once"},
	{NULL, "max_inflight", "max-inflight", KIND_COUNT, FIELD(max_inflight), false, "128", 1, 65536, NULL, "N",
	    "requests of one session under way at once"},
	{NULL, "max_frame_bytes", "max-frame-bytes", KIND_SIZE, FIELD(max_frame_bytes), false, "16M", KIB, GIB, NULL, "SIZE",
	    "largest request"},
	{NULL, "max_values", "max-values", KIND_COUNT, FIELD(max_values), false, "4000000", 16, 1000000000, NULL, "N",
	    "most values in one request"},
	{NULL, "max_result_bytes", "max-result-bytes", KIND_SIZE, FIELD(max_result_bytes), false, "64M", KIB, 2 * GIB, NULL, "SIZE",
	    "largest answer"},
	{NULL, "max_buffered_bytes", "max-buffered-bytes", KIND_SIZE, FIELD(max_buffered_bytes), false, "256M", 4 * KIB, 1024 * GIB, NULL, "SIZE",
	    "requests and answers of all sessions in memory"},

	{"Log", "log_level", "log-level", KIND_LOG_LEVEL, FIELD(log_level), false, "info", 0, 0, NULL, "WORD",
	    "error, warning, info or debug"},
};
/* clang-format on */

_Static_assert(
    sizeof(settings_table) / sizeof(settings_table[0]) == SETTINGS_COUNT, "count");

/* Digits; ${rest} is what comes behind them.  False: none, or too large a number. */
static bool parse_digits(const char *text, int base, uint64_t *number, const char **rest)
{
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false; /* strtoull would take blanks and signs */
	errno = 0;
	*number = strtoull(text, &end, base);
	*rest = end;
	return errno == 0 && end != text;
}

static bool parse_whole(const char *text, int base, uint64_t *number)
{
	const char *rest;

	return parse_digits(text, base, number, &rest) && *rest == '\0';
}

static bool parse_size(const char *text, uint64_t *bytes)
{
	static const char units[] = "KMG";
	const char *rest;

	if (!parse_digits(text, 10, bytes, &rest))
		return false;
	if (*rest == '\0')
		return true;
	const char *unit = strchr(units, toupper((unsigned char)*rest));
	if (unit == NULL || rest[1] != '\0')
		return false;
	unsigned shift = 10 * (unsigned)(unit - units + 1);
	if (*bytes > UINT64_MAX >> shift)
		return false;
	*bytes <<= shift;
	return true;
}

/* Seconds, "30" or "0.5", to nanoseconds. */
static bool parse_time(const char *text, uint64_t *ns)
{
	uint64_t unit = SECOND_NS / 10;
	const char *rest;

	if (!parse_digits(text, 10, ns, &rest) || *ns > YEAR_NS / SECOND_NS)
		return false;
	*ns *= SECOND_NS;
	if (*rest == '\0')
		return true;
	if (rest[0] != '.' || rest[1] == '\0')
		return false;
	for (rest++; *rest != '\0'; rest++, unit /= 10) {
		if (!isdigit((unsigned char)*rest))
			return false;
		*ns += (uint64_t)(*rest - '0') * unit;
	}
	return true;
}

/* The index of ${text} in the NULL-terminated ${words}, any case; -1: not there. */
static int find_word(const char *text, const char *const *words)
{
	for (int i = 0; words[i] != NULL; i++)
		if (strcasecmp(text, words[i]) == 0)
			return i;
	return -1;
}

static bool parse_bool(const char *text, bool *value)
{
	static const char *const words[] = {
	    "off", "on", "no", "yes", "false", "true", "0", "1", NULL};
	int word = find_word(text, words);

	*value = word % 2 == 1;
	return word >= 0;
}

static bool parse_synchronous(const char *text, enum settings_synchronous *value)
{
	static const char *const words[] = {"NORMAL", "FULL", "EXTRA", NULL};
	int word = find_word(text, words);

	*value = (enum settings_synchronous)(SYNCHRONOUS_NORMAL + word);
	return word >= 0;
}

static bool parse_temp_store(const char *text, bool *is_memory)
{
	static const char *const words[] = {"file", "memory", NULL};
	int word = find_word(text, words);

	*is_memory = word == 1;
	return word >= 0;
}

/* SQLite would take ":memory:" for no file at all; and who writes a URI means its query, not a
 * file of that name. */
static bool is_no_path(const char *text)
{
	return strcmp(text, ":memory:") == 0 || strncmp(text, "file:", 5) == 0;
}

/* A path or a name. */
static bool parse_text(
    const struct setting *setting, const char *text, const char **value)
{
	size_t len = strlen(text);

	*value = text;
	return len >= setting->min && len <= setting->max &&
	    !(strcmp(setting->value, "FILE") == 0 && is_no_path(text));
}

static void describe_text(const struct setting *setting, char *text, size_t size)
{
	if (strcmp(setting->value, "FILE") == 0)
		snprintf(text, size,
		    "the path of a file, of 1 to %" PRIu64
		    " bytes, and neither :memory: nor a URI (file:...)",
		    setting->max);
	else if (strcmp(setting->value, "LIST") == 0)
		snprintf(text, size, "a list of at most %" PRIu64 " bytes", setting->max);
	else
		snprintf(text, size, "a %s of 1 to %" PRIu64 " bytes",
		    strcmp(setting->value, "GROUP") == 0 ? "group" : "file path",
		    setting->max);
}

/* A number of any unit, within the setting's range. */
static bool parse_number(
    const struct setting *setting, const char *text, uint64_t *number)
{
	bool is_number = setting->kind == KIND_MODE ? parse_whole(text, 8, number)
	    : setting->kind == KIND_SIZE            ? parse_size(text, number)
	    : setting->kind == KIND_TIME            ? parse_time(text, number)
						    : parse_whole(text, 10, number);

	return is_number && *number >= setting->min && *number <= setting->max;
}

bool setting_parse(
    const struct setting *setting, const char *text, struct settings *settings)
{
	void *field = (char *)settings + setting->offset;
	uint64_t number = 0;

	switch (setting->kind) {
	case KIND_TEXT: return parse_text(setting, text, field);
	case KIND_BOOL: return parse_bool(text, field);
	case KIND_SYNCHRONOUS: return parse_synchronous(text, field);
	case KIND_TEMP_STORE: return parse_temp_store(text, field);
	case KIND_LOG_LEVEL: return log_level_parse(text, field);
	case KIND_MODE:
	case KIND_COUNT:
	case KIND_SIZE:
	case KIND_TIME: break;
	}
	if (!parse_number(setting, text, &number))
		return false;
	if (setting->kind == KIND_MODE || setting->kind == KIND_COUNT)
		*(uint32_t *)field = (uint32_t)number;
	else
		*(uint64_t *)field = number; /* times fit an int64_t: at most a year */
	return true;
}

/* ${bytes} as it would be given: "16M". */
static void format_size(uint64_t bytes, char text[24])
{
	static const char units[] = "\0KMG";
	unsigned unit = 0;

	while (bytes != 0 && bytes % 1024 == 0 && unit < 3) {
		bytes /= 1024;
		unit++;
	}
	snprintf(text, 24, "%" PRIu64 "%.1s", bytes, &units[unit]);
}

void setting_describe(const struct setting *setting, char *text, size_t size)
{
	char low[24], high[24];

	switch (setting->kind) {
	case KIND_TEXT: describe_text(setting, text, size); break;
	case KIND_BOOL: snprintf(text, size, "on or off"); break;
	case KIND_MODE:
		snprintf(text, size, "an octal number from 0 to 0777, such as 0660");
		break;
	case KIND_COUNT:
		snprintf(text, size, "a whole number from %" PRIu64 " to %" PRIu64,
		    setting->min, setting->max);
		break;
	case KIND_SIZE:
		format_size(setting->min, low);
		format_size(setting->max, high);
		snprintf(text, size,
		    "a number of bytes from %s to %s, such as 65536, 64K, 8M or 1G", low,
		    high);
		break;
	case KIND_TIME:
		snprintf(text, size,
		    "a number of seconds from %.10g to %.10g, such as 30 or 0.5",
		    (double)setting->min / SECOND_NS, (double)setting->max / SECOND_NS);
		break;
	case KIND_SYNCHRONOUS:
		snprintf(text, size,
		    "FULL, NORMAL or EXTRA (with OFF a power cut could ruin the file)");
		break;
	case KIND_TEMP_STORE: snprintf(text, size, "file or memory"); break;
	case KIND_LOG_LEVEL: snprintf(text, size, "error, warning, info or debug"); break;
	}
}
