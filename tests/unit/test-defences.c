/* SPDX-License-Identifier: MIT
 * What is left to a worker that obeys its client instead of us: the very confinement that
 * opend-worker puts on, and then, in its place, whatever it should not do. Each attempt is made in
 * a process of its own. Also the checks of a worker that nobody sees fail from outside: what it is,
 * and whose a connection is. */
#include <arpa/inet.h>
#include <check.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "daemon/worker/openhow.h"
#include "daemon/worker/worker.h"
#include "fdpass.h"

enum { SYS_landlock_ruleset = 444, RULESET_VERSION = 1, CHILD_SETUP = 99, CHILD_WRONG = 1 };

static struct worker w;
static char tree[] = "/tmp/opend-defences-XXXXXX";

static void skip(const char *test, const char *reason)
{
	/* Check names the function of a test after it. */
	printf("SKIP: %.*s: %s\n", (int)(strlen(test) - strlen("_fn")), test, reason);
}

/* ---- a worker, as far as it matters here ---- */

static void be_worker(enum birth_role role, const char *policy)
{
	static const struct policy_options options = { .units = true, .origins = true };
	static struct stats stats;
	struct diags diags = { 0 };

	w = (struct worker){ .birth = { .role = role, .landlock_max = UINT32_MAX, .max_conns = 4 },
			     .stats = &stats,
			     .rules_fd = -1,
			     .epoll = -1,
			     .lender.fd = -1,
			     .successor = -1,
			     .predecessor = -1 };
	ck_assert_int_eq(policy_parse("p", policy, strlen(policy), &options, &diags, &w.policy), 0);
	diags_deinit(&diags);
	ck_assert_int_eq(policy_plan(w.policy, is_lender(&w), &w.plan, &w.n_bases), 0);
	w.bases = calloc(w.n_bases + 1, sizeof *w.bases);
	ck_assert_ptr_nonnull(w.bases);
	for (size_t i = 0; i < w.n_bases; i++)
		w.bases[i].base = &w.plan[i];
}

static void be_worker_no_more(void)
{
	free(w.bases);
	free(w.plan);
	w.policy = policy_free(w.policy);
}

/* Runs fn(arg) in a child: its exit status, or -signal. */
static int in_child(int (*fn)(void *arg), void *arg)
{
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0)
		_exit(fn(arg));
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* ---- what it is ---- */

enum lie { NONE, UID, GID, SLOT, ONE_GROUP_MORE, ANOTHER_GROUP, NEW_PRIVILEGES, DUMPABLE, CAPS };

static bool drop_capabilities(void)
{
	cap_t none = cap_init();
	int r = cap_set_proc(none);

	cap_free(none);
	return r == 0;
}

/* Becomes what a worker becomes, but for one thing, and reads it back. */
static int read_back(void *arg)
{
	const enum lie lie = *(enum lie *)arg;
	static gid_t groups[NGROUPS_MAX + 1];
	int n = getgroups(NGROUPS_MAX, groups);
	enum birth_step step;

	w.birth = (struct birth){ .uid = geteuid(), .gid = getegid() };
	w.groups = groups;
	w.birth.n_groups = (uint32_t)n;
	w.birth.uid += lie == UID;
	w.birth.gid += lie == GID;
	w.birth.switch_ids = lie == SLOT;
	w.birth.slot = w.birth.uid + 1;
	if (lie == ANOTHER_GROUP && n == 0)
		w.birth.n_groups++;
	if (lie == ONE_GROUP_MORE)
		w.birth.n_groups++;
	if (lie == ANOTHER_GROUP)
		groups[0] += 4711;
	if (lie != CAPS && !drop_capabilities())
		return CHILD_SETUP;
	if (lie != NEW_PRIVILEGES && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return CHILD_SETUP;
	if (prctl(PR_SET_DUMPABLE, lie == DUMPABLE, 0, 0, 0) < 0)
		return CHILD_SETUP;
	return become_verify(&w, &step) == (lie == NONE ? 0 : -EPERM) ? 0 : CHILD_WRONG;
}

START_TEST(a_worker_reads_back_what_it_is)
{
	for (enum lie lie = NONE; lie <= CAPS; lie++) {
		if (lie == CAPS && geteuid() != 0)
			continue;
		ck_assert_msg(in_child(read_back, &lie) == 0, "lie %d", (int)lie);
	}
}
END_TEST

/* ---- whose a connection is ---- */

struct adoption {
	uid_t uid;	  /* whom the worker is for */
	bool with_others; /* and who is in a group that the client is not in */
	uint32_t flags;	  /* of the packet that brings the connection */
	bool taken;
};

/* Ours, and one more. */
static void be_in_groups(bool and_another)
{
	int n = getgroups(0, NULL);

	w.groups = calloc((size_t)n + 1, sizeof *w.groups);
	ck_assert(w.groups && getgroups(n, w.groups) == n);
	w.birth.n_groups = (uint32_t)n + and_another;
	if (and_another)
		w.groups[n] = 4711;
}

static int adopt(void *arg)
{
	const struct adoption *a = arg;
	struct down d = { .type = DOWN_ADOPT, .flags = a->flags, .cookie = 4711 };
	struct up u = { 0 };
	int sv[2], up[2];
	char byte;
	bool taken;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv) < 0 || pipe(up) < 0)
		return CHILD_SETUP;
	sv[0] = fcntl(sv[0], F_DUPFD, 20);
	sv[1] = fcntl(sv[1], F_DUPFD, 20);
	up[0] = fcntl(up[0], F_DUPFD, 20);
	up[1] = fcntl(up[1], F_DUPFD, 20);
	if (dup2(up[1], WORKER_FD_UP) < 0 || fcntl(up[0], F_SETFL, O_NONBLOCK) < 0)
		return CHILD_SETUP;
	w.birth.uid = a->uid;
	w.birth.gid = getegid();
	be_in_groups(a->with_others);
	w.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (w.epoll < 0 || conn_setup(&w) < 0)
		return CHILD_SETUP;
	taken = conn_adopt(&w, sv[0], &d) != NULL;
	if (taken != a->taken)
		return CHILD_WRONG;
	if (taken)
		return read(up[0], &u, sizeof u) < 0 && recv(sv[1], &byte, 1, 0) < 0 ? 0 : 2;
	/* The supervisor is told, and the client sees the end. */
	if (read(up[0], &u, sizeof u) != sizeof u || u.type != UP_CLOSED || u.cookie != d.cookie)
		return 3;
	return recv(sv[1], &byte, 1, 0) == 0 ? 0 : 4;
}

START_TEST(a_worker_serves_its_own_client)
{
	struct adoption own = { .uid = geteuid(), .taken = true },
			another = { .uid = geteuid() + 1 },
			in_fewer_groups = { .uid = geteuid(), .with_others = true },
			of_a_worker = { another.uid, false, DOWN_PEER_WORKER, true };

	be_worker(BIRTH_WORKER, "");
	ck_assert_int_eq(in_child(adopt, &own), 0);
	ck_assert_int_eq(in_child(adopt, &another), 0);
	ck_assert_int_eq(in_child(adopt, &in_fewer_groups), 0);
	ck_assert_int_eq(in_child(adopt, &of_a_worker), 0);
	be_worker_no_more();
}
END_TEST

/* ---- Landlock ---- */

static unsigned landlock_abi(void)
{
	long abi = syscall(SYS_landlock_ruleset, NULL, 0, RULESET_VERSION);

	return abi < 0 ? 0 : (unsigned)abi;
}

static const char *in_tree(const char *name)
{
	static char paths[8][PATH_MAX];
	static unsigned next;
	char *p = paths[next++ % ELEMENTSOF(paths)];

	snprintf(p, PATH_MAX, "%s/%s", tree, name);
	return p;
}

static void make_tree(void)
{
	static const char *const dirs[] = {
		"read", "write", "list", "box", "dir", "root", "outside"
	};

	ck_assert_ptr_nonnull(mkdtemp(tree));
	for (size_t i = 0; i < ELEMENTSOF(dirs); i++) {
		char file[64];
		int fd;

		ck_assert_int_eq(mkdir(in_tree(dirs[i]), 0755), 0);
		snprintf(file, sizeof file, "%s/file", dirs[i]);
		fd = open(in_tree(file), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(write(fd, "content\n", 8), 8);
		close(fd);
	}
}

static void remove_tree(void)
{
	char command[128];

	snprintf(command, sizeof command, "rm -rf %s", tree);
	ck_assert_int_eq(system(command), 0);
}

static void be_worker_of_the_tree(void)
{
	char policy[8 * PATH_MAX];

	snprintf(policy, sizeof policy,
		 "allow read under %s to anyone\nallow write under %s to anyone\n"
		 "allow list under %s to anyone\nallow create under %s to anyone\n"
		 "allow read file %s to anyone\nallow read under %s to anyone as root\n",
		 in_tree("read"), in_tree("write"), in_tree("list"), in_tree("box"), in_tree("dir"),
		 in_tree("root"));
	be_worker(BIRTH_WORKER, policy);
}

static int do_open(const char *a, const char *b, int flags)
{
	(void)b;
	return open(a, flags | O_CLOEXEC, 0644);
}
static int do_truncate(const char *a, const char *b, int flags)
{
	(void)b;
	return truncate(a, flags);
}
static int do_unlink(const char *a, const char *b, int flags)
{
	(void)b;
	return unlinkat(AT_FDCWD, a, flags);
}
static int do_mknod(const char *a, const char *b, int type)
{
	(void)b;
	return mknod(a, (mode_t)type | 0644, 0);
}
static int do_mkdir(const char *a, const char *b, int mode)
{
	(void)b;
	return mkdir(a, (mode_t)mode);
}
static int do_symlink(const char *a, const char *b, int flags)
{
	(void)flags;
	return symlink(b, a);
}
static int do_rename(const char *a, const char *b, int flags)
{
	(void)flags;
	return rename(a, in_tree(b));
}
static int do_link(const char *a, const char *b, int flags)
{
	(void)flags;
	return link(a, in_tree(b));
}
static int do_execute(const char *a, const char *b, int flags)
{
	char *const argv[] = { (char *)a, NULL };

	(void)b;
	(void)flags;
	return execve(a, argv, argv + 1);
}

/* Done in this order: what the first make, the later find. */
static const struct {
	int (*call)(const char *a, const char *b, int flags);
	const char *a, *b;
	int flags;
	bool allowed;
	unsigned since; /* the ABI that knows it */
} acts[] = {
	{ do_open, "read/file", NULL, O_RDONLY, true, 1 },
	{ do_open, "read/file", NULL, O_WRONLY, false, 1 },
	{ do_open, "read/file", NULL, O_RDWR, false, 1 },
	{ do_open, "read", NULL, O_RDONLY | O_DIRECTORY, false, 1 },
	{ do_open, "read/new", NULL, O_WRONLY | O_CREAT, false, 1 },
	{ do_truncate, "read/file", NULL, 0, false, 3 },
	{ do_execute, "read/file", NULL, 0, false, 1 },
	{ do_open, "write/file", NULL, O_WRONLY, true, 1 },
	{ do_open, "write/file", NULL, O_WRONLY | O_TRUNC, true, 1 },
	{ do_open, "write/file", NULL, O_RDONLY, false, 1 },
	{ do_open, "write/new", NULL, O_WRONLY | O_CREAT, false, 1 },
	{ do_unlink, "write/file", NULL, 0, false, 1 },
	{ do_open, "list", NULL, O_RDONLY | O_DIRECTORY, true, 1 },
	{ do_open, "list/file", NULL, O_RDONLY, false, 1 },
	{ do_open, "box/new", NULL, O_RDWR | O_CREAT | O_EXCL, true, 1 },
	{ do_open, "box", NULL, O_RDONLY | O_DIRECTORY, false, 1 },
	{ do_unlink, "box/new", NULL, 0, false, 1 },
	{ do_unlink, "box", NULL, AT_REMOVEDIR, false, 1 },
	{ do_mkdir, "box/d", NULL, 0755, false, 1 },
	{ do_mknod, "box/fifo", NULL, S_IFIFO, false, 1 },
	{ do_mknod, "box/socket", NULL, S_IFSOCK, false, 1 },
	{ do_symlink, "box/link", "/etc", 0, false, 1 },
	{ do_rename, "box/new", "box/newer", 0, false, 1 },
	{ do_link, "box/new", "read/new", 0, false, 1 },
	{ do_rename, "box/new", "write/new", 0, false, 1 },
	{ do_open, "dir/file", NULL, O_RDONLY, false, 1 },
	{ do_open, "dir", NULL, O_RDONLY | O_DIRECTORY, false, 1 },
	{ do_open, "root/file", NULL, O_RDONLY, false, 1 },
	{ do_open, "outside/file", NULL, O_RDONLY, false, 1 },
	{ do_open, "outside/file", NULL, O_WRONLY, false, 1 },
	{ do_open, "/", NULL, O_RDONLY | O_DIRECTORY, false, 1 },
	{ do_open, "/etc/passwd", NULL, O_RDONLY, false, 1 },
};

/* Returns 0, or the number of the first act that does not end as it should. */
static int do_all(void *arg)
{
	(void)arg;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_confine(&w) < 0)
		return CHILD_SETUP;
	for (size_t i = 0; i < ELEMENTSOF(acts); i++) {
		const char *a = acts[i].a[0] == '/' ? acts[i].a : in_tree(acts[i].a);
		int r;

		if (acts[i].since > w.landlock_abi)
			continue;
		r = acts[i].call(a, acts[i].b, acts[i].flags);
		if (acts[i].allowed ? r < 0 : r >= 0 || (errno != EACCES && errno != EXDEV))
			return (int)i + 1;
	}
	return 0;
}

START_TEST(landlock_leaves_the_hull)
{
	int r;

	if (!landlock_abi()) {
		skip(__func__, "this kernel has no Landlock");
		return;
	}
	make_tree();
	be_worker_of_the_tree();
	r = in_child(do_all, NULL);
	ck_assert_msg(r == 0 || r > (int)ELEMENTSOF(acts), "%s with flags %#o",
		      acts[UTIL_MAX(r, 1) - 1].a, (unsigned)acts[UTIL_MAX(r, 1) - 1].flags);
	ck_assert_int_eq(r, 0);
	be_worker_no_more();
	remove_tree();
}
END_TEST

static struct sockaddr_in tcp;

static int use_network(void *arg)
{
	const struct sockaddr_in any = { .sin_family = AF_INET,
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_confine(&w) < 0 || fd < 0)
		return CHILD_SETUP;
	if (connect(fd, (struct sockaddr *)&tcp, sizeof tcp) == 0 || errno != EACCES)
		return CHILD_WRONG;
	return bind(fd, (const struct sockaddr *)&any, sizeof any) < 0 && errno == EACCES ? 0 : 2;
}

START_TEST(landlock_leaves_no_network)
{
	socklen_t len = sizeof tcp;
	int server, own;

	if (landlock_abi() < 4) {
		skip(__func__, "this kernel's Landlock knows no network (Linux 6.7)");
		return;
	}
	tcp = (struct sockaddr_in){ .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	server = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server, (struct sockaddr *)&tcp, sizeof tcp), 0);
	ck_assert_int_eq(listen(server, 5), 0);
	ck_assert_int_eq(getsockname(server, (struct sockaddr *)&tcp, &len), 0);
	/* Who is not confined can. */
	own = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(own, (struct sockaddr *)&tcp, sizeof tcp), 0);
	be_worker(BIRTH_WORKER, "");
	ck_assert_int_eq(in_child(use_network, NULL), 0);
	be_worker_no_more();
	close(own);
	close(server);
}
END_TEST

static struct sockaddr_un abstract;
static socklen_t abstract_len;

static int reach_others(void *arg)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	(void)arg;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || landlock_confine(&w) < 0 || fd < 0)
		return CHILD_SETUP;
	if (connect(fd, (struct sockaddr *)&abstract, abstract_len) == 0 || errno != EPERM)
		return CHILD_WRONG;
	return kill(getppid(), 0) < 0 && errno == EPERM ? 0 : 2;
}

START_TEST(landlock_leaves_no_signals_and_no_abstract_sockets)
{
	int server, own;

	if (landlock_abi() < 6) {
		skip(__func__, "this kernel's Landlock knows no scopes (Linux 6.12)");
		return;
	}
	abstract = (struct sockaddr_un){ .sun_family = AF_UNIX };
	snprintf(abstract.sun_path + 1, sizeof abstract.sun_path - 1, "opend-defences-%d",
		 (int)getpid());
	abstract_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				   strlen(abstract.sun_path + 1));
	server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(bind(server, (struct sockaddr *)&abstract, abstract_len), 0);
	ck_assert_int_eq(listen(server, 5), 0);
	own = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ck_assert_int_eq(connect(own, (struct sockaddr *)&abstract, abstract_len), 0);
	be_worker(BIRTH_WORKER, "");
	ck_assert_int_eq(in_child(reach_others, NULL), 0);
	be_worker_no_more();
	close(own);
	close(server);
}
END_TEST

/* ---- seccomp ---- */

/* A call with its arguments: what happens to the process that makes it. */
struct call {
	long nr;
	unsigned long a[4];
};

static int make_call(void *arg)
{
	const struct call *c = arg;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || seccomp_confine(&w) < 0)
		return CHILD_SETUP;
	if (c->nr >= 0)
		syscall(c->nr, c->a[0], c->a[1], c->a[2], c->a[3], 0, 0);
	return 0;
}

#define CALL(nr, ...) in_child(make_call, &(struct call){ nr, { __VA_ARGS__ } })

#ifdef OPEND_WIDE_FILTER
#define needs_strict_filter()                                                                      \
	do {                                                                                       \
		skip(__func__, "a sanitizer's filter is wide");                                    \
		return;                                                                            \
	} while (0)
#else
#define needs_strict_filter() ((void)0)
#endif

/* With zeros for arguments none of them does harm where it is let through. */
static const long unlisted[] = {
	SYS_read,
	SYS_pread64,
	SYS_readv,
	SYS_open,
	SYS_openat,
	SYS_creat,
	SYS_stat,
	SYS_lstat,
	SYS_newfstatat,
	SYS_statx,
	SYS_access,
	SYS_faccessat,
	SYS_readlink,
	SYS_getdents64,
	SYS_chmod,
	SYS_fchmod,
	SYS_fchmodat,
	SYS_chown,
	SYS_fchown,
	SYS_fchownat,
	SYS_setxattr,
	SYS_fsetxattr,
	SYS_getxattr,
	SYS_listxattr,
	SYS_utimensat,
	SYS_truncate,
	SYS_fallocate,
	SYS_rename,
	SYS_renameat2,
	SYS_link,
	SYS_linkat,
	SYS_unlink,
	SYS_unlinkat,
	SYS_symlink,
	SYS_symlinkat,
	SYS_mkdir,
	SYS_mkdirat,
	SYS_mknod,
	SYS_mknodat,
	SYS_chdir,
	SYS_fchdir,
	SYS_chroot,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_open_tree,
	SYS_move_mount,
	SYS_name_to_handle_at,
	SYS_socket,
	SYS_socketpair,
	SYS_connect,
	SYS_bind,
	SYS_listen,
	SYS_accept,
	SYS_accept4,
	SYS_sendto,
	SYS_sendmmsg,
	SYS_setsockopt,
	SYS_kill,
	SYS_tkill,
	SYS_tgkill,
	SYS_pidfd_open,
	SYS_pidfd_getfd,
	SYS_pidfd_send_signal,
	SYS_rt_sigqueueinfo,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_prlimit64,
	SYS_setrlimit,
	SYS_setpriority,
	SYS_sched_setaffinity,
	SYS_setuid,
	SYS_setgid,
	SYS_setresuid,
	SYS_setresgid,
	SYS_setfsuid,
	SYS_setgroups,
	SYS_capset,
	SYS_prctl,
	SYS_unshare,
	SYS_setns,
	SYS_execve,
	SYS_execveat,
	SYS_fork,
	SYS_clone,
	SYS_clone3,
	SYS_mmap,
	SYS_mprotect,
	SYS_mremap,
	SYS_munmap,
	SYS_madvise,
	SYS_brk,
	SYS_io_uring_setup,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_keyctl,
	SYS_memfd_create,
	SYS_pipe2,
	SYS_dup2,
	SYS_dup3,
	SYS_inotify_init1,
	SYS_fanotify_init,
	SYS_shmget,
	SYS_msgget,
	SYS_seccomp,
	SYS_setitimer,
};

START_TEST(a_call_that_is_not_listed_kills)
{
	needs_strict_filter();
	be_worker(BIRTH_WORKER, "allow read,write,create,list under /tmp to anyone");
	ck_assert_int_eq(CALL(-1, 0), 0);
	for (size_t i = 0; i < ELEMENTSOF(unlisted); i++)
		ck_assert_msg(CALL(unlisted[i], 0) == -SIGSYS, "call %ld", unlisted[i]);
	be_worker_no_more();
}
END_TEST

START_TEST(a_call_with_other_arguments_kills)
{
	static const unsigned long commands[] = { F_DUPFD,	   F_SETFD,	F_SETLK,
						  F_SETOWN,	   F_SETSIG,	F_SETLEASE,
						  F_NOTIFY,	   F_SETOWN_EX, F_GETLK,
						  F_DUPFD_CLOEXEC, F_ADD_SEALS, F_SETPIPE_SZ };
	static const unsigned long requests[] = { TIOCSTI,  TIOCSCTTY, FIOASYNC,
						  FIONREAD, FIONBIO,   SIOCGIFCONF };

	needs_strict_filter();
	be_worker(BIRTH_WORKER, "");
	ck_assert_int_eq(CALL(SYS_fcntl, 0, F_GETFL), 0);
	ck_assert_int_eq(CALL(SYS_fcntl, 1000, F_SETFL), 0);
	for (size_t i = 0; i < ELEMENTSOF(commands); i++)
		ck_assert_msg(CALL(SYS_fcntl, 0, commands[i]) == -SIGSYS, "fcntl %lu", commands[i]);
	ck_assert_int_eq(CALL(SYS_ioctl, 1000, SIOCOUTQ), 0);
	for (size_t i = 0; i < ELEMENTSOF(requests); i++)
		ck_assert_msg(CALL(SYS_ioctl, 1000, requests[i]) == -SIGSYS, "ioctl %#lx",
			      requests[i]);
	ck_assert_int_eq(CALL(SYS_getsockopt, 0, SOL_SOCKET, SO_PEERCRED), 0);
	ck_assert_int_eq(CALL(SYS_getsockopt, 0, IPPROTO_TCP, 1), -SIGSYS);
	be_worker_no_more();
}
END_TEST

/* The filter compares the whole register, of which a C caller of syscall(2) fills 32 bits. */
static int try_openat2(int dir, const void *how, size_t size)
{
	return CALL(SYS_openat2, (unsigned)dir, (unsigned long)"/nowhere", (unsigned long)how,
		    size);
}

START_TEST(an_open_that_is_not_in_the_table_kills)
{
	const struct openhow_entry *t = openhow_existing, *end = t + OPENHOW_EXISTING;
	const size_t size = sizeof t->how;
	/* Volatile, or the compiler sees that it is taken out of bounds. */
	const char *volatile first = (const char *)t;
	struct open_how copy = t->how;

	be_worker(BIRTH_WORKER, "allow read,write,list under /tmp to anyone");
	ck_assert_int_eq(try_openat2(AT_FDCWD, t, size), 0);
	ck_assert_int_eq(try_openat2(AT_FDCWD, end - 1, size), 0);
	ck_assert_int_eq(try_openat2(AT_FDCWD, openhow_find(O_RDWR | O_APPEND, 0), size), 0);
	/* Not the value counts, but where it stands. */
	ck_assert_int_eq(try_openat2(AT_FDCWD, &copy, size), -SIGSYS);
	ck_assert_int_eq(try_openat2(AT_FDCWD, end, size), -SIGSYS);
	ck_assert_int_eq(try_openat2(AT_FDCWD, first - sizeof *t, size), -SIGSYS);
	for (size_t i = 1; i < sizeof *t; i++)
		ck_assert_int_eq(try_openat2(AT_FDCWD, (const char *)t + i, size), -SIGSYS);
	ck_assert_int_eq(try_openat2(AT_FDCWD, t, size - 8), -SIGSYS);
	ck_assert_int_eq(try_openat2(AT_FDCWD, t, sizeof *t), -SIGSYS);
	ck_assert_int_eq(try_openat2(3, t, size), -SIGSYS);
	be_worker_no_more();
}
END_TEST

START_TEST(creating_is_open_to_whom_a_rule_lets_create)
{
	const struct open_how *how = openhow_find(O_WRONLY | O_CREAT, 0644);

	be_worker(BIRTH_WORKER, "allow read,write,list under /tmp to anyone");
	ck_assert_int_eq(try_openat2(AT_FDCWD, how, sizeof *how), -SIGSYS);
	be_worker_no_more();
	be_worker(BIRTH_WORKER, "allow create under /tmp/x to anyone");
	ck_assert_int_eq(try_openat2(AT_FDCWD, how, sizeof *how), 0);
	be_worker_no_more();
}
END_TEST

START_TEST(what_a_lender_may_a_worker_may_not)
{
	static const struct {
		long nr;
		bool may[3]; /* by enum birth_role */
	} calls[] = { { SYS_newfstatat, { false, true, false } },
		      { SYS_capset, { false, true, false } },
		      { SYS_setitimer, { false, false, true } } };

	needs_strict_filter();
	for (enum birth_role role = BIRTH_WORKER; role <= BIRTH_LOBBY; role++) {
		be_worker(role, "");
		for (size_t i = 0; i < ELEMENTSOF(calls); i++)
			ck_assert_msg(CALL(calls[i].nr, 0) == (calls[i].may[role] ? 0 : -SIGSYS),
				      "call %ld, role %d", calls[i].nr, (int)role);
		be_worker_no_more();
	}
}
END_TEST

/* ---- the table ---- */

static void check_entry(const struct openhow_entry *e, uint64_t more)
{
	const uint64_t always = O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
	const uint64_t may = always | O_ACCMODE | O_APPEND | O_NOFOLLOW | O_SYNC | O_DSYNC | more;
	const uint64_t resolve = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;

	ck_assert_uint_eq(e->how.flags & ~may, 0);
	ck_assert_uint_eq(e->how.flags & always, always);
	ck_assert_uint_eq(e->how.resolve & resolve, resolve);
	ck_assert_uint_eq(e->how.mode & ~UINT64_C(0777), 0);
	ck_assert_uint_eq(e->pad, 0);
	/* One that opens neither for reading nor for writing is one that no kernel takes. */
	if ((e->how.flags & O_ACCMODE) == O_ACCMODE) {
		ck_assert_int_lt(syscall(SYS_openat2, AT_FDCWD, tree, &e->how, sizeof e->how), 0);
		ck_assert_int_eq(errno, EINVAL);
	}
}

START_TEST(the_tables_hold_what_may_be_opened)
{
	for (size_t i = 0; i < OPENHOW_EXISTING; i++) {
		check_entry(&openhow_existing[i], O_DIRECTORY);
		ck_assert_uint_eq(openhow_existing[i].how.mode, 0);
	}
	for (size_t i = 0; i < OPENHOW_CREATE; i++)
		check_entry(&openhow_create[i], O_CREAT | O_EXCL);
}
END_TEST

/* ---- descriptors ---- */

static int count_fds(void)
{
	int n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* A control buffer for one has room for two, by its padding. */
START_TEST(surplus_descriptors_are_closed)
{
	int sv[2], before, got = -1, fds[4] = { 0, 0, 0, 0 };
	size_t n;
	char byte;

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	before = count_fds();
	for (size_t sent = 2; sent <= ELEMENTSOF(fds); sent++) {
		ck_assert_int_eq(fdpass_send(sv[0], "x", 1, fds, sent), 1);
		ck_assert_int_eq(fdpass_recv(sv[1], &byte, 1, &got, 1, &n), -EMFILE);
		ck_assert_uint_eq(n, 0);
		ck_assert_int_eq(count_fds(), before);
	}
	ck_assert_int_eq(fdpass_send(sv[0], "x", 1, fds, 1), 1);
	ck_assert_int_eq(fdpass_recv(sv[1], &byte, 1, &got, 1, &n), 1);
	ck_assert_uint_eq(n, 1);
	close(got);
	close(sv[0]);
	close(sv[1]);
}
END_TEST

static int send_to_nobody(void *arg)
{
	int sv[2];

	(void)arg;
	signal(SIGPIPE, SIG_DFL);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return CHILD_SETUP;
	close(sv[1]);
	return fdpass_send(sv[0], "x", 1, NULL, 0) == -EPIPE ? 0 : CHILD_WRONG;
}

START_TEST(sending_raises_no_signal)
{
	ck_assert_int_eq(in_child(send_to_nobody, NULL), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		a_worker_reads_back_what_it_is,
		a_worker_serves_its_own_client,
		landlock_leaves_the_hull,
		landlock_leaves_no_network,
		landlock_leaves_no_signals_and_no_abstract_sockets,
		a_call_that_is_not_listed_kills,
		a_call_with_other_arguments_kills,
		an_open_that_is_not_in_the_table_kills,
		creating_is_open_to_whom_a_rule_lets_create,
		what_a_lender_may_a_worker_may_not,
		the_tables_hold_what_may_be_opened,
		surplus_descriptors_are_closed,
		sending_raises_no_signal,
	};
	Suite *suite = suite_create("defences");
	TCase *defences = tcase_create("defences");
	SRunner *runner;
	int failed;

	tcase_set_timeout(defences, 30);
	for (size_t i = 0; i < ELEMENTSOF(tests); i++)
		tcase_add_test(defences, tests[i]);
	suite_add_tcase(suite, defences);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
