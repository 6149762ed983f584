/* SPDX-License-Identifier: MIT
 * A worker that its client controls, as the supervisor sees it: the first of alice's does with the
 * descriptors that it was born with what a test wants to see refused. All others are real ones.
 * Its harm must be alice's alone.
 *
 * opend looks for its worker in a place that follows from its own, so these tests stage an opend
 * whose worker is this very program; called as a worker, it is one, or becomes the real one. */
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include "control.h"
#include "fdpass.h"
#include "harness.h"
#include "stats.h"

/* Shared by test and worker: a file beside the worker's program. */
struct deed {
	enum what { NOT_READY, PUSH, SHRINK, CLOSE_ALL, TEAR, RELEASE, READY_AGAIN } what;
	atomic_bool claimed;
	atomic_int step, result; /* an errno, or what came of it; pid: whose */
	atomic_int pid;
};

enum { NOTHING = 0, ADOPTED = 1, WAIT = 1000 };

/* ---- the worker ---- */

static bool say(uint32_t type, uint64_t cookie)
{
	const struct up u = { .type = type, .cookie = cookie };

	return write(WORKER_FD_UP, &u, sizeof u) == sizeof u;
}

/* Waits for a packet; false when none comes in time, or the supervisor has gone. What connection
 * comes with it stays open, as with a worker that serves it. */
static bool hear(struct down *d, int msec)
{
	struct pollfd p = { .fd = WORKER_FD_DOWN, .events = POLLIN };
	size_t n;
	int fd;

	return poll(&p, 1, msec) == 1 &&
	       fdpass_recv(WORKER_FD_DOWN, d, sizeof *d, &fd, 1, &n) == sizeof *d;
}

static int hear_adoption(void)
{
	struct down d;

	/* To whatever it is told it answers as opend would have it. */
	for (; hear(&d, WAIT); say(UP_SETTLED, 0))
		if (d.type == DOWN_ADOPT)
			return ADOPTED;
	return NOTHING;
}

static int push_a_descriptor(void)
{
	const int fd = WORKER_FD_AUDIT;
	int r = fdpass_send(WORKER_FD_DOWN, "x", 1, &fd, 1);

	return r < 0 ? -r : 0;
}

/* Every cookie that the supervisor can have given by now. */
static int close_all(void)
{
	bool said = true;

	for (uint64_t births = 1; births <= 16; births++)
		for (uint64_t i = 0; i < 16; i++)
			said &= say(UP_CLOSED, births << 32 | i);
	return said ? 0 : errno;
}

static int release(uint64_t cookie)
{
	say(UP_RELEASED, cookie);
	return hear_adoption();
}

/* Told to leave, it says that it is READY. Then somebody comes for whom it would be right. */
static int be_ready_again(struct deed *deed)
{
	struct down d;

	deed->step = 1;
	while (hear(&d, 10000) && d.type != DOWN_RELEASE)
		;
	say(UP_SETTLED, 0);
	say(UP_READY, 0);
	deed->step = 2;
	return hear_adoption();
}

static int misbehave(struct deed *deed)
{
	struct down d;

	if (deed->what == NOT_READY)
		return hear_adoption();
	say(UP_READY, 0);
	if (!hear(&d, 10000) || d.type != DOWN_ADOPT)
		return -1;
	switch (deed->what) {
	case PUSH:
		return push_a_descriptor();
	case SHRINK:
		return ftruncate(WORKER_FD_STATS, 0) < 0 ? errno : 0;
	case CLOSE_ALL:
		return close_all();
	case TEAR:
		return write(WORKER_FD_UP, "torn", 4) == 4 ? 0 : errno;
	case RELEASE:
		return release(d.cookie);
	case READY_AGAIN:
		return be_ready_again(deed);
	default:
		return -1;
	}
}

static struct deed *map_deed(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = mmap(NULL, sizeof(struct deed), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

static int be_a_worker(char **argv)
{
	char self[4096], path[4096 + 16];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	struct deed *deed;
	struct down d;

	if (n < 0)
		return EXIT_FAILURE;
	self[n] = 0;
	snprintf(path, sizeof path, "%s.deed", self);
	deed = map_deed(path);
	if (!deed)
		return EXIT_FAILURE;
	if (!strcmp(argv[1], "worker") && !strcmp(argv[2], "uid=1000") &&
	    !atomic_exchange(&deed->claimed, true)) {
		deed->pid = getpid();
		deed->result = misbehave(deed);
		deed->step = 3;
		while (hear(&d, -1) && d.type != DOWN_RETIRE)
			;
		return EXIT_SUCCESS;
	}
	snprintf(path, sizeof path, "%s.real", self);
	execv(path, argv);
	return EXIT_FAILURE;
}

/* ---- the tests ---- */

static void place(const char *from, const char *to)
{
	ensure(RUN("install", "-m", "755", from, at("hostile/%s", to)).status == 0, "%s", to);
}

static struct opend start(enum what what, struct deed **ret)
{
	char *deed = at("hostile/lib/opend/opend-worker.deed");
	const char *args[64];
	struct opend o;

	ensure(RUN("mkdir", "-p", at("hostile/lib/opend"), at("hostile/sbin")).status == 0,
	       "mkdir");
	place(staged("opend"), "sbin/opend");
	place(staged("opend-supervisor"), "lib/opend/opend-supervisor");
	place(staged("opend-audit"), "lib/opend/opend-audit");
	place(staged("opend-worker"), "lib/opend/opend-worker.real");
	place(text("/proc/%d/exe", getpid()), "lib/opend/opend-worker");
	make_file(deed, 0666, 0, "");
	sys(truncate(deed, sizeof **ret));
	*ret = map_deed(deed);
	ensure(*ret, "%s", deed);
	(*ret)->what = what;
	opend_args(0, args);
	args[0] = at("hostile/sbin/opend");
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	return o;
}

struct visit {
	const char *socket, *file;
	atomic_int connected, stop;
};

static void hold(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	if (v->file)
		raw_works(&r, 1, v->file);
	v->connected = 1;
	ensure(within(30000, v->stop), "nobody let me go");
	r.fd = close_fd(r.fd);
}

static struct client visit(const struct opend *o, struct who who, const char *file,
			   struct visit **ret)
{
	struct client c;

	*ret = shared(sizeof **ret);
	(*ret)->socket = o->socket;
	(*ret)->file = file;
	c = client_start(who, hold, *ret);
	ensure(within(10000, (*ret)->connected || !alive(c.pid)), "no connection");
	return c;
}

static void leave(struct client *c, struct visit *v)
{
	v->stop = 1;
	client_wait(c);
}

/* Alice comes and her worker does it. Its result; afterwards bob is served, and opend lives. */
static int suffer(enum what what)
{
	char *file = make_file(at("data/file"), 0644, 0, "file\n");
	struct deed *deed;
	struct client c;
	struct visit *v;
	int result;
	struct opend o;

	policy("10", "allow read file %s to anyone\n", file);
	o = start(what, &deed);
	c = visit(&o, alice, NULL, &v);
	/* A torn record may have its writer killed before it can say that it wrote. */
	ensure(within(10000, deed->step == 3 || (what == TEAR && deed->pid && !alive(deed->pid))),
	       "the worker did nothing");
	result = deed->result;
	/* Long enough for housekeeping to look at everybody's page. */
	sleep_msec(1500);
	ensure(alive(o.pid), "opend died");
	ask_for(&o, bob, file, O_RDONLY, "file\n");
	if (what == TEAR)
		ensure(within(5000, !alive(deed->pid)), "the worker lives");
	leave(&c, v);
	/* What this one said of its connections was not true, and it does not close them. */
	if (alive(deed->pid))
		sys(kill(deed->pid, SIGKILL));
	opend_stop(&o);
	return result;
}

#define needs_a_victim() needs_root("start an opend that becomes other users")

START_TEST(no_connection_before_ready)
{
	needs_a_victim();
	ensure(suffer(NOT_READY) == NOTHING, "it was given one");
}
END_TEST

/* Whoever drops a descriptor of a dead file system hangs for ever. */
START_TEST(nothing_can_be_pushed_at_the_supervisor)
{
	int r;

	needs_a_victim();
	r = suffer(PUSH);
	ensure(r == EPIPE, "%s", strerror(r));
}
END_TEST

/* Or the next look at it would be SIGBUS. */
START_TEST(the_stats_page_keeps_its_size)
{
	int r;

	needs_a_victim();
	r = suffer(SHRINK);
	ensure(r == EPERM, "%s", strerror(r));
}
END_TEST

START_TEST(a_torn_record)
{
	needs_a_victim();
	suffer(TEAR);
}
END_TEST

START_TEST(a_release_that_nobody_asked_for)
{
	needs_a_victim();
	ensure(suffer(RELEASE) == NOTHING, "the connection was given to somebody");
}
END_TEST

/* How many connections there are, as `status` tells. */
static int connections(const struct opend *o)
{
	char *answer, *line;

	ok(control(o, "status", &answer));
	line = strstr(answer, "\nopend_connections ");
	ensure(line, "%s", answer);
	return atoi(line + strlen("\nopend_connections "));
}

START_TEST(a_forged_cookie)
{
	struct visit *v, *victim;
	struct client c, other;
	struct deed *deed;
	char *file;
	struct opend o;

	needs_a_victim();
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", file);
	o = start(CLOSE_ALL, &deed);
	other = visit(&o, bob, file, &victim);
	c = visit(&o, alice, NULL, &v);
	ensure(within(10000, deed->step == 3) && deed->result == 0, "the worker did nothing");
	ensure(within(5000, connections(&o) < 2), "not even its own was closed");
	sleep_msec(200);
	ensure(connections(&o) == 1, "bob's connection was closed by alice's worker");
	leave(&c, v);
	leave(&other, victim);
	sys(kill(deed->pid, SIGKILL));
	opend_stop(&o);
}
END_TEST

START_TEST(ready_is_said_once)
{
	struct client c, late;
	struct visit *v, *w;
	struct deed *deed;
	char *file;
	struct opend o;

	needs_a_victim();
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", file);
	o = start(READY_AGAIN, &deed);
	c = visit(&o, alice, NULL, &v);
	ensure(within(10000, deed->step == 1), "the worker did nothing");
	/* Its policy changes, and changes back. */
	policy("10", "allow read,write file %s to anyone\n", file);
	ok(reload(&o));
	ensure(within(10000, deed->step == 2), "the worker was not told to leave");
	policy("10", "allow read file %s to anyone\n", file);
	ok(reload(&o));
	late = visit(&o, alice, NULL, &w);
	ensure(within(10000, deed->step == 3), "the worker did nothing");
	ensure(deed->result == NOTHING, "who was to leave was given a connection");
	leave(&late, w);
	leave(&c, v);
	if (alive(deed->pid))
		sys(kill(deed->pid, SIGKILL));
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hostile-worker");

	ADD_ROOT(s, no_connection_before_ready, 30);
	ADD_ROOT(s, nothing_can_be_pushed_at_the_supervisor, 30);
	ADD_ROOT(s, the_stats_page_keeps_its_size, 30);
	ADD_ROOT(s, a_torn_record, 30);
	ADD_ROOT(s, a_release_that_nobody_asked_for, 30);
	ADD_ROOT(s, a_forged_cookie, 30);
	ADD_ROOT(s, ready_is_said_once, 30);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[0], "opend-worker"))
		return be_a_worker(argv);
	return harness_main("hostile-worker", suite);
}
