/* SPDX-License-Identifier: MIT
 * Building the segment tree and walking it. Nodes are numbers in one array, children are found
 * through one table keyed by (parent, segment): few allocations to build, and a decision touches
 * one slot and one node for each segment. The hash needs no secret: only an administrator's
 * patterns are put in, a client's path only looks. */
#include "glob.h"
#include "index.h"
#include "pattern.h"

static uint32_t hash_segment(uint32_t parent, const char *s, size_t len)
{
	const uint64_t odd = 0x9e3779b97f4a7c15;
	uint64_t h = (parent + len * 31 + 1) * odd, word;

	for (; len >= sizeof word; s += sizeof word, len -= sizeof word) {
		memcpy(&word, s, sizeof word);
		h = (h ^ word) * odd;
		h ^= h >> 32;
	}
	word = 0;
	if (len >= 4) {
		memcpy(&word, s, 4);
		s += 4, len -= 4;
	}
	for (size_t i = 0; i < len; i++)
		word = word << 8 | (unsigned char)s[i];
	h = (h ^ word) * odd;
	return (uint32_t)(h >> 32);
}

static uint32_t find_literal(const struct index *x, uint32_t parent, const char *s, size_t len)
{
	uint32_t hash, mask = x->n_slots - 1;

	if (!x->nodes[parent].literals)
		return INDEX_NONE;
	hash = hash_segment(parent, s, len);
	for (uint32_t i = hash & mask; x->slots[i].node; i = (i + 1) & mask) {
		const struct index_node *n = &x->nodes[x->slots[i].node];

		if (x->slots[i].hash == hash && n->parent == parent && n->len == len &&
		    memcmp(n->text, s, len) == 0)
			return x->slots[i].node;
	}
	return INDEX_NONE;
}

static void put_slot(struct index_slot *slots, uint32_t mask, struct index_slot slot)
{
	uint32_t i = slot.hash & mask;

	while (slots[i].node)
		i = (i + 1) & mask;
	slots[i] = slot;
}

/* Keeps the table at most half full; node 0 is the root, so 0 marks an empty slot. */
static int grow_slots(struct index *x)
{
	uint32_t n = x->n_slots ? x->n_slots * 2 : 16;
	struct index_slot *slots;

	if (x->n_children * 2 < x->n_slots)
		return 0;
	slots = calloc(n, sizeof *slots);
	if (!slots)
		return -ENOMEM;
	for (uint32_t i = 0; i < x->n_slots; i++)
		if (x->slots[i].node)
			put_slot(slots, n - 1, x->slots[i]);
	free(x->slots);
	x->slots = slots;
	x->n_slots = n;
	return 0;
}

static int new_node(struct index *x, uint32_t parent, const char *text, uint32_t len, uint32_t *ret)
{
	if (x->n_nodes == x->nodes_room) {
		uint32_t room = x->nodes_room ? x->nodes_room * 2 : 16;
		void *p = reallocarray(x->nodes, room, sizeof *x->nodes);

		if (!p)
			return -ENOMEM;
		x->nodes = p;
		x->nodes_room = room;
	}
	x->nodes[x->n_nodes] = (struct index_node){ .text = text,
						    .len = len,
						    .parent = parent,
						    .globs = INDEX_NONE,
						    .next_glob = INDEX_NONE,
						    .entries = INDEX_NONE,
						    .nearest = INDEX_NONE };
	*ret = x->n_nodes++;
	return 0;
}

static int child_literal(struct index *x, uint32_t parent, const struct segment *s, uint32_t *ret)
{
	int r;

	*ret = find_literal(x, parent, s->text, s->len);
	if (*ret != INDEX_NONE)
		return 0;
	if ((r = grow_slots(x)) < 0 || (r = new_node(x, parent, s->text, s->len, ret)) < 0)
		return r;
	x->nodes[parent].literals = true;
	x->n_children++;
	put_slot(x->slots, x->n_slots - 1,
		 (struct index_slot){ hash_segment(parent, s->text, s->len), *ret });
	return 0;
}

static int child_glob(struct index *x, uint32_t parent, const struct segment *s, uint32_t *ret)
{
	int r;

	for (*ret = x->nodes[parent].globs; *ret != INDEX_NONE; *ret = x->nodes[*ret].next_glob)
		if (x->nodes[*ret].len == s->len &&
		    memcmp(x->nodes[*ret].text, s->text, s->len) == 0)
			return 0;
	if ((r = new_node(x, parent, s->text, s->len, ret)) < 0)
		return r;
	x->nodes[*ret].next_glob = x->nodes[parent].globs;
	x->nodes[parent].globs = *ret;
	return 0;
}

static int add_entry(struct index *x, uint32_t node, uint32_t rule, bool tree)
{
	if (x->n_entries == x->entries_room) {
		uint32_t room = x->entries_room ? x->entries_room * 2 : 16;
		void *p = reallocarray(x->entries, room, sizeof *x->entries);

		if (!p)
			return -ENOMEM;
		x->entries = p;
		x->entries_room = room;
	}
	x->entries[x->n_entries] =
		(struct index_entry){ .next = x->nodes[node].entries, .rule = rule, .tree = tree };
	x->nodes[node].entries = x->n_entries++;
	return 0;
}

static int descend(struct index *x, const struct segment *s, size_t n, uint32_t *node)
{
	int r = 0;

	for (size_t i = 0; i < n && r == 0; i++)
		r = s[i].glob ? child_glob(x, *node, &s[i], node)
			      : child_literal(x, *node, &s[i], node);
	return r;
}

/* What the ancestors of a granted place have to know of it. */
static void note_allow(struct index *x, uint32_t node, const struct rule *rule, uint32_t number)
{
	for (uint32_t i = node;; i = x->nodes[i].parent) {
		x->nodes[i].nearest = UTIL_MIN(x->nodes[i].nearest, number);
		if (i != node)
			x->nodes[i].below |= (uint8_t)rule->access;
		if (i == 0)
			return;
	}
}

static int add_pattern(struct policy *p, const struct pattern *object, uint32_t number)
{
	const struct rule *rule = p->rules[number];
	uint32_t node = 0;
	int r;

	if (object->home && p->home.n_segments == 0)
		return 0;
	if (object->home &&
	    (r = descend(&p->index, p->home.segments, p->home.n_segments, &node)) < 0)
		return r;
	if ((r = descend(&p->index, object->segments, object->n_segments, &node)) < 0)
		return r;
	if (rule->allow)
		note_allow(&p->index, node, rule, number);
	return add_entry(&p->index, node, number, object->tree);
}

/* An exception that cannot be evaluated must not widen a grant: such an allow matches nothing. */
bool rule_is_dead(const struct policy *p, const struct rule *rule)
{
	if (rule->nobody)
		return true;
	for (size_t i = 0; i < rule->n_excepts; i++)
		if (rule->allow && rule->excepts[i].home && p->home.n_segments == 0)
			return true;
	return false;
}

int index_build(struct policy *p)
{
	uint32_t root;
	int r = grow_slots(&p->index);

	if (r == 0)
		r = new_node(&p->index, 0, NULL, 0, &root);
	for (size_t i = 0; i < p->n_rules && r == 0; i++) {
		const struct rule *rule = p->rules[i];

		for (size_t j = 0; j < rule->n_objects && r == 0 && !rule_is_dead(p, rule); j++)
			r = add_pattern(p, &rule->objects[j], (uint32_t)i);
	}
	return r;
}

void index_deinit(struct index *x)
{
	free(x->nodes);
	free(x->entries);
	free(x->slots);
	*x = (struct index){ 0 };
}

static void visit(const struct index *x, uint32_t number, unsigned depth, bool at_end,
		  struct index_visitor *v)
{
	const struct index_node *n = &x->nodes[number];

	v->node(v, n, depth, at_end);
	for (uint32_t i = n->entries; i != INDEX_NONE; i = x->entries[i].next)
		if (at_end || x->entries[i].tree)
			v->entry(v, &x->entries[i], at_end);
}

/* Goes down the literal children in a loop and into each glob child by recursion: a tree of
 * segments has one way to each node, so no node is ever visited twice. */
static void walk(const struct index *x, uint32_t number, unsigned depth, const char *path,
		 size_t len, bool more, struct index_visitor *v)
{
	while (number != INDEX_NONE) {
		const char *s = path;
		size_t s_len;

		visit(x, number, depth++, !more, v);
		if (!more)
			return;
		s_len = path_segment(&path, &len, &more);
		for (uint32_t i = x->nodes[number].globs; i != INDEX_NONE;
		     i = x->nodes[i].next_glob)
			if (glob_match(x->nodes[i].text, x->nodes[i].len, s, s_len))
				walk(x, i, depth, path, len, more, v);
		number = find_literal(x, number, s, s_len);
	}
}

void index_walk(const struct index *x, const char *path, size_t len, struct index_visitor *v)
{
	walk(x, 0, 0, path + 1, len - 1, len > 1, v);
}
