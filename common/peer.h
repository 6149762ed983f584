/* SPDX-License-Identifier: MIT
 * Who is at the other end of a connection: the kernel's word of when it was made (unix(7)). */
#ifndef OPEND_PEER_H
#define OPEND_PEER_H

#include <stdint.h>
#include <stdlib.h>
#include <sys/types.h>
#include "util.h"

/* Groups in the kernel's order, which is the same for the same groups (groups_sort() at
 * setgroups(2)), for SO_PEERGROUPS and for getgroups(2). */
struct credentials {
	uid_t uid;
	gid_t gid, *groups;			/* supplementary; the owner's to free */
	uint32_t n_groups;
};

static inline void credentials_deinit(struct credentials *c)
{
	free(take_ptr(c->groups));
}

/* The peer's (SO_PEERCRED; SO_PEERGROUPS, Linux 4.13), and our own. 0 and *ret, or -errno and no
 * groups; an id that the kernel did not tell is -1, so that it never looks like root's. They do not
 * block. */
int credentials_of_peer(int fd, struct credentials *ret);
int credentials_own(struct credentials *ret);

/* Less than, equal to or greater than 0, in some order. */
int credentials_compare(const struct credentials *a, const struct credentials *b);

/* Our end's own name, which is the listener's that accepted it: a path, or "@" and the rest of an
 * abstract one, or "" (unix(7)). 0 or -errno. */
enum { SOCKET_NAME_MAX = 109 };
int socket_name(int fd, char ret[SOCKET_NAME_MAX]);

#endif
