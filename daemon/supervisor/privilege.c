/* SPDX-License-Identifier: MIT
 * What we may, and as little of it as can be. Serving, the supervisor is the user `opend` with
 * CAP_SETUID, CAP_SETGID and CAP_KILL in force. The DAC capabilities are merely permitted: they
 * are for lenders, handed on at exec, and never raised here while a client is served.
 *
 * Under systemd the unit starts us so. Started as root we take the step ourselves. Without any of
 * it we are a private opend, which serves the user who runs it and becomes nobody. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <syslog.h>
#include "supervisor.h"

static const cap_value_t own[] = { CAP_SETUID, CAP_SETGID, CAP_KILL };
static const cap_value_t handed_on[] = { CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE };

static bool permitted(cap_value_t cap)
{
	cap_t now = cap_get_proc();
	cap_flag_value_t v = CAP_CLEAR;

	if (now) {
		cap_get_flag(now, cap, CAP_PERMITTED, &v);
		cap_free(now);
	}
	return v == CAP_SET;
}

static bool parse_number(const char *s, unsigned long max, unsigned long *ret)
{
	char *end;

	if (*s < '0' || *s > '9')
		return false;
	errno = 0;
	*ret = strtoul(s, &end, 10);
	return errno == 0 && *end == 0 && *ret <= max;
}

static int find_account(const char *name, const char *option, uid_t *uid, gid_t *gid)
{
	unsigned long n;
	struct passwd *pw;

	if (parse_number(name, UINT32_MAX - 1, &n)) {
		*uid = (uid_t)n;
		*gid = (gid_t)n;
		return 0;
	}
	pw = getpwnam(name);
	if (!pw) {
		say(LOG_ERR,
		    "there is no account \"%s\": run systemd-sysusers, or name one with %s", name,
		    option);
		return -ENOENT;
	}
	*uid = pw->pw_uid;
	*gid = pw->pw_gid;
	return 0;
}

static int parse_slots(struct supervisor *s)
{
	_cleanup_free_ char *first = strdup(s->opt.worker_ids);
	char *dash = first ? strchr(first, '-') : NULL;
	unsigned long a, b;

	if (!first)
		return -ENOMEM;
	if (dash)
		*dash = 0;
	if (!dash || !parse_number(first, INT32_MAX, &a) ||
	    !parse_number(dash + 1, INT32_MAX, &b) || a == 0 || b < a) {
		say(LOG_ERR, "--worker-ids wants FIRST-LAST, two ids in order, not \"%s\"",
		    s->opt.worker_ids);
		return -EINVAL;
	}
	s->slot_first = (uint32_t)a;
	s->slot_count = (uint32_t)(b - a + 1);
	return 0;
}

/* Permitted: own and handed_on. Effective: own only. Inheritable and ambient: nothing. */
static int lower(void)
{
	cap_t caps = cap_init();
	int r = 0;

	if (!caps)
		return -ENOMEM;
	cap_set_flag(caps, CAP_PERMITTED, ELEMENTSOF(own), own, CAP_SET);
	cap_set_flag(caps, CAP_EFFECTIVE, ELEMENTSOF(own), own, CAP_SET);
	for (size_t i = 0; i < ELEMENTSOF(handed_on); i++)
		if (permitted(handed_on[i]))
			cap_set_flag(caps, CAP_PERMITTED, 1, &handed_on[i], CAP_SET);
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || cap_set_proc(caps) < 0)
		r = -errno;
	cap_free(caps);
	return r;
}

static int become_opend(struct supervisor *s)
{
	int r = find_account(s->opt.user, "--user", &s->uid, &s->gid);

	if (r < 0)
		return r;
	if (s->uid == 0) {
		say(LOG_ERR, "opend does not serve as root: name another account with --user");
		return -EINVAL;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(s->gid, s->gid, s->gid) < 0 || setresuid(s->uid, s->uid, s->uid) < 0)
		return -errno;
	return 0;
}

int privilege_setup(struct supervisor *s)
{
	const struct rlimit no_core = { 0, 0 };
	struct rlimit files;
	int r = 0;

	s->audit_uid = s->uid = geteuid();
	s->audit_gid = s->gid = getegid();
	s->system = s->opt.private_fd < 0 && permitted(CAP_SETUID) && permitted(CAP_SETGID);
	if (s->system) {
		r = parse_slots(s);
		if (r == 0)
			r = find_account(s->opt.audit_user, "--audit-user", &s->audit_uid,
					 &s->audit_gid);
		if (r == 0 && s->uid == 0)
			r = become_opend(s);
		if (r == 0)
			r = lower();
		if (r < 0)
			return r;
	}
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &no_core);
	/* Our memory holds what all may do; nobody needs to look at it. */
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? -errno : 0;
}

void child_exec(const struct supervisor *s, int exe, const int *fds, size_t n, char *const argv[],
		bool keep_stderr)
{
	enum { FIRST = 3, HIGH = 64, FDS_MAX = 16 };
	char stream[64], *const none[] = { NULL }, *const journal[] = { stream, NULL };
	const char *value = getenv("JOURNAL_STREAM");
	char *const *env = none;
	int high[FDS_MAX], null_fd;
	sigset_t empty;

	sigemptyset(&empty);
	sigprocmask(SIG_SETMASK, &empty, NULL);
	signal(SIGALRM, SIG_DFL);
	/* Out of the way first, so that no dup2 hits one that is still needed. */
	exe = fcntl(exe, F_DUPFD_CLOEXEC, HIGH);
	null_fd = fcntl(s->null_fd, F_DUPFD_CLOEXEC, HIGH);
	for (size_t i = 0; i < n; i++)
		high[i] = fds[i] < 0 ? -1 : fcntl(fds[i], F_DUPFD_CLOEXEC, HIGH);
	for (size_t i = 0; i < n; i++)
		if (high[i] >= 0)
			dup2(high[i], FIRST + (int)i);
		else
			close(FIRST + (int)i);
	dup2(null_fd, STDIN_FILENO);
	dup2(null_fd, STDOUT_FILENO);
#ifdef OPEND_WIDE_FILTER
	keep_stderr = true; /* for what the sanitizers have to say */
	env = environ;
#endif
	if (!keep_stderr)
		dup2(null_fd, STDERR_FILENO);
	else if (value &&
		 snprintf(stream, sizeof stream, "JOURNAL_STREAM=%s", value) < (int)sizeof stream)
		env = journal;
	exe = dup3(exe, FIRST + (int)n, O_CLOEXEC);
	syscall(SYS_close_range, FIRST + (unsigned)n + 1, ~0u, 0);
	syscall(SYS_execveat, exe, "", argv, env, AT_EMPTY_PATH);
	_exit(126);
}

int privilege_hand_on(const struct supervisor *s, bool read_search, bool override)
{
	const struct {
		cap_value_t cap;
		bool wanted;
	} list[] = { { CAP_SETUID, true },
		     { CAP_SETGID, true },
		     { CAP_DAC_READ_SEARCH, read_search },
		     { CAP_DAC_OVERRIDE, override } };
	cap_t caps;
	int r = 0;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	if (!s->system)
		return 0;
	caps = cap_get_proc();
	if (!caps)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(list); i++)
		if (list[i].wanted && permitted(list[i].cap))
			cap_set_flag(caps, CAP_INHERITABLE, 1, &list[i].cap, CAP_SET);
	if (cap_set_proc(caps) < 0)
		r = -errno;
	cap_free(caps);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(list); i++)
		if (list[i].wanted && permitted(list[i].cap) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, list[i].cap, 0, 0) < 0)
			r = -errno;
	return r;
}

int privilege_drop(void)
{
	cap_t none = cap_init();
	int r = 0;

	if (!none)
		return -ENOMEM;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 || cap_set_proc(none) < 0)
		r = -errno;
	cap_free(none);
	return r;
}

void privilege_for_cleanup(const struct supervisor *s)
{
	const cap_value_t override = CAP_DAC_OVERRIDE;
	cap_t caps = s->system ? cap_get_proc() : NULL;

	if (!caps)
		return;
	if (permitted(override)) {
		cap_set_flag(caps, CAP_EFFECTIVE, 1, &override, CAP_SET);
		cap_set_proc(caps);
	}
	cap_free(caps);
}
