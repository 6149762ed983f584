/* SPDX-License-Identifier: MIT
 * A worker that was taken over: what it can call. It has its filter, its domain, its ids and a
 * client's bytes, and now somebody else's code, which is let in through the back door. Whatever is
 * not needed for opening must end the process; a fresh one each time shows that nothing else did.
 * Which files it can open is test-hull's, what it can do to others test-hostile-worker's. */
#include <dirent.h>
#include <ftw.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include "fdpass.h"
#include "harness-backdoor.h"
#include <seccomp.h> /* last: it brings macros of the audit log */

/* ---- absent ---- */

/* memmem(3) would find the marker in this program, too; but this program is not installed. */
static bool has_marker(const char *path)
{
	_cleanup_close_ int fd = (int)sys(open(path, O_RDONLY | O_CLOEXEC));
	struct stat st;
	char *p;
	bool found;

	sys(fstat(fd, &st));
	if (st.st_size == 0)
		return false;
	p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ensure(p != MAP_FAILED, "%s: %s", path, strerror(errno));
	found = memmem(p, (size_t)st.st_size, BACKDOOR_MARKER, strlen(BACKDOOR_MARKER));
	munmap(p, (size_t)st.st_size);
	return found;
}

static int n_installed;

static int look_into(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)ftw;
	if (type != FTW_F)
		return 0;
	n_installed++;
	ensure(!has_marker(path), "%s has a back door", path);
	return 0;
}

START_TEST(installed_programs_have_no_back_door)
{
	static const char tail[] = "/usr/local/sbin/opend";
	char frame[sizeof(struct backdoor_request)] = { 0 };
	const struct wire_header h = { .size = sizeof frame, .type = BACKDOOR_FRAME, .id = 1 };
	char *root = staged("opend");
	struct opend o;
	struct raw r;
	int fd;

	root[strlen(root) - strlen(tail)] = 0;
	sys(nftw(root, look_into, 16, FTW_PHYS));
	ensure(n_installed >= 4, "%d files in %s", n_installed, root);
	if (is_root())
		ensure(has_marker(taken_over_worker()), "the marker is not where it should be");
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = OPEND();
	r = raw_connect(o.socket);
	memcpy(frame, &h, sizeof h);
	raw_send(&r, frame, sizeof frame);
	ensure(raw_result(&r, 1, &fd).error == EOPNOTSUPP, "something knows that frame");
	raw_close(&r);
	opend_stop(&o);
}
END_TEST

/* ---- every call that there is ---- */

/* What the three may call, with any arguments; four more with certain ones. This list is the
 * design's, not taken from the code. */
static const char *const of_all[] = {
	"epoll_wait",	 "epoll_pwait", "epoll_ctl",  "recvfrom",     "recvmsg",
	"sendmsg",	 "shutdown",	"close",      "dup",	      "write",
	"clock_gettime", "fstat",	"fstatfs",    "ftruncate",    "readlinkat",
	"faccessat2",	 "umask",	"exit_group", "rt_sigreturn", "restart_syscall",
};
static const char *const of_lender[] = { "newfstatat", "capset" };
static const char *const of_lobby[] = { "setitimer" };

static bool in_list(const char *name, const char *const *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(name, list[i]))
			return true;
	return false;
}

static bool is_listed(enum victim which, const char *name)
{
	return in_list(name, of_all, ELEMENTSOF(of_all)) ||
	       (which == A_LENDER && in_list(name, of_lender, ELEMENTSOF(of_lender))) ||
	       (which == A_LOBBY && in_list(name, of_lobby, ELEMENTSOF(of_lobby)));
}

struct prey {
	struct opend o;
	enum victim which;
	struct who who;
	char *file, *key;
};

static struct intruder enter(const struct prey *p)
{
	return intrude(&p->o, p->which, p->who, p->key);
}

/* Alice has a worker and a lender, bob is in the lobby. */
static struct prey prey_new(enum victim which)
{
	struct prey p = { .which = which, .who = which == A_LOBBY ? bob : alice };

	p.file = make_file(at("data/file"), 0666, alice.uid, "file\n");
	p.key = make_file(at("data/key"), 0600, 0, "key\n");
	make_dir(at("data/list"), 0755, 0);
	policy("10",
	       "allow read,write file %s to user %u\nallow list under %s to user %u\n"
	       "allow read file %s to user %u as root\n",
	       p.file, alice.uid, at("data/list"), alice.uid, p.key, alice.uid);
	p.o = opend_taken_over();
	return p;
}

/* Linux lets uretprobe and uprobe pass every filter, on x86 (__secure_computing()): they are its
 * own trampolines, and from elsewhere they end in SIGILL or an error. */
static bool is_kernels_own(int64_t nr, int end)
{
#ifdef __x86_64__
	return (nr == 335 || nr == 336) && (end == SIGILL || end == -1);
#else
	(void)nr;
	(void)end;
	return false;
#endif
}

static void must_die(const struct prey *p, const struct attack *a)
{
	struct intruder i = enter(p);
	int end = death_by(&i, a);

	ensure(end == SIGSYS || is_kernels_own(a->nr, end), "%s (call %lld): %s", a->name,
	       (long long)a->nr, end < 0 ? "the process survived" : strsignal(end));
}

static void try_all_calls(enum victim which)
{
	struct prey p = prey_new(which);

	for (int nr = 0; nr < 512; nr++) {
		_cleanup_free_ char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, nr);

		if (!name || !is_listed(which, name))
			must_die(&p, &(struct attack){ .name = name ? name : "?", .nr = nr });
	}
	opend_stop(&p.o);
}

START_TEST(a_worker_dies_of_every_other_call)
{
	needs_filter();
	try_all_calls(A_WORKER);
}
END_TEST

START_TEST(a_lobby_dies_of_every_other_call)
{
	needs_filter();
	try_all_calls(A_LOBBY);
}
END_TEST

START_TEST(a_lender_dies_of_every_other_call)
{
	needs_filter();
	try_all_calls(A_LENDER);
}
END_TEST

#ifdef __x86_64__
/* The other doors into this kernel: x32's numbers, and the 32-bit entry, where 5 is open(2). A
 * kernel that has none answers with SIGSEGV. */
START_TEST(other_kinds_of_numbers_are_no_way_out)
{
	struct prey p;

	needs_filter();
	p = prey_new(A_WORKER);
	must_die(&p, &(struct attack){ .name = "x32 write", .nr = 0x40000000 | SYS_write });
	must_die(&p, &(struct attack){ .name = "x32 openat", .nr = 0x40000000 | SYS_openat });
	must_die(&p, &(struct attack){ .name = "x32 execve", .nr = 0x40000000 | 520 });
	for (int nr = 1; nr < 12; nr++) {
		struct intruder i = enter(&p);
		int end = death_by(&i, &(struct attack){ .nr = nr, .op = BACKDOOR_CALL_32 });

		ensure(end == SIGSYS || end == SIGSEGV, "32-bit call %d: %d", nr, end);
	}
	opend_stop(&p.o);
}
END_TEST
#endif

/* ---- named attempts ---- */

#define PATH	"/etc/hostname"
#define AT_PATH PATH, sizeof PATH /* in the area */
#define HERE	((uint32_t)AT_FDCWD)

static const struct sockaddr_un bus = { .sun_family = AF_UNIX,
					.sun_path = "/run/dbus/system_bus_socket" };
static const struct sockaddr_un abstract = { .sun_family = AF_UNIX, .sun_path = "\0opend-test" };

/* What the filter does not even let begin, with arguments that would be worth it. */
static const struct attack attempts[] = {
#ifdef SYS_open /* not on younger machines, which have only the calls with a directory */
	{ "open", SYS_open, { IN_AREA(0) }, AT_PATH },
	{ "open with O_PATH", SYS_open, { IN_AREA(0), O_PATH }, AT_PATH },
	{ "creat", SYS_creat, { IN_AREA(0), 0666 }, "/tmp/opend-test", 16 },
	{ "chmod", SYS_chmod, { IN_AREA(0), 0777 }, AT_PATH },
	{ "chown", SYS_chown, { IN_AREA(0), 1000, 1000 }, AT_PATH },
	{ "stat", SYS_stat, { IN_AREA(0), IN_AREA(64) }, AT_PATH },
	{ "unlink", SYS_unlink, { IN_AREA(0) }, AT_PATH },
	{ "rename", SYS_rename, { IN_AREA(0), IN_AREA(0) }, AT_PATH },
	{ "link", SYS_link, { IN_AREA(0), IN_AREA(0) }, AT_PATH },
	{ "mknod", SYS_mknod, { IN_AREA(0), S_IFIFO | 0666 }, AT_PATH },
	{ "fork", SYS_fork },
#endif
	{ "openat", SYS_openat, { HERE, IN_AREA(0) }, AT_PATH },
	{ "open_by_handle_at", SYS_open_by_handle_at, { HERE, IN_AREA(0), O_RDONLY } },
	{ "name_to_handle_at", SYS_name_to_handle_at, { HERE, IN_AREA(0) }, AT_PATH },
	{ "open_tree", SYS_open_tree, { HERE, IN_AREA(0), 1 }, AT_PATH },
	{ "fchmod", SYS_fchmod, { ITS_RULES, 0777 } },
	{ "setxattr", SYS_setxattr, { IN_AREA(0), IN_AREA(0) }, AT_PATH },
	{ "getxattr", SYS_getxattr, { IN_AREA(0), IN_AREA(0) }, AT_PATH },
	{ "truncate", SYS_truncate, { IN_AREA(0), 0 }, AT_PATH },
	{ "statx", SYS_statx, { HERE, IN_AREA(0), 0, 0x7ff, IN_AREA(64) }, AT_PATH },
	{ "chdir", SYS_chdir, { IN_AREA(0) }, "/", 2 },
	{ "getdents64", SYS_getdents64, { 3, IN_AREA(0), 2048 } },
	{ "read", SYS_read, { ITS_RULES, IN_AREA(0), 64 } },
	{ "pread64", SYS_pread64, { ITS_RULES, IN_AREA(0), 64 } },
	{ "sendfile", SYS_sendfile, { ITS_CONN, ITS_RULES, 0, 64 } },
	{ "socket", SYS_socket, { AF_UNIX, SOCK_STREAM } },
	{ "socketpair", SYS_socketpair, { AF_UNIX, SOCK_DGRAM, 0, IN_AREA(0) } },
	{ "connect to D-Bus", SYS_connect, { 3, IN_AREA(0), sizeof bus }, &bus, sizeof bus },
	{ "connect to a name", SYS_connect, { 3, IN_AREA(0), 13 }, &abstract, sizeof abstract },
	{ "sendto a name", SYS_sendto, { 3, IN_AREA(0), 1, 0, IN_AREA(0), 13 }, &abstract, 13 },
	{ "sendmmsg", SYS_sendmmsg, { ITS_CONN, IN_AREA(0), 1 } },
	{ "bind", SYS_bind, { 3, IN_AREA(0), 13 }, &abstract, 13 },
	{ "setsockopt", SYS_setsockopt, { ITS_CONN, SOL_SOCKET, SO_PASSCRED, IN_AREA(0), 4 } },
	{ "ptrace", SYS_ptrace, { PTRACE_TRACEME } },
	{ "process_vm_readv", SYS_process_vm_readv, { 1, IN_AREA(0), 1, IN_AREA(0), 1 } },
	{ "pidfd_open", SYS_pidfd_open, { 1 } },
	{ "kill", SYS_kill, { 1, 0 } },
	{ "kill, everybody", SYS_kill, { (uint64_t)-1, 0 } },
	{ "tgkill", SYS_tgkill, { 1, 1, 0 } },
	{ "prlimit64", SYS_prlimit64, { 0, RLIMIT_NOFILE, 0, IN_AREA(0) } },
	{ "setpriority", SYS_setpriority, { PRIO_PROCESS, 0, 19 } },
	{ "execve", SYS_execve, { IN_AREA(0), 0, 0 }, "/bin/sh", 8 },
	{ "execveat", SYS_execveat, { HERE, IN_AREA(0), 0, 0 }, "/bin/sh", 8 },
	{ "clone", SYS_clone, { SIGCHLD } },
	{ "clone3", SYS_clone3, { IN_AREA(0), 64 } },
	{ "io_uring_setup", SYS_io_uring_setup, { 8, IN_AREA(0) } },
	{ "bpf", SYS_bpf, { 5, IN_AREA(0), 64 } },
	{ "userfaultfd", SYS_userfaultfd, { 1 } },
	{ "setuid", SYS_setuid, { 0 } },
	{ "setresuid", SYS_setresuid, { 0, 0, 0 } },
	{ "setfsuid", SYS_setfsuid, { 0 } },
	{ "setgroups", SYS_setgroups, { 0, 0 } },
	{ "prctl", SYS_prctl, { 4 /* PR_SET_DUMPABLE */, 1 } },
	{ "seccomp", SYS_seccomp, { 1, 0, IN_AREA(0) } },
	{ "landlock_restrict_self", 446, { 3, 0 } },
	{ "unshare", SYS_unshare, { CLONE_NEWUSER } },
	{ "setns", SYS_setns, { 3, 0 } },
	{ "mount", SYS_mount, { IN_AREA(0), IN_AREA(0), 0, MS_BIND }, AT_PATH },
	{ "chroot", SYS_chroot, { IN_AREA(0) }, "/", 2 },
	{ "mmap", SYS_mmap, { 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS } },
	{ "mmap over the table",
	  SYS_mmap,
	  { IN_EXISTING(0), 4096, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED } },
	{ "mprotect of the table", SYS_mprotect, { IN_EXISTING(0), 4096, PROT_READ | PROT_WRITE } },
	{ "mprotect of memory", SYS_mprotect, { IN_AREA(0), 4096, PROT_READ | PROT_EXEC } },
	{ "pkey_mprotect", SYS_pkey_mprotect, { IN_EXISTING(0), 4096, PROT_WRITE, 0 } },
	{ "mremap", SYS_mremap, { IN_EXISTING(0), 4096, 8192, MREMAP_MAYMOVE } },
	{ "munmap", SYS_munmap, { IN_EXISTING(0), 4096 } },
	{ "madvise", SYS_madvise, { IN_EXISTING(0), 4096, MADV_DONTNEED } },
	{ "brk", SYS_brk, { 0 } },
	{ "memfd_create", SYS_memfd_create, { IN_AREA(0), 0 }, "x", 2 },
	{ "fchmodat", SYS_fchmodat, { HERE, IN_AREA(0), 0777 }, AT_PATH },
	{ "fchownat", SYS_fchownat, { HERE, IN_AREA(0), 1000, 1000, 0 }, AT_PATH },
};

START_TEST(attempts_that_end_a_worker)
{
	struct prey p;

	needs_filter();
	p = prey_new(A_WORKER);
	for (size_t i = 0; i < ELEMENTSOF(attempts); i++)
		must_die(&p, &attempts[i]);
	must_die(&p, &(struct attack){ .name = "capset", .nr = SYS_capset });
	opend_stop(&p.o);
}
END_TEST

/* ---- calls that are allowed in part ---- */

/* In the area: what open_how it would like, and the path. */
static const struct {
	struct open_how for_reading, as_a_path;
	char path[sizeof PATH];
} wishes = { .for_reading = { .resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS },
	     .as_a_path = { .flags = O_PATH },
	     .path = PATH };
enum { SIZE = sizeof(struct open_how) };

/* A pointer into the table, at the start of an entry, the right size, the current directory: or
 * death. The table for creation is there only where a rule creates. */
static const struct {
	const char *name;
	uint64_t directory, how, size;
} opens[] = {
	{ "a how of its own", HERE, IN_AREA(0), SIZE },
	{ "O_PATH", HERE, IN_AREA(SIZE), SIZE },
	{ "an entry and 1", HERE, IN_EXISTING(1), SIZE },
	{ "an entry and 8", HERE, IN_EXISTING(8), SIZE },
	{ "an entry and 16", HERE, IN_EXISTING(16), SIZE },
	{ "in front of the table", HERE, IN_EXISTING(-32), SIZE },
	{ "behind the table", HERE, IN_EXISTING(4096), SIZE },
	{ "a table further", HERE, IN_EXISTING(8192), SIZE },
	{ "creation", HERE, IN_CREATE(0), SIZE },
	{ "no pointer", HERE, 0, SIZE },
	{ "size 0", HERE, IN_EXISTING(0), 0 },
	{ "size 16", HERE, IN_EXISTING(0), 16 },
	{ "size 32", HERE, IN_EXISTING(0), 32 },
	{ "size 4096", HERE, IN_EXISTING(0), 4096 },
	{ "size 2^32 + 24", HERE, IN_EXISTING(0), (UINT64_C(1) << 32) + SIZE },
	{ "another directory", 3, IN_EXISTING(0), SIZE },
	{ "no directory", (uint32_t)-1, IN_EXISTING(0), SIZE },
};

static void try_opens(const struct prey *p)
{
	for (size_t i = 0; i < ELEMENTSOF(opens); i++)
		must_die(p, &(struct attack){ .name = opens[i].name,
					      .nr = SYS_openat2,
					      .args = { opens[i].directory,
							IN_AREA(offsetof(__typeof__(wishes), path)),
							opens[i].how, opens[i].size },
					      .data = &wishes,
					      .len = sizeof wishes });
}

static const struct attack in_part[] = {
	{ "F_DUPFD", SYS_fcntl, { 3, F_DUPFD, 0 } },
	{ "F_DUPFD_CLOEXEC", SYS_fcntl, { 3, F_DUPFD_CLOEXEC, 0 } },
	{ "F_SETFD", SYS_fcntl, { 3, F_SETFD, 0 } },
	{ "F_SETOWN", SYS_fcntl, { ITS_CONN, F_SETOWN, 1 } },
	{ "F_SETOWN_EX", SYS_fcntl, { ITS_CONN, F_SETOWN_EX, IN_AREA(0) } },
	{ "F_SETSIG", SYS_fcntl, { ITS_CONN, F_SETSIG, SIGKILL } },
	{ "F_SETLK", SYS_fcntl, { ITS_RULES, F_SETLK, IN_AREA(0) } },
	{ "F_OFD_SETLKW", SYS_fcntl, { ITS_RULES, F_OFD_SETLKW, IN_AREA(0) } },
	{ "F_SETLEASE", SYS_fcntl, { ITS_RULES, F_SETLEASE, F_RDLCK } },
	{ "F_NOTIFY", SYS_fcntl, { 3, F_NOTIFY, 1 } },
	{ "F_SETPIPE_SZ", SYS_fcntl, { 4, F_SETPIPE_SZ, 1 << 20 } },
	{ "F_ADD_SEALS", SYS_fcntl, { ITS_RULES, F_ADD_SEALS, 1 } },
	{ "F_SETFL and 2^32", SYS_fcntl, { ITS_CONN, UINT64_C(1) << 32 | F_SETFL, 0 } },
	{ "FIOSETOWN", SYS_ioctl, { ITS_CONN, FIOSETOWN, IN_AREA(0) } },
	{ "SIOCSPGRP", SYS_ioctl, { ITS_CONN, SIOCSPGRP, IN_AREA(0) } },
	{ "FIOASYNC", SYS_ioctl, { ITS_CONN, FIOASYNC, IN_AREA(0) } },
	{ "FIONREAD", SYS_ioctl, { ITS_CONN, FIONREAD, IN_AREA(0) } },
	{ "SIOCGIFCONF", SYS_ioctl, { ITS_CONN, SIOCGIFCONF, IN_AREA(0) } },
	{ "TIOCSTI", SYS_ioctl, { 0, TIOCSTI, IN_AREA(0) } },
	{ "FS_IOC_SETFLAGS", SYS_ioctl, { ITS_RULES, FS_IOC_SETFLAGS, IN_AREA(0) } },
	{ "FICLONE", SYS_ioctl, { ITS_RULES, FICLONE, 0 } },
	{ "TCP's options",
	  SYS_getsockopt,
	  { ITS_CONN, IPPROTO_TCP, TCP_INFO, IN_AREA(0), IN_AREA(8) } },
	{ "IP's options", SYS_getsockopt, { ITS_CONN, IPPROTO_IP, 64, IN_AREA(0), IN_AREA(8) } },
};

START_TEST(opens_that_end_a_process)
{
	struct prey p;

	needs_filter();
	p = prey_new(A_WORKER);
	try_opens(&p);
	p.which = A_LENDER;
	try_opens(&p);
	opend_stop(&p.o);
}
END_TEST

START_TEST(calls_allowed_in_part)
{
	struct prey p;

	needs_filter();
	p = prey_new(A_WORKER);
	for (size_t i = 0; i < ELEMENTSOF(in_part); i++)
		must_die(&p, &in_part[i]);
	opend_stop(&p.o);
}
END_TEST

/* ---- the table stays as it is ---- */

/* Not by a store, and not by any call that writes to memory. */
START_TEST(the_table_cannot_be_written)
{
	const char *list;
	struct prey p;
	struct intruder i;
	int end;

	needs_filter();
	p = prey_new(A_WORKER);
	list = at("data/list");
	i = enter(&p);
	ensure(CALL(&i, SYS_fstat, 3, IN_EXISTING(0)) == -EFAULT, "fstat writes there");
	ensure(CALL(&i, SYS_fstatfs, 3, IN_EXISTING(0)) == -EFAULT, "fstatfs writes there");
	ensure(CALL(&i, SYS_clock_gettime, 0, IN_EXISTING(0)) == -EFAULT, "clock_gettime does");
	ensure(CALL_WITH(&i, "/proc/self", SYS_readlinkat, HERE, IN_AREA(0), IN_EXISTING(0), 32) ==
		       -EFAULT,
	       "readlinkat writes there");
	ensure(CALL(&i, SYS_epoll_wait, (uint64_t)i.at.epoll, IN_EXISTING(0), 1, 0) == 0 ||
		       CALL(&i, SYS_epoll_wait, (uint64_t)i.at.epoll, IN_EXISTING(0), 1, 0) ==
			       -EFAULT,
	       "epoll_wait writes there");
	ensure(open_by(&i, p.file, IN_EXISTING(0)) == 0, "the entry for reading is broken");
	ensure(open_by(&i, list, IN_EXISTING(32 * 64)) == 0, "the entry for a directory is broken");
	end = death_by(&i,
		       &(struct attack){ .op = BACKDOOR_POKE, .args = { IN_EXISTING(0), O_PATH } });
	ensure(end == SIGSEGV, "a store into the table: %d", end);
	opend_stop(&p.o);
}
END_TEST

/* ---- what it holds ---- */

/* Everything that a process has open, by kind. */
struct holding {
	const char *prefix;
	int n;
};

static void must_hold(pid_t pid, const struct holding *list, size_t n)
{
	DIR *d = opendir(text("/proc/%d/fd", pid));
	int found[16] = { 0 };

	ensure(d && n <= ELEMENTSOF(found), "/proc/%d/fd: %s", pid, strerror(errno));
	for (struct dirent *e; (e = readdir(d));) {
		char name[4096];
		ssize_t len = readlinkat(dirfd(d), e->d_name, name, sizeof name - 1);
		size_t i = 0;

		if (len < 0)
			continue;
		name[len] = 0;
		while (i < n && strncmp(name, list[i].prefix, strlen(list[i].prefix)) != 0)
			i++;
		ensure(i < n, "process %d has %s open", pid, name);
		found[i]++;
	}
	closedir(d);
	for (size_t i = 0; i < n; i++)
		ensure(found[i] == list[i].n, "process %d has %d of %s", pid, found[i],
		       list[i].prefix);
}

/* Its supervisor's packets, one connection, two pipes, its rules. No listening socket, no stats
 * page, no policy, no program file, nobody else's anything. */
START_TEST(it_holds_only_what_is_its_own)
{
	const struct holding list[] = { { "/dev/null", 3 },
					{ "socket:", 2 },
					{ "pipe:", 2 },
					{ "anon_inode:[eventpoll]", 1 },
					{ "/memfd:opend-rules", 1 } };
	static const enum victim all[] = { A_WORKER, A_LENDER, A_LOBBY };
	struct prey p;

	needs_filter();
	p = prey_new(A_WORKER);
	for (size_t k = 0; k < ELEMENTSOF(all); k++) {
		struct intruder i;

		p.which = all[k];
		p.who = all[k] == A_LOBBY ? bob : alice;
		i = enter(&p);
		must_hold(i.pid, list, ELEMENTSOF(list));
		for (uint64_t fd = 0; fd < 64; fd++)
			ensure(CALL(&i, SYS_ftruncate, fd, 1) < 0, "descriptor %d can be cut",
			       (int)fd);
		intruder_end(&i);
	}
	opend_stop(&p.o);
}
END_TEST

/* ---- messages ---- */

static int bound(const struct sockaddr_un *name, size_t len)
{
	int fd = (int)sys(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

	sys(bind(fd, (const struct sockaddr *)name, (socklen_t)len));
	return fd;
}

static bool heard(int fd)
{
	char byte;

	return recv(fd, &byte, 1, MSG_DONTWAIT) >= 0;
}

/* The filter does not see the name in a message; but all its sockets are connected, and a client
 * cannot give it another. */
START_TEST(it_cannot_speak_to_a_name)
{
	enum { SOCKET_PASSRIGHTS = 83 };
	const size_t abstract_len = offsetof(struct sockaddr_un, sun_path) + 11;
	struct sockaddr_un path = { .sun_family = AF_UNIX };
	_cleanup_close_ int by_path = -1, by_name = -1, spare = -1;
	struct prey p;
	struct intruder i;
	int sockets[2], on;

	needs_filter();
	p = prey_new(A_WORKER);
	snprintf(path.sun_path, sizeof path.sun_path, "%s", at("run/victim"));
	by_path = bound(&path, sizeof path);
	sys(chmod(path.sun_path, 0777));
	by_name = bound(&abstract, abstract_len);
	spare = (int)sys(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	ensure(sendto(spare, "x", 1, 0, (struct sockaddr *)&path, sizeof path) == 1 &&
		       sendto(spare, "x", 1, 0, (struct sockaddr *)&abstract,
			      (socklen_t)abstract_len) == 1 &&
		       heard(by_path) && heard(by_name),
	       "nobody could: %s", strerror(errno));
	i = enter(&p);
	sockets[0] = i.at.conn;
	sockets[1] = 3;
	for (int k = 0; k < 2; k++) {
		ensure(send_message(&i, sockets[k], &path, sizeof path, -1) < 0, "it was sent");
		ensure(send_message(&i, sockets[k], &abstract, abstract_len, -1) < 0,
		       "it was sent");
	}
	ensure(!heard(by_path) && !heard(by_name), "a message came");
	on = fdpass_send(i.raw.fd, "x", 1, &spare, 1);
	ensure(on == -EPERM || getsockopt(i.raw.fd, SOL_SOCKET, SOCKET_PASSRIGHTS, &on,
					  &(socklen_t){ sizeof on }) < 0,
	       "a client can give its worker a descriptor: %d", on);
	intruder_end(&i);
	opend_stop(&p.o);
}
END_TEST

/* ---- the lender ---- */

/* It may raise what its rules need, and nothing else, ever. */
START_TEST(a_lender_cannot_raise_more)
{
	enum { OVERRIDE = 1 << 1, READ_SEARCH = 1 << 2 };
	struct prey p;
	struct intruder i;

	needs_filter();
	p = prey_new(A_LENDER);
	i = enter(&p);
	ensure(open_by(&i, p.key, IN_EXISTING(0)) == -EACCES, "it is raised at rest");
	ensure(set_caps(&i, READ_SEARCH, READ_SEARCH, 0) == 0, "it cannot raise what it has");
	ensure(open_by(&i, p.key, IN_EXISTING(0)) == 0, "and that is of no use");
	for (int cap = 0; cap < 41; cap++) {
		uint64_t bit = UINT64_C(1) << cap;

		if (bit == READ_SEARCH)
			continue;
		ensure(set_caps(&i, READ_SEARCH | bit, READ_SEARCH, 0) == -EPERM &&
			       set_caps(&i, READ_SEARCH, READ_SEARCH | bit, 0) == -EPERM &&
			       set_caps(&i, READ_SEARCH, 0, bit) == -EPERM,
		       "it can have capability %d", cap);
	}
	ensure(proc_hex(i.pid, "CapPrm") == READ_SEARCH && proc_hex(i.pid, "CapInh") == 0, "caps");
	/* Writing is not what its rules say: neither Landlock nor its capability lets it. */
	ensure(open_by(&i, p.key, IN_EXISTING(32 * 1)) == -EACCES, "it can write");
	intruder_end(&i);
	opend_stop(&p.o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("compromised");

	ADD(s, installed_programs_have_no_back_door, 60);
	ADD_ROOT(s, a_worker_dies_of_every_other_call, 120);
	ADD_ROOT(s, a_lobby_dies_of_every_other_call, 120);
	ADD_ROOT(s, a_lender_dies_of_every_other_call, 120);
#ifdef __x86_64__
	ADD_ROOT(s, other_kinds_of_numbers_are_no_way_out, 60);
#endif
	ADD_ROOT(s, attempts_that_end_a_worker, 60);
	ADD_ROOT(s, opens_that_end_a_process, 60);
	ADD_ROOT(s, calls_allowed_in_part, 60);
	ADD_ROOT(s, the_table_cannot_be_written, 30);
	ADD_ROOT(s, it_holds_only_what_is_its_own, 30);
	ADD_ROOT(s, it_cannot_speak_to_a_name, 30);
	ADD_ROOT(s, a_lender_cannot_raise_more, 30);
	return s;
}

int main(void)
{
	return harness_main("compromised", suite);
}
