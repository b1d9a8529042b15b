/* settings_table.h - each setting once: its name, flag, kind, default, range and
 * help, and how a text becomes its value.  Private to settings.c and its tests.
 */
#ifndef POOLITE_BROKER_SETTINGS_TABLE_H
#define POOLITE_BROKER_SETTINGS_TABLE_H

#include "broker/settings.h"

/* How a value is written.  Each kind has one parser and one phrase for people. */
enum setting_kind {
	KIND_TEXT,        /* min, max: bytes */
	KIND_BOOL,        /* on or off */
	KIND_MODE,        /* octal; max: largest */
	KIND_COUNT,       /* whole number; min, max */
	KIND_SIZE,        /* bytes, with K, M or G; min, max in bytes */
	KIND_TIME,        /* seconds with a fraction; min, max in nanoseconds */
	KIND_SYNCHRONOUS, /* FULL, NORMAL, EXTRA */
	KIND_TEMP_STORE,  /* file, memory */
	KIND_LOG_LEVEL,   /* error, warning, info, debug */
};

struct setting {
	const char *group; /* heading in --help, where a group begins; else NULL */
	const char *name;  /* as in messages; with POOLITE_ the variable */
	const char *flag;  /* without its dashes */
	enum setting_kind kind;
	size_t offset; /* of the field in struct settings */
	bool is_required;
	const char *initial; /* the default as an operator would write it; NULL: none */
	uint64_t min, max;
	const char *alias; /* LeadFinder's variable, or NULL */
	const char *value; /* placeholder in --help */
	const char *help;
};

#define SETTINGS_COUNT 37

/* In the order of --help. */
extern const struct setting settings_table[];

/** Parse ${text} (borrowed by the field) into the setting's field; false when it is no good. */
bool setting_parse(
    const struct setting *setting, const char *text, struct settings *settings);

/** What the setting accepts, as the end of a sentence. */
void setting_describe(const struct setting *setting, char *text, size_t size);

#endif
