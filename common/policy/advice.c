/* SPDX-License-Identifier: MIT
 * Advice from the text alone: rules that are right by the grammar and wrong by all likelihood. It
 * is given when a policy is checked, not whenever it is loaded, and only of what is certain. */
#include <stdarg.h>
#include "glob.h"
#include "parse.h"
#include "pattern.h"

void advice_add(struct parser *p, enum diag_severity severity, size_t i,
		const struct pattern *pattern, const char *hint, const char *fmt, ...)
{
	const struct place *at = &p->places[i];
	struct diag_place where = { .file = at->file,
				    .line = at->line,
				    .column = pattern ? pattern->column : 0,
				    .span = pattern ? pattern->span : 0,
				    .source = at->source,
				    .source_len = at->source_len };
	char message[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(message, sizeof message, fmt, ap);
	va_end(ap);
	diags_add(p->diags, severity, &where, hint, "%s", message);
}

/* Does `outer`, a name of this kind, apply whenever `inner` does? */
static bool name_covers(const struct name *outer, const struct name *inner, int kind)
{
	if (kind <= WHO_GROUP)
		return outer->known && inner->known && outer->id == inner->id;
	if (!inner->glob && outer->glob)
		return glob_match(outer->text, outer->len, inner->text, inner->len);
	if (inner->glob && !outer->glob)
		return false;
	if (outer->glob)
		return glob_subsumes(outer->text, outer->len, inner->text, inner->len);
	return outer->len == inner->len && memcmp(outer->text, inner->text, outer->len) == 0;
}

static bool list_has(const struct who *outer, int kind, const struct name *inner)
{
	for (size_t i = 0; i < outer->kinds[kind].n; i++)
		if (name_covers(&outer->kinds[kind].list[i], inner, kind))
			return true;
	return false;
}

/* Does `outer` concern everybody whom `inner` does? */
static bool who_covers(const struct who *outer, const struct who *inner)
{
	for (int kind = 0; kind < WHO_KINDS; kind++) {
		if (outer->kinds[kind].n && !inner->kinds[kind].n)
			return false;
		for (size_t i = 0; outer->kinds[kind].n && i < inner->kinds[kind].n; i++)
			if (!list_has(outer, kind, &inner->kinds[kind].list[i]))
				return false;
	}
	return true;
}

/* May anybody be concerned by both? Whoever has one group may have another. */
static bool who_may_meet(const struct who *a, const struct who *b)
{
	for (int kind = 0; kind < WHO_KINDS; kind++) {
		bool meet = kind == WHO_GROUP || !a->kinds[kind].n || !b->kinds[kind].n;

		for (size_t i = 0; i < a->kinds[kind].n && !meet; i++)
			meet = a->kinds[kind].list[i].glob ||
			       list_has(b, kind, &a->kinds[kind].list[i]);
		if (!meet)
			return false;
	}
	return true;
}

/* Is all that this pattern of an allow names named by a deny without exceptions? */
static bool is_shadowed_by(const struct rule *deny, const struct rule *allow,
			   const struct pattern *object)
{
	if (deny->allow || deny->n_excepts || deny->nobody || !who_covers(&deny->who, &allow->who))
		return false;
	for (size_t i = 0; i < deny->n_objects; i++)
		if (pattern_subsumes(&deny->objects[i], object))
			return true;
	return false;
}

/* What denies take away from one pattern of an allow, and the last of them. */
static unsigned find_shadow(const struct parser *p, const struct rule *allow,
			    const struct pattern *object, const struct rule **ret)
{
	unsigned denied = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct rule *deny = p->rules[i];

		if (deny->allow || !is_shadowed_by(deny, allow, object))
			continue;
		denied |= deny->access;
		*ret = deny;
	}
	return denied;
}

static void warn_of_shadow(struct parser *p, size_t i)
{
	const struct rule *rule = p->rules[i], *deny = NULL;

	for (size_t j = 0; j < rule->n_objects; j++) {
		const struct pattern *object = &rule->objects[j];
		unsigned denied = find_shadow(p, rule, object, &deny);

		if (!(rule->access & ~denied))
			advice_add(p, DIAG_WARNING, i, object, NULL,
				   "nothing is allowed here: %s denies it", deny->origin);
		else if (rule->access & denied & WIRE_CREATE)
			advice_add(p, DIAG_WARNING, i, object, NULL,
				   "\"create\" is shadowed: %s denies it", deny->origin);
		else if (rule->access & WIRE_CREATE && denied & WIRE_WRITE)
			advice_add(
				p, DIAG_WARNING, i, object, NULL,
				"\"create\" is shadowed: %s denies to open a new file for writing",
				deny->origin);
	}
}

/* How many names deep the part without globs is; a file of exactly one name is never wide. */
static bool is_wide(const struct pattern *object)
{
	size_t literal = 0;

	while (literal < object->n_segments && !object->segments[literal].glob)
		literal++;
	if (!object->tree && literal == object->n_segments)
		return false;
	return !object->home && literal < 2;
}

static void warn_of_reach(struct parser *p, size_t i)
{
	const struct rule *rule = p->rules[i];

	for (size_t j = 0; j < rule->n_objects; j++) {
		const struct pattern *object = &rule->objects[j];

		if (rule->as_root && is_wide(object))
			advice_add(p, DIAG_WARNING, i, object,
				   "name the files or a deeper directory",
				   "\"as root\" with wide reach: permission bits count for nothing "
				   "there");
		else if (object->tree && object->n_segments == 0 && !object->home)
			advice_add(p, DIAG_WARNING, i, object, NULL,
				   "this is the whole file system");
	}
	if (rule->as_root && rule->who.anyone)
		advice_add(p, DIAG_WARNING, i, &rule->objects[0], NULL,
			   "\"as root\" for anyone: permission bits count for nobody there");
}

/* A client in a chroot or container comes through a door of its own, or is a service. */
static void warn_of_list(struct parser *p, size_t i)
{
	const struct rule *rule = p->rules[i];

	if (!(rule->access & WIRE_LIST))
		return;
	if (rule->who.anyone || rule->who.kinds[WHO_VIA].n || rule->who.kinds[WHO_UNIT].n)
		advice_add(p, DIAG_WARNING, i, &rule->objects[0], NULL,
			   "\"list\" hands out directories, and a directory leads out of a chroot");
}

/* A deny is about names: who may write around it can give the object another name. */
static void warn_of_renaming(struct parser *p, size_t i)
{
	const struct rule *deny = p->rules[i];

	for (size_t j = 0; j < p->n_rules; j++) {
		const struct rule *allow = p->rules[j];

		if (!allow->allow || allow->nobody ||
		    !(allow->access & (WIRE_WRITE | WIRE_CREATE)) ||
		    !who_may_meet(&allow->who, &deny->who))
			continue;
		for (size_t k = 0; k < deny->n_objects; k++)
			for (size_t l = 0; l < allow->n_objects; l++) {
				if (!allow->objects[l].tree ||
				    !pattern_contains(&allow->objects[l], &deny->objects[k]) ||
				    pattern_subsumes(&deny->objects[k], &allow->objects[l]))
					continue;
				advice_add(p, DIAG_WARNING, i, &deny->objects[k],
					   "a link or a rename gives it another name",
					   "inside a tree that %s lets the same clients write",
					   allow->origin);
				return;
			}
	}
}

void advise(struct parser *p)
{
	for (size_t i = 0; i < p->n_rules; i++) {
		if (p->rules[i]->allow) {
			warn_of_shadow(p, i);
			warn_of_reach(p, i);
			warn_of_list(p, i);
		} else {
			warn_of_renaming(p, i);
		}
	}
}
