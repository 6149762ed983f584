/* SPDX-License-Identifier: MIT
 * Is this process's time on the CPU rationed (cpu.max, cgroups(7))? */
#ifndef OPEND_QUOTA_H
#define OPEND_QUOTA_H

#include <stdbool.h>

/* Of our own group, or any above it. Reads files, once in a process; thread-safe. */
bool quota_is_set(void);
/* For group, a path that begins with a slash, below root; it is cut up. */
bool quota_above(const char *root, char *group);

#endif
