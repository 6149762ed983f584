/* SPDX-License-Identifier: MIT
 * One pattern at a time. A path is always cut at its slashes first, then segment is compared with
 * segment: so /a can never match /ab, and no glob can cross a slash. */
#include "glob.h"
#include "pattern.h"
#include "text.h"

static int fail_at(const struct tokenizer *t, const struct token *k, size_t from, size_t to,
		   struct diags *diags, const char *hint, const char *message)
{
	struct token part = token_slice(k, from, to);
	struct diag_place where = token_place(t, &part);

	diags_add(diags, DIAG_ERROR, &where, hint, "%s", message);
	return -EBADMSG;
}

static bool is_dots(const char *s, size_t len)
{
	return len >= 1 && len <= 2 && s[0] == '.' && s[len - 1] == '.';
}

/* Reads the segment of k between from and to. */
static int parse_segment(struct arena *a, const struct tokenizer *t, const struct token *k,
			 size_t from, size_t to, bool globs, struct diags *diags,
			 struct segment *ret)
{
	char *text = arena_alloc(a, (to - from) * 2 + 1);
	const char *problem;
	size_t len, at = from;

	if (!text)
		return -ENOMEM;
	if (to == from)
		return fail_at(t, k, from - 1, from + 1, diags, NULL, "\"//\" in a path");
	if (is_dots(k->text + from, to - from))
		return fail_at(t, k, from, to, diags, "name the place itself",
			       "\".\" or \"..\" in a path");
	problem = glob_compile(k, from, to, text, &len, &ret->glob, &at);
	if (problem)
		return fail_at(t, k, at, at + 1, diags,
			       k->text[at] == '*' ? "\"under\" covers everything below" : NULL,
			       problem);
	if (ret->glob && !globs)
		return fail_at(t, k, from, to, diags, "a backslash makes it an ordinary byte",
			       "a pattern where one path is wanted");
	ret->text = text;
	ret->len = (uint32_t)len;
	return 0;
}

static int check_start(const struct tokenizer *t, const struct token *k, struct diags *diags)
{
	struct diag_place where = token_place(t, k);
	bool home = k->len && k->text[0] == '~' && !k->escaped[0];

	if (k->list) {
		diags_add(diags, DIAG_ERROR, &where, "blanks, not commas, separate paths",
			  "a list of quoted words where a path is wanted");
		return -EBADMSG;
	}
	if (k->len && k->text[0] == '/')
		return 0;
	if (home && (k->len == 1 || k->text[1] == '/'))
		return 0;
	if (home)
		diags_add(diags, DIAG_ERROR, &where,
			  "~ is the caller's own home; write another's path out",
			  "\"~user\" is not offered");
	else
		diags_add(diags, DIAG_ERROR, &where, "it starts with / or ~/",
			  "a path is wanted, not \"%.*s\"", (int)UTIL_MIN(k->len, (size_t)80),
			  k->text);
	return -EBADMSG;
}

int pattern_parse(struct arena *a, const struct tokenizer *t, const struct token *k, bool globs,
		  struct diags *diags, struct pattern *ret)
{
	struct segment *segments;
	size_t begin, end, n = 0;
	int r = check_start(t, k, diags);

	if (r < 0)
		return r;
	*ret = (struct pattern){ .home = k->text[0] == '~', .column = k->column, .span = k->span };
	if (k->len > WIRE_PATH_MAX * 4)
		return fail_at(t, k, 0, k->len, diags, NULL, "longer than any path can be");
	begin = ret->home + 1;
	end = k->len;
	if (end > begin && k->text[end - 1] == '/') {
		if (k->text[end - 2] == '/')
			return fail_at(t, k, end - 2, end, diags, NULL, "\"//\" in a path");
		end--;
	}
	for (size_t i = begin; i < end; i++)
		n += k->text[i] == '/';
	segments = arena_alloc(a, (n + 1) * sizeof *segments);
	if (!segments)
		return -ENOMEM;
	ret->segments = segments;
	for (size_t i = begin; begin < end && i <= end; i++) {
		if (i < end && k->text[i] != '/')
			continue;
		r = parse_segment(a, t, k, begin, i, globs, diags, &segments[ret->n_segments]);
		if (r < 0)
			return r;
		ret->n_segments++;
		begin = i + 1;
	}
	return 0;
}

size_t path_segment(const char **path, size_t *len, bool *more)
{
	const char *end = memchr(*path, '/', *len);
	size_t n = end ? (size_t)(end - *path) : *len;

	*more = end != NULL;
	*path += n + (end != NULL);
	*len -= n + (end != NULL);
	return n;
}

bool path_is_normal(const char *path, size_t len)
{
	bool more = true;

	if (len == 0 || path[0] != '/' || memchr(path, 0, len))
		return false;
	if (len == 1)
		return true;
	path++;
	len--;
	while (more) {
		const char *s = path;
		size_t n = path_segment(&path, &len, &more);

		if (n == 0 || is_dots(s, n))
			return false;
	}
	return true;
}

static bool segment_matches(const struct segment *g, const char *s, size_t len)
{
	if (g->glob)
		return glob_match(g->text, g->len, s, len);
	return g->len == len && memcmp(g->text, s, len) == 0;
}

enum relation { APART, PATH_ABOVE, SAME, PATH_BELOW };

/* How a path stands to n segments, then to n more: a home and what follows it. */
static enum relation compare(const struct pattern *p, const struct pattern *home, const char *path,
			     size_t len)
{
	size_t lead = p->home ? home->n_segments : 0, n = lead + p->n_segments;
	bool more = len > 1;

	path++;
	len--;
	for (size_t i = 0; i < n; i++) {
		const struct segment *g = i < lead ? &home->segments[i] : &p->segments[i - lead];
		const char *s = path;
		size_t s_len;

		if (!more)
			return PATH_ABOVE;
		s_len = path_segment(&path, &len, &more);
		if (!segment_matches(g, s, s_len))
			return APART;
	}
	return more ? PATH_BELOW : SAME;
}

bool pattern_matches(const struct pattern *p, const struct pattern *home, const char *path,
		     size_t len, bool below)
{
	enum relation r;

	if (p->home && home->n_segments == 0)
		return false;
	r = compare(p, home, path, len);
	return r == SAME || (below && r == PATH_BELOW);
}

bool pattern_may_match_below(const struct pattern *p, const struct pattern *home, const char *path,
			     size_t len)
{
	return (!p->home || home->n_segments) && compare(p, home, path, len) == PATH_ABOVE;
}

static bool segment_subsumes(const struct segment *outer, const struct segment *inner)
{
	if (!inner->glob)
		return segment_matches(outer, inner->text, inner->len);
	return outer->glob && glob_subsumes(outer->text, outer->len, inner->text, inner->len);
}

static bool is_prefix(const struct pattern *outer, const struct pattern *inner)
{
	if (outer->home != inner->home || outer->n_segments > inner->n_segments)
		return false;
	for (size_t i = 0; i < outer->n_segments; i++)
		if (!segment_subsumes(&outer->segments[i], &inner->segments[i]))
			return false;
	return true;
}

bool pattern_contains(const struct pattern *outer, const struct pattern *inner)
{
	return is_prefix(outer, inner) && (outer->tree || outer->n_segments == inner->n_segments);
}

bool pattern_subsumes(const struct pattern *outer, const struct pattern *inner)
{
	return pattern_contains(outer, inner) && (outer->tree || !inner->tree);
}

/* A canonical glob's bytes: its own backslashes stay, what cannot be shown becomes \xHH. */
static void print_glob(FILE *f, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		bool escaped = s[i] == '\\' && i + 1 < len;
		size_t n = text_printable(s + i + escaped, len - i - escaped);

		i += escaped;
		if (n && s[i] == '"')
			n = 0;
		if (n && escaped)
			fputc('\\', f);
		if (n == 0)
			fprintf(f, "\\x%02x", (unsigned)(unsigned char)s[i]);
		else
			fwrite(s + i, 1, n, f);
		i += n ? n : 1;
	}
}

static void print_literal(FILE *f, const char *s, size_t len)
{
	for (size_t i = 0; i < len;) {
		size_t n = text_printable(s + i, len - i);

		if (n == 0)
			fprintf(f, "\\x%02x", (unsigned)(unsigned char)s[i]);
		else if (n == 1 && memchr("*?[\\\"", s[i], 5))
			fprintf(f, "\\%c", s[i]);
		else
			fwrite(s + i, 1, n, f);
		i += n ? n : 1;
	}
}

static bool has_blank(const struct pattern *p)
{
	for (size_t i = 0; i < p->n_segments; i++)
		if (memchr(p->segments[i].text, ' ', p->segments[i].len))
			return true;
	return false;
}

void pattern_print(FILE *f, const struct pattern *p)
{
	bool quoted = has_blank(p);

	if (quoted)
		fputc('"', f);
	if (p->home)
		fputc('~', f);
	if (!p->home && p->n_segments == 0)
		fputc('/', f);
	for (size_t i = 0; i < p->n_segments; i++) {
		fputc('/', f);
		if (p->segments[i].glob)
			print_glob(f, p->segments[i].text, p->segments[i].len);
		else
			print_literal(f, p->segments[i].text, p->segments[i].len);
	}
	if (quoted)
		fputc('"', f);
}
