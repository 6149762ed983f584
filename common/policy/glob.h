/* SPDX-License-Identifier: MIT
 * Globs over one path segment, or one unit name: `*`, `?`, `[a-z]`, `[!a]`. They are kept as
 * canonical text, in which a backslash makes the next byte ordinary; the same text is matched,
 * compared and printed. */
#ifndef OPEND_POLICY_GLOB_H
#define OPEND_POLICY_GLOB_H

#include <stdbool.h>
#include <stddef.h>
#include "tokens.h"

/* Translates bytes from ... to-1 of k. Writes into `out` (room for twice as many bytes) either the
 * literal bytes (*ret_glob false) or a canonical glob (true); *ret_len bytes. Returns NULL, or what
 * is wrong, with *ret_at the index in k of the mistaken byte. */
const char *glob_compile(const struct token *k, size_t from, size_t to, char *out, size_t *ret_len,
			 bool *ret_glob, size_t *ret_at);

/* Does the canonical glob g match all of s? Any bytes; time is at most proportional to the product
 * of the lengths; no allocation, no recursion. */
bool glob_match(const char *g, size_t g_len, const char *s, size_t s_len);

/* Does glob g certainly match whatever segment glob h matches? False when unsure. */
bool glob_subsumes(const char *g, size_t g_len, const char *h, size_t h_len);

#endif
