/* sql_text.c - SQLite's tokenizer, as far as first words need it.
 *
 * The rules are those of SQLite's tokenize.c, odd ones included: a vertical
 * tab is white space only behind other white space, a byte order mark only
 * where a token may start, and a slash and a star at the very end of the text
 * open no comment.
 */
#include "broker/db/sql_text.h"

#include <string.h>
#include <strings.h>

enum token_kind {
	TOKEN_END,
	TOKEN_BLANK, /* white space or a comment; never leaves next_token() */
	TOKEN_SEMICOLON,
	TOKEN_WORD,   /* a keyword or a bare name */
	TOKEN_QUOTED, /* "name", `name` or [name] */
	TOKEN_STRING, /* 'text', which SQLite takes for a name in places */
	TOKEN_NUMBER,
	TOKEN_OTHER,
};

struct lexer {
	const char *sql;
	size_t len;
	enum token_kind kind; /* of the current token, sql[start] .. sql[end - 1] */
	size_t start;
	size_t end;
};

/* The byte at ${at}, 0 behind the end: a text holds no NUL of its own. */
static unsigned char byte_at(const struct lexer *lexer, size_t at)
{
	return at < lexer->len ? (unsigned char)lexer->sql[at] : 0;
}

static bool is_digit(unsigned char c)
{
	return c >= '0' && c <= '9';
}

static bool is_name_start(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_name_byte(unsigned char c)
{
	return is_name_start(c) || is_digit(c) || c == '$';
}

static bool is_space(unsigned char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Where what ${lexer} stands on at ${at} ends: one past ${close}, which doubled means itself. */
static size_t quoted_end(const struct lexer *lexer, size_t at, unsigned char close)
{
	for (at++; byte_at(lexer, at) != 0; at++) {
		if (byte_at(lexer, at) != close)
			continue;
		if (byte_at(lexer, at + 1) != close)
			return at + 1;
		at++;
	}
	return 0;
}

static size_t comment_end(const struct lexer *lexer, size_t at)
{
	for (at += 2; at < lexer->len; at++)
		if (byte_at(lexer, at) == '*' && byte_at(lexer, at + 1) == '/')
			return at + 2;
	return lexer->len;
}

/* $name, @name, :name and #name, maybe with Tcl's (suffix), in which a quote means nothing. */
static size_t variable_end(const struct lexer *lexer, size_t at)
{
	at++;
	while (is_name_byte(byte_at(lexer, at)))
		at++;
	if (byte_at(lexer, at) == '(')
		while (at < lexer->len && lexer->sql[at] != ')')
			at++;
	return at;
}

static size_t blank_end(const struct lexer *lexer, size_t at)
{
	unsigned char c = byte_at(lexer, at);
	unsigned char next = byte_at(lexer, at + 1);

	if (is_space(c) && c != '\v') {
		while (is_space(byte_at(lexer, at)))
			at++;
		return at;
	}
	if (c == '-' && next == '-') {
		while (at < lexer->len && lexer->sql[at] != '\n')
			at++;
		return at;
	}
	if (c == '/' && next == '*' && at + 2 < lexer->len)
		return comment_end(lexer, at);
	if (c == 0xef && next == 0xbb && byte_at(lexer, at + 2) == 0xbf)
		return at + 3;
	return at;
}

static enum token_kind quoted_token(struct lexer *lexer, unsigned char quote)
{
	size_t end = quoted_end(lexer, lexer->start, quote == '[' ? ']' : quote);

	if (end == 0) {
		lexer->end = lexer->len;
		return TOKEN_OTHER;
	}
	lexer->end = end;
	return quote == '\'' ? TOKEN_STRING : TOKEN_QUOTED;
}

static enum token_kind any_token(struct lexer *lexer)
{
	unsigned char c = byte_at(lexer, lexer->start);
	size_t blank = blank_end(lexer, lexer->start);

	if (c == 0)
		return TOKEN_END;
	if (blank > lexer->start) {
		lexer->end = blank;
		return TOKEN_BLANK;
	}
	if (is_name_start(c) || is_digit(c)) {
		while (is_name_byte(byte_at(lexer, lexer->end)))
			lexer->end++;
		return is_digit(c) ? TOKEN_NUMBER : TOKEN_WORD;
	}
	if (c == '\'' || c == '"' || c == '`' || c == '[')
		return quoted_token(lexer, c);
	if (c == '$' || c == '@' || c == ':' || c == '#') {
		lexer->end = variable_end(lexer, lexer->start);
		return TOKEN_OTHER;
	}
	lexer->end++;
	return c == ';' ? TOKEN_SEMICOLON : TOKEN_OTHER;
}

/* Go on to the next token that means something. */
static enum token_kind next_token(struct lexer *lexer)
{
	do {
		lexer->start = lexer->end;
		lexer->kind = any_token(lexer);
	} while (lexer->kind == TOKEN_BLANK);
	return lexer->kind;
}

/* Start on ${sql}; the current token is then the first behind blanks and semicolons. */
static enum token_kind first_token(struct lexer *lexer, const char *sql, size_t len)
{
	*lexer = (struct lexer){.sql = sql, .len = len};
	while (next_token(lexer) == TOKEN_SEMICOLON)
		;
	return lexer->kind;
}

/* Whether the current token is the keyword ${word}; in quotes, which belong to the token, it is none. */
static bool is_keyword(const struct lexer *lexer, const char *word)
{
	size_t len = lexer->end - lexer->start;

	return len == strlen(word) &&
	    strncasecmp(lexer->sql + lexer->start, word, len) == 0;
}

static bool is_char(const struct lexer *lexer, char c)
{
	return lexer->kind == TOKEN_OTHER && lexer->end == lexer->start + 1 &&
	    lexer->sql[lexer->start] == c;
}

/* Whether the current token, without its quotes, is ${name}, in any case. */
static bool is_name(const struct lexer *lexer, const char *name)
{
	size_t len = lexer->end - lexer->start;

	if (lexer->kind != TOKEN_QUOTED && lexer->kind != TOKEN_STRING)
		return is_keyword(lexer, name);
	/* No name asked for holds a quote, so doubled ones need not be undone. */
	return len == strlen(name) + 2 &&
	    strncasecmp(lexer->sql + lexer->start + 1, name, len - 2) == 0;
}

/* Whether the statement ends at the current token; then ${end} is set behind it. */
static bool ends_here(const struct lexer *lexer, size_t *end)
{
	if (lexer->kind != TOKEN_SEMICOLON && lexer->kind != TOKEN_END)
		return false;
	*end = lexer->end;
	return true;
}

/* [TRANSACTION [name]] and the end of the statement. */
static bool is_transaction_tail(struct lexer *lexer, size_t *end)
{
	if (is_keyword(lexer, "transaction")) {
		next_token(lexer);
		if (lexer->kind == TOKEN_WORD || lexer->kind == TOKEN_QUOTED ||
		    lexer->kind == TOKEN_STRING)
			next_token(lexer);
	}
	return ends_here(lexer, end);
}

/* A PRAGMA's boolean as SQLite reads it: 1, 0, or -1 for what we would have to guess at. */
static int boolean_value(struct lexer *lexer)
{
	static const char *const on[] = {"on", "yes", "true", NULL};
	static const char *const off[] = {"off", "no", "false", NULL};
	unsigned value = 0;

	if (is_char(lexer, '+') && next_token(lexer) != TOKEN_NUMBER)
		return -1;
	if (lexer->kind == TOKEN_NUMBER) {
		for (size_t at = lexer->start; at < lexer->end; at++) {
			if (!is_digit(byte_at(lexer, at)) || value > 255)
				return -1;
			value = value * 10 + (byte_at(lexer, at) - '0');
		}
		return value > 255 ? -1 : value != 0; /* SQLite keeps the low byte */
	}
	for (size_t i = 0; on[i] != NULL; i++) {
		if (is_name(lexer, on[i]))
			return 1;
		if (is_name(lexer, off[i]))
			return 0;
	}
	return -1;
}

/* What follows PRAGMA: [main.]foreign_keys = value, or (value). */
static enum sql_text_kind pragma_kind(struct lexer *lexer, size_t *end)
{
	bool in_parentheses;
	int value;

	if (is_name(lexer, "main")) {
		next_token(lexer);
		if (!is_char(lexer, '.'))
			return SQL_TEXT_OTHER;
		next_token(lexer);
	}
	if (!is_name(lexer, "foreign_keys"))
		return SQL_TEXT_OTHER;
	next_token(lexer);
	in_parentheses = is_char(lexer, '(');
	if (!in_parentheses && !is_char(lexer, '='))
		return SQL_TEXT_OTHER;
	next_token(lexer);
	value = boolean_value(lexer);
	next_token(lexer);
	if (in_parentheses) {
		if (!is_char(lexer, ')'))
			return SQL_TEXT_OTHER;
		next_token(lexer);
	}
	if (value < 0 || !ends_here(lexer, end))
		return SQL_TEXT_OTHER;
	return value ? SQL_TEXT_FOREIGN_KEYS_ON : SQL_TEXT_FOREIGN_KEYS_OFF;
}

enum sql_text_kind sql_text_kind(const char *sql, size_t len, size_t *start, size_t *end)
{
	struct lexer lexer;

	first_token(&lexer, sql, len);
	*start = *end = lexer.start;
	if (lexer.kind == TOKEN_END)
		return SQL_TEXT_END;
	if (is_keyword(&lexer, "pragma")) {
		next_token(&lexer);
		return pragma_kind(&lexer, end);
	}
	if (is_keyword(&lexer, "begin")) {
		next_token(&lexer);
		if (is_keyword(&lexer, "deferred") || is_keyword(&lexer, "immediate") ||
		    is_keyword(&lexer, "exclusive"))
			next_token(&lexer);
		return is_transaction_tail(&lexer, end) ? SQL_TEXT_BEGIN : SQL_TEXT_OTHER;
	}
	if (is_keyword(&lexer, "commit") || is_keyword(&lexer, "end")) {
		next_token(&lexer);
		return is_transaction_tail(&lexer, end) ? SQL_TEXT_COMMIT
							: SQL_TEXT_OTHER;
	}
	return SQL_TEXT_OTHER;
}

bool sql_text_is_blank(const char *sql, size_t len)
{
	struct lexer lexer;

	return first_token(&lexer, sql, len) == TOKEN_END;
}

bool sql_text_is_vacuum(const char *sql, size_t len)
{
	struct lexer lexer;

	first_token(&lexer, sql, len);
	if (is_keyword(&lexer, "explain")) {
		next_token(&lexer);
		if (is_keyword(&lexer, "query")) {
			next_token(&lexer);
			next_token(&lexer);
		}
	}
	return is_keyword(&lexer, "vacuum");
}

enum sql_text_verb sql_text_verb(const char *sql, size_t len)
{
	static const struct {
		const char *word;
		enum sql_text_verb verb;
	} verbs[] = {
	    {"insert", SQL_VERB_INSERT},
	    {"replace", SQL_VERB_INSERT},
	    {"update", SQL_VERB_CHANGE},
	    {"delete", SQL_VERB_CHANGE},
	    {"with", SQL_VERB_WITH},
	    {"create", SQL_VERB_DDL},
	    {"drop", SQL_VERB_DDL},
	    {"alter", SQL_VERB_DDL},
	    {"reindex", SQL_VERB_DDL},
	    {"analyze", SQL_VERB_DDL},
	    {"savepoint", SQL_VERB_SAVEPOINT},
	    {"release", SQL_VERB_SAVEPOINT},
	    {"rollback", SQL_VERB_SAVEPOINT},
	};
	struct lexer lexer;

	first_token(&lexer, sql, len);
	for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
		if (is_keyword(&lexer, verbs[i].word))
			return verbs[i].verb;
	return SQL_VERB_OTHER;
}

bool sql_text_calls(const char *sql, size_t len, const char *const *names)
{
	struct lexer lexer;
	bool is_named = false;

	first_token(&lexer, sql, len);
	while (lexer.kind != TOKEN_END && lexer.kind != TOKEN_SEMICOLON) {
		if (is_named && is_char(&lexer, '('))
			return true;
		is_named = false;
		if (lexer.kind != TOKEN_STRING)
			for (size_t i = 0; names[i] != NULL && !is_named; i++)
				is_named = is_name(&lexer, names[i]);
		next_token(&lexer);
	}
	return false;
}

size_t sql_text_line(const char *sql, size_t len, size_t at)
{
	size_t line = 1;

	for (size_t i = 0; i < at && i < len; i++)
		if (sql[i] == '\n')
			line++;
	return line;
}
