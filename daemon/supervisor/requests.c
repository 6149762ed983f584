/* SPDX-License-Identifier: MIT
 * What the supervisor is asked, by a front that may have been taken over: each request is taken off
 * the socket, handled and answered before the next. */
#include <errno.h>
#include <poll.h>
#include "fdpass.h"
#include "supervisor.h"

/* Not at the end of file: where opend was killed, another may stand in its place by now. */
static int remove_sockets(const struct supervisor *s)
{
	if (s->system)
		privilege_for_cleanup();
	for (size_t i = 0; i < s->n_sockets; i++)
		unlink(s->sockets[i]);
	return s->system ? privilege_lower() : 0;
}

/* Not one that lives: its slot is its own, and is given to the next when it is buried. */
static int bury(struct child *c)
{
	struct pollfd p = { .fd = c->pidfd, .events = POLLIN };

	if (poll(&p, 1, 0) != 1)
		return -EBUSY;
	child_bury(c);
	return 0;
}

static int handle(struct supervisor *s, struct question *ask, const int *fds, size_t n,
		  struct told *told)
{
	struct identity *i = identity_find(s, ask->identity);
	struct child *c = child_find(s, ask->instance);

	ask->door[sizeof ask->door - 1] = 0;
	switch (ask->type) {
	case ASK_POLICY:
		return n == 1 ? policy_reload(s, fds[0], told) : -EINVAL;
	case ASK_IDENTITY:
		return n == 1 ? peer_identity(s, fds[0], ask->door, told) : -EINVAL;
	case ASK_FORGET:
		if (i)
			identity_forget(s, i);
		return i ? 0 : -ESRCH;
	case ASK_FIT:
		return i ? policy_fit(s, i, ask->instance, told) : -ESRCH;
	case ASK_BIRTH:
		return birth(s, ask, fds, n, told);
	case ASK_KILL:
		return c ? child_kill(c) : -ESRCH;
	case ASK_BURY:
		return c ? bury(c) : -ESRCH;
	case ASK_TIDY:
		return remove_sockets(s);
	default:
		return -EINVAL;
	}
}

static const uint32_t NOTHING = UINT32_MAX;

int serve_one(struct supervisor *s)
{
	struct pollfd p = { .fd = ASK_FD, .events = POLLIN };
	struct told told = { 0 };
	struct question ask[2] = { { .type = NOTHING } }; /* one that is too long shows */
	int fds[ASK_FDS_MAX], n, r = 0;
	size_t n_fds;

	/* Where that fails, the next call says so too, or has it. */
	poll(&p, 1, -1);
	n = fdpass_recv(ASK_FD, ask, sizeof ask, fds, ASK_FDS_MAX, &n_fds);
	if (n == -EAGAIN)
		return 0;
	if (n == sizeof *ask)
		told.result = handle(s, ask, fds, n_fds, &told);
	/* It has come, without its descriptors. What has not come has no answer: there would be a
	 * second one. */
	else if (n == -EMFILE && ask->type != NOTHING)
		told.result = n;
	else
		r = n < 0 ? n : -EPIPE;
	for (size_t i = 0; i < n_fds; i++)
		close_fd(fds[i]);
	if (r == 0)
		r = fdpass_send(ASK_FD, &told, sizeof told, NULL, 0);
	return r < 0 ? r : 0;
}
