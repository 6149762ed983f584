/* SPDX-License-Identifier: MIT
 * Who holds what. No process that reads a client's bytes has a capability, the one that has some
 * reads none, and one grant is what it is said to be: one openat2, one sendmsg, one close. And a
 * client cannot lay hands on the process that works for it, though it is that client. */
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include "harness.h"

enum {
	BIT_DAC_OVERRIDE = 1 << 1,
	BIT_DAC_READ_SEARCH = 1 << 2,
	BIT_KILL = 1 << 5,
	BIT_SETGID = 1 << 6,
	BIT_SETUID = 1 << 7,
};

struct held {
	const char *socket, *file;
	volatile int done, stop;
	pid_t worker;
};

/* One grant, then the connection is held until the test says so. */
static void hold(void *arg)
{
	struct held *h = arg;
	struct raw r = raw_connect(h->socket);

	raw_works(&r, 1, h->file);
	h->done = 1;
	ensure(within(30000, h->stop), "nobody let me go");
	raw_close(&r);
}

/* ---- capabilities ---- */

static void has_nothing(pid_t pid)
{
	static const char *const sets[] = { "CapPrm", "CapEff", "CapInh", "CapAmb" };

	for (size_t i = 0; i < ELEMENTSOF(sets); i++)
		ensure(proc_hex(pid, sets[i]) == 0, "process %d has %s %#llx", pid, sets[i],
		       (unsigned long long)proc_hex(pid, sets[i]));
}

static int filters(pid_t pid)
{
	const char *n = proc_status(pid, "Seccomp_filters");

	ensure(n, "this kernel does not count filters");
	return atoi(n);
}

/* By a filter of its own: its supervisor's it has inherited. */
static void is_confined(const struct opend *o, pid_t pid)
{
	ensure(!strcmp(proc_status(pid, "NoNewPrivs"), "1"), "process %d may gain privileges", pid);
	ensure(!strcmp(proc_status(pid, "Seccomp"), "2"), "process %d has no seccomp filter", pid);
	ensure(filters(pid) > filters(supervisor_of(o)), "process %d has no filter of its own",
	       pid);
	ensure(!strcmp(proc_status(pid, "Threads"), "1"), "process %d has threads", pid);
}

/* Real and saved ids are the slot's, effective and file-system ids the client's. */
static unsigned ids_of(pid_t pid, const char *field, unsigned client)
{
	unsigned real, effective, saved, fs;

	ensure(sscanf(proc_status(pid, field), "%u %u %u %u", &real, &effective, &saved, &fs) == 4,
	       "%s", proc_status(pid, field));
	ensure(effective == client && fs == client, "%s of %d: %u, %u", field, pid, effective, fs);
	ensure(real == saved && real != client && real != OPEND_UID && real != 0,
	       "%s of %d: %u, %u", field, pid, real, saved);
	return real;
}

START_TEST(nobody_who_reads_clients_has_a_capability)
{
	struct who many = { .uid = 1000, .gid = 1000 };
	const gid_t groups[] = { 5000, 5001 };
	char *file, *key, *box;
	pid_t found[8], carol;
	unsigned slots[2];
	struct opend o;

	needs_root("start an opend that becomes other users");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	key = make_file(at("data/key"), 0600, 0, "key\n");
	box = make_file(at("data/box"), 0600, 0, "box\n");
	policy("10",
	       "allow read file %s to user 1000,1001\nallow read file %s to user 1000 as root\n"
	       "allow read,write file %s to user 1001 as root\n",
	       file, key, box);
	o = OPEND();
	many.groups = groups;
	many.n_groups = 2;
	ask_for(&o, many, file, O_RDONLY, "file\n");
	ask_for(&o, many, key, O_RDONLY, "key\n");
	ask_for(&o, bob, file, O_RDONLY, "file\n");
	ask_for(&o, bob, box, O_RDWR, NULL);
	ask_refused(&o, uid_only(1002), file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ensure(workers(&o, (uid_t)-1, found, ELEMENTSOF(found)) == 3, "two workers and a lobby");
	for (size_t i = 0; i < 3; i++) {
		has_nothing(found[i]);
		is_confined(&o, found[i]);
	}
	for (uid_t uid = 1000; uid <= 1001; uid++) {
		pid_t worker = only_worker(&o, uid);

		slots[uid - 1000] = ids_of(worker, "Uid", uid);
		ensure(ids_of(worker, "Gid", uid) == slots[uid - 1000], "slots differ");
		ensure(!strcmp(proc_status(worker, "Groups"), uid == 1000 ? "5000 5001 " : "") ||
			       !strcmp(proc_status(worker, "Groups"),
				       uid == 1000 ? "5000 5001" : " "),
		       "groups \"%s\"", proc_status(worker, "Groups"));
	}
	ensure(slots[0] != slots[1], "two workers share a slot");
	/* The lobby is nobody in particular, least of all root or one of the clients. */
	for (size_t i = 0; i < 3; i++)
		ensure(!strstr(proc_status(found[i], "Uid"), "1002"), "a lobby that is its client");
	/* Lenders: the one capability that their rules need, and at rest not in force. */
	ensure(lenders(&o, 1000, found, ELEMENTSOF(found)) == 1, "one lender for 1000");
	carol = found[0];
	ensure(proc_hex(carol, "CapPrm") == BIT_DAC_READ_SEARCH, "CapPrm %#llx",
	       (unsigned long long)proc_hex(carol, "CapPrm"));
	ensure(lenders(&o, 1001, found, ELEMENTSOF(found)) == 1, "one lender for 1001");
	ensure(proc_hex(found[0], "CapPrm") == (BIT_DAC_READ_SEARCH | BIT_DAC_OVERRIDE),
	       "CapPrm %#llx", (unsigned long long)proc_hex(found[0], "CapPrm"));
	found[1] = carol;
	for (size_t i = 0; i < 2; i++) {
		ensure(proc_hex(found[i], "CapEff") == 0 && proc_hex(found[i], "CapInh") == 0 &&
			       proc_hex(found[i], "CapAmb") == 0,
		       "a lender at rest has capabilities in force");
		is_confined(&o, found[i]);
		ids_of(found[i], "Uid", found[i] == carol ? 1000 : 1001);
	}
	opend_stop(&o);
}
END_TEST

/* opend itself has nothing; the supervisor what it takes to have others born. */
START_TEST(supervisor_is_not_root)
{
	pid_t supervisor;
	char *file;
	uint64_t effective, allowed = BIT_KILL | BIT_SETGID | BIT_SETUID;
	struct opend o;

	needs_root("start an opend that becomes other users");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", file);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	supervisor = supervisor_of(&o);
	for (int i = 0; i < 2; i++) {
		pid_t pid = i ? supervisor : o.pid;

		ensure(!strcmp(proc_status(pid, "Uid"), "61000\t61000\t61000\t61000"), "Uid %s",
		       proc_status(pid, "Uid"));
		ensure(!strncmp(proc_status(pid, "Gid"), "61000\t61000\t61000\t61000", 23),
		       "Gid %s", proc_status(pid, "Gid"));
		ensure(atoi(proc_status(pid, "NoNewPrivs")) == 1, "it may gain privileges");
#ifndef OPEND_WIDE_FILTER
		ensure(atoi(proc_status(pid, "Seccomp")) == 2, "it has no filter");
#endif
	}
	has_nothing(o.pid);
	effective = proc_hex(supervisor, "CapEff");
	ensure((effective & ~allowed) == 0 && effective == allowed, "CapEff %#llx",
	       (unsigned long long)effective);
	allowed |= BIT_DAC_OVERRIDE | BIT_DAC_READ_SEARCH;
	ensure((proc_hex(supervisor, "CapPrm") & ~allowed) == 0, "CapPrm %#llx",
	       (unsigned long long)proc_hex(supervisor, "CapPrm"));
	ensure(proc_hex(supervisor, "CapInh") == 0 && proc_hex(supervisor, "CapAmb") == 0,
	       "CapInh, CapAmb");
	opend_stop(&o);
}
END_TEST

START_TEST(private_workers_are_confined_too)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	struct opend o;

	policy("10", "allow read file %s to anyone\n", file);
	o = OPEND();
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	has_nothing(only_worker(&o, alice.uid));
	has_nothing(o.pid);
	is_confined(&o, only_worker(&o, alice.uid));
	opend_stop(&o);
}
END_TEST

/* ---- one grant, traced ---- */

struct trace {
	char *lines;
	pid_t front, supervisor, worker;
};

/* Counts the calls of one process whose line holds all the pieces. A call that strace shows in two
 * lines is counted by its first. */
static int calls(const struct trace *t, pid_t pid, const char *call, const char *piece)
{
	_cleanup_free_ char *copy = strdup(t->lines);
	char *save = NULL;
	int n = 0;

	for (char *line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		char *name;

		if (atoi(line) != pid)
			continue;
		name = line + strspn(line, "0123456789 ");
		if (!strncmp(name, call, strlen(call)) && strstr(name, piece))
			n++;
	}
	return n;
}

static pid_t attach(const struct trace *t, const char *file)
{
	pid_t pid = (pid_t)sys(fork());

	if (pid == 0) {
		int nul = open("/dev/null", O_RDWR | O_CLOEXEC);

		dup2(nul, 2);
		execlp("strace", "strace", "-f", "-s", "9999", "-o", file, "-p",
		       text("%d", t->front), "-p", text("%d", t->supervisor), "-p",
		       text("%d", t->worker), (char *)NULL);
		_exit(127);
	}
	ensure(within(10000, atoi(proc_status(t->front, "TracerPid")) == pid &&
				     atoi(proc_status(t->supervisor, "TracerPid")) == pid &&
				     atoi(proc_status(t->worker, "TracerPid")) == pid),
	       "strace could not attach");
	return pid;
}

static char *trace_a_grant(const struct trace *t, struct held *h)
{
	char *file = at("run/trace");
	_cleanup_close_ int fd = -1;
	pid_t tracer = attach(t, file);
	struct client c = client_start(alice, hold, h);

	ensure(within(20000, h->done || !alive(c.pid)), "no grant");
	sleep_msec(200);
	sys(kill(tracer, SIGINT));
	sys(waitpid(tracer, NULL, 0));
	h->stop = 1;
	client_wait(&c);
	fd = (int)sys(open(file, O_RDONLY | O_CLOEXEC));
	return slurp(fd, NULL);
}

/* The descriptor that opend got by its one accept4(). */
static int accepted(const struct trace *t)
{
	for (char *p = t->lines; (p = strstr(p, "accept4(")); p++) {
		char *value = strstr(p, ") = "), *end = strchr(p, '\n');

		if (value && value < end && value[4] != '-')
			return atoi(value + 4);
	}
	return -1;
}

#define needs_strace()                                                                             \
	do {                                                                                       \
		needs_root("trace processes that are not dumpable");                               \
		if (RUN("strace", "--version").status)                                             \
			skip("strace is not installed");                                           \
	} while (0)

/* By a door that he has not used before, and that makes no difference to his rules: it is another
 * identity, and the same worker. */
START_TEST(one_grant_traced)
{
	static const char *const reading[] = { "recvmsg(",  "recvfrom(", "recvmmsg(", "read(",
					       "readv(",    "pread64(",	 "preadv(",   "splice(",
					       "sendfile(", "io_uring" };
	struct held *h = shared(sizeof *h);
	struct trace t;
	struct opend o;
	int fd;

	needs_strace();
	h->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", h->file, alice.uid);
	o = opend_start("--listen", text("back=%s", at("run/back")), NULL);
	h->socket = at("run/back");
	ask_for(&o, alice, h->file, O_RDONLY, "file\n");
	t.front = o.pid;
	t.supervisor = supervisor_of(&o);
	t.worker = only_worker(&o, alice.uid);
	t.lines = trace_a_grant(&t, h);

	fd = accepted(&t);
	ensure(fd >= 0, "no accept in the trace: %s", t.lines);
	for (size_t i = 0; i < ELEMENTSOF(reading); i++)
		ensure(calls(&t, o.pid, text("%s%d,", reading[i], fd), "") == 0,
		       "opend calls %s on a client's connection", reading[i]);
	ensure(calls(&t, o.pid, "", h->file) == 0, "opend has seen what was asked");
	/* Once to the supervisor, to ask whose it is, and once to the worker. */
	ensure(calls(&t, o.pid, "sendmsg(", "SCM_RIGHTS") == 2, "no handing over in the trace");
	ensure(calls(&t, o.pid, "open", "") == 0, "opend opens something");

	/* It was shown the connection; it asked the kernel and read nothing but its own socket. */
	ensure(calls(&t, t.supervisor, "getsockopt(", "SO_PEERCRED") == 1,
	       "nobody asked who it is");
	ensure(calls(&t, t.supervisor, "recvmsg(3,", "") >= 1, "the supervisor was not asked");
	for (size_t i = 0; i < ELEMENTSOF(reading); i++)
		ensure(calls(&t, t.supervisor, reading[i], "") ==
			       (i == 0 ? calls(&t, t.supervisor, "recvmsg(3,", "") : 0),
		       "the supervisor calls %s", reading[i]);
	ensure(calls(&t, t.supervisor, "", h->file) == 0, "it has seen what was asked");
	ensure(calls(&t, t.supervisor, "open", "") == 0, "the supervisor opens something");

	ensure(calls(&t, t.worker, "", h->file) >= 1, "the worker has not seen what was asked");
	ensure(calls(&t, t.worker, "openat2(", text("\"%s\"", h->file)) == 1, "not one openat2");
	ensure(calls(&t, t.worker, "open", "") == 1, "it opens something else");
	ensure(calls(&t, t.worker, "sendmsg(", "SCM_RIGHTS") == 1,
	       "not one sendmsg with SCM_RIGHTS");
	ensure(calls(&t, t.worker, "sendmsg(", "") == 1, "it sends something else");
	ensure(calls(&t, t.worker, "close(", "") == 1, "not one close");
	opend_stop(&o);
}
END_TEST

/* Where no rule is about units the front knows him again, by the kernel's word. */
START_TEST(who_is_known_is_not_shown_again)
{
	struct held *h = shared(sizeof *h);
	struct trace t;
	struct opend o;

	needs_strace();
	h->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", h->file, alice.uid);
	o = OPEND();
	h->socket = o.socket;
	ask_for(&o, alice, h->file, O_RDONLY, "file\n");
	t.front = o.pid;
	t.supervisor = supervisor_of(&o);
	t.worker = only_worker(&o, alice.uid);
	t.lines = trace_a_grant(&t, h);

	ensure(calls(&t, o.pid, "getsockopt(", "SO_PEERCRED") == 1, "nobody asked who it is");
	ensure(calls(&t, o.pid, "sendmsg(", "SCM_RIGHTS") == 1, "not one handing over");
	ensure(calls(&t, t.supervisor, "recvmsg(3,", "") == 0, "the supervisor was asked");
	opend_stop(&o);
}
END_TEST

/* ---- hands off ---- */

static long vm_read(pid_t pid)
{
	static char there;
	char byte;
	const struct iovec to = { &byte, 1 }, from = { &there, 1 };

	return process_vm_readv(pid, &to, 1, &from, 1, 0);
}

/* One attempt: r is what the call said, errno why. */
static void attempt(const char *what, long r, bool allowed)
{
	int error = errno;

	if (allowed)
		ensure(r >= 0, "%s: %s", what, strerror(error));
	else
		ensure(r < 0 && (error == EPERM || error == EACCES), "%s: %ld, %s", what, r,
		       strerror(error));
}

/* Everything must succeed on a process of ours that is like any other, or it would prove nothing.
 */
static void try_everything(pid_t pid, bool allowed)
{
	static const char *const names[] = { "mem", "fd", "environ", "maps" };
	const struct rlimit files = { 64, 64 };
	_cleanup_close_ int pidfd = (int)sys(syscall(SYS_pidfd_open, pid, 0));
	_cleanup_close_ int stolen = -1;

	attempt("kill", kill(pid, 0), allowed);
	attempt("pidfd_send_signal", syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0), allowed);
	attempt("prlimit", prlimit(pid, RLIMIT_NOFILE, &files, NULL), allowed);
	attempt("process_vm_readv", vm_read(pid), allowed);
	stolen = (int)syscall(SYS_pidfd_getfd, pidfd, 0, 0);
	attempt("pidfd_getfd", stolen, allowed);
	for (size_t i = 0; i < ELEMENTSOF(names); i++) {
		_cleanup_close_ int fd =
			open(text("/proc/%d/%s", pid, names[i]), O_RDONLY | O_CLOEXEC);

		attempt(names[i], fd, allowed);
	}
	attempt("ptrace", ptrace(PTRACE_SEIZE, pid, NULL, NULL), allowed);
	/* Within a session anybody may send SIGCONT, kill(2); it is no harm. */
	for (int sig = 1; !allowed && sig < 32; sig++)
		if (sig != SIGCONT)
			attempt(text("kill with signal %d", sig), kill(pid, sig), false);
}

static void lay_hands_on_worker(void *arg)
{
	struct held *h = arg;
	struct raw r = raw_connect(h->socket);
	pid_t own = (pid_t)sys(fork());

	if (own == 0) {
		sys(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
		h->done = 1;
		for (;;)
			pause();
	}
	ensure(within(5000, h->done), "no child");
	try_everything(own, true);
	kill(own, SIGKILL);
	waitpid(own, NULL, 0);
	raw_works(&r, 1, h->file);
	try_everything(h->worker, false);
	raw_works(&r, 2, h->file);
	raw_close(&r);
}

START_TEST(a_client_cannot_touch_its_worker)
{
	struct held *h = shared(sizeof *h);
	struct opend o;

	needs_root("start an opend that becomes other users");
	h->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", h->file, alice.uid);
	o = OPEND();
	h->socket = o.socket;
	ask_for(&o, alice, h->file, O_RDONLY, "file\n");
	h->worker = only_worker(&o, alice.uid);
	as(alice, lay_hands_on_worker, h);
	ensure(alive(h->worker), "the worker died");
	opend_stop(&o);
}
END_TEST

/* A worker is the most vulnerable when it becomes its client. So this client connects and then
 * sends SIGKILL to whatever process may be being born, until it has its answer. */
static void kill_at_birth(void *arg)
{
	const struct held *h = arg;
	struct raw r = raw_connect(h->socket);
	char frame[WIRE_REQUEST_MAX];
	pid_t self = getpid();
	struct wire_outcome out;
	int64_t until = now_msec() + 10000;
	int fd;

	raw_send(&r, frame, raw_open(frame, 1, h->file, O_RDONLY));
	for (char byte; recv(r.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 1;) {
		for (pid_t pid = self + 1; pid < self + 32; pid++)
			kill(pid, SIGKILL);
		ensure(now_msec() < until, "no answer");
	}
	out = raw_result(&r, 1, &fd);
	ensure(out.error == 0, "%s", strerror(out.error));
	close_fd(fd);
	raw_close(&r);
}

START_TEST(a_client_cannot_kill_its_worker_at_birth)
{
	/* A uid of its own: the signals go to whoever has it. */
	struct who attacker = { .uid = 61234, .gid = 61234, .n_groups = 1 };
	struct held h = { 0 };
	struct opend o;

	needs_root("start an opend that becomes other users");
	h.file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user 61234\n", h.file);
	o = OPEND();
	h.socket = o.socket;
	/* Other groups are another identity, with a worker that must be born. */
	for (gid_t group = 70000; group < 70040; group++) {
		attacker.groups = &group;
		as(attacker, kill_at_birth, &h);
	}
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("confinement");

	ADD_ROOT(s, nobody_who_reads_clients_has_a_capability, 30);
	ADD_ROOT(s, supervisor_is_not_root, 30);
	ADD_USER(s, private_workers_are_confined_too, 30);
	ADD_ROOT(s, who_is_known_is_not_shown_again, 60);
	ADD_ROOT(s, one_grant_traced, 60);
	ADD_ROOT(s, a_client_cannot_touch_its_worker, 30);
	ADD_ROOT(s, a_client_cannot_kill_its_worker_at_birth, 60);
	return s;
}

int main(void)
{
	return harness_main("confinement", suite);
}
