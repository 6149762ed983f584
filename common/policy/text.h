/* SPDX-License-Identifier: MIT
 * Bytes on their way to a reader: what of them may be shown as it is, how the rest is written, and
 * which known word a mistaken one was meant to be. Byte-wise; no locale is asked. */
#ifndef OPEND_POLICY_TEXT_H
#define OPEND_POLICY_TEXT_H

#include <stddef.h>
#include <stdio.h>

/* How many bytes at s (of len) are one character that any terminal shows as one harmless sign:
 * 1 for printable ASCII, 2 ... 4 for well-formed UTF-8 that neither controls the terminal nor
 * reorders text; 0 when the first byte has to be escaped. */
size_t text_printable(const char *s, size_t len);

/* Writes s; every byte that is not printable becomes \xHH, and so does a backslash when `lone` is
 * not 0 (so that the result can be read back without doubt). */
void text_write(FILE *f, const char *s, size_t len, int lone);

/* Opens a stream into memory, and closes it: 0, or -ENOMEM and *ret NULL if anything of what was
 * written is missing. *ret is malloc'ed, *ret_len does not count the NUL behind it. Not
 * open_memstream(3): when that cannot grow it drops bytes and neither ferror nor fclose tells, and
 * a policy cut short is one with a deny less. */
FILE *text_open(char **ret, size_t *ret_len);
int text_close(FILE *f, char **ret);

/* Reads \xHH and \c in s back, in place; returns the new length. */
size_t text_unescape(char *s, size_t len);

/* The word of the NULL-terminated list that `s` is most likely to have been meant as, or NULL:
 * at most one edit for each three bytes, a swap of neighbours counting one. */
const char *text_suggest(const char *s, size_t len, const char *const *words);

#endif
