/* SPDX-License-Identifier: MIT
 * Policy text, paths and the matcher. The input is a policy; lines from one that starts with `?` on
 * are paths to ask about. What is accepted prints and reads back to itself, and each way of
 * evaluating gives one verdict: straight from the policy, as an effective policy, through the
 * printed text. */
#include "fuzz.h"
#include "policy/explain.h"
#include "policy/hull.h"
#include "policy/policy.h"

/* Parses and shows what was wrong; NULL if anything was. */
static struct policy *read_policy(const char *text, size_t len, const struct policy_options *o)
{
	struct policy *p = NULL;
	struct diags d = { 0 };
	_cleanup_free_ char *shown = NULL;
	size_t shown_len;
	FILE *f = open_memstream(&shown, &shown_len);
	int r = policy_parse("fuzz", text, len, o, &d, &p);

	REQUIRE(r == 0 || r == -EBADMSG);
	REQUIRE((r == 0) == (d.n_errors == 0) && (r == 0) == (p != NULL));
	diags_print(&d, f, false);
	diags_print_summary(&d, f);
	fclose(f);
	for (size_t i = 0; i < shown_len; i++)
		REQUIRE(shown[i] == '\n' || (unsigned char)shown[i] >= ' ');
	diags_deinit(&d);
	return p;
}

static char *print(const struct policy *p, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	REQUIRE(policy_print(p, f) == 0);
	fclose(f);
	return text;
}

static void reads_back(const struct policy *p, const struct policy_options *options)
{
	struct policy_options o = *options;
	_cleanup_free_ char *once = NULL, *twice = NULL;
	size_t len, len2;
	struct policy *again;

	o.origins = true;
	once = print(p, &len);
	again = read_policy(once, len, &o);
	REQUIRE(again && policy_n_rules(again) == policy_n_rules(p));
	twice = print(again, &len2);
	REQUIRE(len == len2 && memcmp(once, twice, len) == 0);
	policy_free(again);
}

struct ways {
	struct policy *direct, *reread;
};

static bool same(const struct policy_verdict *a, const struct policy_verdict *b)
{
	return a->reason == b->reason && a->lacked == b->lacked && a->types == b->types &&
	       a->as_root == b->as_root && a->log == b->log && a->single_link == b->single_link &&
	       a->mixed == b->mixed && a->quiet == b->quiet && a->rule == b->rule;
}

static void ask(const struct policy *whole, const struct policy_subject *s, const struct ways *w,
		const char *path, size_t len)
{
	_cleanup_free_ char *shown = NULL;
	size_t shown_len;
	FILE *f = open_memstream(&shown, &shown_len);

	for (unsigned access = 1; access <= WIRE_ANY; access++) {
		struct policy_query q = { .path = path, .len = len, .access = access };
		struct policy_verdict a, b;

		policy_decide(w->direct, &q, &a);
		policy_decide(w->reread, &q, &b);
		REQUIRE(same(&a, &b));
		REQUIRE(a.reason != WIRE_OK || policy_may_look(w->direct, path, len));
		REQUIRE(policy_explain_print(whole, s, "/home/fuzz", &q, f) == 0);
	}
	REQUIRE(policy_may_look(w->direct, path, len) == policy_may_look(w->reread, path, len));
	fclose(f);
	for (size_t i = 0; i < shown_len; i++)
		REQUIRE(shown[i] == '\n' || (unsigned char)shown[i] >= ' ');
}

static void evaluate(const struct policy *p, const char *paths, size_t len)
{
	static const gid_t groups[] = { 2, 3 };
	static const struct policy_options o = { .origins = true, .home = "/home/fuzz" };
	struct policy_subject s = { .uid = 1,
				    .gid = 1,
				    .groups = groups,
				    .n_groups = 2,
				    .unit = "a@1.service",
				    .via = "door" };
	_cleanup_free_ char *text = NULL, *hull = NULL;
	size_t text_len, hull_len, n;
	struct ways w = { 0 };
	FILE *f = open_memstream(&hull, &hull_len);

	REQUIRE(policy_print_effective(p, &s, POLICY_CALLER, &text, &text_len, &n, NULL) == 0);
	REQUIRE(policy_effective(p, &s, POLICY_CALLER, o.home, &w.direct) == 0);
	w.reread = read_policy(text, text_len, &o);
	REQUIRE(w.reread && policy_n_rules(w.reread) == n);
	REQUIRE(policy_print_hull(w.direct, f) == 0);
	fclose(f);
	while (len) {
		const char *end = memchr(paths, '\n', len);
		size_t path_len = end ? (size_t)(end - paths) : len;

		ask(p, &s, &w, paths, path_len);
		paths += path_len + (end != NULL);
		len -= path_len + (end != NULL);
	}
	policy_free(w.direct);
	policy_free(w.reread);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_free_ char *text = malloc(size + 1);
	struct policy_options o = { .units = true, .advice = true };
	size_t len = size;
	struct policy *p;

	REQUIRE(text);
	if (size)
		memcpy(text, data, size);
	for (size_t i = 0; i < size && len == size; i++)
		if (text[i] == '?' && (i == 0 || text[i - 1] == '\n'))
			len = i;
	p = read_policy(text, len, &o);
	if (!p)
		return 0;
	reads_back(p, &o);
	evaluate(p, len < size ? text + len + 1 : "", len < size ? size - len - 1 : 0);
	policy_free(p);
	return 0;
}
