#include "tests/fault/sql_grammar.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "tests/support/check.h"

/*
 * A template is a row of tokens with a space between any two:
 *
 *   <rule>   one of that rule's alternatives, or a name by chance (below)
 *   $name    an identifier: quoted in some way or not, in any case
 *   WORD     a keyword, in any case
 *   else     as it stands
 *
 * Between tokens come blanks and comments by chance.
 */
#define DEPTH_MAX 24

/* ---- the list: what a client may ask, and no more ---------------------------------- */

static const char *const pragmas_that_tell[] = {"collation_list", "compile_options",
    "data_version", "freelist_count", "function_list", "page_count", "page_size",
    "schema_version"};
static const char *const pragmas_that_ask[] = {"foreign_key_check", "foreign_key_list",
    "index_info", "index_list", "index_xinfo", "integrity_check", "quick_check",
    "table_info", "table_list", "table_xinfo"};
static const char *const pragmas_that_set[] = {"application_id", "user_version"};

/* In builds of other kinds, or of old; unknown ones are ignored by SQLite. */
static const char *const pragmas_not_told[] = {"activate_extensions",
    "case_sensitive_like", "data_store_directory", "hexkey", "key", "lock_proxy_file",
    "lock_status", "no_such_pragma", "parser_trace", "rekey", "sql_trace",
    "temp_store_directory", "vdbe_addoptrace", "vdbe_debug", "vdbe_listing",
    "vdbe_trace"};

static const char *const modules_that_may_be_made[] = {"fts3", "fts4", "fts4aux",
    "fts3tokenize", "fts5", "fts5vocab", "rtree", "rtree_i32", "geopoly"};

static bool is_one_of(const char *name, size_t len, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(list[i]) == len && strncasecmp(list[i], name, len) == 0)
			return true;
	return false;
}

#define COUNT(array)               (sizeof(array) / sizeof((array)[0]))
#define IS_ONE_OF(name, len, list) is_one_of(name, len, list, COUNT(list))

bool sql_pragma_is_listed(const char *name, size_t len)
{
	return IS_ONE_OF(name, len, pragmas_that_tell) ||
	    IS_ONE_OF(name, len, pragmas_that_ask) ||
	    IS_ONE_OF(name, len, pragmas_that_set);
}

/* ---- rules ------------------------------------------------------------------------------ */

struct rule {
	const char *name;
	const char *alternatives[28];
};

/* clang-format off */
static const struct rule rules[] = {
	{"explain", {"", "", "", "EXPLAIN", "EXPLAIN QUERY PLAN"}},
	{"lead", {"", "", "", "", ";", "; ;", "/*PRAGMA\tpage_size;*/", "--x\n", "\xef\xbb\xbf"}},
	{"schema", {"", "", "$main .", "$temp .", "$x ."}},
	{"value", {"0", "1", "2", "ON", "OFF", "yes", "'no'", "-1", "+7", "1000000", "$RESET", "$memory", "DELETE", "'wal'",
	    "$EXCLUSIVE", "'UTF-16'", "$full", "'/'", "1.5"}},
	{"call", {"", "= <value>", "( <value> )", "= <value>", "( <value> )", "= - 1", "( '1' )"}},
	{"given", {"= <value>", "( <value> )"}},
	{"file", {"'evil.db'", "'tmp/evil.db'", "':memory:'", "''", "'file:evil.db?mode=rwc'", "'file:x?mode=memory&cache=shared'",
	    "'e' || 'vil.db'", "$evil", "?1", "NULL", "x'6576696c'", "( SELECT 'evil.db' )"}},
	{"end", {"", "", ";", "; ;", "--x", "; /**/"}},
	{"temp", {"TEMP", "TEMPORARY"}},
	{"kind", {"", "DEFERRED", "IMMEDIATE", "EXCLUSIVE"}},
	{"transaction", {"", "TRANSACTION", "TRANSACTION $x"}},
	{"module_words", {"", "", "( main )", "( a )"}},
	{"own", {"$poolite", "$poolite_1", "$poolitex", "[poolite/2]", "\"Poolite/**/\"", "'poolite'"}},

	/* Functions that change the process, and where an expression may stand. */
	{"bad_call", {"$load_extension ( 'x' )", "$load_extension ( 'x' , 'y' )", "$fts3_tokenizer ( 'simple' )",
	    "$fts3_tokenizer ( 'simple' , x'0000000000000000' )", "$sqlite_log ( 1 , 'x' )", "$icu_load_collation ( 'x' , 'y' )"}},
	{"counter", {"$changes ( )", "$last_insert_rowid ( )", "$total_changes ( )"}},

	/* Tables that are windows into the process, or PRAGMAs in disguise. */
	{"window", {"$sqlite_stmt", "$main . $sqlite_stmt", "$sqlite_dbpage", "$sqlite_dbdata", "$sqlite_memstat", "$sqlite_dbptr"}},
	{"bad_table", {"<bad_pragma_table>", "$main . <bad_pragma_table>", "<bad_pragma_table> ( )", "<bad_pragma_table> AS $z",
	    "( SELECT * FROM <bad_pragma_table> )"}},

	/* Wherever a table may stand; each of them is read for certain. */
	{"reads_bad", {
	    "SELECT * FROM <bad_table>", "SELECT count ( * ) FROM <bad_table>", "SELECT 1 IN <bad_pragma_table>",
	    "SELECT EXISTS ( SELECT 1 FROM <bad_table> )", "SELECT ( SELECT 1 FROM <bad_table> )",
	    "WITH $q AS ( SELECT * FROM <bad_table> ) SELECT * FROM $q",
	    "WITH RECURSIVE $q ( a ) AS ( SELECT 1 FROM <bad_table> UNION SELECT 2 FROM $q ) SELECT count ( * ) FROM $q",
	    "SELECT 1 UNION ALL SELECT 1 FROM <bad_table>", "VALUES ( ( SELECT 1 FROM <bad_table> ) )",
	    "SELECT 1 FROM ( SELECT 1 ) AS a JOIN <bad_table>", "SELECT 1 FROM ( SELECT 1 ) AS a LEFT JOIN <bad_table> ON 1",
	    "SELECT 1 WHERE 1 IN ( SELECT 1 FROM <bad_table> )", "SELECT a FROM ( SELECT 1 AS a UNION SELECT 2 ) ORDER BY ( SELECT 1 FROM <bad_table> ) , a",
	    "SELECT 1 LIMIT ( SELECT 1 FROM <bad_table> )", "SELECT max ( 1 , ( SELECT 1 FROM <bad_table> ) )",
	    "SELECT CASE WHEN ( SELECT 1 FROM <bad_table> ) THEN 1 END", "SELECT sum ( 1 ) OVER ( ORDER BY ( SELECT 1 FROM <bad_table> ) )",
	    "CREATE TABLE $x AS SELECT * FROM <bad_table>", "INSERT INTO $t ( b ) SELECT 1 FROM <bad_table>",
	    "INSERT INTO $t ( b ) VALUES ( ( SELECT 1 FROM <bad_table> ) )", "REPLACE INTO $t SELECT 1 , 2 , 3 FROM <bad_table>"}},
	/* The same for what is refused already when it is compiled. */
	{"names_window", {
	    "SELECT * FROM <window>", "SELECT 1 FROM $t , <window>", "SELECT 1 FROM $t NATURAL JOIN <window>", "SELECT 1 IN $sqlite_stmt",
	    "WITH $q AS ( SELECT * FROM <window> ) SELECT * FROM $q", "INSERT INTO $t ( b ) SELECT $sql FROM $sqlite_stmt",
	    "UPDATE $t SET b = 1 FROM <window>", "DELETE FROM $t WHERE b IN ( SELECT 1 FROM <window> )",
	    "CREATE TABLE $x AS SELECT * FROM <window>", "SELECT group_concat ( $sql ) FROM $sqlite_stmt",
	    "SELECT EXISTS ( SELECT * FROM <window> )", "INSERT INTO $t ( b ) VALUES ( 1 ) RETURNING ( SELECT 1 FROM <window> )"}},
	{"names_bad_call", {
	    "SELECT <bad_call>", "VALUES ( <bad_call> )", "SELECT 1 WHERE <bad_call>", "INSERT INTO $t ( b ) VALUES ( <bad_call> )",
	    "UPDATE $t SET b = <bad_call>", "DELETE FROM $t WHERE <bad_call>", "SELECT 1 ORDER BY <bad_call>",
	    "SELECT coalesce ( 1 , <bad_call> )", "SELECT 1 FROM $t GROUP BY 1 HAVING <bad_call>", "SELECT 1 LIMIT <bad_call>",
	    "WITH $q AS ( SELECT <bad_call> ) SELECT * FROM $q", "INSERT INTO $t ( b ) VALUES ( 1 ) RETURNING <bad_call>",
	    "CREATE TABLE $x AS SELECT <bad_call>", "CREATE TABLE $x ( a CHECK ( <bad_call> ) )", "CREATE INDEX $x ON $t ( <bad_call> )",
	    "CREATE TABLE $x ( a , b AS ( <bad_call> ) )", "CREATE INDEX $x ON $t ( b ) WHERE <bad_call>"}},
	{"makes_temp", {
	    "CREATE <temp> TABLE $x ( a )", "CREATE <temp> TABLE IF NOT EXISTS $x ( a )", "CREATE <temp> TABLE $x AS SELECT 1",
	    "CREATE <temp> VIEW $x AS SELECT 1", "CREATE <temp> TRIGGER $x AFTER INSERT ON $t BEGIN SELECT 1 ; END",
	    "CREATE TABLE $temp . $x ( a )", "CREATE TABLE $temp . $x AS SELECT * FROM $t", "CREATE VIEW $temp . $x AS SELECT 1",
	    "CREATE TRIGGER $temp . $x AFTER INSERT ON $main . $t BEGIN SELECT 1 ; END", "CREATE VIRTUAL TABLE $temp . $x USING $fts5 ( a )",
	    "CREATE VIRTUAL TABLE $temp . $x USING $rtree ( a , b , c )", "CREATE INDEX $temp . $x ON $t ( b )", "ANALYZE $temp"}},
	{"writes_schema", {
	    "INSERT INTO $sqlite_schema VALUES ( 'table' , 'x' , 'x' , 2 , 'CREATE TABLE x(a)' )", "DELETE FROM $sqlite_master",
	    "UPDATE $sqlite_schema SET sql = ''", "UPDATE $main . $sqlite_master SET rootpage = 2 WHERE $name = 't'",
	    "INSERT INTO $temp . $sqlite_master DEFAULT VALUES", "DELETE FROM $sqlite_temp_schema", "REPLACE INTO $sqlite_schema SELECT * FROM $sqlite_schema",
	    "WITH $q AS ( SELECT 1 ) UPDATE $sqlite_master SET sql = NULL", "DROP TABLE $sqlite_master", "ALTER TABLE $sqlite_schema RENAME TO $x",
	    "ALTER TABLE $sqlite_master ADD COLUMN $x", "CREATE TABLE $sqlite_x ( a )", "CREATE INDEX $x ON $sqlite_master ( name )",
	    "CREATE TRIGGER $x AFTER INSERT ON $sqlite_schema BEGIN SELECT 1 ; END", "DELETE FROM $f_data", "INSERT INTO $f_config VALUES ( 1 , 2 )",
	    "DROP TABLE $f_data", "UPDATE $f_content SET c0 = 1", "ALTER TABLE $f_idx RENAME TO $x", "UPDATE $sqlite_dbpage SET data = zeroblob ( 4096 )",
	    "SELECT $sqlite_rename_table ( 1 , 2 , 3 , 4 , 5 , 6 , 7 )", "SELECT $sqlite_drop_column ( 1 , 2 , 3 )",
	    "INSERT INTO <bad_pragma_table> VALUES ( 0 )", "DELETE FROM $sqlite_stmt"}},

	/* Honest, whatever else has been made of the database. */
	{"honest", {
	    "SELECT 1", "VALUES ( 1 ) , ( 2 )", "SELECT count ( * ) FROM $sqlite_schema", "SELECT abs ( - 1 ) , hex ( 'x' )",
	    "SELECT json_extract ( '{\"a\":[1]}' , '$.a[0]' )", "SELECT value FROM json_each ( '[1,2]' )", "SELECT date ( 'now' )",
	    "WITH RECURSIVE $c ( n ) AS ( VALUES ( 1 ) UNION ALL SELECT n + 1 FROM $c WHERE n < 5 ) SELECT sum ( n ) FROM $c",
	    "PRAGMA $page_size", "PRAGMA $main . $user_version", "PRAGMA $table_info ( $t )", "PRAGMA $data_version", "PRAGMA $compile_options",
	    "SELECT * FROM $pragma_page_count", "SELECT count ( * ) FROM $pragma_function_list", "EXPLAIN SELECT 1", "EXPLAIN QUERY PLAN SELECT 1",
	    "SELECT name FROM $pragma_table_xinfo ( 't' , 'main' )", "SELECT 'PRAGMA\tsynchronous=0;ATTACH\tx' AS $vacuum", "SELECT count ( * ) FROM $sqlite_temp_schema"}},

	/* What leaves traps for later: expressions and tables that are looked at when they are used. */
	{"expression", {"<bad_call>", "<counter>", "( SELECT 1 FROM <bad_pragma_table> )", "( SELECT count ( * ) FROM <window> )", "1", "json ( '{}' )", "b", "NULL"}},
	{"table", {"$t", "$f", "$r", "$v1", "$v2", "$x", "$y", "<bad_pragma_table>", "<window>", "$sqlite_schema", "$dbstat", "$sqlite_stat1", "$sqlite_sequence"}},
	{"body", {"SELECT <expression>", "INSERT INTO <table> DEFAULT VALUES", "DELETE FROM <table>", "UPDATE <table> SET a = <expression>",
	    "INSERT INTO $t ( b ) SELECT a FROM <table>", "SELECT RAISE ( ROLLBACK , 'x' )", "SELECT * FROM <table>"}},
	{"name", {"$x", "$y", "$v1", "$v2", "$tr"}},
	{"loose", {
	    "CREATE VIEW IF NOT EXISTS <name> AS SELECT * FROM <table>", "CREATE VIEW IF NOT EXISTS <name> AS SELECT <expression> AS a",
	    "CREATE TABLE IF NOT EXISTS <name> ( a DEFAULT ( <expression> ) , b )", "CREATE TABLE IF NOT EXISTS <name> ( a CHECK ( <expression> ) , b )",
	    "CREATE TABLE IF NOT EXISTS <name> ( a , b AS ( <expression> ) )", "CREATE INDEX IF NOT EXISTS $i ON <table> ( <expression> ) WHERE <expression>",
	    "CREATE TRIGGER IF NOT EXISTS <name> AFTER INSERT ON <table> BEGIN <body> ; <body> ; END",
	    "CREATE TRIGGER IF NOT EXISTS <name> INSTEAD OF DELETE ON <name> WHEN <expression> BEGIN <body> ; END",
	    "CREATE VIRTUAL TABLE <name> USING <any_module> ( a , b , c )", "CREATE VIRTUAL TABLE <name> USING $fts5 ( sql , content = 'sqlite_stmt' )",
	    "CREATE VIRTUAL TABLE <name> USING $fts4 ( content = \"sqlite_stmt\" , sql )", "CREATE VIRTUAL TABLE <name> USING $fts3tokenize ( simple )",
	    "SELECT * FROM <table> , <table> LIMIT 9", "SELECT <expression> FROM <table> WHERE <expression> LIMIT 9", "INSERT INTO <table> DEFAULT VALUES",
	    "INSERT OR ROLLBACK INTO $t ( a ) VALUES ( 1 )", "UPDATE <table> SET a = <expression>", "DELETE FROM <table> WHERE <expression>",
	    "ALTER TABLE <table> RENAME TO <name>", "ALTER TABLE <table> ADD COLUMN c DEFAULT ( <expression> )", "ALTER TABLE <table> DROP COLUMN b",
	    "DROP TABLE IF EXISTS <name>", "DROP VIEW IF EXISTS <name>", "DROP TRIGGER IF EXISTS <name>", "ANALYZE", "REINDEX", "PRAGMA <schema> <any_pragma> <call>",
	    "INSERT INTO $f ( $f , $rank ) VALUES ( 'integrity-check' , <value> )"}},
	{"loose_too", {
	    "SAVEPOINT <name>", "RELEASE <name>", "ROLLBACK TO <name>", "EXPLAIN <loose>", "EXPLAIN <reads_bad>", "SELECT * FROM <any_pragma_table> ( <value> )",
	    "SELECT * FROM $pragma_table_info ( <value> , 'temp' )", "PRAGMA $user_version <call>", "PRAGMA $application_id <call>", "PRAGMA $temp . $table_info ( t )",
	    "<names_bad_call>", "WITH $q AS ( SELECT * FROM <table> ) <body>", "PRAGMA $foreign_keys <call>", "<reads_bad>", "SELECT last_insert_rowid ( ) , <counter>",
	    "UPDATE $t SET a = ( SELECT 1 FROM <bad_table> )", "DELETE FROM $t WHERE 1 IN ( SELECT 1 FROM <bad_table> )"}},
};

/* Whole texts, how often, and what must become of them: ${verdict} at ${places}, elsewhere anything. */
static const struct {
	const char *template;
	enum verdict verdict;
	unsigned places;
	unsigned weight;
} texts[] = {
	{"<explain> PRAGMA <schema> <bad_pragma> <call>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 24},
	{"<explain> PRAGMA <schema> <read_pragma> <given>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 4},
	{"<explain> PRAGMA $temp . <set_pragma> <given>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> ATTACH <file> AS $x", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 3},
	{"<explain> ATTACH DATABASE <file> AS $main", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> DETACH $main", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 1},
	{"<explain> DETACH DATABASE $temp", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 1},
	{"<explain> VACUUM", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> VACUUM $main", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 1},
	{"<explain> VACUUM INTO <file>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 4},
	{"<explain> VACUUM $main INTO <file>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> BEGIN <kind> <transaction>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION, 3},
	{"<explain> COMMIT <transaction>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION, 3},
	{"<explain> END <transaction>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION, 2},
	{"<explain> ROLLBACK <transaction>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 3},
	{"<explain> SAVEPOINT <own>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> RELEASE <own>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<explain> ROLLBACK TO SAVEPOINT <own>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"SAVEPOINT <name>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SEVERAL, 2},
	{"RELEASE SAVEPOINT <name>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SEVERAL, 1},
	{"ROLLBACK <transaction> TO <name>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SEVERAL, 1},
	{"<explain> <makes_temp>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 8},
	{"CREATE VIRTUAL TABLE $x USING <bad_module> <module_words>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 4},
	{"<explain> <names_window>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 6},
	{"<explain> <names_bad_call>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 6},
	{"<explain> <writes_schema>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 6},
	{"<reads_bad>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 14},
	{"<explain> SELECT <counter>", VERDICT_REFUSE, PLACE_PLAIN, 2},
	{"INSERT INTO $t ( b ) VALUES ( <counter> )", VERDICT_REFUSE, PLACE_PLAIN, 1},
	{"<honest> ; PRAGMA <bad_pragma> <call>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 2},
	{"<honest> ; <honest>", VERDICT_REFUSE, PLACE_PLAIN | PLACE_SESSION, 1},
	{"<honest>", VERDICT_ACCEPT, PLACE_PLAIN | PLACE_SESSION | PLACE_SEVERAL, 12},
	{"<loose>", VERDICT_ANY, 0, 30},
	{"<loose_too>", VERDICT_ANY, 0, 12},
};
/* clang-format on */

/* ---- spelling ---------------------------------------------------------------------------- */

struct maker {
	struct sql_case *made;
	struct chance *chance;
	const struct sql_names *names;
};

static void append(struct maker *maker, const char *text, size_t len)
{
	struct sql_case *made = maker->made;

	CHECK(made->len + len < sizeof made->text, "a text became too long");
	memcpy(made->text + made->len, text, len);
	made->len += len;
	made->text[made->len] = '\0';
}

static const char *one_of(struct maker *maker, const char *const *list, size_t count)
{
	return list[chance_below(maker->chance, count)];
}

static bool is_word_byte(char c)
{
	return isalnum((unsigned char)c) || c == '_' || c == '$' || (c & 0x80);
}

/* Something blank before ${next}; nothing, now and then, where none is needed. */
static void append_blank(struct maker *maker, const char *next)
{
	static const char *const blanks[] = {" ", " ", " ", "\n", "\t", "\r\n", "\f",
	    "/**/", " /* ; ' \" */ ", "-- ; '\n", "/* x\n*/"};
	const struct sql_case *made = maker->made;
	const char *blank = one_of(maker, blanks, COUNT(blanks));
	char last = made->len > 0 ? made->text[made->len - 1] : '(';

	if (strchr("(),;", last) && chance_below(maker->chance, 2))
		return;
	if (strchr("(),;", *next) && chance_below(maker->chance, 2) && is_word_byte(last))
		return;
	append(maker, blank, strlen(blank));
}

/* ${len} bytes of ${text}, their letters in any case. */
static void append_in_any_case(struct maker *maker, const char *text, size_t len)
{
	uint64_t style = chance_below(maker->chance, 4);

	for (size_t i = 0; i < len; i++) {
		bool flips = style == 3 && chance_below(maker->chance, 2);
		char c = text[i];
		if (style == 1 || flips)
			c = (char)tolower((unsigned char)c);
		else if (style == 2)
			c = (char)toupper((unsigned char)c);
		append(maker, &c, 1);
	}
}

static void append_identifier(struct maker *maker, const char *name, size_t len)
{
	static const char *const quotes[] = {"", "", "", "\"\"", "[]", "``"};
	const char *quote = one_of(maker, quotes, COUNT(quotes));

	append(maker, quote, *quote ? 1 : 0);
	append_in_any_case(maker, name, len);
	append(maker, quote + 1, *quote ? 1 : 0);
}

/* ---- from a template to a text ---------------------------------------------------------- */

/* A PRAGMA that is not on the list. */
static const char *bad_pragma(struct maker *maker)
{
	const struct sql_names *names = maker->names;

	for (;;) {
		size_t at = chance_below(
		    maker->chance, names->pragmas_count + COUNT(pragmas_not_told));
		const char *name = at < names->pragmas_count
		    ? names->pragmas[at]
		    : pragmas_not_told[at - names->pragmas_count];
		if (!sql_pragma_is_listed(name, strlen(name)))
			return name;
	}
}

static const char *bad_module(struct maker *maker)
{
	for (;;) {
		const char *name =
		    one_of(maker, maker->names->modules, maker->names->modules_count);
		if (!IS_ONE_OF(name, strlen(name), modules_that_may_be_made))
			return name;
	}
}

/* A name by chance for the rule ${rule} of ${len} bytes, into ${name}; false: it is none of these. */
static bool choose_name(struct maker *maker, const char *rule, size_t len, char name[96])
{
	const struct sql_names *names = maker->names;
	const char *prefix = "", *chosen;

#define RULE_IS(text) (len == sizeof text - 1 && memcmp(rule, text, len) == 0)
	if (RULE_IS("bad_pragma_table") || RULE_IS("any_pragma_table"))
		prefix = "pragma_";
	if (RULE_IS("bad_pragma") || RULE_IS("bad_pragma_table"))
		chosen = bad_pragma(maker);
	else if (RULE_IS("any_pragma") || RULE_IS("any_pragma_table"))
		chosen = one_of(maker, names->pragmas, names->pragmas_count);
	else if (RULE_IS("read_pragma"))
		chosen = one_of(maker, pragmas_that_tell, COUNT(pragmas_that_tell));
	else if (RULE_IS("set_pragma"))
		chosen = one_of(maker, pragmas_that_set, COUNT(pragmas_that_set));
	else if (RULE_IS("bad_module"))
		chosen = bad_module(maker);
	else if (RULE_IS("any_module"))
		chosen = one_of(maker, names->modules, names->modules_count);
	else
		return false;
#undef RULE_IS
	snprintf(name, 96, "%s%s", prefix, chosen);
	return true;
}

static const char *choose_alternative(struct maker *maker, const char *rule, size_t len)
{
	for (size_t i = 0; i < COUNT(rules); i++) {
		size_t count = 0;
		if (strlen(rules[i].name) != len || memcmp(rules[i].name, rule, len) != 0)
			continue;
		while (
		    count < COUNT(rules[i].alternatives) && rules[i].alternatives[count])
			count++;
		return one_of(maker, rules[i].alternatives, count);
	}
	CHECK(false, "the grammar has no rule %.*s", (int)len, rule);
	return "";
}

static bool is_keyword(const char *token, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isupper((unsigned char)token[i]))
			return false;
	return true;
}

static void expand(struct maker *maker, const char *template, unsigned depth);

static void expand_token(
    struct maker *maker, const char *token, size_t len, unsigned depth)
{
	char name[96];

	if (*token == '<' && len > 2 && token[len - 1] == '>') {
		if (choose_name(maker, token + 1, len - 2, name)) {
			append_blank(maker, name);
			append_identifier(maker, name, strlen(name));
		} else if (depth < DEPTH_MAX) {
			expand(maker, choose_alternative(maker, token + 1, len - 2),
			    depth + 1);
		}
		return;
	}
	append_blank(maker, token);
	if (*token == '$' && len > 1)
		append_identifier(maker, token + 1, len - 1);
	else if (is_keyword(token, len))
		append_in_any_case(maker, token, len);
	else
		append(maker, token, len);
}

static void expand(struct maker *maker, const char *template, unsigned depth)
{
	while (*template) {
		size_t len = strcspn(template, " ");
		expand_token(maker, template, len, depth);
		template += len;
		template += *template == ' ';
	}
}

/* Tear a text: drop, double or swap some of its bytes, or cut it. */
static void mutate(struct maker *maker)
{
	struct sql_case *made = maker->made;

	for (uint64_t i = 1 + chance_below(maker->chance, 3); i > 0 && made->len > 8;
	     i--) {
		size_t at = chance_below(maker->chance, made->len - 4);
		switch (chance_below(maker->chance, 4)) {
		case 0:
			memmove(made->text + at, made->text + at + 1, made->len - at);
			made->len--;
			break;
		case 1:
			made->text[at] =
			    " ;'\"`[(-/*.=,"[chance_below(maker->chance, 13)];
			break;
		case 2: made->text[at] = made->text[at + 3]; break;
		default: made->text[made->len = at + 1] = '\0'; break;
		}
	}
	made->verdict = VERDICT_ANY;
}

void sql_case_make(struct sql_case *made, struct chance *chance,
    const struct sql_names *names, enum place place)
{
	struct maker maker = {made, chance, names};
	uint64_t sum = 0, drawn;
	size_t at = 0;

	for (size_t i = 0; i < COUNT(texts); i++)
		sum += texts[i].weight;
	for (drawn = chance_below(chance, sum); drawn >= texts[at].weight; at++)
		drawn -= texts[at].weight;
	made->len = 0;
	made->text[0] = '\0';
	made->verdict = texts[at].places & place ? texts[at].verdict : VERDICT_ANY;
	expand(&maker, "<lead>", 0);
	expand(&maker, texts[at].template, 0);
	expand(&maker, "<end>", 0);
	if (chance_below(chance, 12) == 0)
		mutate(&maker);
}
