/* SPDX-License-Identifier: MIT
 * A file system that hangs and lies: a FUSE server of one directory whose file "plain" is like any
 * other, of "hang" no OPEN and of "flush" no FLUSH is ever answered; "denied" is a symbolic link
 * that READLINK says is none (EINVAL), and "empty" one that leads to "". */
#ifndef HARNESS_FUSE_H
#define HARNESS_FUSE_H

#include "harness.h"

/* Mounts it at TREE/data/fuse, for everybody, in a mount namespace that is the caller's own from
 * now on, and serves it in a process of its own. Nobody else holds the descriptor: who hangs could
 * not be let go by the server's end. False: no FUSE here. Needs root. */
bool fuse_start(struct client *ret);
/* Unmounts it, which lets go whoever hangs, and waits for its server. */
void fuse_end(struct client *server);

#endif
