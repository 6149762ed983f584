/* SPDX-License-Identifier: MIT
 * The hull: what the kernel alone, without our evaluator, would permit an identity's worker and
 * its lender. It is printed from policy_plan(), which is what they confine themselves with. */
#ifndef OPEND_POLICY_HULL_H
#define OPEND_POLICY_HULL_H

#include "policy.h"

/* The access that a base means to the kernel: a file that is created is opened too, and Landlock
 * cannot tell a new one from an old one. */
static inline unsigned policy_base_rights(const struct policy_base *base)
{
	return base->access | (base->access & WIRE_CREATE ? WIRE_READ | WIRE_WRITE : 0);
}

/* Prints both hulls of one effective policy (made for POLICY_CALLER). -ENOMEM, -EIO. */
int policy_print_hull(const struct policy *effective, FILE *f);

/* Prints the hulls of all identities that the rules of a whole policy tell apart, as far as the
 * first 1,000. Asks the account database for home directories: may block. */
int policy_print_hulls(const struct policy *whole, FILE *f);

#endif
