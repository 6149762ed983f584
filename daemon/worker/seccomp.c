/* SPDX-License-Identifier: MIT
 * The other half of the hull. Landlock does not govern O_PATH, stat, chmod, chown, xattr, or
 * connecting to a socket's name; so this filter leaves none of it, and kills the process at the
 * first call that is not listed: a worker never makes one, so whoever does is not our code.
 *
 * openat2(2) may be called only with a pointer into the tables of openhow.c. Memory calls are dead
 * too: nothing can be mapped, unmapped or made writable or executable, so the tables stay what
 * they are.
 *
 * A build with sanitizers, coverage or injected faults cannot live under it: it gets the *wide*
 * filter, which adds what their run-time libraries need, and says so wherever status is told. */
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include "openhow.h"
#include "worker.h"

enum who { ALL, ONLY_LENDER, ONLY_LOBBY };

static const struct {
	int nr;
	enum who who;
} plain[] = {
	/* the loop */
	{ SCMP_SYS(epoll_wait), ALL },
	{ SCMP_SYS(epoll_pwait), ALL },
	{ SCMP_SYS(epoll_ctl), ALL },
	{ SCMP_SYS(recvfrom), ALL },
	{ SCMP_SYS(recvmsg), ALL },
	{ SCMP_SYS(sendmsg), ALL },
	{ SCMP_SYS(shutdown), ALL },
	{ SCMP_SYS(close), ALL },
	{ SCMP_SYS(dup), ALL },		  /* the rules' memfd, for RULES */
	{ SCMP_SYS(write), ALL },	  /* to the pipes that it holds */
	{ SCMP_SYS(clock_gettime), ALL }, /* where the vDSO cannot */
	/* opening */
	{ SCMP_SYS(fstat), ALL },
	{ SCMP_SYS(fstatfs), ALL },
	{ SCMP_SYS(ftruncate), ALL },
	{ SCMP_SYS(readlinkat), ALL },
	{ SCMP_SYS(faccessat2), ALL },
	{ SCMP_SYS(umask), ALL },
	/* ending */
	{ SCMP_SYS(exit_group), ALL },
	{ SCMP_SYS(rt_sigreturn), ALL },
	{ SCMP_SYS(restart_syscall), ALL },
	/* the lender looks before it opens, and raises its capability only while it does */
	{ SCMP_SYS(newfstatat), ONLY_LENDER },
	{ SCMP_SYS(capset), ONLY_LENDER },
	/* the lobby is shared: a client's linger bomb is defused by an interval timer */
	{ SCMP_SYS(setitimer), ONLY_LOBBY },
};

#ifdef OPEND_WIDE_FILTER
static const int wide[] = {
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
	SCMP_SYS(read),
	SCMP_SYS(readlink),
	SCMP_SYS(stat),
	SCMP_SYS(lseek),
	SCMP_SYS(newfstatat),
	SCMP_SYS(clone),
	SCMP_SYS(ptrace),
	SCMP_SYS(wait4),
	SCMP_SYS(prctl),
	SCMP_SYS(sched_yield),
	SCMP_SYS(getrandom),
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(getppid),
	SCMP_SYS(pipe),
	SCMP_SYS(pipe2),
	SCMP_SYS(set_robust_list),
	SCMP_SYS(exit),
	SCMP_SYS(getdents64),
	SCMP_SYS(sched_getaffinity),
	SCMP_SYS(fcntl),
	SCMP_SYS(ioctl),
	SCMP_SYS(writev),
	SCMP_SYS(rseq),
	SCMP_SYS(nanosleep),
	SCMP_SYS(clock_nanosleep),
	SCMP_SYS(mkdir),
	SCMP_SYS(access),
	SCMP_SYS(arch_prctl),
	SCMP_SYS(getuid),
	SCMP_SYS(capget),
};
#endif

static bool concerns(const struct worker *w, enum who who)
{
	return who == ALL || (who == ONLY_LENDER && w->birth.role == BIRTH_LENDER) ||
	       (who == ONLY_LOBBY && w->birth.role == BIRTH_LOBBY);
}

/* openat2(AT_FDCWD, any path, pointer into a table, 24). The table is aligned to its size, so
 * one mask holds for "inside" and "at the start of an entry" alike. */
static int add_table(scmp_filter_ctx f, const struct openhow_entry *table, size_t size)
{
	uint64_t mask = ~(uint64_t)(size - 1) | (sizeof table[0] - 1);

	if ((uintptr_t)table & (size - 1))
		return -EFAULT;
	return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(openat2), 3,
				SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)AT_FDCWD),
				SCMP_A2(SCMP_CMP_MASKED_EQ, mask, (uint64_t)(uintptr_t)table),
				SCMP_A3(SCMP_CMP_EQ, sizeof(struct open_how), 0));
}

static bool creates(const struct worker *w)
{
	for (size_t i = 0; i < w->n_bases; i++)
		if (w->plan[i].access & WIRE_CREATE)
			return true;
	return false;
}

/* Calls that are harmless with certain arguments only. */
static int add_pinned(scmp_filter_ctx f, const struct worker *w)
{
	int r = add_table(f, openhow_existing, sizeof openhow_existing);

	if (r == 0 && creates(w))
		r = add_table(f, openhow_create, sizeof(struct openhow_entry) * OPENHOW_CREATE);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, F_SETFL));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, F_GETFL));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, SIOCOUTQ));
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(getsockopt), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET));
	return r;
}

static int add_plain(scmp_filter_ctx f, const struct worker *w)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(plain); i++)
		if (concerns(w, plain[i].who))
			r = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i].nr, 0);
#ifdef OPEND_WIDE_FILTER
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(wide); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, wide[i], 0);
#endif
	return r;
}

int seccomp_confine(struct worker *w)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	int r;

	if (!f)
		return -ENOMEM;
	r = add_pinned(f, w);
	if (r == 0)
		r = add_plain(f, w);
	/* Few calls are hot: a binary tree makes no difference, the order of adding does. */
	if (r == 0)
		r = seccomp_load(f);
	seccomp_release(f);
	if (r < 0)
		return r;
	w->confinement |= CONFINED_SECCOMP;
#ifdef OPEND_WIDE_FILTER
	w->confinement |= CONFINED_WIDE_FILTER;
#endif
	return 0;
}
