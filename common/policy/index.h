/* SPDX-License-Identifier: MIT
 * The compiled form: a tree of path segments. A path is cut into segments and each is looked up
 * once in a hash table, so that what a decision costs depends on the path's depth and on the rules
 * that lie on its way, not on how many rules there are. Globs of a directory are tried one by one;
 * equal ones are one node. */
#ifndef OPEND_POLICY_INDEX_H
#define OPEND_POLICY_INDEX_H

#include "model.h"

enum { INDEX_NONE = UINT32_MAX };

struct index_node {
	const char *text; /* of its segment; the root has none */
	uint32_t len, parent;
	uint32_t globs, next_glob; /* list of children that are globs */
	uint32_t entries;	   /* list of what rules say of exactly this place */
	uint32_t nearest;	   /* an allow at or below this node (lowest rule), for advice */
	uint8_t below;		   /* access that allows grant somewhere strictly below */
	bool literals;		   /* has children that are not globs */
};

struct index_entry {
	uint32_t next, rule;
	bool tree; /* holds below as well */
};

struct index_slot {
	uint32_t hash, node;
};

/* Can this rule match nothing in p? Its unit cannot be known here, or an exception of an allow
 * starts at a home that is not known. */
bool rule_is_dead(const struct policy *p, const struct rule *rule);

/* Compiles p->rules for p->home. -ENOMEM. */
int index_build(struct policy *p);
void index_deinit(struct index *x);

/* Tells of each entry on the way of a path. `at_end`: the entry's pattern matches the path itself;
 * otherwise it lies on an ancestor and is `under`. */
struct index_visitor {
	void (*entry)(struct index_visitor *v, const struct index_entry *entry, bool at_end);
	/* The way went as far as this node, `depth` segments deep; the path ends here or not. */
	void (*node)(struct index_visitor *v, const struct index_node *node, unsigned depth,
		     bool at_end);
};

/* Walks a normal path. No allocation, no system call; recursion is as deep as there are globs on
 * one way. */
void index_walk(const struct index *x, const char *path, size_t len, struct index_visitor *v);

#endif
