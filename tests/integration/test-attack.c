/* SPDX-License-Identifier: MIT
 * One user does his worst, on as many connections as he may have, and another goes on opening fifty
 * files a second: each time on a connection that he has, each second time on a new one as well. All
 * of it succeeds, in good time, and when the first has gone nothing of it is left: no descriptor,
 * no process, no memory.
 *
 * Each attack goes on twice. Afterwards things must be as they were after the first time: then what
 * is kept for good, workers and their buffers, is there.
 *
 * OPEND_ATTACK_SECONDS in the environment is how long each of the two lasts, and makes the time
 * that an open may take part of the claim ("make check-attack"). Without it it is short, and
 * nothing is said of time but that it ends. */
#include <limits.h>
#include <poll.h>
#include <stdatomic.h>
#include <time.h>
#include "fdpass.h"
#include "harness-bomb.h"

enum {
	CONNECTIONS_PER_UID = 64,
	PER_SECOND = 50,
	SAMPLES_MAX = 1 << 16,
	P99_MSEC = 100,
	STALL_MSEC = 100
};

struct battle {
	const char *socket, *file, *own;
	atomic_bool stop, ready;
	bool few;     /* the victim stays on the connection that he has */
	atomic_int n; /* opens */
	int usec[SAMPLES_MAX];
	char failure[256];
};

static int64_t now_usec(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int seconds_wanted(void)
{
	const char *wanted = getenv("OPEND_ATTACK_SECONDS");

	return wanted ? atoi(wanted) : 0;
}

/* ---- the victim ---- */

static bool open_one(struct battle *b, struct openc_conn *c)
{
	int64_t began = now_usec();
	int n, fd = openc_open_how(c, b->file, NULL, 0, NULL, 0);

	if (fd < 0) {
		snprintf(b->failure, sizeof b->failure, "open %d: %s", atomic_load(&b->n),
			 openc_message(c));
		return false;
	}
	close_fd(fd);
	n = atomic_load(&b->n);
	ensure(n < SAMPLES_MAX, "too many");
	b->usec[n] = (int)(now_usec() - began);
	atomic_store(&b->n, n + 1);
	return true;
}

/* A connection, a file, the end. */
static bool visit(struct battle *b)
{
	struct openc_conn *c;
	int r = openc_new(&c, b->socket);
	bool done = r == 0 && openc_set_timeout(c, 20000) == 0 && open_one(b, c);

	if (r < 0)
		snprintf(b->failure, sizeof b->failure, "connect: %s", strerror(-r));
	else
		openc_free(c);
	return done;
}

static void go_on_opening(void *arg)
{
	struct battle *b = arg;
	struct openc_conn *c = connect_to(b->socket);
	int64_t next = now_usec();

	ok(openc_set_timeout(c, 20000));
	for (int i = 0; !atomic_load(&b->stop); i++) {
		int64_t left;

		if (!open_one(b, c) || (!b->few && i % 2 && !visit(b)))
			break;
		atomic_store(&b->ready, true);
		next += 1000000 / PER_SECOND;
		left = next - now_usec();
		if (left > 0)
			usleep((useconds_t)left);
	}
	openc_free(c);
}

static int by_size(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* ---- the attacks ---- */

/* As many connections as he may have. */
static void connect_all(const struct battle *b, struct raw *r)
{
	for (int i = 0; i < CONNECTIONS_PER_UID; i++)
		r[i] = raw_connect(b->socket);
}

static void close_all(struct raw *r)
{
	for (int i = 0; i < CONNECTIONS_PER_UID; i++)
		r[i].fd = close_fd(r[i].fd);
}

/* Whether the server has ended it; what it sent is read and dropped. */
static bool ended(int fd)
{
	char buf[4096];
	ssize_t n;

	while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0)
		;
	return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

/* Again and again on every connection, which is made anew when the server ends it. */
static void on_all(struct battle *b, void (*act)(struct battle *b, int fd, unsigned turn))
{
	struct raw r[CONNECTIONS_PER_UID];

	connect_all(b, r);
	for (unsigned turn = 0; !atomic_load(&b->stop); turn++)
		for (int i = 0; i < CONNECTIONS_PER_UID; i++) {
			act(b, r[i].fd, turn);
			if (!ended(r[i].fd))
				continue;
			close_fd(r[i].fd);
			r[i] = raw_connect(b->socket);
		}
	close_all(r);
}

static void send_now(int fd, const void *buf, size_t len, int flags)
{
	(void)!send(fd, buf, len, flags | MSG_DONTWAIT | MSG_NOSIGNAL);
}

/* Requests without end, no reply is read. */
static void do_not_read(struct battle *b)
{
	struct raw r[CONNECTIONS_PER_UID];
	char frame[WIRE_REQUEST_MAX];
	size_t len = raw_open(frame, 1, b->own, O_RDONLY), sent[CONNECTIONS_PER_UID] = { 0 };

	connect_all(b, r);
	while (!atomic_load(&b->stop)) {
		bool idle = true;

		for (int i = 0; i < CONNECTIONS_PER_UID; i++) {
			size_t at = sent[i] % len;
			ssize_t n =
				send(r[i].fd, frame + at, len - at, MSG_DONTWAIT | MSG_NOSIGNAL);

			sent[i] += n > 0 ? (size_t)n : 0;
			idle &= n <= 0;
		}
		if (idle)
			usleep(1000);
	}
	close_all(r);
}

/* Files without end: asked for, received and closed, as fast as it goes. */
static void flood_with_requests(struct battle *b)
{
	struct openc_conn *c[8];
	const char *paths[64];
	static struct openc_result results[64];

	for (size_t i = 0; i < ELEMENTSOF(paths); i++)
		paths[i] = b->own;
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		c[i] = connect_to(b->socket);
	for (unsigned turn = 0; !atomic_load(&b->stop); turn++) {
		openc_open_many(c[turn % ELEMENTSOF(c)], paths, ELEMENTSOF(paths), NULL, 0, results,
				sizeof *results, 0);
		for (size_t i = 0; i < ELEMENTSOF(paths); i++)
			if (results[i].fd >= 0)
				close_fd(results[i].fd);
	}
	for (size_t i = 0; i < ELEMENTSOF(c); i++)
		openc_free(c[i]);
}

/* Descriptors that nobody asked for, with a request each. */
static void attach_descriptors(struct battle *b, int fd, unsigned turn)
{
	char frame[WIRE_REQUEST_MAX];
	size_t len = raw_open(frame, turn + 1, b->own, O_RDONLY);
	int fds[WIRE_FDS_MAX];

	for (size_t i = 0; i < ELEMENTSOF(fds); i++)
		fds[i] = STDIN_FILENO;
	if (fdpass_send(fd, frame, len, fds, ELEMENTSOF(fds)) == -EPERM)
		send_now(fd, frame, len, 0);
}

static void flood_with_descriptors(struct battle *b)
{
	on_all(b, attach_descriptors);
}

/* A byte at a time, and never the last one of a frame. */
static void dribble(struct battle *b, int fd, unsigned turn)
{
	char frame[WIRE_REQUEST_MAX];
	size_t len = raw_open(frame, 1, b->own, O_RDONLY);

	if (turn < len - 1)
		send_now(fd, frame + turn, 1, 0);
	usleep(200);
}

static void send_half_frames(struct battle *b)
{
	on_all(b, dribble);
}

static void send_one_out_of_band(struct battle *b, int fd, unsigned turn)
{
	(void)b;
	(void)turn;
	send_now(fd, "x", 1, MSG_OOB);
}

static void send_out_of_band(struct battle *b)
{
	on_all(b, send_one_out_of_band);
}

/* Comes and goes, with and without a request, a reply unread, half closed. */
static void churn(struct battle *b)
{
	char frame[WIRE_REQUEST_MAX];
	size_t len = raw_open(frame, 1, b->own, O_RDONLY);

	for (unsigned turn = 0; !atomic_load(&b->stop); turn++) {
		struct raw r = raw_connect(b->socket);

		if (turn % 2)
			send_now(r.fd, frame, len, 0);
		if (turn % 4 == 3)
			shutdown(r.fd, SHUT_WR);
		close_fd(r.fd);
	}
}

/* Without it our own close would sleep. */
static void defuse(int bomb)
{
	const struct linger none = { 1, 0 };

	sys(setsockopt(bomb, SOL_SOCKET, SO_LINGER, &none, sizeof none));
}

/* Bombs on connections that are new each time. Where none can be queued, that is tried. */
static void throw_bombs(struct battle *b)
{
	struct sockaddr_in to;
	int peers = bomb_target(&to), bomb = bomb_make(&to);

	for (int n = 0; n < CONNECTIONS_PER_UID && !atomic_load(&b->stop);) {
		struct raw r = raw_connect(b->socket);

		if (fdpass_send(r.fd, "-", 1, &bomb, 1) == 1) {
			/* The server's is the last. */
			n++;
			close_fd(bomb);
			bomb = bomb_make(&to);
		}
		close_fd(r.fd);
		usleep(1000);
	}
	while (!atomic_load(&b->stop))
		usleep(1000);
	defuse(bomb);
	close_fd(bomb);
	close_fd(peers);
}

/* Every descriptor that the daemon has, for connections; each that is refused is tried again. */
static void use_all_descriptors(struct battle *b)
{
	struct raw r[CONNECTIONS_PER_UID];

	connect_all(b, r);
	while (!atomic_load(&b->stop)) {
		struct pollfd p = { .events = POLLIN };

		for (int i = 0; i < CONNECTIONS_PER_UID; i++) {
			p.fd = r[i].fd;
			if (poll(&p, 1, 0) == 1 && ended(r[i].fd)) {
				close_fd(r[i].fd);
				r[i] = raw_connect(b->socket);
			}
		}
		usleep(1000);
	}
	close_all(r);
}

/* ---- before and after ---- */

struct state {
	size_t processes;
	int fds;
	long kib;
};

static long resident(pid_t pid)
{
	char *field = proc_status(pid, "VmRSS");

	return field ? atol(field) : 0;
}

/* Of opend and all that descend from it. */
static struct state take_stock(const struct opend *o)
{
	pid_t all[512] = { o->pid };
	struct state s = { .processes = 1 };

	for (size_t i = 0; i < s.processes; i++) {
		s.processes +=
			children(all[i], NULL, all + s.processes, ELEMENTSOF(all) - s.processes);
		s.fds += count_fds(all[i]);
		s.kib += resident(all[i]);
	}
	return s;
}

/* In a short round not every buffer that a worker keeps is used for the first time. Under a
 * sanitizer memory says nothing: it keeps what was freed, to see whether somebody still uses it. */
static bool as_before(const struct opend *o, const struct state *before, struct state *ret_now)
{
	const long more = is_sanitized() ? LONG_MAX / 2 : seconds_wanted() ? 512 : 4096;

	*ret_now = take_stock(o);
	return ret_now->processes == before->processes && ret_now->fds == before->fds &&
	       ret_now->kib <= before->kib + more;
}

/* ---- the battle ---- */

typedef void attack_fn(struct battle *b);

struct attacker {
	struct battle *battle;
	attack_fn *attack;
};

static void do_his_worst(void *arg)
{
	const struct attacker *a = arg;

	while (!atomic_load(&a->battle->ready) && !atomic_load(&a->battle->stop))
		usleep(1000);
	a->attack(a->battle);
}

static void judge(struct battle *b, const char *name)
{
	int n = atomic_load(&b->n), p99, most;

	ensure(!b->failure[0], "%s", b->failure);
	ensure(n > 0, "he opened nothing");
	qsort(b->usec, (size_t)n, sizeof *b->usec, by_size);
	p99 = b->usec[n - 1 - n / 100];
	most = b->usec[n - 1];
	printf("attack: %-32s %5d opens, median %d us, p99 %d us, longest %d us\n", name, n,
	       b->usec[n / 2], p99, most);
	fflush(stdout);
	ensure(!seconds_wanted() || p99 < P99_MSEC * 1000, "p99 is %d us", p99);
}

static void round_of(struct battle *b, attack_fn *attack, const struct who *attackers, size_t n)
{
	const int msec = seconds_wanted() ? 1000 * seconds_wanted() : 400;
	struct attacker a = { b, attack };
	struct client victim, c[4];

	atomic_store(&b->stop, false);
	atomic_store(&b->ready, false);
	victim = client_start(bob, go_on_opening, b);
	for (size_t i = 0; i < n; i++)
		c[i] = client_start(attackers[i], do_his_worst, &a);
	ensure(within(20000, atomic_load(&b->ready) || !alive(victim.pid)), "it does not begin");
	sleep_msec(msec);
	atomic_store(&b->stop, true);
	client_wait(&victim);
	for (size_t i = 0; i < n; i++)
		client_wait(&c[i]);
}

static struct battle *prepare(void)
{
	struct battle *b = shared(sizeof *b);

	b->file = make_file(at("data/file"), 0644, bob.uid, "file\n");
	b->own = make_file(at("data/own"), 0644, alice.uid, "own\n");
	policy("10", "allow read file %s to user %u\nallow read file %s to user %u\n", b->file,
	       bob.uid, b->own, alice.uid);
	return b;
}

/* Who has nothing to do stays, however long an attack takes. */
static struct opend start(void)
{
	return opend_start("--config",
			   make_file(at("run/opend.conf"), 0644, 0, "set idle-seconds 3600\n"),
			   NULL);
}

static void twice(struct opend *o, struct battle *b, const char *name, attack_fn *attack,
		  const struct who *attackers, size_t n)
{
	struct state before, now;

	round_of(b, attack, attackers, n);
	ensure(!b->failure[0], "%s", b->failure);
	opend_check_idle(o);
	before = take_stock(o);
	round_of(b, attack, attackers, n);
	judge(b, name);
	ensure(within(15000, as_before(o, &before, &now)),
	       "processes: %zu, were %zu; descriptors: %d, were %d; KiB: %ld, were %ld",
	       now.processes, before.processes, now.fds, before.fds, now.kib, before.kib);
	opend_stop(o);
}

static void endure(const char *name, attack_fn *attack)
{
	struct battle *b = prepare();
	struct opend o = start();

	b->socket = o.socket;
	twice(&o, b, name, attack, &alice, 1);
}

#define ATTACK(test, name, attack)                                                                 \
	START_TEST(test)                                                                           \
	{                                                                                          \
		needs_root("have clients of two uids");                                            \
		endure((name), (attack));                                                          \
	}                                                                                          \
	END_TEST

ATTACK(who_does_not_read_hurts_nobody_else, "not reading, on all", do_not_read)
ATTACK(a_flood_of_requests_hurts_nobody_else, "flood of requests", flood_with_requests)
ATTACK(a_flood_of_descriptors_hurts_nobody_else, "flood of descriptors", flood_with_descriptors)
ATTACK(half_frames_hurt_nobody_else, "slow and half frames", send_half_frames)
ATTACK(out_of_band_data_hurts_nobody_else, "out-of-band data", send_out_of_band)
ATTACK(coming_and_going_hurts_nobody_else, "connect churn", churn)
ATTACK(linger_bombs_hurt_nobody_else, "linger bombs", throw_bombs)

/* Three uids have more connections than the daemon has descriptors. Who has one goes on. */
START_TEST(out_of_descriptors_whoever_is_served_goes_on)
{
	const struct who three[] = { alice, uid_only(1010), uid_only(1011) };
	const char *args[64] = { "sh", "-c", "ulimit -n 120; exec \"$@\"", "sh" };
	struct battle *b;
	struct opend o;

	needs_root("have clients of two uids");
	b = prepare();
	b->few = true;
	opend_args(0, args + 4);
	o = opend_spawn(0, args);
	opend_wait_ready(&o);
	b->socket = o.socket;
	twice(&o, b, "no descriptors left", use_all_descriptors, three, ELEMENTSOF(three));
}
END_TEST

/* Bombs that were in the backlog when opend came, as many as he may have connections. */
static void bomb_the_backlog(void *arg)
{
	struct battle *b = arg;
	struct raw r[CONNECTIONS_PER_UID];
	struct sockaddr_in to;
	int peers = bomb_target(&to);

	for (int i = 0; i < CONNECTIONS_PER_UID; i++) {
		int bomb = bomb_make(&to);

		r[i] = raw_connect(b->socket);
		ensure(fdpass_send(r[i].fd, "-", 1, &bomb, 1) == 1, "it was not taken");
		close_fd(bomb);
	}
	atomic_store(&b->ready, true);
	/* They go off when the connections end. */
	ensure(within(120000, atomic_load(&b->n) > 0), "nobody came");
	for (int i = 0; i < CONNECTIONS_PER_UID && !atomic_load(&b->stop); i++)
		r[i].fd = close_fd(r[i].fd);
	ensure(within(120000, atomic_load(&b->stop)), "nobody let me go");
	close_fd(peers);
}

START_TEST(linger_bombs_from_before_hurt_nobody_else)
{
	const int msec = 1000 * (seconds_wanted() + 1);
	struct client attacker, victim;
	struct battle *b;
	struct opend o;
	int listener;

	needs_root("have clients of two uids");
	b = prepare();
	/* So that he is in the lobby, which is everybody's. */
	policy("10", "allow read file %s to user %u\n", b->file, bob.uid);
	b->socket = at("run/socket");
	listener = listen_unix(b->socket);
	attacker = client_start(alice, bomb_the_backlog, b);
	ensure(within(20000, atomic_load(&b->ready) || !alive(attacker.pid)), "no bombs");
	o = opend_on(listener);
	close_fd(listener);
	close_fd(3);
	opend_wait_ready(&o);
	o.idle_fds = -1; /* it began with connections */
	victim = client_start(bob, go_on_opening, b);
	sleep_msec(msec);
	atomic_store(&b->stop, true);
	client_wait(&victim);
	client_wait(&attacker);
	judge(b, "linger bombs from before");
	opend_stop(&o);
	sys(unlink(b->socket));
}
END_TEST

/* Not an attack, but it has the same bystanders. */
START_TEST(a_reload_of_many_rules_hurts_nobody)
{
	enum { RULES = 10000 };
	const int64_t until = now_msec() + 1000 * (seconds_wanted() + 1);
	struct battle *b;
	struct client victim;
	int reloads = 0;
	struct opend o;
	FILE *f;

	needs_root("have clients of two uids");
	b = prepare();
	f = fopen(at("policy/20.policy"), "we");
	ensure(f, "%s", strerror(errno));
	for (int i = 0; i < RULES; i++)
		fprintf(f, "allow read file %s/%d to user %d\n", at("data"), i, 2000 + i % 100);
	sys(fclose(f));
	o = start();
	b->socket = o.socket;
	victim = client_start(bob, go_on_opening, b);
	ensure(within(20000, atomic_load(&b->ready) || !alive(victim.pid)), "it does not begin");
	for (; !reloads || now_msec() < until; reloads++) {
		policy("30", "allow read file %s to user %d\n", b->own, 3000 + reloads);
		ok(reload(&o));
		sleep_msec(100);
	}
	atomic_store(&b->stop, true);
	client_wait(&victim);
	judge(b, text("%d reloads of %d rules", reloads, RULES));
	ensure(!seconds_wanted() || b->usec[atomic_load(&b->n) - 1] < STALL_MSEC * 1000,
	       "one open took %d us", b->usec[atomic_load(&b->n) - 1]);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	const int timeout = 60 + 4 * seconds_wanted();
	Suite *s = suite_create("attack");

	ADD_ROOT(s, who_does_not_read_hurts_nobody_else, timeout);
	ADD_ROOT(s, a_flood_of_requests_hurts_nobody_else, timeout);
	ADD_ROOT(s, a_flood_of_descriptors_hurts_nobody_else, timeout);
	ADD_ROOT(s, half_frames_hurt_nobody_else, timeout);
	ADD_ROOT(s, out_of_band_data_hurts_nobody_else, timeout);
	ADD_ROOT(s, coming_and_going_hurts_nobody_else, timeout);
	ADD_ROOT(s, linger_bombs_hurt_nobody_else, timeout);
	ADD_ROOT(s, out_of_descriptors_whoever_is_served_goes_on, timeout);
	ADD_ROOT(s, linger_bombs_from_before_hurt_nobody_else, timeout);
	ADD_ROOT(s, a_reload_of_many_rules_hurts_nobody, timeout);
	return s;
}

int main(void)
{
	return harness_main("attack", suite);
}
