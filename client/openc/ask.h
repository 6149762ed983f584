/* SPDX-License-Identifier: MIT
 * Whom explain, list and hull speak of, and the policy they look into. For an administrator that
 * is any identity, and the policy's files; for everybody else himself, and the rules that his
 * worker has, so that nobody learns of rules that are not his. */
#ifndef OPENC_ASK_H
#define OPENC_ASK_H

#include "cli.h"
#include "policy/policy.h"

enum { ASK_PATHS_MAX = 16 };

struct ask {
	const char *user, *unit, *via;
	const char *policies[ASK_PATHS_MAX + 1];
	size_t n_policies;
	gid_t *groups;
	size_t n_groups;
	unsigned access;
	bool json;
	const char *control; /* of the opend that runs; NULL: the usual one */

	struct policy_subject subject;
	char *home, *own_via, *own_unit;
	struct policy *whole;	  /* what is asked: the files, or what the worker has */
	struct policy *effective; /* the part that can apply to subject */
};

/* Takes one option that all three have: 0, or an exit status. */
int ask_option(struct ask *a, int option, const char *argument);
enum { ASK_USER = 256, ASK_GROUP, ASK_UNIT, ASK_VIA, ASK_POLICY, ASK_CONTROL, ASK_JSON, ASK_OPTIONS_END };
#define ASK_OPTIONS                                                                                \
	{ "user", required_argument, NULL, ASK_USER },                                             \
		{ "group", required_argument, NULL, ASK_GROUP },                                   \
		{ "unit", required_argument, NULL, ASK_UNIT },                                     \
		{ "via", required_argument, NULL, ASK_VIA },                                       \
		{ "policy", required_argument, NULL, ASK_POLICY },                                 \
		{ "control", required_argument, NULL, ASK_CONTROL },                               \
	{                                                                                          \
		"json", no_argument, NULL, ASK_JSON                                                \
	}

/* Finds subject and policy; what goes wrong is reported. An exit status. */
int ask_prepare(struct ask *a, const struct cli *cli);
void ask_deinit(struct ask *a);

/* A JSON string. Bytes that are not UTF-8 become lone surrogates, U+DC80 to U+DCFF, as Python's
 * surrogateescape has it: so every path survives. */
void json_string(FILE *f, const char *text);
/* A number, if it is to be one and is; else a string. */
void json_scalar(FILE *f, const char *value, bool number);

#endif
