#include "tests/unit/wire.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <jansson.h>

size_t wire_unhex(const char *hex, uint8_t *out)
{
	size_t len = 0;

	for (;; hex += 2) {
		unsigned byte;

		while (isspace((unsigned char)*hex))
			hex++;
		if (!*hex)
			return len;
		assert(sscanf(hex, "%2x", &byte) == 1 && isxdigit((unsigned char)hex[1]));
		out[len++] = (uint8_t)byte;
	}
}

char *wire_hex(const void *bytes, size_t len)
{
	char *hex = malloc(2 * len + 1);

	assert(hex);
	hex[0] = '\0';
	for (size_t i = 0; i < len; i++)
		sprintf(hex + 2 * i, "%02x", ((const uint8_t *)bytes)[i]);
	return hex;
}

static void pack_json(msgpack_packer *packer, json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	switch (json_typeof(json)) {
	case JSON_NULL: msgpack_pack_nil(packer); break;
	case JSON_TRUE: msgpack_pack_true(packer); break;
	case JSON_FALSE: msgpack_pack_false(packer); break;
	case JSON_INTEGER: msgpack_pack_int64(packer, json_integer_value(json)); break;
	case JSON_REAL: msgpack_pack_double(packer, json_real_value(json)); break;
	case JSON_STRING:
		msgpack_pack_str_with_body(
		    packer, json_string_value(json), json_string_length(json));
		break;
	case JSON_ARRAY:
		msgpack_pack_array(packer, json_array_size(json));
		json_array_foreach(json, i, value) pack_json(packer, value);
		break;
	case JSON_OBJECT:
		msgpack_pack_map(packer, json_object_size(json));
		json_object_foreach(json, key, value)
		{
			poolite__pack_cstr(packer, key);
			pack_json(packer, value);
		}
		break;
	}
}

void wire_pack_json(struct poolite__buf *buf, const char *json)
{
	char *text = strdup(json);
	msgpack_packer packer;
	json_t *parsed;

	assert(text);
	for (char *at = text; *at; at++)
		if (*at == '\'')
			*at = '"';
	parsed = json_loads(text, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	assert(parsed);
	poolite__packer_init(&packer, buf);
	pack_json(&packer, parsed);
	json_decref(parsed);
	free(text);
}

struct wire_guarded wire_guard(const void *bytes, size_t len)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t usable = (len + page) / page * page;
	struct wire_guarded guarded = {.size = usable + page};

	guarded.pages = mmap(NULL, guarded.size, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert(guarded.pages != MAP_FAILED);
	assert(mprotect((char *)guarded.pages + usable, page, PROT_NONE) == 0);
	guarded.bytes = (uint8_t *)guarded.pages + usable - len;
	memcpy(guarded.bytes, bytes, len);
	return guarded;
}

void wire_unguard(struct wire_guarded *guarded)
{
	munmap(guarded->pages, guarded->size);
}

/* Fill ${example} from the line before its bytes: Client: `...` or Broker: `...`. */
static void read_form(struct wire_example *example, const char *line)
{
	const char *first = strchr(line, '`');
	const char *last = strrchr(line, '`');

	assert(first && last > first);
	example->is_client = strncmp(line, "Client: ", 8) == 0;
	assert(example->is_client || strncmp(line, "Broker: ", 8) == 0);
	assert((size_t)(last - first) <= sizeof example->form);
	memcpy(example->form, first + 1, (size_t)(last - first - 1));
	example->form[last - first - 1] = '\0';
}

size_t wire_examples(struct wire_example *examples)
{
	FILE *file = fopen(SOURCE_DIR "/proto/PROTOCOL.md", "r");
	bool is_inside = false;
	char before[2048] = "";
	char line[2048];
	size_t count = 0;

	if (!file)
		return 0;
	for (int number = 1; fgets(line, sizeof line, file); number++) {
		struct wire_example *example = &examples[count];

		if (is_inside && strncmp(line, "```", 3) == 0) {
			is_inside = false;
			count++;
		} else if (is_inside) {
			assert(example->len + strlen(line) / 3 <= sizeof example->bytes);
			example->len += wire_unhex(line, example->bytes + example->len);
		} else if (strcmp(line, "```hex\n") == 0) {
			assert(count < WIRE_EXAMPLES_MAX);
			*example = (struct wire_example){.line = number};
			read_form(example, before);
			is_inside = true;
		}
		strcpy(before, line);
	}
	fclose(file);
	return count;
}
