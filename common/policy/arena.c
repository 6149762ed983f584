/* SPDX-License-Identifier: MIT
 * An arena of growing chunks: the first is small, because most workers have a handful of rules and
 * their memory is counted in kilobytes. */
#include <stdalign.h>
#include "arena.h"

enum { CHUNK_FIRST = 2048, CHUNK_LAST = 256 * 1024 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size, used;
	alignas(max_align_t) unsigned char bytes[];
};

static struct arena_chunk *chunk_new(struct arena *a, size_t need)
{
	size_t size = a->chunks ? UTIL_MIN(a->chunks->size * 2, (size_t)CHUNK_LAST) : CHUNK_FIRST;
	struct arena_chunk *c;

	size = UTIL_MAX(size, need);
	c = calloc(1, sizeof *c + size);
	if (!c)
		return NULL;
	c->size = size;
	c->next = a->chunks;
	a->chunks = c;
	return c;
}

void *arena_alloc(struct arena *a, size_t size)
{
	struct arena_chunk *c = a->chunks;
	void *p;

	if (size > SIZE_MAX / 2)
		return NULL;
	size = (size + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
	if (!c || c->size - c->used < size)
		c = chunk_new(a, size);
	if (!c)
		return NULL;
	p = c->bytes + c->used;
	c->used += size;
	return p;
}

void *arena_memdup(struct arena *a, const void *p, size_t size)
{
	void *r = arena_alloc(a, size);

	if (r && size)
		memcpy(r, p, size);
	return r;
}

char *arena_strndup(struct arena *a, const char *s, size_t n)
{
	char *r = arena_alloc(a, n + 1);

	if (r && n)
		memcpy(r, s, n);
	return r;
}

void arena_deinit(struct arena *a)
{
	while (a->chunks) {
		struct arena_chunk *next = a->chunks->next;

		free(a->chunks);
		a->chunks = next;
	}
}
