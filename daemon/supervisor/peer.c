/* SPDX-License-Identifier: MIT
 * Who came: the kernel's word, recorded when the peer connected (SO_PEERCRED, SO_PEERGROUPS,
 * unix(7)). Every id starts as -1, so that a lookup that fails never looks like root. An identity
 * once seen is kept while it has a worker, so that the next connection finds it at once. */
#include <errno.h>
#include <poll.h>
#include <search.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <systemd/sd-login.h>
#include "supervisor.h"

enum {
	SOCKET_PEERPIDFD = 77, /* SO_PEERPIDFD, Linux 6.5 */
	OVERFLOW_ID = 65534,   /* user_namespaces(7): whoever has no id here */
	IDENTITIES_KEPT = 8,   /* of a uid, for when it comes back */
};

static int by_gid(const void *a, const void *b)
{
	gid_t x = *(const gid_t *)a, y = *(const gid_t *)b;

	return x < y ? -1 : x > y;
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
	qsort(g, *ret_n, sizeof *g, by_gid);
	*ret = take_ptr(g);
	return 0;
}

static bool alive(int pidfd)
{
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

static pid_t pid_of(int pidfd)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[128];
	int pid = -1;

	snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "Pid: %d", &pid) == 1)
			break;
	return pid;
}

/* The nearest system unit of the peer, "" when it is in none. Its pid is good only as long as its
 * pidfd is alive, so that is looked at once more when the answer is there. A unit that cannot be
 * told is an error: a deny by unit must not fail open. */
static int peer_unit(int fd, char *unit, size_t size)
{
	_cleanup_close_ int pidfd = -1;
	_cleanup_free_ char *name = NULL;
	socklen_t len = sizeof pidfd;
	pid_t pid;
	int r;

	unit[0] = 0;
	if (getsockopt(fd, SOL_SOCKET, SOCKET_PEERPIDFD, &pidfd, &len) < 0) {
		pidfd = -1;
		return -errno;
	}
	pid = pid_of(pidfd);
	if (pid <= 0)
		return -ESRCH;
	r = sd_pid_get_unit(pid, &name);
	if (!alive(pidfd))
		return -ESRCH;
	if (r == -ENODATA || r == -ENXIO)
		return 0;
	if (r < 0 || strlen(name) >= size)
		return r < 0 ? r : -ENAMETOOLONG;
	memcpy(unit, name, strlen(name) + 1);
	return 0;
}

static int by_uid(const void *pa, const void *pb)
{
	const struct account *a = pa, *b = pb;

	return a->uid < b->uid ? -1 : a->uid > b->uid;
}

struct account *account_of(struct supervisor *s, uid_t uid)
{
	struct account *fresh = calloc(1, sizeof *fresh), **found;

	if (!fresh)
		return NULL;
	fresh->uid = uid;
	found = tsearch(fresh, &s->accounts, by_uid);
	if (!found || *found != fresh)
		free(fresh);
	return found ? *found : NULL;
}

void account_release(struct supervisor *s, struct account *a)
{
	if (!a || a->n_identities || a->n_workers)
		return;
	tdelete(a, &s->accounts, by_uid);
	free(a);
}

static int compare(const void *pa, const void *pb)
{
	const struct identity *a = pa, *b = pb;

	if (a->uid != b->uid)
		return a->uid < b->uid ? -1 : 1;
	if (a->gid != b->gid)
		return a->gid < b->gid ? -1 : 1;
	if (a->door != b->door)
		return a->door < b->door ? -1 : 1;
	if (a->n_groups != b->n_groups)
		return a->n_groups < b->n_groups ? -1 : 1;
	if (a->n_groups) {
		int r = memcmp(a->groups, b->groups, a->n_groups * sizeof *a->groups);

		if (r)
			return r;
	}
	if (a->unit_asked != b->unit_asked)
		return a->unit_asked ? 1 : -1;
	return strcmp(a->unit, b->unit);
}

static struct identity *remember(struct supervisor *s, struct identity *wanted)
{
	struct identity **found = tsearch(wanted, &s->identities, compare);
	struct identity *copy;

	if (!found || *found != wanted) {
		free(wanted->groups);
		return found ? *found : NULL;
	}
	copy = malloc(sizeof *copy);
	wanted->account = copy ? account_of(s, wanted->uid) : NULL;
	if (!wanted->account) {
		tdelete(wanted, &s->identities, compare);
		free(wanted->groups);
		free(copy);
		return NULL;
	}
	wanted->account->n_identities++;
	*copy = *wanted;
	*found = copy;
	return copy;
}

struct identity *peer_identity(struct supervisor *s, int fd, const struct door *door)
{
	struct ucred peer = { .pid = -1, .uid = (uid_t)-1, .gid = (gid_t)-1 };
	struct identity wanted = { .door = door };
	socklen_t len = sizeof peer;

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return NULL;
	if (peer.uid == (uid_t)-1 || peer.gid == (gid_t)-1 ||
	    (s->in_userns && (peer.uid == OVERFLOW_ID || peer.gid == OVERFLOW_ID))) {
		errno = EACCES;
		return NULL;
	}
	wanted.uid = peer.uid;
	wanted.gid = peer.gid;
	if (s->units && s->policy && policy_uses_units(s->policy)) {
		if (peer_unit(fd, wanted.unit, sizeof wanted.unit) < 0)
			return NULL;
		wanted.unit_asked = true;
	}
	if (peer_groups(fd, &wanted.groups, &wanted.n_groups) < 0)
		return NULL;
	return remember(s, &wanted);
}

void identity_serve(struct identity *i, struct worker *w)
{
	if (i->worker)
		LIST_REMOVE(i, same_worker);
	i->worker = w;
	if (w)
		LIST_INSERT_HEAD(&w->identities, i, same_worker);
}

void identity_release(struct supervisor *s, struct identity *i)
{
	if (i->n_clients)
		return;
	/* Groups are up to the peer, so identities cost memory that somebody must be charged for.
	 */
	if (i->worker && i->account->n_identities > IDENTITIES_KEPT)
		identity_serve(i, NULL);
	if (i->worker)
		return;
	tdelete(i, &s->identities, compare);
	i->account->n_identities--;
	account_release(s, i->account);
	free(i->groups);
	free(i);
}
