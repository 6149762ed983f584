/* SPDX-License-Identifier: MIT
 * Globs: three lines, two globs as a policy has them and a text. Matching agrees with a matcher
 * that just tries everything, and a glob that is said to cover the other matches what it matches.
 */
#include "fuzz.h"
#include "policy/glob.h"

enum { LONG = 40, STARS = 5 };

struct compiled {
	char text[2 * LONG];
	size_t len;
	bool glob;
};

static bool in_class(const char **g, const char *end, char c)
{
	bool negated = false, in = false;
	const char *p = *g + 1;

	if (*p == '!') {
		negated = true;
		p++;
	}
	while (p < end && *p != ']') {
		unsigned char low, high;

		p += *p == '\\';
		low = high = (unsigned char)*p++;
		if (p + 1 < end && *p == '-' && p[1] != ']') {
			p++;
			p += *p == '\\';
			high = (unsigned char)*p++;
		}
		in |= (unsigned char)c >= low && (unsigned char)c <= high;
	}
	*g = p + 1;
	return in != negated;
}

static bool tries_all(const char *g, const char *g_end, const char *s, const char *s_end)
{
	if (g == g_end)
		return s == s_end;
	if (*g == '*')
		return tries_all(g + 1, g_end, s, s_end) ||
		       (s < s_end && tries_all(g, g_end, s + 1, s_end));
	if (s == s_end)
		return false;
	if (*g == '?')
		return tries_all(g + 1, g_end, s + 1, s_end);
	if (*g == '[')
		return in_class(&g, g_end, *s) && tries_all(g, g_end, s + 1, s_end);
	g += *g == '\\';
	return *g == *s && tries_all(g + 1, g_end, s + 1, s_end);
}

static bool compile(const struct token *k, struct compiled *ret)
{
	size_t at = 0, stars = 0;
	const char *wrong;

	if (k->len > LONG)
		return false;
	wrong = glob_compile(k, 0, k->len, ret->text, &ret->len, &ret->glob, &at);
	REQUIRE(ret->len <= sizeof ret->text);
	REQUIRE(!wrong || (at <= k->len && is_clean_line(wrong)));
	for (size_t i = 0; !wrong && i < ret->len; i++)
		stars += ret->text[i] == '*';
	return !wrong && ret->glob && stars <= STARS;
}

/* The line's only word. */
static bool read_glob(struct tokenizer *t, struct compiled *ret)
{
	struct diags d = { 0 };
	int r = tokenizer_next(t, &d);

	REQUIRE(r >= 0 || d.n_errors);
	diags_deinit(&d);
	return r > 0 && t->n == 1 && compile(&t->tokens[0], ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = exactly(data, size);
	struct tokenizer t = { 0 };
	struct compiled g[2];
	bool matches[2], ok;

	tokenizer_begin(&t, "fuzz", text, size, TOKENS_LINE_MAX);
	ok = read_glob(&t, &g[0]) && read_glob(&t, &g[1]) && t.rest_len <= LONG;
	for (int i = 0; i < 2 && ok; i++) {
		matches[i] = glob_match(g[i].text, g[i].len, t.rest, t.rest_len);
		REQUIRE(matches[i] ==
			tries_all(g[i].text, g[i].text + g[i].len, t.rest, t.rest + t.rest_len));
	}
	/* What it promises is of segments, in which there is neither. */
	ok = ok && !memchr(t.rest, '/', t.rest_len) && !memchr(t.rest, 0, t.rest_len);
	if (ok && glob_subsumes(g[0].text, g[0].len, g[1].text, g[1].len))
		REQUIRE(matches[0] || !matches[1]);
	tokenizer_deinit(&t);
	return 0;
}
