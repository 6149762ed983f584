/* SPDX-License-Identifier: MIT
 * Does a rule concern this identity? */
#ifndef OPEND_POLICY_SUBJECT_H
#define OPEND_POLICY_SUBJECT_H

#include "model.h"

/* A subject with its groups sorted: it may have 65,536, and each rule asks. */
struct subject {
	const struct policy_subject *is;
	gid_t *groups;
	size_t n_groups;
};

int subject_init(struct subject *s, const struct policy_subject *is);
void subject_deinit(struct subject *s);

/* Is the subject what this name of this kind says? */
bool name_applies(const struct name *name, enum who_kind kind, const struct subject *s);
/* Does any name of this kind apply, or is the kind not asked about? */
bool kind_applies(const struct who *who, enum who_kind kind, const struct subject *s);
bool rule_applies(const struct rule *rule, const struct subject *s);

/* The rules that can apply, in load order; the array is malloc'ed. */
int policy_select(const struct policy *p, const struct policy_subject *s, enum policy_part part,
		  struct rule ***ret, size_t *ret_n);

#endif
