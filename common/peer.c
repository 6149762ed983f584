/* SPDX-License-Identifier: MIT
 * See peer.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include "peer.h"
#include "util.h"

enum { GROUPS_MAX = 65536 };

int socket_name(int fd, char ret[SOCKET_NAME_MAX])
{
	struct sockaddr_un a = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof a;

	if (getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -errno;
	if (a.sun_family != AF_UNIX)
		return -EAFNOSUPPORT;
	len = UTIL_MIN(len, (socklen_t)sizeof a) -
	      (socklen_t)offsetof(struct sockaddr_un, sun_path);
	memcpy(ret, a.sun_path, len);
	ret[len] = 0;
	if (len && !ret[0])
		ret[0] = '@';
	return 0;
}

/* 65,536 groups need 256 KiB; ERANGE says how much. */
static int peer_groups(int fd, gid_t **ret, uint32_t *ret_n)
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

int credentials_of_peer(int fd, struct credentials *ret)
{
	struct ucred peer = { .uid = (uid_t)-1, .gid = (gid_t)-1 };
	socklen_t len = sizeof peer;

	*ret = (struct credentials){ .uid = (uid_t)-1, .gid = (gid_t)-1 };
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return -errno;
	ret->uid = peer.uid;
	ret->gid = peer.gid;
	return peer_groups(fd, &ret->groups, &ret->n_groups);
}

int credentials_own(struct credentials *ret)
{
	int n = getgroups(0, NULL);

	*ret = (struct credentials){ .uid = geteuid(), .gid = getegid() };
	ret->groups = calloc((size_t)UTIL_MAX(n, 0) + 1, sizeof *ret->groups);
	if (ret->groups && n >= 0)
		n = getgroups(n, ret->groups);
	if (!ret->groups || n < 0) {
		n = ret->groups ? -errno : -ENOMEM;
		credentials_deinit(ret);
		return n;
	}
	ret->n_groups = (uint32_t)n;
	return 0;
}

int credentials_compare(const struct credentials *a, const struct credentials *b)
{
	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	if (a->gid != b->gid)
		return a->gid < b->gid ? -1 : 1;
	if (a->n_groups != b->n_groups)
		return a->n_groups < b->n_groups ? -1 : 1;
	return a->n_groups ? memcmp(a->groups, b->groups, a->n_groups * sizeof *a->groups) : 0;
}
