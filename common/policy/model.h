/* SPDX-License-Identifier: MIT
 * What a policy is made of, for the files of this directory only. Parser writes it once; after
 * that it is never changed. Rules are shared between a policy and the effective policies made
 * from it; what is computed from them (the index) belongs to each. */
#ifndef OPEND_POLICY_MODEL_H
#define OPEND_POLICY_MODEL_H

#include <stdint.h>
#include "arena.h"
#include "policy.h"

/* Bounds, so that no file can exhaust memory. */
enum {
	POLICY_FILE_MAX = 16 * 1024 * 1024,
	POLICY_TOTAL_MAX = 64 * 1024 * 1024,
	POLICY_RULES_MAX = 100000,
	POLICY_PATTERNS_MAX = 1000000,
	POLICY_EXPECTS_MAX = 10000,
};

/* One name between two slashes: literal bytes, or a canonical glob (glob.h). */
struct segment {
	const char *text;
	uint32_t len;
	bool glob;
};

struct pattern {
	const struct segment *segments;
	uint32_t n_segments;
	uint32_t column, span; /* of its token */
	bool tree;	       /* `under`: what lies below too */
	bool home;	       /* starts at ~ */
};

enum who_kind { WHO_USER, WHO_GROUP, WHO_UNIT, WHO_VIA, WHO_KINDS };

struct name {
	const char *text; /* as written, escapes resolved, NUL-terminated; a unit: segment text */
	uint32_t len;
	uint32_t id; /* user, group */
	bool known;  /* an account that exists; else it matches nobody */
	bool glob;   /* unit */
};

struct who {
	bool anyone;
	struct {
		const struct name *list;
		size_t n; /* 0: this kind is not asked about */
	} kinds[WHO_KINDS];
};

struct rule {
	bool allow, as_root, log, single_link, quiet;
	bool nobody; /* can match no one: its unit cannot be known here */
	bool any;    /* deny any */
	unsigned access, types;
	const struct pattern *objects, *excepts;
	size_t n_objects, n_excepts;
	struct who who;
	const char *origin; /* file:line */
};

struct expectation {
	bool allow;
	unsigned access;
	const char *path;
	size_t path_len;
	struct who who;
	const char *origin;
};

/* Rules and expectations, with all their text. */
struct store {
	unsigned refs;
	struct arena arena;
};

struct store *store_ref(struct store *s);
struct store *store_unref(struct store *s);
DEFINE_CLEANUP(struct store *, store_unref)

/* index.h */
struct index {
	struct index_node *nodes;
	struct index_entry *entries;
	struct index_slot *slots;
	uint32_t n_nodes, nodes_room, n_entries, entries_room, n_slots, n_children;
};

struct policy {
	struct store *store;
	struct rule **rules;
	size_t n_rules;
	struct expectation *expects; /* store's */
	size_t n_expects;
	struct pattern home; /* what ~ stands for; n_segments 0: not known */
	char *home_text;
	struct index index;
	struct arena *plans; /* paths that policy_plan() handed out */
};

/* A policy of these rules (copied; rules are the store's, which gains a reference), compiled. */
int policy_new(struct store *store, struct rule *const *rules, size_t n, const char *home,
	       struct policy **ret);

/* The types of file that a rule grants for this access: only `list` opens directories, and a file
 * that is created is a regular one. */
static inline unsigned rule_types(const struct rule *rule, unsigned access)
{
	if (access & WIRE_CREATE)
		return rule->types & POLICY_REGULAR;
	if (access == WIRE_LIST)
		return rule->types & POLICY_DIRECTORY;
	return access & WIRE_LIST ? rule->types : rule->types & ~(unsigned)POLICY_DIRECTORY;
}

#endif
