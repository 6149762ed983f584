/* SPDX-License-Identifier: MIT
 * Who came: the kernel's word, recorded when the peer connected (common/peer.h). The front names
 * identities by number, and so can name only those whose connection it has shown. */
#include <errno.h>
#include <poll.h>
#include <search.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <systemd/sd-login.h>
#include "supervisor.h"

enum {
	SOCKET_PEERPIDFD = 77, /* SO_PEERPIDFD, Linux 6.5 */
	OVERFLOW_ID = 65534,   /* user_namespaces(7): whoever has no id here */
	IDENTITIES_MAX = 1 << 20,
};

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

static int compare(const void *pa, const void *pb)
{
	const struct identity *a = pa, *b = pb;
	int r = credentials_compare(&a->is, &b->is);

	if (r == 0)
		r = strcmp(a->door, b->door);
	if (r == 0)
		r = (int)a->unit_asked - (int)b->unit_asked;
	return r ? r : strcmp(a->unit, b->unit);
}

struct identity *identity_find(const struct supervisor *s, uint32_t number)
{
	return number - 1 < s->n_identities ? s->identities[number - 1] : NULL;
}

static void identity_free(struct identity *i)
{
	if (i)
		credentials_deinit(&i->is);
	free(i);
}

void identity_forget(struct supervisor *s, struct identity *i)
{
	tdelete(i, &s->by_credentials, compare);
	s->identities[i->number - 1] = NULL;
	identity_free(i);
}

static int number(struct supervisor *s, struct identity *i)
{
	struct identity **more;
	uint32_t n = 0;

	while (n < s->n_identities && s->identities[n])
		n++;
	if (n == s->n_identities) {
		if (n == IDENTITIES_MAX)
			return -ENOSPC;
		more = realloc(s->identities, (n + 1) * sizeof *more);
		if (!more)
			return -ENOMEM;
		s->identities = more;
		s->n_identities = n + 1;
	}
	s->identities[n] = i;
	i->number = n + 1;
	return 0;
}

/* *i becomes who is the same, if we know one. */
static int remember(struct supervisor *s, struct identity **i)
{
	struct identity **found = tfind(*i, &s->by_credentials, compare);
	int r;

	if (found) {
		identity_free(*i);
		*i = *found;
		return 0;
	}
	r = number(s, *i);
	if (r == 0 && !tsearch(*i, &s->by_credentials, compare)) {
		s->identities[(*i)->number - 1] = NULL;
		r = -ENOMEM;
	}
	return r;
}

/* Did somebody connect, to us? Of a socket on which connect(2) was called, and of one that listens,
 * SO_PEERCRED tells who listens: a front could call the journal, and show us root. The second has
 * no peer; the peer of the first has the name by which it was found, and who comes to us has none.
 * Of a pair it tells who made it; but only what a door accepted has the door's name. */
static bool somebody_came(const struct supervisor *s, int fd)
{
	struct sockaddr_un theirs;
	socklen_t len = sizeof theirs;
	char name[SOCKET_NAME_MAX];

	if (getpeername(fd, (struct sockaddr *)&theirs, &len) < 0 ||
	    len > sizeof theirs.sun_family || socket_name(fd, name) < 0)
		return false;
	for (size_t i = 0; i < s->n_doors; i++)
		if (!strcmp(name, s->doors[i]))
			return true;
	return false;
}

static int look_at(const struct supervisor *s, int fd, const char *door, struct identity *ret)
{
	int r = credentials_of_peer(fd, &ret->is);

	if (r < 0)
		return r;
	if ((s->system && !somebody_came(s, fd)) || ret->is.uid == (uid_t)-1 ||
	    ret->is.gid == (gid_t)-1 ||
	    (s->in_userns && (ret->is.uid == OVERFLOW_ID || ret->is.gid == OVERFLOW_ID)))
		return -EACCES;
	memcpy(ret->door, door, sizeof ret->door);
	ret->unit_asked = units_matter(s);
	return ret->unit_asked ? peer_unit(fd, ret->unit, sizeof ret->unit) : 0;
}

int peer_identity(struct supervisor *s, int fd, const char *door, struct told *told)
{
	struct identity *i = calloc(1, sizeof *i);
	int r = i ? look_at(s, fd, door, i) : -ENOMEM;

	if (r == 0)
		r = remember(s, &i);
	if (r < 0) {
		identity_free(i);
		return r;
	}
	told->identity = i->number;
	told->uid = i->is.uid;
	told->gid = i->is.gid;
	told->unit_asked = i->unit_asked;
	memcpy(told->unit, i->unit, sizeof told->unit);
	return 0;
}
