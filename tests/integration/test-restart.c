/* SPDX-License-Identifier: MIT
 * opend is stopped and started again, and whoever is connected notices a pause: connections wait in
 * the manager's descriptor store. Here the test is the manager, who gets what the notification
 * socket carries and starts the next opend with it, as sd_pid_notify_with_fds(3) says; in
 * tests/system/test-restart.sh it is systemd. */
#include <stdatomic.h>
#include <sys/wait.h>
#include "fdpass.h"
#include "harness-bomb.h"

enum { STORE_MAX = 64, PASSRIGHTS = 83, WINDOW = 16, RESTARTS = 5 };

/* What systemd keeps for a unit. */
struct manager {
	int listener;
	const char *door;
	unsigned store_max; /* $FDSTORE; 0: there is no store */
	struct {
		int fd;
		char name[64];
	} kept[STORE_MAX];
	size_t n_kept;
	bool polled; /* something was to be looked at meanwhile */
	bool slow;   /* says of nothing that it has been seen to */
	char socket[108];
};

struct visit {
	const char *socket, *file, *lent;
	atomic_int step;
	atomic_uint answers;
};

static void turn(struct visit *v, int step)
{
	ensure(within(30000, atomic_load(&v->step) >= step), "step %d does not come", step);
}

/* ---- the manager ---- */

/* Out of the way of those that opend is started with. */
static int high(int consume_fd)
{
	int fd = (int)sys(fcntl(consume_fd, F_DUPFD_CLOEXEC, 100));

	close_fd(consume_fd);
	return fd;
}

static struct manager manager_new(unsigned store_max)
{
	const char *path = at("run/socket");
	struct manager m = { .listener = high(listen_unix(path)),
			     .door = "main",
			     .store_max = store_max };

	strncpy(m.socket, path, sizeof m.socket - 1);
	return m;
}

static struct opend start(struct manager *m)
{
	const char *args[64], *line[64];
	size_t n = 0, n_args = opend_args(0, args);
	char *names = text("%s", m->door);
	struct opend o;

	/* Descriptors as systemd lays them out: first what it listens on, then what it keeps. */
	sys(dup2(m->listener, 3));
	for (size_t i = 0; i < m->n_kept; i++) {
		sys(dup2(m->kept[i].fd, 4 + (int)i));
		names = text("%s:%s", names, m->kept[i].name);
	}
	line[n++] = "sh";
	line[n++] = "-c";
	line[n++] =
		text("LISTEN_FDS=%zu LISTEN_FDNAMES=%s %s LISTEN_PID=$$ exec \"$@\"", 1 + m->n_kept,
		     names, m->store_max ? text("FDSTORE=%u", m->store_max) : "");
	line[n++] = "sh";
	line[n++] = args[0];
	for (size_t i = 3; i < n_args; i++)
		line[n++] = args[i];
	line[n] = NULL;
	o = opend_spawn(0, line);
	o.activated = true;
	for (size_t i = 0; i <= m->n_kept; i++)
		close_fd(3 + (int)i);
	return o;
}

static void take_out(struct manager *m, const char *name)
{
	size_t left = 0;

	for (size_t i = 0; i < m->n_kept; i++)
		if (strcmp(m->kept[i].name, name))
			m->kept[left++] = m->kept[i];
		else
			close_fd(m->kept[i].fd);
	m->n_kept = left;
}

static char *value_of(const char *message, const char *key)
{
	const char *at_key = strstr(message, key);

	return at_key ? text("%.*s", (int)strcspn(at_key + strlen(key), "\n"), at_key + strlen(key))
		      : NULL;
}

/* One message, as systemd takes it. Returns whether there was one. */
static bool take_message(struct manager *m, const struct opend *o, bool *ret_ready)
{
	char message[4096];
	int fds[STORE_MAX], n;
	size_t n_fds;
	char *name;

	n = fdpass_recv(o->notify, message, sizeof message - 1, fds, STORE_MAX, &n_fds);
	if (n <= 0)
		return false;
	message[n] = 0;
	*ret_ready |= strstr(message, "READY=1") != NULL;
	name = value_of(message, "FDNAME=");
	if (strstr(message, "FDSTOREREMOVE=1")) {
		take_out(m, name);
	} else if (strstr(message, "FDSTORE=1")) {
		m->polled |= !strstr(message, "FDPOLL=0");
		for (size_t i = 0; i < n_fds; i++) {
			ensure(m->n_kept < m->store_max, "more than there is room for");
			m->kept[m->n_kept].fd = high(fds[i]);
			strncpy(m->kept[m->n_kept++].name, name, 63);
		}
		return true;
	}
	/* BARRIER=1: closed when all that came before has been seen to. */
	for (size_t i = 0; i < n_fds && !m->slow; i++)
		close_fd(fds[i]);
	return true;
}

static void wait_ready(struct manager *m, struct opend *o)
{
	bool ready = false;

	ensure(within(20000, take_message(m, o, &ready) && ready), "it does not become ready");
}

static struct opend begin(struct manager *m)
{
	struct opend o = start(m);

	wait_ready(m, &o);
	return o;
}

static bool gone(struct manager *m, struct opend *o, int *status)
{
	bool unused = false;

	while (take_message(m, o, &unused))
		;
	return waitpid(o->pid, status, WNOHANG) == o->pid;
}

static void stop(struct manager *m, struct opend *o)
{
	bool unused = false;
	int status = -1;

	sys(kill(o->pid, SIGTERM));
	ensure(within(10000, gone(m, o, &status)), "SIGTERM did not end it");
	ensure(status == 0, "it ended with status %#x", (unsigned)status);
	while (take_message(m, o, &unused))
		;
	o->notify = close_fd(o->notify);
	ensure(!m->polled, "the manager is to look at connections, and to drop those that end");
}

static void manager_end(struct manager *m, struct opend *o)
{
	opend_check_idle(o);
	stop(m, o);
	ensure(m->n_kept == 0, "%zu connections are kept though no client is left", m->n_kept);
	close_fd(m->listener);
	sys(unlink(m->socket));
	no_process_left();
}

#define needs_passrights()                                                                         \
	do {                                                                                       \
		int off_ = 0, fd_ = (int)sys(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));      \
		int r_ = setsockopt(fd_, SOL_SOCKET, PASSRIGHTS, &off_, sizeof off_);              \
		close_fd(fd_);                                                                     \
		if (r_ < 0)                                                                        \
			skip("this kernel has no SO_PASSRIGHTS (Linux 6.16): nothing can be "      \
			     "kept");                                                              \
	} while (0)

static struct visit *visit_new(const struct manager *m)
{
	struct visit *v = shared(sizeof *v);

	v->socket = m->socket;
	v->file = make_file(at("data/file"), 0644, alice.uid, "file\n");
	policy("10", "allow read file %s to user %u\n", v->file, alice.uid);
	return v;
}

/* ---- clients ---- */

static void ask_before_and_after(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	int fd;

	raw_works(&r, 1, v->file);
	atomic_store(&v->step, 1);
	turn(v, 2);
	/* Nobody is there to read it. */
	raw_send(&r, frame, raw_open(frame, 2, v->file, O_RDONLY));
	atomic_store(&v->step, 3);
	out = raw_result(&r, 2, &fd);
	ensure(!out.error && fd >= 0, "%s", strerror(out.error));
	close_fd(fd);
	raw_works(&r, 3, v->file);
	raw_close(&r);
}

/* A manager whose opend has been stopped while a client was doing `visitor`; kept: how many
 * connections there must be in the store then. */
struct restart {
	struct manager m;
	struct visit *v;
	struct client c;
};

static struct restart stop_under(client_fn *visitor, size_t kept)
{
	struct restart r = { .m = manager_new(STORE_MAX) };
	struct opend o;

	r.v = visit_new(&r.m);
	o = begin(&r.m);
	r.c = client_start(alice, visitor, r.v);
	turn(r.v, 1);
	stop(&r.m, &o);
	ensure(r.m.n_kept == kept, "%zu connections are kept, not %zu", r.m.n_kept, kept);
	return r;
}

START_TEST(who_is_between_two_requests_notices_a_pause)
{
	struct restart r;
	struct opend o;

	needs_passrights();
	r = stop_under(ask_before_and_after, 1);
	ensure(!strcmp(r.m.kept[0].name, "connection-main"), "its name is %s", r.m.kept[0].name);
	atomic_store(&r.v->step, 2);
	turn(r.v, 3);
	o = begin(&r.m);
	ensure(r.m.n_kept == 0, "what is served is still in the store");
	client_wait(&r.c);
	manager_end(&r.m, &o);
}
END_TEST

/* Always some requests under way, `as root` as well: each is answered once, by whichever opend. */
static void go_on_asking(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	uint64_t sent = 0, done = 0;
	bool answered[WINDOW] = { false };
	struct stat st[2];

	sys(stat(v->file, &st[0]));
	if (v->lent)
		sys(stat(v->lent, &st[1]));
	while (atomic_load(&v->step) < 2 || done < sent) {
		char frame[WIRE_REQUEST_MAX];
		struct wire_outcome out;
		int fd;

		while (sent < done + WINDOW && atomic_load(&v->step) < 2) {
			sent++;
			raw_send(&r, frame,
				 raw_open(frame, sent, v->lent && sent % 2 ? v->lent : v->file,
					  O_RDONLY));
		}
		out = raw_result(&r, 0, &fd);
		ensure(out.id > done && out.id <= sent && !answered[out.id % WINDOW],
		       "request %llu is answered, of %llu to %llu", (unsigned long long)out.id,
		       (unsigned long long)done + 1, (unsigned long long)sent);
		ensure(!out.error && out.ino == st[v->lent && out.id % 2].st_ino,
		       "request %llu: %s, reason %u", (unsigned long long)out.id,
		       strerror(out.error), out.reason);
		close_fd(fd);
		answered[out.id % WINDOW] = true;
		for (; done < sent && answered[(done + 1) % WINDOW]; done++)
			answered[(done + 1) % WINDOW] = false;
		atomic_fetch_add(&v->answers, 1);
		if (atomic_load(&v->step) == 0)
			atomic_store(&v->step, 1);
	}
	raw_close(&r);
}

START_TEST(what_is_under_way_is_answered_once)
{
	struct client c[3];
	struct manager m;
	struct visit *v;
	struct opend o;

	needs_passrights();
	m = manager_new(STORE_MAX);
	v = visit_new(&m);
	if (is_root()) {
		v->lent = make_file(at("data/lent"), 0600, 0, "lent\n");
		policy("20", "allow read file %s to user %u as root\n", v->lent, alice.uid);
	}
	o = begin(&m);
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		c[i] = client_start(alice, go_on_asking, v);
	turn(v, 1);
	for (int i = 0; i < RESTARTS; i++) {
		unsigned before;

		stop(&m, &o);
		ensure(m.n_kept + (i ? 0 : ELEMENTSOF(c)) >= ELEMENTSOF(c),
		       "%zu connections are kept", m.n_kept);
		o = begin(&m);
		before = atomic_load(&v->answers);
		ensure(within(20000, atomic_load(&v->answers) > before + 100 || !alive(c[0].pid)),
		       "nothing is answered any more");
	}
	atomic_store(&v->step, 2);
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		client_wait(&c[i]);
	manager_end(&m, &o);
}
END_TEST

static void expect_goodbye(struct raw *r)
{
	int goodbye;

	ensure(raw_ended(r, &goodbye, 10000), "the connection goes on");
	ensure(goodbye == WIRE_RESTART, "goodbye with reason %d", goodbye);
	raw_close(r);
}

static void leave_half_a_frame(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];

	raw_works(&r, 1, v->file);
	raw_send(&r, frame, raw_open(frame, 2, v->file, O_RDONLY) / 2);
	/* So that it has been read. */
	sleep_msec(100);
	atomic_store(&v->step, 1);
	expect_goodbye(&r);
}

static void be_sent_away(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);

	raw_works(&r, 1, v->file);
	atomic_fetch_add(&v->step, 1);
	expect_goodbye(&r);
}

/* A frame's other half would be taken for the beginning of one. */
START_TEST(half_a_frame_is_not_kept)
{
	struct restart r;
	struct opend o;

	needs_passrights();
	r = stop_under(leave_half_a_frame, 0);
	client_wait(&r.c);
	o = begin(&r.m);
	manager_end(&r.m, &o);
}
END_TEST

START_TEST(where_there_is_no_store_clients_are_told)
{
	struct manager m = manager_new(0);
	struct visit *v = visit_new(&m);
	struct opend o = begin(&m);
	struct client c = client_start(alice, be_sent_away, v);

	turn(v, 1);
	stop(&m, &o);
	ensure(m.n_kept == 0, "something is kept");
	client_wait(&c);
	o = begin(&m);
	manager_end(&m, &o);
}
END_TEST

START_TEST(who_finds_no_room_is_told)
{
	struct client c[3];
	struct manager m;
	struct visit *v;
	struct opend o;

	needs_passrights();
	m = manager_new(1);
	v = visit_new(&m);
	o = begin(&m);
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		c[i] = client_start(alice, be_sent_away, v);
	turn(v, ELEMENTSOF(c));
	stop(&m, &o);
	ensure(m.n_kept == 1, "%zu are kept", m.n_kept);
	/* The one goes on, until it is stopped where there is none. */
	m.store_max = 0;
	o = begin(&m);
	stop(&m, &o);
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		client_wait(&c[i]);
	o = begin(&m);
	manager_end(&m, &o);
}
END_TEST

START_TEST(whose_door_is_gone_is_told)
{
	struct restart r;
	struct opend o;

	needs_passrights();
	r = stop_under(be_sent_away, 1);
	r.m.door = "another";
	o = begin(&r.m);
	client_wait(&r.c);
	manager_end(&r.m, &o);
}
END_TEST

/* As long as the manager may hold it, too, somebody could find it in the store once more. */
START_TEST(what_is_not_taken_out_is_not_served)
{
	struct restart r;
	struct opend o;

	needs_passrights();
	r = stop_under(be_sent_away, 1);
	r.m.slow = true;
	o = begin(&r.m);
	client_wait(&r.c);
	r.m.slow = false;
	manager_end(&r.m, &o);
}
END_TEST

/* A client who came before opend could forbid it may have queued what lingers: the manager, PID 1,
 * would be the last to hold it. */
START_TEST(where_something_may_be_queued_nothing_is_kept)
{
	struct manager m;
	struct client c;
	struct visit *v;
	struct opend o;

	needs_passrights();
	m = manager_new(STORE_MAX);
	v = visit_new(&m);
	c = client_start(alice, be_sent_away, v);
	/* It is in the backlog. */
	ensure(within(10000, asleep(c.pid)), "it does not wait");
	o = begin(&m);
	turn(v, 1);
	stop(&m, &o);
	ensure(m.n_kept == 0, "it is kept");
	client_wait(&c);
	o = begin(&m);
	manager_end(&m, &o);
}
END_TEST

/* Takes no answer, until it is told to. */
static void read_nothing(void *arg)
{
	struct visit *v = arg;
	struct raw r = raw_connect(v->socket);
	char frame[WIRE_REQUEST_MAX];
	size_t len = raw_open(frame, 1, v->file, O_RDONLY);

	while (send(r.fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL) > 0 || errno == EINTR)
		;
	sleep_msec(100);
	atomic_store(&v->step, 1);
	turn(v, 2);
	close_fd(r.fd);
}

START_TEST(who_reads_nothing_holds_nobody_up)
{
	struct client reader, other;
	struct visit *v, *w;
	struct manager m;
	struct opend o;

	needs_passrights();
	m = manager_new(STORE_MAX);
	v = visit_new(&m);
	w = shared(sizeof *w);
	*w = *v;
	o = begin(&m);
	reader = client_start(alice, ask_before_and_after, v);
	other = client_start(alice, read_nothing, w);
	turn(v, 1);
	turn(w, 1);
	stop(&m, &o);
	ensure(m.n_kept == 1, "%zu are kept", m.n_kept);
	atomic_store(&w->step, 2);
	client_wait(&other);
	atomic_store(&v->step, 2);
	turn(v, 3);
	o = begin(&m);
	client_wait(&reader);
	manager_end(&m, &o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("restart");

	ADD(s, who_is_between_two_requests_notices_a_pause, 60);
	ADD(s, what_is_under_way_is_answered_once, 120);
	ADD(s, half_a_frame_is_not_kept, 60);
	ADD(s, where_there_is_no_store_clients_are_told, 60);
	ADD(s, who_finds_no_room_is_told, 60);
	ADD(s, whose_door_is_gone_is_told, 60);
	ADD(s, what_is_not_taken_out_is_not_served, 60);
	ADD(s, where_something_may_be_queued_nothing_is_kept, 60);
	ADD(s, who_reads_nothing_holds_nobody_up, 60);
	return s;
}

int main(void)
{
	return harness_main("restart", suite);
}
