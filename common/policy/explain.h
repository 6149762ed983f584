/* SPDX-License-Identifier: MIT
 * Why a request is granted or not. The verdict is policy_decide()'s on the effective policy that
 * the identity's worker would have; what is added is which rule came nearest, of all rules, and
 * what it lacked. That tells of others' rules: what a client may see of it is the caller's to
 * decide. */
#ifndef OPEND_POLICY_EXPLAIN_H
#define OPEND_POLICY_EXPLAIN_H

#include "policy.h"

enum policy_lack {
	LACK_USER = 1,
	LACK_GROUP = 2,
	LACK_UNIT = 4,
	LACK_VIA = 8,
	LACK_ACCESS = 16, /* some of the access asked */
	LACK_TYPE = 32,
	LACK_LINKS = 64, /* it says single-link */
	LACK_PATH = 128, /* it names another path */
};

/* A rule, and in what it fails. origin and text are malloc'ed. */
struct policy_near {
	char *origin, *text;
	unsigned lacks;	 /* bits of enum policy_lack; 0: it decided */
	unsigned access; /* with LACK_ACCESS: the missing bits */
	struct {
		char *wanted; /* with LACK_USER ... LACK_VIA: the names it is for */
	} who[4];
};

enum { POLICY_NEAR_MAX = 8 };

struct policy_explanation {
	struct policy_verdict verdict; /* its rule counts in the whole policy */
	struct policy_near decided;    /* text NULL: no rule did */
	/* Of a refusal that no deny decided: the allows that lack least, in load order. With an
	 * access that several rules grant only in part, all of them. */
	struct policy_near near[POLICY_NEAR_MAX];
	size_t n_near;
};

/* `whole` is a loaded policy, `home` what `~` is for s (policy_home()) or NULL. -ENOMEM. */
int policy_explain(const struct policy *whole, const struct policy_subject *s, const char *home,
		   const struct policy_query *q, struct policy_explanation *ret);
void policy_explanation_deinit(struct policy_explanation *e);

/* The same as text: verdict, deciding rule, nearest rules and what each lacked. */
int policy_explain_print(const struct policy *whole, const struct policy_subject *s,
			 const char *home, const struct policy_query *q, FILE *f);

#endif
