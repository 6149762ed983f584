/* SPDX-License-Identifier: MIT
 * A restart that clients do not notice. At the end, connections that workers have given back go
 * into the manager's descriptor store (sd_pid_notify_with_fds(3), FDSTORE=1), named after their
 * doors; the next opend finds them among the descriptors that it is started with, and welcomes them
 * like any other. What a client has written meanwhile waits in the socket.
 *
 * Only a connection that was born with SO_PASSRIGHTS=0 goes there. On any other its client may have
 * queued a descriptor whose last close lingers, and the manager is PID 1: it would sleep, and the
 * system with it. FDPOLL=0, or the manager would look at them and drop what its client has left;
 * so they stay until they are taken out by name. Whoever cannot be stored is told GOODBYE. */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <syslog.h>
#include <systemd/sd-daemon.h>
#include "front.h"
#include "wire.h"

#define PREFIX "connection-"
enum {
	AT_ONCE = 128, /* descriptors in one message; the kernel takes 253 */
	BARRIER_USEC = 1000000
};

/* $FDSTORE: how many the manager takes. systemd 254 sets it, and our unit for those before. */
void store_find(struct server *s)
{
	const char *max = getenv("FDSTORE");
	char *end;
	unsigned long n = max && getenv("NOTIFY_SOCKET") ? strtoul(max, &end, 10) : 0;

	s->store_room = n && !*end && n <= UINT32_MAX ? (uint32_t)n : 0;
}

bool store_has_room(const struct server *s)
{
	return s->store_room > 0;
}

/* ---- the end ---- */

bool store_keep(struct server *s, const struct client *c)
{
	if (!s->store_room || !c->identity || !(c->flags & DOWN_NO_RIGHTS) ||
	    (c->flags & DOWN_CARRIED))
		return false;
	s->store_room--;
	return true;
}

/* One door's, as far as one message takes them. All of it or nothing is taken. */
static bool send_away(const struct door *d, const int *fds, unsigned n)
{
	char state[128];

	snprintf(state, sizeof state, "FDSTORE=1\nFDPOLL=0\nFDNAME=" PREFIX "%s", d->name);
	return notify_with_fds(state, fds, n) > 0;
}

static unsigned store_some(struct server *s, const struct door *d)
{
	struct client *some[AT_ONCE];
	int fds[AT_ONCE];
	unsigned n = 0;
	bool sent;

	for (uint32_t i = 0; i < s->clients_size && n < AT_ONCE; i++) {
		struct client *c = s->clients[i];

		if (!c || c->worker || !c->identity || c->identity->door != d)
			continue;
		fds[n] = c->fd;
		some[n++] = c;
	}
	sent = n && send_away(d, fds, n);
	for (unsigned i = 0; i < n; i++)
		if (sent)
			client_close(s, some[i]);
		else
			client_turn_away(s, some[i], WIRE_RESTART);
	return n;
}

/* The manager may look at who sent this only while we are there: so we wait until it has. */
void store_clients(struct server *s)
{
	unsigned all = 0, n;

	for (size_t i = 0; i < s->n_doors; i++)
		while ((n = store_some(s, &s->doors[i])) > 0)
			all += n;
	if (!all)
		return;
	sd_notify_barrier(0, BARRIER_USEC);
	say(LOG_INFO, "%u connections wait for the next opend", all);
}

/* ---- the start ---- */

bool store_is_kept(int fd, const char *name)
{
	return strncmp(name, PREFIX, strlen(PREFIX)) == 0 &&
	       sd_is_socket_unix(fd, SOCK_STREAM, 0, NULL, 0) > 0;
}

int store_found(struct server *s, int consume_fd, const char *name)
{
	_cleanup_close_ int fd = consume_fd;
	struct kept *k = calloc(1, sizeof *k);

	if (!k)
		return -ENOMEM;
	snprintf(k->door, sizeof k->door, "%s", name + strlen(PREFIX));
	fcntl(fd, F_SETFL, O_NONBLOCK);
	k->fd = take_fd(&fd);
	SLIST_INSERT_HEAD(&s->kept, k, next);
	return 0;
}

static const struct door *door_called(const struct server *s, const char *name)
{
	for (size_t i = 0; i < s->n_doors; i++)
		if (!strcmp(s->doors[i].name, name))
			return &s->doors[i];
	return NULL;
}

/* Before any of them is served: what is served is never again what somebody finds in the store.
 * False where that is not sure. */
static bool take_out(const struct server *s)
{
	const struct kept *k, *same;
	char state[128];
	bool told = true;

	SLIST_FOREACH(k, &s->kept, next)
	{
		for (same = SLIST_FIRST(&s->kept); strcmp(same->door, k->door);)
			same = SLIST_NEXT(same, next);
		if (same != k)
			continue; /* that name has been told */
		snprintf(state, sizeof state, "FDSTOREREMOVE=1\nFDNAME=" PREFIX "%s", k->door);
		told &= notify_with_fds(state, NULL, 0) > 0;
	}
	return told && sd_notify_barrier(0, BARRIER_USEC) >= 0;
}

void store_adopt(struct server *s)
{
	struct kept *k;
	unsigned n = 0;
	bool ours;

	if (SLIST_EMPTY(&s->kept))
		return;
	ours = take_out(s);
	for (; (k = SLIST_FIRST(&s->kept)); n++) {
		const struct door *d = ours ? door_called(s, k->door) : NULL;

		SLIST_REMOVE_HEAD(&s->kept, next);
		if (d)
			door_welcome(s, k->fd, d);
		else
			turn_away(k->fd, false, WIRE_RESTART);
		free(k);
	}
	say(LOG_INFO, "%u connections %s from the opend before", n,
	    ours ? "taken over" : "could not be taken over");
}
