/* MessagePack to JSON, for people. */
#include "proto/json.h"

#include <stdlib.h>
#include <string.h>

#include <criterion/criterion.h>
#include <criterion/new/assert.h>

#include "tests/unit/wire.h"

/* The JSON of some bytes, to be freed; NULL when there is none. */
static char *json_of(const char *hex)
{
	uint8_t bytes[512];
	size_t len = wire_unhex(hex, bytes);
	struct wire_guarded guarded = wire_guard(bytes, len);
	struct poolite__reader reader = poolite__reader_over(guarded.bytes, len);
	json_t *json = poolite__json(&reader);
	char *text = json ? json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT) : NULL;

	if (json)
		cr_assert(eq(ptr, (void *)reader.at, (void *)reader.end), "%s", hex);
	json_decref(json);
	wire_unguard(&guarded);
	return text;
}

Test(json, shows_every_kind_of_value)
{
	static const struct {
		const char *hex;
		const char *json;
	} table[] = {
	    {"c0", "null"},
	    {"c2", "false"},
	    {"c3", "true"},
	    {"05", "5"},
	    {"d3 8000000000000000", "-9223372036854775808"},
	    {"cf 7fffffffffffffff", "9223372036854775807"},
	    {"cf ffffffffffffffff", "1.8446744073709552e19"},
	    {"cb 3ff8000000000000", "1.5"},
	    {"ca 3fc00000", "1.5"},
	    {"cb 7ff8000000000000", "null"},
	    {"cb 7ff0000000000000", "null"},
	    {"cb fff0000000000000", "null"},
	    {"a0", "\"\""},
	    {"a2 c3a9", "\"\xc3\xa9\""},
	    {"a3 610062", "\"a\\u0000b\""},
	    {"a3 61ff62",
		"\"a\xef\xbf\xbd"
		"b\""},
	    {"a2 e282", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
	    {"c4 00", "\"\""},
	    {"c4 03 00ab7f", "\"00ab7f\""},
	    {"d5 01 beef", "\"beef\""},
	    {"90", "[]"},
	    {"93 01 a1 61 91 c0", "[1,\"a\",[null]]"},
	    {"80", "{}"},
	    {"82 a1 61 01 a1 62 81 a1 63 c3", "{\"a\":1,\"b\":{\"c\":true}}"},
	    {"81 07 c0", "{\"7\":null}"},
	    {"81 c0 07", "{\"null\":7}"},
	    {"81 c4 01 ff 07", "{\"ff\":7}"},
	    {"81 92 01 02 07", "{\"[1,2]\":7}"},
	    {"81 a1 ff 07", "{\"\xef\xbf\xbd\":7}"},
	    {"82 a1 61 01 a1 61 02", "{\"a\":2}"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
		char *text = json_of(table[i].hex);

		cr_assert(ne(ptr, text, NULL), "%s", table[i].hex);
		cr_assert_str_eq(text, table[i].json, "%s", table[i].hex);
		free(text);
	}
}

Test(json, is_nothing_where_no_whole_value_is)
{
	static const char *const table[] = {"", "c1", "a2 61", "92 01", "81 a1 61", "81",
	    "cb 00", "dc 00", "c4 05 00", "d5 01 00", "cd 01", "c7 03 01 00",
	    "91919191 91919191 91919191 91919191 91 c0"};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		cr_assert(eq(ptr, json_of(table[i]), NULL), "%s", table[i]);
}
