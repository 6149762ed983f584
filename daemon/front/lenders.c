/* SPDX-License-Identifier: MIT
 * Lenders: a worker whose rules say `as root` gets one when it asks. Between the two is a stream of
 * which we keep no end. */
#include <errno.h>
#include <sys/socket.h>
#include "front.h"

enum { AGAIN_USEC = 1000000 };

/* ---- the lender ---- */

static void no_lender(struct worker *w, uint32_t flags)
{
	struct down d = { .type = DOWN_LENDER, .flags = flags };

	down_send(w, &d, -1);
}

/* A lender leaves or is dead. One that was never introduced is still being waited for. */
void lender_gone(struct worker *lender)
{
	struct worker *w = lender->borrower;

	lender->borrower = NULL;
	if (!w)
		return;
	w->lender = NULL;
	if (lender->lender_end >= 0)
		no_lender(w, DOWN_NOT_NOW);
}

static int lender_new(struct server *s, struct worker *w)
{
	const struct identity *i = LIST_FIRST(&w->identities);
	struct worker *lender;
	struct client *c;
	int r, sv[2];

	if (!i)
		return -ESRCH;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, sv) < 0)
		return -errno;
	r = worker_new(s, BIRTH_LENDER, i->is.uid, i->number, 0, &lender);
	c = r < 0 ? NULL : client_new(s);
	if (!c) {
		/* Whom nobody borrows from nobody would end. */
		if (r == 0)
			leave(s, lender, DOWN_RETIRE, -1);
		close_fd(sv[0]);
		close_fd(sv[1]);
		return r < 0 ? r : -ENOMEM;
	}
	lender->borrower = w;
	w->lender = lender;
	lender->lender_end = sv[0];
	c->fd = sv[1];
	c->flags = DOWN_PEER_WORKER | DOWN_NO_RIGHTS;
	client_attach(lender, c);
	return 0;
}

void want_lender(struct server *s, struct worker *w)
{
	uint64_t now = now_usec();

	w->lender_due = false;
	if (w->role != BIRTH_WORKER || (w->lender && w->lender->lender_end >= 0))
		return;
	if (!s->system || !w->has_root) {
		no_lender(w, 0);
		return;
	}
	/* Not more than one birth a second, whatever it asks; housekeeping comes back to it. */
	if (now - w->lender_born < AGAIN_USEC) {
		w->lender_due = true;
		return;
	}
	w->lender_born = now;
	/* It asks only when it has none: what we think of as its lender has said GOODBYE. */
	if (w->lender)
		leave(s, w->lender, DOWN_RETIRE, -1);
	if (w->state != WORKER_READY || lender_new(s, w) < 0)
		no_lender(w, DOWN_NOT_NOW);
}

/* The lender is confined and ready: its worker gets the other end of the stream. */
void introduce(struct worker *lender)
{
	struct down d = { .type = DOWN_LENDER };

	/* Where it does not get through now, housekeeping tries again. */
	if (!lender->borrower || down_send(lender->borrower, &d, lender->lender_end) == 0)
		lender->lender_end = close_fd(lender->lender_end);
}
