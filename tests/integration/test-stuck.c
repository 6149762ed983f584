/* SPDX-License-Identifier: MIT
 * Opens that block. What could keep open(2) waiting is answered in time; where even the kernel
 * waits for somebody who never answers, it is one worker of one uid that hangs: others do not
 * notice, that uid soon has another, not endlessly many, and the service still ends when told. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include "harness.h"
#include "harness-fuse.h"

enum { OPENS = 200 };

struct many {
	const char *socket, *path;
	int flags;
	int error; /* what each must be answered; 0: granted */
	int reason;
};

/* Each on the same connection, each answered promptly. */
static void open_many_times(void *arg)
{
	const struct many *m = arg;
	struct openc_conn *c = connect_to(m->socket);

	for (int i = 0; i < OPENS; i++) {
		int64_t began = now_msec();
		int fd = openc_open(c, m->path, m->flags, 0);

		/* A lease would be waited for for 45 s, the others for ever. */
		ensure(now_msec() - began < 10000, "open %d took %lld ms", i,
		       (long long)(now_msec() - began));
		ensure((fd < 0 ? -fd : 0) == m->error && openc_reason(c) == m->reason,
		       "open %d of %s: %s, reason %d", i, m->path, strerror(fd < 0 ? -fd : 0),
		       openc_reason(c));
		/* What was to keep the open from blocking must not stay. */
		ensure(fd < 0 || !(fcntl(fd, F_GETFL) & O_NONBLOCK), "it came with O_NONBLOCK");
		close_fd(fd);
	}
	openc_free(c);
}

static void opens(const struct opend *o, const char *path, int flags, int error, int reason)
{
	struct many m = { o->socket, path, flags, error, reason };

	as(alice, open_many_times, &m);
}

START_TEST(fifos)
{
	char *plain = at("data/plain"), *named = at("data/named");
	struct opend o;

	sys(mkfifo(plain, 0666));
	sys(chmod(plain, 0666));
	sys(mkfifo(named, 0666));
	sys(chmod(named, 0666));
	policy("10",
	       "allow read,write file %s to user %u\nallow read,write file %s to user %u type "
	       "fifo\n",
	       plain, alice.uid, named, alice.uid);
	o = OPEND();
	opens(&o, plain, O_RDONLY, EACCES, OPENC_R_TYPE);
	opens(&o, named, O_RDONLY, 0, 0);
	opens(&o, named, O_RDWR, 0, 0);
	/* Nobody reads: where open(2) would wait, the kernel says so. */
	opens(&o, named, O_WRONLY, ENXIO, OPENC_R_KERNEL);
	opend_stop(&o);
}
END_TEST

/* ---- leases ---- */

struct lease {
	const char *path;
	volatile int held, stop;
};

/* Holds a lease and never gives it up, whatever signal asks for it. */
static void hold_a_lease(void *arg)
{
	struct lease *l = arg;
	_cleanup_close_ int fd = (int)sys(open(l->path, O_RDWR | O_CLOEXEC));

	signal(SIGIO, SIG_IGN);
	sys(fcntl(fd, F_SETLEASE, F_WRLCK));
	l->held = 1;
	ensure(within(60000, l->stop), "nobody let me go");
}

START_TEST(leased_files)
{
	struct lease *l = shared(sizeof *l);
	char *other = make_file(at("data/other"), 0644, alice.uid, "other\n");
	struct client holder;
	struct opend o;

	l->path = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read,write file %s %s to user %u\n", l->path, other, alice.uid);
	o = OPEND();
	holder = client_start(alice, hold_a_lease, l);
	ensure(within(5000, l->held), "no lease");
	opens(&o, l->path, O_RDONLY, EAGAIN, OPENC_R_BUSY);
	opens(&o, l->path, O_RDWR, EAGAIN, OPENC_R_BUSY);
	opens(&o, other, O_RDONLY, 0, 0);
	l->stop = 1;
	client_wait(&holder);
	opens(&o, l->path, O_RDWR, 0, 0);
	opend_stop(&o);
}
END_TEST

/* ---- terminals ---- */

/* tty_nr of proc(5): 0 for none. */
static int terminal_of(pid_t pid)
{
	_cleanup_fclose_ FILE *f = fopen(text("/proc/%d/stat", pid), "re");
	int tty = -1;

	ensure(f && fscanf(f, "%*d (%*[^)]) %*c %*d %*d %*d %d", &tty) == 1, "no process %d", pid);
	return tty;
}

START_TEST(terminals)
{
	int master;
	char *slave;
	struct opend o;

	needs_root("give a terminal to somebody");
	master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		skip("there is no /dev/ptmx that can be opened");
	sys(grantpt(master));
	sys(unlockpt(master));
	slave = text("%s", ptsname(master));
	sys(chown(slave, alice.uid, alice.gid));
	policy("10",
	       "allow read,write file %s to user %u type char\nallow read,write file /dev/tty to "
	       "user %u\n",
	       slave, alice.uid, alice.uid);
	o = OPEND();
	opens(&o, slave, O_RDWR | O_NOCTTY, 0, 0);
	opens(&o, slave, O_RDWR, 0, 0);
	/* It did not become anybody's controlling terminal. */
	ensure(terminal_of(only_worker(&o, alice.uid)) == 0,
	       "the worker has a controlling terminal");
	close_fd(master);
	opend_stop(&o);
}
END_TEST

START_TEST(terminal_multiplexer)
{
	struct opend o;
	char *ptmx;

	if (access("/dev/ptmx", R_OK | W_OK))
		skip("there is no /dev/ptmx that can be opened");
	policy("10", "allow read,write file /dev/ptmx to user %u\n", alice.uid);
	o = OPEND();
	opens(&o, "/dev/ptmx", O_RDWR, EACCES, OPENC_R_TYPE);
	/* In a container it is a link. */
	ptmx = realpath("/dev/ptmx", NULL);
	policy("10", "allow read,write file %s to user %u type char\n", ptmx, alice.uid);
	ok(reload(&o));
	opens(&o, ptmx, O_RDWR, 0, 0);
	free(ptmx);
	opend_stop(&o);
}
END_TEST

/* ---- a file system that hangs ---- */

struct hanging {
	const char *socket, *path, *plain;
	volatile int stop, asked;
	unsigned granted, silent, refused;
};

/* Asks on a new connection each time and does not wait long. What comes it cannot close without
 * hanging itself, so it does so at its end. */
static void ask_and_leave(void *arg)
{
	struct hanging *h = arg;
	char frame[WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	size_t size = raw_open(frame, 1, h->path, O_RDWR);
	int fd;

	for (int i = 0; i < OPENS; i++) {
		struct raw r = raw_connect(h->socket);
		int got;

		/* It may have been turned away already: GOODBYE, and the end. */
		ensure(send(r.fd, frame, size, MSG_NOSIGNAL) > 0 || errno == EPIPE, "%s",
		       strerror(errno));
		got = raw_recv(&r, reply, &fd, 100);
		h->silent += got == -ETIMEDOUT;
		h->granted += got > 0 && fd >= 0;
		h->refused += got != -ETIMEDOUT && fd < 0;
		raw_close(&r);
	}
	h->asked = 1;
	_exit(EXIT_SUCCESS);
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return x < y ? -1 : x > y;
}

static int64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

/* Another uid, meanwhile: connects and opens, and notes how long it takes. */
static void measure(void *arg)
{
	enum { MANY = 20000 };
	struct hanging *h = arg;
	static int64_t took[MANY];
	size_t n = 0;

	while (!h->stop && n < MANY) {
		int64_t began = now_usec();
		struct raw r = raw_connect(h->socket);

		raw_works(&r, 1, h->plain);
		raw_close(&r);
		took[n++] = now_usec() - began;
		sleep_msec(5);
	}
	ensure(n > 100, "%zu opens only", n);
	qsort(took, n, sizeof *took, by_size);
	ensure(took[n * 99 / 100] < patience(100000),
	       "of %zu opens a hundredth took more than %lld us", n, (long long)took[n * 99 / 100]);
}

/* Where SIGKILL has to wait. */
static bool any_hangs(const pid_t *pids, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const char *state = proc_status(pids[i], "State");

		if (state && *state == 'D')
			return true;
	}
	return false;
}

/* With the file's name whose OPEN or FLUSH hangs. */
static void hang(const char *name)
{
	struct hanging *h = shared(sizeof *h);
	struct client server, victim, other;
	pid_t found[64];
	size_t n_found;
	int64_t began;
	int status;
	struct opend o;

	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	h->path = at("data/fuse/%s", name);
	h->plain = make_file(at("data/plain"), 0644, 0, "plain\n");
	policy("10", "allow read,write under %s to anyone\n", at("data"));
	o = OPEND();
	h->socket = o.socket;
	/* It is a file system like any other, but for that. */
	ask_for(&o, alice, at("data/fuse/plain"), O_RDWR, NULL);
	other = client_start(bob, measure, h);
	victim = client_start(alice, ask_and_leave, h);
	ensure(within(90000, h->asked || !alive(victim.pid)), "the client hangs");
	h->stop = 1;
	client_wait(&other);
	ensure(h->asked && h->silent > 0, "nothing hung: %u granted, %u refused", h->granted,
	       h->refused);
	n_found = workers(&o, alice.uid, found, ELEMENTSOF(found));
	ensure(n_found <= 5, "%zu workers for one uid", n_found);
	ask_for(&o, bob, h->plain, O_RDONLY, "plain\n");
	/* The end, though a worker cannot end. */
	began = now_msec();
	sys(kill(o.pid, SIGTERM));
	ensure(within(10000, waitpid(o.pid, &status, WNOHANG) == o.pid), "SIGTERM did not end it");
	ensure(now_msec() - began < patience(5000), "SIGTERM took %lld ms",
	       (long long)(now_msec() - began));
	ensure(WIFEXITED(status) && WEXITSTATUS(status) == 0, "status %#x", (unsigned)status);
	ensure(access(o.socket, F_OK) < 0, "the socket was left behind");
	ensure(within(5000, any_hangs(found, n_found)), "no signal was in vain");
	/* Now who hangs is let go. */
	fuse_end(&server);
	client_wait(&victim);
	close_fd(o.notify);
	no_process_left();
}

START_TEST(an_open_that_is_never_answered)
{
	needs_root("mount a file system");
	hang("hang");
}
END_TEST

/* The worker hangs when it closes its copy, after the client has got his. */
START_TEST(a_flush_that_is_never_answered)
{
	needs_root("mount a file system");
	hang("flush");
}
END_TEST

/* One request of hers hangs: she is served by a fresh worker soon, and its answer comes when there
 * is one. */
static void hang_once(void *arg)
{
	struct hanging *h = arg;
	char frame[WIRE_REQUEST_MAX];
	struct raw r = raw_connect(h->socket);
	struct wire_outcome out;
	int fd;

	raw_send(&r, frame, raw_open(frame, 1, h->path, O_RDONLY));
	h->asked = 1;
	ensure(within(30000, h->stop), "nobody let me go");
	out = raw_result(&r, 1, &fd);
	ensure(out.error && out.reason == OPENC_R_KERNEL, "reason %u", out.reason);
	raw_close(&r);
}

static void ask_until_served(void *arg)
{
	const struct hanging *h = arg;
	char frame[WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	int64_t until = now_msec() + 20000;
	int fd = -1;

	while (fd < 0) {
		struct raw r = raw_connect(h->socket);

		ensure(now_msec() < until, "nobody serves her any more");
		raw_send(&r, frame, raw_open(frame, 1, h->plain, O_RDONLY));
		raw_recv(&r, reply, &fd, 500);
		close_fd(fd);
		raw_close(&r);
	}
}

START_TEST(a_worker_that_hangs_is_replaced)
{
	struct hanging *h = shared(sizeof *h);
	struct client server, victim;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	h->path = at("data/fuse/hang");
	h->plain = make_file(at("data/plain"), 0644, 0, "plain\n");
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = OPEND();
	h->socket = o.socket;
	ask_for(&o, alice, h->plain, O_RDONLY, "plain\n");
	victim = client_start(alice, hang_once, h);
	ensure(within(5000, h->asked || !alive(victim.pid)), "the client hangs");
	as(alice, ask_until_served, h);
	fuse_end(&server);
	h->stop = 1;
	client_wait(&victim);
	ask_for(&o, alice, h->plain, O_RDONLY, "plain\n");
	opend_stop(&o);
}
END_TEST

/* Has herself refreshed, by a file that is renewed, and leaves the worker behind in one that hangs.
 */
static void leave_many_behind(void *arg)
{
	enum { ROUNDS = 16, ROUND_MSEC = 1300 }; /* a refresh a second */
	struct hanging *h = arg;
	char frame[WIRE_REQUEST_MAX], *fresh = text("%s.new", h->plain);
	struct raw r = raw_connect(h->socket);

	raw_works(&r, 1, h->plain);
	raw_close(&r);
	sleep_msec(ROUND_MSEC);
	for (int i = 0; i < ROUNDS; i++) {
		struct raw renewed = raw_connect(h->socket), hangs = raw_connect(h->socket);

		make_file(fresh, 0644, alice.uid, "again\n");
		sys(rename(fresh, h->plain));
		(void)!send(renewed.fd, frame, raw_open(frame, 1, h->plain, O_RDONLY),
			    MSG_NOSIGNAL);
		sleep_msec(1);
		(void)!send(hangs.fd, frame, raw_open(frame, 2, h->path, O_RDWR), MSG_NOSIGNAL);
		sleep_msec(ROUND_MSEC);
	}
	h->asked = 1;
	ensure(within(60000, h->stop), "nobody let me go");
	_exit(EXIT_SUCCESS);
}

/* A worker that leaves and never comes back counts as one that hangs. 4 may, and some more until
 * that is found out, 5 s after each. */
START_TEST(who_leaves_may_hang_as_well)
{
	enum { AT_MOST = 4 + 1 + 5 };
	struct hanging *h = shared(sizeof *h);
	struct client server, c;
	pid_t found[64];
	struct opend o;
	char *answer;
	size_t n;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	h->path = at("data/fuse/hang");
	make_dir(at("data/hers"), 0755, alice.uid);
	h->plain = make_file(at("data/hers/plain"), 0644, alice.uid, "plain\n");
	policy("10", "allow read,write under %s to user %u\nallow read file %s to user %u\n",
	       at("data/fuse"), alice.uid, h->plain, alice.uid);
	o = OPEND();
	h->socket = o.socket;
	c = client_start(alice, leave_many_behind, h);
	ensure(within(60000, h->asked || !alive(c.pid)), "the client hangs");
	n = workers(&o, alice.uid, found, ELEMENTSOF(found));
	ok(control(&o, "status", &answer));
	ensure(n <= AT_MOST, "%zu workers of one uid: %s", n, answer);
	ensure(strstr(answer, "opend_workers{state=\"stuck\"} ") &&
		       !strstr(answer, "opend_workers{state=\"stuck\"} 0"),
	       "none is stuck: %s", answer);
	h->stop = 1;
	fuse_end(&server);
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

static void come_and_wait(void *arg)
{
	struct hanging *h = arg;
	struct raw r = raw_connect(h->socket);

	h->asked = 1;
	ensure(within(60000, h->stop), "nobody let me go");
	raw_close(&r);
}

static bool some_stuck(const struct opend *o)
{
	char *answer;

	ok(control(o, "status", &answer));
	return !strstr(answer, "opend_workers{state=\"stuck\"} 0");
}

/* A worker looks at its client's bases before it serves; they may be a dead server's. That is found
 * out like any other call, long before a birth is thought to take too long. */
START_TEST(who_is_being_born_may_hang)
{
	struct hanging *h = shared(sizeof *h);
	struct client server, c;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	policy("10", "allow read file %s to user %u\n", at("data/fuse/plain"), alice.uid);
	o = OPEND();
	h->socket = o.socket;
	sys(kill(server.pid, SIGSTOP));
	c = client_start(alice, come_and_wait, h);
	ensure(within(10000, h->asked || !alive(c.pid)), "nobody comes");
	ensure(within(12000, some_stuck(&o)), "nobody notices");
	sys(kill(server.pid, SIGCONT));
	h->stop = 1;
	client_wait(&c);
	ask_for(&o, alice, at("data/fuse/plain"), O_RDONLY, NULL);
	fuse_end(&server);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("stuck");

	ADD(s, fifos, 60);
	ADD(s, leased_files, 60);
	ADD_ROOT(s, terminals, 60);
	ADD(s, terminal_multiplexer, 60);
	ADD_ROOT(s, a_worker_that_hangs_is_replaced, 120);
	ADD_ROOT(s, who_leaves_may_hang_as_well, 120);
	ADD_ROOT(s, who_is_being_born_may_hang, 60);
	ADD_ROOT(s, an_open_that_is_never_answered, 120);
	ADD_ROOT(s, a_flush_that_is_never_answered, 120);
	return s;
}

int main(void)
{
	return harness_main("stuck", suite);
}
