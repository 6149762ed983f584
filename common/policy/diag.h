/* SPDX-License-Identifier: MIT
 * Diagnostics: what is wrong with a text, at its place. Collected, counted, and printed once, at
 * the top, by whoever has a terminal. */
#ifndef OPEND_DIAG_H
#define OPEND_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum diag_severity { DIAG_ERROR, DIAG_WARNING };

enum { DIAG_ERRORS_SHOWN = 20, DIAG_WARNINGS_SHOWN = 100 };

struct diag {
	enum diag_severity severity;
	char *file;	       /* NULL: not about a file */
	unsigned line, column; /* from 1; 0: about the whole file. Columns count bytes. */
	unsigned span;	       /* bytes the mistaken token is wide */
	char *source;	       /* the line, or NULL; raw bytes, source_len of them */
	size_t source_len;
	unsigned source_column; /* of source's first byte: more than 1 where a long line was cut */
	char *message;		/* `unknown access "raed"` */
	char *hint;		/* `did you mean "read"?`, or NULL */
};

struct diags {
	struct diag *list;
	size_t n, n_errors, n_warnings; /* n may be less than the sum: a flood is counted only */
};

/* Where a diagnostic points. Borrowed memory; zero what is not known. */
struct diag_place {
	const char *file;
	unsigned line, column, span;
	const char *source;
	size_t source_len;
};

/* Adds one. `hint` may be NULL. What does not fit (no memory, a flood) is counted all the same, so
 * that n_errors is never 0 when something was wrong. */
void diags_add(struct diags *d, enum diag_severity severity, const struct diag_place *where,
	       const char *hint, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/* Frees what d holds, not d itself; d may be zeroed memory. */
void diags_deinit(struct diags *d);

/* Writes all of d as opend.policy(5) "MESSAGES" shows: file:line:column, the line, a caret below
 * the token; at most DIAG_ERRORS_SHOWN errors, then a count. Control bytes are escaped, tabs line
 * up. `color`: the caller found a terminal and no NO_COLOR. */
void diags_print(const struct diags *d, FILE *f, bool color);

/* Writes one line without its end: `60-nginx.policy: 1 error, 2 warnings.`, or with several files
 * `policy: 3 errors.`; nothing when there is nothing to tell. The caller goes on from there. */
void diags_print_summary(const struct diags *d, FILE *f);

#endif
