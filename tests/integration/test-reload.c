/* SPDX-License-Identifier: MIT
 * Reloading: a good policy takes effect for everybody, connected or not, without losing a request;
 * a broken one takes effect for nobody, and its reporter learns the line. */
#include <poll.h>
#include <stdatomic.h>
#include <sys/un.h>
#include <time.h>
#include "harness.h"

START_TEST(a_good_policy_changes_verdicts)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	char *b = make_file(at("data/b"), 0644, alice.uid, "b\n"), *answer;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	ask_refused(&o, alice, b, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	policy("10", "allow read file %s to user %u\n", b, alice.uid);
	/* Not before it is told. */
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	ensure(control(&o, "reload", &answer) == 0, "%s", answer);
	ensure(strstr(answer, "2"), "no generation in \"%s\"", answer);
	ask_refused(&o, alice, a, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	ask_for(&o, alice, b, O_RDONLY, "b\n");
	/* Another file beside the first; and away with all. */
	policy("20", "deny any file %s to anyone\n", b);
	ok(reload(&o));
	ask_refused(&o, alice, b, O_RDONLY, EACCES, OPENC_R_DENIED);
	sys(unlink(at("policy/10.policy")));
	sys(unlink(at("policy/20.policy")));
	ok(reload(&o));
	ask_refused(&o, alice, b, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

START_TEST(a_broken_policy_changes_nothing)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n"), *answer;
	char *b = make_file(at("data/b"), 0644, alice.uid, "b\n");
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	policy("20", "allow read file %s to user %u\nallow raed file %s to user %u\n", b, alice.uid,
	       b, alice.uid);
	ensure(control(&o, "reload", &answer) < 0, "a broken policy was loaded: %s", answer);
	ensure(strstr(answer, "20.policy:2:7: error: ") && strstr(answer, "raed") &&
		       strstr(answer, "generation 1"),
	       "the answer is \"%s\"", answer);
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	ask_refused(&o, alice, b, O_RDONLY, EACCES, OPENC_R_NO_RULE);
	/* Mended, it is loaded. */
	policy("20", "allow read file %s to user %u\n", b, alice.uid);
	ensure(control(&o, "reload", &answer) == 0, "%s", answer);
	ask_for(&o, alice, b, O_RDONLY, "b\n");
	opend_stop(&o);
}
END_TEST

/* A file that others may write is no policy. */
START_TEST(a_policy_that_others_may_write)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n"), *answer;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	policy("20", "deny any file %s to anyone\n", a);
	sys(chmod(at("policy/20.policy"), 0666));
	ensure(control(&o, "reload", &answer) < 0, "it was loaded: %s", answer);
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	sys(chmod(at("policy/20.policy"), 0644));
	ensure(control(&o, "reload", &answer) == 0, "%s", answer);
	ask_refused(&o, alice, a, O_RDONLY, EACCES, OPENC_R_DENIED);
	opend_stop(&o);
}
END_TEST

START_TEST(start_with_a_broken_policy)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	struct opend o;

	policy("10", "allow read file %s to user\n", a);
	o = OPEND();
	ask_refused(&o, alice, a, O_RDONLY, EACCES, OPENC_R_NO_POLICY);
	ask_refused(&o, alice, at("data/b"), O_RDONLY, EACCES, OPENC_R_NO_POLICY);
	ensure(control(&o, "reload", NULL) < 0, "it was loaded");
	ask_refused(&o, alice, a, O_RDONLY, EACCES, OPENC_R_NO_POLICY);
	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	ok(reload(&o));
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	ask_refused(&o, alice, at("data/b"), O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

START_TEST(an_empty_policy_is_a_policy)
{
	struct opend o = OPEND();

	ask_refused(&o, alice, "/etc/passwd", O_RDONLY, EACCES, OPENC_R_NO_RULE);
	opend_stop(&o);
}
END_TEST

START_TEST(the_command)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	struct program p;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	p = RUN(staged("opend"), "--reload", "--control", o.control);
	ensure(p.status == 0 && p.out_len + p.err_len > 0, "status %d: %s%s", p.status, p.out,
	       p.err);
	policy("10", "allow read fil %s to user %u\n", a, alice.uid);
	p = RUN(staged("opend"), "--reload", "--control", o.control);
	ensure(p.status == 1, "status %d: %s%s", p.status, p.out, p.err);
	ensure(strstr(text("%s%s", p.out, p.err), "10.policy:1:12: error: "), "%s%s", p.out, p.err);
	opend_stop(&o);
	p = RUN(staged("opend"), "--reload", "--control", o.control);
	ensure(p.status == 1 && p.err_len > 0, "status %d: %s%s", p.status, p.out, p.err);
}
END_TEST

/* ---- who is connected ---- */

struct guest {
	const char *socket, *a, *b;
	volatile int step; /* odd: the client's turn has come to its end; even: the test's */
};

static void turn(struct guest *g, int step, struct client *c)
{
	if (within(20000, g->step == step || (c && !alive(c->pid))) && g->step == step)
		return;
	if (c)
		client_wait(c);
	ensure(g->step == step, "step %d, not %d", g->step, step);
}

static struct wire_outcome asked(struct raw *r, uint64_t id, const char *path)
{
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	int fd;

	raw_send(r, frame, raw_open(frame, id, path, O_RDONLY));
	out = raw_result(r, id, &fd);
	close_fd(fd);
	return out;
}

/* The same connection before and after. */
static void stay_connected(void *arg)
{
	struct guest *g = arg;
	struct raw r = raw_connect(g->socket);
	struct wire_outcome out;

	ensure(asked(&r, 1, g->a).error == 0 && asked(&r, 2, g->b).reason == OPENC_R_NO_RULE,
	       "before");
	g->step = 1;
	turn(g, 2, NULL);
	out = asked(&r, 3, g->a);
	ensure(out.reason == OPENC_R_NO_RULE && out.generation == 2,
	       "after: errno %d, generation %u", out.error, out.generation);
	out = asked(&r, 4, g->b);
	ensure(out.error == 0 && out.generation == 2, "after: errno %d, generation %u", out.error,
	       out.generation);
	g->step = 3;
	turn(g, 4, NULL);
	/* Rules for others have changed meanwhile; ours are what they were, and so is the worker.
	 */
	out = asked(&r, 5, g->b);
	ensure(out.error == 0 && out.generation == 3, "at last: errno %d, generation %u", out.error,
	       out.generation);
	raw_close(&r);
}

START_TEST(connections_outlive_reloads)
{
	struct guest *g = shared(sizeof *g);
	struct client c;
	pid_t worker;
	struct opend o;

	g->a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	g->b = make_file(at("data/b"), 0644, alice.uid, "b\n");
	policy("10", "allow read file %s to user %u\n", g->a, alice.uid);
	o = OPEND();
	g->socket = o.socket;
	c = client_start(alice, stay_connected, g);
	turn(g, 1, &c);
	policy("10", "allow read file %s to user %u\n", g->b, alice.uid);
	ok(reload(&o));
	g->step = 2;
	turn(g, 3, &c);
	worker = only_worker(&o, alice.uid);
	policy("20", "allow read file %s to user 4242\n", g->a);
	ok(reload(&o));
	ensure(only_worker(&o, alice.uid) == worker,
	       "a worker whose rules did not change was replaced");
	g->step = 4;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* While his lender hangs something of his is always under way, and his worker may not go. */
static void go_on_asking(void *arg)
{
	struct guest *g = arg;
	struct raw r = raw_connect(g->socket);
	char frame[WIRE_REQUEST_MAX];
	struct wire_outcome out;
	int fd;

	ensure(asked(&r, 1, g->a).error == 0 && asked(&r, 2, g->b).error == 0, "before");
	g->step = 1;
	turn(g, 2, NULL);
	raw_send(&r, frame, raw_open(frame, 3, g->a, O_RDONLY));
	sleep_msec(200);
	g->step = 3;
	turn(g, 4, NULL);
	raw_send(&r, frame, raw_open(frame, 4, g->b, O_RDONLY));
	sleep_msec(200);
	g->step = 5;
	do {
		out = raw_result(&r, 0, &fd);
		close_fd(fd);
	} while (out.id == 3);
	ensure(out.id == 4 && out.reason == OPENC_R_NO_RULE && out.generation == 2,
	       "request %u: errno %d, reason %u, by generation %u", (unsigned)out.id, out.error,
	       out.reason, out.generation);
	raw_close(&r);
}

/* What is written after a reload is for the new policy, whatever keeps the old worker. */
START_TEST(a_worker_that_leaves_reads_no_more)
{
	struct guest *g = shared(sizeof *g);
	struct client c;
	struct opend o;
	pid_t lender[2];

	needs_root("have a lender");
	g->a = make_file(at("data/a"), 0600, 0, "a\n");
	g->b = make_file(at("data/b"), 0644, alice.uid, "b\n");
	policy("10", "allow read file %s to user %u as root\n", g->a, alice.uid);
	policy("20", "allow read file %s to user %u\n", g->b, alice.uid);
	o = OPEND();
	g->socket = o.socket;
	c = client_start(alice, go_on_asking, g);
	turn(g, 1, &c);
	ensure(lenders(&o, alice.uid, lender, ELEMENTSOF(lender)) == 1, "not one lender");
	sys(kill(lender[0], SIGSTOP));
	g->step = 2;
	turn(g, 3, &c);
	policy("20", "# nothing\n");
	ok(reload(&o));
	g->step = 4;
	turn(g, 5, &c);
	sys(kill(lender[0], SIGCONT));
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* Each time the rest of a frame, and half of the next. */
static void send_halves(void *arg)
{
	enum { HALF = 10, TRIES = 20 };
	struct guest *g = arg;
	struct raw r = raw_connect(g->socket);
	char frames[2 * WIRE_REQUEST_MAX], reply[WIRE_REPLY_MAX];
	int granted = 0, fd = -1;

	ensure(asked(&r, 1, g->a).error == 0, "before");
	raw_send(&r, frames, raw_open(frames, 2, g->a, O_RDONLY) - HALF);
	sleep_msec(100);
	g->step = 1;
	turn(g, 2, NULL);
	for (uint64_t id = 2; id < TRIES; id++) {
		size_t len = raw_open(frames, id, g->a, O_RDONLY);
		size_t next = raw_open(frames + len, id + 1, g->a, O_RDONLY);

		if (send(r.fd, frames + len - HALF, next, MSG_NOSIGNAL) < 0 ||
		    raw_recv(&r, reply, &fd, 10000) <= 0)
			break;
		granted += fd >= 0;
		close_fd(fd);
		sleep_msec(20);
	}
	ensure(granted <= 1, "%d files after the reload", granted);
	r.fd = close_fd(r.fd);
}

/* An opend by which alice may read g->a, and her, who has come. */
static struct opend opend_with_a_guest(struct guest *g, client_fn *visitor, struct client *c)
{
	struct opend o;

	g->a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	policy("10", "allow read file %s to user %u\n", g->a, alice.uid);
	o = OPEND();
	g->socket = o.socket;
	*c = client_start(alice, visitor, g);
	turn(g, 1, c);
	return o;
}

/* What has begun may come to its end, and no more. */
START_TEST(half_a_frame_does_not_buy_another)
{
	struct guest *g = shared(sizeof *g);
	struct client c;
	struct opend o;

	o = opend_with_a_guest(g, send_halves, &c);
	policy("20", "deny any file %s to anyone\n", g->a);
	ok(reload(&o));
	g->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* A worker that is to leave and has not heard of it may still answer by what it knows: each reload
 * says so, until it has. */
START_TEST(who_has_not_heard_is_told_of)
{
	struct guest *g = shared(sizeof *g);
	struct client c;
	struct opend o;
	pid_t worker;
	char *answer;

	needs_root("stop a worker");
	g->a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	g->b = make_file(at("data/b"), 0644, alice.uid, "b\n");
	policy("10", "allow read file %s to user %u\n", g->a, alice.uid);
	o = OPEND();
	g->socket = o.socket;
	c = client_start(alice, stay_connected, g);
	turn(g, 1, &c);
	worker = only_worker(&o, alice.uid);
	sys(kill(worker, SIGSTOP));
	policy("10", "allow read file %s to user %u\n", g->b, alice.uid);
	ok(control(&o, "reload", &answer));
	ensure(strstr(answer, "1 workers do not answer"), "%s", answer);
	ok(control(&o, "reload", &answer));
	ensure(strstr(answer, "1 workers do not answer"), "the second time: %s", answer);
	sys(kill(worker, SIGCONT));
	ensure(within(5000, !alive(worker)), "it does not leave");
	ok(control(&o, "reload", &answer));
	ensure(!strstr(answer, "do not answer"), "at last: %s", answer);
	sys(kill(c.pid, SIGKILL));
	opend_check_idle(&o);
	sys(kill(o.pid, SIGTERM));
	ensure(within(10000, !alive(o.pid)), "SIGTERM did not end it");
}
END_TEST

/* Opens as fast as it can, with several requests in flight: not one may be lost. */
static void open_without_end(void *arg)
{
	enum { IN_FLIGHT = 16 };
	struct guest *g = arg;
	struct openc_conn *c = connect_to(g->socket);
	const char *paths[IN_FLIGHT];
	struct openc_result results[IN_FLIGHT] = { 0 };
	int rounds = 0;

	for (size_t i = 0; i < IN_FLIGHT; i++)
		paths[i] = g->a;
	for (; !g->step; rounds++) {
		int n = openc_open_many(c, paths, IN_FLIGHT, NULL, 0, results, sizeof *results, 0);

		ensure(n == IN_FLIGHT, "round %d: %d: %s", rounds, n, openc_message(c));
		for (size_t i = 0; i < IN_FLIGHT; i++)
			close_fd(results[i].fd);
	}
	ensure(rounds > 0, "not one round");
	openc_free(c);
}

START_TEST(nothing_is_lost_over_reloads)
{
	struct guest *g = shared(sizeof *g);
	struct client clients[4];
	pid_t all[64];
	struct opend o;

	g->a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	policy("10", "allow read file %s to user %u\n", g->a, alice.uid);
	o = OPEND();
	g->socket = o.socket;
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		clients[i] = client_start(alice, open_without_end, g);
	for (int i = 0; i < 30; i++) {
		/* Each time another effective policy, so each time another worker. */
		policy("20", "allow read file %s to user %u\n", at("data/other%d", i), alice.uid);
		ok(reload(&o));
		sleep_msec(50);
	}
	g->step = 1;
	for (size_t i = 0; i < ELEMENTSOF(clients); i++)
		client_wait(&clients[i]);
	ensure(within(5000, workers(&o, alice.uid, all, ELEMENTSOF(all)) <= 1),
	       "%zu workers are left", workers(&o, alice.uid, all, ELEMENTSOF(all)));
	opend_stop(&o);
}
END_TEST

static void come_and_stay(void *arg)
{
	struct guest *g = arg;
	struct raw r = raw_connect(g->socket);

	raw_works(&r, 1, g->a);
	g->step = 1;
	turn(g, 2, NULL);
	raw_works(&r, 2, g->a);
	raw_close(&r);
}

/* Else reloads that come faster than workers are born would leave those who are connected without
 * one for as long as they come. */
START_TEST(reloads_leave_nobody_unserved)
{
	struct guest *g = shared(sizeof *g);
	char *answer, *status;
	int late = 0;
	struct client c;
	struct opend o;

	o = opend_with_a_guest(g, come_and_stay, &c);
	for (int i = 0; i < 20; i++) {
		policy("20", "allow read file %s to user %u\n", at("data/other%d", i), alice.uid);
		ok(control(&o, "reload", &answer));
		ok(control(&o, "status", &status));
		if (strstr(answer, "do not answer"))
			late++;
		else
			ensure(!strstr(status, "state=born"), "reload %d is over, but\n%s", i,
			       status);
	}
	ensure(late < 20, "none was over when it was told");
	g->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* ---- under load ---- */

/* Odd generations grant `odd`, even ones `even`, all of them `both`, and none `never`. Clients of
 * several identities ask all the time, and each answer says by which generation it was given: it
 * must be what that one says, and no connection ever goes back to an earlier one. What is asked
 * after a reload has been told of is never answered by the generation before. */
enum { WHATS = 4, IN_A_BATCH = 24, RELOADS = 1000, RELOADS_MAX = 10000, PATIENCE_USEC = 5000000 };

struct load {
	const char *socket, *paths[WHATS];
	struct stat st[WHATS];
	_Atomic uint32_t announced;	    /* the generation that is being loaded */
	int64_t loaded_at[RELOADS_MAX + 2]; /* when opend said that it was; 0: it has not */
	_Atomic bool over;
	_Atomic uint64_t granted, refused, calls;
	_Atomic int64_t longest; /* in microseconds */
};

struct guest_of_load {
	struct load *l;
	bool has_alternating, has_both;
	_Atomic uint32_t generation; /* of the last answer */
};

static int64_t now_usec(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * INT64_C(1000000) + ts.tv_nsec / 1000;
}

static void note_longest(_Atomic int64_t *longest, int64_t took)
{
	for (int64_t was = *longest; took > was;)
		if (atomic_compare_exchange_weak(longest, &was, took))
			break;
}

/* Was it asked when the next generation was in force already? */
static void note_generation(struct guest_of_load *g, uint32_t generation, int64_t asked)
{
	int64_t next = g->l->loaded_at[generation + 1];

	ensure(generation >= g->generation && generation <= g->l->announced,
	       "generation %u after %u, while %u was loaded", generation, g->generation,
	       g->l->announced);
	g->generation = generation;
	ensure(!next || asked <= next,
	       "asked %lld us after generation %u was in force, it is "
	       "answered by generation %u",
	       (long long)(asked - next), generation + 1, generation);
}

static bool granted_by(const struct guest_of_load *g, size_t what, uint32_t generation)
{
	return what < 2 ? g->has_alternating && generation % 2 != what : what == 2 && g->has_both;
}

static void judge(struct guest_of_load *g, size_t what, const struct openc_result *r)
{
	struct load *l = g->l;
	struct stat st;

	if (!granted_by(g, what, r->generation)) {
		ensure(r->fd == -EACCES && r->reason == OPENC_R_NO_RULE,
		       "%s under generation %u: %d, reason %u", l->paths[what], r->generation,
		       r->fd, r->reason);
		l->refused++;
		return;
	}
	ensure(r->fd >= 3, "%s under generation %u: %s, reason %u", l->paths[what], r->generation,
	       strerror(-r->fd), r->reason);
	sys(fstat(r->fd, &st));
	ensure(st.st_dev == l->st[what].st_dev && st.st_ino == l->st[what].st_ino,
	       "%s: another file came", l->paths[what]);
	close_fd(r->fd);
	l->granted++;
}

static void ask_under_load(struct guest_of_load *g, struct openc_conn *c, unsigned seed)
{
	struct load *l = g->l;
	struct openc_result results[IN_A_BATCH] = { 0 };
	const char *paths[IN_A_BATCH];
	size_t n = seed % 3 ? 1 : IN_A_BATCH;
	int64_t asked = now_usec();

	for (size_t i = 0; i < n; i++)
		paths[i] = l->paths[(seed + i) % WHATS];
	ok(openc_open_many(c, paths, n, NULL, 0, results, sizeof *results, 0));
	note_longest(&l->longest, now_usec() - asked);
	for (size_t i = 0; i < n; i++) {
		ensure(results[i].generation, "%s: no answer but %s, reason %u", paths[i],
		       strerror(-results[i].fd), results[i].reason);
		note_generation(g, results[i].generation, asked);
		judge(g, (seed + i) % WHATS, &results[i]);
	}
	l->calls++;
}

static void ask_all_the_time(void *arg)
{
	struct guest_of_load *g = arg;
	struct openc_conn *c = connect_to(g->l->socket);

	for (unsigned seed = 0; !g->l->over; seed++)
		ask_under_load(g, c, seed);
	openc_free(c);
}

/* The policies, for odd and for even generations, good or none: a line that does not parse, an
 * expectation that fails, a file that others may write. Written beforehand: a disk that is slow to
 * take a file is not what is asked about. */
enum { FAULTS = 4 };

static char *a_policy(uint32_t generation, int fault)
{
	return at("policies/%u-%d", generation % 2, fault);
}

static void write_policies(const struct load *l)
{
	static const char *const faults[FAULTS] = { "", "allow raed file /x to anyone\n",
						    "expect allow read /nowhere for user 4711\n",
						    "" };

	make_dir(at("policies"), 0755, 0);
	for (uint32_t parity = 0; parity < 2; parity++)
		for (int fault = 0; fault < FAULTS; fault++)
			make_file(a_policy(parity, fault), fault == 3 ? 0666 : 0644, 0,
				  text("allow read file %s to user %u\n"
				       "allow read file %s to user %u\n"
				       "allow read file %s to user %u\n%s",
				       l->paths[!parity], alice.uid, l->paths[2], alice.uid,
				       l->paths[2], bob.uid, faults[fault]));
}

static void put_policy(uint32_t generation, int fault)
{
	sys(link(a_policy(generation, fault), at("policies/next")));
	sys(rename(at("policies/next"), at("policy/10.policy")));
	unlink(at("policies/next"));
}

/* Two in a row, then one that others have had the time to notice. */
static void reload_again(const struct opend *o, struct load *l, int n)
{
	int broken = n % 2 ? 1 + n / 2 % 3 : 0;
	uint32_t next = l->announced + (broken ? 0 : 1);
	uint64_t calls = l->calls;
	char *answer;
	int r;

	put_policy(l->announced + 1, broken);
	l->announced = next;
	r = control(o, "reload", &answer);
	/* Where it was told that a worker has not answered yet, nothing is promised. */
	if (!broken && !strstr(answer, "do not answer"))
		l->loaded_at[next] = now_usec();
	ensure((r < 0) == (broken != 0), "reload %d: %d, %s", n, r, answer);
	ensure(strstr(answer, text("eneration %u", next)), "reload %d: %s", n, answer);
	if (n % 3 == 2)
		ensure(within(20000, l->calls > calls + 8), "nobody gets an answer any more");
}

START_TEST(reloads_under_load)
{
	const char *wanted = getenv("OPEND_RELOADS");
	const int reloads = UTIL_MIN(wanted ? atoi(wanted) : RELOADS, (int)RELOADS_MAX);
	struct load *l = shared(sizeof *l);
	struct guest_of_load *guests = shared(4 * sizeof *guests);
	const struct who whose[] = { alice, alice, bob, uid_only(1002) };
	const size_t n = is_root() ? ELEMENTSOF(whose) : 2;
	struct client clients[ELEMENTSOF(whose)];
	pid_t all[64];
	struct opend o;

	for (size_t i = 0; i < WHATS; i++) {
		l->paths[i] = make_file(at("data/%zu", i), 0644, alice.uid, "x\n");
		sys(stat(l->paths[i], &l->st[i]));
	}
	l->announced = 1;
	write_policies(l);
	put_policy(1, 0);
	o = OPEND();
	l->socket = o.socket;
	for (size_t i = 0; i < n; i++) {
		guests[i] = (struct guest_of_load){ l, whose[i].uid == alice.uid, i < 3, 1 };
		clients[i] = client_start(whose[i], ask_all_the_time, &guests[i]);
	}
	for (int i = 0; i < reloads; i++)
		reload_again(&o, l, i);
	for (size_t i = 0; i < n; i++)
		ensure(within(20000,
			      guests[i].generation == l->announced || !alive(clients[i].pid)),
		       "guest %zu still lives under generation %u", i, guests[i].generation);
	l->over = true;
	for (size_t i = 0; i < n; i++)
		client_wait(&clients[i]);
	printf("%d reloads, %u generations, %llu calls, %llu files granted, %llu refused; "
	       "longest call %.1f ms\n",
	       reloads, (unsigned)l->announced, (unsigned long long)l->calls,
	       (unsigned long long)l->granted, (unsigned long long)l->refused,
	       (double)l->longest / 1000);
	ensure(l->granted > 0 && l->refused > 0, "nothing was asked");
	ensure(l->longest < patience(PATIENCE_USEC), "it took too long");
	ensure(within(5000, workers(&o, alice.uid, all, ELEMENTSOF(all)) <= 1),
	       "%zu workers are left", workers(&o, alice.uid, all, ELEMENTSOF(all)));
	opend_stop(&o);
}
END_TEST

/* The manager to whom it reports its status does not listen: that is no reason to wait for it. */
START_TEST(a_deaf_manager)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	int64_t began;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	strcpy(to.sun_path, at("run/notify"));
	while (sendto(fd, "x", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof to) == 1)
		;
	ensure(errno == EAGAIN, "%s", strerror(errno));
	began = now_msec();
	ensure(control(&o, "reload", NULL) == 0, "no reload");
	ensure(now_msec() - began < patience(5000), "it took %lld ms",
	       (long long)(now_msec() - began));
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	opend_stop(&o);
}
END_TEST

/* ---- the control socket ---- */

START_TEST(status_of_the_service)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n"), *answer;
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	ensure(control(&o, "status", &answer) == 0, "%s", answer);
	ensure(strstr(answer, "generation"), "%s", answer);
	opend_stop(&o);
}
END_TEST

static int try_control(const char *path, const void *packet, size_t len)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	_cleanup_close_ int fd = (int)sys(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int32_t status = 0;

	memcpy(a.sun_path, path, strlen(path) + 1);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) < 0)
		return -errno;
	if (send(fd, packet, len, MSG_NOSIGNAL) < 0)
		return -errno;
	ensure(poll(&p, 1, 10000) == 1, "neither an answer nor an end");
	if (recv(fd, &status, sizeof status, MSG_DONTWAIT) <= 0)
		return -EPIPE;
	return status;
}

START_TEST(control_takes_two_words)
{
	char *a = make_file(at("data/a"), 0644, alice.uid, "a\n");
	static char big[60000];
	struct opend o;

	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	ensure(try_control(o.control, "status", 6) == 0, "status");
	ensure(try_control(o.control, "stop", 4) < 0, "an unknown word");
	ensure(try_control(o.control, "status now", 10) < 0, "two words");
	ensure(try_control(o.control, "reload\0", 7) <= 0, "a word and a NUL");
	memset(big, 'r', sizeof big);
	ensure(try_control(o.control, big, sizeof big) < 0, "a long word");
	ensure(try_control(o.control, "status", 6) == 0, "status");
	ask_for(&o, alice, a, O_RDONLY, "a\n");
	opend_stop(&o);
}
END_TEST

static void reload_as_nobody(void *arg)
{
	const struct opend *o = arg;

	ensure(try_control(o->control, "reload", 6) == -EACCES, "anybody may reload");
	ensure(try_control(o->control, "status", 6) == -EACCES, "anybody may ask for the status");
}

/* Past the permission bits it is the peer that counts. */
static void reload_past_the_mode(void *arg)
{
	const struct opend *o = arg;

	ensure(try_control(o->control, "reload", 6) < 0, "anybody may reload");
	ensure(try_control(o->control, "status", 6) < 0, "anybody may ask for the status");
}

START_TEST(control_is_for_root)
{
	char *a = make_file(at("data/a"), 0644, 0, "a\n");
	struct opend o;

	needs_root("be somebody else than the administrator");
	policy("10", "allow read file %s to user %u\n", a, alice.uid);
	o = OPEND();
	as(alice, reload_as_nobody, &o);
	sys(chmod(o.control, 0666));
	as(alice, reload_past_the_mode, &o);
	ensure(try_control(o.control, "status", 6) == 0, "status");
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("reload");

	ADD(s, a_good_policy_changes_verdicts, 30);
	ADD(s, a_broken_policy_changes_nothing, 30);
	ADD(s, a_policy_that_others_may_write, 30);
	ADD(s, start_with_a_broken_policy, 30);
	ADD(s, an_empty_policy_is_a_policy, 30);
	ADD(s, the_command, 30);
	ADD(s, connections_outlive_reloads, 60);
	ADD_ROOT(s, a_worker_that_leaves_reads_no_more, 60);
	ADD(s, half_a_frame_does_not_buy_another, 60);
	ADD_ROOT(s, who_has_not_heard_is_told_of, 60);
	ADD(s, nothing_is_lost_over_reloads, 60);
	ADD(s, reloads_leave_nobody_unserved, 60);
	ADD(s, reloads_under_load, 600);
	ADD(s, a_deaf_manager, 60);
	ADD(s, status_of_the_service, 30);
	ADD(s, control_takes_two_words, 30);
	ADD_ROOT(s, control_is_for_root, 30);
	return s;
}

int main(void)
{
	return harness_main("reload", suite);
}
