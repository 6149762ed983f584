/* SPDX-License-Identifier: MIT
 * A policy's life, and the selection of the rules that apply to a subject. */
#include "index.h"
#include "pattern.h"
#include "subject.h"

struct store *store_ref(struct store *s)
{
	s->refs++;
	return s;
}

struct store *store_unref(struct store *s)
{
	if (s && --s->refs == 0) {
		arena_deinit(&s->arena);
		free(s);
	}
	return NULL;
}

/* Cuts a home directory into segments. "/" is no home: a daemon's account that has it there must
 * not turn `~` into everything. */
static int set_home(struct policy *p, const char *home)
{
	size_t len = home ? strlen(home) : 0;
	struct segment *segments;
	bool more = true;
	const char *rest;

	if (len <= 1)
		return len == 0 || home[0] == '/' ? 0 : -EINVAL;
	if (!path_is_normal(home, len))
		return -EINVAL;
	p->home_text = strdup(home);
	segments = calloc(len / 2 + 1, sizeof *segments);
	p->home.segments = segments;
	if (!p->home_text || !segments)
		return -ENOMEM;
	rest = p->home_text + 1;
	len--;
	while (more) {
		struct segment *s = &segments[p->home.n_segments++];

		s->text = rest;
		s->len = (uint32_t)path_segment(&rest, &len, &more);
	}
	return 0;
}

int policy_new(struct store *store, struct rule *const *rules, size_t n, const char *home,
	       struct policy **ret)
{
	_cleanup_(policy_freep) struct policy *p = calloc(1, sizeof *p);
	int r;

	if (!p)
		return -ENOMEM;
	p->store = store_ref(store);
	p->rules = calloc(n ? n : 1, sizeof *p->rules);
	p->plans = calloc(1, sizeof *p->plans);
	if (!p->rules || !p->plans)
		return -ENOMEM;
	if (n)
		memcpy(p->rules, rules, n * sizeof *p->rules);
	p->n_rules = n;
	if ((r = set_home(p, home)) < 0 || (r = index_build(p)) < 0)
		return r;
	*ret = take_ptr(p);
	return 0;
}

struct policy *policy_free(struct policy *p)
{
	if (!p)
		return NULL;
	index_deinit(&p->index);
	if (p->plans)
		arena_deinit(p->plans);
	free(p->plans);
	free((void *)p->home.segments);
	free(p->home_text);
	free(p->rules);
	store_unref(p->store);
	free(p);
	return NULL;
}

bool policy_uses_units(const struct policy *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i]->who.kinds[WHO_UNIT].n)
			return true;
	return false;
}

size_t policy_n_rules(const struct policy *p)
{
	return p->n_rules;
}

const char *policy_origin(const struct policy *p, size_t i)
{
	return p->rules[i]->origin;
}

unsigned policy_granted(const struct policy *p, bool root)
{
	unsigned access = 0;

	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i]->allow && p->rules[i]->as_root == root)
			access |= p->rules[i]->access;
	return access;
}

int policy_select(const struct policy *p, const struct policy_subject *s, enum policy_part part,
		  struct rule ***ret, size_t *ret_n)
{
	_cleanup_free_ struct rule **rules = calloc(p->n_rules + 1, sizeof *rules);
	_cleanup_(subject_deinit) struct subject subject = { 0 };
	size_t n = 0;
	int r;

	if (!rules)
		return -ENOMEM;
	if ((r = subject_init(&subject, s)) < 0)
		return r;
	for (size_t i = 0; i < p->n_rules; i++) {
		struct rule *rule = p->rules[i];

		if (part == POLICY_LENDER && rule->allow && !rule->as_root)
			continue;
		if (rule_applies(rule, &subject))
			rules[n++] = rule;
	}
	*ret = take_ptr(rules);
	*ret_n = n;
	return 0;
}

int policy_effective(const struct policy *p, const struct policy_subject *s, enum policy_part part,
		     const char *home, struct policy **ret)
{
	_cleanup_free_ struct rule **rules = NULL;
	size_t n;
	int r = policy_select(p, s, part, &rules, &n);

	return r < 0 ? r : policy_new(p->store, rules, n, home, ret);
}
