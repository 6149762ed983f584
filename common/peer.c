/* SPDX-License-Identifier: MIT
 * See peer.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "peer.h"
#include "util.h"

enum { GROUPS_MAX = 65536 };

/* 65,536 groups need 256 KiB; ERANGE says how much. */
int peer_groups(int fd, gid_t **ret, uint32_t *ret_n)
{
	_cleanup_free_ gid_t *g = NULL;
	socklen_t len = 64 * sizeof *g;

	for (;;) {
		free(take_ptr(g));
		g = malloc(len + 1);
		if (!g)
			return -ENOMEM;
		if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, g, &len) == 0)
			break;
		if (errno != ERANGE || len > GROUPS_MAX * sizeof *g)
			return -errno;
	}
	*ret_n = (uint32_t)(len / sizeof *g);
	*ret = take_ptr(g);
	return 0;
}
