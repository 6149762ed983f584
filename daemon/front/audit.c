/* SPDX-License-Identifier: MIT
 * opend-audit, as the supervisor sees it: a child with an id of its own that is told whose pipe is
 * whose. We keep each pipe's reading end too, so that nothing in it is lost when opend-audit dies
 * and is started again. We never wait for it: what it does not take, workers count. */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include "audit.h"
#include "fdpass.h"
#include "front.h"

enum { AGAIN_USEC = 1000000 };

void audit_introduce(struct server *s, const struct worker *w)
{
	const struct audit_peer p = { .version = AUDIT_VERSION,
				      .role = w->role,
				      .uid = w->uid,
				      .gid = w->gid,
				      .slot = w->slot,
				      .pid = w->pid,
				      .instance = w->instance };

	if (s->audit >= 0 && fdpass_send(s->audit, &p, sizeof p, &w->audit, 1) < 0)
		say(LOG_WARNING, "opend-audit does not keep up; worker %d is not heard",
		    (int)w->pid);
}

static void start_again_later(struct server *s);

static int restart(sd_event_source *source, uint64_t usec, void *data)
{
	struct server *s = data;

	(void)source;
	(void)usec;
	s->audit_later = sd_event_source_unref(s->audit_later);
	if (audit_start(s) < 0) {
		say(LOG_WARNING, "cannot start opend-audit");
		start_again_later(s);
	}
	return 0;
}

static void start_again_later(struct server *s)
{
	sd_event_add_time_relative(s->event, &s->audit_later, CLOCK_MONOTONIC, AGAIN_USEC, 0,
				   restart, s);
}

static int on_death(sd_event_source *source, const siginfo_t *info, void *data)
{
	struct server *s = data;

	(void)source;
	s->audit_child = sd_event_source_unref(s->audit_child);
	s->audit = close_fd(s->audit);
	if (s->stopping)
		return 0;
	say(LOG_WARNING, "opend-audit ended (%s %d) and is started again",
	    info->si_code == CLD_EXITED ? "exit" : "signal", info->si_status);
	start_again_later(s);
	return 0;
}

int audit_start(struct server *s)
{
	const struct question birth = { .type = ASK_BIRTH, .role = ASK_ROLE_AUDIT };
	struct told told;
	struct worker *w;
	int r, sv[2];

	if (!s->audit_stats) {
		s->audit_stats_fd = share_stats(&s->audit_stats);
		if (s->audit_stats_fd < 0)
			return s->audit_stats_fd;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	shutdown(sv[0], SHUT_RD);
	r = ask(s, &birth, (int[]){ sv[1], s->audit_stats_fd }, 2, &told);
	close(sv[1]);
	if (r < 0) {
		close(sv[0]);
		return r;
	}
	s->audit = sv[0];
	LIST_FOREACH (w, &s->workers, all)
		audit_introduce(s, w);
	r = watch_child(s, &s->audit_child, told.pid, on_death, s);
	/* It ends when nobody speaks to it. */
	if (r < 0)
		s->audit = close_fd(s->audit);
	return r;
}

/* The workers have ended; it drains their pipes and ends at the last end of file. */
void audit_end(struct server *s)
{
	s->audit = close_fd(s->audit);
}
