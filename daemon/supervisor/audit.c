/* SPDX-License-Identifier: MIT
 * opend-audit, as the supervisor sees it: a child with an id of its own that is told whose pipe is
 * whose. We keep each pipe's reading end too, so that nothing in it is lost when opend-audit dies
 * and is started again. We never wait for it: what it does not take, workers count. */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <syslog.h>
#include "audit.h"
#include "fdpass.h"
#include "supervisor.h"

enum { AGAIN_USEC = 1000000 };

void audit_introduce(struct supervisor *s, const struct worker *w)
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

static int restart(sd_event_source *source, uint64_t usec, void *data)
{
	struct supervisor *s = data;

	(void)source;
	(void)usec;
	s->audit_later = sd_event_source_unref(s->audit_later);
	if (audit_start(s) < 0)
		say(LOG_WARNING, "cannot start opend-audit");
	return 0;
}

static int on_death(sd_event_source *source, const siginfo_t *info, void *data)
{
	struct supervisor *s = data;

	(void)source;
	s->audit_child = sd_event_source_unref(s->audit_child);
	s->audit = close_fd(s->audit);
	if (s->stopping)
		return 0;
	say(LOG_WARNING, "opend-audit ended (%s %d) and is started again",
	    info->si_code == CLD_EXITED ? "exit" : "signal", info->si_status);
	sd_event_add_time_relative(s->event, &s->audit_later, CLOCK_MONOTONIC, AGAIN_USEC, 0,
				   restart, s);
	return 0;
}

/* In the child. It keeps nothing of what we may. */
static void __attribute__((noreturn)) become_audit(const struct supervisor *s, int peers)
{
	char *const argv[] = { (char *)"opend-audit", s->system ? NULL : (char *)"--private",
			       NULL };

	if (s->system &&
	    (setgroups(0, NULL) < 0 || setresgid(s->audit_gid, s->audit_gid, s->audit_gid) < 0 ||
	     setresuid(s->audit_uid, s->audit_uid, s->audit_uid) < 0))
		_exit(125);
	if (privilege_drop() < 0)
		_exit(125);
	child_exec(s, s->audit_exe, &peers, 1, argv, true);
}

int audit_start(struct supervisor *s)
{
	struct worker *w;
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	shutdown(sv[0], SHUT_RD);
	s->audit_pid = fork();
	if (s->audit_pid == 0)
		become_audit(s, sv[1]);
	close(sv[1]);
	s->audit = sv[0];
	if (s->audit_pid < 0)
		return -errno;
	LIST_FOREACH (w, &s->workers, all)
		audit_introduce(s, w);
	return sd_event_add_child(s->event, &s->audit_child, s->audit_pid, WEXITED, on_death, s) < 0
		       ? -ENOMEM
		       : 0;
}

/* The workers have ended; it drains their pipes and ends at the last end of file. */
void audit_end(struct supervisor *s)
{
	s->audit = close_fd(s->audit);
}
