/* SPDX-License-Identifier: MIT
 * What a client can do to the others without asking for a file: not read, not finish, queue what
 * hurts whoever drops it, come too often. It hurts itself, and within bounds. */
#include <linux/sockios.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include "fdpass.h"
#include "harness-bomb.h"
#include "harness-fuse.h"
#include "harness.h"

enum {
	SOCKET_PASSRIGHTS = 83,
	CONNECTIONS_PER_UID = 64,
	WORKERS_PER_UID = 8,
	UNREAD_PER_UID = 512
};

struct visit {
	const char *socket, *file;
	int reason;
};

/* ---- not reading, not finishing ---- */

/* Descriptors in flight are charged to the sender, and a client that reads none could use them up.
 */
static void ask_often(struct raw *r, const char *file, uint64_t requests)
{
	static char frames[1000 * 256];
	char frame[WIRE_REQUEST_MAX];
	size_t len = 0;

	for (uint64_t id = 1; id <= requests; id++) {
		size_t size = raw_open(frame, id, file, O_RDONLY);

		ensure(len + size <= sizeof frames, "the path is too long");
		memcpy(frames + len, frame, size);
		len += size;
	}
	raw_send(r, frames, len);
}

static void take_all(struct raw *r, uint64_t requests)
{
	int fd;

	for (uint64_t id = 1; id <= requests; id++) {
		ensure(raw_result(r, id, &fd).error == 0, "refused");
		close_fd(fd);
	}
}

/* How many descriptors wait on n connections together, once no more come. */
static int count_waiting(const struct raw *r, int n)
{
	int waiting = 0, before, queued;

	do {
		before = waiting;
		waiting = 0;
		sleep_msec(300);
		for (int i = 0; i < n; i++) {
			sys(ioctl(r[i].fd, SIOCINQ, &queued));
			waiting += queued / (int)sizeof(struct wire_result);
		}
	} while (waiting == 0 || waiting != before);
	return waiting;
}

static void read_nothing(void *arg)
{
	enum { REQUESTS = 1000 };
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	ask_often(&r, v->file, REQUESTS);
	ensure(count_waiting(&r, 1) <= WIRE_FDS_MAX, "%d descriptors wait unread",
	       count_waiting(&r, 1));
	take_all(&r, REQUESTS);
	raw_close(&r);
}

START_TEST(descriptors_that_nobody_reads_are_few)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, read_nothing, &v);
	opend_stop(&o);
}
END_TEST

/* What they have in flight together is bounded too, and a connection that the worker has done with
 * still counts. Whoever reads gets everything. */
static void read_on_none(void *arg)
{
	enum { REQUESTS = 200, READERS = 4, ALL = 8 };
	const struct visit *v = arg;
	struct raw r[ALL];
	int waiting;

	for (int i = 0; i < ALL; i++) {
		r[i] = raw_connect(v->socket);
		ask_often(&r[i], v->file, REQUESTS);
		if (i >= READERS)
			sys(shutdown(r[i].fd, SHUT_WR));
	}
	waiting = count_waiting(r, ALL);
	ensure(waiting <= UNREAD_PER_UID, "%d descriptors wait unread", waiting);
	ensure(waiting > WIRE_FDS_MAX, "only %d, though each has its own", waiting);
	for (int i = 0; i < ALL; i++)
		take_all(&r[i], REQUESTS);
	for (int i = 0; i < ALL; i++)
		raw_close(&r[i]);
}

START_TEST(descriptors_that_a_user_does_not_read_are_few)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, read_on_none, &v);
	opend_stop(&o);
}
END_TEST

static void ask_and_leave(void *arg)
{
	enum { REQUESTS = 250, TIMES = 6 };
	const struct visit *v = arg;
	struct raw r[TIMES];
	int waiting;

	for (int i = 0; i < TIMES; i++) {
		r[i] = raw_connect(v->socket);
		ask_often(&r[i], v->file, REQUESTS);
		sys(shutdown(r[i].fd, SHUT_WR));
		sleep_msec(100);
	}
	waiting = count_waiting(r, TIMES);
	ensure(waiting <= UNREAD_PER_UID, "%d descriptors wait unread", waiting);
	for (int i = 0; i < TIMES; i++)
		r[i].fd = close_fd(r[i].fd);
}

/* Or they could have as many as they make connections. */
START_TEST(descriptors_of_a_connection_that_is_over_count)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, ask_and_leave, &v);
	opend_check_idle(&o);
	ask_for(&o, alice, v.file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

static void dawdle(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket), idle = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	int goodbye;

	raw_works(&idle, 1, v->file);
	raw_works(&r, 1, v->file);
	raw_send(&r, frame, raw_open(frame, 2, v->file, O_RDONLY) - 1);
	ensure(raw_ended(&r, &goodbye, 6000), "half a frame is waited for");
	ensure(goodbye == OPENC_R_SLOW, "GOODBYE with reason %d", goodbye);
	raw_works(&idle, 2, v->file);
	raw_close(&idle);
	raw_close(&r);
}

START_TEST(half_a_frame_has_its_time)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	char *config = make_file(at("run/opend.conf"), 0644, 0, "set frame-seconds 1\n");
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = opend_start("--config", config, NULL);
	v.socket = o.socket;
	as(alice, dawdle, &v);
	opend_stop(&o);
}
END_TEST

/* It makes a connection readable with nothing to read, as often as the client likes. */
static void send_out_of_band(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket), other = raw_connect(v->socket);
	int goodbye, sent = 0;

	raw_works(&r, 1, v->file);
	while (sent < 20 && send(r.fd, "x", 1, MSG_OOB | MSG_NOSIGNAL) == 1) {
		sleep_msec(20);
		sent++;
	}
	ensure(sent < 20, "it may send out of band for ever");
	ensure(raw_ended(&r, &goodbye, 5000), "the connection goes on");
	raw_works(&other, 1, v->file);
	raw_close(&other);
	r.fd = close_fd(r.fd);
}

START_TEST(out_of_band_data_ends_a_connection)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, send_out_of_band, &v);
	opend_stop(&o);
}
END_TEST

static void send_a_descriptor(void *arg)
{
	const struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	size_t size = raw_open(frame, 1, v->file, O_RDONLY);

	ensure(fdpass_send(r.fd, frame, size, &r.fd, 1) == -EPERM, "it was taken");
	raw_works(&r, 2, v->file);
	raw_close(&r);
}

START_TEST(descriptors_are_refused_at_the_door)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	int sv[2], on;
	socklen_t len = sizeof on;
	bool known;
	struct opend o;

	sys(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv));
	known = getsockopt(sv[0], SOL_SOCKET, SOCKET_PASSRIGHTS, &on, &len) == 0;
	close_fd(sv[0]);
	close_fd(sv[1]);
	if (!known)
		skip("this kernel has no SO_PASSRIGHTS (Linux 6.16)");
	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, send_a_descriptor, &v);
	opend_stop(&o);
}
END_TEST

/* ---- linger bombs ---- */

enum { BOMBS_TURNED_AWAY = 3 };

struct bombs {
	const char *socket;
	int n;
	volatile int queued, stop;
};

static void queue_bombs(void *arg)
{
	struct bombs *b = arg;
	struct raw r[CONNECTIONS_PER_UID + BOMBS_TURNED_AWAY];
	struct sockaddr_in to;
	int peers = bomb_target(&to);

	for (int i = 0; i < b->n; i++) {
		int bomb = bomb_make(&to);

		r[i] = raw_connect(b->socket);
		/* The first byte of a frame, which a lobby reads; the rest never comes. */
		ensure(fdpass_send(r[i].fd, "-", 1, &bomb, 1) == 1, "it was not taken");
		close_fd(bomb);
	}
	b->queued = 1;
	ensure(within(60000, b->stop), "nobody let me go");
	for (int i = 0; i < b->n; i++)
		close_fd(r[i].fd);
	close_fd(peers);
}

/* alice, who has no rule, queues bombs; then opend starts, and somebody else wants to be served:
 * bob, who has one, or whoever is in the lobby with her. */
static void endure_bombs(int n, bool in_the_lobby)
{
	struct bombs *b = shared(sizeof *b);
	char *file = make_file(at("data/file"), 0644, 0, "file\n");
	struct client c;
	int64_t began;
	struct opend o;
	int listener;

	b->socket = at("run/socket");
	b->n = n;
	listener = listen_unix(b->socket);
	c = client_start(alice, queue_bombs, b);
	ensure(within(20000, b->queued || !alive(c.pid)), "the bombs are not ready");
	policy("10", "allow read file %s to user %u\n", file, bob.uid);
	o = opend_on(listener);
	close_fd(listener);
	close_fd(3);
	opend_wait_ready(&o);
	o.idle_fds = -1; /* it began with connections */
	began = now_msec();
	if (in_the_lobby)
		ask_refused(&o, uid_only(1002), file, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	else
		ask_for(&o, bob, file, O_RDONLY, "file\n");
	ensure(now_msec() - began < LINGER_SECONDS * 1000 / 2, "he waited for %lld ms",
	       (long long)(now_msec() - began));
	b->stop = 1;
	client_wait(&c);
	opend_stop(&o);
	sys(unlink(b->socket));
}

START_TEST(a_linger_bomb_in_the_lobby)
{
	needs_root("have clients of several uids");
	endure_bombs(1, true);
}
END_TEST

START_TEST(a_linger_bomb_turned_away)
{
	needs_root("have clients of several uids");
	endure_bombs(CONNECTIONS_PER_UID + BOMBS_TURNED_AWAY, false);
}
END_TEST

/* ---- coming too often ---- */

static void expect_refusal(struct raw *r, int reason)
{
	int goodbye;

	ensure(raw_ended(r, &goodbye, 10000), "it is served");
	ensure(goodbye == reason, "GOODBYE with reason %d", goodbye);
}

static void come_too_often(void *arg)
{
	const struct visit *v = arg;
	struct raw r[CONNECTIONS_PER_UID + 1];

	for (int i = 0; i < CONNECTIONS_PER_UID; i++) {
		r[i] = raw_connect(v->socket);
		raw_works(&r[i], 1, v->file);
	}
	r[CONNECTIONS_PER_UID] = raw_connect(v->socket);
	expect_refusal(&r[CONNECTIONS_PER_UID], OPENC_R_QUOTA);
	for (int i = 0; i <= CONNECTIONS_PER_UID; i++)
		raw_close(&r[i]);
}

START_TEST(connections_of_a_uid_are_counted)
{
	struct visit v = { .file = make_file(at("data/file"), 0644, alice.uid, "file\n") };
	struct opend o;

	policy("10", "allow read file %s to user %u\n", v.file, alice.uid);
	o = OPEND();
	v.socket = o.socket;
	as(alice, come_too_often, &v);
	opend_check_idle(&o);
	ask_for(&o, alice, v.file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

/* Other groups are another identity, with a worker of its own. */
struct member {
	const char *socket, *file;
	volatile int served, stop, reason;
};

static void be_a_member(void *arg)
{
	struct member *m = arg;
	struct raw r = raw_connect(m->socket);

	if (m->reason)
		expect_refusal(&r, m->reason);
	else
		raw_works(&r, 1, m->file);
	m->served = 1;
	ensure(within(60000, m->stop), "nobody let me go");
	raw_close(&r);
}

START_TEST(workers_of_a_uid_are_counted)
{
	struct member *m = shared((WORKERS_PER_UID + 1) * sizeof *m);
	struct client c[WORKERS_PER_UID + 1];
	char *file;
	struct opend o;

	needs_root("have clients with groups");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", file);
	o = OPEND();
	for (int i = 0; i <= WORKERS_PER_UID; i++) {
		const gid_t group = (gid_t)(70000 + i);
		struct who who = { .uid = 1000, .gid = 1000, .groups = &group, .n_groups = 1 };

		m[i].socket = o.socket;
		m[i].file = file;
		m[i].reason = i == WORKERS_PER_UID ? OPENC_R_QUOTA : 0;
		c[i] = client_start(who, be_a_member, &m[i]);
		ensure(within(10000, m[i].served || !alive(c[i].pid)), "member %d", i);
	}
	/* That is its own affair. */
	ask_for(&o, bob, file, O_RDONLY, "file\n");
	for (int i = 0; i <= WORKERS_PER_UID; i++) {
		m[i].stop = 1;
		client_wait(&c[i]);
	}
	opend_stop(&o);
}
END_TEST

/* One worker hangs in an open. That is all that this uid may have of that kind. */
static void hang(void *arg)
{
	const struct member *m = arg;
	struct raw r = raw_connect(m->socket), again;
	char frame[WIRE_REQUEST_MAX];
	int64_t until = now_msec() + 15000;
	int goodbye = -1;

	raw_send(&r, frame, raw_open(frame, 1, m->file, O_RDONLY));
	while (goodbye < 0 && now_msec() < until) {
		again = raw_connect(m->socket);
		raw_ended(&again, &goodbye, 300);
		raw_close(&again);
	}
	ensure(goodbye == OPENC_R_STUCK, "GOODBYE with reason %d", goodbye);
	r.fd = close_fd(r.fd);
}

START_TEST(workers_that_hang_are_counted)
{
	struct member m = { 0 };
	struct client server;
	char *config, *plain;
	struct opend o;

	needs_root("mount a file system");
	if (!fuse_start(&server))
		skip("FUSE is not to be had here");
	m.file = at("data/fuse/hang");
	plain = make_file(at("data/plain"), 0644, 0, "plain\n");
	config = make_file(at("run/opend.conf"), 0644, 0, "set stuck-per-user 1\n");
	policy("10", "allow read under %s to anyone\n", at("data"));
	o = opend_start("--config", config, NULL);
	m.socket = o.socket;
	as(alice, hang, &m);
	ask_for(&o, bob, plain, O_RDONLY, "plain\n");
	fuse_end(&server);
	opend_stop(&o);
}
END_TEST

/* Its limit is so low that two uids' connections use it up. */
static void use_up(void *arg)
{
	struct member *m = arg;
	struct raw r[CONNECTIONS_PER_UID];

	for (int i = 0; i < CONNECTIONS_PER_UID; i++)
		r[i] = raw_connect(m->socket);
	m->served = 1;
	ensure(within(60000, m->stop), "nobody let me go");
	for (int i = 0; i < CONNECTIONS_PER_UID; i++)
		close_fd(r[i].fd);
}

START_TEST(out_of_descriptors_it_rests)
{
	const char *args[64] = { "sh", "-c", "ulimit -n 110; exec \"$@\"", "sh" };
	struct member *m = shared(2 * sizeof *m);
	struct client c[2];
	char *file, *complaints;
	int64_t before, used, spun;
	pid_t spinner;
	struct opend o;

	needs_root("have clients of two uids");
	file = make_file(at("data/file"), 0644, 0, "file\n");
	policy("10", "allow read file %s to anyone\n", file);
	opend_args(0, args + 4);
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	for (int i = 0; i < 2; i++) {
		m[i].socket = o.socket;
		c[i] = client_start(i ? bob : alice, use_up, &m[i]);
		ensure(within(10000, m[i].served || !alive(c[i].pid)), "client %d", i);
	}
	complaints = text("grep -c 'cannot accept' %s", o.log);
	ensure(within(5000, atoi(RUN("sh", "-c", complaints).out) > 0), "it has all it needs");
	/* Beside one who does spin, however much this machine has to do. */
	spinner = (pid_t)sys(fork());
	while (spinner == 0)
		;
	before = proc_cpu_msec(o.pid);
	spun = -proc_cpu_msec(spinner);
	sleep_msec(2000);
	used = proc_cpu_msec(o.pid) - before;
	spun += proc_cpu_msec(spinner);
	sys(kill(spinner, SIGKILL));
	sys(waitpid(spinner, NULL, 0));
	ensure(used < spun / 4, "it used %lld ms; who spins, %lld", (long long)used,
	       (long long)spun);
	ensure(atoi(RUN("sh", "-c", complaints).out) <= 6, "it complained %s times",
	       RUN("sh", "-c", complaints).out);
	for (int i = 0; i < 2; i++) {
		m[i].stop = 1;
		client_wait(&c[i]);
	}
	ask_for(&o, alice, file, O_RDONLY, "file\n");
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("defences-socket");

	ADD(s, descriptors_that_nobody_reads_are_few, 30);
	ADD(s, descriptors_that_a_user_does_not_read_are_few, 30);
	ADD(s, descriptors_of_a_connection_that_is_over_count, 30);
	ADD(s, half_a_frame_has_its_time, 30);
	ADD(s, out_of_band_data_ends_a_connection, 30);
	ADD(s, descriptors_are_refused_at_the_door, 30);
	ADD_ROOT(s, a_linger_bomb_in_the_lobby, 60);
	ADD_ROOT(s, a_linger_bomb_turned_away, 90);
	ADD(s, connections_of_a_uid_are_counted, 30);
	ADD_ROOT(s, workers_of_a_uid_are_counted, 60);
	ADD_ROOT(s, workers_that_hang_are_counted, 60);
	ADD_ROOT(s, out_of_descriptors_it_rests, 60);
	return s;
}

int main(void)
{
	return harness_main("defences-socket", suite);
}
