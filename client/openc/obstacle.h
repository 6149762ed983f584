/* SPDX-License-Identifier: MIT */
#ifndef OPENC_OBSTACLE_H
#define OPENC_OBSTACLE_H

#include "cli.h"
#include "policy/policy.h"

/* Why the kernel would refuse `who` this access (bits of OPENC_READ ...) to `path`, by his own
 * rights: "may not search /a (mode 0700, owner 0:0)". NULL: it would not, or we are not root and
 * cannot tell. To be freed. Blocks as the file systems on the path do. */
char *find_obstacle(const struct policy_subject *who, const char *path, unsigned access);

#endif
