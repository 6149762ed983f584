/* SPDX-License-Identifier: MIT
 * Where opend runs, and from where clients come: a kernel or a container that forbids openat2(2),
 * namespaces in which others have no pid or no uid, and a client that is dead when it is looked at.
 * What cannot be told for sure must end in a refusal, and whatever makes no difference must make
 * none.
 *
 * To be started in a user namespace opend is started by this very program: see main(). */
#include <sched.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "harness.h"
#include <seccomp.h> /* last: it brings macros of the audit log */

struct visit {
	const char *socket, *file;
	volatile int step;
};

/* Its turn comes when the other has set `step`. */
static void turn(struct visit *v, int step, struct client *c)
{
	if (within(20000, v->step == step || (c && !alive(c->pid))) && v->step == step)
		return;
	if (c)
		client_wait(c);
	ensure(v->step == step, "step %d, not %d", v->step, step);
}

/* ---- openat2(2) ---- */

/* For this process and all that it starts, as RestrictSUIDSGID= or an old container manager do. */
static void forbid_openat2(int error)
{
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	ensure(f, "no memory");
	ok(seccomp_rule_add(f, SCMP_ACT_ERRNO((uint32_t)error), SCMP_SYS(openat2), 0));
	ok(seccomp_load(f));
	seccomp_release(f);
}

static void start_without_openat2(int error)
{
	const char *args[64];
	int status, log;
	struct opend o;

	make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read under %s to anyone\n", at("data"));
	forbid_openat2(error);
	opend_args(0, args);
	o = opend_spawn(0, args);
	ensure(within(10000, waitpid(o.pid, &status, WNOHANG) == o.pid), "it runs");
	ensure(WIFEXITED(status) && WEXITSTATUS(status) != 0, "status %#x", (unsigned)status);
	log = (int)sys(open(o.log, O_RDONLY | O_CLOEXEC));
	ensure(strstr(slurp(log, NULL), "openat2(2) is missing or forbidden"), "not said why: %s",
	       slurp(log, NULL));
	close_fd(log);
	close_fd(o.notify);
	ensure(access(o.socket, F_OK) < 0, "the socket was left behind");
	no_process_left();
}

START_TEST(without_openat2_it_does_not_start)
{
	start_without_openat2(ENOSYS);
}
END_TEST

START_TEST(where_openat2_is_forbidden_it_does_not_start)
{
	start_without_openat2(EPERM);
}
END_TEST

/* ---- namespaces ---- */

static void ask_from_outside(void *arg)
{
	struct visit *v = arg;
	struct raw r;

	turn(v, 1, NULL);
	r = raw_connect(v->socket);
	raw_works(&r, 1, v->file);
	raw_close(&r);
	v->step = 2;
}

/* To an opend in a pid namespace, whoever is outside has the pid 0: that is nobody's business. */
START_TEST(a_client_without_a_pid)
{
	_cleanup_close_ int ours = -1;
	struct visit *v = shared(sizeof *v);
	struct client c;
	struct opend o;

	needs_root("make a pid namespace");
	v->file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	v->socket = at("run/socket");
	c = client_start(alice, ask_from_outside, v);
	ours = (int)sys(open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC));
	sys(unshare(CLONE_NEWPID));
	o = OPEND();
	sys(setns(ours, CLONE_NEWPID));
	v->step = 1;
	turn(v, 2, &c);
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* In the namespace: root, the ordinary users up to alice, and nobody. */
static const char id_map[] = "0 0 1001\n65534 65534 1\n";

static bool write_map(pid_t pid, const char *which)
{
	_cleanup_close_ int fd = open(text("/proc/%d/%s", pid, which), O_WRONLY | O_CLOEXEC);

	return fd >= 0 && write(fd, id_map, strlen(id_map)) == (ssize_t)strlen(id_map);
}

/* Only who is outside may say who is who inside: a child does that. */
static int start_in_user_namespace(char **argv)
{
	pid_t self = getpid(), helper;
	int ends[2], status;
	char byte;

	if (pipe2(ends, O_CLOEXEC) < 0 || (helper = fork()) < 0)
		return EXIT_FAILURE;
	if (helper == 0)
		_exit(read(ends[0], &byte, 1) != 1 || !write_map(self, "uid_map") ||
		      !write_map(self, "gid_map"));
	if (unshare(CLONE_NEWUSER) < 0 || write(ends[1], "x", 1) != 1 ||
	    waitpid(helper, &status, 0) != helper || status != 0)
		return EXIT_FAILURE;
	execv(argv[0], argv);
	return EXIT_FAILURE;
}

static void ask(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	raw_works(&r, 1, v->file);
	raw_close(&r);
}

static void be_refused(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye;

	ensure(raw_ended(&r, &goodbye, 5000), "uid %u was let in", getuid());
	raw_close(&r);
}

/* unshare(2): EPERM in a chroot, and where an administrator forbids it. */
static bool can_make_user_namespaces(void)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = (pid_t)sys(fork());
	if (pid == 0)
		_exit(unshare(CLONE_NEWUSER) < 0);
	sys(waitpid(pid, &status, 0));
	return status == 0;
}

/* Whoever has no uid there is 65534, as somebody has who is called nobody: neither is served. */
START_TEST(a_client_without_a_uid)
{
	struct visit v = { 0 };
	const char *args[32];
	struct opend o;
	size_t n = 0;

	needs_root("make a user namespace for others");
	if (!can_make_user_namespaces())
		skip("no user namespace can be made here, as in a chroot");
	v.file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to user %u,65534\n", v.file, alice.uid);
	args[n++] = "/proc/self/exe";
	args[n++] = "--in-a-user-namespace";
	args[n++] = staged("opend");
	args[n++] = "--listen";
	args[n++] = at("run/socket");
	args[n++] = "--control";
	args[n++] = at("run/control");
	args[n++] = "--policy";
	args[n++] = at("policy");
	args[n++] = "--user";
	args[n++] = "500";
	args[n++] = "--audit-user";
	args[n++] = "501";
	args[n++] = "--worker-ids";
	args[n++] = "600-900";
	args[n] = NULL;
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	v.socket = o.socket;
	as(alice, ask, &v);
	as(bob, be_refused, &v);
	as(uid_only(65534), be_refused, &v);
	as(alice, ask, &v);
	opend_stop(&o);
}
END_TEST

/* ---- who is dead ---- */

static char state_of(pid_t pid)
{
	const char *state = proc_status(pid, "State");

	return state ? *state : 0;
}

/* Connects in a process that ends at once, and stays a zombie, so that its pid is nobody else's. */
static pid_t connect_and_die(const struct visit *v, int fd)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	pid_t pid;

	ensure(strlen(v->socket) < sizeof a.sun_path, "%s", v->socket);
	strcpy(a.sun_path, v->socket);
	pid = (pid_t)sys(fork());
	if (pid == 0)
		_exit(connect(fd, (struct sockaddr *)&a, sizeof a) < 0);
	ensure(within(5000, state_of(pid) == 'Z'), "it lives");
	return pid;
}

static void ask_for_the_dead(void *arg)
{
	struct visit *v = arg;
	struct raw r = { .fd = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) };
	int goodbye, status;
	pid_t peer;

	peer = connect_and_die(v, r.fd);
	v->step = 1;
	ensure(raw_ended(&r, &goodbye, 10000), "the dead was let in");
	raw_close(&r);
	sys(waitpid(peer, &status, 0));
	ensure(status == 0, "it could not connect");
}

static bool peers_have_pidfds(void)
{
	enum { SOCKET_PEERPIDFD = 77 };
	int sv[2], pidfd = -1;

	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	getsockopt(sv[0], SOL_SOCKET, SOCKET_PEERPIDFD, &pidfd, &(socklen_t){ sizeof pidfd });
	close_fd(sv[0]);
	close_fd(sv[1]);
	close_fd(pidfd);
	return pidfd >= 0;
}

/* In which unit a process is, is asked by its pid, which is somebody else's as soon as it is dead:
 * where a rule is about units the dead have none, and are not served by the rules for others
 * either, or a deny for a unit would be escaped by dying. */
START_TEST(a_dead_client_has_no_unit)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	struct opend o;

	if (!peers_have_pidfds())
		skip("this kernel has no SO_PEERPIDFD");
	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10",
	       "allow read file %s to user %u\n"
	       "deny any file %s to unit opend-test.service\n",
	       v->file, alice.uid, v->file);
	o = OPEND();
	v->socket = o.socket;
	as(alice, ask, v);
	sys(kill(o.pid, SIGSTOP));
	c = client_start(alice, ask_for_the_dead, v);
	turn(v, 1, &c);
	sys(kill(o.pid, SIGCONT));
	client_wait(&c);
	as(alice, ask, v);
	opend_stop(&o);
}
END_TEST

/* Has a worker, and stays until that is no more. */
static void stay(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye;

	raw_works(&r, 1, v->file);
	v->step = 1;
	ensure(raw_ended(&r, &goodbye, 30000), "it goes on");
	raw_close(&r);
}

/* Who is known from before there were rules about units is asked for his as well. */
START_TEST(who_is_known_has_no_unit_either)
{
	struct visit *v = shared(sizeof *v), *w = shared(sizeof *w);
	struct client c, known;
	struct opend o;
	pid_t worker;

	needs_root("stop a worker");
	if (!peers_have_pidfds())
		skip("this kernel has no SO_PEERPIDFD");
	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	*w = *v;
	known = client_start(alice, stay, v);
	turn(v, 1, &known);
	/* Told to end, it does not. */
	worker = only_worker(&o, alice.uid);
	sys(kill(worker, SIGSTOP));
	policy("20", "deny any file %s to unit opend-test.service\n", v->file);
	ok(reload(&o));
	sys(kill(o.pid, SIGSTOP));
	c = client_start(alice, ask_for_the_dead, w);
	turn(w, 1, &c);
	sys(kill(o.pid, SIGCONT));
	client_wait(&c);
	/* Who lives is asked, and served, though the other goes on. */
	as(alice, ask, v);
	sys(kill(worker, SIGKILL));
	client_wait(&known);
	as(alice, ask, v);
	opend_stop(&o);
}
END_TEST

/* Goes on by the connection that he has. */
static void stay_and_ask(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	int goodbye;

	raw_works(&r, 1, v->file);
	v->step = 1;
	turn(v, 2, NULL);
	/* It may be over already. */
	(void)!send(r.fd, frame, raw_open(frame, 2, v->file, O_RDONLY), MSG_NOSIGNAL);
	ensure(raw_ended(&r, &goodbye, 10000) && goodbye == WIRE_RESTART,
	       "he is served, or told %d", goodbye);
	raw_close(&r);
}

/* His worker is to leave already when the first rule about units comes, and gives him back only
 * then: he was never asked for his, and a deny for it would not be among his rules. */
START_TEST(who_was_not_asked_for_his_unit_comes_anew)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	struct opend o;
	pid_t worker;

	needs_root("stop a worker");
	if (!peers_have_pidfds())
		skip("this kernel has no SO_PEERPIDFD");
	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, stay_and_ask, v);
	turn(v, 1, &c);
	worker = only_worker(&o, alice.uid);
	sys(kill(worker, SIGSTOP));
	policy("20", "allow read file %s to user %u\n", at("data/other"), alice.uid);
	ok(reload(&o));
	policy("30", "deny any file %s to unit opend-test.service\n", v->file);
	ok(reload(&o));
	sys(kill(worker, SIGCONT));
	v->step = 2;
	client_wait(&c);
	as(alice, ask, v);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("surroundings");

	ADD(s, without_openat2_it_does_not_start, 30);
	ADD(s, where_openat2_is_forbidden_it_does_not_start, 30);
	ADD_ROOT(s, a_client_without_a_pid, 60);
	ADD_ROOT(s, a_client_without_a_uid, 60);
	ADD(s, a_dead_client_has_no_unit, 60);
	ADD_ROOT(s, who_is_known_has_no_unit_either, 60);
	ADD_ROOT(s, who_was_not_asked_for_his_unit_comes_anew, 60);
	return s;
}

int main(int argc, char **argv)
{
	if (argc > 2 && !strcmp(argv[1], "--in-a-user-namespace"))
		return start_in_user_namespace(argv + 2);
	return harness_main("surroundings", suite);
}
