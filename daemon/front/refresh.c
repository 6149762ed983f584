/* SPDX-License-Identifier: MIT
 * Refresh: the worker of a base that is new or was replaced hands everything over to one that is
 * the same, but was born after the change. */
#include <errno.h>
#include <sys/socket.h>
#include "front.h"

enum { REFRESH_USEC = 1000000 };

static int on_refresh_due(sd_event_source *source, uint64_t usec, void *data);

/* ---- refresh ---- */

/* A worker whose Landlock domain is out of date gets a successor with the same policy. Once that
 * is ready, everything goes over to it. Not more often than once a second. */
void refresh(struct server *s, struct worker *w)
{
	if (w->successor || w->state != WORKER_READY || w->role != BIRTH_WORKER)
		return;
	if (now_usec() - w->born < REFRESH_USEC) {
		if (!w->refresh_later)
			sd_event_add_time(s->event, &w->refresh_later, CLOCK_MONOTONIC,
					  w->born + REFRESH_USEC, 1000, on_refresh_due, w);
		return;
	}
	/* Each refresh may leave one behind that hangs. */
	if ((w->account && w->account->n_stuck >= s->settings.stuck_per_user) ||
	    worker_new(s, BIRTH_WORKER, w->uid, 0, w->instance, &w->successor) < 0) {
		w->successor = NULL;
		refresh_failed(w);
		return;
	}
	w->successor->has_root = w->has_root;
	w->successor->predecessor = w;
}

static int on_refresh_due(sd_event_source *source, uint64_t usec, void *data)
{
	struct worker *w = data;

	(void)source;
	(void)usec;
	w->refresh_later = sd_event_source_unref(w->refresh_later);
	refresh(w->server, w);
	return 0;
}

void refresh_failed(struct worker *w)
{
	struct down d = { .type = DOWN_NO_REFRESH };

	w->successor = NULL;
	down_send(w, &d, -1);
}

/* The successor is confined and ready: the two are joined, and the old one gives everything up. */
void succeed(struct server *s, struct worker *fresh)
{
	struct worker *old = fresh->predecessor;
	struct down inherit = { .type = DOWN_INHERIT };
	int sv[2];

	fresh->predecessor = NULL;
	if (old->state == WORKER_LEAVING ||
	    socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0) {
		refresh_failed(old);
		return;
	}
	/* Ours of the end that the old one can write to is closed before it has the other: nobody
	 * but the successor may be the last to drop what comes through. */
	down_send(fresh, &inherit, sv[0]);
	close(sv[0]);
	leave(s, old, DOWN_RELEASE, sv[1]);
	close(sv[1]);
	old->successor = NULL;
}
