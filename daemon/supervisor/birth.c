/* SPDX-License-Identifier: MIT
 * Births. A child is executed with our own ids and only what it needs for becoming its client; who
 * that is and what it may, it reads in a sealed memfd (become.c tells why in this order). It is
 * made a child of the front (CLONE_PARENT), which waits for it; we keep a pidfd, which can never
 * mean another process, for killing it. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/syscall.h>
#include "supervisor.h"

/* ---- whom ---- */

static bool slot_in_use(const struct supervisor *s, uint32_t slot)
{
	const struct child *c;

	LIST_FOREACH (c, &s->children, all)
		if (c->slot == slot)
			return true;
	return false;
}

/* Each live child has a number of its own; the next birth does not reuse the last death's. */
static int slot_take(struct supervisor *s, uint32_t *ret)
{
	for (uint32_t n = s->slot_first; n <= s->slot_last; n++) {
		uint32_t slot = s->slot_next;

		s->slot_next = slot == s->slot_last ? s->slot_first : slot + 1;
		if (!slot_in_use(s, slot)) {
			*ret = slot;
			return 0;
		}
	}
	return -EAGAIN;
}

struct child *child_find(const struct supervisor *s, uint32_t instance)
{
	struct child *c;

	LIST_FOREACH (c, &s->children, all)
		if (c->instance == instance)
			return c;
	return NULL;
}

void child_bury(struct child *c)
{
	LIST_REMOVE(c, all);
	close_fd(c->pidfd);
	credentials_deinit(&c->is);
	free(c->text);
	free(c);
}

int child_kill(const struct child *c)
{
	return syscall(SYS_pidfd_send_signal, c->pidfd, SIGKILL, NULL, 0) < 0 ? -errno : 0;
}

static int be_like(struct child *c, const struct credentials *who)
{
	c->is = *who;
	c->is.groups = malloc((who->n_groups + 1) * sizeof *who->groups);
	if (!c->is.groups)
		return -ENOMEM;
	memcpy(c->is.groups, who->groups, who->n_groups * sizeof *who->groups);
	return 0;
}

/* The lobby is nobody: as few rights as an id that owns nothing, or our own in a private opend. */
static int be_nobody(const struct supervisor *s, struct child *c)
{
	int r = credentials_own(&c->is);

	if (s->system)
		c->is.n_groups = 0;
	c->text = strdup("");
	return c->text ? r : -ENOMEM;
}

/* One whose Landlock domain is out of date gets a successor that is the same. */
static int be_successor(struct child *c, const struct child *old)
{
	if (!old || old->role != BIRTH_WORKER)
		return -ESRCH;
	/* Its rules may have been taken back since. */
	if (old->generation != c->generation)
		return -ESTALE;
	c->text = malloc(old->text_len + 1);
	if (!c->text)
		return -ENOMEM;
	memcpy(c->text, old->text, old->text_len);
	c->text_len = old->text_len;
	return be_like(c, &old->is);
}

static int be_client(const struct supervisor *s, struct child *c, uint32_t identity)
{
	const struct identity *i = identity_find(s, identity);
	struct part p;
	int r;

	if (!i)
		return -ESRCH;
	r = part_for(s, i, c->role == BIRTH_LENDER ? POLICY_LENDER : POLICY_CALLER, &p);
	if (r < 0)
		return r;
	c->text = p.text;
	c->text_len = p.len;
	/* Nobody becomes somebody without a rule for it. */
	if (c->role == BIRTH_LENDER ? !s->system || p.n_root == 0 : p.n == 0)
		return -ENOENT;
	return be_like(c, &i->is);
}

/* Does some `as root` rule of this text write or create? Asked of the compiled text, not of its
 * bytes: the one parser reads it. */
static bool writes(const struct child *c)
{
	const struct policy_options options = { .units = true, .origins = true };
	_cleanup_(policy_freep) struct policy *p = NULL;
	struct diags diags = { 0 };
	bool yes;

	if (c->role != BIRTH_LENDER)
		return false;
	yes = policy_parse("lender", c->text, c->text_len, &options, &diags, &p) == 0 &&
	      (policy_granted(p, true) & (WIRE_WRITE | WIRE_CREATE));
	diags_deinit(&diags);
	return yes;
}

/* ---- birth ---- */

static int write_certificate(const struct supervisor *s, const struct child *c)
{
	const bool nobody = c->role == BIRTH_LOBBY;
	const struct birth b = {
		.version = CONTROL_VERSION,
		.role = c->role,
		.switch_ids = s->system,
		.uid = nobody && s->system ? c->slot : c->is.uid,
		.gid = nobody && s->system ? c->slot : c->is.gid,
		.slot = c->slot,
		.n_groups = c->is.n_groups,
		.policy_len = (uint32_t)c->text_len,
		.rules_len = (uint32_t)s->rules_len,
		.generation = s->generation,
		.landlock_max = s->landlock_max,
		.require_landlock = s->require_landlock || s->settings.require_landlock,
		.max_conns = nobody ? s->settings.connections : s->settings.connections_per_user,
		.poll_usec = s->poll ? s->settings.poll_usec : 0,
		.frame_ms = 1000 * s->settings.frame_seconds,
		.denials_burst = s->settings.denials_burst,
		.denials_per_second = s->settings.denials_per_second,
		.instance = c->instance,
		.no_policy = c->no_policy,
	};
	_cleanup_close_ int fd = memfd_create("opend-birth", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	size_t groups = c->is.n_groups * sizeof *c->is.groups;

	if (fd < 0)
		return -errno;
	if (write(fd, &b, sizeof b) != sizeof b ||
	    write(fd, c->is.groups, groups) != (ssize_t)groups ||
	    write(fd, c->text, c->text_len) != (ssize_t)c->text_len ||
	    (s->rules && write(fd, s->rules, s->rules_len) != (ssize_t)s->rules_len))
		return -EIO;
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
		return -errno;
	return take_fd(&fd);
}

/* fork(2), but the child is our parent's. */
static pid_t clone_sibling(int *pidfd)
{
	return (pid_t)syscall(SYS_clone, CLONE_PARENT | CLONE_PIDFD | SIGCHLD, NULL, pidfd, NULL,
			      NULL);
}

static void __attribute__((noreturn))
be_born(const struct supervisor *s, const struct child *c, const int *fds, size_t n)
{
	static const char *const roles[] = { "worker", "lender", "lobby" };
	char title[32];
	char *const argv[] = { (char *)"opend-worker", (char *)roles[c->role], title, NULL };

	snprintf(title, sizeof title, "uid=%u", c->role == BIRTH_LOBBY ? c->slot : c->is.uid);
	if (privilege_hand_on(s->system, c->role == BIRTH_LENDER, writes(c)) < 0)
		_exit(125);
	child_exec(ASK_FD_WORKER_EXE, ASK_FD_NULL, fds, n, argv, false);
}

static int child_start(struct supervisor *s, struct child *c, const int *fds, struct told *told)
{
	_cleanup_close_ int certificate = write_certificate(s, c);

	if (certificate < 0)
		return certificate;
	told->pid = clone_sibling(&c->pidfd);
	if (told->pid < 0)
		return -errno;
	if (told->pid == 0) {
		const int all[] = { fds[0], fds[1], certificate, fds[2], fds[3] };

		be_born(s, c, all, ELEMENTSOF(all));
	}
	return 0;
}

/* In the child. It keeps nothing of what we may. */
static void __attribute__((noreturn)) become_audit(const struct supervisor *s, const int *fds)
{
	char *const argv[] = { (char *)"opend-audit", s->system ? NULL : (char *)"--private",
			       NULL };

	if (s->system &&
	    (setgroups(0, NULL) < 0 || setresgid(s->audit_gid, s->audit_gid, s->audit_gid) < 0 ||
	     setresuid(s->audit_uid, s->audit_uid, s->audit_uid) < 0))
		_exit(125);
	if (privilege_drop() < 0)
		_exit(125);
	child_exec(ASK_FD_AUDIT_EXE, ASK_FD_NULL, fds, 2, argv, true);
}

static int audit_start(const struct supervisor *s, const int *fds, struct told *told)
{
	_cleanup_close_ int pidfd = -1;

	told->pid = clone_sibling(&pidfd);
	if (told->pid == 0)
		become_audit(s, fds);
	return told->pid < 0 ? -errno : 0;
}

int birth(struct supervisor *s, const struct question *ask, const int *fds, size_t n,
	  struct told *told)
{
	/* Before it is one of them itself. */
	const struct child *old = child_find(s, ask->instance);
	struct child *c;
	int r;

	if (ask->role == ASK_ROLE_AUDIT)
		return n == 2 ? audit_start(s, fds, told) : -EINVAL;
	if (n != 4 || ask->role > BIRTH_LOBBY)
		return -EINVAL;
	c = calloc(1, sizeof *c);
	if (!c)
		return -ENOMEM;
	c->pidfd = -1;
	c->role = ask->role;
	c->no_policy = !s->policy;
	c->generation = s->generation;
	c->instance = ++s->instances;
	LIST_INSERT_HEAD(&s->children, c, all);
	r = c->role == BIRTH_LOBBY		       ? be_nobody(s, c)
	    : ask->identity || c->role == BIRTH_LENDER ? be_client(s, c, ask->identity)
						       : be_successor(c, old);
	if (r == 0 && s->system)
		r = slot_take(s, &c->slot);
	if (r == 0)
		r = child_start(s, c, fds, told);
	if (r < 0) {
		child_bury(c);
		return r;
	}
	told->instance = c->instance;
	told->slot = c->slot;
	told->uid = c->is.uid;
	told->gid = c->is.gid;
	return 0;
}
