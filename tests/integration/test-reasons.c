/* SPDX-License-Identifier: MIT
 * Each row of the REASONS of opend-protocol(7), from a real opend or from the library before it,
 * with its errno, and with words that say what is the matter and, where something can be done,
 * what: here are the ones that a stranger would look for. A row that the page has and this file has
 * not, or the other way round, is a failure. */
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include "harness-fuse.h"
#include "harness.h"

static const struct row {
	int reason, error; /* error 0: any */
	const char *name, *words[3];
} rows[] = {
	{ OPENC_R_NO_RULE, EACCES, "NO_RULE", { "no rule", "path" } },
	{ OPENC_R_DENIED, EACCES, "DENIED", { "deny rule", "path" } },
	{ OPENC_R_ACCESS, EACCES, "ACCESS", { "rule names", "not for this access" } },
	{ OPENC_R_PLACE, EACCES, "PLACE", { "symbolic link", "place", "no rule" } },
	{ OPENC_R_TYPE, EACCES, "TYPE", { "type of file", "rule" } },
	{ OPENC_R_HARD_LINK, EACCES, "HARD_LINK", { "more than one hard link", "single-link" } },
	{ OPENC_R_KERNEL_FS, EACCES, "KERNEL_FS", { "kernel file systems", "proc", "rule" } },
	{ OPENC_R_NO_POLICY, EACCES, "NO_POLICY", { "no valid policy", "everything" } },
	{ OPENC_R_FLAGS, EINVAL, "FLAGS", { "open flags" } },
	{ OPENC_R_PATH, EINVAL, "PATH", { "absolute path", "4095", "NUL" } },
	{ OPENC_R_MODE, EINVAL, "MODE", { "mode", "permission bits" } },
	{ OPENC_R_UNKNOWN, EOPNOTSUPP, "UNKNOWN", { "server", "kind of request" } },
	{ OPENC_R_FRAME, EINVAL, "FRAME", { "malformed" } },
	{ OPENC_R_KERNEL, 0, "KERNEL", { NULL } },
	{ OPENC_R_CHANGED, EAGAIN, "CHANGED", { "path kept changing", "try again" } },
	{ OPENC_R_BUSY, EAGAIN, "BUSY", { "another process", "lease", "try again" } },
	{ OPENC_R_STUCK, EAGAIN, "STUCK", { "earlier opens", "hang", "try again" } },
	{ OPENC_R_QUOTA, EAGAIN, "QUOTA", { "your quota", "close something" } },
	{ OPENC_R_AUDIT, EAGAIN, "AUDIT", { "record", "could not be written", "try again" } },
	{ OPENC_R_RESOURCES, EAGAIN, "RESOURCES", { "server is short of resources", "try again" } },
	{ OPENC_R_RESTART, EAGAIN, "RESTART", { "server restarts", "connect again" } },
	{ OPENC_R_SLOW, EAGAIN, "SLOW", { "took too long", "arrive" } },
	{ OPENC_R_NO_SERVER, ENOTCONN, "nobody answers", { "no server answers", "address" } },
	{ OPENC_R_LOST,
	  ECONNRESET,
	  "the connection was lost",
	  { "connection ended", "not known" } },
	{ OPENC_R_TIMEOUT, ETIMEDOUT, "no reply in time", { "no answer in time" } },
	{ OPENC_R_FD_LOST, EMFILE, "a descriptor was lost", { "descriptor", "RLIMIT_NOFILE" } },
};

static const struct row *find(int reason)
{
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		if (rows[i].reason == reason)
			return &rows[i];
	ensure(false, "reason %d is not in the table", reason);
	return NULL;
}

/* This is the reason, this its errno, and a message that says so in one clean line. */
static void tells(int reason, int error, int got_reason, const char *message)
{
	const struct row *row = find(reason);

	ensure(got_reason == reason, "reason %d, not %s: %s", got_reason, row->name, message);
	ensure(!row->error || error == row->error, "%s: %s", row->name, strerror(error));
	ensure(strlen(message) > 8, "%s says only \"%s\"", row->name, message);
	for (const char *p = message; *p; p++)
		ensure(*p >= ' ' && *p != 0x7f, "%s: control bytes in \"%s\"", row->name, message);
	for (size_t i = 0; i < ELEMENTSOF(row->words) && row->words[i]; i++)
		ensure(strstr(message, row->words[i]), "%s: \"%s\" is not in \"%s\"", row->name,
		       row->words[i], message);
}

struct visit {
	const char *socket, *path;
	int flags, reason;
	const char *words; /* what KERNEL says */
	pid_t worker;
	volatile int step;
};

/* Asks once, by the library, and as a person does: the message is on his terminal. */
static void ask(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	int r = openc_open(c, v->path, v->flags, 0600);

	tells(v->reason, -r, openc_reason(c), openc_message(c));
	ensure(!v->words || strstr(openc_message(c), v->words), "%s", openc_message(c));
	if ((v->flags & ~O_NOFOLLOW) == O_RDONLY) {
		struct program p = RUN(staged("openc"), "--socket", v->socket, "cat", v->path);

		ensure(p.status == 1 && strstr(p.err, openc_message(c)) && strstr(p.err, v->path),
		       "openc cat: status %d: %s", p.status, p.err);
	}
	openc_free(c);
}

static void refused(const struct opend *o, const char *path, int flags, int reason)
{
	struct visit v = { .socket = o->socket, .path = path, .flags = flags, .reason = reason };

	as(alice, ask, &v);
}

/* ---- the policy ---- */

START_TEST(policy_reasons)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	char *linked = make_file(at("data/linked"), 0644, alice.uid, "linked\n");
	char *fifo = at("data/fifo");
	struct opend o;

	make_link("/etc/passwd", at("data/away"));
	sys(link(linked, at("data/second")));
	sys(mkfifo(fifo, 0644));
	sys(chmod(fifo, 0666));
	make_file(at("data/denied"), 0644, alice.uid, "no\n");
	policy("10",
	       "allow read under %s except %s to user %u\n"
	       "allow read file %s to user %u single-link\n"
	       "deny read file %s to anyone\n"
	       "allow read under / except %s /etc to user %u\n",
	       at("data"), linked, alice.uid, linked, alice.uid, at("data/denied"), at("data"),
	       alice.uid);
	o = OPEND();
	refused(&o, "/etc/passwd", O_RDONLY, OPENC_R_NO_RULE);
	refused(&o, at("data/denied"), O_RDONLY, OPENC_R_DENIED);
	refused(&o, file, O_WRONLY, OPENC_R_ACCESS);
	refused(&o, at("data/away"), O_RDONLY, OPENC_R_PLACE);
	refused(&o, fifo, O_RDONLY, OPENC_R_TYPE);
	refused(&o, linked, O_RDONLY, OPENC_R_HARD_LINK);
	refused(&o, "/proc/version", O_RDONLY, OPENC_R_KERNEL_FS);
	opend_stop(&o);
}
END_TEST

START_TEST(no_policy)
{
	char *file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	struct opend o;

	policy("10", "allow everything to everybody\n");
	o = OPEND();
	refused(&o, file, O_RDONLY, OPENC_R_NO_POLICY);
	opend_stop(&o);
}
END_TEST

/* ---- the request ---- */

static void bend(struct raw *r, uint64_t id, const char *path, size_t at_byte, int value,
		 int reason)
{
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, id, "/file", O_RDONLY | O_CREAT);
	struct wire_outcome out;
	int fd;

	memcpy(frame + sizeof(struct wire_open), path, 5);
	if (at_byte)
		frame[at_byte] = (char)value;
	raw_send(r, frame, size);
	out = raw_result(r, id, &fd);
	tells(reason, out.error, out.reason, openc_strreason(out.reason));
}

/* What the library sees to, so that a frame has to be made by hand. */
static void ask_by_hand(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	bend(&r, 1, "file/", 0, 0, OPENC_R_PATH);
	bend(&r, 2, "/file", offsetof(struct wire_open, mode) + 1, 04755 >> 8, OPENC_R_MODE);
	bend(&r, 3, "/file", offsetof(struct wire_header, type), 99, OPENC_R_UNKNOWN);
	bend(&r, 4, "/file", offsetof(struct wire_open, reserved), 1, OPENC_R_FRAME);
	raw_close(&r);
}

START_TEST(request_reasons)
{
	struct visit v = { 0 };
	struct opend o;

	policy("10", "allow read,create under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	refused(&o, at("data/file"), O_RDONLY | O_TRUNC, OPENC_R_FLAGS);
	as(alice, ask_by_hand, &v);
	opend_stop(&o);
}
END_TEST

/* ---- what open(2) said ---- */

START_TEST(kernel_reasons)
{
	struct visit v = { .reason = OPENC_R_KERNEL };
	struct opend o;

	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	v.path = at("data/missing");
	v.words = "No such file or directory";
	as(alice, ask, &v);
	if (is_root()) {
		v.path = make_file(at("data/closed"), 0600, 0, "closed\n");
		v.words = "Permission denied";
		as(alice, ask, &v);
	}
	opend_stop(&o);
}
END_TEST

/* To open it is a link, to read it is none: it must have changed between the two. */
START_TEST(changed)
{
	struct client server;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = OPEND();
	refused(&o, at("data/fuse/denied"), O_RDONLY, OPENC_R_CHANGED);
	fuse_end(&server);
	opend_stop(&o);
}
END_TEST

static void hold_a_lease(void *arg)
{
	struct visit *v = arg;
	_cleanup_close_ int fd = (int)sys(open(v->path, O_RDWR | O_CLOEXEC));

	signal(SIGIO, SIG_IGN);
	sys(fcntl(fd, F_SETLEASE, F_WRLCK));
	v->step = 1;
	ensure(within(30000, v->step == 2), "nobody let me go");
}

START_TEST(busy)
{
	struct visit *v = shared(sizeof *v);
	struct client holder;
	struct opend o;

	v->path = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	holder = client_start(alice, hold_a_lease, v);
	ensure(within(10000, v->step == 1), "no lease");
	refused(&o, v->path, O_RDONLY, OPENC_R_BUSY);
	v->step = 2;
	client_wait(&holder);
	opend_stop(&o);
}
END_TEST

/* ---- the server ---- */

/* One asks for what hangs and waits; the next is turned away. */
static void be_stuck(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *first = connect_to(v->socket);
	int error = 0;

	ok(openc_submit(first, v->path, NULL, 0, NULL));
	ensure(openc_process(first) == 0, "it does not hang: %s", openc_message(first));
	ensure(within(20000, ({
			      struct openc_conn *c = connect_to(v->socket);

			      ok(openc_set_timeout(c, 500));
			      error = -openc_open(c, "/nowhere", O_RDONLY, 0);
			      if (error == EAGAIN)
				      tells(OPENC_R_STUCK, error, openc_reason(c),
					    openc_message(c));
			      openc_free(c);
			      error == EAGAIN;
		      })),
	       "not refused: %s", strerror(error));
	openc_free(first);
}

START_TEST(stuck)
{
	char *config = make_file(at("run/opend.conf"), 0644, 0, "set stuck-per-user 1\n");
	struct visit v = { .path = at("data/fuse/hang") };
	struct client server;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = opend_start("--config", config, NULL);
	v.socket = o.socket;
	as(alice, be_stuck, &v);
	fuse_end(&server);
	opend_stop(&o);
}
END_TEST

static void come_twice(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	ask(arg);
	openc_free(c);
}

START_TEST(quota)
{
	char *config = make_file(at("run/opend.conf"), 0644, 0, "set connections-per-user 1\n");
	struct visit v = { .path = make_file(at("data/file"), 0644, alice.uid, "file\n"),
			   .reason = OPENC_R_QUOTA };
	struct opend o;

	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = opend_start("--config", config, NULL);
	v.socket = o.socket;
	as(alice, come_twice, &v);
	opend_stop(&o);
}
END_TEST

static void fill_the_pipe(void *arg)
{
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	int error = 0;

	for (int i = 0; i < 5000 && !error; i++)
		error = verdict(c, v->path, O_RDONLY);
	tells(OPENC_R_AUDIT, error, openc_reason(c), openc_message(c));
	openc_free(c);
}

START_TEST(audit)
{
	struct visit v = { .path = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	pid_t recorder;
	struct opend o;

	policy("10", "allow read under %s to user %u log\n", at("data"), alice.uid);
	o = OPEND();
	v.socket = o.socket;
	ensure(children(o.pid, "opend-audit", &recorder, 1) == 1, "nobody records");
	sys(kill(recorder, SIGSTOP));
	as(alice, fill_the_pipe, &v);
	sys(kill(recorder, SIGCONT));
	opend_stop(&o);
}
END_TEST

/* What is asked at once a worker opens at once. */
static void ask_a_poor_worker(void *arg)
{
	enum { MANY = 200 };
	static struct openc_result results[MANY];
	const struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	const char *paths[MANY];
	int opened, failed = 0;

	for (size_t i = 0; i < MANY; i++)
		paths[i] = v->path;
	opened = openc_open_many(c, paths, MANY, NULL, 0, results, sizeof *results, 0);
	ensure(opened > 0 && opened < MANY, "%d of %d opened: %s", opened, MANY, openc_message(c));
	tells(OPENC_R_RESOURCES, EAGAIN, openc_reason(c), openc_message(c));
	for (size_t i = 0; i < MANY; i++)
		if (results[i].fd >= 0)
			close_fd(results[i].fd);
		else
			failed += results[i].fd == -EAGAIN;
	ensure(opened + failed == MANY, "%d opened, %d failed", opened, failed);
	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	openc_free(c);
}

START_TEST(resources)
{
	const char *args[64] = { "sh", "-c", "ulimit -n 110; exec \"$@\"", "sh" };
	struct visit v = { .path = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	opend_args(0, args + 4);
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	v.socket = o.socket;
	as(alice, ask_a_poor_worker, &v);
	opend_stop(&o);
}
END_TEST

/* For a client and a test that go on by turns. */
static void turn(struct visit *v, int step)
{
	ensure(within(20000, v->step == step), "step %d, not %d", v->step, step);
}

/* A request on its way that gets no answer of its own. */
static void wait_in_vain(const struct visit *v, struct openc_conn *c)
{
	struct openc_result result;

	ensure(within(10000, openc_process(c) != 0), "the connection goes on");
	ensure(openc_take(c, &result, sizeof result) == 1, "no result");
	tells(v->reason, -result.fd, result.reason, openc_message(c));
}

static void ask_for_a_new_file(struct openc_conn *c)
{
	struct openc_how how = { .flags = O_WRONLY | O_CREAT | O_EXCL, .mode = 0600 };

	ok(openc_submit(c, at("data/new"), &how, sizeof how, NULL));
	openc_process(c);
}

static void ask_in_vain(void *arg)
{
	struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);

	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	v->step = 1;
	turn(v, 2);
	ask_for_a_new_file(c);
	v->step = 3;
	wait_in_vain(v, c);
	openc_free(c);
}

/* The first hangs, so what the second asks meanwhile is not seen. */
static void ask_beside_one_that_hangs(void *arg)
{
	struct visit *v = arg;
	struct openc_conn *first = connect_to(v->socket), *second = connect_to(v->socket);

	ensure(verdict(first, v->path, O_RDONLY) == 0 && verdict(second, v->path, O_RDONLY) == 0,
	       "%s%s", openc_message(first), openc_message(second));
	v->step = 1;
	turn(v, 2);
	ok(openc_submit(first, at("data/fuse/hang"), NULL, 0, NULL));
	openc_process(first);
	v->step = 3;
	turn(v, 4);
	ask_for_a_new_file(second);
	v->step = 5;
	wait_in_vain(v, second);
	openc_free(second);
	openc_free(first);
}

static struct opend begin(struct visit *v, client_fn *visitor, struct client *c)
{
	struct opend o;

	v->path = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read,create under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v->socket = o.socket;
	*c = client_start(alice, visitor, v);
	turn(v, 1);
	v->worker = only_worker(&o, alice.uid);
	sys(kill(v->worker, SIGSTOP));
	ensure(within(5000, stopped(v->worker)), "it does not stop");
	return o;
}

static bool stops(const struct opend *o)
{
	char message[4096] = "";

	recv(o->notify, message, sizeof message - 1, MSG_DONTWAIT);
	return strstr(message, "STOPPING=1") != NULL;
}

/* The worker is told to go before it sees the request, and says GOODBYE. */
START_TEST(restart)
{
	struct visit *v = shared(sizeof *v);
	struct client c, server;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	v->reason = OPENC_R_RESTART;
	o = begin(v, ask_beside_one_that_hangs, &c);
	sys(kill(o.pid, SIGTERM));
	ensure(within(5000, stops(&o)) && within(5000, asleep(o.pid)), "it does not stop");
	v->step = 2;
	turn(v, 3);
	sys(kill(v->worker, SIGCONT));
	ensure(within(5000, asleep(v->worker)), "it does not hang");
	v->step = 4;
	turn(v, 5);
	fuse_end(&server);
	client_wait(&c);
	sys(waitpid(o.pid, NULL, 0));
	close_fd(o.notify);
}
END_TEST

/* The worker dies with the request in hand, or not yet: nobody can know. */
START_TEST(lost)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	struct opend o;

	v->reason = OPENC_R_LOST;
	o = begin(v, ask_in_vain, &c);
	v->step = 2;
	turn(v, 3);
	sys(kill(v->worker, SIGKILL));
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* A frame that says it is long: the library's own is swallowed by it, and there it ends. */
static void dawdle(void *arg)
{
	const struct visit *v = arg;
	struct wire_header half = { .size = 4000, .type = WIRE_OPEN, .id = 77 };
	struct raw r = raw_connect(v->socket);
	struct openc_result result;
	struct openc_conn *c;

	raw_send(&r, &half, sizeof half);
	ok(openc_new(&c, text("fd:%d", r.fd)));
	ok(openc_submit(c, v->path, NULL, 0, NULL));
	ensure(within(10000, openc_process(c) != 0), "it has all the time in the world");
	ensure(openc_take(c, &result, sizeof result) == 1, "no result");
	tells(OPENC_R_SLOW, -result.fd, result.reason, openc_message(c));
	openc_free(c);
}

START_TEST(slow)
{
	char *config = make_file(at("run/opend.conf"), 0644, 0, "set frame-seconds 1\n");
	struct visit v = { .path = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = opend_start("--config", config, NULL);
	v.socket = o.socket;
	as(alice, dawdle, &v);
	opend_stop(&o);
}
END_TEST

/* ---- what the library finds out itself ---- */

/* The worker does not answer; then there is no room for the answer; then nobody is there. */
static void go_without(void *arg)
{
	struct visit *v = arg;
	struct openc_conn *c = connect_to(v->socket);
	struct rlimit few = { 3, 3 };
	int r;

	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	v->step = 1;
	turn(v, 2);
	ok(openc_set_timeout(c, 200));
	r = openc_open(c, v->path, O_RDONLY, 0);
	tells(OPENC_R_TIMEOUT, -r, openc_reason(c), openc_message(c));
	v->step = 3;
	turn(v, 4);
	ok(openc_set_timeout(c, 10000));
	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	sys(getrlimit(RLIMIT_NOFILE, &few));
	few.rlim_cur = 3;
	sys(setrlimit(RLIMIT_NOFILE, &few));
	r = openc_open(c, v->path, O_RDONLY, 0);
	tells(OPENC_R_FD_LOST, -r, openc_reason(c), openc_message(c));
	few.rlim_cur = few.rlim_max;
	sys(setrlimit(RLIMIT_NOFILE, &few));
	ensure(verdict(c, v->path, O_RDONLY) == 0, "%s", openc_message(c));
	v->step = 5;
	turn(v, 6);
	ok(openc_set_timeout(c, 300));
	r = openc_open(c, v->path, O_RDONLY, 0);
	tells(OPENC_R_NO_SERVER, -r, openc_reason(c), openc_message(c));
	openc_free(c);
}

START_TEST(library_reasons)
{
	struct visit *v = shared(sizeof *v);
	struct client c;
	struct opend o;

	v->path = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read under %s to user %u\n", at("data"), alice.uid);
	o = OPEND();
	v->socket = o.socket;
	c = client_start(alice, go_without, v);
	turn(v, 1);
	v->worker = only_worker(&o, alice.uid);
	sys(kill(v->worker, SIGSTOP));
	v->step = 2;
	turn(v, 3);
	sys(kill(v->worker, SIGCONT));
	v->step = 4;
	turn(v, 5);
	sys(kill(o.pid, SIGTERM));
	sys(waitpid(o.pid, NULL, 0));
	close_fd(o.notify);
	v->step = 6;
	client_wait(&c);
}
END_TEST

/* ---- the page ---- */

START_TEST(the_page_has_these_rows_and_no_others)
{
	_cleanup_close_ int fd = -1;
	size_t found = 0;
	char *page, *lines;

	if (!getenv("STAGE"))
		skip("no page is installed to look at; make check does that");
	fd = (int)sys(open(text("%s/usr/local/share/man/man7/opend-protocol.7", getenv("STAGE")),
			   O_RDONLY | O_CLOEXEC));
	page = strstr(slurp(fd, NULL), "\n.Sh REASONS\n");
	ensure(page, "it has no REASONS");
	*strstr(page + 1, "\n.Sh ") = 0;
	lines = text("%s", page);
	for (char *p = lines; *p; p++)
		*p = *p == '\n' ? ' ' : *p;
	for (char *p = page; (p = strstr(p, "\n.It ")); p++) {
		char name[32], error[32];
		int reason;

		if (sscanf(p, "\n.It %d Ta %31s Ta Er %31s", &reason, name, error) < 2 || !reason)
			continue;
		ensure(!strcmp(find(reason)->name, name), "%d is %s, not %s", reason, name,
		       find(reason)->name);
		ensure(!find(reason)->error || !strcmp(strerrorname_np(find(reason)->error), error),
		       "%s: %s", name, error);
		found++;
	}
	for (size_t i = 0; i < ELEMENTSOF(rows); i++)
		if (rows[i].reason >= 100) {
			ensure(strstr(lines, text("%d %s", rows[i].reason, rows[i].name)),
			       "%d is not on the page", rows[i].reason);
			found++;
		}
	ensure(found == ELEMENTSOF(rows), "%zu rows of %zu are on the page", found,
	       ELEMENTSOF(rows));
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("reasons");

	ADD(s, policy_reasons, 60);
	ADD(s, no_policy, 30);
	ADD(s, request_reasons, 30);
	ADD(s, kernel_reasons, 30);
	ADD_ROOT(s, changed, 30);
	ADD(s, busy, 30);
	ADD_ROOT(s, stuck, 60);
	ADD(s, quota, 30);
	ADD(s, audit, 60);
	ADD(s, resources, 30);
	ADD_ROOT(s, restart, 30);
	ADD(s, lost, 30);
	ADD(s, slow, 30);
	ADD(s, library_reasons, 60);
	ADD(s, the_page_has_these_rows_and_no_others, 30);
	return s;
}

int main(void)
{
	return harness_main("reasons", suite);
}
