/* SPDX-License-Identifier: MIT
 * Expectations: tests that live in the policy. They are proved whenever it is loaded, with the
 * evaluator that serves requests, and a policy that fails one is not loaded. An expectation spells
 * an identity out, groups included, and asks no account database about it: what it proves is the
 * policy's text, and a change of /etc/group can not keep a policy from being loaded at boot. */
#include <pwd.h>
#include "home.h"
#include "parse.h"
#include "text.h"

static int append(struct parser *p, const struct expectation *e, const struct token *verdict)
{
	if (p->n_expects == POLICY_EXPECTS_MAX)
		return parser_error(p, verdict, NULL, "more than %d expectations",
				    POLICY_EXPECTS_MAX);
	if (p->n_expects == p->expects_room) {
		size_t room = p->expects_room ? p->expects_room * 2 : 16;
		void *n;

		if (!(n = reallocarray(p->expects, room, sizeof *p->expects)))
			return -ENOMEM;
		p->expects = n;
		if (!(n = reallocarray(p->expect_places, room, sizeof *p->expect_places)))
			return -ENOMEM;
		p->expect_places = n;
		p->expects_room = room;
	}
	p->expect_places[p->n_expects] = (struct place){ .file = p->t.file,
							 .line = p->t.number,
							 .source = p->t.line,
							 .source_len = p->t.line_len,
							 .column = verdict->column,
							 .span = verdict->span };
	p->expects[p->n_expects++] = *e;
	return 0;
}

static int parse_path(struct parser *p, struct expectation *e)
{
	const struct token *k = parser_take(p);
	struct pattern pattern;
	size_t len = 0;
	char *path;
	int r;

	if (!k || !k->len || k->text[0] != '/')
		return parser_error(p, k, NULL, "an absolute path is wanted");
	r = pattern_parse(&p->store->arena, &p->t, k, false, p->diags, &pattern);
	if (r < 0)
		return r;
	path = arena_alloc(&p->store->arena, k->len + 2);
	if (!path)
		return -ENOMEM;
	for (size_t i = 0; i < pattern.n_segments; i++) {
		path[len++] = '/';
		memcpy(path + len, pattern.segments[i].text, pattern.segments[i].len);
		len += pattern.segments[i].len;
	}
	if (len == 0)
		path[len++] = '/';
	e->path = path;
	e->path_len = len;
	return 0;
}

int parse_expect(struct parser *p)
{
	static const char *const verdicts[] = { "allow", "deny", NULL };
	const struct token *verdict = parser_take(p), *k;
	struct expectation e = { .allow = token_is(verdict, "allow") };
	bool nobody;
	int r;

	if (!verdict || (!e.allow && !token_is(verdict, "deny")))
		return verdict ? parser_unknown(p, verdict, "allow or deny is wanted, not",
						verdicts)
			       : parser_error(p, NULL, NULL, "allow or deny is wanted");
	if ((r = parse_access(p, parser_take(p), &e.access)) < 0 || (r = parse_path(p, &e)) < 0)
		return r;
	if (!token_is(k = parser_take(p), "for"))
		return parser_error(p, k, "\"for user NAME\"", "\"for\" is wanted");
	if ((r = parse_who(p, true, true, &e.who, &nobody)) < 0)
		return r;
	if ((k = parser_peek(p)))
		return parser_error(p, k, NULL, "an expectation ends behind its identity");
	e.origin = parse_origin(p);
	return e.origin ? append(p, &e, verdict) : -ENOMEM;
}

/* The identity that an expectation spells out. groups has room for all. */
static void identify(const struct expectation *e, gid_t *groups, struct policy_subject *ret)
{
	const struct who *who = &e->who;

	*ret = (struct policy_subject){ .uid = (uid_t)-1, .gid = (gid_t)-1, .groups = groups };
	if (who->kinds[WHO_USER].n)
		ret->uid = who->kinds[WHO_USER].list[0].id;
	for (size_t i = 0; i < who->kinds[WHO_GROUP].n; i++)
		groups[ret->n_groups++] = who->kinds[WHO_GROUP].list[i].id;
	if (ret->n_groups)
		ret->gid = groups[0];
	if (who->kinds[WHO_UNIT].n)
		ret->unit = who->kinds[WHO_UNIT].list[0].text;
	if (who->kinds[WHO_VIA].n)
		ret->via = who->kinds[WHO_VIA].list[0].text;
}

/* Writes why the verdict is what it is, naming the rule. */
static void explain(const struct policy *effective, const struct policy_verdict *v, char *buf,
		    size_t size)
{
	const char *origin = v->rule >= 0 ? policy_origin(effective, (size_t)v->rule) : NULL;

	if (v->reason == WIRE_OK)
		snprintf(buf, size, "%s allows it", origin);
	else if (v->reason == WIRE_DENIED)
		snprintf(buf, size, "%s denies it", origin);
	else if (v->reason == WIRE_ACCESS)
		snprintf(buf, size, "%s names it, but not for this access", origin);
	else if (origin)
		snprintf(buf, size, "no rule allows it; the nearest is %s", origin);
	else
		snprintf(buf, size, "no rule allows it");
}

static int prove(struct parser *p, const struct policy *effective, size_t i)
{
	const struct expectation *e = &p->expects[i];
	const struct place *at = &p->expect_places[i];
	struct policy_query q = { .path = e->path, .len = e->path_len, .access = e->access };
	struct diag_place where = { .file = at->file,
				    .line = at->line,
				    .column = at->column,
				    .span = at->span,
				    .source = at->source,
				    .source_len = at->source_len };
	struct policy_verdict v;
	char why[512];

	policy_decide(effective, &q, &v);
	if ((v.reason == WIRE_OK) == e->allow)
		return 0;
	explain(effective, &v, why, sizeof why);
	diags_add(p->diags, DIAG_ERROR, &where, why, "expected %s, but the policy %s",
		  e->allow ? "allow" : "deny", e->allow ? "denies" : "allows");
	return -EBADMSG;
}

static bool same_name(const struct name *a, const struct name *b, bool id)
{
	return id ? a->id == b->id : a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}

static bool same_who(const struct who *a, const struct who *b)
{
	for (int kind = 0; kind < WHO_KINDS; kind++) {
		if (a->kinds[kind].n != b->kinds[kind].n)
			return false;
		for (size_t i = 0; i < a->kinds[kind].n; i++)
			if (!same_name(&a->kinds[kind].list[i], &b->kinds[kind].list[i],
				       kind <= WHO_GROUP))
				return false;
	}
	return true;
}

/* Homes may be far away, so nobody goes there for nothing. */
static bool has_home(const struct pattern *patterns, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (patterns[i].home)
			return true;
	return false;
}

static bool uses_home(const struct policy *policy)
{
	for (size_t i = 0; i < policy->n_rules; i++)
		if (has_home(policy->rules[i]->objects, policy->rules[i]->n_objects))
			return true;
	return false;
}

static int make_effective(struct parser *p, const struct policy *policy,
			  const struct expectation *e, struct policy **ret)
{
	_cleanup_free_ gid_t *groups = calloc(e->who.kinds[WHO_GROUP].n + 1, sizeof *groups);
	_cleanup_free_ char *home = NULL;
	struct policy_subject subject;
	int r;

	if (!groups)
		return -ENOMEM;
	identify(e, groups, &subject);
	if (p->options->resolve_names && subject.uid != (uid_t)-1 && uses_home(policy) &&
	    (r = policy_home(subject.uid, &home)) < 0)
		return r;
	return policy_effective(policy, &subject, POLICY_CALLER, home, ret);
}

/* Neighbours are mostly about one identity, whose rules are selected once. */
int expect_prove(struct parser *p, const struct policy *policy)
{
	_cleanup_(policy_freep) struct policy *effective = NULL;
	int r, result = 0;

	for (size_t i = 0; i < p->n_expects; i++) {
		if (i == 0 || !same_who(&p->expects[i].who, &p->expects[i - 1].who)) {
			effective = policy_free(effective);
			r = make_effective(p, policy, &p->expects[i], &effective);
			if (r < 0)
				return r;
		}
		if ((r = prove(p, effective, i)) < 0)
			result = r;
	}
	return result;
}
