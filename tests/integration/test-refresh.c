/* SPDX-License-Identifier: MIT
 * Landlock is pinned to inodes: what is made, or put in place of something, after a worker was
 * born lies outside its domain. The client must not notice: its connection goes over to a fresh
 * worker with the request that failed, and nothing is lost or answered twice. */
#include "harness.h"

struct renewal {
	const char *socket, *file;
	volatile int step; /* odd: the client's turn; even: the test's */
};

/* c: whom the test waits for, and whose failure then comes first. */
static void turn(struct renewal *a, int step, struct client *c)
{
	if (within(20000, a->step == step || (c && !alive(c->pid))) && a->step == step)
		return;
	if (c)
		client_wait(c);
	ensure(a->step == step, "step %d, not %d", a->step, step);
}

/* One connection all the time: before, and after each thing that the test does. */
static void open_again_and_again(void *arg)
{
	struct renewal *a = arg;
	struct raw r = raw_connect(a->socket);
	char frame[WIRE_REQUEST_MAX];
	int fd;

	raw_send(&r, frame, raw_open(frame, 1, a->file, O_RDONLY));
	ensure(raw_result(&r, 1, &fd).error == ENOENT, "it is there already");
	for (int i = 1; i <= 7; i += 2) {
		a->step = i;
		turn(a, i + 1, NULL);
		raw_works(&r, (uint64_t)i + 1, a->file);
	}
	raw_close(&r);
}

/* Makes a new file and renames it over the old one, as every careful program does. */
static void renew(const char *path, const char *content)
{
	char *fresh = make_file(text("%s.new", path), 0644, alice.uid, content);

	sys(rename(fresh, path));
}

START_TEST(a_file_made_and_renewed_under_a_living_worker)
{
	struct renewal *a = shared(sizeof *a);
	struct client c;
	struct opend o;

	make_dir(at("data/d"), 0755, alice.uid);
	a->file = at("data/d/cert");
	policy("10", "allow read file %s to user %u\n", a->file, alice.uid);
	o = OPEND();
	a->socket = o.socket;
	c = client_start(alice, open_again_and_again, a);
	turn(a, 1, &c);
	make_file(text("%s", a->file), 0644, alice.uid, "first\n");
	a->step = 2;
	turn(a, 3, &c);
	renew(a->file, "second\n");
	a->step = 4;
	turn(a, 5, &c);
	/* After a reload that changes nothing for her, too. */
	policy("20", "allow read file %s to user 4711\n", a->file);
	ok(reload(&o));
	renew(a->file, "third\n");
	a->step = 6;
	turn(a, 7, &c);
	/* The whole directory, too. */
	sys(rename(at("data/d"), at("data/gone")));
	make_dir(at("data/d"), 0755, alice.uid);
	make_file(text("%s", a->file), 0644, alice.uid, "fourth\n");
	a->step = 8;
	client_wait(&c);
	ask_for(&o, alice, a->file, O_RDONLY, "fourth\n");
	opend_stop(&o);
}
END_TEST

START_TEST(a_tree_made_later)
{
	char *plain = make_file(at("data/plain"), 0644, alice.uid, "plain\n");
	struct opend o;

	policy("10", "allow read,write,create under %s to user %u\nallow read file %s to user %u\n",
	       at("data/later"), alice.uid, plain, alice.uid);
	o = OPEND();
	ask_for(&o, alice, plain, O_RDONLY, "plain\n");
	ask_refused(&o, alice, at("data/later/x/file"), O_RDONLY, ENOENT, OPENC_R_KERNEL);
	make_dir(at("data/later"), 0755, alice.uid);
	make_dir(at("data/later/x"), 0755, alice.uid);
	make_file(at("data/later/x/file"), 0644, alice.uid, "file\n");
	ask_for(&o, alice, at("data/later/x/file"), O_RDONLY, "file\n");
	ask_for(&o, alice, plain, O_RDONLY, "plain\n");
	opend_stop(&o);
}
END_TEST

/* Where the client's own rights do not suffice no fresh worker helps, and none is started. */
START_TEST(no_refresh_where_rights_lack)
{
	char *closed, *missing;
	pid_t before;
	struct opend o;

	needs_root("own a file that the client cannot read");
	closed = make_file(at("data/closed"), 0600, 0, "closed\n");
	missing = at("data/missing");
	policy("10", "allow read file %s %s to user %u\n", closed, missing, alice.uid);
	o = OPEND();
	ask_refused(&o, alice, missing, O_RDONLY, ENOENT, OPENC_R_KERNEL);
	before = only_worker(&o, alice.uid);
	for (int i = 0; i < 5; i++)
		ask_refused(&o, alice, closed, O_RDONLY, EACCES, OPENC_R_KERNEL);
	ensure(only_worker(&o, alice.uid) == before, "another worker");
	opend_stop(&o);
}
END_TEST

/* Many requests are in flight when the first of them finds the base gone: each is answered once. */
static void send_a_burst(void *arg)
{
	enum { N = 200 };
	struct renewal *a = arg;
	struct raw r = raw_connect(a->socket);
	static char buf[N * WIRE_REQUEST_MAX];
	bool seen[N + 1] = { false };
	size_t len = 0;
	struct stat st, own;
	int fd;

	raw_works(&r, 1000, a->file);
	a->step = 1;
	turn(a, 2, NULL);
	sys(stat(a->file, &own));
	for (uint64_t id = 1; id <= N; id++)
		len += raw_open(buf + len, id, a->file, O_RDONLY);
	raw_send(&r, buf, len);
	for (int i = 0; i < N; i++) {
		struct wire_outcome out = raw_result(&r, 0, &fd);

		ensure(out.error == 0 && out.id >= 1 && out.id <= N && !seen[out.id], "id %llu: %s",
		       (unsigned long long)out.id, strerror(out.error));
		seen[out.id] = true;
		sys(fstat(fd, &st));
		ensure(st.st_ino == own.st_ino, "another file came");
		close_fd(fd);
	}
	raw_works(&r, 2000, a->file);
	raw_close(&r);
}

START_TEST(a_burst_over_a_renewal)
{
	struct renewal *a = shared(sizeof *a);
	struct client c;
	struct opend o;

	a->file = make_file(at("data/cert"), 0644, alice.uid, "first\n");
	policy("10", "allow read file %s to user %u\n", a->file, alice.uid);
	o = OPEND();
	a->socket = o.socket;
	c = client_start(alice, send_a_burst, a);
	turn(a, 1, &c);
	renew(a->file, "second\n");
	a->step = 2;
	client_wait(&c);
	opend_stop(&o);
}
END_TEST

/* Renewed faster than workers are: every request is answered in the end. */
START_TEST(renewed_many_times_a_second)
{
	char *file = make_file(at("data/cert"), 0644, alice.uid, "0\n");
	int64_t began = now_msec();
	pid_t all[64];
	struct opend o;

	policy("10", "allow read file %s to user %u\n", file, alice.uid);
	o = OPEND();
	for (int i = 1; i <= 5; i++) {
		char *content = text("%d\n", i);

		renew(file, content);
		ask_for(&o, alice, file, O_RDONLY, content);
	}
	ensure(now_msec() - began < 20000, "it took %lld ms", (long long)(now_msec() - began));
	ensure(within(5000, workers(&o, alice.uid, all, ELEMENTSOF(all)) == 1),
	       "%zu workers are left", workers(&o, alice.uid, all, ELEMENTSOF(all)));
	opend_stop(&o);
}
END_TEST

/* As root too: the lender's domain is pinned like any other. */
START_TEST(a_key_renewed_for_a_lender)
{
	char *key;
	struct opend o;

	needs_root("own a file that the client cannot read");
	key = make_file(at("data/key"), 0600, 0, "first\n");
	policy("10", "allow read file %s to user %u as root\n", key, alice.uid);
	o = OPEND();
	ask_for(&o, alice, key, O_RDONLY, "first\n");
	for (int i = 0; i < 3; i++) {
		char *content = text("again %d\n", i);

		sys(rename(make_file(at("data/key.new"), 0600, 0, content), key));
		ask_for(&o, alice, key, O_RDONLY, content);
	}
	opend_stop(&o);
}
END_TEST

/* ---- a thousand ---- */

/* A worker is refreshed at most once a second, so a thousand take many users. */
enum { USERS = 20, DEFAULT_REFRESHES = 40, LATE_MSEC = 1000 + 200 };
enum { PAUSE_MSEC = 1050 / USERS }; /* so each file is replaced hardly less often than that */

struct load {
	const char *socket, *file[USERS];
	int stop;
	struct {
		long opens, late;
		int64_t longest;
	} of[USERS];
};

struct user {
	struct load *load;
	int i;
};

static void open_all_the_time(void *arg)
{
	const struct user *u = arg;
	struct load *l = u->load;
	struct openc_conn *c;

	ok(openc_new(&c, l->socket));
	while (!__atomic_load_n(&l->stop, __ATOMIC_RELAXED)) {
		int64_t began = now_msec(), took;
		int fd = openc_open(c, l->file[u->i], O_RDONLY, 0);

		took = now_msec() - began;
		ensure(fd >= 0, "open %ld: %s", l->of[u->i].opens, openc_message(c));
		close_fd(fd);
		l->of[u->i].opens++;
		l->of[u->i].late += took > LATE_MSEC;
		if (took > l->of[u->i].longest)
			l->of[u->i].longest = took;
		sleep_msec(2);
	}
	openc_free(c);
}

static long refreshes(const struct opend *o)
{
	static const char name[] = "opend_worker_exits_total{cause=\"clean\"} ";
	char *answer, *at_name;

	ensure(control(o, "status", &answer) == 0, "no status");
	at_name = strstr(answer, name);
	ensure(at_name, "%s: not in %s", name, answer);
	return atol(at_name + sizeof name - 1);
}

/* Files replaced in a loop under clients that never rest: no request fails. What is printed is the
 * longest that one took; that it is no longer than a refresh may wait, and a fifth of a second, is
 * tested only in the long form, for which somebody chose the machine. */
START_TEST(many_refreshes_under_load)
{
	const char *wanted = getenv("OPEND_REFRESHES");
	long goal = wanted ? atol(wanted) : DEFAULT_REFRESHES, done, opens = 0, late = 0;
	struct load *l = shared(sizeof *l);
	struct client clients[USERS];
	struct user users[USERS];
	int64_t began = now_msec(), longest = 0;
	unsigned next = 0;
	struct opend o;

	needs_root("be twenty users");
	for (int i = 0; i < USERS; i++) {
		l->file[i] = make_file(at("data/cert%d", i), 0644, 0, "first\n");
		policy(text("%d", 10 + i), "allow read file %s to user %d\n", l->file[i], 1000 + i);
	}
	o = OPEND();
	l->socket = o.socket;
	for (int i = 0; i < USERS; i++) {
		users[i] = (struct user){ .load = l, .i = i };
		clients[i] =
			client_start(uid_only((uid_t)(1000 + i)), open_all_the_time, &users[i]);
	}
	while ((done = refreshes(&o)) < goal) {
		ensure(now_msec() - began < patience(60000 + 200 * goal), "%ld refreshes", done);
		renew(l->file[next++ % USERS], "again\n");
		/* Where everything is slow, so is he who replaces. */
		sleep_msec((int)patience(PAUSE_MSEC));
	}
	l->stop = 1;
	for (int i = 0; i < USERS; i++) {
		client_wait(&clients[i]);
		opens += l->of[i].opens;
		late += l->of[i].late;
		longest = l->of[i].longest > longest ? l->of[i].longest : longest;
		ensure(l->of[i].opens > 0, "user %d opened nothing", i);
	}
	printf("refresh: %ld refreshes, %ld opens, none failed; the longest took %lld ms, %ld more "
	       "than %d ms\n",
	       done, opens, (long long)longest, late, LATE_MSEC);
	ensure(!wanted || late == 0, "%ld answers were late", late);
	opend_stop(&o);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("refresh");

	ADD(s, a_file_made_and_renewed_under_a_living_worker, 60);
	ADD(s, a_tree_made_later, 60);
	ADD_ROOT(s, no_refresh_where_rights_lack, 30);
	ADD(s, a_burst_over_a_renewal, 60);
	ADD(s, renewed_many_times_a_second, 60);
	ADD_ROOT(s, a_key_renewed_for_a_lender, 60);
	ADD_ROOT(s, many_refreshes_under_load, 3600);
	return s;
}

int main(void)
{
	return harness_main("refresh", suite);
}
