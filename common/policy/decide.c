/* SPDX-License-Identifier: MIT
 * The evaluator: the one place that says yes. It runs in worker and lender under a filter that
 * kills on mmap and brk, so it allocates nothing, and on bytes that a client chose, so it takes
 * any. Deny wins, then allow, otherwise denied; one allow must cover the whole request. */
#include "index.h"
#include "pattern.h"

enum miss { MISS_NONE, MISS_ACCESS, MISS_LINKS, MISS_TYPE };

struct scan {
	struct index_visitor visitor;
	const struct policy *policy;
	const struct policy_query *query;
	unsigned need; /* what one allow has to have */
	struct policy_verdict *verdict;

	int deny, near;
	bool deny_loud;
	unsigned near_depth;
	unsigned granted; /* by any allow that names the path */
	enum miss miss;
	int miss_rule;
	unsigned miss_bits;	  /* of need that miss_rule has */
	const struct rule *first; /* matching allow */
	int caller_rule, root_rule;
};

static bool is_excepted(const struct policy *p, const struct rule *rule, const char *path,
			size_t len)
{
	for (size_t i = 0; i < rule->n_excepts; i++)
		if (pattern_matches(&rule->excepts[i], &p->home, path, len, true))
			return true;
	return false;
}

/* Of rules that do not quite match, the one to be named lacks least; ties go to the first. */
static void note_miss(struct scan *s, enum miss miss, unsigned bits, int number)
{
	bool better = miss > s->miss || (miss == s->miss && bits > s->miss_bits) ||
		      (miss == s->miss && bits == s->miss_bits && number < s->miss_rule);

	if (better) {
		s->miss = miss;
		s->miss_bits = bits;
		s->miss_rule = number;
	}
}

static void lower(int *number, int candidate)
{
	if (*number < 0 || candidate < *number)
		*number = candidate;
}

static void match_allow(struct scan *s, const struct rule *rule, int number)
{
	struct policy_verdict *v = s->verdict;
	unsigned types = rule_types(rule, s->query->access);

	if (!s->first) {
		s->first = rule;
		v->single_link = true;
	}
	if (rule->as_root != s->first->as_root || rule->log != s->first->log ||
	    rule->types != s->first->types || rule->single_link != s->first->single_link)
		v->mixed = true;
	v->types |= types;
	v->as_root |= rule->as_root;
	v->log |= rule->log;
	v->single_link &= rule->single_link;
	lower(rule->as_root ? &s->root_rule : &s->caller_rule, number);
}

static void see_allow(struct scan *s, const struct rule *rule, int number)
{
	const struct policy_query *q = s->query;
	unsigned has = rule->access & s->need;

	if (rule->as_root && q->caller_only)
		return;
	s->granted |= has;
	if (has != s->need)
		note_miss(s, MISS_ACCESS, (unsigned)__builtin_popcount(has), number);
	else if (q->type && !(rule_types(rule, q->access) & q->type))
		note_miss(s, MISS_TYPE, 0, number);
	else if (rule->single_link && q->links > 1)
		note_miss(s, MISS_LINKS, 0, number);
	else
		match_allow(s, rule, number);
}

static void see_deny(struct scan *s, const struct rule *rule, int number)
{
	if (!(rule->access & s->query->access))
		return;
	lower(&s->deny, number);
	s->deny_loud |= !rule->quiet;
}

static void see_entry(struct index_visitor *v, const struct index_entry *entry, bool at_end)
{
	struct scan *s = (struct scan *)v;
	const struct rule *rule = s->policy->rules[entry->rule];

	(void)at_end;
	if (rule->n_excepts && is_excepted(s->policy, rule, s->query->path, s->query->len))
		return;
	if (rule->allow)
		see_allow(s, rule, (int)entry->rule);
	else
		see_deny(s, rule, (int)entry->rule);
}

static void see_node(struct index_visitor *v, const struct index_node *node, unsigned depth,
		     bool at_end)
{
	struct scan *s = (struct scan *)v;

	(void)at_end;
	if (depth > s->near_depth && node->nearest != INDEX_NONE) {
		s->near_depth = depth;
		s->near = (int)node->nearest;
	}
}

static void conclude(struct scan *s)
{
	struct policy_verdict *v = s->verdict;

	if (s->deny >= 0) {
		*v = (struct policy_verdict){ .reason = WIRE_DENIED,
					      .quiet = !s->deny_loud,
					      .rule = s->deny };
	} else if (s->first) {
		v->reason = WIRE_OK;
		v->rule = v->as_root ? s->root_rule : s->caller_rule;
	} else if (s->miss == MISS_TYPE || s->miss == MISS_LINKS) {
		v->reason = s->miss == MISS_TYPE ? WIRE_TYPE : WIRE_HARD_LINK;
		v->rule = s->miss_rule;
	} else if (s->miss == MISS_ACCESS) {
		v->reason = WIRE_ACCESS;
		v->lacked = s->need & ~s->granted ? s->need & ~s->granted : s->query->access;
		v->rule = s->miss_rule;
	} else {
		v->reason = WIRE_NO_RULE;
		v->rule = s->near;
	}
}

void policy_decide(const struct policy *effective, const struct policy_query *q,
		   struct policy_verdict *ret)
{
	struct scan s = {
		.visitor = { .entry = see_entry, .node = see_node },
		.policy = effective,
		.query = q,
		.need = q->access & WIRE_CREATE ? (unsigned)WIRE_CREATE : q->access,
		.verdict = ret,
		.deny = -1,
		.near = -1,
		.miss_rule = -1,
		.caller_rule = -1,
		.root_rule = -1,
	};

	*ret = (struct policy_verdict){ .reason = WIRE_NO_RULE, .rule = -1 };
	if (!(q->access & WIRE_ANY) || !path_is_normal(q->path, q->len))
		return;
	index_walk(&effective->index, q->path, q->len, &s.visitor);
	conclude(&s);
}

struct look {
	struct index_visitor visitor;
	const struct policy *policy;
	const char *path;
	size_t len;
	unsigned here, below;	       /* granted at the path; strictly below it */
	unsigned denied, denied_below; /* at the path; at all that lies below it */
};

static bool may_except_below(const struct look *l, const struct rule *rule)
{
	for (size_t i = 0; i < rule->n_excepts; i++)
		if (pattern_may_match_below(&rule->excepts[i], &l->policy->home, l->path, l->len))
			return true;
	return false;
}

/* What is granted or denied here, and, where the rule says `under`, to all below. A deny whose
 * exception may lie below denies not all there. */
static void look_at_entry(struct index_visitor *v, const struct index_entry *entry, bool at_end)
{
	struct look *l = (struct look *)v;
	const struct rule *rule = l->policy->rules[entry->rule];

	(void)at_end;
	if (rule->n_excepts && is_excepted(l->policy, rule, l->path, l->len))
		return;
	if (rule->allow) {
		l->here |= rule->access;
		l->below |= entry->tree ? rule->access : 0;
	} else {
		l->denied |= rule->access;
		if (entry->tree && !may_except_below(l, rule))
			l->denied_below |= rule->access;
	}
}

static void look_at_node(struct index_visitor *v, const struct index_node *node, unsigned depth,
			 bool at_end)
{
	(void)depth;
	if (at_end)
		((struct look *)v)->below |= node->below;
}

bool policy_may_look(const struct policy *effective, const char *path, size_t len)
{
	struct look l = { .visitor = { .entry = look_at_entry, .node = look_at_node },
			  .policy = effective,
			  .path = path,
			  .len = len };

	if (!path_is_normal(path, len))
		return false;
	index_walk(&effective->index, path, len, &l.visitor);
	return (l.here & ~l.denied) || (l.below & ~l.denied_below);
}

struct above {
	struct index_visitor visitor;
	const struct policy *policy;
	bool allow;
};

static void skip_entry(struct index_visitor *v, const struct index_entry *entry, bool at_end)
{
	(void)v, (void)entry, (void)at_end;
}

/* An allow that says something of this directory, or of those between it and the path's end. */
static void note_allow_above(struct index_visitor *v, const struct index_node *node, unsigned depth,
			     bool at_end)
{
	struct above *a = (struct above *)v;
	const struct index_entry *entries = a->policy->index.entries;

	for (uint32_t i = node->entries; i != INDEX_NONE && !at_end && !a->allow;
	     i = entries[i].next)
		a->allow =
			a->policy->rules[entries[i].rule]->allow && (depth > 0 || entries[i].tree);
}

static bool anything_granted(const struct policy *effective, const char *path, size_t len)
{
	struct look l = { .visitor = { .entry = look_at_entry, .node = look_at_node },
			  .policy = effective,
			  .path = path,
			  .len = len };

	index_walk(&effective->index, path, len, &l.visitor);
	return l.here & ~l.denied;
}

bool policy_grants_above(const struct policy *effective, const char *path, size_t len)
{
	struct above a = { .visitor = { .entry = skip_entry, .node = note_allow_above },
			   .policy = effective };

	if (!path_is_normal(path, len))
		return false;
	index_walk(&effective->index, path, len, &a.visitor);
	for (size_t i = 1; i < len && a.allow; i++)
		if (path[i] == '/' && anything_granted(effective, path, i))
			return true;
	return false;
}
