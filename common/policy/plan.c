/* SPDX-License-Identifier: MIT
 * The hull: what the kernel is told. Landlock knows trees and adds rights only, so a pattern
 * becomes its longest literal prefix, and exceptions and denies become nothing. */
#include "index.h"
#include "pattern.h"

struct builder {
	struct policy_base *bases;
	size_t n, room;
	struct arena *arena; /* the policy's: paths live as long as it does */
};

static int add_base(struct builder *b, const struct pattern *home, const struct pattern *object,
		    size_t n_segments, struct policy_base base)
{
	size_t lead = object->home ? home->n_segments : 0, len = 1;
	char *path, *end;

	if (b->n == b->room) {
		size_t room = b->room ? b->room * 2 : 16;
		void *p = reallocarray(b->bases, room, sizeof *b->bases);

		if (!p)
			return -ENOMEM;
		b->bases = p;
		b->room = room;
	}
	for (size_t i = 0; i < lead + n_segments; i++)
		len += 1 + (i < lead ? home->segments[i] : object->segments[i - lead]).len;
	end = path = arena_alloc(b->arena, len + 1);
	if (!path)
		return -ENOMEM;
	for (size_t i = 0; i < lead + n_segments; i++) {
		const struct segment *s =
			i < lead ? &home->segments[i] : &object->segments[i - lead];

		*end++ = '/';
		memcpy(end, s->text, s->len);
		end += s->len;
	}
	if (end == path)
		*end = '/';
	base.path = path;
	b->bases[b->n++] = base;
	return 0;
}

static int add_object(struct builder *b, const struct policy *p, const struct rule *rule,
		      const struct pattern *object)
{
	struct policy_base base = { .access = rule->access, .types = rule->types };
	size_t literal = 0;
	bool whole;
	int r = 0;

	if (object->home && p->home.n_segments == 0)
		return 0;
	while (literal < object->n_segments && !object->segments[literal].glob)
		literal++;
	whole = literal == object->n_segments;
	if (object->tree || !whole)
		return add_base(b, &p->home, object, literal, base);
	base.exact = true;
	base.access &= ~(unsigned)WIRE_CREATE;
	if (base.access)
		r = add_base(b, &p->home, object, literal, base);
	if (r < 0 || !(rule->access & WIRE_CREATE))
		return r;
	base.exact = false;
	base.access = WIRE_CREATE;
	return add_base(b, &p->home, object, literal ? literal - 1 : 0, base);
}

static int compare_bases(const void *a, const void *b)
{
	const struct policy_base *x = a, *y = b;
	int r = strcmp(x->path, y->path);

	return r ? r : (int)x->exact - (int)y->exact;
}

static size_t merge(struct policy_base *bases, size_t n)
{
	size_t out = 0;

	for (size_t i = 0; i < n; i++) {
		if (out && compare_bases(&bases[out - 1], &bases[i]) == 0) {
			bases[out - 1].access |= bases[i].access;
			bases[out - 1].types |= bases[i].types;
		} else {
			bases[out++] = bases[i];
		}
	}
	return out;
}

static bool covers(const struct policy_base *outer, const struct policy_base *inner)
{
	return outer && outer != inner && !(inner->access & ~outer->access) &&
	       !(inner->types & ~outer->types);
}

/* The tree base at the first len bytes of path, or NULL. `scratch` has room for path. */
static const struct policy_base *find_tree(const struct policy_base *bases, size_t n, char *path)
{
	struct policy_base key = { .path = path };

	return n ? bsearch(&key, bases, n, sizeof *bases, compare_bases) : NULL;
}

/* Looks for the base itself, then each directory above it. */
static bool is_covered(const struct policy_base *bases, size_t n, const struct policy_base *base,
		       char *scratch)
{
	size_t len = strlen(base->path);

	memcpy(scratch, base->path, len + 1);
	for (;;) {
		if (covers(find_tree(bases, n, scratch), base))
			return true;
		if (len <= 1)
			return false;
		while (scratch[len - 1] != '/')
			len--;
		len = len > 1 ? len - 1 : 1;
		scratch[len] = 0;
	}
}

static int mark_covered(struct policy_base *bases, size_t n)
{
	_cleanup_free_ char *scratch = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < n; i++)
		longest = UTIL_MAX(longest, strlen(bases[i].path));
	scratch = malloc(longest + 1);
	if (!scratch)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		bases[i].covered = is_covered(bases, n, &bases[i], scratch);
	return 0;
}

int policy_plan(const struct policy *effective, bool root, struct policy_base **ret, size_t *ret_n)
{
	struct builder b = { .arena = effective->plans };
	_cleanup_free_ struct policy_base *bases = NULL;
	int r = 0;

	for (size_t i = 0; i < effective->n_rules && r == 0; i++) {
		const struct rule *rule = effective->rules[i];

		if (!rule->allow || rule->as_root != root || rule_is_dead(effective, rule))
			continue;
		for (size_t j = 0; j < rule->n_objects && r == 0; j++)
			r = add_object(&b, effective, rule, &rule->objects[j]);
	}
	bases = b.bases;
	if (r < 0)
		return r;
	/* A lender looks at what stands on a path only through directories that it has opened. */
	for (size_t i = 0; root && i < b.n; i++)
		if (!bases[i].exact)
			bases[i].access |= WIRE_LIST;
	if (b.n) {
		qsort(bases, b.n, sizeof *bases, compare_bases);
		b.n = merge(bases, b.n);
		r = mark_covered(bases, b.n);
	}
	if (r < 0)
		return r;
	*ret = take_ptr(bases);
	*ret_n = b.n;
	return 0;
}
