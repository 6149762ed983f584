/* SPDX-License-Identifier: MIT
 * The tokenizer. It reads bytes, not characters: a byte above 127 is an ordinary one. It never
 * looks beyond the line it was given and needs memory in proportion to the longest line only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "tokens.h"

void tokenizer_begin(struct tokenizer *t, const char *file, const char *text, size_t len,
		     size_t line_max)
{
	t->file = file;
	t->rest = text;
	t->rest_len = len;
	t->line_max = line_max ? line_max : SIZE_MAX;
	t->number = 0;
	t->line = NULL;
	t->line_len = 0;
	t->n = 0;
}

void tokenizer_deinit(struct tokenizer *t)
{
	free(t->tokens);
	free(t->bytes);
	free(t->escaped);
	free(t->at);
	*t = (struct tokenizer){ 0 };
}

/* Every token needs a byte, a blank between two, and one offset more than it has bytes. */
static int make_room(struct tokenizer *t, size_t len)
{
	size_t room = len * 2 + 2;
	void *p;

	if (room <= t->room)
		return 0;
	if (len > UINT32_MAX / 4)
		return -ENOMEM;
	if (!(p = realloc(t->bytes, room)))
		return -ENOMEM;
	t->bytes = p;
	if (!(p = realloc(t->escaped, room)))
		return -ENOMEM;
	t->escaped = p;
	if (!(p = reallocarray(t->at, room, sizeof *t->at)))
		return -ENOMEM;
	t->at = p;
	t->room = room;
	return 0;
}

static int fail(struct tokenizer *t, struct diags *diags, size_t at, unsigned span,
		const char *hint, const char *message)
{
	struct diag_place where = { .file = t->file,
				    .line = t->number,
				    .column = (unsigned)at + 1,
				    .span = span,
				    .source = t->line,
				    .source_len = t->line_len };

	diags_add(diags, DIAG_ERROR, &where, hint, "%s", message);
	return -EBADMSG;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_control(char c)
{
	return (unsigned char)c < 0x20 || c == 0x7f;
}

static int hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static void put(struct tokenizer *t, struct token *k, char c, bool escaped, size_t at)
{
	t->bytes[t->used] = c;
	t->escaped[t->used] = escaped;
	t->at[t->used] = (uint32_t)at;
	t->used++;
	k->len++;
}

/* Reads the escape at *pos and leaves *pos behind it. */
static int read_escape(struct tokenizer *t, struct diags *diags, struct token *k, size_t *pos)
{
	const char *s = t->line;
	size_t at = *pos;

	k->plain = false;
	if (at + 1 >= t->line_len)
		return fail(t, diags, at, 1, "a rule is one line; there is no continuation",
			    "backslash at the end of the line");
	if (s[at + 1] != 'x') {
		if (is_control(s[at + 1]) && s[at + 1] != '\t')
			return fail(t, diags, at, 2, "write it as \\xHH", "control byte");
		put(t, k, s[at + 1], true, at);
		*pos = at + 2;
		return 0;
	}
	if (at + 3 >= t->line_len || hex(s[at + 2]) < 0 || hex(s[at + 3]) < 0)
		return fail(t, diags, at, 2, "as in \\x20", "\\x needs two hexadecimal digits");
	if (hex(s[at + 2]) == 0 && hex(s[at + 3]) == 0)
		return fail(t, diags, at, 4, NULL, "no name holds a NUL byte");
	put(t, k, (char)(hex(s[at + 2]) << 4 | hex(s[at + 3])), true, at);
	*pos = at + 4;
	return 0;
}

/* Reads a part of a token: up to a blank, or between quotes. A comma between quotes separates
 * nothing. Leaves *pos behind it. */
static int read_part(struct tokenizer *t, struct diags *diags, struct token *k, size_t *pos)
{
	const char *s = t->line;
	size_t begin = *pos, i = begin;
	bool quoted = s[i] == '"';
	int r;

	i += quoted;
	while (i < t->line_len && (quoted ? s[i] != '"' : !is_blank(s[i]))) {
		if (s[i] == '\\') {
			if ((r = read_escape(t, diags, k, &i)) < 0)
				return r;
			continue;
		}
		if (s[i] == '"' && s[i - 1] == ',' && i > begin)
			break;
		if (s[i] == '"')
			return fail(t, diags, i, 1, "put the whole word in quotes, or write \\\"",
				    "quote inside a word");
		if (is_control(s[i]) && s[i] != '\t')
			return fail(t, diags, i, 1, "write it as \\xHH", "control byte");
		put(t, k, s[i], quoted && s[i] == ',', i);
		i++;
	}
	if (quoted && i == t->line_len)
		return fail(t, diags, begin, (unsigned)(i - begin), NULL, "unclosed quote");
	*pos = i + quoted;
	return 0;
}

/* Reads one token at *pos, which is not a blank. */
static int read_token(struct tokenizer *t, struct diags *diags, size_t *pos)
{
	const char *s = t->line;
	size_t begin = *pos, i = begin;
	struct token *k = &t->tokens[t->n];
	int r;

	*k = (struct token){ .text = t->bytes + t->used,
			     .escaped = t->escaped + t->used,
			     .at = t->at + t->used,
			     .plain = true };
	while (i < t->line_len && !is_blank(s[i])) {
		bool quoted = s[i] == '"';

		k->list |= i > begin;
		k->plain &= !quoted;
		if ((r = read_part(t, diags, k, &i)) < 0)
			return r;
		if (quoted && i < t->line_len && !is_blank(s[i]) && s[i] != ',')
			return fail(t, diags, i, 1, "a blank or a comma ends a quoted word",
				    "text after a quote");
	}
	t->at[t->used++] = (uint32_t)i;
	k->column = (unsigned)begin + 1;
	k->span = (unsigned)(i - begin);
	t->n++;
	*pos = i;
	return 0;
}

static int check_line(struct tokenizer *t, struct diags *diags)
{
	const char *p;

	if (t->line_len > t->line_max)
		return fail(t, diags, t->line_max, 1, "split it into several rules",
			    "line longer than 65536 bytes");
	if ((p = memchr(t->line, 0, t->line_len)))
		return fail(t, diags, (size_t)(p - t->line), 1, NULL, "NUL byte");
	p = memchr(t->line, '\r', t->line_len);
	if (p && p == t->line + t->line_len - 1)
		return fail(t, diags, (size_t)(p - t->line), 1, "lines end with LF alone",
			    "carriage return (CRLF line end)");
	if (p)
		return fail(t, diags, (size_t)(p - t->line), 1, NULL, "carriage return");
	return 0;
}

static int take_line(struct tokenizer *t, struct diags *diags)
{
	const char *end = memchr(t->rest, '\n', t->rest_len);
	size_t len = end ? (size_t)(end - t->rest) : t->rest_len;

	t->line = t->rest;
	t->line_len = len;
	t->number++;
	t->rest += len + (end != NULL);
	t->rest_len -= len + (end != NULL);
	t->n = t->used = 0;
	t->comment = NULL;
	t->comment_len = 0;
	return check_line(t, diags);
}

int tokenizer_next(struct tokenizer *t, struct diags *diags)
{
	int r;

	if (t->rest_len == 0)
		return 0;
	if ((r = take_line(t, diags)) < 0 || (r = make_room(t, t->line_len)) < 0)
		return r;
	for (size_t i = 0; i < t->line_len;) {
		if (is_blank(t->line[i])) {
			i++;
			continue;
		}
		if (t->line[i] == '#') {
			t->comment = t->line + i + 1;
			t->comment_len = t->line_len - i - 1;
			break;
		}
		if (t->n == t->tokens_room) {
			size_t room = t->tokens_room ? t->tokens_room * 2 : 32;
			void *p = reallocarray(t->tokens, room, sizeof *t->tokens);

			if (!p)
				return -ENOMEM;
			t->tokens = p;
			t->tokens_room = room;
		}
		if ((r = read_token(t, diags, &i)) < 0)
			return r;
	}
	return 1;
}

bool token_is(const struct token *k, const char *word)
{
	return k && k->plain && strlen(word) == k->len && memcmp(k->text, word, k->len) == 0;
}

struct token token_slice(const struct token *k, size_t from, size_t to)
{
	return (struct token){ .text = k->text + from,
			       .escaped = k->escaped + from,
			       .at = k->at + from,
			       .len = to - from,
			       .column = k->at[from] + 1,
			       .span = k->at[to] - k->at[from],
			       .plain = k->plain };
}

struct diag_place token_place(const struct tokenizer *t, const struct token *k)
{
	return (struct diag_place){ .file = t->file,
				    .line = t->number,
				    .column = k ? k->column : (unsigned)t->line_len + 1,
				    .span = k ? k->span : 1,
				    .source = t->line,
				    .source_len = t->line_len };
}
