/* SPDX-License-Identifier: MIT
 * Collecting and showing diagnostics. A file of 16 MiB may be wrong on each line: what is kept is
 * bounded in number and in width, what is wrong beyond that is counted. */
#include <stdarg.h>
#include <string.h>
#include "../util.h"
#include "diag.h"
#include "text.h"

enum { SOURCE_WIDTH = 160, SOURCE_BEFORE = 60, TAB = 8 };

static char *copy(const char *s, size_t len)
{
	char *r = malloc(len + 1);

	if (r) {
		memcpy(r, s, len);
		r[len] = 0;
	}
	return r;
}

/* Keeps the part of a long line around the mistaken token. */
static void keep_source(struct diag *e, const struct diag_place *where)
{
	size_t from = 0, len = where->source_len;

	if (!where->source)
		return;
	if (len > SOURCE_WIDTH && where->column > SOURCE_BEFORE + 1)
		from = UTIL_MIN(where->column - 1 - SOURCE_BEFORE, len - SOURCE_BEFORE);
	len = UTIL_MIN(len - from, (size_t)SOURCE_WIDTH);
	e->source = copy(where->source + from, len);
	e->source_len = e->source ? len : 0;
	e->source_column = (unsigned)from + 1;
}

static bool is_flood(const struct diags *d, enum diag_severity severity)
{
	return severity == DIAG_ERROR ? d->n_errors > DIAG_ERRORS_SHOWN
				      : d->n_warnings > DIAG_WARNINGS_SHOWN;
}

void diags_add(struct diags *d, enum diag_severity severity, const struct diag_place *where,
	       const char *hint, const char *fmt, ...)
{
	struct diag e = { .severity = severity,
			  .line = where->line,
			  .column = where->column,
			  .span = where->span };
	struct diag *list;
	va_list ap;

	if (severity == DIAG_ERROR)
		d->n_errors++;
	else
		d->n_warnings++;
	if (is_flood(d, severity))
		return;
	list = reallocarray(d->list, d->n + 1, sizeof *list);
	if (!list)
		return;
	d->list = list;
	va_start(ap, fmt);
	if (vasprintf(&e.message, fmt, ap) < 0)
		e.message = NULL;
	va_end(ap);
	e.hint = hint ? copy(hint, strlen(hint)) : NULL;
	e.file = where->file ? copy(where->file, strlen(where->file)) : NULL;
	keep_source(&e, where);
	d->list[d->n++] = e;
}

void diags_deinit(struct diags *d)
{
	for (size_t i = 0; i < d->n; i++) {
		free(d->list[i].file);
		free(d->list[i].source);
		free(d->list[i].message);
		free(d->list[i].hint);
	}
	free(d->list);
	*d = (struct diags){ 0 };
}

/* Writes the line with tabs widened and unprintable bytes escaped, and tells at which columns of
 * the screen the token begins and ends. */
static void print_source(const struct diag *e, FILE *f, size_t *ret_begin, size_t *ret_end)
{
	size_t first = e->column >= e->source_column ? e->column - e->source_column : 0;
	size_t column = 0;

	*ret_begin = *ret_end = 0;
	for (size_t i = 0; i < e->source_len;) {
		size_t n = text_printable(e->source + i, e->source_len - i), width = 1;

		if (i <= first)
			*ret_begin = column;
		if (e->source[i] == '\t') {
			width = TAB - column % TAB;
			fprintf(f, "%*s", (int)width, "");
			n = 1;
		} else if (n) {
			fwrite(e->source + i, 1, n, f);
		} else {
			fprintf(f, "\\x%02x", (unsigned)(unsigned char)e->source[i]);
			width = 4;
			n = 1;
		}
		column += width;
		i += n;
		if (i <= first + e->span)
			*ret_end = column;
	}
	if (first >= e->source_len)
		*ret_begin = column;
	*ret_end = UTIL_MAX(*ret_end, *ret_begin + 1);
}

static void print_excerpt(const struct diag *e, FILE *f, bool color)
{
	size_t begin, end;

	fprintf(f, "%5u | ", e->line);
	print_source(e, f, &begin, &end);
	if (e->column == 0) {
		fputc('\n', f);
		return;
	}
	fprintf(f, "\n      | %*s%s^", (int)begin, "", color ? "\033[1;32m" : "");
	for (size_t i = begin + 1; i < end; i++)
		fputc('~', f);
	if (e->hint) {
		fputc(' ', f);
		text_write(f, e->hint, strlen(e->hint), 0);
	}
	fprintf(f, "%s\n", color ? "\033[0m" : "");
}

static void print_one(const struct diag *e, FILE *f, bool color)
{
	bool error = e->severity == DIAG_ERROR, excerpt = e->source && e->line;

	if (color)
		fputs("\033[1m", f);
	if (e->file) {
		text_write(f, e->file, strlen(e->file), 0);
		if (e->line)
			fprintf(f, ":%u", e->line);
		if (e->line && e->column)
			fprintf(f, ":%u", e->column);
		fputs(": ", f);
	}
	if (color)
		fputs(error ? "\033[31m" : "\033[35m", f);
	fputs(error ? "error: " : "warning: ", f);
	if (color)
		fputs("\033[0m", f);
	if (e->message)
		text_write(f, e->message, strlen(e->message), 0);
	else
		fputs("out of memory", f);
	if (e->hint && (!excerpt || !e->column)) {
		fputs("; ", f);
		text_write(f, e->hint, strlen(e->hint), 0);
	}
	fputc('\n', f);
	if (excerpt)
		print_excerpt(e, f, color);
}

void diags_print(const struct diags *d, FILE *f, bool color)
{
	size_t errors = 0, warnings = 0;

	for (size_t i = 0; i < d->n; i++) {
		print_one(&d->list[i], f, color);
		if (d->list[i].severity == DIAG_ERROR)
			errors++;
		else
			warnings++;
	}
	if (errors < d->n_errors)
		fprintf(f, "... and %zu more errors\n", d->n_errors - errors);
	if (warnings < d->n_warnings)
		fprintf(f, "... and %zu more warnings\n", d->n_warnings - warnings);
}

void diags_print_summary(const struct diags *d, FILE *f)
{
	const char *file = d->n ? d->list[0].file : NULL;
	const char *base = file ? strrchr(file, '/') : NULL;

	if (d->n_errors + d->n_warnings == 0)
		return;
	for (size_t i = 1; i < d->n && file; i++)
		if (!d->list[i].file || strcmp(d->list[i].file, file) != 0)
			file = NULL;
	base = !file ? "policy" : base && base[1] ? base + 1 : file;
	text_write(f, base, strlen(base), 0);
	fputs(": ", f);
	if (d->n_errors)
		fprintf(f, "%zu error%s", d->n_errors, d->n_errors == 1 ? "" : "s");
	if (d->n_warnings)
		fprintf(f, "%s%zu warning%s", d->n_errors ? ", " : "", d->n_warnings,
			d->n_warnings == 1 ? "" : "s");
	fputc('.', f);
}
