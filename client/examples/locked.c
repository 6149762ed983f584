/* SPDX-License-Identifier: MIT
 * locked PATH: gives up every way to open a file, and reads one all the same, through opend. */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <openc.h>

/* Landlock: no right on any file. Seccomp: what libopenc(3) promises to be content with, and what
 * it takes to read, print and end. All else fails with EPERM. (For x86-64, and no other ABI.) */
static void lock_in(void)
{
	static const unsigned calls[] = { SYS_sendmsg, SYS_recvmsg,	  SYS_poll,	 SYS_fcntl,
					  SYS_close,   SYS_clock_gettime, SYS_getcwd,	 SYS_getpid,
					  SYS_geteuid, SYS_getegid,	  SYS_read,	 SYS_write,
					  SYS_brk,     SYS_munmap,	  SYS_exit_group };
	enum { N = sizeof calls / sizeof *calls };
	struct landlock_ruleset_attr files = { (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1 };
	struct sock_filter f[N + 5] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_X86_64, 0, N + 1),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		[N + 3] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		[N + 4] = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	};
	long fd = syscall(SYS_landlock_create_ruleset, &files, sizeof files.handled_access_fs, 0);

	for (unsigned i = 0; i < N; i++)
		f[i + 3] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ, calls[i], N - i, 0);
	if (fd < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
	    syscall(SYS_landlock_restrict_self, fd, 0) < 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &(struct sock_fprog){ N + 5, f }) < 0)
		err(1, "cannot lock myself in");
}

int main(int argc, char **argv)
{
	struct openc_conn *c;
	char line[256] = "";
	int fd, r = argc == 2 ? openc_new(&c, NULL) : -EINVAL;

	if (r < 0)
		errx(1, "no connection to opend: %s", strerror(-r));
	lock_in();
	printf("open(2) returns %d\n", open(argv[1], O_RDONLY));
	fd = openc_open(c, argv[1], O_RDONLY, 0);
	if (fd < 0)
		errx(1, "opend says: %s", openc_message(c));
	r = (int)read(fd, line, sizeof line);
	printf("openc_open(3) returns %d, and there is in it:\n%.*s", fd, r, line);
	openc_free(c);
}
