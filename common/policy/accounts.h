/* SPDX-License-Identifier: MIT
 * Account names into ids, each asked of NSS once. Blocks, allocates; only while a policy is being
 * loaded. */
#ifndef OPEND_POLICY_ACCOUNTS_H
#define OPEND_POLICY_ACCOUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include "arena.h"

enum { ACCOUNTS_BUCKETS = 1024 };

struct account;
struct accounts {
	struct arena arena;
	struct account *buckets[ACCOUNTS_BUCKETS];
};

/* 1 and *ret_id; 0: no such account; -errno: the account database did not answer. */
int accounts_find(struct accounts *a, bool group, const char *name, uint32_t *ret_id);
void accounts_deinit(struct accounts *a);

#endif
