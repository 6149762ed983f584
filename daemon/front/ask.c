/* SPDX-License-Identifier: MIT
 * Asking the supervisor. It is trusted, and answers at once; only while it reads a policy may it
 * take its time, for account databases. One that does not answer is as good as none. */
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <syslog.h>
#include "fdpass.h"
#include "front.h"

enum {
	START_TRIES = 50,
	START_PAUSE_USEC = 20000,
	ANSWER_MS = 20000,
	POLICY_MS = 120000,
	END_MS = 2000, /* nobody waits for a service that is to end */
	SLICE_MS = 1000,
};

/* To what was asked: one that is not waited for would be taken for the answer to the next. */
static int answer(int sock, int msec, struct told *told)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int waited = 0, r;
	size_t none;

	do {
		/* Where that fails, the next call says so too, or has it. */
		while (poll(&p, 1, SLICE_MS) == 0) {
			waited += SLICE_MS;
			if (waited >= msec)
				return -ETIMEDOUT;
			/* It is not we who hang. */
			if (msec > ANSWER_MS)
				notify("WATCHDOG=1");
		}
		r = fdpass_recv(sock, told, sizeof *told, NULL, 0, &none);
	} while (r == -EAGAIN);
	return r < 0 ? r : r == sizeof *told ? 0 : -EPIPE;
}

int ask(struct server *s, const struct question *ask, const int *fds, size_t n, struct told *told)
{
	const int msec = s->stopping ? END_MS : ask->type == ASK_POLICY ? POLICY_MS : ANSWER_MS;
	struct told unused;
	int r = 0;

	told = told ? told : &unused;
	*told = (struct told){ 0 };
	if (s->supervisor < 0)
		return -EPIPE;
	/* In flight of one user are counted together (unix(7)): a start can wait for others'. */
	for (int i = 0; i < START_TRIES; i++) {
		r = fdpass_send(s->supervisor, ask, sizeof *ask, fds, n);
		if (r != -ETOOMANYREFS || s->serving)
			break;
		usleep(START_PAUSE_USEC);
	}
	/* The kernel's own limits; nothing was sent. */
	if (r == -EMFILE || r == -ENOMEM || r == -ENOBUFS || r == -ETOOMANYREFS)
		return r;
	if (r >= 0)
		r = answer(s->supervisor, msec, told);
	if (r < 0) {
		say(LOG_ERR, "opend-supervisor %s",
		    r == -ETIMEDOUT ? "does not answer" : "has ended");
		s->supervisor = close_fd(s->supervisor);
		sd_event_exit(s->event, r);
		return r;
	}
	return told->result;
}
