/* SPDX-License-Identifier: MIT
 * The mounts of this process' namespace, for advice about names: one object may have several. */
#ifndef OPEND_POLICY_MOUNTS_H
#define OPEND_POLICY_MOUNTS_H

#include "arena.h"

struct mount {
	const char *device; /* "major:minor" */
	const char *root;   /* of what is mounted, in its file system */
	const char *point;  /* where */
};

struct mounts {
	struct arena arena;
	struct mount *list;
	size_t n;
};

/* Reads mountinfo, proc(5). `text` NULL: this process' own. A line that is not understood is left
 * out. 0 or -errno. */
int mounts_read(struct mounts *m, const char *text, size_t len);
void mounts_deinit(struct mounts *m);

/* Under which other name, not below itself, does path or a part of it appear? Writes the i-th (from
 * 0) into ret (PATH_MAX); false when there is none. */
bool mounts_alias(const struct mounts *m, const char *path, size_t i, char *ret);

#endif
