/* SPDX-License-Identifier: MIT
 * The printer: one for --print-policy, for the text a worker is born with, and for every message
 * that shows a rule. */
#ifndef OPEND_POLICY_PRINT_H
#define OPEND_POLICY_PRINT_H

#include "model.h"
#include "subject.h"

/* Writes one rule without line end or origin. With `only`, ids are numbers and a name that does not
 * make the rule apply to this subject is left out: who else may is nobody's business. */
void rule_print(FILE *f, const struct rule *rule, const struct subject *only);

/* user, group, unit, via */
const char *kind_word(enum who_kind kind);

/* The names of one kind that a rule is for, as a list; malloc'ed. -ENOMEM. */
int names_print(const struct rule *rule, enum who_kind kind, char **ret);

#endif
