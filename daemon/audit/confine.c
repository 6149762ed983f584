/* SPDX-License-Identifier: MIT
 * What is left of us. We read what a client's words went into, so we have an account of our own, no
 * capability, and after the start no way to open, connect, execute, map or signal anything:
 * Landlock without a single rule, and a filter of some fifteen calls, most of them on one
 * descriptor only.
 *
 * The supervisor made us who we are; that it did is not believed but looked at. */
#include <fcntl.h>
#include <linux/capability.h>
#include <seccomp.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include "auditor.h"

enum { CAPS_WORDS = 2 };

/* ---- who we are ---- */

static bool no_capability(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[CAPS_WORDS];

	if (syscall(SYS_capget, &header, data) < 0)
		return false;
	for (int i = 0; i < CAPS_WORDS; i++)
		if (data[i].effective || data[i].permitted || data[i].inheritable)
			return false;
	return true;
}

static bool drop_capabilities(void)
{
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[CAPS_WORDS] = { { 0 } };

	return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 &&
	       syscall(SYS_capset, &header, none) == 0;
}

static bool one_identity(void)
{
	uid_t ru, eu, su;
	gid_t rg, eg, sg;

	return getresuid(&ru, &eu, &su) == 0 && getresgid(&rg, &eg, &sg) == 0 && ru == eu &&
	       su == eu && rg == eg && sg == eg;
}

const char *confine_identity(bool private)
{
	const struct rlimit no_core = { 0, 0 };

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &no_core) < 0 ||
	    prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) != 0)
		return "it cannot be made non-dumpable";
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1)
		return "no_new_privs is not set";
	if (!one_identity())
		return "its real, effective and saved ids differ";
	if (private)
		return drop_capabilities() && no_capability() ? NULL
							      : "capabilities cannot be dropped";
	if (geteuid() == 0)
		return "it runs as root";
	return no_capability() ? NULL : "it has capabilities";
}

/* ---- Landlock ---- */

/* linux/landlock.h of the oldest system that this builds on is older than these rights. */
enum { SYS_create_ruleset = 444, SYS_restrict_self = 446, RULESET_VERSION = 1, ABI_NEWEST = 6 };

struct ruleset_attr {
	uint64_t fs, net, scoped;
};

static const struct ruleset_attr all_of[ABI_NEWEST + 1] = {
	{ 0 },
	{ .fs = 0x1fff },
	{ .fs = 0x3fff },			 /* refer */
	{ .fs = 0x7fff },			 /* truncate */
	{ .fs = 0x7fff, .net = 3 },		 /* bind and connect TCP */
	{ .fs = 0xffff, .net = 3 },		 /* device ioctls */
	{ .fs = 0xffff, .net = 3, .scoped = 3 }, /* abstract sockets, signals */
};

static size_t attr_size(long abi)
{
	return abi >= 6	  ? sizeof(struct ruleset_attr)
	       : abi >= 4 ? offsetof(struct ruleset_attr, scoped)
			  : offsetof(struct ruleset_attr, net);
}

/* It is in force when not even the root directory opens. */
static int prove(void)
{
	_cleanup_close_ int fd = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 && errno == EACCES ? 0 : -EPERM;
}

static int confine_landlock(void)
{
	long abi = syscall(SYS_create_ruleset, NULL, 0, RULESET_VERSION);
	_cleanup_close_ int ruleset = -1;

	/* The filter alone leaves nothing that Landlock would refuse. */
	if (abi < 1)
		return 0;
	abi = UTIL_MIN(abi, (long)ABI_NEWEST);
	ruleset = (int)syscall(SYS_create_ruleset, &all_of[abi], attr_size(abi), 0);
	if (ruleset < 0 || syscall(SYS_restrict_self, ruleset, 0) < 0)
		return -errno;
	return prove();
}

/* ---- seccomp ---- */

static const int plain[] = {
	SCMP_SYS(ppoll),
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(read),
	SCMP_SYS(close),
	SCMP_SYS(poll),
	SCMP_SYS(setitimer),	 /* before and around a write to stderr */
	SCMP_SYS(clock_gettime), /* where the vDSO cannot */
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(exit_group),
#ifdef OPEND_WIDE_FILTER
	/* what a sanitizer's run-time library needs */
	SCMP_SYS(mmap),
	SCMP_SYS(munmap),
	SCMP_SYS(mprotect),
	SCMP_SYS(madvise),
	SCMP_SYS(mremap),
	SCMP_SYS(brk),
	SCMP_SYS(futex),
	SCMP_SYS(getpid),
	SCMP_SYS(gettid),
	SCMP_SYS(tgkill),
	SCMP_SYS(sigaltstack),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(open),
	SCMP_SYS(openat),
	SCMP_SYS(readlink),
	SCMP_SYS(stat),
	SCMP_SYS(fstat),
	SCMP_SYS(lseek),
	SCMP_SYS(newfstatat),
	SCMP_SYS(clone),
	SCMP_SYS(ptrace),
	SCMP_SYS(wait4),
	SCMP_SYS(prctl),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getrandom),
	SCMP_SYS(getppid),
	SCMP_SYS(pipe),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(exit),
	SCMP_SYS(getdents64),
	SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),
	SCMP_SYS(writev),
	SCMP_SYS(rseq),
	SCMP_SYS(access),
	SCMP_SYS(getuid),
#endif
};

static int allow_on(scmp_filter_ctx f, int call, int fd)
{
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 1, SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)fd));
}

static int add_pinned(scmp_filter_ctx f, const struct auditor *a)
{
	int r = allow_on(f, SCMP_SYS(recvmsg), AUDIT_FD_PEERS);

	if (r == 0)
		r = allow_on(f, SCMP_SYS(write), STDERR_FILENO);
	if (r == 0)
		r = allow_on(f, SCMP_SYS(sendmsg), STDERR_FILENO);
	if (r == 0 && a->sink.journal)
		r = allow_on(f, SCMP_SYS(sendmsg), a->sink.fd);
#ifndef OPEND_WIDE_FILTER
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 2,
				     SCMP_A1_32(SCMP_CMP_EQ, F_SETFL),
				     SCMP_A2(SCMP_CMP_EQ, O_NONBLOCK));
#endif
	return r;
}

static int confine_seccomp(const struct auditor *a)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!f)
		return -ENOMEM;
	r = add_pinned(f, a);
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(plain); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	return r;
}

int confine(const struct auditor *a)
{
	int r = confine_landlock();

	return r < 0 ? r : confine_seccomp(a);
}
