/* SPDX-License-Identifier: MIT
 * Matching identities. An id that is not known is -1, which no rule can name, so that a failed
 * lookup never looks like an account. */
#include "glob.h"
#include "subject.h"

static int compare_gids(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return (x > y) - (x < y);
}

int subject_init(struct subject *s, const struct policy_subject *is)
{
	*s = (struct subject){ .is = is };
	s->groups = calloc(is->n_groups + 1, sizeof *s->groups);
	if (!s->groups)
		return -ENOMEM;
	if (is->n_groups)
		memcpy(s->groups, is->groups, is->n_groups * sizeof *s->groups);
	s->groups[is->n_groups] = is->gid;
	s->n_groups = is->n_groups + 1;
	qsort(s->groups, s->n_groups, sizeof *s->groups, compare_gids);
	return 0;
}

void subject_deinit(struct subject *s)
{
	free(s->groups);
	s->groups = NULL;
}

bool name_applies(const struct name *name, enum who_kind kind, const struct subject *s)
{
	const char *is = kind == WHO_UNIT ? s->is->unit : s->is->via;

	switch (kind) {
	case WHO_USER:
		return name->known && name->id == s->is->uid;
	case WHO_GROUP:
		return name->known &&
		       bsearch(&name->id, s->groups, s->n_groups, sizeof *s->groups, compare_gids);
	default:
		if (!is)
			return false;
		if (name->glob)
			return glob_match(name->text, name->len, is, strlen(is));
		return strlen(is) == name->len && memcmp(is, name->text, name->len) == 0;
	}
}

bool kind_applies(const struct who *who, enum who_kind kind, const struct subject *s)
{
	for (size_t i = 0; i < who->kinds[kind].n; i++)
		if (name_applies(&who->kinds[kind].list[i], kind, s))
			return true;
	return who->kinds[kind].n == 0;
}

bool rule_applies(const struct rule *rule, const struct subject *s)
{
	if (rule->nobody)
		return false;
	for (int kind = 0; kind < WHO_KINDS; kind++)
		if (!kind_applies(&rule->who, (enum who_kind)kind, s))
			return false;
	return true;
}
