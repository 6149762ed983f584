/* SPDX-License-Identifier: MIT
 * Lines into tokens: blanks, quotes, escapes and comments, and nothing of what the words mean.
 * The same for policy files and for opend.conf. */
#ifndef OPEND_POLICY_TOKENS_H
#define OPEND_POLICY_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "diag.h"

/* What a line of a file may be long. What the printer writes may be longer, because it escapes. */
enum { TOKENS_LINE_MAX = 65536 };

/* One word, its escapes resolved. It knows for each byte whether it was escaped (then it is never a
 * glob, a separator, a keyword) and where in the line it stands. Memory is the tokenizer's, until
 * the next line. */
struct token {
	const char *text;	      /* len bytes, no NUL behind them */
	const unsigned char *escaped; /* len of them: 1 where a backslash stood */
	const uint32_t *at;	      /* len + 1 offsets in the line; the last: where it ends */
	size_t len;
	unsigned column, span;
	bool plain; /* neither quotes nor escapes: it can be a keyword */
	bool list;  /* "a b",c: quotes joined by commas, names but never a path */
};

struct tokenizer {
	const char *file; /* for diagnostics */
	const char *line; /* the present line, without its end */
	size_t line_len;
	unsigned number; /* of the present line, from 1 */
	struct token *tokens;
	size_t n;
	const char *comment; /* what follows the #, or NULL */
	size_t comment_len;

	const char *rest; /* what is still to be read */
	size_t rest_len;
	size_t line_max;
	char *bytes;
	unsigned char *escaped;
	uint32_t *at;
	size_t room, used, tokens_room;
};

/* Begins a text, which must outlive t; line_max 0: any length. */
void tokenizer_begin(struct tokenizer *t, const char *file, const char *text, size_t len,
		     size_t line_max);
void tokenizer_deinit(struct tokenizer *t);

/* Takes the next line. 1: t->tokens are its n tokens (n may be 0); 0: end of text; -EBADMSG: a
 * diagnostic was added and the line is to be skipped; -ENOMEM. */
int tokenizer_next(struct tokenizer *t, struct diags *diags);

/* Is it this keyword? */
bool token_is(const struct token *k, const char *word);
/* The bytes from ... to-1 of k as a token of their own (an item of a list). */
struct token token_slice(const struct token *k, size_t from, size_t to);
/* The place of k, or of the line's end when k is NULL. */
struct diag_place token_place(const struct tokenizer *t, const struct token *k);

#endif
