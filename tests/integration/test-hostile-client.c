/* SPDX-License-Identifier: MIT
 * A client against the process that works for him. It is he, as far as files are concerned, and yet
 * he must not lay hands on it: not when it has grown up, and not while it is being born. What he
 * may do is what the kernel lets him do to whoever has his effective uid, which is to make it
 * slower; and that to his own workers only. */
#include <dirent.h>
#include <linux/ioprio.h>
#include <linux/kcmp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "harness-backdoor.h"

/* ---- what can be tried ---- */

static char byte;

static long try_kill(pid_t pid)
{
	return kill(pid, 0);
}

static long try_tgkill(pid_t pid)
{
	return syscall(SYS_tgkill, pid, pid, 0);
}

static long try_sigqueue(pid_t pid)
{
	return sigqueue(pid, 0, (union sigval){ 0 });
}

static long try_pidfd_send_signal(pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	return syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0);
}

static long try_pidfd_getfd(pid_t pid)
{
	_cleanup_close_ int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	_cleanup_close_ int stolen = (int)syscall(SYS_pidfd_getfd, fd, 0, 0);

	return stolen;
}

static long try_read_memory(pid_t pid)
{
	char copy;
	const struct iovec to = { &copy, 1 }, from = { &byte, 1 };

	return process_vm_readv(pid, &to, 1, &from, 1, 0);
}

static long try_write_memory(pid_t pid)
{
	char copy = 0;
	const struct iovec from = { &copy, 1 }, to = { &byte, 1 };

	return process_vm_writev(pid, &from, 1, &to, 1, 0);
}

static long try_seize(pid_t pid)
{
	long r = ptrace(PTRACE_SEIZE, pid, NULL, NULL);

	if (r == 0 && ptrace(PTRACE_INTERRUPT, pid, NULL, NULL) == 0 &&
	    waitpid(pid, NULL, __WALL) == pid)
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return r;
}

static long try_attach(pid_t pid)
{
	long r = ptrace(PTRACE_ATTACH, pid, NULL, NULL);

	if (r == 0 && waitpid(pid, NULL, __WALL) == pid)
		ptrace(PTRACE_DETACH, pid, NULL, NULL);
	return r;
}

static long try_read_limit(pid_t pid)
{
	struct rlimit limit;

	return prlimit(pid, RLIMIT_CPU, NULL, &limit);
}

static long try_set_limit(pid_t pid)
{
	const struct rlimit limit = { 64, 64 };

	return prlimit(pid, RLIMIT_NOFILE, &limit, NULL);
}

static long try_io_priority(pid_t pid)
{
	return syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid,
		       IOPRIO_PRIO_VALUE(IOPRIO_CLASS_IDLE, 0));
}

static long try_compare(pid_t pid)
{
	return syscall(SYS_kcmp, getpid(), pid, KCMP_VM, 0, 0);
}

static long try_move_pages(pid_t pid)
{
	return syscall(SYS_move_pages, pid, 0, NULL, NULL, NULL, 0);
}

static long try_robust_list(pid_t pid)
{
	size_t len;
	void *head;

	return syscall(SYS_get_robust_list, pid, &head, &len);
}

static const struct {
	const char *name;
	long (*try)(pid_t pid);
	bool at_birth;
} attempts[] = {
	{ "kill", try_kill },
	{ "tgkill", try_tgkill },
	{ "sigqueue", try_sigqueue },
	{ "pidfd_send_signal", try_pidfd_send_signal },
	{ "pidfd_getfd", try_pidfd_getfd, true },
	{ "process_vm_readv", try_read_memory, true },
	{ "process_vm_writev", try_write_memory },
	{ "PTRACE_SEIZE", try_seize, true },
	{ "PTRACE_ATTACH", try_attach },
	{ "prlimit, reading", try_read_limit },
	{ "prlimit", try_set_limit, true },
	{ "ioprio_set", try_io_priority },
	{ "kcmp", try_compare },
	{ "move_pages", try_move_pages },
	{ "get_robust_list", try_robust_list },
};

/* In /proc/PID; those with a mark at the end are opened for writing. */
static const char *const files[] = {
	"mem",
	"mem!",
	"maps",
	"smaps",
	"environ",
	"auxv",
	"pagemap",
	"fd",
	"io",
	"fdinfo",
	"fd/0",
	"cwd/.",
	"root/.",
	"exe",
	"ns/mnt",
	"stack",
	"syscall",
	"timers",
	"wchan!",
	"oom_score_adj!",
	"clear_refs!",
	"personality",
	"coredump_filter!",
	"autogroup!",
	"map_files",
};

static long try_file(pid_t pid, const char *name)
{
	char path[128];
	size_t n;
	int fd;

	n = (size_t)snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	if (path[n - 1] != '!')
		return fd = open(path, O_RDONLY | O_CLOEXEC), close_fd(fd), fd;
	path[n - 1] = 0;
	return fd = open(path, O_WRONLY | O_CLOEXEC), close_fd(fd), fd;
}

/* ---- whom it is tried on ---- */

enum { FILES = ELEMENTSOF(files), ATTEMPTS = ELEMENTSOF(attempts) };

/* What can be done to a process that is like any other of one's own; what the kernel does not have,
 * or lets anybody do to anybody (open "timers", on Linux 6.1), proves nothing. */
struct possible {
	bool attempts[ATTEMPTS], files[FILES];
};

static pid_t ordinary_child(void)
{
	volatile int *ready = shared(sizeof *ready);
	pid_t pid = (pid_t)sys(fork());

	if (pid == 0) {
		sys(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
		*ready = 1;
		for (;;)
			pause();
	}
	ensure(within(5000, *ready), "no child");
	return pid;
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static struct possible find_possible(void)
{
	pid_t child = ordinary_child();
	struct possible p = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < ATTEMPTS; i++)
		n += p.attempts[i] = attempts[i].try(child) >= 0;
	ensure(n >= 11, "only %zu of the calls can be done to one's own", n);
	n = 0;
	for (size_t i = 0; i < FILES; i++)
		n += p.files[i] = try_file(child, files[i]) >= 0 && try_file(1, files[i]) < 0;
	ensure(n >= 15, "only %zu of the files can be opened of one's own", n);
	end_child(child);
	return p;
}

static void must_refuse(const char *what, pid_t pid, long r)
{
	ensure(r < 0 && (errno == EPERM || errno == EACCES), "%s on process %d: %ld, %s", what, pid,
	       r, strerror(errno));
}

/* SIGIO is sent by the kernel, in the name of whoever asked for it. */
static void let_kernel_signal(pid_t pid)
{
	int p[2];

	sys(pipe2(p, O_CLOEXEC | O_NONBLOCK));
	if (fcntl(p[0], F_SETOWN, pid) == 0 && fcntl(p[0], F_SETSIG, SIGKILL) == 0) {
		sys(fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK));
		sys(write(p[1], "x", 1));
	}
	close_fd(p[0]);
	close_fd(p[1]);
}

static void try_all(const struct possible *p, pid_t pid)
{
	for (size_t i = 0; i < ATTEMPTS; i++)
		if (p->attempts[i])
			must_refuse(attempts[i].name, pid, attempts[i].try(pid));
	for (size_t i = 0; i < FILES; i++)
		if (p->files[i])
			must_refuse(files[i], pid, try_file(pid, files[i]));
	/* Within a session anybody may send SIGCONT (kill(2)). */
	for (int sig = 1; sig <= SIGRTMAX; sig++)
		if (sig != SIGCONT && sig != 32 && sig != 33)
			must_refuse(strsignal(sig), pid, kill(pid, sig));
	let_kernel_signal(pid);
}

/* ---- grown up ---- */

struct household {
	const char *socket, *file, *key;
	volatile int step;
	pid_t own[2], others[4]; /* worker, lender; bob's worker, the lobby, supervisor, audit */
};

static void lay_hands_on_all(void *arg)
{
	struct household *h = arg;
	struct possible p = find_possible();
	struct raw r = raw_connect(h->socket);
	pid_t child = ordinary_child();
	int status;

	let_kernel_signal(child);
	ensure(within(5000, waitpid(child, &status, WNOHANG) == child) && WIFSIGNALED(status),
	       "the kernel sends no signal");
	raw_works(&r, 1, h->file);
	raw_works(&r, 2, h->key);
	for (size_t i = 0; i < ELEMENTSOF(h->own); i++)
		try_all(&p, h->own[i]);
	for (size_t i = 0; i < ELEMENTSOF(h->others); i++)
		try_all(&p, h->others[i]);
	raw_works(&r, 3, h->file);
	raw_works(&r, 4, h->key);
	raw_close(&r);
}

static long set_policy(pid_t pid, int policy_number)
{
	const struct sched_param p = { 0 };

	return sched_setscheduler(pid, policy_number, &p);
}

static long set_cpu(pid_t pid)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(sched_getcpu(), &set);
	return sched_setaffinity(pid, sizeof set, &set);
}

static void must_keep_pace(pid_t pid)
{
	must_refuse("setpriority", pid, setpriority(PRIO_PROCESS, (id_t)pid, 19));
	must_refuse("sched_setscheduler", pid, set_policy(pid, SCHED_IDLE));
	must_refuse("sched_setaffinity", pid, set_cpu(pid));
}

/* What opend-security(7) says that he can: to his worker. A lender has what he has not, so the
 * kernel leaves it alone (cap_safe_nice()). */
static void slow_down(void *arg)
{
	const struct sched_param urgent = { .sched_priority = 1 };
	struct household *h = arg;
	struct raw r = raw_connect(h->socket);
	pid_t own = h->own[0];

	must_keep_pace(h->own[1]);
	for (size_t i = 0; i < ELEMENTSOF(h->others); i++)
		must_keep_pace(h->others[i]);
	must_refuse("SCHED_FIFO", own, sched_setscheduler(own, SCHED_FIFO, &urgent));
	sys(setpriority(PRIO_PROCESS, (id_t)own, 19));
	sys(set_policy(own, SCHED_IDLE));
	sys(set_cpu(own));
	ensure(getpriority(PRIO_PROCESS, (id_t)own) == 19, "it is not slower");
	raw_works(&r, 1, h->file);
	raw_works(&r, 2, h->key);
	raw_close(&r);
}

/* An opend with a worker and a lender for alice, a worker for bob, and a lobby. */
static struct opend move_in(struct household *h)
{
	struct opend o;
	pid_t found[8];

	h->file = make_file(at("data/file"), 0644, 0, "file\n");
	h->key = make_file(at("data/key"), 0600, 0, "key\n");
	policy("10", "allow read file %s to user %u,%u\nallow read file %s to user %u as root\n",
	       h->file, alice.uid, bob.uid, h->key, alice.uid);
	o = OPEND();
	h->socket = o.socket;
	ask_for(&o, alice, h->key, O_RDONLY, "key\n");
	ask_for(&o, bob, h->file, O_RDONLY, "file\n");
	ask_refused(&o, uid_only(1002), h->file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	h->own[0] = only_worker(&o, alice.uid);
	ensure(lenders(&o, alice.uid, &h->own[1], 1) == 1, "no lender");
	h->others[0] = only_worker(&o, bob.uid);
	ensure(workers(&o, (uid_t)-1, found, ELEMENTSOF(found)) == 3, "two workers and a lobby");
	for (size_t i = 0; i < 3; i++)
		if (found[i] != h->own[0] && found[i] != h->others[0])
			h->others[1] = found[i];
	h->others[2] = o.pid;
	ensure(within(5000, children(o.pid, "opend-audit", &h->others[3], 1) == 1),
	       "no opend-audit");
	return o;
}

START_TEST(a_client_cannot_lay_hands_on_anybody)
{
	struct household *h = shared(sizeof *h);
	struct opend o;

	needs_root("start an opend that becomes other users");
	o = move_in(h);
	as(alice, lay_hands_on_all, h);
	for (size_t i = 0; i < ELEMENTSOF(h->own); i++)
		ensure(alive(h->own[i]), "process %d died", h->own[i]);
	for (size_t i = 0; i < ELEMENTSOF(h->others); i++)
		ensure(alive(h->others[i]), "process %d died", h->others[i]);
	opend_stop(&o);
}
END_TEST

START_TEST(a_client_can_slow_down_his_own_only)
{
	struct household *h = shared(sizeof *h);
	struct opend o;

	needs_root("start an opend that becomes other users");
	o = move_in(h);
	as(alice, slow_down, h);
	for (size_t i = 0; i < ELEMENTSOF(h->others); i++)
		ensure(getpriority(PRIO_PROCESS, (id_t)h->others[i]) ==
			       getpriority(PRIO_PROCESS, 0),
		       "process %d is slower", h->others[i]);
	opend_stop(&o);
}
END_TEST

/* ---- at birth ---- */

/* He connects, and until he has his answer he tries whatever may be being born. Nobody else has
 * this uid, so whoever it works on is his worker. */
static void lie_in_wait(void *arg)
{
	const struct household *h = arg;
	struct raw r = raw_connect(h->socket);
	int64_t until = now_msec() + 10000;
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	pid_t self = getpid();
	int fd;

	raw_send(&r, frame, raw_open(frame, 1, h->file, O_RDONLY));
	for (char first; recv(r.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT) != 1;) {
		for (pid_t pid = self + 1; pid < self + 16; pid++) {
			for (size_t i = 0; i < ATTEMPTS; i++)
				ensure(!attempts[i].at_birth || attempts[i].try(pid) < 0,
				       "%s worked on %d", attempts[i].name, pid);
			ensure(try_file(pid, "mem!") < 0, "the memory of %d can be written", pid);
			ensure(kill(pid, SIGSTOP) < 0, "%d was stopped", pid);
		}
		ensure(now_msec() < until, "no answer");
	}
	out = raw_result(&r, 1, &fd);
	ensure(out.error == 0, "%s", strerror(out.error));
	close_fd(fd);
	raw_close(&r);
}

START_TEST(a_client_cannot_lay_hands_on_the_unborn)
{
	struct who attacker = { .uid = 61235, .gid = 61235, .n_groups = 1 };
	struct household h = { 0 };
	struct opend o;

	needs_root("start an opend that becomes other users");
	h.file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user %u\n", h.file, attacker.uid);
	o = OPEND();
	h.socket = o.socket;
	/* Other groups are another identity, with a worker that must be born. */
	for (gid_t group = 70000; group < 70040; group++) {
		attacker.groups = &group;
		as(attacker, lie_in_wait, &h);
	}
	opend_stop(&o);
}
END_TEST

/* ---- who holds what ---- */

enum { CONNS_MAX = 64, PROCESSES_MAX = 64 };

/* The daemon's connections by inode. */
struct connections {
	size_t n;
	unsigned long inodes[CONNS_MAX];
	unsigned watched[CONNS_MAX];
};

static void find_connections(struct connections *c, const struct opend *o)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/net/unix", "re");
	char line[512];

	ensure(f, "/proc/net/unix: %s", strerror(errno));
	while (fgets(line, sizeof line, f)) {
		char *path = strchr(line, '/');
		unsigned long inode;
		unsigned flags;

		if (!path || strncmp(path, o->socket, strlen(o->socket)) ||
		    path[strlen(o->socket)] != '\n')
			continue;
		ensure(sscanf(line, "%*s %*x %*x %x %*x %*x %lu", &flags, &inode) == 2, "%s", line);
		ensure(c->n < CONNS_MAX, "more connections than expected");
		if (!(flags & 0x10000 /* listens */))
			c->inodes[c->n++] = inode;
	}
}

/* Of one epoll set: which connections are in it. */
static size_t count_watched(struct connections *c, FILE *info)
{
	unsigned long inode;
	size_t n = 0;
	char line[512], *at;

	while (fgets(line, sizeof line, info)) {
		at = strstr(line, " ino:");
		if (strncmp(line, "tfd:", 4) || !at || sscanf(at, " ino:%lx", &inode) != 1)
			continue;
		for (size_t i = 0; i < c->n; i++)
			if (c->inodes[i] == inode) {
				c->watched[i]++;
				n++;
			}
	}
	return n;
}

/* How many of the connections this process waits on, to read from. */
static size_t reads_from(struct connections *c, pid_t pid)
{
	DIR *d = opendir(text("/proc/%d/fdinfo", pid));
	size_t n = 0;

	ensure(d, "/proc/%d/fdinfo: %s", pid, strerror(errno));
	for (struct dirent *e; (e = readdir(d));) {
		_cleanup_fclose_ FILE *f =
			e->d_name[0] == '.'
				? NULL
				: fopen(text("/proc/%d/fdinfo/%s", pid, e->d_name), "re");

		if (f)
			n += count_watched(c, f);
	}
	closedir(d);
	return n;
}

static void has_no_capability(pid_t pid)
{
	static const char *const sets[] = { "CapPrm", "CapEff", "CapInh", "CapAmb" };

	for (size_t i = 0; i < ELEMENTSOF(sets); i++)
		ensure(proc_hex(pid, sets[i]) == 0, "process %d reads from clients and has %s", pid,
		       sets[i]);
}

static unsigned real_uid(pid_t pid)
{
	unsigned real, effective, saved;

	ensure(sscanf(proc_status(pid, "Uid"), "%u %u %u", &real, &effective, &saved) == 3, "Uid");
	ensure(real == saved, "process %d: its saved uid is another than its real one", pid);
	return real;
}

/* Many clients at once, each with a connection that is held: who has which, by the process list. */
START_TEST(the_process_list_of_a_busy_daemon)
{
	enum { USERS = 6, EACH = 3 };
	struct raw held[(USERS + 2) * EACH];
	struct connections c = { 0 };
	unsigned uids[PROCESSES_MAX];
	pid_t all[PROCESSES_MAX];
	size_t n = 0, readers = 0;
	char *file, *key;
	struct opend o;

	needs_root("start an opend that becomes other users");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	key = make_file(at("data/key"), 0600, 0, "key\n");
	policy("10",
	       "allow read file %s to user 1000,1001,1002,1003,1004,1005\n"
	       "allow read file %s to user 1000,1001,1002 as root\n",
	       file, key);
	o = OPEND();
	for (uid_t uid = 1000; uid < 1000 + USERS + 2; uid++)
		for (int k = 0; k < EACH; k++) {
			struct raw *r = &held[n++];
			char frame[WIRE_REQUEST_MAX];
			int fd;

			*r = raw_connect_as(uid_only(uid), o.socket);
			raw_send(r, frame, raw_open(frame, 1, uid < 1003 ? key : file, O_RDONLY));
			ensure((raw_result(r, 1, &fd).error == 0) == (uid < 1000 + USERS), "uid %u",
			       uid);
			close_fd(fd);
		}
	find_connections(&c, &o);
	ensure(c.n == n, "%zu connections of %zu", c.n, n);
	ensure(reads_from(&c, o.pid) == 0, "opend waits for clients' bytes");
	has_no_capability(o.pid);
	n = children(o.pid, NULL, all, ELEMENTSOF(all));
	/* Workers, lenders, the lobby, opend-audit and the supervisor. */
	ensure(n == USERS + 3 + 1 + 1 + 1, "%zu processes", n);
	for (size_t i = 0; i < n; i++) {
		if (reads_from(&c, all[i])) {
			readers++;
			has_no_capability(all[i]);
		}
		ensure(!strcmp(proc_status(all[i], "NoNewPrivs"), "1"), "%d may gain privileges",
		       all[i]);
#ifdef OPEND_WIDE_FILTER
		/* It has none where sanitizers need calls that nobody lists. */
		if (all[i] != supervisor_of(&o))
#endif
			ensure(!strcmp(proc_status(all[i], "Seccomp"), "2"), "%d has no filter",
			       all[i]);
		uids[i] = real_uid(all[i]);
		ensure((uids[i] == OPEND_UID) == (all[i] == supervisor_of(&o)) && uids[i] != 0,
		       "process %d is uid %u", all[i], uids[i]);
		for (size_t k = 0; k < i; k++)
			ensure(uids[i] != uids[k], "%d and %d share uid %u", all[i], all[k],
			       uids[i]);
	}
	ensure(readers == USERS + 1, "%zu processes read from clients", readers);
	for (size_t i = 0; i < c.n; i++)
		ensure(c.watched[i] == 1, "a connection is read by %u processes", c.watched[i]);
	for (size_t i = 0; i < ELEMENTSOF(held); i++)
		raw_close(&held[i]);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hostile-client");

	ADD_ROOT(s, a_client_cannot_lay_hands_on_anybody, 30);
	ADD_ROOT(s, a_client_can_slow_down_his_own_only, 30);
	ADD_ROOT(s, a_client_cannot_lay_hands_on_the_unborn, 60);
	ADD_ROOT(s, the_process_list_of_a_busy_daemon, 30);
	return s;
}

int main(void)
{
	return harness_main("hostile-client", suite);
}
