/* SPDX-License-Identifier: MIT
 * The service as a whole: how it begins and ends, whose sockets are whose, and that the death of
 * one worker is one identity's affair. */
#include <sys/wait.h>
#include "harness.h"

struct visit {
	const char *socket, *file;
	volatile int step;
	const char *policy;
};

static void turn(struct visit *v, int step, struct client *c)
{
	if (within(20000, v->step == step || (c && !alive(c->pid))) && v->step == step)
		return;
	if (c)
		client_wait(c);
	ensure(v->step == step, "step %d, not %d", v->step, step);
}

/* ---- the end ---- */

static void see_it_end(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye;

	raw_works(&r, 1, v->file);
	v->step = 1;
	ensure(raw_ended(&r, &goodbye, 10000), "the connection outlived the daemon");
	ensure(goodbye == OPENC_R_RESTART, "GOODBYE with reason %d", goodbye);
	raw_close(&r);
}

/* A connected client is told, and does not keep it from ending. */
START_TEST(sigterm_with_a_client)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	int64_t began;
	int status;
	struct opend o;

	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, see_it_end, v);
	turn(v, 1, &c);
	began = now_msec();
	sys(kill(o.pid, SIGTERM));
	sys(waitpid(o.pid, &status, 0));
	ensure(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
	ensure(now_msec() - began < patience(5000), "it took %lld ms",
	       (long long)(now_msec() - began));
	client_wait(&c);
	ensure(access(o.socket, F_OK) < 0 && access(o.control, F_OK) < 0,
	       "a socket was left behind");
	ensure(RUN("sh", "-c", text("ls %s | grep -v -e log -e notify", at("run"))).out_len == 0,
	       "something was left behind: %s", RUN("ls", at("run")).out);
	close_fd(o.notify);
	no_process_left();
}
END_TEST

/* A supervisor that is killed takes its workers with it, and its clients see the end. */
static void see_it_die(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye;

	raw_works(&r, 1, v->file);
	v->step = 1;
	ensure(raw_ended(&r, &goodbye, 10000), "the connection outlived the daemon");
	raw_close(&r);
}

START_TEST(a_killed_supervisor_and_what_it_leaves)
{
	struct visit *v = shared(sizeof *v);
	pid_t supervisor;
	struct client c;
	struct stat st;
	struct opend o;

	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, see_it_die, v);
	turn(v, 1, &c);
	/* All at once, or the one that is left would tidy up. */
	supervisor = supervisor_of(&o);
	sys(kill(o.pid, SIGSTOP));
	sys(kill(supervisor, SIGKILL));
	sys(kill(o.pid, SIGKILL));
	sys(waitpid(o.pid, NULL, 0));
	client_wait(&c);
	close_fd(o.notify);
	no_process_left();
	/* A socket that nobody listens on is replaced. */
	sys(stat(o.socket, &st));
	ensure(S_ISSOCK(st.st_mode), "no socket was left, so there is nothing to replace");
	o = OPEND();
	ask_for(&o, alice, v->file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

/* Each of the two ends with the other: opend without a supervisor is of no use, and says so to
 * whoever started it. Either way no process is left. */
START_TEST(neither_half_goes_on_alone)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");

	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	for (int half = 0; half < 2; half++) {
		struct opend o = OPEND();
		int status;

		ask_for(&o, alice, file, O_RDONLY, "file\n");
		sys(kill(half ? supervisor_of(&o) : o.pid, SIGKILL));
		ensure(within(10000, waitpid(o.pid, &status, WNOHANG) == o.pid), "it goes on");
		ensure(half == 0 || (WIFEXITED(status) && WEXITSTATUS(status) != 0),
		       "status %#x without a supervisor", (unsigned)status);
		close_fd(o.notify);
		no_process_left();
	}
}
END_TEST

/* A supervisor that does not answer is as good as none; at the end nobody waits long for it. */
START_TEST(a_supervisor_that_hangs)
{
	struct opend o = OPEND();
	pid_t supervisor = supervisor_of(&o);
	int status;

	sys(kill(supervisor, SIGSTOP));
	sys(kill(o.pid, SIGTERM));
	ensure(within(10000, waitpid(o.pid, &status, WNOHANG) == o.pid), "opend hangs, too");
	ensure(WIFEXITED(status), "status %#x", (unsigned)status);
	close_fd(o.notify);
	no_process_left();
}
END_TEST

static void come_in_vain(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye = -1;

	v->step = 1;
	ensure(raw_ended(&r, &goodbye, 10000) && goodbye == OPENC_R_RESTART,
	       "GOODBYE with reason %d", goodbye);
	raw_close(&r);
}

/* Who asks while there is no supervisor any more is to come to the next opend. */
START_TEST(a_supervisor_that_ends_with_a_question)
{
	struct visit *v = shared(sizeof *v);
	struct opend o = OPEND();
	pid_t supervisor = supervisor_of(&o);
	struct client c;

	v->socket = o.socket;
	sys(kill(supervisor, SIGSTOP));
	ensure(within(5000, stopped(supervisor)), "it does not stop");
	c = client_start(alice, come_in_vain, v);
	turn(v, 1, &c);
	ensure(within(5000, asleep(o.pid)), "opend does not wait for its supervisor");
	sys(kill(supervisor, SIGKILL));
	client_wait(&c);
	ensure(within(10000, waitpid(o.pid, NULL, WNOHANG) == o.pid), "opend goes on");
	close_fd(o.notify);
	no_process_left();
}
END_TEST

/* ---- the beginning ---- */

static int exit_status(struct opend *o)
{
	int status;

	ensure(within(10000, waitpid(o->pid, &status, WNOHANG) == o->pid), "it goes on");
	o->notify = close_fd(o->notify);
	ensure(WIFEXITED(status), "status %#x", (unsigned)status);
	return WEXITSTATUS(status);
}

START_TEST(a_live_socket_is_not_stolen)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	const char *args[64];
	size_t n;
	struct opend o, second;

	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = OPEND();
	n = opend_args(1, args);
	args[2] = o.socket;
	args[n] = NULL;
	second = opend_spawn(1, args);
	ensure(exit_status(&second) != 0, "a second opend on the same socket ended well");
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	/* Nor the control socket. */
	opend_args(1, args);
	args[4] = o.control;
	second = opend_spawn(1, args);
	ensure(exit_status(&second) != 0, "a second opend on the same control socket ended well");
	ensure(access(second.socket, F_OK) < 0, "it left a socket");
	ensure(control(&o, "status", NULL) == 0, "status");
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

START_TEST(what_is_no_socket_is_not_replaced)
{
	const char *args[64];
	char *content;
	_cleanup_close_ int fd = -1;
	struct opend o;

	make_file(at("run/socket"), 0644, alice.uid, "precious\n");
	opend_args(0, args);
	o = opend_spawn(0, args);
	ensure(exit_status(&o) != 0, "it ended well");
	fd = (int)sys(open(at("run/socket"), O_RDONLY | O_CLOEXEC));
	content = slurp(fd, NULL);
	ensure(!strcmp(content, "precious\n"), "it was changed: %s", content);
}
END_TEST

/* Whoever may rename in the socket's directory may pose as the server. */
START_TEST(a_directory_that_others_may_write)
{
	const char *args[64];
	struct opend o;

	sys(chmod(at("run"), 0777));
	opend_args(0, args);
	o = opend_spawn(0, args);
	ensure(exit_status(&o) != 0, "it ended well");
	ensure(access(at("run/socket"), F_OK) < 0, "a socket stands there");
	sys(chmod(at("run"), 0755));
}
END_TEST

START_TEST(modes_of_the_sockets)
{
	struct stat st;
	struct opend o = OPEND();

	sys(stat(o.socket, &st));
	ensure(st.st_mode == (S_IFSOCK | 0666), "mode %o", st.st_mode);
	sys(stat(o.control, &st));
	ensure(st.st_mode == (S_IFSOCK | 0600), "mode %o", st.st_mode);
	opend_stop(&o);
}
END_TEST

START_TEST(usage)
{
	struct program p = RUN(staged("opend"), "--bogus");

	ensure(p.status == 2 && p.err_len > 0, "an unknown option: status %d", p.status);
	p = RUN(staged("opend"), "surplus");
	ensure(p.status == 2 && p.err_len > 0, "a surplus argument: status %d", p.status);
	p = RUN(staged("opend"), "--version");
	ensure(p.status == 0 && !strncmp(p.out, "opend ", 6), "--version: %d, %s", p.status, p.out);
	p = RUN(staged("opend"), "--help");
	ensure(p.status == 0 && strstr(p.out, "--listen"), "--help: %d", p.status);
}
END_TEST

/* ---- socket activation ---- */

/* systemd-socket-activate listens, and becomes opend at the first connection. names: NULL or
 * NAME:NAME for two sockets. */
static struct opend activate(const char *names)
{
	const char *args[64], *activated[64];
	size_t n = 0, first = opend_args(0, args);
	struct opend o;

	activated[n++] = "systemd-socket-activate";
	activated[n++] = "-E";
	activated[n++] = text("NOTIFY_SOCKET=%s", at("run/notify"));
	activated[n++] = "-l";
	activated[n++] = at("run/socket");
	if (names) {
		activated[n++] = "-l";
		activated[n++] = at("run/back");
		activated[n++] = text("--fdname=%s", names);
	}
	activated[n++] = args[0];
	/* Without --listen and its argument. */
	for (size_t i = 3; i < first; i++)
		activated[n++] = args[i];
	activated[n] = NULL;
	o = opend_spawn(0, activated);
	o.activated = true;
	ensure(within(10000, listens(at("run/socket")) && (!names || listens(at("run/back")))),
	       "systemd-socket-activate does not listen");
	sys(chmod(at("run/socket"), 0666));
	if (names)
		sys(chmod(at("run/back"), 0666));
	return o;
}

#define needs_socket_activate()                                                                    \
	do {                                                                                       \
		if (RUN("systemd-socket-activate", "--version").status)                            \
			skip("systemd-socket-activate is not installed");                          \
	} while (0)

START_TEST(socket_activation)
{
	char *file;
	struct opend o;

	needs_socket_activate();
	file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = activate(NULL);
	/* The first client is the one who wakes it. */
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	/* It began with a worker that was born before it was looked at, but with no connection. */
	ensure(within(5000, opend_connections(&o) == 0), "a connection is left");
	opend_wait_ready(&o);
	ask_refused(&o, alice, at("data/other"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
	ensure(!access(at("run/socket"), F_OK), "a socket that is not its own was removed");
}
END_TEST

START_TEST(socket_activation_with_names)
{
	char *front, *back;
	struct opend o, o_back;

	needs_socket_activate();
	front = make_file(at("data/front"), 0644, alice.uid, "front\n");
	back = make_file(at("data/back"), 0644, alice.uid, "back\n");
	policy("10", "allow read file %s to via front\nallow read file %s to via back\n", front,
	       back);
	o = activate("front:back");
	o_back = o;
	o_back.socket = at("run/back");
	ask_for(&o, alice, front, O_RDONLY, "front\n");
	ensure(within(5000, opend_connections(&o) == 0), "a connection is left");
	opend_wait_ready(&o);
	ask_refused(&o, alice, back, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&o_back, alice, back, O_RDONLY, "back\n");
	ask_refused(&o_back, alice, front, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_check_idle(&o_back);
	opend_stop(&o);
	ensure(!access(at("run/socket"), F_OK) && !access(at("run/back"), F_OK),
	       "a socket that is not its own was removed");
}
END_TEST

/* ---- a worker dies ---- */

static void see_the_worker_die(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	int goodbye;
	int64_t began;

	raw_works(&r, 1, v->file);
	v->step = 1;
	turn(v, 2, NULL);
	began = now_msec();
	ensure(raw_ended(&r, &goodbye, 5000), "the connection goes on");
	ensure(now_msec() - began < patience(1000), "it took %lld ms",
	       (long long)(now_msec() - began));
	raw_close(&r);
	/* And the next one works. */
	r = raw_connect(v->socket);
	raw_works(&r, 2, v->file);
	raw_close(&r);
}

/* The library asks again: reading cannot happen twice. */
static void library_sees_the_worker_die(void *arg)
{
	struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(verdict(c, v->file, O_RDONLY) == 0, "%s", openc_message(c));
	v->step = 1;
	turn(v, 2, NULL);
	ensure(verdict(c, v->file, O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

static void bystander(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	uint64_t id = 1;

	raw_works(&r, id++, v->file);
	v->step = 1;
	while (v->step != 2) {
		raw_works(&r, id++, v->file);
		sleep_msec(2);
	}
	raw_works(&r, id++, v->file);
	raw_close(&r);
}

static void kill_worker(const struct opend *o, struct visit *v, client_fn *fn)
{
	struct client c;
	pid_t victim;

	v->step = 0;
	c = client_start(alice, fn, v);
	turn(v, 1, &c);
	victim = only_worker(o, alice.uid);
	sys(kill(victim, SIGKILL));
	ensure(within(5000, !alive(victim)), "it lives");
	v->step = 2;
	client_wait(&c);
}

START_TEST(a_worker_that_is_killed)
{
	struct visit *v = shared(sizeof *v);
	struct opend o;

	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to anyone\n", v->file);
	o = OPEND();
	v->socket = o.socket;
	kill_worker(&o, v, see_the_worker_die);
	kill_worker(&o, v, library_sees_the_worker_die);
	opend_stop(&o);
}
END_TEST

START_TEST(a_killed_worker_is_nobody_elses_affair)
{
	struct visit *v = shared(sizeof *v), *other = shared(sizeof *other);
	struct client c;
	struct opend o;

	needs_root("have clients of two uids");
	v->file = other->file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", v->file);
	o = OPEND();
	v->socket = other->socket = o.socket;
	c = client_start(bob, bystander, other);
	turn(other, 1, &c);
	for (int i = 0; i < 5; i++)
		kill_worker(&o, v, see_the_worker_die);
	other->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

static void ask_as_root(void *arg)
{
	struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(verdict(c, v->file, O_RDONLY) == 0, "%s", openc_message(c));
	v->step = 1;
	turn(v, 2, NULL);
	/* The lender is gone: a fresh one, or an answer that says to try again; never a hang. */
	ensure(within(5000, verdict(c, v->file, O_RDONLY) == 0), "%s", openc_message(c));
	openc_free(c);
}

START_TEST(a_lender_that_is_killed)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	pid_t lender[8];
	struct opend o;

	needs_root("own a file that the client cannot read");
	v->file = make_file(at("data/key"), 0600, 0, "key\n");
	policy("10", "allow read file %s to user %u as root\n", v->file, alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, ask_as_root, v);
	turn(v, 1, &c);
	ensure(lenders(&o, alice.uid, lender, ELEMENTSOF(lender)) == 1, "not one lender");
	sys(kill(lender[0], SIGKILL));
	ensure(within(5000, !alive(lender[0])), "it lives");
	v->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* ---- a private opend on a socketpair ---- */

static void be_served_privately(void *arg)
{
	struct visit *v = arg;
	struct raw r = { 0 };
	char frame[WIRE_REQUEST_MAX];
	int ends[2], fd, status;
	pid_t pid;

	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends));
	pid = (pid_t)sys(fork());
	if (pid == 0) {
		dup2(ends[1], 9);
		execl(staged("opend"), "opend", "--private-fd", "9", "--policy", v->policy,
		      (char *)NULL);
		_exit(127);
	}
	close_fd(ends[1]);
	r.fd = ends[0];
	raw_works(&r, 1, v->file);
	raw_send(&r, frame, raw_open(frame, 2, "/etc/passwd", O_RDONLY));
	ensure(raw_result(&r, 2, &fd).reason == OPENC_R_NO_RULE, "no refusal");
	raw_close(&r);
	ensure(within(5000, waitpid(pid, &status, WNOHANG) == pid), "it outlives its client");
	ensure(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
}

START_TEST(a_private_opend)
{
	struct visit *v = shared(sizeof *v);

	v->file = make_file(at("data/file"), 0600, alice.uid, "file\n");
	v->policy = at("policy/10.policy");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	if (is_root())
		sys(chown(v->policy, alice.uid, alice.gid));
	as(alice, be_served_privately, v);
}
END_TEST

static void launch(void *arg)
{
	struct visit *v = arg;
	struct program p = RUN(staged("openc"), "launch", "--policy", v->policy, "--",
			       staged("openc"), "cat", v->file);

	ensure(p.status == 0 && !strcmp(p.out, "file\n"), "status %d: %s%s", p.status, p.out,
	       p.err);
	p = RUN(staged("openc"), "launch", "--policy", v->policy, "--", staged("openc"), "cat",
		"/etc/passwd");
	ensure(p.status == 1 && p.out_len == 0 && p.err_len > 0, "status %d: %s", p.status, p.err);
	p = RUN(staged("openc"), "launch", "--policy", v->policy, "--", "sh", "-c", "exit 7");
	ensure(p.status == 7, "status %d: %s", p.status, p.err);
}

START_TEST(openc_launch)
{
	struct visit *v = shared(sizeof *v);

	v->file = make_file(at("data/file"), 0600, alice.uid, "file\n");
	v->policy = at("policy/10.policy");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	if (is_root())
		sys(chown(v->policy, alice.uid, alice.gid));
	as(alice, launch, v);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("service");

	ADD(s, sigterm_with_a_client, 30);
	ADD(s, a_killed_supervisor_and_what_it_leaves, 30);
	ADD(s, neither_half_goes_on_alone, 30);
	ADD(s, a_supervisor_that_hangs, 30);
	ADD(s, a_supervisor_that_ends_with_a_question, 30);
	ADD(s, a_live_socket_is_not_stolen, 30);
	ADD(s, what_is_no_socket_is_not_replaced, 30);
	ADD(s, a_directory_that_others_may_write, 30);
	ADD(s, modes_of_the_sockets, 30);
	ADD(s, usage, 30);
	ADD(s, socket_activation, 30);
	ADD(s, socket_activation_with_names, 30);
	ADD(s, a_worker_that_is_killed, 30);
	ADD_ROOT(s, a_killed_worker_is_nobody_elses_affair, 30);
	ADD_ROOT(s, a_lender_that_is_killed, 30);
	ADD(s, a_private_opend, 30);
	ADD(s, openc_launch, 30);
	return s;
}

int main(void)
{
	return harness_main("service", suite);
}
