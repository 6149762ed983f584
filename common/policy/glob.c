/* SPDX-License-Identifier: MIT
 * The glob matcher. fnmatch(3) will not do: it asks the locale, it may allocate, and its time may
 * grow exponentially with the number of stars. */
#include <string.h>
#include "glob.h"

static bool is_special(const struct token *k, size_t i)
{
	return !k->escaped[i] && memchr("*?[", k->text[i], 3);
}

/* Reads one member of a bracket at *i; false at the end of the text. */
static bool member(const struct token *k, size_t to, size_t *i, char *out, size_t *len)
{
	char c;

	if (*i >= to)
		return false;
	c = k->text[*i];
	if (memchr("]\\-!^[", c, 6))
		out[(*len)++] = '\\';
	out[(*len)++] = c;
	(*i)++;
	return true;
}

/* A bracket at *i becomes [ or [!, then single members and ranges, all specials escaped. */
static const char *compile_bracket(const struct token *k, size_t to, char *out, size_t *len,
				   size_t *i)
{
	bool first = true;

	out[(*len)++] = '[';
	(*i)++;
	if (*i < to && k->text[*i] == '!' && !k->escaped[*i]) {
		out[(*len)++] = '!';
		(*i)++;
	} else if (*i < to && k->text[*i] == '^' && !k->escaped[*i]) {
		return "a bracket is negated with [!, not [^";
	}
	for (;; first = false) {
		size_t low = *i;

		if (*i < to && !k->escaped[*i] && k->text[*i] == ']' && !first) {
			out[(*len)++] = ']';
			(*i)++;
			return NULL;
		}
		if (*i + 1 < to && !k->escaped[*i] && k->text[*i] == '[' &&
		    memchr(":.=", k->text[*i + 1], 3))
			return "character classes depend on a locale; list the bytes";
		if (!member(k, to, i, out, len))
			return "unclosed bracket";
		if (*i + 1 >= to || k->escaped[*i] || k->text[*i] != '-' ||
		    (k->text[*i + 1] == ']' && !k->escaped[*i + 1]))
			continue;
		out[(*len)++] = '-';
		(*i)++;
		if ((unsigned char)k->text[low] > (unsigned char)k->text[*i])
			return "range ends before it begins";
		member(k, to, i, out, len);
	}
}

const char *glob_compile(const struct token *k, size_t from, size_t to, char *out, size_t *ret_len,
			 bool *ret_glob, size_t *ret_at)
{
	const char *problem;
	size_t len = 0;

	*ret_glob = false;
	for (size_t i = from; i < to && !*ret_glob; i++)
		*ret_glob = is_special(k, i);
	*ret_len = to - from;
	if (!*ret_glob) {
		memcpy(out, k->text + from, to - from);
		return NULL;
	}
	for (size_t i = from; i < to;) {
		*ret_at = i;
		if (!is_special(k, i)) {
			if (memchr("*?[\\", k->text[i], 4))
				out[len++] = '\\';
			out[len++] = k->text[i++];
		} else if (k->text[i] == '[') {
			if ((problem = compile_bracket(k, to, out, &len, &i)))
				return problem;
		} else {
			if (i + 1 < to && k->text[i] == '*' && k->text[i + 1] == '*' &&
			    !k->escaped[i + 1])
				return "\"**\" is not offered: a star never crosses a slash";
			out[len++] = k->text[i++];
		}
	}
	*ret_len = len;
	return NULL;
}

/* One element of a canonical glob: its length in g, and whether it takes byte c. A star takes
 * none here; the callers know stars. */
static size_t element(const char *g, size_t g_len, unsigned char c, bool *takes)
{
	bool negated, found = false;
	size_t i = 1;

	if (g[0] == '?') {
		*takes = true;
		return 1;
	}
	if (g[0] == '\\' && g_len > 1) {
		*takes = (unsigned char)g[1] == c;
		return 2;
	}
	if (g[0] != '[') {
		*takes = (unsigned char)g[0] == c;
		return 1;
	}
	negated = i < g_len && g[i] == '!';
	i += negated;
	while (i < g_len && g[i] != ']') {
		unsigned char low, high;

		i += g[i] == '\\' && i + 1 < g_len;
		low = high = (unsigned char)g[i++];
		if (i + 1 < g_len && g[i] == '-') {
			i++;
			i += g[i] == '\\' && i + 1 < g_len;
			high = (unsigned char)g[i++];
		}
		found |= c >= low && c <= high;
	}
	*takes = found != negated;
	return i < g_len ? i + 1 : i;
}

/* Only the last star ever needs to be tried again: what an earlier one took can be taken by the
 * later one as well. */
bool glob_match(const char *g, size_t g_len, const char *s, size_t s_len)
{
	size_t i = 0, j = 0, star = SIZE_MAX, star_j = 0;
	bool takes;

	while (j < s_len) {
		if (i < g_len && g[i] == '*') {
			star = ++i;
			star_j = j;
			continue;
		}
		if (i < g_len) {
			size_t n = element(g + i, g_len - i, (unsigned char)s[j], &takes);

			if (takes) {
				i += n;
				j++;
				continue;
			}
		}
		if (star == SIZE_MAX)
			return false;
		i = star;
		j = ++star_j;
	}
	while (i < g_len && g[i] == '*')
		i++;
	return i == g_len;
}

/* Does element a (of length n) take every byte that element b does? */
static bool element_subsumes(const char *a, size_t a_len, const char *b, size_t b_len)
{
	for (unsigned c = 1; c < 256; c++) {
		bool takes_a, takes_b;

		element(b, b_len, (unsigned char)c, &takes_b);
		if (c == '/' || !takes_b)
			continue;
		element(a, a_len, (unsigned char)c, &takes_a);
		if (!takes_a)
			return false;
	}
	return true;
}

/* glob_match() with h for the string: a star of h is a sign that only a star of g takes. That is
 * exact but for runs like `*?`, where it errs towards false. */
bool glob_subsumes(const char *g, size_t g_len, const char *h, size_t h_len)
{
	size_t i = 0, j = 0, star = SIZE_MAX, star_j = 0, n;
	bool takes;

	while (j < h_len) {
		size_t h_n = h[j] == '*' ? 1 : element(h + j, h_len - j, 0, &takes);

		if (i < g_len && g[i] == '*') {
			star = ++i;
			star_j = j;
			continue;
		}
		if (i < g_len && h[j] != '*' &&
		    element_subsumes(g + i, g_len - i, h + j, h_len - j)) {
			n = element(g + i, g_len - i, 0, &takes);
			i += n;
			j += h_n;
			continue;
		}
		if (star == SIZE_MAX)
			return false;
		i = star;
		star_j += h[star_j] == '*' ? 1 : element(h + star_j, h_len - star_j, 0, &takes);
		j = star_j;
	}
	while (i < g_len && g[i] == '*')
		i++;
	return i == g_len;
}
