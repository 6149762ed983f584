/* SPDX-License-Identifier: MIT
 * From root, or from the ambient capabilities of a systemd unit, to two processes of the user
 * `opend`: the supervisor, which gets what we may, and us, who keep nothing of it. Without any of
 * it we are a private opend, which serves the user who runs it and becomes nobody. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <syslog.h>
#include "front.h"
#include "quota.h"

/* exec.c, of the supervisor's room. */
void child_exec(int exe, int null_fd, const int *fds, size_t n, char *const argv[],
		bool keep_stderr) __attribute__((noreturn));

/* For whom to become, for killing what is stuck, and two for lenders. */
static const cap_value_t wanted[] = { CAP_SETUID, CAP_SETGID, CAP_KILL, CAP_DAC_READ_SEARCH,
				      CAP_DAC_OVERRIDE };

static bool permitted(cap_t now, cap_value_t cap)
{
	cap_flag_value_t v = CAP_CLEAR;

	cap_get_flag(now, cap, CAP_PERMITTED, &v);
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

static int check_slots(const char *ids)
{
	_cleanup_free_ char *first = strdup(ids);
	char *dash = first ? strchr(first, '-') : NULL;
	unsigned long a, b;

	if (!first)
		return -ENOMEM;
	if (dash)
		*dash = 0;
	if (!dash || !parse_number(first, INT32_MAX, &a) ||
	    !parse_number(dash + 1, INT32_MAX, &b) || a == 0 || b < a) {
		say(LOG_ERR, "--worker-ids wants FIRST-LAST, two ids in order, not \"%s\"", ids);
		return -EINVAL;
	}
	return 0;
}

static int become_opend(struct server *s)
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

/* ---- the supervisor ---- */

/* A program of ours: beside us in a build tree, in ../lib/opend when installed. */
static int find_program(const char *name)
{
	static const char *const places[] = { "", "../lib/opend/" };
	char self[4096];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 64);
	char *slash;

	if (n < 0)
		return -1;
	self[n] = 0;
	slash = strrchr(self, '/');
	for (size_t i = 0; slash && i < ELEMENTSOF(places); i++) {
		int fd;

		snprintf(slash + 1, 64, "%s%s", places[i], name);
		fd = open(self, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			return fd;
	}
	say(LOG_ERR, "cannot find %s beside opend or in ../lib/opend", name);
	return -1;
}

/* In the child before exec: what we may becomes what it may. */
static int hand_on(void)
{
	cap_t caps = cap_get_proc();
	int r = 0;

	if (!caps)
		return -ENOMEM;
	for (size_t i = 0; i < ELEMENTSOF(wanted); i++)
		if (permitted(caps, wanted[i]))
			cap_set_flag(caps, CAP_INHERITABLE, 1, &wanted[i], CAP_SET);
	if (cap_set_proc(caps) < 0)
		r = -errno;
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(wanted); i++)
		if (permitted(caps, wanted[i]) &&
		    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, wanted[i], 0, 0) < 0)
			r = -errno;
	cap_free(caps);
	return r;
}

/* For good. */
static int drop(void)
{
	cap_t none = cap_init();
	int r = none ? 0 : -ENOMEM;

	if (r == 0 && (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
		       cap_set_proc(none) < 0))
		r = -errno;
	if (none)
		cap_free(none);
	return r;
}

enum { ARGS_MAX = 32 + 8 * PATHS_MAX };

struct args {
	char *list[ARGS_MAX + 1];
	size_t n;
};

/* One option and its argument, which is copied: "-pPATH". */
static void add(struct args *a, char option, const char *argument)
{
	char *arg;

	if (argument && a->n < ARGS_MAX && asprintf(&arg, "-%c%s", option, argument) >= 0)
		a->list[a->n++] = arg;
}

/* Where a worker looks again before it sleeps, whoever is to write meanwhile needs a processor of
 * his own, and both need time that nobody rations. */
static bool worth_polling(void)
{
	cpu_set_t cpus;

	return sched_getaffinity(0, sizeof cpus, &cpus) == 0 && CPU_COUNT(&cpus) > 1 &&
	       !quota_is_set();
}

/* Nobody who came by a door that the supervisor does not know would be served. */
static int add_door(struct args *a, const struct door *d)
{
	char name[SOCKET_NAME_MAX];
	int r = socket_name(d->fd, name);

	if (r == 0)
		add(a, 'd', name);
	return r;
}

static void add_socket(struct args *a, const struct door *d)
{
	add(a, 's', d->path);
	add(a, 's', d->lock_path);
}

static int make_args(const struct server *s, uid_t audit_uid, gid_t audit_gid, struct args *a)
{
	char text[64];
	int r = 0;

	a->list[a->n++] = (char *)"opend-supervisor";
	if (s->system) {
		add(a, 'S', "");
		add(a, 'i', s->opt.worker_ids);
		snprintf(text, sizeof text, "%u:%u", audit_uid, audit_gid);
		add(a, 'a', text);
	}
	if (s->units)
		add(a, 'U', "");
	if (s->in_userns)
		add(a, 'N', "");
	if (worth_polling())
		add(a, 'P', "");
	if (s->opt.require_landlock)
		add(a, 'L', "");
	snprintf(text, sizeof text, "%u", s->opt.landlock_max);
	add(a, 'l', text);
	for (size_t i = 0; s->opt.policy[i]; i++)
		add(a, 'p', s->opt.policy[i]);
	for (size_t i = 0; s->opt.config[i]; i++)
		add(a, 'c', s->opt.config[i]);
	for (size_t i = 0; r == 0 && i < s->n_doors; i++) {
		r = add_door(a, &s->doors[i]);
		add_socket(a, &s->doors[i]);
	}
	add_socket(a, &s->control);
	return r;
}

/* Opened before we become somebody who may not reach them. */
enum { SUPERVISOR_EXE, WORKER_EXE, AUDIT_EXE, NULL_FD, N_OPENED };

static int open_programs(int *fds)
{
	fds[SUPERVISOR_EXE] = find_program("opend-supervisor");
	fds[WORKER_EXE] = find_program("opend-worker");
	fds[AUDIT_EXE] = find_program("opend-audit");
	fds[NULL_FD] = open("/dev/null", O_RDWR | O_CLOEXEC);
	for (size_t i = 0; i < N_OPENED; i++)
		if (fds[i] < 0)
			return -ENOENT;
	return 0;
}

static int start_supervisor(struct server *s, const int *opened, const struct args *args)
{
	int sv[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	s->supervisor_pid = fork();
	if (s->supervisor_pid == 0) {
		const int fds[] = { sv[1], opened[WORKER_EXE], opened[AUDIT_EXE], opened[NULL_FD] };

		if (s->system && hand_on() < 0)
			_exit(125);
		child_exec(opened[SUPERVISOR_EXE], opened[NULL_FD], fds, ELEMENTSOF(fds),
			   args->list, true);
	}
	close(sv[1]);
	s->supervisor = sv[0];
	return s->supervisor_pid < 0 ? -errno : 0;
}

static int become(struct server *s, uid_t *audit_uid, gid_t *audit_gid)
{
	cap_t now = cap_get_proc();
	int r = 0;

	/* Not knowing is no reason to be a private opend, of root perhaps. */
	if (!now)
		return -errno;
	s->uid = *audit_uid = geteuid();
	s->gid = *audit_gid = getegid();
	s->system =
		s->opt.private_fd < 0 && permitted(now, CAP_SETUID) && permitted(now, CAP_SETGID);
	cap_free(now);
	if (!s->system)
		return 0;
	r = check_slots(s->opt.worker_ids);
	if (r == 0)
		r = find_account(s->opt.audit_user, "--audit-user", audit_uid, audit_gid);
	return r == 0 && s->uid == 0 ? become_opend(s) : r;
}

int privilege_setup(struct server *s)
{
	const struct rlimit no_core = { 0, 0 };
	struct args args = { .n = 0 };
	int opened[N_OPENED];
	struct rlimit files;
	uid_t audit_uid;
	gid_t audit_gid;
	int r = open_programs(opened);

	if (r == 0)
		r = become(s, &audit_uid, &audit_gid);
	if (r == 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		setrlimit(RLIMIT_NOFILE, &files);
	}
	setrlimit(RLIMIT_CORE, &no_core);
	/* Inherited by all that is ours. */
	if (r == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		r = -errno;
	if (r == 0)
		r = make_args(s, audit_uid, audit_gid, &args);
	if (r == 0)
		r = start_supervisor(s, opened, &args);
	for (size_t i = 1; i < args.n; i++)
		free(args.list[i]);
	for (size_t i = 0; i < N_OPENED; i++)
		close_fd(opened[i]);
	if (r == 0)
		r = drop();
	if (r == 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		r = -errno;
	return r;
}
