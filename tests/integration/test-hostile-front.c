/* SPDX-License-Identifier: MIT
 * An opend that was taken over, as its supervisor sees it: this test speaks to a real
 * opend-supervisor in its stead, and asks for what it should not get. What it may have, as one that
 * is honest, are workers for those whose connections it can show, with the rules that are theirs.
 */
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include "ask.h"
#include "control.h"
#include "fdpass.h"
#include "harness-backdoor.h"
#include "harness.h"
#include "stats.h"

struct front {
	int socket;
	pid_t supervisor;
	int idle_fds;
};

static int exchange(const struct front *f, const void *ask, size_t len, const int *fds, size_t n,
		    struct told *told)
{
	struct pollfd p = { .fd = f->socket, .events = POLLIN };
	size_t none;

	ok(fdpass_send(f->socket, ask, len, fds, n));
	ensure(poll(&p, 1, (int)patience(10000)) == 1, "no answer");
	ensure(fdpass_recv(f->socket, told, sizeof *told, NULL, 0, &none) == sizeof *told,
	       "it has ended");
	return told->result;
}

static int ask_it(const struct front *f, struct question ask, const int *fds, size_t n,
		  struct told *told)
{
	return exchange(f, &ask, sizeof ask, fds, n, told);
}

/* As opend starts it; its capabilities come the way that systemd's would. */
static struct front supervise(void)
{
	char *ids = text("-i%u-%u", 2130000000u, 2130001023u), *rules = text("-p%s", at("policy"));
	struct told told;
	struct front f;
	int sv[2];

	sys(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	fflush(NULL);
	f.supervisor = (pid_t)sys(fork());
	if (f.supervisor == 0) {
		int worker = open(staged("opend-worker"), O_RDONLY | O_CLOEXEC);
		int audit = open(staged("opend-audit"), O_RDONLY | O_CLOEXEC);
		int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
		const int fds[] = { sv[1], worker, audit, null_fd };
		int high[ELEMENTSOF(fds)];

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (size_t i = 0; i < ELEMENTSOF(fds); i++)
			high[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
		for (size_t i = 0; i < ELEMENTSOF(fds); i++)
			dup2(high[i], ASK_FD + (int)i);
		execlp("setpriv", "setpriv", "--reuid=61000", "--regid=61000", "--clear-groups",
		       "--no-new-privs",
		       "--inh-caps=+setuid,+setgid,+kill,+dac_read_search,+dac_override",
		       "--ambient-caps=+setuid,+setgid,+kill,+dac_read_search,+dac_override",
		       staged("opend-supervisor"), "-S", ids, "-a61001:61001", "-U", rules,
		       text("-d%s", at("run/s0")), text("-d%s", at("run/s1")),
		       text("-d%s", at("run/s2")), (char *)NULL);
		_exit(127);
	}
	close(sv[1]);
	f.socket = sv[0];
	ensure(ask_it(&f, (struct question){ .type = ASK_POLICY }, &(int){ STDERR_FILENO }, 1,
		      &told) == 0,
	       "no policy: %s", strerror(-told.result));
	f.idle_fds = count_fds(f.supervisor);
	return f;
}

static void dismiss(struct front *f)
{
	int status;

	ensure(within(5000, count_fds(f->supervisor) == f->idle_fds), "%d descriptors leaked",
	       count_fds(f->supervisor) - f->idle_fds);
	close(f->socket);
	ensure(within(5000, waitpid(f->supervisor, &status, WNOHANG) == f->supervisor) &&
		       status == 0,
	       "it does not end with us");
	no_process_left();
}

/* who connects to us, and goes. */
static void connect_one(void *arg)
{
	const struct sockaddr_un *a = arg;
	_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	sys(connect(fd, (const struct sockaddr *)a, sizeof *a));
}

/* With SO_PASSCRED connect(2) gives the socket a name. */
static void connect_with_a_name(void *arg)
{
	const struct sockaddr_un *a = arg;
	_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int on = 1;

	sys(setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
	sys(connect(fd, (const struct sockaddr *)a, sizeof *a));
}

static int listen_at(struct sockaddr_un *a)
{
	static unsigned serial;
	int listener = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	char *path = at("run/s%u", serial++);

	*a = (struct sockaddr_un){ .sun_family = AF_UNIX };
	ensure(strlen(path) < sizeof a->sun_path, "%s: too long", path);
	memcpy(a->sun_path, path, strlen(path));
	sys(bind(listener, (struct sockaddr *)a, sizeof *a));
	sys(chmod(path, 0666));
	sys(listen(listener, 1));
	return listener;
}

static int connection_of(struct who who)
{
	struct sockaddr_un a;
	_cleanup_close_ int listener = listen_at(&a);

	as(who, connect_one, &a);
	return (int)sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
}

/* Ours of what opend shares with a worker. */
enum { DOWN, UP, AUDIT, ENDS };

static void let_go(int *ends)
{
	for (int i = 0; i < ENDS; i++)
		ends[i] = close_fd(ends[i]);
}

static void hear(const int *ends, uint32_t type)
{
	struct up u;

	do
		ensure(read(ends[UP], &u, sizeof u) == sizeof u, "it has ended");
	while (u.type != type);
}

static int have_born(const struct front *f, uint32_t role, uint32_t identity, uint32_t like,
		     int *ends, struct told *told)
{
	int fds[4], sv[2], p[2], r;

	sys(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv));
	fds[0] = sv[1];
	ends[DOWN] = sv[0];
	sys(pipe2(p, O_CLOEXEC));
	fds[1] = p[1];
	ends[UP] = p[0];
	fds[2] = (int)sys(memfd_create("stats", MFD_CLOEXEC));
	sys(ftruncate(fds[2], sizeof(struct stats)));
	sys(pipe2(p, O_CLOEXEC));
	fds[3] = p[1];
	ends[AUDIT] = p[0];
	r = ask_it(
		f,
		(struct question){
			.type = ASK_BIRTH, .role = role, .identity = identity, .instance = like },
		fds, 4, told);
	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		close(fds[i]);
	return r;
}

static int bury(const struct front *f, uint32_t instance)
{
	struct told told;

	return ask_it(f, (struct question){ .type = ASK_BURY, .instance = instance }, NULL, 0,
		      &told);
}

/* Our ends are closed: it ends at once. */
static int bear(const struct front *f, uint32_t role, uint32_t identity, uint32_t like,
		struct told *told)
{
	int ends[ENDS], r = have_born(f, role, identity, like, ends, told);

	let_go(ends);
	if (r == 0) {
		ensure(told->pid > 0, "pid %d", told->pid);
		sys(waitpid(told->pid, NULL, 0));
		ensure(bury(f, told->instance) == 0, "it is not dead");
	}
	return r;
}

static uint32_t show(const struct front *f, int connection, uid_t uid)
{
	struct question ask = { .type = ASK_IDENTITY, .door = "door" };
	struct told told;

	ensure(ask_it(f, ask, &connection, 1, &told) == 0 && told.uid == uid && told.identity != 0,
	       "uid %u, not %u", told.uid, uid);
	return told.identity;
}

static void forget(const struct front *f, uint32_t identity)
{
	struct told told;

	ensure(ask_it(f, (struct question){ .type = ASK_FORGET, .identity = identity }, NULL, 0,
		      &told) == 0,
	       "%s", strerror(-told.result));
}

/* Whoever connected is who the kernel says; nobody else can be named, and nobody gets more than the
 * rules give him. */
START_TEST(only_those_who_connected_and_only_their_rules)
{
	int of_alice, of_bob, of_root;
	uint32_t a, b, us;
	struct told told;
	struct front f;

	needs_root("become other users");
	policy("10",
	       "allow read under %s to user %u\n"
	       "allow read file /etc/shadow to user %u as root\n",
	       at("data"), alice.uid, bob.uid);
	of_alice = connection_of(alice);
	of_bob = connection_of(bob);
	of_root = connection_of(uid_only(0));
	f = supervise();

	ensure(bear(&f, BIRTH_WORKER, 1, 0, &told) == -ESRCH, "somebody who never came: %d",
	       told.result);
	a = show(&f, of_alice, alice.uid);
	b = show(&f, of_bob, bob.uid);
	us = show(&f, of_root, 0);
	ensure(a != b && b != us && show(&f, of_alice, alice.uid) == a, "%u %u %u", a, b, us);
	for (uint32_t number = 0; number < 64; number++)
		if (number != a && number != b && number != us)
			ensure(bear(&f, BIRTH_WORKER, number, 0, &told) == -ESRCH &&
				       bear(&f, BIRTH_LENDER, number, 0, &told) == -ESRCH,
			       "identity %u", number);
	ensure(bear(&f, BIRTH_WORKER, UINT32_MAX, 0, &told) == -ESRCH, "the last number");

	ensure(bear(&f, BIRTH_WORKER, a, 0, &told) == 0 && told.uid == alice.uid,
	       "alice: %s, uid %u", strerror(-told.result), told.uid);
	ensure(bear(&f, BIRTH_LENDER, a, 0, &told) == -ENOENT,
	       "a lender for alice, who has no rule for one: %d", told.result);
	ensure(bear(&f, BIRTH_LENDER, b, 0, &told) == 0 && told.uid == bob.uid, "bob: %s",
	       strerror(-told.result));
	/* Who has no rule. */
	ensure(bear(&f, BIRTH_WORKER, us, 0, &told) == -ENOENT, "a worker for root: %d",
	       told.result);
	ensure(bear(&f, BIRTH_LENDER, us, 0, &told) == -ENOENT, "a lender for root: %d",
	       told.result);
	/* Like one who is not there, and like a lender. */
	ensure(bear(&f, BIRTH_WORKER, 0, 4711, &told) == -ESRCH, "like nobody: %d", told.result);
	ensure(bear(&f, BIRTH_LENDER, 0, 1, &told) == -ESRCH, "like nobody: %d", told.result);
	ensure(bear(&f, 4, a, 0, &told) == -EINVAL, "a role that is none: %d", told.result);

	forget(&f, a);
	ensure(bear(&f, BIRTH_WORKER, a, 0, &told) == -ESRCH, "alice, who is forgotten: %d",
	       told.result);
	forget(&f, b);
	forget(&f, us);
	close(of_alice);
	close(of_bob);
	close(of_root);
	dismiss(&f);
}
END_TEST

/* Of one to whom it connects itself, as to the journal, it cannot say that he came, nor of the one
 * who listens at its door. */
START_TEST(who_listens_has_not_come)
{
	struct question ask = { .type = ASK_IDENTITY, .door = "door" };
	int listener, ours, named, pair[2], passing_on = 1;
	struct sockaddr_un a;
	struct told told;
	struct ucred peer;
	struct front f;

	needs_root("become other users");
	policy("10", "allow read under %s to anyone\n", at("data"));
	listener = listen_at(&a);
	ours = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	/* Which gives it a name. */
	sys(setsockopt(ours, SOL_SOCKET, SO_PASSCRED, &passing_on, sizeof passing_on));
	sys(connect(ours, (struct sockaddr *)&a, sizeof a));
	sys(getsockopt(ours, SOL_SOCKET, SO_PEERCRED, &peer, &(socklen_t){ sizeof peer }));
	ensure(peer.uid == 0, "SO_PEERCRED tells of uid %u", peer.uid);
	f = supervise();
	ensure(ask_it(&f, ask, &ours, 1, &told) == -EACCES, "who was called: %d", told.result);
	ensure(ask_it(&f, ask, &listener, 1, &told) == -EACCES, "who listens: %d", told.result);
	/* One that root made for himself, and somebody got hold of. */
	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	ensure(ask_it(&f, ask, pair, 1, &told) == -EACCES, "who made a pair: %d", told.result);
	close(pair[0]);
	close(pair[1]);
	close(ours);
	close((int)sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC)));
	as(alice, connect_with_a_name, &a);
	named = (int)sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	ensure(ask_it(&f, ask, &named, 1, &told) == -EACCES, "who has a name: %d", told.result);
	close(named);
	close(listener);
	dismiss(&f);
}
END_TEST

/* A living worker has its slot for itself, whatever is said of it, and who is born like it is a
 * worker: no lender for whoever has no rule for one. */
START_TEST(a_living_worker_and_who_is_born_like_it)
{
	struct told told, other;
	int of_alice, ends[ENDS];
	struct front f;

	needs_root("become other users");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	of_alice = connection_of(alice);
	f = supervise();
	ensure(have_born(&f, BIRTH_WORKER, show(&f, of_alice, alice.uid), 0, ends, &told) == 0,
	       "alice: %s", strerror(-told.result));
	ensure(bear(&f, BIRTH_WORKER, 0, told.instance, &other) == 0 && other.uid == alice.uid &&
		       other.slot != told.slot,
	       "its successor: %s, uid %u, slot %u", strerror(-other.result), other.uid,
	       other.slot);
	ensure(bear(&f, BIRTH_LENDER, 0, told.instance, &other) == -ESRCH,
	       "a lender like a worker: %d", other.result);
	/* The number that one of the next has: like itself, who is nobody yet, and nobody is 0. */
	for (int i = 0; i < 8; i++)
		ensure(bear(&f, BIRTH_WORKER, 0, told.instance + 8, &other) == -ESRCH,
		       "like itself: %d, uid %u", other.result, other.uid);
	ensure(bury(&f, told.instance) == -EBUSY, "it is buried alive");
	/* Its rules were taken back. */
	policy("10", "allow read under %s to user %u\n", at("data"), bob.uid);
	ensure(ask_it(&f, (struct question){ .type = ASK_POLICY }, &(int){ STDERR_FILENO }, 1,
		      &other) == 0,
	       "no policy: %s", strerror(-other.result));
	ensure(bear(&f, BIRTH_WORKER, 0, told.instance, &other) == -ESTALE,
	       "a successor with rules of before: %d", other.result);
	let_go(ends);
	sys(waitpid(told.pid, NULL, 0));
	ensure(bury(&f, told.instance) == 0, "it is not dead");
	close(of_alice);
	dismiss(&f);
}
END_TEST

/* Requests that make no sense are answered, or end it; nothing is left open. */
START_TEST(nonsense_is_refused)
{
	struct front f;
	struct told told;
	int some[5];

	needs_root("become other users");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	f = supervise();
	for (size_t i = 0; i < ELEMENTSOF(some); i++)
		some[i] = (int)sys(open("/dev/null", O_RDWR | O_CLOEXEC));
	for (uint32_t type = 0; type < 16; type++)
		for (size_t n = 0; n <= ELEMENTSOF(some); n++) {
			if ((type == ASK_POLICY && n == 1) || type == ASK_TIDY)
				continue;
			ensure(ask_it(&f, (struct question){ .type = type, .role = 9 }, some, n,
				      &told) < 0,
			       "request %u with %zu descriptors is granted", type, n);
		}
	ensure(ask_it(&f, (struct question){ .type = ASK_KILL, .instance = 1 }, NULL, 0, &told) ==
		       -ESRCH,
	       "kill: %d", told.result);
	/* A file is no connection. */
	ensure(ask_it(&f, (struct question){ .type = ASK_IDENTITY }, some, 1, &told) == -ENOTSOCK,
	       "identity: %d", told.result);
	for (size_t i = 0; i < ELEMENTSOF(some); i++)
		close(some[i]);
	dismiss(&f);
}
END_TEST

/* A request of another size is another build's: it is not served. */
START_TEST(a_front_of_another_build)
{
	struct question ask = { .type = ASK_POLICY };
	struct front f;
	int status;

	needs_root("become other users");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	f = supervise();
	ok(fdpass_send(f.socket, &ask, sizeof ask - 1, NULL, 0));
	ensure(within(5000, waitpid(f.supervisor, &status, WNOHANG) == f.supervisor), "it goes on");
	close(f.socket);
	no_process_left();
}
END_TEST

/* ---- not hostile, but in a hurry, or gone ---- */

/* A worker that is READY for alice, and a connection of hers that it has not got yet. */
struct ready {
	struct front f;
	struct told told;
	int ends[ENDS], of_alice;
	struct raw alices;
	const char *file;
};

static struct ready have_a_worker(void)
{
	struct ready w = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct sockaddr_un a;
	int listener;

	policy("10", "allow read file %s to user %u\n", w.file, alice.uid);
	listener = listen_at(&a);
	w.alices = raw_connect_as(alice, a.sun_path);
	w.of_alice = (int)sys(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	close(listener);
	w.f = supervise();
	ensure(have_born(&w.f, BIRTH_WORKER, show(&w.f, w.of_alice, alice.uid), 0, w.ends,
			 &w.told) == 0,
	       "alice: %s", strerror(-w.told.result));
	hear(w.ends, UP_READY);
	return w;
}

static void adopt(struct ready *w)
{
	const struct down d = { .type = DOWN_ADOPT, .cookie = 1 };

	ok(fdpass_send(w->ends[DOWN], &d, sizeof d, &w->of_alice, 1));
}

static void stop_it(const struct ready *w)
{
	sys(kill(w->told.pid, SIGSTOP));
	ensure(within(5000, stopped(w->told.pid)), "it does not stop");
}

static void ask_it_for_the_file(struct ready *w, uint64_t id)
{
	char frame[WIRE_REQUEST_MAX];

	raw_send(&w->alices, frame, raw_open(frame, id, w->file, O_RDONLY));
}

static void it_ends(struct ready *w)
{
	ensure(within(5000, waitpid(w->told.pid, NULL, WNOHANG) == w->told.pid), "it goes on");
	ensure(bury(&w->f, w->told.instance) == 0, "it is not dead");
	let_go(w->ends);
	dismiss(&w->f);
}

/* Whom opend brings to a worker and takes away at once, as reload upon reload does, has had an
 * answer in between. */
START_TEST(who_has_come_has_a_turn)
{
	const struct down release = { .type = DOWN_RELEASE };
	struct wire_outcome out;
	struct ready w;
	int got;

	needs_root("become other users");
	w = have_a_worker();
	ask_it_for_the_file(&w, 1);
	stop_it(&w);
	adopt(&w);
	ok(fdpass_send(w.ends[DOWN], &release, sizeof release, NULL, 0));
	sys(kill(w.told.pid, SIGCONT));
	hear(w.ends, UP_RELEASED);
	close(w.of_alice);
	out = raw_result(&w.alices, 1, &got);
	ensure(!out.error && got >= 0, "%s", strerror(out.error));
	close(got);
	raw_close(&w.alices);
	it_ends(&w);
}
END_TEST

/* Nobody is served without opend: its end comes before what is asked meanwhile. */
START_TEST(who_has_no_opend_is_not_served)
{
	char frame[WIRE_REPLY_MAX];
	struct ready w;
	int size, fd;

	needs_root("become other users");
	w = have_a_worker();
	adopt(&w);
	raw_works(&w.alices, 1, w.file);
	stop_it(&w);
	ask_it_for_the_file(&w, 2);
	close(w.of_alice);
	w.ends[DOWN] = close_fd(w.ends[DOWN]);
	sys(kill(w.told.pid, SIGCONT));
	size = raw_recv(&w.alices, frame, &fd, 5000);
	ensure(size <= 0 && size != -ETIMEDOUT, "it gets %d bytes", size);
	raw_close(&w.alices);
	it_ends(&w);
}
END_TEST

/* What opend has not been told it would wait for. */
START_TEST(who_is_not_heard_ends)
{
	struct ready w;

	needs_root("become other users");
	w = have_a_worker();
	adopt(&w);
	raw_works(&w.alices, 1, w.file);
	w.ends[UP] = close_fd(w.ends[UP]);
	/* It would say CLOSED. */
	raw_close(&w.alices);
	close(w.of_alice);
	it_ends(&w);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hostile-front");

	ADD_ROOT(s, only_those_who_connected_and_only_their_rules, 60);
	ADD_ROOT(s, who_listens_has_not_come, 30);
	ADD_ROOT(s, a_living_worker_and_who_is_born_like_it, 60);
	ADD_ROOT(s, nonsense_is_refused, 60);
	ADD_ROOT(s, a_front_of_another_build, 30);
	ADD_ROOT(s, who_has_come_has_a_turn, 30);
	ADD_ROOT(s, who_has_no_opend_is_not_served, 30);
	ADD_ROOT(s, who_is_not_heard_ends, 30);
	return s;
}

int main(void)
{
	return harness_main("hostile-front", suite);
}
