/* SPDX-License-Identifier: MIT
 * The parser's own state, shared by its files: parse.c (rules), parse-who.c (names),
 * parse-options.c (access words, options), expect.c. One text or many are fed, then it is finished
 * once; until then nothing is a policy. */
#ifndef OPEND_POLICY_PARSE_H
#define OPEND_POLICY_PARSE_H

#include "accounts.h"
#include "model.h"
#include "pattern.h"
#include "tokens.h"

/* Where a rule or an expectation stands, while the texts are still there. */
struct place {
	const char *file;
	unsigned line;
	const char *source;
	size_t source_len;
	unsigned column, span;
};

struct parser {
	const struct policy_options *options;
	struct diags *diags;
	size_t errors_before;
	struct tokenizer t;
	size_t i; /* next token */
	struct accounts accounts;
	struct store *store;

	struct rule **rules;
	struct place *places; /* of each rule */
	size_t n_rules, rules_room;
	struct expectation *expects;
	struct place *expect_places;
	size_t n_expects, expects_room;
	struct pattern *scratch; /* patterns of the present rule */
	size_t n_scratch, scratch_room, n_patterns;
};

int parser_init(struct parser *p, const struct policy_options *options, struct diags *diags);
void parser_deinit(struct parser *p);

/* Reads one text, which must live until parser_finish(). -EBADMSG or -ENOMEM; after -EBADMSG more
 * may be fed, to find more mistakes. */
int parser_feed(struct parser *p, const char *name, const char *text, size_t len);

/* Proves expectations and hands out the policy; -EBADMSG if an error was added since the start. */
int parser_finish(struct parser *p, struct policy **ret);

/* Reads one file, with the checks that a policy's files get. 1: *ret is its text, malloc'ed, or
 * NULL when it is a link to /dev/null; 0: there is none; -EBADMSG or -errno. */
int policy_read_file(const char *path, uid_t owner, struct diags *diags, char **ret,
		     size_t *ret_len);

/* For the parser's files. ------------------------------------------------------------------- */

/* The next token, or NULL at the end of the line; parser_take() goes past it. */
const struct token *parser_peek(const struct parser *p);
const struct token *parser_take(struct parser *p);

/* Adds a diagnostic at k (NULL: the line's end). parser_error() returns -EBADMSG. */
int parser_error(struct parser *p, const struct token *k, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void parser_warn(struct parser *p, const struct token *k, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* `what "word"`, and `did you mean "..."?` if a word of the list is near. */
int parser_unknown(struct parser *p, const struct token *k, const char *what,
		   const char *const *words);

/* Cuts the next item off a comma-separated list: 1, 0 at its end, -EBADMSG for an empty one.
 * *at starts at 0. An escaped comma separates nothing. */
int parser_item(struct parser *p, const struct token *list, size_t *at, struct token *ret);

/* read,write,create,list */
int parse_access(struct parser *p, const struct token *k, unsigned *ret);
/* What may follow the subjects of a rule. */
int parse_options(struct parser *p, struct rule *rule);
/* anyone | kind {and kind}. `exact`: one identity, as an expectation wants it. */
int parse_who(struct parser *p, bool deny, bool exact, struct who *ret, bool *ret_nobody);
/* An expectation, behind its first word. */
int parse_expect(struct parser *p);
/* FILE:LINE of the present line, or what its comment says. */
const char *parse_origin(struct parser *p);

/* Warns of rules that hardly mean what they say: judging the text, looking at the file system.
 * The latter finds errors, too: -EBADMSG. */
void advise(struct parser *p);
int advise_looking(struct parser *p);

/* Adds a diagnostic at a pattern of rule i. */
void advice_add(struct parser *p, enum diag_severity severity, size_t i,
		const struct pattern *pattern, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));

/* Proves all expectations against the policy; each that fails is an error. */
int expect_prove(struct parser *p, const struct policy *policy);

/* What the language calls the bits of an access or a type, comma-separated, in one fixed order. */
void print_access(FILE *f, unsigned access);
void print_types(FILE *f, unsigned types);

#endif
