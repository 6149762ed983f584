/* SPDX-License-Identifier: MIT
 * The front's system call filter, put on when all is open and nothing is served yet. It starts no
 * program, opens no file, binds no address, maps nothing executable. What is not listed gets EPERM:
 * libsystemd may try what we do not know of, and does without. */
#include <errno.h>
#include <fcntl.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include "front.h"

#ifdef OPEND_WIDE_FILTER
/* Sanitizers, coverage and injected faults need calls that nobody lists. */
int front_confine(void)
{
	return 0;
}
#else
static const int plain[] = {
	/* the loop */
	SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait),
	SCMP_SYS(epoll_ctl),
	SCMP_SYS(poll),
	SCMP_SYS(ppoll),
	SCMP_SYS(read),
	SCMP_SYS(timerfd_create),
	SCMP_SYS(timerfd_settime),
	SCMP_SYS(signalfd4),
	SCMP_SYS(waitid),
	SCMP_SYS(wait4),
	SCMP_SYS(pidfd_open),
	SCMP_SYS(pidfd_send_signal),
	SCMP_SYS(setitimer),
	SCMP_SYS(clock_gettime),
	SCMP_SYS(gettimeofday),
	SCMP_SYS(restart_syscall),
	SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigprocmask),
	SCMP_SYS(rt_sigaction),
	SCMP_SYS(getpid),
	SCMP_SYS(getppid),
	SCMP_SYS(getuid),
	SCMP_SYS(geteuid),
	SCMP_SYS(getgid),
	SCMP_SYS(getegid),
	SCMP_SYS(gettid),
	/* connections, workers, the supervisor */
	SCMP_SYS(accept4),
	SCMP_SYS(getsockopt),
	SCMP_SYS(socketpair),
	SCMP_SYS(shutdown),
	SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg),
	SCMP_SYS(sendto),
	SCMP_SYS(recvfrom),
	SCMP_SYS(close),
	SCMP_SYS(dup),
	SCMP_SYS(pipe2),
	SCMP_SYS(memfd_create),
	SCMP_SYS(ftruncate),
	SCMP_SYS(fstat),
	SCMP_SYS(newfstatat),
	SCMP_SYS(lseek),
	SCMP_SYS(write),
	SCMP_SYS(writev),
	/* memory; ending */
	SCMP_SYS(munmap),
	SCMP_SYS(brk),
	SCMP_SYS(madvise),
	SCMP_SYS(futex),
	SCMP_SYS(getrandom),
	SCMP_SYS(unlink),
	SCMP_SYS(exit_group),
};

static int add_pinned(scmp_filter_ctx f)
{
	static const int commands[] = { F_GETFD, F_SETFD,     F_GETFL,
					F_SETFL, F_ADD_SEALS, F_DUPFD_CLOEXEC };
	static const int memory[] = { SCMP_SYS(mmap), SCMP_SYS(mprotect) };
	/* The journal and systemd are told over UNIX sockets. */
	int r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), 1,
				 SCMP_A0_32(SCMP_CMP_EQ, AF_UNIX));

	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(connect), 0);
	if (r == 0)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(setsockopt), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, SOL_SOCKET));
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(commands); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1,
				     SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)commands[i]));
	for (size_t i = 0; r == 0 && i < ELEMENTSOF(memory); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, memory[i], 1,
				     SCMP_A2_32(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

int front_confine(void)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ERRNO(EPERM));
	int r = f ? add_pinned(f) : -ENOMEM;

	for (size_t i = 0; r == 0 && i < ELEMENTSOF(plain); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ALLOW, plain[i], 0);
	if (r == 0)
		r = seccomp_load(f);
	if (f)
		seccomp_release(f);
	return r;
}
#endif
