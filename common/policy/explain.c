/* SPDX-License-Identifier: MIT
 * Explaining. Rules that do not concern the asker are tried here as nowhere else, one by one: the
 * question is what would have to be otherwise. */
#include "explain.h"
#include "index.h"
#include "parse.h"
#include "pattern.h"
#include "print.h"
#include "text.h"

struct asker {
	const struct policy *whole, *effective; /* the latter knows the home */
	const struct policy_query *query;
	struct subject subject;
};

static bool names_path(const struct asker *a, const struct rule *rule)
{
	const struct policy_query *q = a->query;
	const struct pattern *home = &a->effective->home;
	bool named = false;

	for (size_t i = 0; i < rule->n_objects && !named; i++)
		named = pattern_matches(&rule->objects[i], home, q->path, q->len,
					rule->objects[i].tree);
	for (size_t i = 0; i < rule->n_excepts && named; i++)
		named = !pattern_matches(&rule->excepts[i], home, q->path, q->len, true);
	return named && !rule_is_dead(a->effective, rule);
}

static unsigned find_lacks(const struct asker *a, const struct rule *rule)
{
	const struct policy_query *q = a->query;
	unsigned need = q->access & WIRE_CREATE ? (unsigned)WIRE_CREATE : q->access, lacks = 0;

	for (int kind = 0; kind < WHO_KINDS; kind++)
		if (!kind_applies(&rule->who, (enum who_kind)kind, &a->subject))
			lacks |= 1u << kind;
	if (need & ~rule->access)
		lacks |= LACK_ACCESS;
	else if (q->type && !(rule_types(rule, q->access) & q->type))
		lacks |= LACK_TYPE;
	else if (rule->single_link && q->links > 1)
		lacks |= LACK_LINKS;
	return names_path(a, rule) ? lacks : lacks | LACK_PATH;
}

static int write_rule(const struct rule *rule, char **ret)
{
	size_t len;
	FILE *f = text_open(ret, &len);

	if (!f)
		return -ENOMEM;
	rule_print(f, rule, NULL);
	return text_close(f, ret);
}

static int fill(const struct asker *a, const struct rule *rule, unsigned lacks,
		struct policy_near *ret)
{
	unsigned need = a->query->access;
	int r = write_rule(rule, &ret->text);

	ret->lacks = lacks;
	ret->access = (need & WIRE_CREATE ? (unsigned)WIRE_CREATE : need) & ~rule->access;
	ret->origin = strdup(rule->origin);
	for (int kind = 0; kind < WHO_KINDS && r == 0; kind++)
		if (lacks & 1u << kind)
			r = names_print(rule, (enum who_kind)kind, &ret->who[kind].wanted);
	return ret->origin ? r : -ENOMEM;
}

/* A rule of another path is near only when none names this one; then the deepest in the tree is. */
static unsigned distance(unsigned lacks)
{
	return (unsigned)__builtin_popcount(lacks) + (lacks & LACK_PATH ? 16 : 0);
}

static int find_near(const struct asker *a, struct policy_explanation *e)
{
	unsigned least = 16;
	int r = 0;

	for (size_t i = 0; i < a->whole->n_rules; i++) {
		const struct rule *rule = a->whole->rules[i];

		if (rule->allow && !rule->nobody)
			least = UTIL_MIN(least, distance(find_lacks(a, rule)));
	}
	for (size_t i = 0; i < a->whole->n_rules && least < 16 && r == 0; i++) {
		const struct rule *rule = a->whole->rules[i];
		unsigned lacks = rule->allow && !rule->nobody ? find_lacks(a, rule) : ~0u;

		if (distance(lacks) == least && e->n_near < POLICY_NEAR_MAX)
			r = fill(a, rule, lacks, &e->near[e->n_near++]);
	}
	return r;
}

/* No rule names the path: the nearest of those that apply, else of all. */
static int find_elsewhere(const struct asker *a, struct policy_explanation *e)
{
	const struct rule *rule = NULL;
	struct policy_verdict v;

	policy_decide(a->whole, a->query, &v);
	if (e->verdict.rule >= 0)
		rule = a->effective->rules[e->verdict.rule];
	else if (v.reason == WIRE_NO_RULE && v.rule >= 0)
		rule = a->whole->rules[v.rule];
	return rule ? fill(a, rule, find_lacks(a, rule), &e->near[e->n_near++]) : 0;
}

static int find_number(const struct policy *whole, const struct rule *rule)
{
	for (size_t i = 0; i < whole->n_rules; i++)
		if (whole->rules[i] == rule)
			return (int)i;
	return -1;
}

static int explain(struct asker *a, struct policy_explanation *e)
{
	const struct rule *rule;
	int r;

	policy_decide(a->effective, a->query, &e->verdict);
	rule = e->verdict.rule >= 0 ? a->effective->rules[e->verdict.rule] : NULL;
	if (e->verdict.reason == WIRE_OK || e->verdict.reason == WIRE_DENIED)
		r = fill(a, rule, 0, &e->decided);
	else if ((r = find_near(a, e)) == 0 && e->n_near == 0)
		r = find_elsewhere(a, e);
	e->verdict.rule = rule ? find_number(a->whole, rule) : -1;
	return r;
}

int policy_explain(const struct policy *whole, const struct policy_subject *s, const char *home,
		   const struct policy_query *q, struct policy_explanation *ret)
{
	_cleanup_(policy_freep) struct policy *effective = NULL;
	struct asker a = { .whole = whole, .query = q };
	int r = policy_effective(whole, s, POLICY_CALLER, home, &effective);

	*ret = (struct policy_explanation){ .verdict = { .reason = WIRE_NO_RULE, .rule = -1 } };
	if (r < 0 || (r = subject_init(&a.subject, s)) < 0)
		return r;
	a.effective = effective;
	r = explain(&a, ret);
	subject_deinit(&a.subject);
	if (r < 0)
		policy_explanation_deinit(ret);
	return r;
}

static void near_deinit(struct policy_near *n)
{
	free(n->origin);
	free(n->text);
	for (int kind = 0; kind < WHO_KINDS; kind++)
		free(n->who[kind].wanted);
	*n = (struct policy_near){ 0 };
}

void policy_explanation_deinit(struct policy_explanation *e)
{
	near_deinit(&e->decided);
	for (size_t i = 0; i < e->n_near; i++)
		near_deinit(&e->near[i]);
	e->n_near = 0;
}

static void print_rule(FILE *f, const char *what, const struct policy_near *n)
{
	fprintf(f, "%s ", what);
	text_write(f, n->origin, strlen(n->origin), 0);
	fprintf(f, "\n    %s\n", n->text);
}

static void print_is(FILE *f, const struct policy_subject *s, int kind)
{
	const char *is = kind == WHO_UNIT ? s->unit : s->via;

	if (kind == WHO_USER && s->uid != (uid_t)-1) {
		fprintf(f, "; the client is %u", (unsigned)s->uid);
	} else if (kind >= WHO_UNIT && is) {
		fputs("; the client is ", f);
		text_write(f, is, strlen(is), 0);
	} else if (kind >= WHO_UNIT) {
		fputs("; the client's is not known", f);
	}
}

static void print_lacks(FILE *f, const struct policy_subject *s, const struct policy_near *n)
{
	for (int kind = 0; kind < WHO_KINDS; kind++) {
		if (!(n->lacks & 1u << kind))
			continue;
		fprintf(f, "    lacks: it is for %s %s", kind_word((enum who_kind)kind),
			n->who[kind].wanted);
		print_is(f, s, kind);
		fputc('\n', f);
	}
	if (n->lacks & LACK_ACCESS) {
		fputs("    lacks: ", f);
		print_access(f, n->access);
		fputc('\n', f);
	}
	if (n->lacks & LACK_TYPE)
		fputs("    lacks: this type of file\n", f);
	if (n->lacks & LACK_LINKS)
		fputs("    lacks: the file has more than one link\n", f);
	if (n->lacks & LACK_PATH)
		fputs("    lacks: it names another path\n", f);
}

int policy_explain_print(const struct policy *whole, const struct policy_subject *s,
			 const char *home, const struct policy_query *q, FILE *f)
{
	_cleanup_(policy_explanation_deinit) struct policy_explanation e;
	const struct policy_verdict *v = &e.verdict;
	int r = policy_explain(whole, s, home, q, &e);

	if (r < 0)
		return r;
	if (v->reason == WIRE_OK)
		fprintf(f, "allowed as %s%s%s\n", v->as_root ? "root" : "caller",
			v->log ? ", logged" : "", v->single_link ? ", if it has one link" : "");
	else
		fprintf(f, "denied: %s\n", wire_strreason(v->reason));
	if (e.decided.text)
		print_rule(f, "by", &e.decided);
	for (size_t i = 0; i < e.n_near; i++) {
		print_rule(f, "nearest", &e.near[i]);
		print_lacks(f, s, &e.near[i]);
	}
	return ferror(f) ? -EIO : 0;
}
