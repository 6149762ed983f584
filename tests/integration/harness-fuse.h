/* SPDX-License-Identifier: MIT
 * A file system that hangs and lies: a FUSE server of one directory whose file "plain" is like any
 * other, of "hang" no OPEN and of "flush" no FLUSH is ever answered; "denied" is a symbolic link
 * that READLINK says is none (EINVAL), and "empty" one that leads to "". */
#ifndef HARNESS_FUSE_H
#define HARNESS_FUSE_H

/* Mounts it at path, for everybody, in the caller's mount namespace. Returns the descriptor to be
 * served, or -errno: no FUSE here. Needs root. */
int fuse_mount(const char *path);
/* Serves until the file system is unmounted or its connection aborted; then returns. */
void fuse_serve(int fd);

#endif
