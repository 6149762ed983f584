/* SPDX-License-Identifier: MIT
 * Path patterns: reading, matching one at a time, comparing, printing. policy_decide() uses the
 * index for the rules' objects; this is for `except`, for advice, and for whoever has just one. */
#ifndef OPEND_POLICY_PATTERN_H
#define OPEND_POLICY_PATTERN_H

#include <stdio.h>
#include "model.h"
#include "tokens.h"

/* Reads token k; memory from a. `globs` false: special bytes are an error (a path, not a pattern).
 * -EBADMSG: a diagnostic was added. */
int pattern_parse(struct arena *a, const struct tokenizer *t, const struct token *k, bool globs,
		  struct diags *diags, struct pattern *ret);

/* Cuts the next segment off *path (which stands behind a slash): its length, *path behind the slash
 * that ends it; *more false when it was the last. */
size_t path_segment(const char **path, size_t *len, bool *more);

/* Absolute, and no "", ".", "..", NUL in it, no slash at its end? Only "/" itself has one. */
bool path_is_normal(const char *path, size_t len);

/* Is path matched, or (`below`) something it lies below? home may have no segments: then a pattern
 * with ~ matches nothing. path must be normal. */
bool pattern_matches(const struct pattern *p, const struct pattern *home, const char *path,
		     size_t len, bool below);

/* Might something strictly below path be matched? */
bool pattern_may_match_below(const struct pattern *p, const struct pattern *home, const char *path,
			     size_t len);

/* Does `outer` certainly match everything at or (inner->tree) below what inner matches? */
bool pattern_subsumes(const struct pattern *outer, const struct pattern *inner);

/* Does everything that inner matches certainly lie at or below something outer names? */
bool pattern_contains(const struct pattern *outer, const struct pattern *inner);

/* As a token that pattern_parse() reads back to the same. */
void pattern_print(FILE *f, const struct pattern *p);

#endif
