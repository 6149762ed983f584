/* SPDX-License-Identifier: MIT
 * Clients: each connection, who serves it, and its way there. Nobody ever waits for a worker: what
 * it is given is queued until it has said READY, and its death costs the connections that it had
 * and nothing else. */
#include <errno.h>
#include <sys/time.h>
#include "fdpass.h"
#include "front.h"
#include "wire.h"

/* ---- clients ---- */

void interrupt_after(unsigned usec)
{
	const struct timeval t = { .tv_sec = usec / 1000000, .tv_usec = usec % 1000000 };
	const struct itimerval timer = { .it_interval = t, .it_value = t };

	setitimer(ITIMER_REAL, &timer, NULL);
}

/* The last close of a TCP socket with SO_LINGER sleeps, and the sleep ends at a signal (socket(7)):
 * so a socket on which a client may have queued one is closed under a repeating timer. */
void close_guarded(int fd, bool no_rights)
{
	if (!no_rights)
		interrupt_after(10000);
	close(fd);
	if (!no_rights)
		interrupt_after(0);
}

struct client *client_find(struct server *s, const struct worker *w, uint64_t cookie)
{
	uint32_t i = (uint32_t)cookie;
	struct client *c = i < s->clients_size ? s->clients[i] : NULL;

	return c && c->cookie == cookie && c->worker == w ? c : NULL;
}

struct client *client_new(struct server *s)
{
	static uint32_t births;
	struct client *c;
	uint32_t i = s->clients_free_hint;

	if (s->n_clients >= s->settings.connections)
		return NULL;

	while (i < s->clients_size && s->clients[i])
		i++;
	if (i == s->clients_size) {
		uint32_t size = s->clients_size ? 2 * s->clients_size : 256;
		struct client **more;

		more = realloc(s->clients, size * sizeof *more);
		if (!more)
			return NULL;
		memset(more + s->clients_size, 0, (size - s->clients_size) * sizeof *more);
		s->clients = more;
		s->clients_size = size;
	}
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = -1;
	c->cookie = (uint64_t)++births << 32 | i;
	s->clients[i] = c;
	s->clients_free_hint = i + 1;
	s->n_clients++;
	return c;
}

/* Takes c from its worker, whichever of its lists it is on. */
void client_detach(struct client *c)
{
	struct worker *w = c->worker;

	if (!w)
		return;
	TAILQ_REMOVE(c->handed_over ? &w->clients : &w->waiting, c, of_worker);
	c->worker = NULL;
	c->handed_over = false;
	if (--w->n_clients == 0)
		w->idle_since = now_usec();
}

/* Takes c off its worker and out of the table, and closes our duplicate. */
void client_close(struct server *s, struct client *c)
{
	uint32_t i = (uint32_t)c->cookie;

	client_detach(c);
	if (c->identity) {
		c->identity->n_clients--;
		c->identity->account->n_clients--;
		identity_release(s, c->identity);
	}
	s->clients[i] = NULL;
	if (i < s->clients_free_hint)
		s->clients_free_hint = i;
	s->n_clients--;
	if (c->fd >= 0)
		close_guarded(c->fd, c->flags & DOWN_NO_RIGHTS);
	free(c);
	if (s->opt.private_fd >= 0 && s->n_clients == 0)
		sd_event_exit(s->event, 0);
}

/* ---- giving ---- */

static void put(char *to, size_t size, const char *text)
{
	size_t n = UTIL_MIN(strlen(text), size - 1);

	memcpy(to, text, n);
	to[n] = 0;
}

/* Hands over what waits, as far as the worker's socket has room. */
void hand_over(struct worker *w)
{
	struct client *c;

	if (w->state != WORKER_READY)
		return;
	while ((c = TAILQ_FIRST(&w->waiting))) {
		struct down d = { .type = DOWN_ADOPT, .flags = c->flags, .cookie = c->cookie };
		int r;

		if (c->identity) {
			put(d.via, sizeof d.via, c->identity->door->name);
			put(d.unit, sizeof d.unit, c->identity->unit);
		}
		r = down_send(w, &d, c->fd);
		/* -ETOOMANYREFS: housekeeping comes back. Else it is dying, which will be told. */
		if (r == -EAGAIN)
			sd_event_source_set_enabled(w->writable, SD_EVENT_ONESHOT);
		if (r < 0)
			return;
		TAILQ_REMOVE(&w->waiting, c, of_worker);
		TAILQ_INSERT_TAIL(&w->clients, c, of_worker);
		c->handed_over = true;
		c->flags &= ~(uint32_t)DOWN_CARRIED;
		/* A lender's stream is between it and its worker; we keep no end. */
		if (c->flags & DOWN_PEER_WORKER)
			c->fd = close_fd(c->fd);
	}
}

void client_attach(struct worker *w, struct client *c)
{
	c->worker = w;
	w->n_clients++;
	TAILQ_INSERT_TAIL(&w->waiting, c, of_worker);
	hand_over(w);
}

void client_turn_away(struct server *s, struct client *c, int reason)
{
	turn_away(c->fd, c->flags & DOWN_NO_RIGHTS, reason);
	c->fd = -1;
	client_close(s, c);
}

/* Where the supervisor has ended, the next opend can do what we cannot. */
int reason_to_fail(const struct server *s)
{
	return s->supervisor < 0 ? WIRE_RESTART : WIRE_RESOURCES;
}

/* A client who cannot be served is told so, and has no worker. Near the end the next opend may have
 * one. */
static struct worker *place(struct server *s, struct client *c, uint32_t carried)
{
	/* Before it was handed over: what had been read is with one who is no more. */
	const bool lost = c->flags & DOWN_CARRIED;
	int reason = WIRE_RESTART;
	struct worker *w;

	c->flags |= carried;
	if (!lost && s->stopping && store_keep(s, c))
		return NULL;
	if (!lost && !s->stopping && c->identity)
		reason = worker_for(s, c->identity, &w);
	if (reason != 0) {
		client_turn_away(s, c, reason < 0 ? reason_to_fail(s) : reason);
		return NULL;
	}
	client_attach(w, c);
	return w;
}

/* A reload that took its worker away is over when the next one serves it. */
void client_place(struct server *s, struct client *c, uint32_t carried)
{
	struct worker *w = place(s, c, carried);

	if (!w || w->state != WORKER_BORN || w->awaited)
		return;
	w->awaited = true;
	reload_unsettled(s, w);
}

void client_welcome(struct server *s, struct identity *i, int consume_fd, bool no_rights)
{
	bool within = i->account->n_clients < s->settings.connections_per_user;
	struct client *c = within ? client_new(s) : NULL;

	if (!c) {
		turn_away(consume_fd, no_rights, within ? WIRE_RESOURCES : WIRE_QUOTA);
		identity_release(s, i);
		return;
	}
	c->fd = consume_fd;
	c->identity = i;
	c->flags = no_rights ? DOWN_NO_RIGHTS : 0;
	i->n_clients++;
	i->account->n_clients++;
	place(s, c, 0);
}
