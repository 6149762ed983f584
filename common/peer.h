/* SPDX-License-Identifier: MIT
 * Who is at the other end of a connection: the kernel's word of when it was made (unix(7)). */
#ifndef OPEND_PEER_H
#define OPEND_PEER_H

#include <stdint.h>
#include <sys/types.h>

/* Its supplementary groups (SO_PEERGROUPS, Linux 4.13) in the kernel's order, which is the same for
 * the same groups (groups_sort() at setgroups(2)) and that of getgroups(2). 0 and *ret, which is the
 * caller's to free, or -errno. Does not block. */
int peer_groups(int fd, gid_t **ret, uint32_t *ret_n);

/* Our end's own name, which is the listener's that accepted it: a path, or "@" and the rest of an
 * abstract one, or "" (unix(7)). 0 or -errno. */
enum { SOCKET_NAME_MAX = 109 };
int socket_name(int fd, char ret[SOCKET_NAME_MAX]);

#endif
