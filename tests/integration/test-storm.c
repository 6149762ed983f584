/* SPDX-License-Identifier: MIT
 * libopenc in the weather: threads, signals, forks and a real opend that is killed and started anew
 * under load, answers too late, or finds its client without descriptors. Whatever comes is the file
 * that was asked for, or an error that is documented, and nothing is left open. */
#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include "harness.h"

enum { THREADS = 8, FILES = 4, RESTARTS = 3, CHILDREN = 10 };

struct storm {
	const char *socket;
	int opens; /* by each thread, at least */
	const char *files[FILES];
	ino_t inodes[FILES];
	atomic_int step;
	atomic_uint done[THREADS], away[THREADS]; /* opened; nobody was there */
};

static struct storm *begin(struct opend *o)
{
	struct storm *s = shared(sizeof *s);
	struct stat st;

	for (int i = 0; i < FILES; i++) {
		s->files[i] = make_file(at("data/%d", i), 0644, alice.uid, text("file %d\n", i));
		sys(stat(s->files[i], &st));
		s->inodes[i] = st.st_ino;
	}
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	*o = OPEND();
	s->socket = o->socket;
	s->opens = 500;
	return s;
}

static void is_file(const struct storm *s, int i, int fd)
{
	struct stat st;

	ensure(fd >= 3 && fstat(fd, &st) == 0, "descriptor %d: %s", fd,
	       strerror(fd < 0 ? -fd : errno));
	ensure(st.st_ino == s->inodes[i], "another file came");
	close_fd(fd);
}

static void turn(struct storm *s, int step)
{
	ensure(within(60000, s->step == step), "step %d, not %d", s->step, step);
}

/* ---- threads, signals, restarts ---- */

struct thread {
	struct storm *storm;
	int n;
	pthread_t id;
};

/* The even ones by a connection of their own, the odd ones by openc(). */
static void *open_and_open(void *arg)
{
	const struct thread *t = arg;
	struct storm *s = t->storm;
	struct openc_conn *c = t->n % 2 ? NULL : connect_to(s->socket);
	const char *path = s->files[t->n % FILES];

	for (int i = 0; i < s->opens || s->step < 2; i++) {
		int fd = c ? openc_open(c, path, O_RDONLY, 0) : openc(path, O_RDONLY, 0);

		if (!c && fd < 0)
			fd = -errno;
		if (fd == -ENOTCONN) {
			s->away[t->n]++;
			sleep_msec(1);
			continue;
		}
		is_file(s, t->n % FILES, fd);
		s->done[t->n]++;
	}
	openc_free(c);
	return NULL;
}

static void nothing(int sig)
{
	(void)sig;
}

/* One a millisecond, to whichever thread, and no call begun anew by the kernel. */
static void signals(bool on)
{
	const struct sigaction action = { .sa_handler = nothing };
	const struct timeval tick = { .tv_usec = on ? 1000 : 0 };
	const struct itimerval timer = { .it_interval = tick, .it_value = tick };

	sys(sigaction(SIGALRM, &action, NULL));
	sys(setitimer(ITIMER_REAL, &timer, NULL));
}

static void be_in_a_storm(void *arg)
{
	struct storm *s = arg;
	struct thread threads[THREADS];

	setenv("OPENC_SOCKET", s->socket, 1);
	for (int i = 0; i < THREADS; i++) {
		threads[i] = (struct thread){ .storm = s, .n = i };
		sys(-pthread_create(&threads[i].id, NULL, open_and_open, &threads[i]));
	}
	signals(true);
	s->step = 1;
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i].id, NULL);
	signals(false);
	s->step = 3;
	turn(s, 4);
	/* Now that nobody is there openc() has no connection any more. */
	ensure(openc(s->files[0], O_RDONLY, 0) < 0 && errno == ENOTCONN, "%s", strerror(errno));
}

static unsigned total(atomic_uint *n)
{
	unsigned sum = 0;

	for (int i = 0; i < THREADS; i++)
		sum += n[i];
	return sum;
}

/* The hidden connection ends with the server; the client's descriptors are counted then. */
static void end(struct opend *o, struct storm *s, struct client *c)
{
	if (!within(60000, s->step == 3 || !alive(c->pid)) || s->step != 3)
		client_wait(c);
	sys(kill(o->pid, SIGTERM));
	sys(waitpid(o->pid, NULL, 0));
	close_fd(o->notify);
	s->step = 4;
	client_wait(c);
}

START_TEST(eight_threads_and_a_thousand_signals_a_second)
{
	const char *opens = getenv("OPEND_STORM_OPENS");
	struct client c;
	struct storm *s;
	struct opend o;

	s = begin(&o);
	s->opens = opens ? atoi(opens) : s->opens;
	c = client_start(alice, be_in_a_storm, s);
	turn(s, 1);
	s->step = 2;
	end(&o, s, &c);
	ensure(total(s->away) == 0 && total(s->done) >= (unsigned)(THREADS * s->opens),
	       "%u opened, %u times nobody was there", total(s->done), total(s->away));
}
END_TEST

static void stop(struct opend *o, int sig)
{
	sys(kill(o->pid, sig));
	sys(waitpid(o->pid, NULL, 0));
	o->notify = close_fd(o->notify);
	unlink(at("run/notify"));
}

START_TEST(a_server_that_is_killed_and_started_anew)
{
	struct client c;
	struct storm *s;
	struct opend o;
	unsigned before;

	s = begin(&o);
	c = client_start(alice, be_in_a_storm, s);
	turn(s, 1);
	for (int i = 0; i < RESTARTS; i++) {
		before = total(s->done);
		ensure(within(20000, total(s->done) > before + 100 || !alive(c.pid)),
		       "it stands still");
		stop(&o, i % 2 ? SIGTERM : SIGKILL);
		o = OPEND();
	}
	before = total(s->done);
	ensure(within(20000, total(s->done) > before + 100 || !alive(c.pid)), "it stands still");
	s->step = 2;
	end(&o, s, &c);
	/* It was away for some milliseconds each time, which the calls wait out. */
	ensure(total(s->away) < total(s->done) / 10, "%u opened, %u times nobody was there",
	       total(s->done), total(s->away));
}
END_TEST

/* ---- forks ---- */

static void *open_until_told(void *arg)
{
	struct storm *s = arg;

	while (s->step < 2) {
		is_file(s, 0, openc(s->files[0], O_RDONLY, 0));
		s->done[0]++;
	}
	return NULL;
}

static void fork_in_mid_call(void *arg)
{
	struct storm *s = arg;
	pthread_t thread;
	int status;

	setenv("OPENC_SOCKET", s->socket, 1);
	sys(-pthread_create(&thread, NULL, open_until_told, s));
	for (int i = 0; i < CHILDREN; i++) {
		unsigned before = s->done[0];
		pid_t pid;

		ensure(within(20000, s->done[0] > before), "it stands still");
		pid = (pid_t)sys(fork());
		if (pid == 0) {
			struct stat st;
			int fd;

			alarm(20);
			fd = openc(s->files[1], O_RDONLY, 0);
			_exit(fd < 3 || fstat(fd, &st) < 0 || st.st_ino != s->inodes[1]);
		}
		sys(waitpid(pid, &status, 0));
		ensure(status == 0, "child %d: status %#x", i, (unsigned)status);
	}
	s->step = 2;
	pthread_join(thread, NULL);
	s->step = 3;
	turn(s, 4);
	ensure(openc(s->files[0], O_RDONLY, 0) < 0 && errno == ENOTCONN, "%s", strerror(errno));
}

START_TEST(forks_in_the_middle_of_calls)
{
	struct client c;
	struct storm *s;
	struct opend o;

	s = begin(&o);
	c = client_start(alice, fork_in_mid_call, s);
	end(&o, s, &c);
}
END_TEST

/* ---- late answers ---- */

/* On a connection that is not made again: the answer comes, and it is to another question. */
static void ask_and_lose_patience(void *arg)
{
	struct storm *s = arg;
	struct raw r = raw_connect(s->socket);
	struct openc_conn *c;

	raw_works(&r, 1, s->files[0]);
	ok(openc_new(&c, text("fd:%d", r.fd)));
	s->step = 1;
	turn(s, 2);
	ok(openc_set_timeout(c, 100));
	for (int i = 0; i < 10; i++)
		ensure(openc_open(c, s->files[0], O_RDONLY, 0) == -ETIMEDOUT, "%s",
		       openc_message(c));
	s->step = 3;
	turn(s, 4);
	ok(openc_set_timeout(c, 20000));
	for (int i = 0; i < 10; i++)
		is_file(s, 1 + i % 3, openc_open(c, s->files[1 + i % 3], O_RDONLY, 0));
	openc_free(c);
}

START_TEST(answers_after_their_deadline)
{
	struct client c;
	struct storm *s;
	struct opend o;
	pid_t worker;

	s = begin(&o);
	c = client_start(alice, ask_and_lose_patience, s);
	turn(s, 1);
	worker = only_worker(&o, alice.uid);
	sys(kill(worker, SIGSTOP));
	s->step = 2;
	turn(s, 3);
	sys(kill(worker, SIGCONT));
	s->step = 4;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* ---- descriptors ---- */

static void have_no_room(void *arg)
{
	struct storm *s = arg;
	struct openc_conn *c = connect_to(s->socket);
	struct rlimit limit;
	int fillers[256], n = 0;

	is_file(s, 0, openc_open(c, s->files[0], O_RDONLY, 0));
	sys(getrlimit(RLIMIT_NOFILE, &limit));
	limit.rlim_cur = 200;
	sys(setrlimit(RLIMIT_NOFILE, &limit));
	while ((fillers[n] = open("/dev/null", O_RDONLY | O_CLOEXEC)) >= 0)
		n++;
	for (int i = 0; i < 10; i++) {
		ensure(openc_open(c, s->files[0], O_RDONLY, 0) == -EMFILE, "%s", openc_message(c));
		ensure(openc_reason(c) == OPENC_R_FD_LOST || i > 0, "reason %d", openc_reason(c));
	}
	while (n)
		close_fd(fillers[--n]);
	is_file(s, 1, openc_open(c, s->files[1], O_RDONLY, 0));
	openc_free(c);
}

static void have_no_standard_descriptors(void *arg)
{
	struct storm *s = arg;
	int saved[3];
	struct openc_conn *c;

	for (int i = 0; i < 3; i++)
		saved[i] = (int)sys(fcntl(i, F_DUPFD_CLOEXEC, 100));
	for (int i = 0; i < 3; i++)
		close(i);
	c = connect_to(s->socket);
	for (int i = 0; i < FILES; i++)
		is_file(s, i, openc_open(c, s->files[i], O_RDONLY, 0));
	ensure(openc_get_fd(c) >= 3, "the connection is descriptor %d", openc_get_fd(c));
	for (int i = 0; i < 3; i++)
		ensure(fcntl(i, F_GETFD) < 0, "descriptor %d is in use", i);
	openc_free(c);
	for (int i = 0; i < 3; i++) {
		sys(dup2(saved[i], i));
		close_fd(saved[i]);
	}
}

START_TEST(no_room_for_a_descriptor_and_none_below_3)
{
	struct storm *s;
	struct opend o;

	s = begin(&o);
	as(alice, have_no_room, s);
	as(alice, have_no_standard_descriptors, s);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("storm");

	ADD(s, eight_threads_and_a_thousand_signals_a_second, 120);
	ADD(s, a_server_that_is_killed_and_started_anew, 120);
	ADD(s, forks_in_the_middle_of_calls, 60);
	ADD(s, answers_after_their_deadline, 60);
	ADD(s, no_room_for_a_descriptor_and_none_below_3, 60);
	return s;
}

int main(void)
{
	return harness_main("storm", suite);
}
