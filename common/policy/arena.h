/* SPDX-License-Identifier: MIT
 * Memory that is given back all at once. A policy is made of many small things that live exactly
 * as long as it does, and a half-read one must vanish without a trace. */
#ifndef OPEND_POLICY_ARENA_H
#define OPEND_POLICY_ARENA_H

#include <stddef.h>
#include "../util.h"

struct arena_chunk;
struct arena {
	struct arena_chunk *chunks;
};

/* Zeroed memory, aligned for anything; NULL when there is none. Lives until arena_deinit(). */
void *arena_alloc(struct arena *a, size_t size);
/* A copy of n bytes, a NUL behind them. */
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t size);
void arena_deinit(struct arena *a);

#endif
